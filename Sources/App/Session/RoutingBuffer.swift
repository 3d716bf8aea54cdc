// The run as the screens see it, live or opened from a trace: decisions, tokens with their text, sequences and draws, in memory and
// bounded. Folds of the whole run grow with it, so that no screen starts over; windows are cut from what is kept.

import Analysis
import Model
import Routing

struct RoutingBuffer: Sendable {
  let routers: [RouterDescription]
  /// Of a denoising run; nil for text.
  let layout: DenoisingLayout?
  private(set) var sequences: [SequenceDescription] = []
  /// The decisions kept; row i of its table is token `firstToken + i` of the run.
  private(set) var pass: RoutingPass
  /// Draws by the row of the last token before them; only of live sessions.
  private(set) var draws: [Int: TokenDraw] = [:]
  private var texts: [Int32: [UInt8]] = [:]
  /// Whether some token that came had an id.
  private var knowsID = false
  /// Pictures by rising row; only of live sessions.
  private(set) var pictures: [StepPicture] = []
  private var pictureBytes = 0
  /// First row of each denoising step kept.
  private var steps: [SampleStep: Int] = [:]

  // Folds of everything that ever came, dropped rows included.
  private(set) var folds: RowFolds
  /// Neighbouring tokens at each router; of text only.
  private(set) var links = PerRouter(SequenceLinks())
  private(set) var uncertainty = PerRouter(RouterUncertainty())
  private(set) var strata = PerRouter(StratumCounts())
  private(set) var routes = PerRouter(RouteStore(keepsTokens: true))
  private(set) var tokenLabels = TokenLabels()
  /// By branch; empty for text, which has `strata` and `routes`.
  private(set) var counts: [DenoisingCounts] = []

  /// Rows kept at most; the oldest go first.
  let capacity: Int

  /// Which decisions these are: no two buffers that differ have the same number.
  private(set) var version = Versions.next()
  /// What was folded last, for all who ask again.
  private var folded = FoldedRows()
  private let pooled = Memo<Int, Histogram>()
  /// Whether the number of a layer does not say which router is meant: an encoder beside a decoder, attention experts beside others.
  let hasSeveralStacks: Bool

  /// Bytes of pictures kept at most; the oldest go first.
  private static let pictureMemory = 64 << 20

  private struct SampleStep: Hashable {
    var sample: Int
    var step: Int
  }

  /// - Parameters:
  ///   - denoising: of a run of images; one that is not valid is passed over.
  ///   - memory: bytes of decisions to keep, roughly.
  init(routers: [RouterDescription], denoising: DenoisingLayout? = nil, memory: Int = 192 << 20) {
    self.routers = routers
    hasSeveralStacks = routers.contains { $0.id.lane != routers[0].id.lane }
    counts =
      denoising.map { layout in
        (0..<layout.branchCount).compactMap { try? DenoisingCounts(layout: layout, routers: routers, branch: $0) }
      } ?? []
    layout = counts.isEmpty ? nil : denoising
    let folds = RowFolds(routers: routers)
    self.folds = folds
    let row = routers.reduce(64) { $0 + 8 * $1.slots + 16 + 4 * $1.spec.expertCount + folds.bytesARow($1.spec) }
    capacity = max(1024, memory / row)
    pass = RoutingPass(
      tokens: TokenTable(),
      batches: routers.map { RoutingBatch(router: $0.id, expertCount: $0.spec.expertCount, topK: $0.slots, firstToken: 0, count: 0) })
  }

  /// Normalised entropies of all decisions that ever came.
  var pooledEntropy: Histogram { pooled.answer(version) { _ in uncertainty.pooledEntropy } }

  // MARK: - Growing

  mutating func begin(_ sequence: SequenceDescription) { sequences.append(sequence) }
  mutating func describe(_ all: [SequenceDescription]) { sequences = all }
  mutating func name(_ pieces: [Int32: [UInt8]]) { texts.merge(pieces) { old, _ in old } }

  /// Takes counts that were kept of whole samples; passes of these samples are not counted again.
  mutating func know(_ kept: [DenoisingCounts]) {
    for branch in counts.indices where kept.indices.contains(branch) && kept[branch].layout == layout { counts[branch] = kept[branch] }
  }

  /// Takes loads of a run of which nothing else is known.
  mutating func know(_ loads: [RouterID: RouterLoad]) {
    folds.know(loads)
    isCounted = !loads.isEmpty
    version = Versions.next()
  }

  /// Whether only loads are known, and no row.
  private(set) var isCounted = false

  /// Whether there is something to say about whole samples.
  var hasCounts: Bool { counts.contains { !$0.samples.isEmpty } }

  /// Takes the pass that follows.
  /// - Returns: false for a pass that does not continue this run: a capture that lost tokens of some router.
  mutating func append(_ next: RoutingPass) -> Bool {
    let isWhole = next.batches.map(\.router) == routers.map(\.id) && next.batches.allSatisfy { $0.count == next.tokens.count }
    let whole = isWhole ? next : completed(next)
    guard next.tokens.firstToken == end, whole.batches.map(\.router) == routers.map(\.id),
      zip(whole.batches, pass.batches).allSatisfy({ $0.count == next.tokens.count && $0.topK == $1.topK && $0.firstToken == end })
    else { return false }
    version = Versions.next()
    // A copy may grow otherwise: what is kept of the rows to come is of one buffer only.
    if !isKnownUniquelyReferenced(&folded) { folded = FoldedRows() }
    pass.append(whole)
    knowsID = knowsID || next.tokens.tokenID.contains { $0 >= 0 }
    folds.add(next)
    uncertainty.add(next)
    if layout == nil {
      links.add(next)
      strata.add(next)
      routes.add(next)
      tokenLabels.add(next.tokens)
    } else {
      for branch in counts.indices { counts[branch].add(next) }
      index(next.tokens)
    }
    // A quarter at a time, so that the cost of cutting is spread.
    if pass.tokens.count > capacity + capacity / 4 {
      let dropped = pass.tokens.count - capacity
      pass = pass.slice(dropped..<pass.tokens.count)
      folds.drop(before: first)
      draws = draws.filter { $0.key >= first }
      steps = steps.filter { $0.value >= first }
      dropPictures(pictures.count { $0.row < first })
    }
    return true
  }

  /// The pass with one batch a router, in the run's order. Where a router did not see a token (it is of another stack), or nobody knows what
  /// it decided, it has a row without a decision.
  private func completed(_ next: RoutingPass) -> RoutingPass {
    let given = Dictionary(grouping: next.batches, by: \.router)
    let last = next.tokens.firstToken + next.tokens.count
    return RoutingPass(
      tokens: next.tokens,
      batches: routers.map { router in
        func blank(_ rows: Range<Int>) -> RoutingBatch {
          RoutingBatch(
            router: router.id, expertCount: router.spec.expertCount, topK: router.slots, firstToken: rows.lowerBound, count: rows.count)
        }
        var whole = blank(next.tokens.firstToken..<next.tokens.firstToken)
        for batch in given[router.id] ?? [] where batch.firstToken >= whole.firstToken + whole.count && batch.topK == router.slots {
          whole.append(blank(whole.firstToken + whole.count..<batch.firstToken))
          whole.append(batch)
        }
        whole.append(blank(whole.firstToken + whole.count..<max(last, whole.firstToken + whole.count)))
        return whole
      })
  }

  /// What was drawn after a token.
  mutating func note(_ draw: TokenDraw, after row: Int) {
    if rows.contains(row) { draws[row] = draw }
  }

  /// What an image looked like after a step.
  mutating func note(_ picture: StepPicture) {
    guard rows.contains(picture.row), pictures.last.map({ $0.row < picture.row }) ?? true else { return }
    pictures.append(picture)
    pictureBytes += picture.byteCount
    if pictureBytes > Self.pictureMemory { dropPictures(max(1, pictures.count / 4)) }
  }

  private mutating func dropPictures(_ count: Int) {
    pictureBytes -= pictures.prefix(count).reduce(0) { $0 + $1.byteCount }
    pictures.removeFirst(count)
  }

  /// Remembers where steps begin.
  private mutating func index(_ tokens: TokenTable) {
    guard let layout else { return }
    let rowsPerStep = layout.branchCount * layout.patchCount
    for row in 0..<tokens.count where tokens.phase[row] == .denoise && Int(tokens.position[row]) % rowsPerStep == 0 {
      steps[SampleStep(sample: Int(tokens.sequence[row]), step: Int(tokens.position[row]) / rowsPerStep)] = tokens.firstToken + row
    }
  }

  // MARK: - Denoising steps

  /// Where a row of a denoising run stands; nil for text.
  func place(_ row: Int) -> DenoisingPlace? {
    guard let layout, rows.contains(row), phase(row) == .denoise, 0..<layout.rowsPerSample ~= position(row) else { return nil }
    return layout.place(at: position(row))
  }

  /// First row of a step of a sample; nil when it has not come or is no longer kept.
  func firstRow(sample: Int, step: Int) -> Int? { steps[SampleStep(sample: sample, step: step)] }

  /// What the image looked like after the step that begins with a row.
  func picture(_ row: Int) -> StepPicture? {
    var (low, high) = (0, pictures.count)
    while low < high {
      let middle = (low + high) / 2
      if pictures[middle].row < row { low = middle + 1 } else { high = middle }
    }
    return pictures.indices.contains(low) && pictures[low].row == row ? pictures[low] : nil
  }

  // MARK: - Rows

  /// First row kept, and one past the last.
  var first: Int { pass.tokens.firstToken }
  var end: Int { first + pass.tokens.count }
  var rows: Range<Int> { first..<end }
  var isEmpty: Bool { pass.tokens.count == 0 }
  var isTruncated: Bool { first > 0 }

  func tokenID(_ row: Int) -> Int32 { pass.tokens.tokenID[row - first] }
  func sequence(_ row: Int) -> Int { Int(pass.tokens.sequence[row - first]) }
  func position(_ row: Int) -> Int { Int(pass.tokens.position[row - first]) }
  func phase(_ row: Int) -> TokenPhase { pass.tokens.phase[row - first] }
  func surprisal(_ row: Int) -> Float { pass.tokens.surprisal[row - first] }
  func nextTokenEntropy(_ row: Int) -> Float { pass.tokens.nextTokenEntropy[row - first] }
  func label(_ row: Int) -> SequenceDescription? {
    let index = sequence(row)
    return sequences.indices.contains(index) ? sequences[index] : nil
  }

  /// The bytes of the token of a row; its place where nobody kept its id.
  func bytes(ofRow row: Int) -> [UInt8] {
    let id = tokenID(row)
    return id < 0 ? Array("#\(position(row)) ".utf8) : bytes(id)
  }

  /// The bytes of a token; its id in angle brackets where nobody knows them.
  func bytes(_ token: Int32) -> [UInt8] {
    if let text = texts[token], !text.isEmpty { return text }
    if token < 0 { return Array("_".utf8) }
    return Array("<\(token)>".utf8)
  }

  /// Whether rows are tokens and none of them says which: a run that keeps no ids.
  var lacksIDs: Bool { layout == nil && !isEmpty && !knowsID }

  /// Whether the text of some token is known.
  var hasTexts: Bool { !texts.isEmpty }

  /// The text of a vocabulary entry; nil where nobody knows it.
  var textOfTokens: @Sendable (Int32) -> String? {
    let texts = texts
    return { id in texts[id].map { String(decoding: $0, as: UTF8.self) } }
  }

  /// Whether a filter shows a row: one of its decisions passes. Routers of the other stack have rows here and no decisions.
  func shows(_ row: Int, _ filter: ResolvedFilter) -> Bool {
    let local = row - first
    guard filter.admits(token: local, of: pass.tokens) else { return false }
    if filter.filter.looksAtTokensOnly { return true }
    return pass.batches.contains { batch in
      batch.selectedExperts[local * batch.topK] >= 0 && filter.admits(batch.router) && filter.admits(decision: local, of: batch)
    }
  }

  // MARK: - Decisions

  func batch(_ router: Int) -> RoutingBatch { pass.batches[router] }

  /// Experts of one token at one router, best first; -1 pads.
  func selected(_ row: Int, router: Int) -> ArraySlice<Int32> {
    let batch = pass.batches[router]
    let start = (row - first) * batch.topK
    return batch.selectedExperts[start..<start + batch.topK]
  }

  /// Experts that a token took.
  func taken(_ row: Int, router: Int) -> Int { pass.batches[router].taken(row - first) }

  func weights(_ row: Int, router: Int) -> ArraySlice<Float> {
    let batch = pass.batches[router]
    let start = (row - first) * batch.topK
    return batch.routingWeights[start..<start + batch.topK]
  }

  /// Router entropy over ln E; NaN where not defined.
  func entropy(_ row: Int, router: Int) -> Float {
    normalizedEntropy(entropyNats(row, router: router), experts: pass.batches[router].expertCount)
  }

  func entropyNats(_ row: Int, router: Int) -> Float { pass.batches[router].routerEntropy[row - first] }
  func margin(_ row: Int, router: Int) -> Float { pass.batches[router].selectionMargin[row - first] }
  func mass(_ row: Int, router: Int) -> Float { pass.batches[router].topKMass[row - first] }

  /// `[experts]`: raw router logits of one token; nil where they were not recorded.
  func logits(_ row: Int, router: Int) -> ArraySlice<Float>? {
    let batch = pass.batches[router]
    guard let logits = batch.logits else { return nil }
    let wanted = Int32(row - first)
    var (low, high) = (0, logits.rows.count)
    while low < high {
      let middle = (low + high) / 2
      if logits.rows[middle] < wanted { low = middle + 1 } else { high = middle }
    }
    guard low < logits.rows.count, logits.rows[low] == wanted else { return nil }
    return logits.values[low * batch.expertCount..<(low + 1) * batch.expertCount]
  }

  /// `[experts]`: the router's distribution for one token, by the rule of its spec; nil without logits.
  func probabilities(_ row: Int, router: Int) -> [Double]? {
    guard let logits = logits(row, router: router) else { return nil }
    return RoutingBatch.importance(logits, count: 1, spec: routers[router].spec)
  }

  /// What the experts of each router did over some rows; the last answer is kept.
  ///
  /// - Parameter withImportance: also their shares of router probability, which cost more; nil where not every row has them.
  func tallies(_ range: Range<Int>, withImportance: Bool) -> [RouterTally] {
    folded.tallies(FoldedRows.Question(version: version, rows: range.clamped(to: rows), withImportance: withImportance)) {
      question, pieces in
      var tallies = folds.tallies(question.rows) { edge in
        stretches(edge).flatMap { rows in batches(of: rows, withImportance ? pieces : nil) }
      }
      if !withImportance { for place in tallies.indices { tallies[place].forgetImportance() } }
      return tallies
    }
  }

  /// Rows of one stretch, of each router that saw them.
  ///
  /// - Parameter pieces: probabilities of rows that were summed before; nil: none are asked for.
  private func batches(of rows: Range<Int>, _ pieces: FoldedRows.Pieces?) -> [RoutingBatch] {
    let local = rows.lowerBound - first..<rows.upperBound - first
    let isEncoded = phase(rows.lowerBound) == .encode
    return pass.batches.indices.filter { !hasTwoStacks || (routers[$0].id.stack == .encoder) == isEncoded }.map { router in
      var part = pass.batches[router].part(local, spec: routers[router].spec, withImportance: false)
      if let pieces, let sums = pieces.sum(router: router, rows: rows, of: { importance(of: $0, router: router) }) {
        part.importanceSum = sums
      }
      return part
    }
  }

  /// `[experts]`: sum of the router's distribution over some rows; nil where not all have logits.
  private func importance(of rows: Range<Int>, router: Int) -> [Double]? {
    let local = rows.lowerBound - first..<rows.upperBound - first
    let sums = pass.batches[router].part(local, spec: routers[router].spec, withImportance: true).importanceSum
    return sums.isEmpty ? nil : sums
  }

  /// Rows cut where tokens of an encoder and of a decoder follow each other: each went through the routers of its own stack only.
  private func stretches(_ range: Range<Int>) -> [Range<Int>] {
    guard hasTwoStacks else { return [range] }
    var parts: [Range<Int>] = []
    for row in range {
      if let last = parts.last, (phase(row) == .encode) == (phase(last.lowerBound) == .encode) {
        parts[parts.count - 1] = last.lowerBound..<row + 1
      } else {
        parts.append(row..<row + 1)
      }
    }
    return parts
  }

  private var hasTwoStacks: Bool { routers.contains { $0.id.stack == .encoder } }

  /// Some rows of one router as a pass of their own, without logits.
  func window(_ range: Range<Int>, router: Int) -> RoutingPass {
    let range = range.clamped(to: rows)
    let local = range.lowerBound - first..<range.upperBound - first
    return RoutingPass(
      tokens: pass.tokens.slice(local), batches: [pass.batches[router].part(local, spec: routers[router].spec, withImportance: false)])
  }
}
