// Operations of the last families, by themselves: a router that reads what entered its block, streams that are never mixed, a scorer whose last
// elements turn, groups that a file is silent about, and DeepSeek-OCR's text model as its publisher names it. FamilyParityTests holds them to the
// reference as a whole.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct EarlyRouterTests {
  private func open(_ name: String, _ settings: [String: String] = [:]) throws -> LanguageModel {
    try LanguageModel(path: #require(ModelFixture.named(name).first).folder, overrides: settings)
  }

  private func logits(_ model: LanguageModel, _ fixture: ModelFixture, layer: Int) throws -> [Float] {
    let sink = ExpertNormTests.Kept(.all)
    _ = try Reader(ForwardPass(model, threads: 2)).read(fixture.sequences(), sink: sink)
    let batch = try #require(sink.passes.first?.batches.first { $0.router.layer.rawValue == layer })
    return try #require(batch.logits).values
  }

  /// Nothing that attention of the same block does reaches its router; what it does to the next one shows.
  @Test func attentionDoesNotReachTheRouterOfItsBlock() throws {
    let fixture = try #require(ModelFixture.named("smallthinker").first)
    let folder = try fixture.linked(without: ["model.safetensors"])
    let tensors = try StoredTensor.read(fixture.file("model.safetensors")).map { tensor in
      guard tensor.name == "model.layers.0.self_attn.o_proj.weight" else { return tensor }
      var silent = tensor
      silent.bytes = Array(repeating: 0, count: tensor.bytes.count)
      return silent
    }
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    let (whole, silent) = (try LanguageModel(path: fixture.folder), try LanguageModel(path: folder.path))
    #expect(try logits(whole, fixture, layer: 0) == logits(silent, fixture, layer: 0))
    #expect(try logits(whole, fixture, layer: 1) != logits(silent, fixture, layer: 1))
  }

  @Test(arguments: [
    ("rope_layout", "[1]"), ("rope_layout", "[0, 2]"), ("sliding_window_layout", "[true, false]"), ("sliding_window_size", "null"),
    ("norm_topk_prob", "false"), ("moe_num_primary_experts", "2"),
  ])
  func refusesOfSmallThinker(_ key: String, _ value: String) {
    #expect(throws: (any Error).self) { try open("smallthinker", [key: value]) }
  }

  /// Each stream stays and takes its share of the output; shares are at most the magnitude, and a little.
  @Test func streamsThatAreNotMixedKeepWhatTheyHave() throws {
    let model = try open("hy_v4")
    let connection = try #require(model.weights.decoder.blocks[1][0].connection as? BoundHyperConnection)
    let (n, hidden, count) = (connection.plan.streams, model.hiddenSize, 3)
    #expect(connection.plan.iterations == nil && connection.plan.outputFactor == 1.5 && n == 3)
    var random = SeededRandom(seed: 5)
    var stream = (0..<count * n * hidden).map { _ in Float.random(in: -2...2, using: &random) }
    let output = (0..<count * hidden).map { _ in Float.random(in: -2...2, using: &random) }
    let before = stream
    let (pool, arena) = (WorkerPool(threads: 2), Arena())
    stream.withUnsafeMutableBufferPointer { stream in
      guard let stream = stream.baseAddress else { return }
      let weights = connection.weights(stream, count: count, pool, arena)
      connection.spread(output, weights, count: count, hidden: hidden, over: stream, pool)
      for t in 0..<count {
        for k in 0..<n {
          let share = weights[t * 2 * n + n + k]
          #expect(share > 0 && share < 1.5 + 2e-3)
          for i in 0..<hidden {
            let place = (t * n + k) * hidden + i
            #expect(abs(stream[place] - before[place] - share * output[t * hidden + i]) < 1e-5)
          }
        }
      }
    }
  }

  /// The published names, those that transformers saves and those of its modules are one model.
  @Test func hy4IsReadUnderEachOfItsNames() throws {
    let fixture = try #require(ModelFixture.named("hy_v4-yarn").first)
    let folder = try fixture.linked(without: ["model.safetensors"])
    let tensors = try StoredTensor.read(fixture.file("model.safetensors")).map { tensor in
      var own = tensor
      for (published, name) in [
        (".hc_attn_layer.hc_pre.hc_", ".attn_hc."), (".hc_mlp_layer.hc_pre.hc_", ".ffn_hc."), ("hc_head.hc_head_", "hc_head.hc_"),
        (".linear_gate.", ".gate_proj."), (".learnable_sink_param", ".sinks"),
      ] { own.name = own.name.replacing(published, with: name) }
      return own
    }
    #expect(tensors.contains { $0.name == "model.layers.1.attn_hc.fn" } && tensors.contains { $0.name == "model.hc_head.hc_fn" })
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    #expect(try fixture.report(LanguageModel(path: folder.path)).holds)
  }

  /// A published file says nothing of groups, or null: all experts are one. One that names groups is taken at its word.
  @Test func sarvamIsSilentAboutItsGroups() throws {
    #expect(try open("sarvam_mla").routers.first?.spec.groupLimit == nil)
    #expect(try open("sarvam_mla-plain").routers.first?.spec.groupLimit == nil)
    let limit = try #require(open("sarvam_mla", ["n_group": "3", "topk_group": "2"]).routers.first?.spec.groupLimit)
    #expect(limit.groupCount == 3 && limit.topKGroups == 2 && limit.groupScore == .sumOfTopTwo)
  }

  @Test(arguments: [("use_mla", "true"), ("kv_lora_rank", "16"), ("topk_method", "\"noaux_tc\""), ("lm_head", "false")])
  func refusesOfDeepSeekOCR(_ key: String, _ value: String) {
    #expect(throws: ModelError.self) { try open("deepseek_ocr2-published", [key: value]) }
  }
}
