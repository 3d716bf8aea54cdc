// What the engine is on this machine.

import CKernels
import CPCRE2

public enum Engine {
  /// The instruction set the kernels use here, e.g. `avx512`.
  public static var simdLevel: String { String(cString: mt_simd_level_name(mt_simd_level())) }

  /// Version of the library that splits text for tokenizers, with its date.
  public static var patternLibraryVersion: String {
    let length = pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), nil)
    guard length > 0 else { return "not known" }
    var text = [CChar](repeating: 0, count: Int(length))
    guard pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), &text) > 0 else { return "not known" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
