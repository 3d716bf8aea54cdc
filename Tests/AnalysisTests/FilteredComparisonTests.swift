// A comparison under a filter is the comparison of runs that hold nothing but what passes, built here row by row.

import Foundation
import Routing
import Testing

@testable import Analysis

struct FilteredComparisonTests {
  /// Two runs on the same ids, with losses of their own, that decide alike more or less.
  private func runs() throws -> (beside: RunsBeside, sequences: [SequenceDescription]) {
    var source = SyntheticRouting(documents: 12, length: 20...44, experts: 8, topK: 2, layers: 2, dirichlet: 1, seed: 4)
    let a = try source.run(tokensPerPass: 50)
    source.domainEffect = 0.7
    let b = try source.run(tokensPerPass: 37)
    let ids = a.passes.flatMap(\.tokens.tokenID)
    func told(_ passes: [RoutingPass], _ shift: Float) -> [RoutingPass] {
      passes.map { pass in
        var pass = pass
        let first = pass.tokens.firstToken
        pass.tokens.tokenID = Array(ids[first..<first + pass.tokens.count])
        pass.tokens.surprisal = pass.tokens.position.indices.map {
          pass.tokens.position[$0] == 0 ? .nan : Float((first + $0) % 17) / 4 + shift * Float(pass.tokens.sequence[$0])
        }
        return pass
      }
    }
    return (RunsBeside(a: told(a.passes, 0), b: told(b.passes, 0.1)), a.sequences)
  }

  private func resolved(_ text: String, _ plan: ComparisonPlan, _ runs: (beside: RunsBeside, sequences: [SequenceDescription])) throws
    -> ResolvedFilter
  {
    var survey = EntropySurvey()
    for pass in runs.beside.a { survey.add(pass) }
    return try Filter(parsing: text).resolved(in: FilterContext(routers: plan.routers.map(\.a), sequences: runs.sequences)) {
      survey.share(ofQuantile: $0)
    }
  }

  /// The decisions of A that pass, a batch each; a token without one has no loss.
  private func left(_ pass: RoutingPass, _ filter: ResolvedFilter) -> RoutingPass {
    var left = RoutingPass(tokens: pass.tokens, batches: [])
    var isShown = Array(repeating: false, count: pass.tokens.count)
    for batch in pass.batches {
      for row in 0..<batch.count where filter.passes(row, of: batch, tokens: pass.tokens) {
        var part = batch.slice(row..<row + 1)
        if let logits = batch.logits, let place = logits.rows.firstIndex(of: Int32(row)) {
          part.logits = RouterLogits(rows: [0], values: Array(logits.values[place * batch.expertCount..<(place + 1) * batch.expertCount]))
        }
        left.batches.append(part)
        isShown[batch.firstToken - pass.tokens.firstToken + row] = true
      }
    }
    for row in isShown.indices where !isShown[row] { left.tokens.surprisal[row] = .nan }
    return left
  }

  static let filters = [
    "domain=code,law", "position=5-20 entropy>0.7", "expert=1,3 !layer=0", "margin<0.05", "entropy>=q0.8 surprisal>1", "rank=0 weight>0.6",
  ]

  @Test(arguments: filters, [ComparisonPlan.Matching.index, .behaviour])
  func isTheComparisonOfWhatPasses(_ text: String, _ matching: ComparisonPlan.Matching) throws {
    let runs = try runs()
    var plan = runs.beside.plan(matching)
    let filter = try resolved(text, plan, runs)
    var apart = runs.beside
    apart.a = runs.beside.a.map { left($0, filter) }
    let shown = apart.a.flatMap { pass in
      Set(pass.batches.map(\.firstToken)).map { (row: $0, sequence: pass.tokens.sequence[$0 - pass.tokens.firstToken]) }
    }
    plan = ComparisonPlan(routers: plan.routers, matching: matching, margin: plan.margin, filter: filter)
    #expect(plan.routers.count == (text.contains("layer=0") ? 1 : 2))
    let found = runs.beside.compared(plan)
    try found.requireSomethingPasses()
    plan.filter = nil
    let expected = apart.compared(plan)
    func numbers(_ result: ComparisonOutcome) -> [Double?] {
      (result.layers.map(\.row) + result.byEntropy).flatMap { row in row.kind.keys.map { row[$0] } }
    }
    #expect(numbers(found).count == numbers(expected).count && zip(numbers(found), numbers(expected)).allSatisfy { near($0, $1) })
    #expect(found.layers.map(\.matching) == expected.layers.map(\.matching))
    #expect(found.flipped.map(\.token) == expected.flipped.map(\.token) && found.flipped.map(\.a) == expected.flipped.map(\.a))
    let (row, wanted) = (found.pooledRow(runs.beside.alignment), expected.pooledRow(apart.alignment))
    for key in row.kind.keys where ![.texts, .tokens].contains(key) { #expect(near(row[key], wanted[key]), "\(key)") }
    #expect(row[.tokens] == Double(shown.count) && row[.texts] == Double(Set(shown.map(\.sequence)).count))
    #expect(found.left?.passing == apart.a.reduce(0) { $0 + $1.batches.count { plan.routers.map(\.a.id).contains($0.router) } })
  }

  /// Whether B chose the expert is not asked: agreement would be that of decisions that agree.
  @Test func decisionsOfAAreChosen() throws {
    let runs = RunsBeside(experts: 4, a: [[[0, 1], [0, 2], [2, 3]]], b: [[[0, 1], [2, 3], [0, 3]]])
    let plan = runs.plan()
    let filter = try Filter(parsing: "expert=0").resolved(in: FilterContext(routers: plan.routers.map(\.a), sequences: [])) { _ in nil }
    let result = runs.compared(ComparisonPlan(routers: plan.routers, filter: filter))
    let row = try #require(result.layers.first?.row)
    #expect(row[.decisions] == 2 && near(row[.setAgreement], 0.75) && row[.flips] == 1)
    // Loads of what is left: A 1/2 1/4 1/4 0, B 1/4 each.
    #expect(near(row[.loadTV], 0.25) && near(row[.loadBaseline], (2 * 1 + 1 * 1 + 1 * 1) / (2.0 * 2.0) / 2))
    #expect(result.pooledRow(runs.alignment)[.tokens] == 2)
  }

  @Test func nothingLeftIsAnError() throws {
    let runs = try runs()
    let plan = runs.beside.plan()
    let filter = try resolved("weight>1", plan, runs)
    let result = runs.beside.compared(ComparisonPlan(routers: plan.routers, filter: filter))
    #expect { try result.requireSomethingPasses() } throws: {
      guard case FilterError.nothingPasses("weight>1", let of) = $0 else { return false }
      return of.contains("decisions of A")
    }
  }
}
