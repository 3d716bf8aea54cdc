// Does an object name a member twice? Small objects compare every pair; large ones (a vocabulary) hash. The hash is seeded anew in
// every process, so that a file cannot be built to make it slow.

typealias JSONEntries = UnsafeBufferPointer<JSONDocument.Entry>

/// The entry of a key of `object` that occurred before in it, or nil.
func firstRepeatedKey(of object: Int, in entries: JSONEntries, text: UnsafePointer<UInt8>) -> Int? {
  let count = Int(entries[object].count)
  var keys = KeyIterator(object: object, entries: entries)
  if count <= 12 {
    while let key = keys.next() {
      var earlier = KeyIterator(object: object, entries: entries)
      while let other = earlier.next(), other < key {
        if isSameKey(other, key, entries, text) { return key }
      }
    }
    return nil
  }
  var capacity = 16
  while capacity < count * 2 { capacity *= 2 }
  var slots = ContiguousArray<UInt32>(repeating: 0, count: capacity)  // key entry; 0: free, as no key is the first entry
  return slots.withUnsafeMutableBufferPointer { slots in
    while let key = keys.next() {
      var slot = keyHash(entries[key], text) & (capacity - 1)
      while slots[slot] != 0 {
        if isSameKey(Int(slots[slot]), key, entries, text) { return key }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = UInt32(truncatingIfNeeded: key)
    }
    return nil
  }
}

/// The key entries of an object, in order.
private struct KeyIterator {
  let entries: JSONEntries
  var index: Int
  var remaining: Int

  init(object: Int, entries: JSONEntries) {
    self.entries = entries
    index = object + 1
    remaining = Int(entries[object].count)
  }

  @inline(__always)
  mutating func next() -> Int? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    defer { index = Int(entries[index + 1].next) }
    return index
  }
}

private func isSameKey(_ a: Int, _ b: Int, _ entries: JSONEntries, _ text: UnsafePointer<UInt8>) -> Bool {
  let (first, second) = (entries[a], entries[b])
  if first.kind == .string && second.kind == .string {
    let length = Int(first.end - first.start)
    guard length == Int(second.end - second.start) else { return false }
    return isEqual(text + Int(first.start), text + Int(second.start), length)
  }
  return unescaped(text, first) == unescaped(text, second)
}

@inline(__always)
func isEqual(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  var index = 0
  while index + 8 <= count {
    if UnsafeRawPointer(a + index).loadUnaligned(as: UInt64.self) != UnsafeRawPointer(b + index).loadUnaligned(as: UInt64.self) {
      return false
    }
    index += 8
  }
  while index < count {
    if a[index] != b[index] { return false }
    index += 1
  }
  return true
}

private let keySeed = UInt64.random(in: 0 ... .max) | 1

private func keyHash(_ key: JSONDocument.Entry, _ text: UnsafePointer<UInt8>) -> Int {
  if key.kind == .string { return keyHash(text + Int(key.start), Int(key.end - key.start)) }
  return unescaped(text, key).withUnsafeBufferPointer { bytes in
    bytes.baseAddress.map { keyHash($0, bytes.count) } ?? 0
  }
}

/// Folded multiplication over eight bytes at a time.
@inline(__always)
private func keyHash(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
  var hash = keySeed ^ UInt64(truncatingIfNeeded: count)
  var index = 0
  while index < count {
    var word: UInt64 = 0
    if index + 8 <= count {
      word = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt64.self)
    } else {
      for offset in 0..<(count - index) { word |= UInt64(bytes[index + offset]) << UInt64(offset * 8) }
    }
    let product = (hash ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15 ^ keySeed)
    hash = product.high ^ product.low ^ keySeed
    index += 8
  }
  return Int(truncatingIfNeeded: hash ^ hash >> 32)
}

/// The bytes of a string entry with its escapes resolved. The parser has checked them.
func unescaped(_ text: UnsafePointer<UInt8>, _ entry: JSONDocument.Entry) -> [UInt8] {
  var result = [UInt8]()
  var position = Int(entry.start)
  let end = Int(entry.end)
  result.reserveCapacity(end - position)
  while position < end {
    let byte = text[position]
    guard byte == ascii("\\") else {
      result.append(byte)
      position += 1
      continue
    }
    let letter = text[position + 1]
    position += 2
    switch letter {
    case ascii("b"): result.append(0x08)
    case ascii("f"): result.append(0x0C)
    case ascii("n"): result.append(0x0A)
    case ascii("r"): result.append(0x0D)
    case ascii("t"): result.append(0x09)
    case ascii("u"):
      var value = UInt32(bitPattern: hexUnit(text + position))
      position += 4
      if value & 0xFC00 == 0xD800 {
        let low = UInt32(bitPattern: hexUnit(text + position + 2))
        position += 6
        value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
      }
      if let scalar = UnicodeScalar(value) { result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter) }
    default: result.append(letter)
    }
  }
  return result
}
