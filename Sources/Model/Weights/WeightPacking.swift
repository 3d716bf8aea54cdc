// How does a configuration say that weights are packed? `quantization_config`, as transformers writes it for every method; what is not one
// of the layouts that are read is refused by its name.

import Formats

/// How weights are packed where tensors alone do not say it.
struct WeightPacking: Sendable {
  /// Rows and columns of 8-bit floats that share a scale.
  var scaleBlock = (rows: 128, columns: 128)
  /// Columns of whole 4-bit numbers that share a scale; nil: there are none.
  var groupSize: Int?

  static let supported = "\"fp8\", \"mxfp4\", \"compressed-tensors\" (pack-quantized)"
}

extension Configuration {
  /// How weights are packed, from `quantization_config`. Layouts that tensors themselves show need no setting.
  ///
  /// - Throws: `ModelError.unsupportedSetting` for a method other than fp8 with block scales, mxfp4 and whole 4-bit numbers in groups.
  func packing() throws -> WeightPacking {
    // MLX writes its settings under a name of its own, and often under the other one too.
    if let own = value("quantization") { throw mlx("quantization", own) }
    _ = value("quantization_config")
    guard let value = quantization else { return WeightPacking() }
    guard let method = value["quant_method"]?.string else {
      if value["bits"] != nil, value["group_size"] != nil { throw mlx("quantization_config", value) }
      let fields = value.objectMembers.map(\.0).sorted().joined(separator: ", ")
      throw refused("quantization_config", found: "{\(fields)}, without quant_method", supported: WeightPacking.supported)
    }
    if method == "compressed-tensors" { return WeightPacking(groupSize: try wholeNumbersInGroups(value)) }
    guard method == "fp8" || method == "mxfp4" else {
      throw refused("quantization_config.quant_method", found: "\"\(method)\"", supported: WeightPacking.supported)
    }
    if method == "mxfp4" { return WeightPacking() }
    guard let block = value["weight_block_size"], !block.isNull else {
      throw refused("quantization_config", found: "fp8 without weight_block_size", supported: "fp8 with scales of blocks")
    }
    let sizes = block.elements.compactMap(\.int64)
    guard sizes.count == 2, sizes.allSatisfy({ $0 > 0 && $0 <= 1 << 20 }) else {
      throw wrong(["quantization_config.weight_block_size"], "two positive integers", block)
    }
    return WeightPacking(scaleBlock: (Int(sizes[0]), Int(sizes[1])))
  }

  /// Columns that share a scale, of compressed-tensors; one layout of it is read.
  private func wholeNumbersInGroups(_ value: JSONValue) throws -> Int {
    let format = value["format"]?.string
    guard format == "pack-quantized" else {
      throw refused("quantization_config.format", found: format.map { "\"\($0)\"" } ?? "nothing", supported: "\"pack-quantized\"")
    }
    let groups = value["config_groups"]
    let weights = groups?.kind == .object ? groups?.members.compactMap { $0.value["weights"] } ?? [] : []
    let sizes = Set(weights.map { $0["group_size"]?.int64 ?? 0 })
    func isCommon(_ weights: JSONValue) -> Bool {
      weights["num_bits"]?.int64 == 4 && weights["type"]?.string == "int" && weights["symmetric"]?.bool == true
        && weights["strategy"]?.string == "group" && weights["actorder"]?.isNull ?? true
    }
    guard weights.allSatisfy(isCommon), sizes.count == 1, let size = sizes.first, size > 0, size <= 1 << 20 else {
      throw refused(
        "quantization_config.config_groups", found: "others",
        supported: "weights of one kind: type int, num_bits 4, symmetric, strategy group with group_size, no actorder")
    }
    return Int(size)
  }

  private func mlx(_ key: String, _ settings: JSONValue) -> ModelError {
    let found = ["bits", "group_size"].map { "\($0) \(settings[$0]?.int64.map { "\($0)" } ?? "?")" }.joined(separator: ", ")
    return refused(
      key, found: "{\(found)}, the quantisation of MLX,", supported: "the model as it was published, in 8-bit or 4-bit floats, or as GGUF")
  }
}
