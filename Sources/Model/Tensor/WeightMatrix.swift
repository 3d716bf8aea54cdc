// How does a weight lie in memory? A matrix in place, in the type its file stores it in, with the scales that some files keep beside
// it. Its numbers are the f32 values that the type defines (CKernels' body_dequant.h); products in f32 have the bits of those with
// that f32 matrix.

import CKernels
import Formats

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// How the elements of a weight are stored: the types of files that the engine computes with.
public enum StoredType: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q40 = 2
  case q41 = 3
  case q50 = 6
  case q51 = 7
  case q80 = 8
  case q2K = 10
  case q3K = 11
  case q4K = 12
  case q5K = 13
  case q6K = 14
  case iq2XXS = 16
  case iq2XS = 17
  case iq3XXS = 18
  case iq1S = 19
  case iq4NL = 20
  case iq3S = 21
  case iq2S = 22
  case iq4XS = 23
  case f64 = 28
  case iq1M = 29
  case bf16 = 30
  case tq10 = 34
  case tq20 = 35
  case mxfp4 = 39
  case nvfp4 = 40
  case q10 = 41
  case q20 = 42
  case f8E4M3 = 100
  case f8E5M2 = 101
  case f8E8M0 = 102
  /// 4-bit floats, two a byte, the first in the low bits; gpt-oss keeps their scales in another tensor.
  case f4E2M1 = 103
  /// 4-bit whole numbers, stored 8 too large, two a byte, the first in the low bits; compressed-tensors keeps their scales in another
  /// tensor.
  case u4B8 = 104

  /// nil for integers.
  init?(_ type: ElementType) {
    guard let known = Self.byElementType[type] else { return nil }
    self = known
  }

  private static let byElementType: [ElementType: StoredType] = [
    .f32: .f32, .f16: .f16, .q40: .q40, .q41: .q41, .q50: .q50, .q51: .q51, .q80: .q80, .q2K: .q2K, .q3K: .q3K, .q4K: .q4K,
    .q5K: .q5K, .q6K: .q6K, .iq4NL: .iq4NL, .iq4XS: .iq4XS, .f64: .f64, .bf16: .bf16, .tq10: .tq10, .tq20: .tq20, .mxfp4: .mxfp4,
    .nvfp4: .nvfp4, .q10: .q10, .q20: .q20, .f8E4M3: .f8E4M3, .f8E5M2: .f8E5M2, .f8E8M0: .f8E8M0, .iq1S: .iq1S, .iq1M: .iq1M,
    .iq2XXS: .iq2XXS, .iq2XS: .iq2XS, .iq2S: .iq2S, .iq3XXS: .iq3XXS, .iq3S: .iq3S,
  ]

  /// Names of the types above as files spell them, for errors.
  static var supportedNames: String { byElementType.keys.map(\.safetensorsName).sorted().joined(separator: ", ") }

  var kernelType: mt_element_type { mt_element_type(rawValue) }

  /// Whether numbers are entries of tables that do not come with the program (`LookupTables`).
  var needsTables: Bool { mt_needs_tables(kernelType) }

  /// Elements that are stored together; rows hold a multiple of them.
  public var blockSize: Int { mt_block_elements(kernelType) }

  /// Bytes of one stored row of so many elements.
  public func rowBytes(columns: Int) -> Int { mt_row_bytes(kernelType, columns) }
}

extension StoredType: CustomStringConvertible {
  /// As in `--json` and traces: "bf16", "q4_k".
  public var description: String {
    switch self {
    case .f4E2M1: "f4_e2m1"
    case .u4B8: "int4"
    default: Self.byElementType.first { $0.value == self }?.key.rawValue ?? "unknown"
    }
  }
}

/// Scales that a file keeps beside a weight: element `[row, column]` of the whole stored tensor is multiplied by the scale
/// `[row / rowsPerScale, column / columnsPerScale]`.
struct CompanionScales {
  var base: UnsafeRawPointer
  var type: StoredType
  var rowBytes: Int
  var rowsPerScale: Int
  var columnsPerScale: Int
  /// The stored row that is row 0 of the matrix, and the distance to row 1.
  var firstRow = 0
  var rowStep = 1
}

/// A weight as it lies in the mapped file: `[rows, columns]`, rows `rowBytes` apart, any alignment.
///
/// Elements of a row lie together, or `inputBytes` apart where the file has inputs as rows (`columns(from:step:count:)`).
///
/// - Note: `@unchecked Sendable`: immutable bytes; whoever mapped them keeps them mapped.
public struct WeightMatrix: @unchecked Sendable {
  public var base: UnsafeRawPointer
  public var type: StoredType
  public var rows: Int
  public var columns: Int
  public var rowBytes: Int
  /// From an element of a row to the next; nil: they follow one another, in blocks.
  public private(set) var inputBytes: Int?
  var scales: CompanionScales?
  /// What kernels look numbers up in, kept by whoever keeps `base`; without it a matrix of a type that needs tables is only described.
  var tables: OpaquePointer?

  public init(base: UnsafeRawPointer, type: StoredType, rows: Int, columns: Int, rowBytes: Int? = nil, tables: OpaquePointer? = nil) {
    self.base = base
    self.tables = tables
    self.type = type
    self.rows = rows
    self.columns = columns
    self.rowBytes = rowBytes ?? type.rowBytes(columns: columns)
  }

  /// Some of the rows, as a matrix of its own.
  public func rows(_ range: Range<Int>) -> WeightMatrix { rows(from: range.lowerBound, step: 1, count: range.count) }

  /// Rows `first`, `first + step`, ..., as a matrix of its own.
  public func rows(from first: Int, step: Int, count: Int) -> WeightMatrix {
    var part = self
    part.base += first * rowBytes
    part.rows = count
    part.rowBytes *= step
    if let scales {
      part.scales?.firstRow += first * scales.rowStep
      part.scales?.rowStep *= step
    }
    return part
  }

  /// Whether another matrix has the same bytes, as far as that can be known without reading more than 64 MiB.
  func isSame(as other: WeightMatrix) -> Bool {
    if base == other.base { return true }
    guard type == other.type, rows == other.rows, columns == other.columns, rowBytes == other.rowBytes, rows * rowBytes <= 64 << 20 else {
      return false
    }
    return memcmp(base, other.base, rows * rowBytes) == 0
  }

  /// Columns `first`, `first + step`, ... as rows of a matrix of its own, which is read where it lies: `[count, rows]`.
  ///
  /// - Returns: nil where elements cannot be read one by one (blocks), and where scales lie beside them.
  public func columns(from first: Int, step: Int, count: Int) -> WeightMatrix? {
    guard type.blockSize == 1, scales == nil, inputBytes == nil else { return nil }
    let size = type.rowBytes(columns: 1)
    var turned = WeightMatrix(base: base + first * size, type: type, rows: count, columns: rows, rowBytes: step * size)
    turned.inputBytes = rowBytes
    return turned
  }

  /// The rows of two matrices in turns, `[2 * rows, columns]`, where a file with inputs as rows keeps them so: each stored row then holds
  /// the elements of both, and is read once.
  public static func interleaved(_ first: WeightMatrix, _ second: WeightMatrix) -> WeightMatrix? {
    let size = first.type.rowBytes(columns: 1)
    guard first.inputBytes != nil, first.inputBytes == second.inputBytes, first.type == second.type, first.rows == second.rows,
      first.columns == second.columns, first.rowBytes == 2 * size, second.rowBytes == 2 * size, second.base == first.base + size
    else { return nil }
    var both = first
    both.rows = 2 * first.rows
    both.rowBytes = size
    return both
  }

  /// Rows that a thread should take at least, and multiples of them: where inputs are rows in the file two cache lines of each, for many
  /// tokens whole panels.
  func rowGrain(tokens: Int, sums: ProductSums) -> Int {
    inputBytes != nil ? 64 : sums.layTokens || mt_takes_panels(type.kernelType, tokens) ? 32 : 8
  }

  /// Whether what a product with this matrix laid out of its tokens is what one with the other would: the same numbers, kept in the same way.
  func laysTokens(like other: WeightMatrix) -> Bool {
    type == other.type && columns == other.columns && inputBytes == nil && other.inputBytes == nil && scales == nil && other.scales == nil
  }

  /// Whether products with this matrix can find their tokens laid out.
  var canLayTokens: Bool {
    var matrix = kernelMatrix
    return mt_can_lay(&matrix)
  }

  /// One row widened to f32: an embedding.
  public func read(row: Int, into out: UnsafeMutablePointer<Float>) {
    var matrix = kernelMatrix
    mt_read_row(out, &matrix, row)
  }

  /// - Precondition: its numbers are known: it has tables, or a type that needs none.
  var kernelMatrix: mt_matrix {
    precondition(tables != nil || !type.needsTables, "a matrix whose numbers are not known takes part in a product")
    return mt_matrix(
      base: base, row_bytes: rowBytes, rows: rows, depth: columns, type: type.kernelType, scales: kernelScales,
      depth_bytes: inputBytes ?? 0, tables: tables)
  }

  private var kernelScales: mt_scales {
    guard let scales else { return mt_scales() }
    return mt_scales(
      base: scales.base, row_bytes: scales.rowBytes, type: scales.type.kernelType, rows: scales.rowsPerScale,
      columns: scales.columnsPerScale, first_row: scales.firstRow, row_step: scales.rowStep)
  }
}
