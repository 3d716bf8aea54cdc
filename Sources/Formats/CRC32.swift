// Are these the bytes that were written? CRC-32 as zlib, gzip and PNG compute it, so that any language's standard library can write and
// check the same numbers: long texts by carry-less products where the processor has them, all else by zlib itself. It finds accidents and
// careless edits; it is no seal against someone who recomputes it.

import CChecksum
import CZlib

/// An incremental CRC-32 (polynomial 0x04C11DB7, reflected; the CRC of no bytes is 0).
///
/// - Source: RFC 1952, section 8. `CRC32` over "123456789" is 0xCBF43926.
public struct CRC32: Sendable, Equatable {
  public private(set) var value: UInt32 = 0

  public init() {}

  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    // zlib takes a missing buffer as the wish to begin anew.
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    let first = start.assumingMemoryBound(to: UInt8.self)
    let taken = moetop_crc32_blocks(&value, first, bytes.count)
    guard taken < bytes.count else { return }
    value = UInt32(truncatingIfNeeded: crc32_z(uLong(value), first + taken, bytes.count - taken))
  }

  public mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }
}
