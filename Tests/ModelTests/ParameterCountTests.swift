// How many parameters does a checkpoint stand for? Packed tensors by the numbers in them, companions not at all, towers and further
// layers apart; and whole published checkpoints, as files without bytes, against their model cards.

import Formats
import Foundation
import Support
import Testing

@testable import Model

struct ParameterCountTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private typealias Entry = (name: String, type: ElementType, shape: [Int])

  /// A safetensors file of these shapes whose bytes take no place on the disk.
  private func file(_ entries: [Entry], _ name: String = "model.safetensors") throws -> SafetensorsFile {
    var (header, end) = ("{", 0)
    for (index, entry) in entries.enumerated() {
      let bytes = entry.shape.reduce(entry.type.byteCount, *)
      header += "\(index > 0 ? "," : "")\"\(entry.name)\":{\"dtype\":\"\(entry.type.safetensorsName)\",\"shape\":\(entry.shape),"
      header += "\"data_offsets\":[\(end),\(end + bytes)]}"
      end += bytes
    }
    header += "}"
    let length = UInt64(header.utf8.count)
    let path = try folder.write(withUnsafeBytes(of: length.littleEndian, Array.init) + Array(header.utf8), to: name)
    #expect(truncate(path, off_t(8 + header.utf8.count + end)) == 0)
    return try SafetensorsFile(path: path)
  }

  private func count(_ entries: [Entry], _ settings: String? = nil) throws -> Int {
    let tensors = try file(entries).tensors
    let quantization = try settings.map { try JSON.parse(text: $0, name: "settings") }
    return ParameterCount(TensorTable(TensorList([tensors])), quantization: quantization).total
  }

  /// A matrix of 64 x 128 in every layout that people have: 8,192 numbers.
  @Test func packedTensorsAreTheNumbersInThem() throws {
    let name = "model.layers.0.mlp.experts.0.up_proj"
    let layouts: [(entries: [Entry], settings: String?)] = [
      ([(name + ".weight", .bf16, [64, 128])], nil),
      // 8-bit floats: blocks, one scale, one a channel.
      ([(name + ".weight", .f8E4M3, [64, 128]), (name + ".weight_scale_inv", .f32, [1, 1])], nil),
      ([(name + ".weight", .f8E4M3, [64, 128]), (name + ".weight_scale", .bf16, [64, 1]), (name + ".input_scale", .f32, [1])], nil),
      ([(name + ".weight", .f8E4M3, [64, 128]), (name + ".scale", .f8E8M0, [1, 1])], nil),
      // 8-bit whole numbers.
      ([(name + ".weight", .i8, [64, 128]), (name + ".weight_scale", .f32, [64])], nil),
      ([(name + ".weight", .i8, [64, 128]), (name + ".SCB", .f32, [64]), (name + ".weight_format", .u8, [1])], nil),
      // 4-bit floats.
      ([("experts.up_proj_blocks", .u8, [4, 16, 4, 16]), ("experts.up_proj_scales", .u8, [4, 16, 4])], nil),
      (
        [
          (name + ".weight", .u8, [64, 64]), (name + ".weight_scale", .f8E4M3, [64, 8]), (name + ".weight_scale_2", .f32, []),
          (name + ".input_scale", .f32, []),
        ], nil
      ),
      (
        [
          (name + ".weight_packed", .u8, [64, 64]), (name + ".weight_scale", .f8E4M3, [64, 8]), (name + ".weight_global_scale", .f32, [1]),
        ], nil
      ),
      ([(name + ".weight", .i8, [64, 64]), (name + ".scale", .f8E8M0, [64, 4])], nil),
      // 4-bit whole numbers: compressed-tensors, AWQ, GPTQ in 4 and 8 bits, bitsandbytes, MLX in 4 and 8.
      (
        [(name + ".weight_packed", .i32, [64, 16]), (name + ".weight_scale", .bf16, [64, 4]), (name + ".weight_shape", .i64, [2])],
        "{\"config_groups\": {\"group_0\": {\"weights\": {\"num_bits\": 4}}}}"
      ),
      ([(name + ".qweight", .i32, [128, 8]), (name + ".qzeros", .i32, [1, 8]), (name + ".scales", .f16, [1, 64])], "{\"bits\": 4}"),
      (
        [
          (name + ".qweight", .i32, [32, 64]), (name + ".qzeros", .i32, [1, 16]), (name + ".scales", .f16, [1, 64]),
          (name + ".g_idx", .i32, [128]),
        ], "{\"bits\": 8}"
      ),
      (
        [
          (name + ".weight", .u8, [4096, 1]), (name + ".weight.absmax", .u8, [128]), (name + ".weight.quant_map", .f32, [16]),
          (name + ".weight.nested_absmax", .f32, [1]), (name + ".weight.nested_quant_map", .f32, [256]),
          (name + ".weight.quant_state.bitsandbytes__nf4", .u8, [80]),
        ], nil
      ),
      (
        [(name + ".weight", .u32, [64, 16]), (name + ".scales", .bf16, [64, 4]), (name + ".biases", .bf16, [64, 4])],
        "{\"bits\": 4, \"group_size\": 32}"
      ),
      (
        [(name + ".weight", .u32, [64, 32]), (name + ".scales", .bf16, [64, 2]), (name + ".biases", .bf16, [64, 2])],
        "{\"bits\": 4, \"group_size\": 32, \"\(name)\": {\"bits\": 8, \"group_size\": 64}}"
      ),
    ]
    for (entries, settings) in layouts { #expect(try count(entries, settings) == 8192, "\(entries.map(\.name))") }
  }

  /// Words of quantisation that models use for tensors of their own.
  @Test func scalesThatAreParametersStay() throws {
    #expect(try count([("layers.0.router.scale", .bf16, [64]), ("layers.0.per_expert_scale", .bf16, [8])]) == 72)
    #expect(try count([("mlp.experts.up_proj_bias", .bf16, [4, 8]), ("norm.weight", .f32, [8]), ("norm.scales", .f32, [8])]) == 48)
  }

  @Test func partsAreToldByTheirNames() {
    let parts: [(String, ModelPart)] = [
      ("model.layers.45.mlp.gate.weight", .text), ("model.layers.46.mlp.gate.weight", .mtp), ("mtp.layers.0.mlp.gate.weight", .mtp),
      ("blk.46.nextn.eh_proj.weight", .mtp), ("model.visual.blocks.3.attn.qkv.weight", .vision), ("v.blk.50.attn_q.weight", .vision),
      ("vision_tower.encoder.blocks.60.norm0.weight", .vision), ("multi_modal_projector.linear_1.weight", .vision),
      ("audio_tower.layers.60.self_attn.k_proj.weight", .audio), ("model.encoder.layers.50.ffn.router.classifier.weight", .text),
      ("language_model.model.layers.46.input_layernorm.weight", .mtp), ("lm_head.weight", .text),
      ("model.resampler_model.spatial_linear.0.weight", .vision), ("model.layers.3.mlp.gate.weight_noise.weight", .training),
      ("model.layers.3.mlp.experts.64.up_proj.weight", .text), ("model.layers.3.mlp.gate.weight_1", .text),
    ]
    let layers = TextLayers(count: 46, ahead: 1, among: TensorList([]))
    for (name, part) in parts { #expect(ModelPart(name, of: layers) == part, "\(name)") }
    // Behind the layers that the configuration declares, and where it declares none, nothing says what a block is for.
    #expect(ModelPart("model.layers.47.mlp.gate.weight", of: layers) == .surplus)
    #expect(ModelPart("model.layers.46.mlp.gate.weight", of: TextLayers(count: 46, among: TensorList([]))) == .surplus)
  }

  /// Experts for images are numbered behind those for texts, where the model has them.
  @Test func expertsOfAnotherSenseAreToldByTheirNumber() throws {
    let layers = TextLayers(count: 46, ownExperts: 64, among: TensorList([]))
    let parts: [(String, ModelPart)] = [
      ("model.layers.3.mlp.experts.63.up_proj.weight", .text), ("model.layers.3.mlp.experts.64.up_proj.weight", .vision),
      ("model.layers.3.mlp.gate.weight", .text), ("model.layers.3.mlp.gate.weight_1", .vision),
      ("model.layers.64.mlp.shared_experts.up_proj.weight", .surplus), ("model.layers.3.mlp.experts.gate_up_proj", .text),
    ]
    for (name, part) in parts { #expect(ModelPart(name, of: layers) == part, "\(name)") }
    for fixture in ModelFixture.named("ernie4_5_vl_moe", "ernie4_5_vl_moe-published") {
      let model = try LanguageModel(path: fixture.folder)
      let (facts, routed) = (model.facts(), model.routers.count)
      // A router and eight experts of width 8 in each routed layer.
      #expect(facts.otherParameters.vision == routed * (8 * 32 + 8 * 3 * 8 * 32), "\(fixture)")
      #expect(model.notes.isEmpty)
      let summary = ModelSummary(path: fixture.folder)
      #expect(summary.parameters == facts.parameters && summary.otherParameters == facts.otherParameters)
    }
  }

  // MARK: Whole checkpoints

  /// The shapes of a published checkpoint of the Qwen3 or Mixtral line in bf16, or of gpt-oss in 4-bit floats.
  private func published(_ name: String) throws -> LanguageModel {
    let source = try #require(Fixtures.own("configs/\(name).json"))
    let settings = try JSON.read(source, options: .python)
    func size(_ key: String) throws -> Int { try settings.integer(key, in: 1...1 << 28) }
    let (hidden, heads, pairs) = (try size("hidden_size"), try size("num_attention_heads"), try size("num_key_value_heads"))
    let head = try settings.integerIfPresent("head_dim", in: 1...1024) ?? hidden / heads
    let type = try settings.string("model_type")
    let width = try size(type == "qwen3_moe" ? "moe_intermediate_size" : "intermediate_size")
    let experts = try size(type == "qwen3_moe" ? "num_experts" : "num_local_experts")
    var entries: [Entry] = [("model.norm.weight", .bf16, [hidden])]
    for table in ["model.embed_tokens", "lm_head"] { entries.append((table + ".weight", .bf16, [try size("vocab_size"), hidden])) }
    for layer in 0..<(try size("num_hidden_layers")) {
      func add(_ name: String, _ shape: [Int], _ element: ElementType = .bf16) {
        entries.append(("model.layers.\(layer).\(name)", element, shape))
      }
      for (letter, shape) in [
        ("q", [heads * head, hidden]), ("k", [pairs * head, hidden]), ("v", [pairs * head, hidden]), ("o", [hidden, heads * head]),
      ] {
        add("self_attn.\(letter)_proj.weight", shape)
        if type == "gpt_oss" { add("self_attn.\(letter)_proj.bias", [shape[0]]) }
      }
      for norm in ["input_layernorm", "post_attention_layernorm"] { add(norm + ".weight", [hidden]) }
      switch type {
      case "gpt_oss":
        add("self_attn.sinks", [heads])
        add("mlp.router.weight", [experts, hidden])
        add("mlp.router.bias", [experts])
        for (stack, rows, columns) in [("gate_up", 2 * width, hidden), ("down", hidden, width)] {
          add("mlp.experts.\(stack)_proj_blocks", [experts, rows, columns / 32, 16], .u8)
          add("mlp.experts.\(stack)_proj_scales", [experts, rows, columns / 32], .u8)
          add("mlp.experts.\(stack)_proj_bias", [experts, rows])
        }
      case "qwen3_moe":
        for norm in ["q_norm", "k_norm"] { add("self_attn.\(norm).weight", [head]) }
        add("mlp.gate.weight", [experts, hidden])
        for expert in 0..<experts {
          for name in ["gate_proj", "up_proj"] { add("mlp.experts.\(expert).\(name).weight", [width, hidden]) }
          add("mlp.experts.\(expert).down_proj.weight", [hidden, width])
        }
      default:
        add("block_sparse_moe.gate.weight", [experts, hidden])
        for expert in 0..<experts {
          for name in ["w1", "w3"] { add("block_sparse_moe.experts.\(expert).\(name).weight", [width, hidden]) }
          add("block_sparse_moe.experts.\(expert).w2.weight", [hidden, width])
        }
      }
    }
    _ = try file(entries)
    try FileManager.default.copyItem(atPath: source, toPath: folder.file("config.json"))
    return try LanguageModel(path: folder.path)
  }

  /// In billions, as model cards round them: gpt-oss counts active parameters without the embedding table, the others with it.
  @Test(arguments: [("Qwen3-30B-A3B", 30.5, 3.3, true), ("Mixtral-8x7B-v0.1", 46.7, 12.9, true), ("gpt-oss-20b", 20.9, 3.6, false)])
  func totalsAreThoseOfTheModelCard(_ name: String, total: Double, active: Double, withTable: Bool) throws {
    let facts = try published(name).facts()
    #expect(abs(Double(facts.parameters) / 1e9 - total) < 0.06, "\(facts.parameters)")
    let found = withTable ? facts.activeWithEmbeddings : facts.activeParameters
    #expect(abs(Double(found) / 1e9 - active) < 0.06, "\(found)")
    #expect(facts.otherParameters == OtherParameters() && facts.stored.reduce(0) { $0 + $1.parameters } == facts.parameters)
    // The same without opening: `models` lists it so.
    #expect(ModelSummary(path: folder.path).parameters == facts.parameters)
  }

  /// Layers that look further ahead and a tower lie in the file: named apart, in no other number.
  @Test func otherPartsAreNotCounted() throws {
    let fixture = try #require(ModelFixture.named("deepseek_v3").first)
    let alone = try LanguageModel(path: fixture.folder).facts()
    var tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    let layers = try JSON.read(fixture.file("config.json")).integer("num_hidden_layers", in: 1...9)
    for (name, count) in [
      ("model.layers.\(layers).eh_proj.weight", 128), ("vision_tower.patch_embed.weight", 64), ("audio_tower.a.weight", 32),
    ] {
      tensors.append(StoredTensor(name: name, type: .bf16, shape: [count], bytes: Array(repeating: 0, count: 2 * count)))
    }
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    try FileManager.default.copyItem(atPath: fixture.file("config.json"), toPath: folder.file("config.json"))
    let facts = try LanguageModel(path: folder.path).facts()
    #expect(facts.parameters == alone.parameters && facts.activeParameters == alone.activeParameters)
    #expect(facts.otherParameters.mtp == 128 && facts.otherParameters.vision == 64 && facts.otherParameters.audio == 32)
    #expect(facts.unusedTensors.count == 3)
    let summary = ModelSummary(path: folder.path)
    #expect(summary.parameters == alone.parameters && summary.otherParameters == facts.otherParameters)
  }

  /// A tied head is the embedding, counted once, and multiplied with.
  @Test func aTiedTableIsCountedOnce() throws {
    let tied = try LanguageModel(path: #require(ModelFixture.named("granitemoe-bias").first).folder).facts()
    #expect(tied.activeWithEmbeddings == tied.activeParameters)
    let free = try LanguageModel(path: #require(ModelFixture.named("mixtral").first).folder)
    #expect(free.facts().activeWithEmbeddings - free.facts().activeParameters == free.vocabularySize * free.hiddenSize)
  }

  @Test(arguments: ["granitemoehybrid", "granitemoeshared"])
  func anExpertBesideTheBlockIsShared(_ name: String) throws {
    let model = try LanguageModel(path: #require(ModelFixture.named(name).first).folder)
    #expect(model.sharedExpertCounts == model.routers.map { _ in 1 })
    let none = try LanguageModel(path: #require(ModelFixture.named("granitemoe").first).folder)
    #expect(none.sharedExpertCounts == none.routers.map { _ in 0 })
  }

  /// What is kept of latent attention is one vector a token and layer, whatever the number of heads.
  @Test func theCacheIsWhatIsKept() throws {
    let latent = try LanguageModel(path: #require(ModelFixture.named("deepseek_v3").first).folder)
    let configuration = try JSON.read(#require(ModelFixture.named("deepseek_v3").first).file("config.json"), options: .python)
    let width = try configuration.integer("kv_lora_rank", in: 1...999) + configuration.integer("qk_rope_head_dim", in: 1...999)
    #expect(latent.facts().cacheBytesPerToken == 4 * width * latent.layerCount)
  }

  // MARK: Layers that run several times

  /// A profile of MoEUT's authors, and the parameters that their class has with a vocabulary of 8,000.
  struct MoEUTProfile: Sendable {
    let hidden, layers, heads, experts, attention, head, topK, group, total: Int

    static let published = [
      MoEUTProfile(hidden: 412, layers: 16, heads: 4, experts: 155, attention: 8, head: 82, topK: 12, group: 2, total: 44_345_792),
      MoEUTProfile(hidden: 768, layers: 18, heads: 4, experts: 254, attention: 10, head: 96, topK: 12, group: 2, total: 125_669_696),
      MoEUTProfile(hidden: 1024, layers: 18, heads: 4, experts: 387, attention: 10, head: 128, topK: 16, group: 2, total: 243_326_784),
      MoEUTProfile(hidden: 1024, layers: 24, heads: 4, experts: 338, attention: 10, head: 128, topK: 16, group: 3, total: 318_107_456),
      MoEUTProfile(hidden: 1024, layers: 36, heads: 5, experts: 467, attention: 13, head: 128, topK: 20, group: 4, total: 581_941_056),
      MoEUTProfile(hidden: 1536, layers: 36, heads: 6, experts: 565, attention: 12, head: 128, topK: 24, group: 4, total: 1_040_319_296),
    ]

    var settings: String {
      "{\"model_type\": \"moeut\", \"n_tokens\": 8000, \"d_model\": \(hidden), \"n_layers\": \(layers), \"n_heads\": \(heads), "
        + "\"ff_n_experts\": \(experts), \"att_n_experts\": \(attention), \"d_head\": \(head), \"ff_k\": \(topK), \"group_size\": \(group)}"
    }

    fileprivate var tensors: [(name: String, shape: [Int])] {
      let ofLayer: [(name: String, shape: [Int])] = [
        ("ln1.weight", [hidden]), ("ln1.bias", [hidden]), ("ln2.weight", [hidden]), ("ln2.bias", [hidden]),
        ("attention.q.weight", [heads * head, hidden]), ("attention.k.weight", [heads * head, hidden]),
        ("attention.v", [heads * attention, hidden, head]), ("attention.o", [heads * attention, head, hidden]),
        ("attention.sel_v", [heads * attention, hidden]), ("attention.sel_o", [heads * attention, hidden]),
        ("ffn.keys", [experts, hidden, 128]), ("ffn.values", [experts, 128, hidden]), ("ffn.expert_sel", [experts, hidden]),
      ]
      var all: [(name: String, shape: [Int])] = [
        ("embedding.weight", [8000, hidden]), ("lm_head.weight", [8000, hidden]), ("lm_head.bias", [8000]), ("out_norm.weight", [hidden]),
        ("out_norm.bias", [hidden]),
      ]
      for layer in 0..<group { all += ofLayer.map { ("transformer.layers.\(layer).\($0.name)", $0.shape) } }
      return all
    }

    /// Of a token whose runs all take other experts.
    var active: Int {
      let runs = layers / group
      let projections = 2 * heads * head * hidden
      let attending = projections + 2 * heads * attention * hidden + projections * min(attention, 2 * runs)
      let feeding = experts * hidden + min(experts, topK * runs) * 2 * hidden * 128
      return group * (attending + feeding + 4 * hidden) + 8000 * hidden + 8000 + 2 * hidden
    }
  }

  @Test(arguments: MoEUTProfile.published)
  func aLayerOfSeveralRunsIsCountedOnce(_ profile: MoEUTProfile) throws {
    _ = try file(profile.tensors.map { ($0.name, .f32, $0.shape) })
    try folder.write(Array(profile.settings.utf8), to: "config.json")
    let model = try LanguageModel(path: folder.path)
    let facts = model.facts()
    #expect(facts.parameters == profile.total && facts.activeParameters == profile.active && facts.unusedTensors.isEmpty)
    #expect(facts.routedLayers == profile.layers && model.routers.count == profile.layers * (2 * profile.heads + 1))
    #expect(ModelSummary(path: folder.path).parameters == profile.total)
  }
}
