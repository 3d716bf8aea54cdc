// What the engine is on this machine.

import CKernels
import CPCRE2

public enum Engine {
  /// The instruction set the kernels use here, e.g. `avx512`.
  public static var simdLevel: String { String(cString: mt_simd_level_name(mt_simd_level())) }

  /// How exact digits are multiplied here, in words: `by exact digits, three of 8 bits (VNNI)`.
  public static var digitWords: String {
    switch mt_simd_level() {
    case MT_AVX512VNNI, MT_AVX512AMX, MT_AVXVNNI: "by exact digits, three of 8 bits (VNNI)"
    case MT_NEONDOT: "by exact digits, three of 8 bits (dot products)"
    case MT_AVX2, MT_AVX512: "by exact digits, two of 12 bits (AVX2)"
    default: "by exact whole numbers (scalar)"
    }
  }

  /// How products of many tokens are summed here, in words: `in f32` for example.
  public static var readingWords: String {
    if mt_simd_level() == MT_AVX512AMX { return "by tiles of exact bf16 digits (AMX)" }
    return mt_lays_tokens() ? "by exact blocks where weights are quantised, else in f32" : "in f32"
  }

  /// Whether `--kernels amx` could be had here and is not in use.
  public static var offersTiles: Bool { mt_simd_level() != MT_AVX512AMX && mt_kernels_at(MT_AVX512AMX) != nil }

  /// Takes other kernels than the best, before work begins.
  ///
  /// - Returns: false where this machine cannot run them; then nothing has changed.
  public static func use(_ choice: KernelChoice) -> Bool {
    let level = choice.level ?? mt_best_level()
    return mt_kernels_at(level) != nil && mt_kernels_init(level) == level
  }

  /// Version of the library that splits text for tokenizers, with its date.
  public static var patternLibraryVersion: String {
    let length = pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), nil)
    guard length > 0 else { return "not known" }
    var text = [CChar](repeating: 0, count: Int(length))
    guard pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), &text) > 0 else { return "not known" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// Kernels as a user asks for them.
public enum KernelChoice: String, CaseIterable, Sendable {
  case auto, scalar, avx2, avxvnni, avx512, vnni, amx, neon, neondot

  var level: mt_level? {
    switch self {
    case .auto: nil
    case .scalar: MT_SCALAR
    case .avx2: MT_AVX2
    case .avxvnni: MT_AVXVNNI
    case .avx512: MT_AVX512
    case .vnni: MT_AVX512VNNI
    case .amx: MT_AVX512AMX
    case .neon: MT_NEON
    case .neondot: MT_NEONDOT
    }
  }
}
