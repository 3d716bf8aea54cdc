// Two runs read side by side, for whoever wants them compared: the command and the screen.

import Analysis
import Routing
import Store

struct RunsSideBySide {
  /// How they are compared.
  struct Settings {
    var matching = ComparisonPlan.Matching.index
    var margin = 1e-3
    var pairing: RouterPairing?
    var filter: ResolvedFilter?
    /// Whether it is counted which expert came in the place of which.
    var countsReplaced = false
  }

  let a: RunBeside
  let b: RunBeside
  private let settings: Settings

  init(_ a: RunBeside, _ b: RunBeside, _ settings: Settings = Settings()) { (self.a, self.b, self.settings) = (a, b, settings) }

  /// One pass through both runs, two where experts are matched first.
  ///
  /// - Parameter onRows: told how many rows were set beside each other, of how many; false stops.
  /// - Throws: `Failure` where the runs have nothing in common, `AnalysisError`, `StoreError`, `CancellationError` when stopped.
  func compared(onRows: (Int, Int) -> Bool = { _, _ in true }) throws -> ComparedPair {
    try a.check(beside: b)
    let alignment = TextAlignment(
      a.texts, b.texts, different: try a.idsOfOtherText(than: b), byPlace: try a.pairsByPlace(with: b))
    guard alignment.tokens > 0 else {
      throw Failure(.damaged, "\(b.facts.label) has no token in common with \(a.facts.label): \(a.whyNothing(in: b))")
    }
    var plan = ComparisonPlan(
      routers: try RouterPairing.pairs(a.summary.description.routers, b.summary.description.routers, by: settings.pairing),
      matching: settings.matching, margin: settings.margin, filter: settings.filter)
    plan.countsReplaced = settings.countsReplaced
    try plan.validate(texts: alignment.pairs.count)
    let hasLogits = [a, b].allSatisfy { $0.summary.description.recording.content == .full }
    let rounds = alignment.tokens * (settings.matching == .behaviour ? 3 : 2)
    var done = 0
    var comparison = RunComparison(plan)
    repeat {
      let withLogits = hasLogits && !comparison.isMatching
      func walk(_ stretches: [AlignedStretch], _ body: (PairedRows) -> Void) throws {
        try Self.walk(stretches, a.window(Set(plan.routers.map(\.a.id)), withLogits), b.window(Set(plan.routers.map(\.b.id)), withLogits)) {
          body($0)
          done += $0.place.count
          if !onRows(min(done, rounds), rounds) { throw CancellationError() }
        }
      }
      try walk(alignment.stretches) { comparison.add($0) }
      if !comparison.isMatching { try walk(alignment.turned) { comparison.addTurned($0) } }
    } while comparison.beginNextRound()
    let result = comparison.result()
    try result.requireSomethingPasses()
    guard result.hasDecisions else {
      throw Failure(
        .damaged, "\(a.facts.label) and \(b.facts.label) have no decision in common: at no row did both take an expert")
    }
    return ComparedPair(a: a.facts, b: b.facts, alignment: alignment, result: result)
  }

  /// Hands out the rows of `stretches`, cut where a pass of either run ends.
  private static func walk(
    _ stretches: [AlignedStretch], _ a: PassWindow, _ b: PassWindow, _ body: (PairedRows) throws -> Void
  ) throws {
    for stretch in stretches {
      var done = 0
      while done < stretch.count {
        let (rowA, rowB) = (stretch.rowA + done, stretch.rowB + done)
        let (passA, passB) = (try a.pass(at: rowA), try b.pass(at: rowB))
        let count = min(
          stretch.count - done, passA.tokens.firstToken + passA.tokens.count - rowA, passB.tokens.firstToken + passB.tokens.count - rowB)
        try body(PairedRows(a: passA, b: passB, place: AlignedStretch(text: stretch.text, rowA: rowA, rowB: rowB, count: count)))
        done += count
      }
    }
  }
}
