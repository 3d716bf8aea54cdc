// Which keys begin here? A trie over bytes for finding added tokens in text and the pieces of a unigram model.

/// Byte strings with a value each, found from a place in a text onward.
struct ByteTrie: Sendable {
  /// Children by (node, byte), open addressing; key 0 is free because no edge leads back to the root by byte 0: keys are shifted by one.
  private var keys: ContiguousArray<UInt64> = ContiguousArray(repeating: 0, count: 64)
  private var children: ContiguousArray<Int32> = ContiguousArray(repeating: 0, count: 64)
  /// Value of the key that ends at a node, -1 where none does.
  private var values: ContiguousArray<Int32> = [-1]
  private var startsKey = ContiguousArray<Bool>(repeating: false, count: 256)

  var isEmpty: Bool { values.count == 1 }

  /// Adds `key` with a value >= 0; of a key added twice the later value holds. Empty keys are ignored.
  mutating func insert(_ key: some Sequence<UInt8>, value: Int32) {
    var node: Int32 = 0
    for byte in key {
      if node == 0 { startsKey[Int(byte)] = true }
      if let child = child(of: node, byte) {
        node = child
      } else {
        let new = Int32(values.count)
        values.append(-1)
        if values.count * 2 > keys.count { grow() }
        place(Self.key(node, byte), new)
        node = new
      }
    }
    if node != 0 { values[Int(node)] = value }
  }

  /// Calls `body` with the length and value of every key that begins at `position`, shortest first.
  @inline(__always)
  func forEachPrefix(of text: UnsafeBufferPointer<UInt8>, at position: Int, _ body: (Int, Int32) -> Void) {
    guard startsKey[Int(text[position])] else { return }
    var node: Int32 = 0
    var end = position
    while end < text.count, let next = child(of: node, text[end]) {
      node = next
      end += 1
      if values[Int(node)] >= 0 { body(end - position, values[Int(node)]) }
    }
  }

  /// Length and value of the longest key that begins at `position`.
  func longestPrefix(of text: UnsafeBufferPointer<UInt8>, at position: Int) -> (length: Int, value: Int32)? {
    var longest: (Int, Int32)?
    forEachPrefix(of: text, at: position) { longest = ($0, $1) }
    return longest
  }

  @inline(__always)
  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    (UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)) + 1
  }

  @inline(__always)
  private func slot(_ key: UInt64) -> Int {
    let product = key.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return Int(truncatingIfNeeded: product.high ^ product.low) & (keys.count - 1)
  }

  @inline(__always)
  private func child(of node: Int32, _ byte: UInt8) -> Int32? {
    let key = Self.key(node, byte)
    var index = slot(key)
    while keys[index] != 0 {
      if keys[index] == key { return children[index] }
      index = (index + 1) & (keys.count - 1)
    }
    return nil
  }

  private mutating func place(_ key: UInt64, _ child: Int32) {
    var index = slot(key)
    while keys[index] != 0 { index = (index + 1) & (keys.count - 1) }
    keys[index] = key
    children[index] = child
  }

  private mutating func grow() {
    let (oldKeys, oldChildren) = (keys, children)
    keys = ContiguousArray(repeating: 0, count: oldKeys.count * 2)
    children = ContiguousArray(repeating: 0, count: oldKeys.count * 2)
    for index in oldKeys.indices where oldKeys[index] != 0 { place(oldKeys[index], oldChildren[index]) }
  }
}
