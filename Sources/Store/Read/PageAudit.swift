// Can these pages be what a router decided? A fold over the pages of one router: every column against the range its meaning allows, and
// all of them together against the totals that the views show without reading a page.

import Foundation
import GRDB
import Routing

struct PageAudit {
  private let router: StoredRouter
  private let allowsNegativeWeights: Bool
  private let extras: RecordingExtras
  private var totals: RouterTotals
  /// The first place where each kind of thing is wrong.
  private(set) var problems: [String] = []
  private var seen: Set<String> = []

  /// - Parameters:
  ///   - isIntervened: rules may have given weights any factor.
  ///   - extras: what the run records beside its level.
  init(_ router: StoredRouter, spec: RouterSpec, isIntervened: Bool, extras: RecordingExtras = []) {
    self.router = router
    self.extras = extras
    // Raw logits as weights may be negative; what a softmax, a sigmoid or 1 gives may not.
    allowsNegativeWeights = isIntervened || spec.weightKind == .signed
    totals = RouterTotals(expertCount: router.layout.expertCount)
  }

  mutating func add(_ batch: RoutingBatch) {
    for row in 0..<batch.count { checkExperts(batch, row: row) }
    let expertCount = Double(router.layout.expertCount)
    let ranges: [(String, [Float], ClosedRange<Double>)] = [
      ("entropy", batch.routerEntropy, 0...log(expertCount)), ("selection margin", batch.selectionMargin, 0 ... .infinity),
      ("top-1 margin", batch.top1Margin, 0...1), ("top-k mass", batch.topKMass, 0...1),
    ]
    for (name, values, range) in ranges {
      // Sums of f32 numbers end a little beyond where they should.
      let allowed = range.lowerBound - Self.slack...range.upperBound + Self.slack
      guard let row = values.firstIndex(where: { !$0.isNaN && !allowed.contains(Double($0)) }) else { continue }
      note(name, "token \(batch.firstToken + row): \(name) \(values[row]), expected \(range.lowerBound) to \(range.upperBound)")
    }
    checkExtras(batch)
    if let expert = batch.importanceSum.firstIndex(where: { !($0 >= -Self.slack && $0 <= Double(batch.count) * (1 + Self.slack)) }) {
      note(
        "importance",
        "page at token \(batch.firstToken): importance \(batch.importanceSum[expert]) of expert \(expert), expected 0 to \(batch.count)")
    }
    if batch.squaredLogSumExpSum < 0 {
      note("squares", "page at token \(batch.firstToken): sum of squares \(batch.squaredLogSumExpSum), expected 0 or more")
    }
    totals.add(batch)
  }

  /// Norms where something computed, of what can be a norm; what is said of the shared expert where it is asked for.
  private mutating func checkExtras(_ batch: RoutingBatch) {
    if batch.expertNorms != nil && !extras.contains(.norms) || (batch.sharedWeight ?? batch.sharedNorm) != nil && !extras.contains(.shared)
    {
      note("extras", "page at token \(batch.firstToken): it has norms or a shared expert, which its run does not record")
    }
    // A model that loses its numbers has norms that are none.
    let computed = batch.expertNorms == nil ? [] : batch.carriedOut
    for (slot, norm) in (batch.expertNorms ?? []).enumerated() where computed[slot] < 0 ? !norm.isNaN : norm < 0 {
      note(
        "norms",
        "token \(batch.firstToken + slot / batch.topK): norm \(norm), expected 0 or more of an expert that computed, none of another")
    }
    for (name, column) in [("shared weight", batch.sharedWeight), ("shared norm", batch.sharedNorm)] {
      guard let column, let row = column.firstIndex(where: { $0 < 0 }) else { continue }
      note(name, "token \(batch.firstToken + row): \(name) \(column[row]), expected 0 or more")
    }
  }

  private static let slack = 1e-3

  private mutating func note(_ kind: String, _ problem: String) {
    if seen.insert(kind).inserted { problems.append("router \(router.id): \(problem)") }
  }

  private mutating func checkExperts(_ batch: RoutingBatch, row: Int) {
    let slots = row * batch.topK..<(row + 1) * batch.topK
    let token = batch.firstToken + row
    for slot in slots where batch.selectedExperts[slot] >= 0 {
      let expert = batch.selectedExperts[slot]
      if batch.selectedExperts[slots.lowerBound..<slot].contains(expert) { note("twice", "token \(token): expert \(expert) taken twice") }
      if router.layout.weightBytes == 0 { continue }
      let weight = batch.routingWeights[slot]
      // A model that loses its numbers has weights that are none; then it has no probabilities either, and a capture check has said so.
      if !weight.isFinite && !(weight.isNaN && !batch.isMeasured(row)) {
        note("finite", "token \(token): weight \(weight) of expert \(expert), expected a finite number")
      }
      if weight < 0 && !allowsNegativeWeights {
        note("negative", "token \(token): weight \(weight) of expert \(expert), expected none below 0")
      }
    }
  }

  /// Compares what was added up with what the trace says of the router.
  mutating func compareTotals(_ db: Database) throws {
    guard let row = try Row.fetchOne(db, sql: "SELECT * FROM router WHERE id = ?", arguments: [router.row]) else { return }
    for (name, found) in [
      ("token_count", totals.tokens), ("assignments", totals.assignments), ("dropped", totals.dropped),
      ("importance_tokens", totals.importanceTokens), ("entropy_tokens", totals.entropy.count),
      ("selection_margin_tokens", totals.selectionMargin.count), ("top1_margin_tokens", totals.top1Margin.count),
      ("top_k_mass_tokens", totals.topKMass.count),
    ] {
      let stored: Int64 = try row.value(name)
      if stored != Int64(found) { note(name, "\(name) \(stored), its pages have \(found)") }
    }
    for (name, found) in [
      ("entropy_sum", totals.entropy.total), ("selection_margin_sum", totals.selectionMargin.total),
      ("top1_margin_sum", totals.top1Margin.total), ("top_k_mass_sum", totals.topKMass.total),
    ] { compare(name, try row.value(name), found, tolerance: Self.sumTolerance) }
    compare("log_expert_count", try row.value("log_expert_count"), log(Double(router.layout.expertCount)), tolerance: 1e-12)
    try compareExperts(db)
  }

  /// The same f32 numbers, added in another order.
  private static let sumTolerance = 1e-6

  private mutating func compare(_ name: String, _ stored: Double?, _ found: Double, tolerance: Double) {
    // SQLite keeps NaN as NULL.
    if found.isNaN || found == stored ?? 0 { return }
    let stored = stored ?? 0
    if !(abs(stored - found) <= tolerance * max(1, abs(stored), abs(found))) { note(name, "\(name) \(stored), its pages have \(found)") }
  }

  private mutating func compareExperts(_ db: Database) throws {
    let rows = try Row.fetchCursor(
      db, sql: "SELECT expert, assignments, weight_sum, importance_sum FROM expert_total WHERE router = ? ORDER BY expert",
      arguments: [router.row])
    var next = 0
    while let row = try rows.next() {
      let expert: Int64 = try row.value(0)
      guard expert == Int64(next), next < totals.counts.count else {
        return note("experts", "totals of expert \(expert), expected those of 0 to \(totals.counts.count - 1) once")
      }
      let assignments: Int64 = try row.value(1)
      if assignments != Int64(totals.counts[next]) {
        note("load", "\(assignments) assignments of expert \(expert), its pages have \(totals.counts[next])")
      }
      if router.layout.weightBytes > 0 && !(allowsNegativeWeights && router.layout.weightBytes == 2) {
        // The total was added up before the weights became f16.
        let tolerance = router.layout.weightBytes == 2 ? 2e-3 : Self.sumTolerance
        compare("weights of expert \(expert)", try row.value(2), totals.weights[next], tolerance: tolerance)
      }
      compare("importance of expert \(expert)", try row.value(3), totals.importance[next], tolerance: Self.sumTolerance)
      next += 1
    }
    // Written with the first tokens: a run that ended before them has none.
    if next == 0 && totals.tokens == 0 { return }
    if next < totals.counts.count { note("experts", "totals of \(next) experts, expected \(totals.counts.count)") }
  }
}
