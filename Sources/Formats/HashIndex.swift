// Which number has this key? The slots of every table of names and tokens: four bytes each, a number and as much of the key's hash as
// fits beside it. The keys are the owner's, who is asked whether the one with a number is meant.

/// Numbers 0, 1, 2, … found by the hash of what they stand for.
@frozen public struct HashIndex: Sendable {
  /// The number + 1 in the low bits, bits of the hash above them; 0: free.
  @usableFromInline var slots: ContiguousArray<UInt32>
  /// The bits that hold a number.
  @usableFromInline var numberMask: UInt32

  /// Room for the numbers below `count` before it must be made again.
  @inlinable public init(reserving count: Int) {
    let capacity = max(16, count + count / 2)
    slots = ContiguousArray(repeating: 0, count: capacity)
    numberMask = UInt32(truncatingIfNeeded: (1 << (Int.bitWidth - capacity.leadingZeroBitCount)) - 1)
  }

  /// Numbers below this have room.
  @inlinable public var limit: Int { slots.count - slots.count / 3 }

  /// The number whose key has `hash` and is the one that `isKey` recognises, or nil.
  @inlinable @inline(__always)
  public func find(_ hash: UInt32, _ isKey: (Int) -> Bool) -> Int? {
    slots.withUnsafeBufferPointer { slots in
      var slot = home(hash)
      while slots[slot] != 0 {
        if (slots[slot] ^ hash) & ~numberMask == 0 {
          let number = Int(slots[slot] & numberMask) - 1
          if isKey(number) { return number }
        }
        slot = slot + 1 == slots.count ? 0 : slot + 1
      }
      return nil
    }
  }

  /// Adds a number whose key is not there yet.
  /// - Precondition: number < `limit`.
  @inlinable public mutating func insert(_ number: Int, hash: UInt32) {
    var slot = home(hash)
    while slots[slot] != 0 { slot = slot + 1 == slots.count ? 0 : slot + 1 }
    slots[slot] = (hash & ~numberMask) | UInt32(truncatingIfNeeded: number + 1)
  }

  /// Puts `new` in the place of `old`, which is there; the keys are equal.
  @inlinable public mutating func replace(_ old: Int, by new: Int, hash: UInt32) {
    var slot = home(hash)
    while Int(slots[slot] & numberMask) != old + 1 { slot = slot + 1 == slots.count ? 0 : slot + 1 }
    slots[slot] = (hash & ~numberMask) | UInt32(truncatingIfNeeded: new + 1)
  }

  @inlinable public mutating func removeAll() {
    for slot in slots.indices { slots[slot] = 0 }
  }

  /// From the low bits of the hash; the high ones stand in the slot.
  @inlinable @inline(__always) func home(_ hash: UInt32) -> Int {
    Int(truncatingIfNeeded: (UInt64(hash.byteSwapped) * UInt64(slots.count)) >> 32)
  }
}
