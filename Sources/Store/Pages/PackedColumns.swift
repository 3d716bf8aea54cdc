// Numbers to bytes and back: the packed columns of a page. Everything is little-endian whatever the machine; f16 is converted here, as
// Swift's Float16 does not exist on every machine we run on. Lengths are the caller's to check before decoding.

import Foundation

enum PackedColumns {
  // MARK: Floats

  static func append(_ values: ArraySlice<Float>, as byteCount: Int, to bytes: inout [UInt8]) {
    values.withUnsafeBufferPointer { values in
      if byteCount == 4 {
        #if _endian(little)
          bytes.append(contentsOf: UnsafeRawBufferPointer(values))
        #else
          for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) } }
        #endif
      } else {
        bytes.reserveCapacity(bytes.count + 2 * values.count)
        for value in values {
          let half = halfBits(value)
          bytes.append(UInt8(truncatingIfNeeded: half))
          bytes.append(UInt8(truncatingIfNeeded: half >> 8))
        }
      }
    }
  }

  /// - Precondition: `bytes` holds `byteCount` bytes a value.
  static func floats(_ bytes: UnsafeRawBufferPointer, as byteCount: Int) -> [Float] {
    let count = bytes.count / byteCount
    return [Float](unsafeUninitializedCapacity: count) { output, initialized in
      if byteCount == 4 {
        #if _endian(little)
          UnsafeMutableRawBufferPointer(output).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<(4 * count)]))
        #else
          for index in 0..<count {
            output[index] = Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
          }
        #endif
      } else {
        for index in 0..<count {
          output[index] = float(half: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
        }
      }
      initialized = count
    }
  }

  static func append(_ values: [Double], to bytes: inout [UInt8]) {
    values.map { $0.bitPattern.littleEndian }.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }

  static func doubles(_ bytes: UnsafeRawBufferPointer) -> [Double] {
    (0..<bytes.count / 8).map {
      Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)))
    }
  }

  // MARK: Counts

  static func append(_ values: [UInt32], to bytes: inout [UInt8]) {
    bytes.reserveCapacity(bytes.count + 4 * values.count)
    for value in values { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
  }

  static func integers(_ data: Data) -> [UInt32] {
    data.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
    }
  }

  // MARK: Ids

  /// Appends ids of `byteCount` bytes each; an absent slot (-1) is stored as 0 and told apart by the page's `absent` bitmap.
  static func append(ids: [Int32], as byteCount: Int, to bytes: inout [UInt8]) {
    switch byteCount {
    case 1: append(ids, as: UInt8.self, to: &bytes)
    case 2: append(ids, as: UInt16.self, to: &bytes)
    default: append(ids, as: UInt32.self, to: &bytes)
    }
  }

  private static func append<Number: FixedWidthInteger & UnsignedInteger>(_ ids: [Int32], as: Number.Type, to bytes: inout [UInt8]) {
    // An array made with room for nothing writes to the one empty array that all threads share.
    guard !ids.isEmpty else { return }
    let width = MemoryLayout<Number>.size
    bytes += [UInt8](unsafeUninitializedCapacity: width * ids.count) { output, initialized in
      let output = UnsafeMutableRawBufferPointer(output)
      for index in ids.indices {
        output.storeBytes(of: Number(truncatingIfNeeded: max(ids[index], 0)).littleEndian, toByteOffset: width * index, as: Number.self)
      }
      initialized = width * ids.count
    }
  }

  /// Unsigned integers of 1, 2 or 4 bytes; values beyond `Int32` come out negative, which no caller accepts.
  static func integers(_ bytes: UnsafeRawBufferPointer, as byteCount: Int) -> [Int32] {
    let count = bytes.count / byteCount
    return [Int32](unsafeUninitializedCapacity: count) { output, initialized in
      switch byteCount {
      case 1: for index in 0..<count { output[index] = Int32(bytes[index]) }
      case 2:
        for index in 0..<count {
          output[index] = Int32(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
        }
      default:
        for index in 0..<count {
          output[index] = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self))
        }
      }
      initialized = count
    }
  }

  // MARK: Bitmaps

  /// One bit a flag, least significant first.
  static func bitmap(_ flags: ArraySlice<Bool>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: (flags.count + 7) / 8)
    for (index, flag) in flags.enumerated() where flag { bytes[index >> 3] |= 1 << (index & 7) }
    return bytes
  }

  /// - Precondition: `bytes` holds `count` bits.
  static func flags(_ bytes: UnsafeRawBufferPointer, count: Int) -> [Bool] {
    (0..<count).map { bytes[$0 >> 3] >> ($0 & 7) & 1 == 1 }
  }

  // MARK: Half precision

  /// Whether the f16 nearest to a finite `value` is infinite: from 65,520 on.
  static func overflowsHalf(_ value: Float) -> Bool { value.isFinite && abs(value) >= 65520 }

  /// The f16 nearest to `value`, ties to even; too large becomes infinite, NaN stays NaN.
  static func halfBits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
    let magnitude = bits & 0x7fff_ffff
    if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
    if magnitude >= 0x477f_f000 { return sign | 0x7c00 }  // 65520 and above round to infinity
    if magnitude < 0x3880_0000 {  // below 2^-14: subnormal, in units of 2^-24
      let scaled = Float(bitPattern: magnitude) * 0x1p24
      return sign | UInt16(scaled.rounded(.toNearestOrEven))
    }
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded - 0x3800_0000) >> 13)
  }

  static func float(half: UInt16) -> Float {
    let sign = UInt32(half & 0x8000) << 16
    let exponent = UInt32(half >> 10 & 0x1f)
    let mantissa = UInt32(half & 0x3ff)
    switch exponent {
    case 0:
      let magnitude = Float(mantissa) * 0x1p-24
      return Float(bitPattern: magnitude.bitPattern | sign)
    case 0x1f: return Float(bitPattern: sign | 0x7f80_0000 | mantissa << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | mantissa << 13)
    }
  }
}

/// Floats that are packed as they come: as f16 where that is asked for, until one comes that f16 would make infinite; then all are f32.
struct PackedFloats: Sendable, Equatable {
  /// 4, 2, or 0 when none are kept.
  private(set) var byteCount: Int
  private(set) var bytes: [UInt8] = []

  init(byteCount: Int) { self.byteCount = byteCount }

  mutating func append(_ values: [Float]) {
    if byteCount == 2, values.contains(where: PackedColumns.overflowsHalf) {
      let before = bytes.withUnsafeBytes { PackedColumns.floats($0, as: 2) }
      bytes.removeAll()
      byteCount = 4
      PackedColumns.append(before[...], as: 4, to: &bytes)
    }
    PackedColumns.append(values[...], as: byteCount, to: &bytes)
  }

  /// Bytes of the values in `range`.
  func bytes(of range: Range<Int>) -> ArraySlice<UInt8> { bytes[range.lowerBound * byteCount..<range.upperBound * byteCount] }
}
