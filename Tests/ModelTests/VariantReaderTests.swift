// A variant that begins where its rules begin is, bit for bit, the variant read from its first token and block; and rules carried out in the
// experts are what an independent sum says.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct VariantReaderTests {
  /// Joins what it is given.
  private final class Listener: RoutingSink {
    let demand = RoutingDemand(logitsEvery: 1)
    var passes: [RoutingPass] = []
    func receive(_ pass: RoutingPass) { passes.append(pass) }
  }

  /// Everything as bits, so that NaN equals NaN.
  private func bits(_ passes: [RoutingPass]) -> [[UInt64]] {
    var columns: [[UInt64]] = []
    func add(_ values: [Float]) { columns.append(values.map { UInt64($0.bitPattern) }) }
    func add(_ values: [Int32]) { columns.append(values.map { UInt64(UInt32(bitPattern: $0)) }) }
    for pass in passes {
      for batch in pass.batches {
        for column in [batch.routingWeights, batch.routerEntropy, batch.selectionMargin, batch.top1Margin, batch.topKMass] { add(column) }
        add(batch.logits?.values ?? [])
        add(batch.selectedExperts)
        columns.append((batch.dropped ?? []).map { $0 ? 1 : 0 })
        columns.append(batch.importanceSum.map { $0.bitPattern })
        columns.append([UInt64(batch.topK), UInt64(batch.firstToken)])
      }
      add(pass.tokens.surprisal)
      add(pass.tokens.nextTokenEntropy)
      add(pass.tokens.tokenID)
    }
    return columns
  }

  private func intervention(_ rules: String, _ model: LanguageModel) throws -> Intervention {
    try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 3)
  }

  /// Rules that act from one router on.
  private func rules(_ model: LanguageModel) throws -> [Intervention] {
    try model.routers.flatMap { router -> [Intervention] in
      var texts = ["temperature \(router.id)=0.5; scale \(router.id):all=0.5"]
      // Where experts are looked up none is the next best.
      if !router.spec.isHashed { texts.append("mask \(router.id):top1") }
      // Where tokens take all above a threshold they have no places to give.
      if router.spec.lists != nil { return try texts.map { try intervention($0, model) } }
      texts.append("redraw \(router.id)=uniform")
      texts.append("broadcast \(router.id)")
      texts.append("capacity \(router.id)=0.5")
      return try texts.map { try intervention($0, model) }
    }
  }

  @Test(arguments: ModelFixture.onePerFamily)
  func aVariantBeginsWhereItsRulesBegin(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    let demand = RoutingDemand(logitsEvery: 1)
    let variants = try rules(model)
    for (number, text) in try fixture.sequences().enumerated() {
      let reader = VariantReader(model, threads: 1)
      (reader.sequence, reader.firstToken) = (number, 5)
      let baseline = try #require(try reader.baseline(text, demand: demand, keeping: reader.places(for: variants)))
      for variant in variants {
        let got = try #require(try reader.variant(variant, of: text, baseline: baseline, demand: demand))
        let forward = ForwardPass(model, threads: 2)
        forward.intervention = variant
        let listener = Listener()
        var whole = Reader(forward)
        (whole.firstSequence, whole.firstToken) = (number, 5)
        let score = try #require(try whole.read([text], sink: listener).first)
        #expect(bits(got.passes) == bits(listener.passes), "\(variant.rules.text)")
        #expect(got.score.nats.bitPattern == score.nats.bitPattern, "\(variant.rules.text)")
      }
      // What a variant leaves behind changes nothing of the next reading.
      let again = try #require(try reader.baseline(text, demand: demand))
      #expect(bits(again.passes) == bits(baseline.passes))
    }
  }

  @Test func onlyWhatIsNeededIsKept() throws {
    let model = try LanguageModel(path: try #require(ModelFixture.named("olmoe").first).folder)
    let reader = VariantReader(model, threads: 1)
    let last = try #require(model.routers.last).id.layer.rawValue
    #expect(reader.places(for: [try intervention("swap \(last)", model)]).decoder == [last])
    #expect(reader.places(for: [try intervention("swap all", model)]).decoder == [])
  }

  /// Rules that draw, drop or count do not depend on how a sequence is cut, nor on threads.
  @Test(
    arguments: ModelFixture.named(
      "olmoe", "deepseek_v3", "jetmoe", "llama4_text", "longcat_flash", "gemma4", "glm_moe_dsa", "nemotron_h", "deepseek_v4", "moeut"))
  func cutsDoNotMatter(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    func read(_ rules: Intervention, threads: Int, pass: Int, step: Int) throws -> [UInt32] {
      let forward = ForwardPass(model, threads: threads, passLimit: pass, stepLimit: step)
      forward.intervention = rules
      let listener = Listener()
      _ = try Reader(forward).read(fixture.sequences(), sink: listener)
      var bits: [UInt32] = []
      for id in model.routers.map({ $0.id }) {
        let batches = listener.passes.flatMap { $0.batches }.filter { $0.router == id }
        for batch in batches { bits += batch.selectedExperts.map { UInt32(bitPattern: $0) } }
        for batch in batches { bits += batch.routingWeights.map { $0.bitPattern } }
      }
      for pass in listener.passes { bits += pass.tokens.surprisal.map { $0.bitPattern } }
      return bits
    }
    for text in ["redraw all=router", "topk all=+1; swap all", "broadcast all", "mask all:top1; redraw all=uniform", "capacity all=0.75"] {
      let rules = try intervention(text, model)
      let whole = try read(rules, threads: 1, pass: 4096, step: 512)
      for (pass, step) in [(4096, 5), (7, 3), (1, 1)] {
        #expect(try read(rules, threads: 2, pass: pass, step: step) == whole, "\(text): passes of \(pass), steps of \(step)")
      }
    }
  }

  /// The output of one block under rules is the sum that its recorded weights say, over experts run one by one.
  @Test func aBlockIsTheSumOfWhatItsDecisionSays() throws {
    final class Blocks: ActivationProbe {
      var outputs: [RouterID: [Float]] = [:]
      func encoded(_ values: UnsafeBufferPointer<Float>) {}
      func hidden(_ index: Int, _ values: UnsafeBufferPointer<Float>) {}
      func block(_ router: RouterID, input: UnsafeBufferPointer<Float>, output: UnsafeBufferPointer<Float>) {
        outputs[router, default: []] += output
      }
    }
    let fixture = try #require(ModelFixture.named("qwen2_moe").first)
    let model = try LanguageModel(path: fixture.folder)
    let router = try #require(model.routers.first)
    func run(_ rules: String) throws -> (output: [Float], batch: RoutingBatch) {
      let forward = ForwardPass(model, threads: 1)
      forward.intervention = try intervention(rules, model)
      let (probe, listener) = (Blocks(), Listener())
      forward.probe = probe
      _ = try Reader(forward).read([try #require(try fixture.sequences().first)], sink: listener)
      return (try #require(probe.outputs[router.id]), try #require(listener.passes[0].batches.first { $0.router == router.id }))
    }
    let width = model.hiddenSize
    let tokens = try run("").batch.count
    let id = router.id
    // One expert at a time, unweighted: what it adds to nothing.
    let experts = try (0..<router.spec.expertCount).map { expert -> [Float] in
      let others = (0..<router.spec.expertCount).filter { $0 != expert }.map(String.init).joined(separator: ",")
      let alone = try run("mask \(id):\(others); topk \(id)=1; shared \(id)=off")
      return alone.output.indices.map { (index: Int) -> Float in alone.output[index] / alone.batch.routingWeights[index / width] }
    }
    let nothing = try run("mask \(id):all; shared \(id)=off").output
    #expect(nothing.allSatisfy { $0 == 0 })
    let shared = try run("mask \(id):all").output
    for rules in [
      "", "scale \(id):2=0", "scale \(id):top1=-0.5", "topk \(id)=+1", "broadcast \(id)", "capacity \(id)=0.5",
      "shared \(id)=off",
    ] {
      let (output, batch) = try run(rules)
      var sum: [Float] = rules.hasPrefix("shared") ? Array(repeating: 0, count: tokens * width) : shared
      for token in 0..<tokens {
        for slot in token * batch.topK..<token * batch.topK + batch.taken(token) {
          let (expert, weight) = (Int(batch.selectedExperts[slot]), batch.routingWeights[slot])
          for column in token * width..<(token + 1) * width { sum[column] += weight * experts[expert][column] }
        }
      }
      let largest: Float = zip(output, sum).map { abs($0 - $1) }.max() ?? .infinity
      let scale: Float = output.map { abs($0) }.max() ?? 0
      #expect(largest < 1e-5 * max(1, scale), "\(rules): \(largest)")
    }
  }
}
