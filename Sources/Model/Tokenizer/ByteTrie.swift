// Which keys begin here? A trie over bytes for finding added tokens in text and the pieces of a unigram model.

import Formats

/// Byte strings with a value each, found from a place in a text onward.
struct ByteTrie: Sendable {
  private struct Node {
    var parent: Int32
    /// Of the key that ends here, -1 where none does.
    var value: Int32 = -1
    /// The byte that leads here.
    var byte: UInt8
  }

  /// The root first.
  private var nodes: ContiguousArray<Node> = [Node(parent: -1, byte: 0)]
  /// Nodes by parent and byte.
  private var index = HashIndex(reserving: 0)
  private var startsKey = ContiguousArray<Bool>(repeating: false, count: 256)

  var isEmpty: Bool { nodes.count == 1 }

  /// Adds `key` with a value >= 0; of a key added twice the later value holds. Empty keys are ignored.
  mutating func insert(_ key: some Sequence<UInt8>, value: Int32) {
    var node: Int32 = 0
    for byte in key {
      if node == 0 { startsKey[Int(byte)] = true }
      node = child(of: node, byte) ?? add(Node(parent: node, byte: byte))
    }
    if node != 0 { nodes[Int(node)].value = value }
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
      let value = nodes[Int(node)].value
      if value >= 0 { body(end - position, value) }
    }
  }

  /// Length and value of the longest key that begins at `position`.
  func longestPrefix(of text: UnsafeBufferPointer<UInt8>, at position: Int) -> (length: Int, value: Int32)? {
    var longest: (Int, Int32)?
    forEachPrefix(of: text, at: position) { longest = ($0, $1) }
    return longest
  }

  @inline(__always)
  private func child(of node: Int32, _ byte: UInt8) -> Int32? {
    index.find(pairHash(node, Int32(byte))) { nodes[$0].parent == node && nodes[$0].byte == byte }.map(Int32.init(truncatingIfNeeded:))
  }

  private mutating func add(_ node: Node) -> Int32 {
    if nodes.count >= index.limit {
      index = HashIndex(reserving: nodes.count + nodes.count / 2)
      for (number, node) in nodes.enumerated().dropFirst() { index.insert(number, hash: pairHash(node.parent, Int32(node.byte))) }
    }
    index.insert(nodes.count, hash: pairHash(node.parent, Int32(node.byte)))
    nodes.append(node)
    return Int32(truncatingIfNeeded: nodes.count - 1)
  }
}
