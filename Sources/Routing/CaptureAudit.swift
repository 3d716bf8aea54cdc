// Is this trace a faithful record of a router, or one of the known ways to get it wrong? The audit folds over the passes of a run
// while they are written and says so with the trace; each check was prompted by a fault seen in published captures.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The verdict of one capture check over a whole run.
public struct CaptureCheck: Sendable, Codable, Equatable {
  public enum Outcome: String, Sendable, Codable {
    case held, failed, notApplicable
    /// Seen, and possible in a sound run: it is for a person to judge.
    case suspicious

    /// For people.
    public var words: String { self == .notApplicable ? "not applicable" : rawValue }
  }

  public var name: String
  public var outcome: Outcome
  /// What was compared, or why the check does not apply.
  public var detail: String

  public init(name: String, outcome: Outcome, detail: String) {
    self.name = name
    self.outcome = outcome
    self.detail = detail
  }
}

/// Folds passes into capture checks. Memory: O(experts) per router; of one that looks experts up also O(different tokens).
public struct CaptureAudit: Sendable {
  private var routers: [RouterID: RouterAudit] = [:]
  /// Tokens of the encoder, and all others.
  private var encoder = StackInput()
  private var other = StackInput()
  private var outputs = OutputTally()
  private let origin: RunOrigin

  /// - Parameters:
  ///   - intervention: the rules that changed the decisions.
  ///   - origin: where the decisions come from and what a row is; checks are those that such a run can be held to.
  /// - Throws: `RoutingError.invalidSpec` when a description cannot be a router.
  public init(
    routers descriptions: [RouterDescription], intervention: Intervention? = nil, origin: RunOrigin = RunOrigin()
  ) throws {
    self.origin = origin
    for description in descriptions {
      try description.spec.validate()
      routers[description.id] = RouterAudit(
        description.spec, router: description.spec.rule == .executable ? try Router(description.spec) : nil,
        rules: intervention?[description.id], slots: description.slots)
    }
  }

  public mutating func add(_ pass: RoutingPass) {
    for (phase, id) in zip(pass.tokens.phase, pass.tokens.tokenID) {
      if phase == .encode { encoder.add(id) } else { other.add(id) }
    }
    outputs += pass.tokens.outputs
    for batch in pass.batches { routers[batch.router]?.add(batch, of: pass.tokens, origin) }
  }

  public func result() -> [CaptureCheck] { CheckKind.allCases.map(judge) + [outputCheck] }

  private func judge(_ kind: CheckKind) -> CaptureCheck {
    var held = 0
    var reason = "no token was recorded"
    var failures: [String] = []
    var suspicions: [String] = []
    for id in routers.keys.sorted() {
      guard let audit = routers[id] else { continue }
      switch audit.verdict(kind, input: id.stack == .encoder ? encoder : other, origin) {
      case .held: held += 1
      case .failed(let what): failures.append("router \(id): \(what)")
      case .suspicious(let what): suspicions.append("router \(id): \(what)")
      case .notApplicable(let why): reason = why
      }
    }
    func check(_ outcome: CaptureCheck.Outcome, _ detail: String) -> CaptureCheck {
      CaptureCheck(name: kind.rawValue, outcome: outcome, detail: detail)
    }
    if !failures.isEmpty { return check(.failed, failures.joined(separator: "; ")) }
    if !suspicions.isEmpty { return check(.suspicious, suspicions.joined(separator: "; ")) }
    if held == 0 { return check(.notApplicable, reason) }
    let looks = kind == .selectionRecomputed && routers.values.contains { $0.spec.isHashed }
    let also = looks ? ", or one choice for each token id where they are looked up" : ""
    return check(.held, "\(kind.meaning)\(also), \(held) of \(routers.count) routers")
  }

  /// What the model answered, not how it routed: numbers that are none make every loss, and every token drawn, meaningless.
  private var outputCheck: CaptureCheck {
    let name = "finite_outputs"
    guard outputs.rows > 0 else {
      return CaptureCheck(name: name, outcome: .notApplicable, detail: "the model's output was not computed")
    }
    guard outputs.notFiniteRows + outputs.notFiniteScores > 0 else {
      return CaptureCheck(name: name, outcome: .held, detail: "every output and every surprisal is finite, \(outputs.rows) tokens")
    }
    var parts = ["\(outputs.notFiniteRows) of \(outputs.rows) tokens have an output that is not finite"]
    if outputs.scores > 0 { parts.append("\(outputs.notFiniteScores) of \(outputs.scores) surprisals are not finite") }
    return CaptureCheck(name: name, outcome: .failed, detail: parts.joined(separator: ", "))
  }
}

/// What a stack was fed, as far as checks need to know.
private struct StackInput: Sendable {
  private(set) var tokens = 0
  private var kinds: Set<Int32> = []
  private var hasPatches = false

  /// So many different tokens are enough to expect different decisions.
  static let enough = 33

  mutating func add(_ id: Int32) {
    tokens += 1
    // Patches of images have no id, and noise makes each another one.
    if id < 0 { hasPatches = true } else if kinds.count < Self.enough { kinds.insert(id) }
  }

  /// Whether statistics over tokens mean anything: equal tokens may well be routed alike, or in a period.
  var differs: Bool { hasPatches || kinds.count >= Self.enough }
}

private enum CheckKind: String, CaseIterable {
  case assignmentSum = "assignment_sum"
  case scoreSum = "score_sum"
  case selectionRecomputed = "selection_recomputed"
  case equalTokens = "equal_tokens"
  case distinctRows = "distinct_rows"
  case loadVariance = "load_variance"
  case noPartition = "no_partition"
  case finite = "finite_logits"

  var meaning: String {
    switch self {
    case .assignmentSum: "assignments = tokens x topK - drops"
    case .scoreSum: "router probabilities of a token sum to 1"
    case .selectionRecomputed: "experts = top-k recomputed from the stored logits"
    case .equalTokens: "every router saw every token of its stack"
    case .distinctRows: "not all tokens take the same experts"
    case .loadVariance: "expert counts scatter at least as chance makes them"
    case .noPartition: "consecutive tokens do not deal out the experts like cards"
    case .finite: "every router logit is finite"
    }
  }

  /// Whether it reasons from how decisions of different tokens differ.
  var comparesTokens: Bool { [.distinctRows, .loadVariance, .noPartition].contains(self) }
}

private enum Verdict {
  case held
  case failed(String)
  case suspicious(String)
  case notApplicable(String)
}

private struct RouterAudit {
  let spec: RouterSpec
  /// Repeats decisions; nil where the rule cannot be repeated.
  let router: Router?
  /// What changed its decisions; nil: nothing did.
  let rules: BoundRules?
  let slots: Int
  private var tokens = 0
  private var assignments = 0
  private var drops = 0
  private var padding = 0
  private var counts: [Int]
  private var importance = 0.0
  private var importanceTokens = 0
  private var nonFinite = 0
  private var recomputed = 0
  private var recomputedDiffers = 0
  /// Of a router that looks experts up: what each token id was given first.
  private var looked: [Int32: ArraySlice<Int32>] = [:]
  private var firstRow: [Int32] = []
  private var sawOtherRow = false
  /// Tokens that deal out all experts once where none is taken twice; 1: no whole number of them does.
  private let windowLength: Int
  /// `[expertCount]`: taken in this window, up to the first that is taken twice.
  private var window: [Bool]
  private var windowTokens = 0
  private var windowRepeats = false
  private var windows = 0
  private var partitions = 0

  init(_ spec: RouterSpec, router: Router?, rules: BoundRules?, slots: Int) {
    self.spec = spec
    self.router = router
    self.rules = rules
    self.slots = slots
    counts = Array(repeating: 0, count: spec.expertCount)
    window = Array(repeating: false, count: spec.expertCount)
    windowLength = spec.expertCount % spec.topK == 0 ? spec.expertCount / spec.topK : 1
  }

  mutating func add(_ batch: RoutingBatch, of table: TokenTable, _ origin: RunOrigin) {
    tokens += batch.count
    if !batch.importanceSum.isEmpty {
      importance += batch.importanceSum.reduce(0, +)
      importanceTokens += batch.count
    }
    count(batch.selectedExperts, batch.dropped)
    compareRows(batch)
    if !batch.importanceSum.isEmpty { nonFinite += notFinite(batch) }
    addToWindows(batch)
    recompute(batch, of: table, origin.logitError)
  }

  private mutating func count(_ ids: [Int32], _ dropped: [Bool]?) {
    var taken = 0
    counts.withUnsafeMutableBufferPointer { counts in
      for id in ids where id >= 0 {
        precondition(Int(id) < counts.count, "an expert of another router")
        counts[Int(id)] += 1
        taken += 1
      }
    }
    assignments += taken
    padding += ids.count - taken
    if let dropped { drops += ids.indices.count { ids[$0] >= 0 && dropped[$0] } }
  }

  private mutating func compareRows(_ batch: RoutingBatch) {
    guard batch.count > 0, !sawOtherRow else { return }
    func row(_ token: Int) -> ArraySlice<Int32> { batch.selectedExperts[token * batch.topK..<(token + 1) * batch.topK] }
    if firstRow.isEmpty { firstRow = Array(row(0)) }
    sawOtherRow = (0..<batch.count).contains { !row($0).elementsEqual(firstRow) }
  }

  /// Tokens of which logits were not finite.
  private func notFinite(_ batch: RoutingBatch) -> Int {
    if batch.routerEntropy.allSatisfy(\.isFinite) { return 0 }
    return (0..<batch.count).count { !(batch.isMeasured($0) && (spec.isHashed || !batch.routerEntropy[$0].isNaN)) }
  }

  private mutating func addToWindows(_ batch: RoutingBatch) {
    guard windowLength > 1 else { return }
    var token = 0
    while token < batch.count {
      // What is taken twice stays so: the rest of the window need not be looked at.
      let tokens = windowRepeats ? min(windowLength - windowTokens, batch.count - token) : 1
      if !windowRepeats { take(batch.selectedExperts[token * batch.topK..<(token + 1) * batch.topK]) }
      token += tokens
      windowTokens += tokens
      guard windowTokens == windowLength else { continue }
      windows += 1
      if !windowRepeats { partitions += 1 }
      windowTokens = 0
      windowRepeats = false
      for expert in window.indices { window[expert] = false }
    }
  }

  private mutating func take(_ row: ArraySlice<Int32>) {
    for expert in row where expert >= 0 {
      if window[Int(expert)] { windowRepeats = true }
      window[Int(expert)] = true
    }
  }

  /// - Parameter table: tokens of the pass the batch is of.
  private mutating func recompute(_ batch: RoutingBatch, of table: TokenTable, _ error: Float?) {
    if spec.isHashed { return lookUp(batch, of: table) }
    guard let router, let logits = batch.logits, !logits.rows.isEmpty, rules?.isRecomputable != false else { return }
    var ruled: RuledRows?
    if let rules {
      var kept = TokenTable()
      for row in logits.rows.map({ Int($0) + batch.firstToken - table.firstToken }) {
        kept.append(
          sequence: Int(table.sequence[row]), position: Int(table.position[row]), tokenID: table.tokenID[row], phase: table.phase[row])
      }
      ruled = RuledRows(rules, DecisionRows(kept))
    }
    var again = RoutingBatch(
      router: batch.router, expertCount: batch.expertCount, topK: batch.topK, firstToken: 0, count: logits.rows.count)
    logits.values.withUnsafeBufferPointer {
      guard let base = $0.baseAddress else { return }
      router.decide(base, ruled: ruled, demand: RoutingDemand(statistics: false), into: &again)
    }
    for (index, row) in logits.rows.enumerated() {
      let stored = batch.selectedExperts[Int(row) * batch.topK..<(Int(row) + 1) * batch.topK]
      recomputed += 1
      if stored.elementsEqual(again.selectedExperts[index * batch.topK..<(index + 1) * batch.topK]) { continue }
      if let error, Self.mayFall(stored, logits.values[index * batch.expertCount..<(index + 1) * batch.expertCount], router, error) {
        continue
      }
      recomputedDiffers += 1
    }
  }

  /// Whether logits that are known up to a relative error allow a choice.
  private static func mayFall(_ chosen: ArraySlice<Int32>, _ logits: ArraySlice<Float>, _ router: Router, _ error: Float) -> Bool {
    // A softmax or sigmoid moves by a quarter of what its logit does at most, and two of them meet.
    let slope: Float = router.spec.scoring == .softmax || router.spec.scoring == .sigmoid ? 0.5 : 2
    let tolerance = slope * error * (logits.map(abs).max() ?? 0)
    return logits.withUnsafeBufferPointer { router.nearTie($0, within: tolerance)?.allows(chosen.filter { $0 >= 0 }) ?? false }
  }

  /// A table names the same experts for a token id wherever it stands; their order is that of their scores.
  private mutating func lookUp(_ batch: RoutingBatch, of table: TokenTable) {
    guard rules?.choosesExperts != true else { return }
    for row in 0..<batch.count {
      let mine = batch.selectedExperts[row * batch.topK..<(row + 1) * batch.topK]
      let token = table.tokenID[row + batch.firstToken - table.firstToken]
      if token < 0 { continue }
      recomputed += 1
      if let first = looked[token] {
        if Set(first) != Set(mine) { recomputedDiffers += 1 }
      } else {
        looked[token] = ArraySlice(Array(mine))
      }
    }
  }

  func verdict(_ kind: CheckKind, input: StackInput, _ origin: RunOrigin) -> Verdict {
    let topK = rules == nil ? spec.topK : min(spec.topK, slots)
    if tokens == 0 && kind != .equalTokens { return .notApplicable("no token was recorded") }
    if kind.comparesTokens && !origin.row.isManyOfOneInput { return .notApplicable("rows are \(origin.row.words), each one of its own") }
    if kind.comparesTokens && spec.fillsSlots != true && kind != .distinctRows {
      return .notApplicable("it is not known how experts are taken, or rows take different numbers of them")
    }
    if kind.comparesTokens && !input.differs { return .notApplicable("fewer than \(StackInput.enough) different tokens") }
    if kind.comparesTokens && rules?.choosesExperts == true { return .notApplicable("an intervention chose experts") }
    switch kind {
    case .assignmentSum:
      if rules?.keepsCount == false { return .notApplicable("an intervention changed how many experts a token takes") }
      guard let fills = spec.fillsSlots ?? (padding == 0 ? true : nil) else {
        return .notApplicable("it is not known how many experts a row takes")
      }
      if !fills { return .notApplicable("rows take different numbers of experts") }
      let expected = tokens * topK - padding
      return assignments == expected && padding == 0
        ? .held : .failed("\(assignments) assignments (\(drops) dropped), expected \(tokens) x \(topK)")
    case .scoreSum:
      if let share = spec.share { return .notApplicable("\(share.rawValue) scores need not sum to 1") }
      if importanceTokens == 0 { return .notApplicable("router probabilities were not recorded") }
      if router == nil { return .notApplicable("its rule is not repeated, and its scores need not sum to 1") }
      if importanceTokens == nonFinite { return .notApplicable("no token has finite logits") }
      let mean = importance / Double(importanceTokens - nonFinite)
      return abs(mean - 1) < 1e-4 ? .held : .failed("router probabilities sum to \(mean)")
    case .selectionRecomputed:
      if spec.isHashed {
        if rules?.choosesExperts == true { return .notApplicable("an intervention chose experts") }
        if recomputed == 0 { return .notApplicable("token ids are not known") }
        return recomputedDiffers == 0
          ? .held : .failed("\(recomputedDiffers) of \(recomputed) tokens have other experts than the same token before")
      }
      if rules?.isRecomputable == false { return .notApplicable("an intervention chose experts by more than their logits") }
      if router == nil { return .notApplicable("its rule is \(spec.rule == .unknown ? "not known" : "declared, not repeated")") }
      if recomputed == 0 { return .notApplicable("raw logits were not recorded") }
      return recomputedDiffers == 0 ? .held : .failed("\(recomputedDiffers) of \(recomputed) decisions differ from their logits")
    case .equalTokens:
      if input.tokens == 0, origin.kind != .engine { return .notApplicable("no token was recorded") }
      if tokens < input.tokens, origin.kind.mayLackRoutes {
        return .notApplicable("the route of \(input.tokens - tokens) of \(input.tokens) rows is not known")
      }
      return tokens == input.tokens ? .held : .failed("\(tokens) tokens, its stack has \(input.tokens)")
    case .distinctRows:
      if topK >= spec.expertCount && spec.fillsSlots != false { return .notApplicable("every expert is always selected") }
      if tokens <= 32 { return .notApplicable("32 tokens or fewer") }
      return sawOtherRow
        ? .held : .suspicious("all \(tokens) tokens have the same experts: a router that is constant, or a capture that repeats one row")
    case .loadVariance: return loadVariance()
    case .noPartition:
      if windowLength < 2 { return .notApplicable("topK does not divide the expert count") }
      if windows < 32 { return .notApplicable("fewer than 32 windows of \(windowLength) tokens") }
      return Double(partitions) < 0.99 * Double(windows)
        ? .held : .failed("\(partitions) of \(windows) windows of \(windowLength) tokens use each expert once: a strided copy?")
    case .finite:
      if importanceTokens == 0 { return .notApplicable("router statistics were not recorded") }
      return nonFinite == 0 ? .held : .failed("\(nonFinite) of \(tokens) tokens have a logit that is not finite")
    }
  }

  /// Counts that scatter far less than independent choices would are not choices. Lower tail of the chi-square distribution by the
  /// Wilson-Hilferty cube root, which errs towards silence for few degrees of freedom.
  private func loadVariance() -> Verdict {
    if spec.topK >= spec.expertCount { return .notApplicable("every expert is always selected") }
    if tokens < 64 { return .notApplicable("fewer than 64 tokens") }
    let expected = Double(assignments) / Double(spec.expertCount)
    let chiSquare = counts.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
    let freedom = Double(spec.expertCount - spec.topK)
    let spread = (2 / (9 * freedom)).squareRoot()
    let z = (cbrt(chiSquare / freedom) - (1 - 2 / (9 * freedom))) / spread
    return z > -4.5 ? .held : .failed("counts are more even than chance allows (z = \(z))")
  }
}
