// What the kernel tests share: the forms this machine can run, seeded numbers, and guarded buffers.

import CKernels
import Foundation
import Support
import Testing

/// One table of kernels, named for test output.
struct Form: Sendable, CustomTestStringConvertible {
  let level: mt_level

  var kernels: mt_kernels {
    guard let table = mt_kernels_at(level) else { preconditionFailure("form listed but not available") }
    return table.pointee
  }

  var testDescription: String { String(cString: mt_simd_level_name(level)) }

  static let all = [MT_SCALAR, MT_NEON, MT_AVX2, MT_AVXVNNI, MT_AVX512, MT_AVX512VNNI, MT_NEONDOT, MT_AVX512AMX]
    .filter { mt_kernels_at($0) != nil }.map { Form(level: $0) }
  static let scalar = Form(level: MT_SCALAR)
}

/// splitmix64: the same numbers everywhere.
struct Numbers: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func float(_ range: ClosedRange<Float> = -1...1) -> Float { Float.random(in: range, using: &self) }
  mutating func floats(_ count: Int, _ range: ClosedRange<Float> = -1...1) -> [Float] { (0..<count).map { _ in float(range) } }
}

/// Floats at an odd offset, with canaries around them: writes outside are found.
final class Floats {
  static let canary = Float(-12345.678)
  let count: Int
  private let base: UnsafeMutablePointer<Float>
  private let offset: Int

  init(_ values: [Float], offset: Int = 3) {
    count = values.count
    self.offset = offset
    base = .allocate(capacity: values.count + offset + 16)
    base.initialize(repeating: Self.canary, count: values.count + offset + 16)
    for (i, value) in values.enumerated() { base[offset + i] = value }
  }

  convenience init(count: Int, offset: Int = 3) { self.init([Float](repeating: 777, count: count), offset: offset) }

  deinit { base.deallocate() }

  var pointer: UnsafeMutablePointer<Float> { base + offset }
  var values: [Float] { (0..<count).map { base[offset + $0] } }
  var bits: [UInt32] { values.map(\.bitPattern) }
  var isIntact: Bool {
    (0..<offset).allSatisfy { base[$0] == Self.canary } && (0..<16).allSatisfy { base[offset + count + $0] == Self.canary }
  }
}

/// A weight as stored bytes, at an odd byte offset if wanted, and what those bytes mean.
final class Stored {
  let type: mt_element_type
  let rows: Int
  let depth: Int
  /// `[rows, depth]` the values after rounding to the type.
  let values: [Float]
  private let bytes: UnsafeMutableRawPointer
  let offset: Int
  let rowBytes: Int

  init(_ wanted: [Float], rows: Int, depth: Int, type: mt_element_type, offset: Int = 0, padding: Int = 0) {
    self.type = type
    self.rows = rows
    self.depth = depth
    self.offset = offset
    rowBytes = mt_row_bytes(type, depth) + padding
    bytes = .allocate(byteCount: offset + rowBytes * rows + 1, alignment: 64)
    var values = wanted
    for r in 0..<rows {
      for i in 0..<depth {
        let at = bytes + offset + r * rowBytes
        let value = wanted[r * depth + i]
        switch type {
        case MT_F16:
          let half = Float16Bits(value)
          (at + 2 * i).copyMemory(from: [half.bits], byteCount: 2)
          values[r * depth + i] = half.value
        case MT_BF16:
          let half = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
          (at + 2 * i).copyMemory(from: [half], byteCount: 2)
          values[r * depth + i] = Float(bitPattern: UInt32(half) << 16)
        default:
          (at + 4 * i).copyMemory(from: [value], byteCount: 4)
        }
      }
    }
    self.values = values
  }

  deinit { bytes.deallocate() }

  var base: UnsafeRawPointer { UnsafeRawPointer(bytes + offset) }
  var matrix: mt_matrix {
    mt_matrix(base: base, row_bytes: rowBytes, rows: rows, depth: depth, type: type, scales: mt_scales(), depth_bytes: 0, tables: nil)
  }
}

/// Half precision by hand, as Float16 is not on every platform: truncation is enough to make test weights.
struct Float16Bits {
  let bits: UInt16

  init(bits: UInt16) { self.bits = bits }

  init(_ value: Float) {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let exponent = Int(value.bitPattern >> 23 & 255) - 112
    let fraction = UInt16(truncatingIfNeeded: value.bitPattern >> 13) & 1023
    bits = exponent <= 0 ? sign : exponent >= 31 ? sign | 0x7bff : sign | UInt16(exponent) << 10 | fraction
  }

  var value: Float {
    let exponent = Int(bits >> 10 & 31)
    let fraction = Float(bits & 1023)
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
    if exponent == 0 { return sign * fraction * Float(sign: .plus, exponent: -24, significand: 1) }
    return sign * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
  }
}

/// Tables of the types that look their numbers up.
///
/// `@unchecked Sendable`: written before the initializer returns, then only read.
final class LookupContent: @unchecked Sendable {
  /// Those of the tests' own copy, behind its header.
  static var own: LookupContent { get throws { try known.get() } }
  private static let known = Result {
    LookupContent(Array(try Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("lookup/iq-tables.bin")))).dropFirst(64)))
  }

  let byteCount: Int
  private let memory: UnsafeMutableRawPointer

  init(_ bytes: [UInt8]) {
    byteCount = bytes.count
    memory = .allocate(byteCount: bytes.count, alignment: 64)
    memory.copyMemory(from: bytes, byteCount: bytes.count)
  }

  deinit { memory.deallocate() }

  var pointer: OpaquePointer { OpaquePointer(memory) }
}

func withScratch<R>(_ bytes: Int, _ body: (UnsafeMutableRawPointer) throws -> R) rethrows -> R {
  let scratch = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
  defer { scratch.deallocate() }
  return try body(scratch)
}

/// Distance in units in the last place; huge across NaN or sign.
func ulps(_ a: Float, _ b: Float) -> Int {
  if a == b || (a.isNaN && b.isNaN) { return 0 }
  if a.isNaN || b.isNaN || a.sign != b.sign { return .max }
  return abs(Int(a.bitPattern) - Int(b.bitPattern))
}
