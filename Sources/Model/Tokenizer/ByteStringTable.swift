// Which number has this string of bytes? An insertion-ordered hash table whose keys lie end to end in one buffer: vocabularies of
// hundreds of thousands of tokens and the word cache share it. A Dictionary of Strings would allocate for every key and hash slowly.

import Formats

/// Byte strings numbered 0, 1, 2, … in order of insertion.
struct ByteStringTable: Sendable {
  private var bytes = ContiguousArray<UInt8>()
  /// Where string `i` begins; the end of the last is the last element.
  private var starts: ContiguousArray<UInt32> = [0]
  private var index: HashIndex

  /// Room for `count` strings of `byteCount` bytes together.
  init(reserving count: Int = 0, byteCount: Int = 0) {
    index = HashIndex(reserving: count)
    if count > 0 { starts.reserveCapacity(count + 1) }
    if byteCount > 0 { bytes.reserveCapacity(byteCount) }
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
    index.find(byteHash(key)) { isKey($0, key) }
  }

  func find(_ key: some Sequence<UInt8>) -> Int? {
    ContiguousArray(key).withUnsafeBufferPointer { find($0) }
  }

  /// Adds `key` unless it is there; its number either way.
  /// - Precondition: the strings held are shorter than 4 GiB together, as every source of them is.
  @discardableResult
  mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> Int {
    let hash = byteHash(key)
    if let number = index.find(hash, { isKey($0, key) }) { return number }
    return append(key, hash: hash)
  }

  /// Adds `key` with the next number; an equal key before it keeps its bytes and is no longer found.
  ///
  /// - Returns: the number of that equal key, or nil.
  @discardableResult
  mutating func append(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
    let hash = byteHash(key)
    guard let old = index.find(hash, { isKey($0, key) }) else {
      append(key, hash: hash)
      return nil
    }
    makeRoom()
    index.replace(old, by: count, hash: hash)
    bytes.append(contentsOf: key)
    starts.append(UInt32(bytes.count))
    return old
  }

  /// Uses up a number for nothing that can be found.
  mutating func appendNothing() {
    makeRoom()
    starts.append(UInt32(bytes.count))
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    starts.removeAll(keepingCapacity: true)
    starts.append(0)
    index.removeAll()
  }

  @discardableResult
  private mutating func append(_ key: UnsafeBufferPointer<UInt8>, hash: UInt32) -> Int {
    makeRoom()
    index.insert(count, hash: hash)
    bytes.append(contentsOf: key)
    starts.append(UInt32(bytes.count))
    return count - 1
  }

  /// Makes the next number fit.
  private mutating func makeRoom() {
    guard count >= index.limit else { return }
    var larger = HashIndex(reserving: 2 * count)
    for number in 0..<count {
      withBytes(of: number) { key in
        // What cannot be found now shall not be found then.
        if find(key) == number { larger.insert(number, hash: byteHash(key)) }
      }
    }
    index = larger
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
}
