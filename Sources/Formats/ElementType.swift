// What is one number of a stored tensor, and how many bytes does it take? Plain types store each element for itself; block types (of
// GGUF) store a fixed number of consecutive elements of a row together, with scales they share. Each format maps its own spelling to
// these; what the bits of a block mean is CKernels' business (dequant.h).

/// The type of the elements of a stored tensor.
public enum ElementType: String, CaseIterable, Sendable {
  case f64, f32, f16, bf16
  /// 8-bit floats: sign, exponent and mantissa bits as named; `f8E8M0` is a bare power of two (a block scale).
  case f8E4M3 = "f8_e4m3"
  case f8E5M2 = "f8_e5m2"
  case f8E8M0 = "f8_e8m0"
  case i8, i16, i32, i64
  case u8, u16, u32, u64
  /// One byte, 0 or 1.
  case bool
  /// Blocks of 32: whole numbers of so many bits with one scale (`_0`), or scale and minimum (`_1`).
  case q40 = "q4_0"
  case q41 = "q4_1"
  case q50 = "q5_0"
  case q51 = "q5_1"
  case q80 = "q8_0"
  /// Blocks of 256 in groups of 16 or 32, whose scales are quantised in turn.
  case q2K = "q2_k"
  case q3K = "q3_k"
  case q4K = "q4_k"
  case q5K = "q5_k"
  case q6K = "q6_k"
  /// Entries of fixed tables.
  case iq1S = "iq1_s"
  case iq1M = "iq1_m"
  case iq2XXS = "iq2_xxs"
  case iq2XS = "iq2_xs"
  case iq2S = "iq2_s"
  case iq3XXS = "iq3_xxs"
  case iq3S = "iq3_s"
  case iq4NL = "iq4_nl"
  case iq4XS = "iq4_xs"
  /// Ternary.
  case tq10 = "tq1_0"
  case tq20 = "tq2_0"
  /// 4-bit floats (e2m1): 32 with a power of two, 64 with four 8-bit float scales.
  case mxfp4, nvfp4
  /// One and two bits an element with one scale.
  case q10 = "q1_0"
  case q20 = "q2_0"

  /// Consecutive elements of a row that are stored together; 1 for plain types.
  public var blockSize: Int { layout.elements }

  /// Bytes that one block of `blockSize` elements takes: for plain types, one element.
  public var byteCount: Int { layout.bytes }

  private var layout: (elements: Int, bytes: Int) {
    switch self {
    case .f64, .i64, .u64: (1, 8)
    case .f32, .i32, .u32: (1, 4)
    case .f16, .bf16, .i16, .u16: (1, 2)
    case .f8E4M3, .f8E5M2, .f8E8M0, .i8, .u8, .bool: (1, 1)
    case .q40, .iq4NL: (32, 18)
    case .q41: (32, 20)
    case .q50: (32, 22)
    case .q51: (32, 24)
    case .q80: (32, 34)
    case .q2K: (256, 84)
    case .q3K, .iq3S: (256, 110)
    case .q4K: (256, 144)
    case .q5K: (256, 176)
    case .q6K: (256, 210)
    case .iq1S: (256, 50)
    case .iq1M: (256, 56)
    case .iq2XXS: (256, 66)
    case .iq2XS: (256, 74)
    case .iq2S: (256, 82)
    case .iq3XXS: (256, 98)
    case .iq4XS: (256, 136)
    case .tq10: (256, 54)
    case .tq20: (256, 66)
    case .mxfp4: (32, 17)
    case .nvfp4: (64, 36)
    case .q10: (128, 18)
    case .q20: (64, 18)
    }
  }

  /// The spelling in file headers and output ("F32", "F8_E4M3", "Q4_K").
  public var safetensorsName: String { rawValue.uppercased() }

  /// The plain type that safetensors headers call so; they know no block types.
  public init?(safetensorsName name: String) {
    guard let type = Self.bySafetensorsName[name] else { return nil }
    self = type
  }

  private static let bySafetensorsName = Dictionary(
    uniqueKeysWithValues: allCases.filter { $0.blockSize == 1 }.map { ($0.safetensorsName, $0) })
}

/// The number of elements of `shape`, or nil when a dimension is negative or the product overflows. Rank 0 has one element.
func elementCount(of shape: [Int]) -> Int? {
  var product = 1
  var isEmpty = false
  for dimension in shape {
    guard dimension >= 0 else { return nil }
    if dimension == 0 {
      isEmpty = true
      continue
    }
    let (value, overflow) = product.multipliedReportingOverflow(by: dimension)
    guard !overflow else { return nil }
    product = value
  }
  return isEmpty ? 0 : product
}
