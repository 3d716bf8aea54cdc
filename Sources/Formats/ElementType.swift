// What is one number of a stored tensor, and how many bytes does it take? The plain element types, for every file format of this
// room; block-quantised types (GGUF) are not elements. Each format maps its own spelling to these.

/// The type of one element of a stored tensor.
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

  /// Bytes one element takes.
  public var byteCount: Int {
    switch self {
    case .f64, .i64, .u64: return 8
    case .f32, .i32, .u32: return 4
    case .f16, .bf16, .i16, .u16: return 2
    case .f8E4M3, .f8E5M2, .f8E8M0, .i8, .u8, .bool: return 1
    }
  }

  /// The spelling in safetensors headers ("F32", "F8_E4M3").
  public var safetensorsName: String { self == .bool ? "BOOL" : rawValue.uppercased() }

  public init?(safetensorsName name: String) {
    guard let type = Self.bySafetensorsName[name] else { return nil }
    self = type
  }

  private static let bySafetensorsName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.safetensorsName, $0) })
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
