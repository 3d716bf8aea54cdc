// Norms, shared experts and predictions against transformers' own block inputs and NumPy (tools/make_norms.py), and that asking for them
// changes nothing about the run.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct ExpertNormTests {
  /// Keeps everything that comes.
  final class Kept: RoutingSink {
    let demand: RoutingDemand
    private(set) var passes: [RoutingPass] = []

    init(_ extras: RecordingExtras) { demand = RoutingDemand(logitsEvery: 1, extras: extras) }

    func receive(_ pass: RoutingPass) { passes.append(pass) }
  }

  private func read(_ fixture: ModelFixture, _ extras: RecordingExtras, passLimit: Int = 4096, step: Int = 512, rules: String = "") throws
    -> [RoutingPass]
  {
    let model = try LanguageModel(path: fixture.folder)
    let forward = ForwardPass(model, threads: 2, passLimit: passLimit, stepLimit: step)
    let sink = Kept(extras)
    if !rules.isEmpty {
      forward.intervention = try Intervention(
        RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 0)
    }
    _ = try Reader(forward).read(fixture.sequences(), sink: sink)
    return sink.passes
  }

  /// Bits of a column of all batches of a router, put end to end.
  private func bits(_ column: KeyPath<RoutingBatch, [Float]?>, of router: RouterID, _ passes: [RoutingPass]) -> [UInt32] {
    passes.flatMap(\.batches).filter { $0.router == router }.flatMap { ($0[keyPath: column] ?? []).map(\.bitPattern) }
  }

  private func numbers<Number: BitwiseCopyable>(_ file: SafetensorsFile, _ name: String, _ type: Number.Type) throws -> [Number] {
    let tensor = try file.tensor(name)
    let width = MemoryLayout<Number>.size
    return (0..<tensor.byteCount / width).map { tensor.bytes.loadUnaligned(fromByteOffset: $0 * width, as: type) }
  }

  /// Softmax top-k, sigmoid with a shared expert, a gated shared expert, a weight on the input, a shared expert in a sublayer of its own.
  @Test(arguments: ModelFixture.named("olmoe", "deepseek_v3", "qwen2_moe", "llama4_text", "granitemoeshared"))
  func equalTheReference(_ fixture: ModelFixture) throws {
    let file = try SafetensorsFile(path: Fixtures.root + "/Tests/Fixtures/norms/\(fixture.name).safetensors")
    let passes = try read(fixture, .all)
    var pass = try #require(passes.first)
    for more in passes.dropFirst() { pass.append(more) }
    #expect(pass.tokens.predictedID == (try numbers(file, "predicted_ids", Int32.self)))
    for batch in pass.batches {
      let ids = try numbers(file, "\(batch.router).expert_ids", Int32.self)
      let norms = try numbers(file, "\(batch.router).expert_norms", Float.self)
      let own = try #require(batch.expertNorms)
      #expect(own.count == norms.count)
      for token in 0..<batch.count {
        let slots = token * batch.topK..<(token + 1) * batch.topK
        // Expert by expert: of two equal scores either may come first.
        for slot in slots {
          let place = try #require(slots.first { (place: Int) in ids[place] == batch.selectedExperts[slot] })
          #expect(abs(own[slot] - norms[place]) <= 1e-4 * max(1, norms[place]), "\(batch.router) token \(token)")
        }
      }
      let names = Set(file.tensors.map(\.name))
      #expect(names.contains("\(batch.router).shared_norm") == (batch.sharedNorm != nil))
      #expect((batch.sharedWeight == nil) == (batch.sharedNorm == nil))
      for (name, column) in [("shared_weight", batch.sharedWeight), ("shared_norm", batch.sharedNorm)] {
        guard let column else { continue }
        let expected = try numbers(file, "\(batch.router).\(name)", Float.self)
        for (got, wanted) in zip(column, expected) { #expect(abs(got - wanted) <= 1e-4 * max(1, wanted), "\(batch.router) \(name)") }
      }
    }
  }

  /// What is asked for beside the decisions costs another product and changes no number of the run, however it is cut.
  @Test(arguments: ModelFixture.onePerFamily)
  func changeNothingElse(_ fixture: ModelFixture) throws {
    let plain = try read(fixture, [])
    var asked = try read(fixture, .all)
    let model = try LanguageModel(path: fixture.folder)
    for pass in asked {
      for batch in pass.batches {
        // An entry of a list is no expert: pairs are.
        if model.routers.first(where: { $0.id == batch.router })?.spec.lists != nil {
          #expect(batch.expertNorms == nil)
          continue
        }
        #expect(batch.expertNorms?.count == batch.count * batch.topK)
        for (slot, expert) in batch.carriedOut.enumerated() {
          let norm = batch.expertNorms?[slot] ?? -1
          #expect(expert < 0 ? norm.isNaN : norm >= 0 && norm.isFinite, "\(batch.router) slot \(slot): \(norm)")
        }
      }
    }
    if !model.takesWholeSequences {
      let cut = try read(fixture, .all, passLimit: 5, step: 3)
      for router in model.routers.map(\.id) {
        for column in [\RoutingBatch.expertNorms, \.sharedWeight, \.sharedNorm] {
          #expect(bits(column, of: router, cut) == bits(column, of: router, asked), "\(router)")
        }
      }
    }
    for pass in asked.indices {
      for index in asked[pass].batches.indices {
        (asked[pass].batches[index].expertNorms, asked[pass].batches[index].sharedWeight) = (nil, nil)
        asked[pass].batches[index].sharedNorm = nil
      }
      asked[pass].tokens.predictedID = nil
    }
    // In words, where NaN is NaN.
    #expect("\(asked)" == "\(plain)")
  }

  /// A shared expert that a rule takes away has the weight 0; what it would have answered is still told.
  @Test(arguments: ModelFixture.named("deepseek_v3", "granitemoeshared", "nemotron_h-latent"))
  func aRuleTakesTheSharedExpertAway(_ fixture: ModelFixture) throws {
    for batch in try read(fixture, [.norms, .shared], rules: "shared all=off").flatMap(\.batches) {
      #expect(batch.sharedWeight?.allSatisfy { $0 == 0 } == true)
      #expect(batch.sharedNorm?.allSatisfy { $0 > 0 } == true)
    }
  }

  @Test func onlyWhatIsAskedForIsThere() throws {
    let fixture = try #require(ModelFixture.named("qwen2_moe").first)
    let weights = try read(fixture, .shared)
    #expect(weights.flatMap(\.batches).allSatisfy { $0.sharedWeight != nil && $0.sharedNorm == nil && $0.expertNorms == nil })
    let norms = try read(fixture, .norms)
    #expect(norms.flatMap(\.batches).allSatisfy { $0.sharedWeight == nil && $0.sharedNorm == nil && $0.expertNorms != nil })
    #expect(norms.allSatisfy { $0.tokens.predictedID == nil })
  }

  /// A sampled text: what is predicted behind a token is the most probable next one, whatever was drawn.
  @Test func aTextThatIsGeneratedTellsWhatWasMostProbable() throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let forward = ForwardPass(try LanguageModel(path: fixture.folder), threads: 2)
    let prompt = try #require(try fixture.sequences().first)
    let sink = Kept(.predicted)
    let generator = try Generator(
      forward, prompt: prompt, sampling: SamplingSettings(temperature: 3, seed: 5), maxTokens: 8, sink: sink)
    var ids = prompt.tokens
    for _ in 0..<8 {
      ids.append(try #require(generator.next).token)
      _ = try generator.advance()
    }
    let again = Kept(.predicted)
    _ = try Reader(forward).read([TokenSequence(prompt.description, tokens: ids)], sink: again)
    let generated = sink.passes.flatMap { $0.tokens.predictedID ?? [] }
    #expect(generated.count == ids.count && generated == again.passes.flatMap { $0.tokens.predictedID ?? [] })
    #expect(zip(generated, ids.dropFirst()).suffix(8).contains { $0 != $1 }, "drawn at temperature 3")
  }
}
