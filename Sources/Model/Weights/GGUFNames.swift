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
  /// The file holds exp(value).
  case exponential

  /// The published number.
  func undone(_ value: Float) -> Float {
    switch self {
    case .none: value
    case .plusOne: value - 1
    case .negatedExponential: log(-value)
    case .exponential: log(value)
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
    /// Rates of decay are stored without the sign that other families' have.
    var keepsSignOfRates = false
    /// Tensors of factors that are tensors of the published checkpoint too.
    var factors: Set<String> = []
  }

  let habits: Habits
  /// Elements of one attention head.
  let headSize: Int
  /// Query heads.
  var headCount = 1
  /// Key heads, key head size, value heads and value head size of linear attention; key heads are the groups of a state space layer.
  let linearHeads: (keys: Int, keySize: Int, values: Int, valueSize: Int)
  /// Elements of a key of the scorer of earlier tokens, whose projection is published with that of its queries.
  var indexSize = 0
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
    if let tensor = Self.blockless[name.module] { return .stored(renamed(plan, tensor)) }
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
      if !isStack, !has(name.tensor([halves.gate], has)) {
        // Both halves under the name of the second.
        return .stored(MatrixPlan(name.tensor([halves.up], has), storedShape: [2 * rows, columns], firstRow: half * rows))
      }
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
    case "attention.query_key_value" where !has(name.prefix + "attn_qkv.weight"):
      let parts = ["attn_q", "attn_k", "attn_v"].map { "\(name.prefix)\($0).weight" }
      return .gathered(tensors: parts, rows: allRows, row: { headRow($0, of: allRows) })
    case "self_attn.indexer.index_qk_proj":
      let queries = allRows - indexSize
      let parts = ["q", "k"].map { "\(name.prefix)indexer.\($0)_proj.weight" }
      return .gathered(tensors: parts, rows: allRows) { $0 < queries ? (0, $0) : (1, $0 - queries) }
    case "self_attn.kv_b_proj" where !has(name.prefix + "attn_kv_b.weight"),
      "attention.kv_b_proj" where !has(name.prefix + "attn_kv_b.weight"):
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

  /// The published rows are those of all queries, then of all keys, then of all values; the file has a tensor for each.
  private func headRow(_ row: Int, of total: Int) -> (tensor: Int, row: Int) {
    let queries = headCount * headSize
    let keys = (total - queries) / 2
    func turned(_ row: Int) -> Int { habits.pairsHeadRows ? pairedRow(row) : row }
    if row < queries { return (0, turned(row)) }
    return row < queries + keys ? (1, turned(row - queries)) : (2, row - queries - keys)
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
    if let tensor = Self.blockless[name.module] {
      plan.tensor = tensor
      return (plan, .none, asStored)
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
    if name.module.hasSuffix(".A_log") { return (plan, habits.keepsSignOfRates ? .exponential : .negatedExponential, order) }
    let isNorm = name.module.hasSuffix("norm") && name.module != "linear_attn.norm" || name.module.hasPrefix("ple.norm_")
    return (plan, habits.addsOneToNorms && isNorm ? .plusOne : .none, order)
  }
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
