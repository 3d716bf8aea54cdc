// What attention remembers of one sequence: the keys and values of one layer, f32, each head's positions together (rows a multiple of
// 4 KiB apart would compete for a few cache sets). Grows with the sequence and is given back at its end.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Keys `[heads, capacity, keySize]` and values `[heads, capacity, valueSize]` of one sequence.
final class HeadCache {
  let heads: Int
  let keySize: Int
  let valueSize: Int
  private(set) var keys: UnsafeMutablePointer<Float>
  private(set) var values: UnsafeMutablePointer<Float>
  private(set) var capacity = 0

  init(heads: Int, keySize: Int, valueSize: Int) {
    (self.heads, self.keySize, self.valueSize) = (heads, keySize, valueSize)
    keys = .allocate(capacity: 1)
    values = .allocate(capacity: 1)
  }

  deinit {
    keys.deallocate()
    values.deallocate()
  }

  /// Forgets the sequence and gives its memory back.
  func clear() {
    guard capacity > 0 else { return }
    keys.deallocate()
    values.deallocate()
    (keys, values) = (.allocate(capacity: 1), .allocate(capacity: 1))
    capacity = 0
  }

  /// Stores keys and values of `count` tokens whose first position is `position`.
  ///
  /// - Parameter end: positions that will be stored soon, so that room for them is made once.
  /// - Shape: head h of token t at `keys + t * keyStride + h * keySize`, values alike.
  func store(
    keys newKeys: UnsafePointer<Float>, keyStride: Int, values newValues: UnsafePointer<Float>, valueStride: Int, position: Int, count: Int,
    end: Int = 0
  ) {
    reserve(max(position + count, end), keeping: position)
    for head in 0..<heads {
      let key = keys + (head * capacity + position) * keySize
      let value = values + (head * capacity + position) * valueSize
      for t in 0..<count {
        (key + t * keySize).update(from: newKeys + t * keyStride + head * keySize, count: keySize)
        (value + t * valueSize).update(from: newValues + t * valueStride + head * valueSize, count: valueSize)
      }
    }
  }

  private func reserve(_ positions: Int, keeping used: Int) {
    guard positions > capacity else { return }
    let larger = max(positions, min(2 * capacity, capacity + 4096), 64)
    func grow(_ old: UnsafeMutablePointer<Float>, _ size: Int) -> UnsafeMutablePointer<Float> {
      let new = Self.memory(heads * larger * size)
      for head in 0..<heads { (new + head * larger * size).update(from: old + head * capacity * size, count: used * size) }
      old.deallocate()
      return new
    }
    keys = grow(keys, keySize)
    values = grow(values, valueSize)
    capacity = larger
  }

  /// Room for numbers that every token reads from end to end: much of it on large pages where the system has them, or each small one would
  /// be looked up on the way.
  private static func memory(_ floats: Int) -> UnsafeMutablePointer<Float> {
    let large = 2 << 20
    let bytes = max(floats, 1) * MemoryLayout<Float>.size
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: bytes > 2 * large ? large : 64)
    #if os(Linux)
      if bytes > 2 * large { madvise(memory, bytes, MADV_HUGEPAGE) }
    #endif
    return memory.bindMemory(to: Float.self, capacity: floats)
  }
}
