// How many numbers does a checkpoint stand for, and for which part of the model? A packed tensor holds several numbers in each of its
// elements, and scales beside it are no parameters; towers that see or hear, and layers that look further ahead than the next token, lie
// in the same files and are not the text model. Names, types and shapes tell, so that a model that cannot be run is counted too.

import Formats

/// Parameters of a checkpoint that are not the text model's.
public struct OtherParameters: Sendable, Equatable {
  public var vision = 0
  public var audio = 0
  /// Layers for predicting several tokens at once.
  public var mtp = 0
  /// Of networks that only training runs.
  public var training = 0
  /// Blocks numbered behind the last one that the configuration counts, where nothing says what they are for.
  public var surplusLayers = 0

  public init() {}

  init(_ parts: [ModelPart: Int]) {
    (vision, audio, mtp, surplusLayers) = (parts[.vision] ?? 0, parts[.audio] ?? 0, parts[.mtp] ?? 0, parts[.surplus] ?? 0)
    training = parts[.training] ?? 0
  }
}

/// What a tensor belongs to.
enum ModelPart: Hashable {
  case text, vision, audio, mtp, training, surplus

  init(_ name: String, of layers: TextLayers) {
    let parts = name.split(separator: ".").map(String.init)
    func any(_ beginnings: [String]) -> Bool { parts.contains { part in beginnings.contains { part.hasPrefix($0) } } }
    let towers = [
      "vision", "visual", "image_", "vit", "multi_modal_projector", "mm_projector", "patch_merge", "embed_vision", "resampler", "sam_model",
      "qwen2_model", "projector", "view_sep",
    ]
    if any(towers) || ["v", "mm"].contains(parts.first) || layers.isOfAnotherSense(parts) {
      self = .vision
    } else if any(["audio", "speech", "embed_audio"]) || parts.first == "a" {
      self = .audio
    } else if any(["mtp", "nextn"]) {
      self = .mtp
    } else if any(["weight_noise", "num_batches_tracked"]) {
      self = .training
    } else if let block = Self.block(parts), let count = layers.count, block >= count {
      self = layers.looksAhead(block) ? .mtp : .surplus
    } else {
      self = .text
    }
  }

  fileprivate static func block(_ parts: [String]) -> Int? {
    guard !parts.contains("encoder"), let place = parts.firstIndex(where: { ["layers", "blk", "blocks", "h"].contains($0) }),
      place + 1 < parts.count
    else { return nil }
    return Int(parts[place + 1])
  }
}

/// Which blocks of a checkpoint are the text model, which behind them look further ahead than the next token, and which experts in them are
/// for other tokens than those of texts.
struct TextLayers {
  /// Blocks that predict the next token; nil where the configuration does not say.
  let count: Int?
  /// Blocks behind them that the configuration declares to look further ahead.
  private let declared: Int
  /// Blocks with a projection that joins a token's embedding to the state of the one before: only layers that look ahead have it.
  private let joining: Set<Int>
  /// Routed experts of a layer that texts have; those of images are numbered behind them. nil: all.
  private let ownExperts: Int?

  init(count: Int?, ahead declared: Int = 0, ownExperts: Int? = nil, among tensors: TensorList) {
    (self.count, self.declared, self.ownExperts) = (count, declared, ownExperts)
    joining = Set(
      tensors.lazy.filter { $0.name.hasSuffix(".eh_proj.weight") }.compactMap {
        ModelPart.block($0.name.split(separator: ".").map(String.init))
      })
  }

  /// Whether a tensor is of experts that texts never meet, or of their router: `…experts.64.…`, `…gate.weight_1`.
  ///
  /// - Parameter parts: of its name.
  func isOfAnotherSense(_ parts: [String]) -> Bool {
    guard let ownExperts else { return false }
    if parts.suffix(2) == ["gate", "weight_1"] { return true }
    guard let place = parts.firstIndex(of: "experts"), place + 1 < parts.count else { return false }
    return Int(parts[place + 1]).map { $0 >= ownExperts } ?? false
  }

  func looksAhead(_ block: Int) -> Bool { joining.contains(block) || block < (count ?? 0) + declared }
}

/// Counts the numbers of tensors, whatever packs them.
struct ParameterCount {
  private let table: TensorTable
  private let quantization: JSONValue?
  /// The numbers that each tensor of the table stands for.
  private(set) var elements: [Int] = []

  /// - Parameter quantization: `quantization_config` (or MLX's `quantization`) of the configuration.
  init(_ table: TensorTable, quantization: JSONValue? = nil) {
    (self.table, self.quantization) = (table, quantization)
    elements = table.tensors.map(elements)
  }

  var total: Int { elements.reduce(0, +) }

  /// - Parameter numbers: of tensors of the table.
  func byPart(of numbers: some Sequence<Int>, _ layers: TextLayers) -> [ModelPart: Int] {
    var parts: [ModelPart: Int] = [.text: 0]
    for number in numbers { parts[ModelPart(table.tensors.name(of: number), of: layers), default: 0] += elements[number] }
    return parts
  }

  /// The numbers a tensor stands for; none for one that says how others are to be read.
  private func elements(of tensor: TensorView) -> Int {
    let name = tensor.name
    if isCompanion(name, tensor.elementType) { return 0 }
    let count = tensor.elementCount
    switch tensor.elementType {
    case .i32, .u32: return wordsFactor(name, tensor.shape).map { $0 * count } ?? packedByMLX(name, tensor.shape) ?? 0
    // Ids, such as those of experts by token id: a program trains none of them.
    case .i64, .u64: return 0
    case .u8, .i8: return holdsTwo(name) ? 2 * count : count
    default: return count
    }
  }

  // MARK: Packed

  /// Numbers in a 32-bit word of GPTQ, AWQ and compressed-tensors.
  private func wordsFactor(_ name: String, _ shape: [Int]) -> Int? {
    guard name.hasSuffix("qweight") || name.hasSuffix("weight_packed") else { return nil }
    return 32 / max(1, min(32, bits ?? 4))
  }

  private var bits: Int? {
    if let bits = (quantization?["bits"] ?? quantization?["w_bit"])?.int64 { return Int(clamping: bits) }
    let groups = quantization?["config_groups"]
    guard groups?.kind == .object else { return nil }
    return groups?.members.lazy.compactMap { $0.value["weights"]?["num_bits"]?.int64 }.first.map { Int(clamping: $0) }
  }

  /// MLX keeps a scale for each group of inputs: as many numbers as scales times their group.
  private func packedByMLX(_ name: String, _ shape: [Int]) -> Int? {
    guard name.hasSuffix("weight"), let scales = tensor(name.dropLast("weight".count) + "scales") else { return nil }
    // Some tensors have settings of their own.
    let own = quantization?[String(name.dropLast(".weight".count))]
    let group = (own?.kind == .object ? own?["group_size"] : nil) ?? quantization?["group_size"]
    return scales.shape.reduce(group?.int64.map { Int(clamping: $0) } ?? 64) { $0.multipliedReportingOverflow(by: $1).partialValue }
  }

  /// Whether a byte holds two 4-bit numbers: their scales are bytes themselves, or bitsandbytes' statistics lie beside them.
  private func holdsTwo(_ name: String) -> Bool {
    if name.hasSuffix("_blocks"), tensor(name.dropLast("blocks".count) + "scales") != nil { return true }
    if name.hasSuffix("weight_packed") || tensor(name + ".absmax") != nil { return true }
    return scale(of: name).map { [.u8, .f8E4M3, .f8E8M0].contains($0.elementType) } ?? false
  }

  private func scale(of name: String) -> TensorView? {
    var names = [name + "_scale", name + "_scale_inv"]
    if name.hasSuffix("weight") { names.append(name.dropLast("weight".count) + "scale") }
    return names.lazy.compactMap(tensor).first
  }

  private func tensor(_ name: String) -> TensorView? { table[name].map { table.tensors[$0] } }

  // MARK: Beside them

  /// Ends of names that only programs that quantise write; first those that every expert has.
  private static let companionEndings = [
    "weight_scale", ".weight_shape", "_scale_inv", "_scale_2", ".input_scale", ".output_scale", ".k_scale", ".v_scale", ".q_scale",
    "_global_scale",
    "_zero_point", ".qzeros", ".g_idx", "weight_g_idx", ".absmax", ".quant_map", ".nested_quant_map", ".nested_absmax",
    ".SCB", ".weight_format", ".activation_scale", ".kv_scale",
  ]

  private func isCompanion(_ name: String, _ type: ElementType) -> Bool {
    // The most of a hundred thousand names; no ending below is one of them.
    if name.hasSuffix(".weight") || name.hasSuffix(".weight_packed") { return false }
    // bitsandbytes writes its settings as bytes.
    if Self.companionEndings.contains(where: name.hasSuffix) || type == .u8 && name.contains(".quant_state.") { return true }
    func isPacked(_ other: String) -> Bool { tensor(other).map { ![.f64, .f32, .f16, .bf16].contains($0.elementType) } ?? false }
    // Words that models have for their own tensors too: only beside something packed.
    for (ending, owners) in [
      ("_scales", ["_blocks"]), (".scales", [".weight", ".qweight"]), (".biases", [".weight"]), (".scale", [".weight"]), ("_scale", [""]),
    ] where name.hasSuffix(ending) {
      let stem = String(name.dropLast(ending.count))
      if owners.contains(where: { isPacked(stem + $0) }) { return true }
    }
    return false
  }
}
