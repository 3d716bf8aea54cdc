// What several runs of a series are as one run: what they must have in common, and what is said of the whole. Ranks of one job, or pieces of one
// corpus, have the same model, rules and level; where they do not, joining them would make numbers of nothing.

import Foundation
import Routing

/// A run that becomes a part of another one.
struct UnionPart {
  let part: MergePart
  let run: RunSummary
  /// The process that decided its first token; nil: not known.
  let rank: Int64?
  /// How many sequences it has, described or not.
  let sequences: Int

  var label: String { part.label }
}

/// Runs of a series, in the order in which they stand in the whole.
struct RunUnion {
  let series: String
  let parts: [UnionPart]
  /// `[parts]`: the row of the whole at which a part begins, and the number of its first sequence.
  let firstRows: [Int]
  let firstSequences: [Int]

  /// - Parameter parts: in any order; they are put by rank, then by number of the run, then as they come.
  /// - Throws: `MergeError.different`.
  init(series: String, parts: [UnionPart]) throws {
    let order = parts.enumerated().sorted { a, b in
      let (x, y) = (a.element, b.element)
      return (x.rank ?? .max, x.part.run, a.offset) < (y.rank ?? .max, y.part.run, b.offset)
    }
    self.series = series
    self.parts = order.map(\.element)
    firstRows = Self.starts(self.parts.map(\.run.tokenCount))
    firstSequences = Self.starts(self.parts.map(\.sequences))
    for part in self.parts.dropFirst() { try require(part) }
  }

  private static func starts(_ counts: [Int]) -> [Int] {
    var sum = 0
    return counts.map { count in
      defer { sum += count }
      return sum
    }
  }

  // MARK: What must be the same

  private func require(_ other: UnionPart) throws {
    guard let first = parts.first else { return }
    let (a, b) = (first.run.description, other.run.description)
    func same(_ what: String, _ expected: String, _ found: String) throws {
      if expected == found { return }
      throw MergeError.different(what: what, first: first.label, expected: expected, other: other.label, found: found)
    }
    if !a.model.filesHash.isEmpty, !b.model.filesHash.isEmpty {
      try same("model", "\(a.model.name) (\(a.model.filesHash.prefix(12)))", "\(b.model.name) (\(b.model.filesHash.prefix(12)))")
      try same("model", a.model.filesHash, b.model.filesHash)
    } else {
      try same("model", "\(a.model.name) of \(a.model.layerCount) layers", "\(b.model.name) of \(b.model.layerCount) layers")
    }
    if !a.model.tokenizerHash.isEmpty, !b.model.tokenizerHash.isEmpty {
      try same("tokenizer", a.model.tokenizerHash, b.model.tokenizerHash)
    }
    try same("routers", Self.words(a.routers), Self.words(b.routers))
    for (mine, theirs) in zip(a.routers.sorted(by: { $0.id < $1.id }), b.routers.sorted(by: { $0.id < $1.id })) {
      try same("rule of router \(mine.id)", mine.spec.summary, theirs.spec.summary)
      try same("slots of router \(mine.id)", "\(mine.slots)", "\(theirs.slots)")
      try same("facts of router \(mine.id)", try TraceCoding.json(Self.plain(mine.more)), try TraceCoding.json(Self.plain(theirs.more)))
      if mine.spec != theirs.spec {
        try same("rule of router \(mine.id)", try TraceCoding.json(mine.spec), try TraceCoding.json(theirs.spec))
      }
    }
    try same("rules", a.intervention ?? "none", b.intervention ?? "none")
    try same("batches", a.batch.map { "\($0) texts" } ?? "one text", b.batch.map { "\($0) texts" } ?? "one text")
    try same("recording", Self.words(a.recording), Self.words(b.recording))
    try same("rows", a.origin.row.words, b.origin.row.words)
    try same("steps and patches", Self.words(a.denoising), Self.words(b.denoising))
    if a.denoising != b.denoising { try same("steps", try TraceCoding.json(a.denoising), try TraceCoding.json(b.denoising)) }
  }

  private static func words(_ routers: [RouterDescription]) -> String {
    let sorted = routers.sorted { $0.id < $1.id }
    return sorted.map { "\($0.id) of \($0.spec.expertCount) experts" }.joined(separator: ", ")
  }

  private static func words(_ level: RecordingLevel) -> String { "\(level) in \(level.precision.rawValue)" }

  private static func words(_ layout: DenoisingLayout?) -> String {
    layout.map { "\($0.stepCount) steps of \($0.sampler), \($0.branchCount) x \($0.patchRows) x \($0.patchColumns) patches" } ?? "none"
  }

  /// What is said of a router but for its single experts and for rules that came later, which parts may each say for themselves.
  private static func plain(_ facts: RouterFacts?) -> RouterFacts {
    var facts = facts ?? RouterFacts()
    (facts.experts, facts.states) = (nil, nil)
    return facts
  }

  // MARK: The whole

  /// - Parameter inputHash: of all texts; empty when it is not known.
  func description(inputHash: String) -> RunDescription? {
    guard var whole = parts.first?.run.description else { return nil }
    let all = parts.map(\.run.description)
    func distinct(_ words: [String?]) -> [String] {
      words.compactMap(\.self).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
    whole.name = RunName.isPossible(series) ? series : ""
    whole.routers = whole.routers.map(joined)
    whole.input = InputIdentity(
      source: distinct(all.map(\.input.source)).joined(separator: " "), hash: inputHash,
      bos: all.allSatisfy { $0.input.bos == whole.input.bos } ? whole.input.bos : nil)
    let sampling = distinct(all.map(\.sampling))
    whole.sampling = sampling.isEmpty ? nil : sampling.joined(separator: "; ")
    whole.startedAt = all.map(\.startedAt).min() ?? whole.startedAt
    whole.tags = distinct(all.flatMap(\.tags))
    if !all.allSatisfy({ $0.beginningToken == whole.beginningToken }) { whole.beginningToken = nil }
    whole.parent = nil
    whole.series = series
    let formats = distinct(all.map { $0.origin.format ?? "" })
    whole.recorded = RunOrigin(
      kind: .merged, row: whole.origin.row, format: formats.count == 1 && formats[0] != "" ? formats[0] : nil,
      source: parts.map(\.label).joined(separator: " "), withoutIDs: all.contains { $0.origin.withoutIDs == true } ? true : nil)
    // The whole is checked anew: a tie that rounded logits explain in a part is one there too.
    whole.recorded?.logitError = all.compactMap(\.origin.logitError).max()
    if whole.model.filesHash.isEmpty { whole.model.filesHash = all.map(\.model.filesHash).first { !$0.isEmpty } ?? "" }
    return whole
  }

  /// A router of the whole: experts that any part knows of, and the rules that parts followed from some row on.
  private func joined(_ router: RouterDescription) -> RouterDescription {
    let facts = parts.map { part in part.run.description.routers.first { $0.id == router.id }?.more }
    var experts: [Int: ExpertFacts] = [:]
    for expert in facts.compactMap({ $0?.experts }).joined() where experts[expert.expert] == nil { experts[expert.expert] = expert }
    var states: [RouterState] = []
    if facts.contains(where: { $0?.states?.isEmpty == false }) {
      for (place, own) in facts.enumerated() {
        // Every part begins with the rule of the router.
        if place > 0 { states.append(RouterState(firstToken: firstRows[place], spec: router.spec)) }
        states += (own?.states ?? []).map { RouterState(firstToken: firstRows[place] + $0.firstToken, spec: $0.spec) }
      }
    }
    if experts.isEmpty && states.isEmpty { return router }
    var router = router
    var more = router.more ?? RouterFacts()
    more.experts = experts.isEmpty ? nil : experts.values.sorted { $0.expert < $1.expert }
    more.states = states.isEmpty ? nil : states
    router.more = more
    return router
  }

  /// How the whole ended: well only where every part did.
  var outcome: RunOutcome {
    for part in parts { if case .failed(let reason) = part.run.state { return .failed(reason: "\(part.label): \(reason)") } }
    return parts.allSatisfy { $0.run.state == .completed } ? .completed : .stopped
  }

  /// What an import found in any part, its rows numbered as those of the whole.
  func findings(_ found: [[ImportFinding]]) -> [ImportFinding] {
    zip(found, firstRows).flatMap { findings, base in
      findings.map { finding in
        var finding = finding
        finding.first = finding.first.map { $0 + base }
        return finding
      }
    }
  }
}

/// Capture checks of the parts, for the whole.
struct InheritedChecks: Sendable {
  /// By part: what it is called, and what was said of it.
  var parts: [(label: String, checks: [CaptureCheck])]
  /// Whether rules changed what routers did: then the whole is not judged anew, as only each part's own capture knew them.
  var isIntervened: Bool

  /// A check that failed in a part has failed; one that cannot be made of the whole holds where it held in every part.
  func applied(to own: [CaptureCheck]) -> [CaptureCheck] {
    own.map { check in
      let theirs = parts.compactMap { part in part.checks.first { $0.name == check.name }.map { (part.label, $0) } }
      let failed = theirs.filter { $0.1.outcome == .failed }.map { "\($0.0): \($0.1.detail)" }
      if !failed.isEmpty {
        let words = failed + (check.outcome == .failed && !isIntervened ? [check.detail] : [])
        return CaptureCheck(name: check.name, outcome: .failed, detail: words.joined(separator: "; "))
      }
      guard isIntervened || check.outcome == .notApplicable else { return check }
      if let doubtful = theirs.first(where: { $0.1.outcome == .suspicious }) {
        return CaptureCheck(name: check.name, outcome: .suspicious, detail: "\(doubtful.0): \(doubtful.1.detail)")
      }
      guard theirs.count == parts.count, theirs.allSatisfy({ $0.1.outcome == .held }) else {
        guard isIntervened else { return check }
        let why =
          theirs.first { $0.1.outcome == .notApplicable }?.1.detail ?? "rules changed its routing, and only its own capture knew them"
        return CaptureCheck(name: check.name, outcome: .notApplicable, detail: why)
      }
      return CaptureCheck(name: check.name, outcome: .held, detail: "it held in each of the \(parts.count) runs that were joined")
    }
  }
}
