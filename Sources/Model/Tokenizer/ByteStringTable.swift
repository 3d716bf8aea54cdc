// Which number has this string of bytes? An insertion-ordered hash table whose keys lie end to end in one buffer: vocabularies of
// hundreds of thousands of tokens and the word cache share it. A Dictionary of Strings would allocate for every key and hash slowly.

/// Byte strings numbered 0, 1, 2, … in order of insertion.
struct ByteStringTable: Sendable {
  private var bytes = ContiguousArray<UInt8>()
  /// Where string `i` begins; the end of the last is the last element.
  private var starts: ContiguousArray<UInt32> = [0]
  /// Hash in the high half, number of the string + 1 in the low half; 0: free. The count is a power of two.
  private var slots = ContiguousArray<UInt64>(repeating: 0, count: 16)

  init(reserving count: Int = 0) {
    starts.reserveCapacity(count + 1)
    bytes.reserveCapacity(count * 8)
    if count > 0 { grow(toHold: count) }
  }

  var count: Int { starts.count - 1 }

  /// The string with number `index`, copied.
  subscript(index: Int) -> ArraySlice<UInt8> {
    ArraySlice(bytes[Int(starts[index])..<Int(starts[index + 1])])
  }

  /// Calls `body` with string number `index` in place.
  @inline(__always)
  func withBytes<Result>(of index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    bytes.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[Int(starts[index])..<Int(starts[index + 1])])) }
  }

  /// The number of `key`, or nil.
  @inline(__always)
  func find(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
    find(key, hash: Self.hash(key))
  }

  func find(_ key: some Sequence<UInt8>) -> Int? {
    ContiguousArray(key).withUnsafeBufferPointer { find($0) }
  }

  private func find(_ key: UnsafeBufferPointer<UInt8>, hash: UInt32) -> Int? {
    slots.withUnsafeBufferPointer { slots in
      let mask = slots.count - 1
      var slot = Int(hash) & mask
      while slots[slot] != 0 {
        if UInt32(truncatingIfNeeded: slots[slot] >> 32) == hash {
          let index = Int(UInt32(truncatingIfNeeded: slots[slot])) - 1
          if isKey(index, key) { return index }
        }
        slot = (slot + 1) & mask
      }
      return nil
    }
  }

  /// Adds `key` unless it is there; its number either way.
  /// - Precondition: the strings held are shorter than 4 GiB together, as every source of them is.
  @discardableResult
  mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> Int {
    let hash = Self.hash(key)
    if let index = find(key, hash: hash) { return index }
    if (count + 1) * 2 > slots.count { grow(toHold: count + 1) }
    let index = count
    bytes.append(contentsOf: key)
    starts.append(UInt32(bytes.count))
    place(UInt64(hash) << 32 | UInt64(index + 1))
    return index
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    starts.removeAll(keepingCapacity: true)
    starts.append(0)
    for slot in slots.indices { slots[slot] = 0 }
  }

  @inline(__always)
  private func isKey(_ index: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
    let start = Int(starts[index])
    guard Int(starts[index + 1]) - start == key.count else { return false }
    return bytes.withUnsafeBufferPointer { bytes in
      for offset in 0..<key.count where bytes[start + offset] != key[offset] { return false }
      return true
    }
  }

  private mutating func place(_ entry: UInt64) {
    let mask = slots.count - 1
    var slot = Int(entry >> 32) & mask
    while slots[slot] != 0 { slot = (slot + 1) & mask }
    slots[slot] = entry
  }

  private mutating func grow(toHold wanted: Int) {
    var capacity = slots.count
    while capacity < wanted * 2 { capacity *= 2 }
    let old = slots
    slots = ContiguousArray(repeating: 0, count: capacity)
    for entry in old where entry != 0 { place(entry) }
  }

  /// Folded multiplication over eight bytes at a time, seeded anew in every process so that no file can be built to collide.
  @inline(__always)
  private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt32 {
    let seed = seed
    var hash = seed ^ UInt64(truncatingIfNeeded: key.count)
    let start = UnsafeRawPointer(key.baseAddress)
    var rest = key.count
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

  private static let seed = UInt64.random(in: 0 ... .max)
}
