// Does an object name a member twice? Small objects compare every pair; large ones (a vocabulary) hash. The hash is seeded anew in
// every process, so that a file cannot be built to make it slow.

/// Where a key begins that occurred before among `keys`, or nil.
///
/// - Parameter keys: where the keys of an object begin in the text, in order.
func firstRepeatedKey(_ keys: ArraySlice<UInt32>, in text: JSONText) -> Int? {
  if keys.count <= 12 {
    for (number, key) in keys.enumerated() {
      for other in keys.prefix(number) where isSameKey(Int(other), Int(key), text) { return Int(key) }
    }
    return nil
  }
  var capacity = 16
  while capacity < keys.count + keys.count / 2 { capacity *= 2 }
  var slots = ContiguousArray<UInt32>(repeating: 0, count: capacity)  // where a key begins; 0: free, as no key is the first byte
  return slots.withUnsafeMutableBufferPointer { slots in
    for key in keys {
      var slot = keyHash(Int(key), text) & (capacity - 1)
      while slots[slot] != 0 {
        if isSameKey(Int(slots[slot]), Int(key), text) { return Int(key) }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = key
    }
    return nil
  }
}

private func isSameKey(_ a: Int, _ b: Int, _ text: JSONText) -> Bool {
  let (first, second) = (text.string(at: a), text.string(at: b))
  if first.isEscaped || second.isEscaped { return text.unescaped(first.content) == text.unescaped(second.content) }
  return isEqual(text.buffer(first.content), text.buffer(second.content))
}

private func keyHash(_ key: Int, _ text: JSONText) -> Int {
  let (content, isEscaped) = text.string(at: key)
  return Int(isEscaped ? text.unescaped(content).withUnsafeBufferPointer(byteHash) : byteHash(text.buffer(content)))
}
