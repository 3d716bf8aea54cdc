// How far a changed reading is from the unchanged one: against sums in double precision, zero where nothing is changed; and conditions that are
// settled beforehand hold for those decisions and no others.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct OutputDivergenceTests {
  private func open(_ name: String) throws -> (LanguageModel, [TokenSequence]) {
    let fixture = try #require(ModelFixture.named(name).first)
    return (try LanguageModel(path: fixture.folder), try fixture.sequences())
  }

  private func bind(_ rules: String, _ model: LanguageModel, settled: SettledDecisions? = nil) throws -> Intervention {
    try Intervention(
      RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, settled: settled)
  }

  /// Natural logarithms of the probabilities after each token.
  private func distributions(_ model: LanguageModel, _ text: TokenSequence, _ intervention: Intervention?) -> [[Double]] {
    let forward = ForwardPass(model, threads: 1)
    forward.intervention = intervention
    forward.reset(length: text.tokens.count)
    if let encoder = text.encoder { _ = forward.encode(encoder) }
    _ = forward.advance(text.tokens[...])
    return text.tokens.indices.map { row in
      let logits = forward.logits(row..<row + 1).map(Double.init)
      let peak = logits.max() ?? 0
      let sum = peak + log(logits.reduce(0) { $0 + exp($1 - peak) })
      return logits.map { $0 - sum }
    }
  }

  @Test(arguments: ["olmoe", "deepseek_v3", "switch_transformers"])
  func divergenceIsWhatDoublePrecisionSays(_ name: String) throws {
    let (model, texts) = try open(name)
    let reader = VariantReader(model, threads: 2)
    let rules = name == "switch_transformers" ? "temperature all=3; scale all:all=2" : "swap all"
    for text in texts {
      let baseline = try #require(try reader.baseline(text, demand: RoutingDemand()))
      let intervention = try bind(rules, model)
      let got = try #require(try reader.variant(intervention, of: text, baseline: baseline, demand: RoutingDemand())).score.divergence
      let (old, new) = (distributions(model, text, nil), distributions(model, text, intervention))
      var (nats, same) = (0.0, 0)
      for row in 0..<text.tokens.count - 1 {
        nats += zip(old[row], new[row]).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        let best = { (row: [Double]) in row.indices.max { (row[$0], -$0) < (row[$1], -$1) } }
        if best(old[row]) == best(new[row]) { same += 1 }
      }
      #expect(got.rows == text.tokens.count - 1 && got.sameBest == same)
      #expect(abs(got.nats - nats) < 1e-5 * Double(got.rows) && nats > 1e-6, "\(got.nats) and \(nats)")
    }
  }

  @Test(arguments: ["olmoe", "deepseek_v3"])
  func nothingChangedIsNothing(_ name: String) throws {
    let (model, texts) = try open(name)
    let reader = VariantReader(model, threads: 1)
    for text in texts {
      let baseline = try #require(try reader.baseline(text, demand: RoutingDemand()))
      for rules in ["topk all=+0", "scale all:all=1", "temperature all=1", "mask all:top0"] {
        let got = try #require(try reader.variant(bind(rules, model), of: text, baseline: baseline, demand: RoutingDemand()))
        #expect(got.score.divergence.nats == 0 && got.score.divergence.sameBest == text.tokens.count - 1, "\(rules)")
        #expect(got.score.nats.bitPattern == baseline.score.nats.bitPattern, "\(rules)")
      }
      let unscored = try #require(try reader.baseline(text, demand: RoutingDemand(), scores: false))
      #expect(unscored.score.nats.isNaN && unscored.score.divergence.rows == 0)
      #expect(zip(unscored.passes, baseline.passes).allSatisfy { $0.batches == $1.batches })
    }
  }

  @Test func settledConditionsHoldForTheirDecisionsAlone() throws {
    let (model, texts) = try open("olmoe")
    let reader = VariantReader(model, threads: 1)
    reader.sequence = 4
    let text = texts[0]
    let baseline = try #require(try reader.baseline(text, demand: RoutingDemand()))
    let settled = SettledDecisions()
    // What the condition says of itself is not asked any more.
    let intervention = try bind("swap all if position>1000", model, settled: settled)
    settled.add([2, 5], of: 4, at: RouterID(layer: 0), under: "position>1000")
    settled.add([7], of: 3, at: RouterID(layer: 0), under: "position>1000")
    settled.add([9], of: 4, at: RouterID(layer: 0), under: "another")
    let changed = try #require(try reader.variant(intervention, of: text, baseline: baseline, demand: RoutingDemand()))
    let (old, new) = (baseline.passes[0].batches[0], changed.passes[0].batches[0])
    let k = old.topK
    let differing = (0..<old.count).filter {
      Set(old.selectedExperts[k * $0..<k * ($0 + 1)]) != Set(new.selectedExperts[k * $0..<k * ($0 + 1)])
    }
    #expect(differing == [2, 5])
    settled.clear()
    let none = try #require(try reader.variant(intervention, of: text, baseline: baseline, demand: RoutingDemand()))
    #expect(none.score.nats.bitPattern == baseline.score.nats.bitPattern)
  }
}
