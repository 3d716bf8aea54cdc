// Does an object name a member twice? Small objects compare every pair; large ones (a vocabulary) hash. The hash is seeded anew in
// every process, so that a file cannot be built to make it slow.

/// Where a key of `object` begins that occurred before in it, or nil.
func firstRepeatedKey(of object: JSONSpans.Span, in text: JSONText, _ spans: JSONSpans) -> Int? {
  var keys = KeyIterator(object, text, spans)
  if object.count <= 12 {
    return withUnsafeTemporaryAllocation(of: Int.self, capacity: 12) { earlier in
      var count = 0
      while let key = keys.next() {
        for other in earlier[..<count] where isSameKey(other, key, text) { return key }
        earlier[count] = key
        count += 1
      }
      return nil
    }
  }
  var capacity = 16
  while capacity < object.count + object.count / 2 { capacity *= 2 }
  var slots = ContiguousArray<UInt32>(repeating: 0, count: capacity)  // where a key begins; 0: free, as no key is the first byte
  return slots.withUnsafeMutableBufferPointer { slots in
    while let key = keys.next() {
      var slot = keyHash(key, text) & (capacity - 1)
      while slots[slot] != 0 {
        if isSameKey(Int(slots[slot]), key, text) { return key }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = UInt32(truncatingIfNeeded: key)
    }
    return nil
  }
}

/// Where the keys of an object begin, in order.
private struct KeyIterator {
  let text: JSONText
  let spans: JSONSpans
  var position: Int
  var remaining: Int

  init(_ object: JSONSpans.Span, _ text: JSONText, _ spans: JSONSpans) {
    (self.text, self.spans) = (text, spans)
    position = object.start + 1
    remaining = object.count
  }

  @inline(__always)
  mutating func next() -> Int? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    let key = text.afterSpace(position)
    let value = text.afterSpace(text.afterSpace(text.afterValue(at: key)) + 1)
    position = text.afterSpace(spans[at: value]?.end ?? text.afterValue(at: value)) + 1
    return key
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
