// The table of forms itself: which one runs, and that it can be chosen.

import CKernels
import Testing

@Suite struct DispatchTests {
  @Test func everyFormSaysWhichItIs() {
    for form in Form.all { #expect(form.kernels.level == form.level) }
    #expect(Form.all.contains { $0.level == mt_best_level() })
  }

  @Test func levelsHaveNames() {
    let levels = [MT_SCALAR, MT_NEON, MT_AVX2, MT_AVXVNNI, MT_AVX512, MT_AVX512VNNI, MT_AVX512AMX]
    let names = levels.map { String(cString: mt_simd_level_name($0)) }
    #expect(names == ["scalar", "neon", "avx2", "avxvnni", "avx512", "avx512vnni", "amx"])
  }

  @Test func rowsHaveSizes() {
    #expect(mt_row_bytes(MT_F32, 5) == 20)
    #expect(mt_row_bytes(MT_F16, 5) == 10)
    #expect(mt_row_bytes(MT_BF16, 5) == 10)
    #expect(mt_row_bytes(mt_element_type(77), 256) == 0, "a type this build does not know has no size")
  }
}
