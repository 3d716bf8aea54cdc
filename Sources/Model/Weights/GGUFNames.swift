// Where does a GGUF file keep what a declaration asks for? Declarations use the names and layouts that checkpoints are published with;
// llama.cpp's converters rename every tensor, stack experts, take fused projections apart and reorder some rows. Here that is undone as
// data: a plan on published tensors becomes a plan on the file's tensors, or the rule by which rows are put together again.

import Formats

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Where a matrix of the published layout lies in a GGUF file.
enum GGUFPlace {
  /// In place, under another name.
  case stored(MatrixPlan)
  /// Row `r` of the published tensor is row `row(r).row` of tensor `tensors[row(r).tensor]`; the plan then takes its part of that.
  case gathered(tensors: [String], rows: Int, row: @Sendable (Int) -> (tensor: Int, row: Int))
  /// Columns `g * run ..< (g + 1) * run` of the published tensor are columns `place(g) * run ...` of the file's.
  case regrouped(tensor: String, run: Int, place: @Sendable (Int) -> Int)
  /// The unfolding of latent attention, taken apart by head: keys `[heads, latent, plain]` (transposed), values `[heads, value, latent]`.
  case unfolding(keys: String, values: String)
}

/// How elements of a vector were changed by the converter.
enum GGUFVectorChange: Sendable {
  case none
  /// The file holds weight + 1.
  case plusOne
  /// The file holds -exp(value).
  case negatedExponential

  /// The published number.
  func undone(_ value: Float) -> Float {
    switch self {
    case .none: value
    case .plusOne: value - 1
    case .negatedExponential: log(-value)
    }
  }
}

/// The names of one GGUF file.
struct GGUFNames: Sendable {
  /// What a family's converter does beyond renaming.
  struct Habits: Sendable {
    /// Rows of each query and key head are paired (i, i + half) -> (2i, 2i + 1).
    var pairsHeadRows = false
    /// Norm weights are stored with 1 added, but for the norm of linear attention.
    var addsOneToNorms = false
    /// Value heads of linear attention stand by their place under a key head first, then by key head; published by key head first.
    var tilesValueHeads = false
    /// Tensors of factors that are tensors of the published checkpoint too.
    var factors: Set<String> = []
  }

  let habits: Habits
  /// Elements of one attention head.
  let headSize: Int
  /// Key heads, key head size, value heads and value head size of linear attention; key heads are the groups of a state space layer.
  let linearHeads: (keys: Int, keySize: Int, values: Int, valueSize: Int)
  /// Tensors that the file has under a name of its own, with the usual one.
  var renamed: [String: String] = [:]
  /// Whether the file has a tensor, by its usual name.
  let has: @Sendable (String) -> Bool

  // MARK: Matrices

  /// - Parameters: the plan, and the size of the matrix it asks for.
  func place(_ plan: MatrixPlan, rows: Int, columns: Int) -> GGUFPlace {
    guard let name = PublishedName(plan.tensor) else {
      return .stored(renamed(plan, Self.outside[plan.tensor] ?? plan.tensor))
    }
    if let halves = Self.fused[name.module] {
      // Which half, by how the published tensor keeps them: interleaved columns, columns one after the other, or rows.
      let half: Int
      let expert: Int
      if let transposition = plan.transposition {
        half = transposition.step == 2 ? transposition.firstColumn : transposition.firstColumn / rows
        expert = plan.firstRow / columns
      } else {
        half = plan.firstRow / rows % 2
        expert = plan.firstRow / (2 * rows)
      }
      let base = half == 0 ? halves.gate : halves.up
      let isStack = (plan.storedShape?.count ?? 2) > 2
      return .stored(slice(name.tensor([base], has), isStack ? expert : nil, rows: rows, columns: columns))
    }
    if let base = Self.stacks[name.module] {
      let expert = plan.firstRow / (plan.transposition == nil ? rows : columns)
      return .stored(slice(name.tensor([base], has), expert, rows: rows, columns: columns))
    }
    if let expert = name.expert, let base = Self.modules[name.module] {
      // Files of early 2024 have a tensor for each expert.
      let alone = name.prefix + base[0].replacing("_exps", with: "") + ".\(expert).weight"
      if has(alone) { return .stored(MatrixPlan(alone)) }
      return .stored(slice(name.tensor(base, has), expert, rows: rows, columns: columns))
    }
    let allRows = plan.storedShape?.first ?? rows
    switch name.module {
    case _ where habits.pairsHeadRows && Self.turnedProjections.contains(name.module):
      return .gathered(tensors: [name.tensor(Self.modules[name.module] ?? [], has)], rows: allRows) { (0, pairedRow($0)) }
    case "self_attn.kv_b_proj" where !has(name.prefix + "attn_kv_b.weight"):
      return .unfolding(keys: name.prefix + "attn_k_b.weight", values: name.prefix + "attn_v_b.weight")
    case "linear_attn.in_proj_qkvz" where !has(name.prefix + "ssm_in.weight"):
      return .gathered(tensors: [name.prefix + "attn_qkv.weight", name.prefix + "attn_gate.weight"], rows: allRows, row: { linearRow($0) })
    case "linear_attn.in_proj_qkv" where habits.tilesValueHeads:
      return .gathered(tensors: [name.prefix + "attn_qkv.weight"], rows: allRows) { (0, tiledChannel($0)) }
    case "linear_attn.in_proj_z" where habits.tilesValueHeads:
      return .gathered(tensors: [name.prefix + "attn_gate.weight"], rows: allRows) { (0, tiledRow($0)) }
    case "linear_attn.in_proj_a" where habits.tilesValueHeads, "linear_attn.in_proj_b" where habits.tilesValueHeads:
      return .gathered(tensors: [name.tensor(Self.modules[name.module] ?? [], has)], rows: allRows) { (0, tiledHead($0)) }
    case "linear_attn.out_proj" where habits.tilesValueHeads:
      return .regrouped(tensor: name.prefix + "ssm_out.weight", run: linearHeads.valueSize) { tiledHead($0) }
    default: return .stored(renamed(plan, name.tensor(Self.modules[name.module] ?? [name.module], has)))
    }
  }

  /// Where the file has a value head.
  private func tiledHead(_ head: Int) -> Int {
    let perKey = linearHeads.values / linearHeads.keys
    return head % perKey * linearHeads.keys + head / perKey
  }

  private func tiledRow(_ row: Int) -> Int { tiledHead(row / linearHeads.valueSize) * linearHeads.valueSize + row % linearHeads.valueSize }

  /// All queries, all keys, all values.
  private func tiledChannel(_ channel: Int) -> Int {
    let before = 2 * linearHeads.keys * linearHeads.keySize
    return channel < before ? channel : before + tiledRow(channel - before)
  }

  private func renamed(_ plan: MatrixPlan, _ tensor: String) -> MatrixPlan {
    var plan = plan
    plan.tensor = tensor
    return plan
  }

  /// A whole matrix, or one of a stack `[experts, rows, columns]`; the number of experts is the file's own.
  private func slice(_ tensor: String, _ expert: Int?, rows: Int, columns: Int) -> MatrixPlan {
    guard let expert else { return MatrixPlan(tensor) }
    if !has(tensor), let half = Self.halves.first(where: { tensor.contains($0.key) }) {
      let both = tensor.replacing(half.key, with: "ffn_gate_up_exps")
      if has(both) { return MatrixPlan(both, storedShape: [-1, 2 * rows, columns], firstRow: (2 * expert + half.value) * rows) }
    }
    return MatrixPlan(tensor, storedShape: [-1, rows, columns], firstRow: expert * rows)
  }

  /// The published row (head, half j, place i) is stored as (head, i, j).
  private func pairedRow(_ row: Int) -> Int {
    let (head, inside) = row.quotientAndRemainder(dividingBy: headSize)
    let (half, place) = inside.quotientAndRemainder(dividingBy: headSize / 2)
    return head * headSize + 2 * place + half
  }

  /// The published rows are, for each key head: its query, its key, the values and the gates of its value heads. The file has all
  /// queries, all keys and all values in one tensor and the gates in another.
  private func linearRow(_ row: Int) -> (tensor: Int, row: Int) {
    let valuesPerKey = linearHeads.values / linearHeads.keys * linearHeads.valueSize
    let (head, inside) = row.quotientAndRemainder(dividingBy: 2 * linearHeads.keySize + 2 * valuesPerKey)
    let keys = linearHeads.keys * linearHeads.keySize
    switch inside {
    case ..<(2 * linearHeads.keySize):
      return (0, inside / linearHeads.keySize * keys + head * linearHeads.keySize + inside % linearHeads.keySize)
    case ..<(2 * linearHeads.keySize + valuesPerKey):
      return (0, 2 * keys + head * valuesPerKey + inside - 2 * linearHeads.keySize)
    default: return (1, head * valuesPerKey + inside - 2 * linearHeads.keySize - valuesPerKey)
    }
  }

  // MARK: Vectors

  func place(_ plan: VectorPlan, count: Int) -> (plan: VectorPlan, change: GGUFVectorChange, order: @Sendable (Int) -> Int) {
    let asStored: @Sendable (Int) -> Int = { $0 }
    var plan = plan
    guard let name = PublishedName(plan.tensor) else {
      plan.tensor = Self.outside[plan.tensor] ?? plan.tensor
      return (plan, habits.addsOneToNorms && plan.tensor.hasSuffix("norm.weight") ? .plusOne : .none, asStored)
    }
    if name.ending == "bias", let halves = Self.fused[name.module] {
      // Gate and up interleaved, `[experts, 2 * width]`.
      let expert = plan.first / (2 * count)
      let tensor = name.tensor([plan.first % 2 == 0 ? halves.gate : halves.up], has)
      return (VectorPlan(tensor, storedShape: [-1, count], first: expert * count), .none, asStored)
    }
    let base = Self.modules[name.module] ?? Self.stacks[name.module].map { [$0] } ?? [name.module]
    plan.tensor = name.tensor(base, has)
    if Self.groupedNorms.contains(name.module), linearHeads.keys > 1, count % linearHeads.keys == 0 {
      plan.storedShape = [linearHeads.keys, count / linearHeads.keys]
    }
    let order: @Sendable (Int) -> Int =
      switch name.module {
      case "linear_attn.A_log" where habits.tilesValueHeads, "linear_attn.dt_bias" where habits.tilesValueHeads: { tiledHead($0) }
      case "linear_attn.conv1d" where habits.tilesValueHeads: { tiledChannel($0) }
      case _ where habits.pairsHeadRows && Self.turnedProjections.contains(name.module): { pairedRow($0) }
      default: asStored
      }
    if name.module.hasSuffix(".A_log") { return (plan, .negatedExponential, order) }
    let isNorm = name.module.hasSuffix("norm") && name.module != "linear_attn.norm"
    return (plan, habits.addsOneToNorms && isNorm ? .plusOne : .none, order)
  }

  // MARK: Tables

  /// Projections whose rows turn with the position.
  private static let turnedProjections: Set = ["self_attn.q_proj", "self_attn.k_proj", "mixer.q_proj", "mixer.k_proj"]

  /// Norms that a state space layer has one of for each group.
  private static let groupedNorms: Set = ["mamba.norm", "mixer.norm"]

  /// Tensors that belong to no block.
  private static let outside = [
    "model.embed_tokens.weight": "token_embd.weight", "transformer.wte.weight": "token_embd.weight", "lm_head.weight": "output.weight",
    "lm_head.bias": "output.bias", "model.norm.weight": "output_norm.weight", "model.norm.bias": "output_norm.bias",
    "model.final_layernorm.weight": "output_norm.weight",
    "transformer.norm_f.weight": "output_norm.weight", "backbone.embeddings.weight": "token_embd.weight",
    "backbone.norm_f.weight": "output_norm.weight", "model.embedding_norm.weight": "token_embd_norm.weight",
    "embed.weight": "token_embd.weight", "head.weight": "output.weight", "norm.weight": "output_norm.weight",
    "hc_head_fn": "output_hc_fn.weight", "hc_head_base": "output_hc_base.weight", "hc_head_scale": "output_hc_scale.weight",
  ]

  /// Gate and up projections that are published as one tensor.
  private static let fused: [String: (gate: String, up: String)] = [
    "mlp.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "feed_forward.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
    "experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "block_sparse_moe.input_linear": ("ffn_gate_exps", "ffn_up_exps"),
    "shared_mlp.input_linear": ("ffn_gate_shexp", "ffn_up_shexp"),
  ]

  /// Which half of a stack that holds both is meant, for files that were converted so.
  private static let halves = ["ffn_gate_exps": 0, "ffn_up_exps": 1]

  /// Tensors that are published as one for all experts.
  private static let stacks = [
    "mlp.experts.down_proj": "ffn_down_exps", "feed_forward.experts.down_proj": "ffn_down_exps",
    "experts.down_proj": "ffn_down_exps", "block_sparse_moe.output_linear": "ffn_down_exps", "ffn.experts.mlp.w1": "ffn_gate_exps",
    "ffn.experts.mlp.v1": "ffn_up_exps",
    "ffn.experts.mlp.w2": "ffn_down_exps",
  ]

  /// Everything else of a block; where there are several names, the first that the file has.
  private static let modules: [String: [String]] = {
    var table: [String: [String]] = [
      "input_layernorm": ["attn_norm"], "operator_norm": ["attn_norm"], "norm_attn_norm.norm_1": ["attn_norm"],
      "norm_attn_norm.norm_2": ["attn_output_norm"], "post_attention_layernorm": ["post_attention_norm", "ffn_norm"],
      "pre_mlp_layernorm": ["ffn_norm"], "ffn_norm": ["ffn_norm"], "post_mlp_layernorm": ["post_ffw_norm"],
      "norm_attn_norm.attn.Wqkv": ["attn_qkv"], "norm_attn_norm.attn.out_proj": ["attn_output"], "self_attn.q_proj": ["attn_q"],
      "self_attn.k_proj": ["attn_k"], "self_attn.v_proj": ["attn_v"], "self_attn.o_proj": ["attn_output"],
      "self_attn.out_proj": ["attn_output"], "self_attn.qkv_proj": ["attn_qkv"], "self_attn.output_gate": ["attn_gate"],
      "self_attn.norm": ["attn_norm_2"], "self_attn.gate_proj": ["attn_gate"], "self_attn.sinks": ["attn_sinks"],
      "self_attn.q_a_proj": ["attn_q_a"], "self_attn.q_b_proj": ["attn_q_b"], "self_attn.q_a_layernorm": ["attn_q_a_norm"],
      "self_attn.kv_a_proj_with_mqa": ["attn_kv_a_mqa"], "self_attn.kv_a_layernorm": ["attn_kv_a_norm"],
      "self_attn.kv_b_proj": ["attn_kv_b"], "shared_mlp.output_linear": ["ffn_down_shexp"], "linear_attn.A_log": ["ssm_a"],
      "linear_attn.conv1d": ["ssm_conv1d"], "linear_attn.dt_bias": ["ssm_dt"], "linear_attn.in_proj_ba": ["ssm_ba"],
      "linear_attn.in_proj_qkvz": ["ssm_in"], "linear_attn.norm": ["ssm_norm"], "linear_attn.out_proj": ["ssm_out"],
      "linear_attn.in_proj_qkv": ["attn_qkv"], "linear_attn.in_proj_z": ["attn_gate"], "linear_attn.in_proj_a": ["ssm_alpha"],
      "linear_attn.in_proj_b": ["ssm_beta"], "norm": ["attn_norm"], "pre_feedforward_layernorm": ["ffn_norm"],
      "pre_feedforward_layernorm_2": ["pre_ffw_norm_2"], "post_feedforward_layernorm": ["post_ffw_norm"],
      "post_feedforward_layernorm_1": ["post_ffw_norm_1"], "post_feedforward_layernorm_2": ["post_ffw_norm_2"],
      "layer_scalar": ["layer_output_scale"], "router.proj": ["ffn_gate_inp"], "router.scale": ["ffn_gate_inp.scale"],
      "router.per_expert_scale": ["ffn_down_exps.scale"], "self_attn.g_proj": ["attn_gate"],
      "self_attn.attention_sink_bias": ["attn_sinks.weight", "attn_sinks"], "pre_ff_layernorm": ["ffn_norm"], "mamba.x_proj": ["ssm_x"],
      "mamba.dt_proj": ["ssm_dt"], "mamba.dt_layernorm": ["ssm_dt_norm"], "mamba.b_layernorm": ["ssm_b_norm"],
      "mamba.c_layernorm": ["ssm_c_norm"], "self_attn.A_log": ["ssm_a"], "self_attn.dt_bias": ["ssm_dt"],
      "self_attn.q_conv1d": ["ssm_conv1d_q"], "self_attn.k_conv1d": ["ssm_conv1d_k"], "self_attn.v_conv1d": ["ssm_conv1d_v"],
      "self_attn.b_proj": ["ssm_beta"], "self_attn.f_a_proj": ["ssm_f_a"], "self_attn.f_b_proj": ["ssm_f_b"],
      "self_attn.g_a_proj": ["ssm_g_a"], "self_attn.g_b_proj": ["ssm_g_b"], "self_attn.o_norm": ["ssm_norm"],
      "self_attn.indexer.wq_b": ["indexer.attn_q_b"], "self_attn.indexer.wk": ["indexer.attn_k"],
      "self_attn.indexer.weights_proj": ["indexer.proj"], "self_attn.indexer.k_norm": ["indexer.k_norm"], "conv.conv": ["shortconv.conv"],
      "conv.in_proj": ["shortconv.in_proj"], "conv.out_proj": ["shortconv.out_proj"],
      "attn.attn_sink": ["attn_sinks"], "attn.wq_a": ["attn_q_a"], "attn.q_norm": ["attn_q_a_norm"], "attn.wq_b": ["attn_q_b"],
      "attn.wkv": ["attn_kv"], "attn.kv_norm": ["attn_kv_a_norm"], "attn.wo_a": ["attn_output_a"], "attn.wo_b": ["attn_output_b"],
      "attn.indexer.wq_b": ["indexer.attn_q_b"], "attn.indexer.weights_proj": ["indexer.proj"],
      "ffn.gate.tid2eid": ["ffn_gate_tid2eid"],
    ]
    for (published, base) in [("wkv", "kv"), ("wgate", "gate"), ("ape", "ape"), ("norm", "norm")] {
      table["attn.compressor.\(published)"] = ["attn_compressor_\(base)"]
      table["attn.indexer.compressor.\(published)"] = ["indexer_compressor_\(base)"]
    }
    for (head, letter) in [("q", "q"), ("k", "k"), ("query", "q"), ("key", "k")] {
      table["self_attn.\(head)_norm"] = ["attn_\(letter)_norm"]
      table["self_attn.\(head)_layernorm"] = ["attn_\(letter)_norm"]
    }
    for mixer in ["mamba", "mixer"] {
      for (published, base) in [
        ("A_log", "a"), ("D", "d"), ("dt_bias", "dt"), ("in_proj", "in"), ("conv1d", "conv1d"), ("norm", "norm"), ("out_proj", "out"),
      ] {
        table["\(mixer).\(published)"] = ["ssm_\(base)"]
      }
    }
    for (published, base) in [("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("o_proj", "output")] {
      table["mixer.\(published)"] = ["attn_\(base)"]
    }
    for moe in ["mlp", "block_sparse_moe", "feed_forward", "ffn", "mixer"] {
      for router in ["gate", "router", "router.gate", "router.layer", "gate.wg"] { table["\(moe).\(router)"] = ["ffn_gate_inp"] }
      for bias in [
        "gate.e_score_correction_bias", "e_score_correction_bias", "expert_bias", "moe_statics.e_score_correction_bias",
        "experts.e_score_correction_bias",
      ] {
        table["\(moe).\(bias)"] = ["exp_probs_b"]
      }
      table["\(moe).shared_expert_gate"] = ["ffn_gate_inp_shexp"]
      let projections = [
        ("gate_proj", "gate"), ("up_proj", "up"), ("down_proj", "down"), ("w1", "gate"), ("w3", "up"), ("w2", "down"),
      ]
      for (published, part) in projections {
        table["\(moe).\(published)"] = ["ffn_\(part)"]
        table["\(moe).experts.*.\(published)"] = ["ffn_\(part)_exps"]
        for shared in ["shared_expert", "shared_experts", "shared_mlp"] { table["\(moe).\(shared).\(published)"] = ["ffn_\(part)_shexp"] }
      }
    }
    return table
  }()
}

/// A published tensor name of a block, taken apart: "model.layers.3.mlp.experts.7.up_proj.weight".
private struct PublishedName {
  /// "blk.3."
  let prefix: String
  /// "mlp.experts.*.up_proj"
  let module: String
  /// 7
  let expert: Int?
  /// "weight" or "bias"
  let ending: String

  init?(_ name: String) {
    var parts = name.split(separator: ".").map(String.init)
    if parts.first == "layers" { parts.insert("model", at: 0) }
    guard parts.count > 3, ["model.layers", "transformer.blocks", "backbone.layers"].contains("\(parts[0]).\(parts[1])"),
      let layer = Int(parts[2])
    else {
      return nil
    }
    prefix = "blk.\(layer)."
    parts.removeFirst(3)
    var ending = "weight"
    if let last = parts.last, last == "weight" || last == "bias" {
      ending = last
      parts.removeLast()
    } else if let last = parts.last, last.hasSuffix("_bias") {
      ending = "bias"
      if last.hasSuffix("_proj_bias") { parts[parts.count - 1] = String(last.dropLast(5)) }
    }
    self.ending = ending
    var expert: Int?
    if let place = parts.firstIndex(of: "experts"), place + 1 < parts.count, let index = Int(parts[place + 1]) {
      expert = index
      parts[place + 1] = "*"
    }
    self.expert = expert
    module = parts.joined(separator: ".")
  }

  /// The first of these names that the file has, or the first.
  func tensor(_ bases: [String], _ has: (String) -> Bool) -> String {
    let names = bases.flatMap { [prefix + $0 + "." + ending, prefix + $0] }
    return names.first(where: has) ?? names.first ?? prefix + module
  }
}
