// What the engine is on this machine.

import CKernels

public enum Engine {
  /// The instruction set the kernels use here, e.g. `avx512`.
  public static var simdLevel: String { String(cString: mt_simd_level_name(mt_simd_level())) }
}
