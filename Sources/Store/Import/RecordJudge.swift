// Is this record what routers decided? It is read twice before a row of it is stored: once for the extremes of its columns, once row by row.
// What comes out are findings with the codes of docs/contracts.md, the rows at fault, and the routers that the run will have.

import Foundation
import Routing

/// What was found out about a record.
struct RecordJudgement {
  /// In the order of their codes, then of their routers.
  var findings: [ImportFinding] = []
  var routers: [JudgedRouter] = []
  var sequences: [JudgedSequence] = []
  /// Whether what the record calls logits are probabilities.
  var areProbabilities = false
  /// Whether ids stand in the order of their numbers, and weights say their ranks.
  var sortsByWeight = false

  var faults: [ImportFinding] { findings.filter { $0.severity == .fault } }
  /// Rows that the run will have.
  var rowCount: Int { sequences.reduce(0) { $0 + $1.rows } }
}

/// A router of the run that a record becomes.
struct JudgedRouter {
  var id: RouterID
  /// Of the record; nil: the model has the router and the record does not.
  var column: Int?
  /// Choices of a row.
  var slots: Int
  var experts: Int
  /// Whether none of its rows can be trusted.
  var isUnknown = false
}

struct JudgedSequence {
  /// Number in the record.
  var index: Int
  /// Rows that are stored, from its first.
  var rows: Int
  /// Position of the first.
  var start: Int
  /// Whether nobody knows where its rows belong.
  var isLost = false
  /// Rows, counted from its first, that are at fault in every router.
  var accused: [Range<Int>] = []
}

/// Holds records against what routers can do.
struct RecordJudge {
  /// Nats from which on a pattern is no chance: once in 7e10 sound records.
  static let evidence = 25.0
  /// Fewer rows than this say nothing about a router that never changes.
  private static let enoughRows = 33
  private static let enoughTokens = 16
  /// Share of assignments beyond the experts, in every router, that is one of physical slots.
  private static let physicalShare = 0.01

  let record: any ForeignRecord
  let request: ImportRequest
  private var judgement = RecordJudgement()
  private var columns: RecordColumns
  private var survey: ColumnSurvey
  private var total = 0

  /// - Throws: `ImportError`, `FormatError`.
  static func judge(_ record: any ForeignRecord, request: ImportRequest) throws -> RecordJudgement {
    var judge = try RecordJudge(record, request: request)
    return try judge.judged()
  }

  private init(_ record: any ForeignRecord, request: ImportRequest) throws {
    (self.record, self.request) = (record, request)
    columns = try RecordColumns(record.shape, request: request)
    survey = ColumnSurvey(record.shape)
  }

  private mutating func judged() throws -> RecordJudgement {
    judgement.findings = record.shape.findings
    if columns.isGuessed && record.shape.columns.contains(where: { $0.router == nil }) || isCounting {
      note(.layersGuessed, "layers are counted from 0: the record does not name them")
    }
    // What trainers append looks like routes, of layers too that have none.
    let before = judgement
    try judgeLengths()
    try RecordScan.forEach(record, judgement.sequences) { _, _, block in survey.add(block) }
    if record.shape.content == .ids { columns.peel(survey, experts: experts(of: nil)) }
    if !columns.findings.isEmpty {
      judgement = before
      judgement.findings += columns.findings
      try judgeLengths()
    }
    total = judgement.rowCount
    if judgeLayers() {
      if record.shape.content == .ids { try judgeRows() } else { try judgeLogits() }
    }
    sayWhatIsMissing()
    let order = Dictionary(uniqueKeysWithValues: ImportFinding.Code.allCases.enumerated().map { ($1, $0) })
    judgement.findings.sort { a, b in
      let (x, y) = (order[a.code] ?? 0, order[b.code] ?? 0)
      if x != y { return x < y }
      return (a.router.map { "\($0)" } ?? "") < (b.router.map { "\($0)" } ?? "")
    }
    return judgement
  }

  /// Whether the record names its layers by numbers that nobody confirms.
  private var isCounting: Bool {
    record.shape.format == .megatron && request.model == nil && request.layers == nil
  }

  private mutating func note(_ code: ImportFinding.Code, _ detail: String) {
    judgement.findings.append(ImportFinding(code, count: 1, of: 1, detail: detail))
  }

  private mutating func say(_ code: ImportFinding.Code, _ router: RouterID?, _ count: Int, of: Int, first: [Int] = [], _ detail: String) {
    judgement.findings.append(ImportFinding(code, router: router, count: count, of: of, first: first, detail: detail))
  }

  /// Experts of a router as the model or the user says; of nil: of all routers.
  private func experts(of router: RouterID?) -> Int? {
    if let asked = request.experts { return asked }
    guard let routers = request.model?.routers else { return nil }
    if let router { return routers.first { $0.id == router }?.spec.expertCount }
    return routers.map(\.spec.expertCount).max()
  }

  private func topK(of router: RouterID) -> Int? {
    request.model?.routers.first { $0.id == router }?.spec.topK ?? request.topK
  }

  // MARK: Rows against tokens

  private mutating func judgeLengths() throws {
    let shape = record.shape
    if let tokens = request.tokens, tokens.count != shape.sequences.count {
      throw ImportError.sequences(named: tokens.count, found: shape.sequences.count)
    }
    var (padded, paddedOf, short, lost, lostOf, unchecked) = (0, 0, 0, 0, 0, 0)
    for (index, sequence) in shape.sequences.enumerated() {
      var judged = JudgedSequence(index: index, rows: sequence.rows, start: sequence.start ?? 0)
      defer { judgement.sequences.append(judged) }
      if sequence.isTruncated { continue }
      guard let length = request.tokens?[index].count ?? sequence.tokens?.count ?? sequence.tokenCount else {
        unchecked += 1
        continue
      }
      let expected = length - judged.start - shape.omitted
      let surplus = try surplusRows(index, beyond: expected)
      if judged.rows == expected + 1, shape.omitted == 1, surplus >= 1 {
        judged.rows -= 1
        if !shape.appendsRow { (padded, paddedOf) = (padded + 1, paddedOf + sequence.rows) }
      } else if shape.mayOmit > 0, judged.rows < expected, judged.rows >= expected - shape.mayOmit {
        continue
      } else if judged.rows == expected - shape.mayOmit - 1 {
        short += 1
      } else if judged.rows > expected, surplus == judged.rows - expected, shape.omitted == 1 {
        (padded, paddedOf) = (padded + surplus - (shape.appendsRow ? 1 : 0), paddedOf + sequence.rows)
        judged.rows = max(expected, 0)
      } else if judged.rows != expected && judged.rows != expected + shape.omitted {
        (lost, lostOf) = (lost + judged.rows, lostOf + judged.rows)
        judged.isLost = true
      }
    }
    if padded > 0 { say(.padded, nil, padded, of: paddedOf, "rows were appended for tokens that no router saw: they were left out") }
    if short > 0 {
      say(.missingLast, nil, short, of: shape.sequences.count, "sequences lack the row of their last token that the format has")
    }
    if lost > 0 {
      say(.lengthMismatch, nil, lost, of: lostOf, "rows of sequences that are not as long as their tokens: where they belong is not known")
    }
    if unchecked > 0 {
      note(
        .lengthUnchecked,
        "the tokens of \(unchecked) of \(shape.sequences.count) sequences are not known, so that their rows were not counted")
    }
    if shape.omitted == 1 || lacksLast { note(.noLastToken, "the format has no row for the last token of a sequence") }
  }

  /// Whether a sequence ends before its last token, which its format may do.
  private var lacksLast: Bool {
    guard record.shape.mayOmit > 0 else { return false }
    return zip(judgement.sequences, record.shape.sequences).contains { judged, sequence in
      guard let length = request.tokens?[judged.index].count ?? sequence.tokens?.count ?? sequence.tokenCount else { return false }
      let expected = length - judged.start - record.shape.omitted
      return judged.rows < expected && judged.rows >= expected - record.shape.mayOmit
    }
  }

  /// How many of the rows behind `expected` are of those that trainers append: all of them 0…k-1, or the one of them zeros, a copy of the row
  /// before, or a count through all cells.
  private func surplusRows(_ index: Int, beyond expected: Int) throws -> Int {
    let rows = record.shape.sequences[index].rows
    guard record.shape.content == .ids, expected >= 0, rows > expected, rows - expected <= 1 << 20 else { return 0 }
    let from = max(expected - 1, 0)
    let block = try record.rows(from..<rows, of: index)
    let widths = columns.widths
    let slots = record.shape.columns.map(\.slots)
    func row(_ place: Int, _ column: Int) -> ArraySlice<Int32> {
      let start = (place - from) * slots[column]
      return block.columns[column].ids[start..<start + widths[column]]
    }
    func isCount(_ place: Int) -> Bool { widths.indices.allSatisfy { row(place, $0).elementsEqual((0..<widths[$0]).map(Int32.init)) } }
    if (expected..<rows).allSatisfy(isCount) { return rows - expected }
    guard rows == expected + 1 else { return 0 }
    if widths.indices.allSatisfy({ row(expected, $0).allSatisfy { $0 == 0 } }) { return 1 }
    if expected > 0, widths.indices.allSatisfy({ row(expected, $0).elementsEqual(row(expected - 1, $0)) }) { return 1 }
    if let experts = experts(of: nil) {
      var cell = 0
      var isRunning = true
      for column in widths.indices {
        for id in row(expected, column) {
          if Int(id) != cell % experts { isRunning = false }
          cell += 1
        }
      }
      if isRunning { return 1 }
    }
    return 0
  }

  // MARK: Layers and shapes

  /// Decides which columns are routers of the run.
  /// - Returns: false where no row of the record can be trusted.
  private mutating func judgeLayers() -> Bool {
    let shape = record.shape
    let model = request.model?.routers
    let hasIDs = shape.content == .ids
    var (live, dense, strangers) = ([Int](), [RouterID](), [Int]())
    let anyLive = !hasIDs || columns.routers.indices.contains(where: survey.isLive)
    for column in columns.routers.indices {
      let router = columns.routers[column]
      let isEmpty = hasIDs && (!survey.isLive(column) && columns.widths[column] > 1 || survey.isAllUnknown(column))
      if let model, !model.contains(where: { $0.id == router }), router.tower == nil {
        if isEmpty { dense.append(router) } else { strangers.append(column) }
      } else if isEmpty, model == nil, anyLive, !survey.isAllUnknown(column) || shape.format != .moetopJSONL {
        dense.append(router)
      } else {
        live.append(column)
      }
    }
    if !dense.isEmpty {
      note(.denseLayers, "layers without a route in any row are taken for dense: \(dense.map { "\($0)" }.joined(separator: ", "))")
    }
    if let model, !strangers.isEmpty {
      for column in strangers {
        say(
          .shiftedLayers, columns.routers[column], total, of: total,
          "it has routes, and the model has no router there: no number of a layer can be trusted")
      }
      let column = strangers[0]
      judgement.routers = model.map {
        JudgedRouter(id: $0.id, slots: min(columns.widths[column], $0.spec.expertCount), experts: $0.spec.expertCount, isUnknown: true)
      }
      return false
    }
    var isGuessed = false
    judgement.routers = live.map { column in
      let router = columns.routers[column]
      let guess = survey.largest(live, widths: columns.widths).map { $0 + 1 }
      let known = shape.columns[column].experts
      if experts(of: router) == nil && known == nil { isGuessed = true }
      let experts = shape.content == .logits ? known ?? 1 : experts(of: router) ?? known ?? guess ?? 1
      return JudgedRouter(id: router, column: column, slots: columns.widths[column], experts: max(experts, columns.widths[column]))
    }
    if isGuessed { note(.expertsGuessed, "the number of experts is taken from the largest id of the record") }
    return judgeShapes(live)
  }

  private mutating func judgeShapes(_ live: [Int]) -> Bool {
    guard record.shape.content == .ids else {
      for place in judgement.routers.indices { judgeWidth(place) }
      return true
    }
    var isSound = true
    for place in judgement.routers.indices {
      let router = judgement.routers[place]
      guard let asked = topK(of: router.id), asked != router.slots else { continue }
      say(.wrongK, router.id, total, of: total, "rows have \(router.slots) ids, a token takes \(asked) experts")
      isSound = false
    }
    if !isSound { for place in judgement.routers.indices { judgement.routers[place].isUnknown = true } }
    return isSound
  }

  /// Logits of another number of experts than the model has.
  private mutating func judgeWidth(_ place: Int) {
    let router = judgement.routers[place]
    guard let asked = experts(of: router.id), asked != router.experts else { return }
    let isPhysical = router.experts > asked && router.experts < 2 * asked
    say(
      isPhysical ? .physicalIDs : .outOfRange, router.id, total, of: total,
      "it has logits of \(router.experts) experts, the router chooses among \(asked)"
        + (isPhysical ? ": these are physical slots of replicated experts" : ""))
    judgement.routers[place].isUnknown = true
  }

  // MARK: Rows

  private mutating func judgeRows() throws {
    let places = judgement.routers.indices.filter { judgement.routers[$0].column != nil }
    guard !places.isEmpty, total > 0 else { return }
    var tally = RowTally(
      judgement.routers, columns: record.shape.columns, expectsPatterns: true, mayTakeFewer: record.shape.format == .moetopJSONL)
    try RecordScan.forEach(record, judgement.sequences) { sequence, first, block in
      tally.add(block, sequence: sequence, first: first, isLost: judgement.sequences[sequence].isLost)
    }
    tally.finish()
    let isPhysical =
      places.allSatisfy { isKnown($0) }
      && places.allSatisfy { Double(tally.beyond[$0]) >= Self.physicalShare * Double(total * judgement.routers[$0].slots) }
      && places.allSatisfy { tally.outside[$0] == 0 } && tally.beyond.contains { $0 > 0 }
    for place in places {
      let router = judgement.routers[place]
      for fault in RowFault.allCases {
        let found = tally.faults[place][fault.rawValue]
        guard found.count > 0, !isPhysical || fault == .unknown || fault == .zero else { continue }
        say(fault.code, router.id, found.count, of: total, first: found.first, words(fault, router))
      }
      if isPhysical {
        let bad = tally.faults[place][RowFault.unknown.rawValue].count + tally.faults[place][RowFault.zero.rawValue].count
        say(
          .physicalIDs, router.id, total - bad - tally.lost, of: total,
          "ids reach beyond the \(router.experts) experts in every router: they are slots of replicated experts, not experts")
        judgement.routers[place].isUnknown = true
      }
    }
    if isPhysical { return }
    for (sequence, ranges) in tally.accused.enumerated() { judgement.sequences[sequence].accused = ranges }
    let dealt = tally.accused.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
    for place in places where dealt > 0 {
      say(
        .partition, judgement.routers[place].id, dealt, of: total, first: tally.firstAccused,
        "rows deal out the experts in turn: memory that was numbered, or a list that was read with a wrong stride")
    }
    judgeSameness(tally, places, dealt: dealt)
  }

  private mutating func judgeSameness(_ tally: RowTally, _ places: [Int], dealt: Int) {
    let isFaultless = dealt == 0 && tally.lost == 0 && places.allSatisfy { place in tally.faults[place].allSatisfy { $0.count == 0 } }
    let all = request.tokens ?? record.shape.sequences.compactMap(\.tokens)
    let distinct = all.isEmpty ? nil : all.reduce(into: Set<Int32>()) { $0.formUnion($1) }.count
    if isFaultless, places.count >= 2, tally.clean >= Self.enoughRows, distinct.map({ $0 >= Self.enoughTokens }) ?? true,
      places.allSatisfy({ tally.isConstant[$0] && judgement.routers[$0].slots < judgement.routers[$0].experts })
    {
      for place in places {
        say(
          .equalRows, judgement.routers[place].id, total, of: total,
          "every row of every router is the same: a buffer that was read again and again, or a model all of whose routers are constant")
        judgement.routers[place].isUnknown = true
      }
      return
    }
    let clean = tally.clean - dealt
    guard tally.rising.isFound, clean > 0 else { return }
    for place in places {
      let router = judgement.routers[place]
      let rises = tally.weightsRise[place]
      if router.column.map({ record.shape.columns[$0].hasWeights }) == true {
        judgement.sortsByWeight = true
        guard rises.count > 0 else { continue }
        say(
          .unsorted, router.id, rises.count, of: total, first: rises.first,
          "ids rise with their numbers in every row, and weights do not fall: ids were put in the order of their weights")
      } else {
        say(
          .unsorted, router.id, clean, of: total,
          "ids rise with their numbers in every row: their order is not that of the scores, and ranks are not known")
      }
    }
  }

  /// Whether somebody says how many experts a router has.
  private func isKnown(_ place: Int) -> Bool {
    let router = judgement.routers[place]
    return experts(of: router.id) != nil || router.column.flatMap { record.shape.columns[$0].experts } != nil
  }

  // MARK: Scores instead of ids

  private mutating func judgeLogits() throws {
    var tally = LogitTally(judgement.routers)
    try RecordScan.forEach(record, judgement.sequences) { sequence, _, block in
      tally.add(block, isLost: judgement.sequences[sequence].isLost)
    }
    let places = judgement.routers.indices.filter { !judgement.routers[$0].isUnknown && judgement.routers[$0].column != nil }
    for place in places where tally.zero[place].count > 0 {
      say(
        .zeroRows, judgement.routers[place].id, tally.zero[place].count, of: total, first: tally.zero[place].first,
        "every logit of the row is 0: the row was never written")
    }
    let isFaultless = tally.lost == 0 && places.allSatisfy { tally.zero[$0].count == 0 }
    if isFaultless, places.count >= 2, total >= Self.enoughRows, places.allSatisfy({ tally.isConstant[$0] }) {
      for place in places {
        say(
          .equalRows, judgement.routers[place].id, total, of: total,
          "every row of every router is the same: a buffer that was read again and again")
        judgement.routers[place].isUnknown = true
      }
      return
    }
    for place in places where request.scores == nil && tally.areProbabilities(place) {
      say(
        .probabilities, judgement.routers[place].id, total, of: total,
        "every row is 0 or more and sums to 1: these are probabilities, not logits; their logarithms were taken")
      judgement.areProbabilities = true
    }
    if request.scores == .probabilities { judgement.areProbabilities = true }
  }

  private func words(_ fault: RowFault, _ router: JudgedRouter) -> String {
    switch fault {
    case .unknown: "the record says that it does not know the route: it has no id, or -1 in place of each"
    case .zero: "every id of the row is 0, and a token takes \(router.slots) different experts: the row was never written"
    case .outOfRange: "an id is not one of the \(router.experts) experts"
    case .duplicate: "an expert is taken twice"
    }
  }

  private mutating func sayWhatIsMissing() {
    let shape = record.shape
    if !shape.columns.contains(where: \.hasWeights) { note(.noWeights, "the record has no routing weights") }
    if !shape.columns.contains(where: \.hasLogits) {
      note(.notRecomputable, "the record has no logits, so that no decision can be repeated")
    }
    if request.tokens == nil && !shape.sequences.contains(where: { $0.tokens != nil }) && !hasTokensInRows {
      note(.noIDs, "token ids are not known")
    }
  }

  private var hasTokensInRows: Bool {
    guard let first = judgement.sequences.first(where: { $0.rows > 0 }) else { return false }
    return (try? record.rows(0..<1, of: first.index).tokens) != nil
  }
}
