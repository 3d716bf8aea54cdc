// Which bucket do these bytes belong in? The hash of every table of byte strings, seeded anew in every process so that no file can be built
// to collide.

/// Of every table of this process.
public let hashSeed = UInt64.random(in: 0 ... .max)

/// Folded multiplication over eight bytes at a time.
public func byteHash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
  let seed = hashSeed
  var hash = seed ^ UInt64(truncatingIfNeeded: bytes.count)
  let start = UnsafeRawPointer(bytes.baseAddress)
  var rest = bytes.count
  var offset = 0
  while rest > 0, let start {
    var word: UInt64 = 0
    if rest >= 8 {
      word = start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    } else if rest >= 4 {
      // Two overlapping halves cover four to seven bytes.
      let low = start.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      let high = start.loadUnaligned(fromByteOffset: offset + rest - 4, as: UInt32.self)
      word = UInt64(low) | UInt64(high) << 32
    } else {
      let middle = start.load(fromByteOffset: offset + rest / 2, as: UInt8.self)
      let last = start.load(fromByteOffset: offset + rest - 1, as: UInt8.self)
      word = UInt64(start.load(fromByteOffset: offset, as: UInt8.self)) | UInt64(middle) << 8 | UInt64(last) << 16
    }
    let product = (hash ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    hash = product.high ^ product.low
    rest -= 8
    offset += 8
  }
  let product = (hash ^ seed).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
  return UInt32(truncatingIfNeeded: product.high ^ product.low)
}
