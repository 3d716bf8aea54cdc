// Whose layout is this? Checkpoints that other programs quantised or converted have tensors of other names and shapes. Where one is
// missing or has the wrong shape, that is the reason far more often than a download that broke off.

/// A layout of other programs that this one does not read.
enum CheckpointLayout {
  /// A part of tensor names that gives a layout away, and what to call it.
  private static let marks: [(suffix: String, words: String)] = [
    (".switch_mlp.gate_proj.weight", "experts stacked as MLX converts them (switch_mlp)"),
    (".switch_mlp.gate_proj.scales", "experts stacked and quantised by MLX (switch_mlp, scales)"),
    (".qweight", "packed whole numbers of GPTQ or AWQ (qweight)"),
    (".weight_packed", "packed numbers of compressed-tensors (weight_packed)"),
    (".weight_scale_2", "4-bit floats of NVFP4 with two scales (weight_scale_2)"), ("_scale_2", "4-bit floats of NVFP4 with two scales"),
    (".absmax", "4-bit numbers of bitsandbytes (absmax)"), (".SCB", "8-bit numbers of bitsandbytes (SCB)"),
    (".scales", "numbers packed by MLX (scales)"), (".weight_scale", "8-bit numbers with one scale a tensor or channel (weight_scale)"),
  ]

  /// - Parameter names: of all tensors.
  /// - Returns: nil when nothing of the kind shows.
  static func foreign(_ names: some Sequence<String>) -> String? {
    var best = marks.count
    for name in names {
      if let place = marks[..<best].firstIndex(where: { name.hasSuffix($0.suffix) }) { best = place }
    }
    return best < marks.count ? marks[best].words : nil
  }
}
