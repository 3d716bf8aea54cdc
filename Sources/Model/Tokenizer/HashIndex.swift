// Which number has this key? The slots of every table of a tokenizer: four bytes each, a number and as much of the key's hash as fits beside it.
// The keys are the owner's, who is asked whether the one with a number is meant.

import Formats

/// Numbers 0, 1, 2, … found by the hash of what they stand for.
struct HashIndex: Sendable {
  /// The number + 1 in the low bits, bits of the hash above them; 0: free.
  private var slots: ContiguousArray<UInt32>
  /// The bits that hold a number.
  private var numberMask: UInt32

  /// Room for the numbers below `count` before it must be made again.
  init(reserving count: Int) {
    let capacity = max(16, count + count / 2)
    slots = ContiguousArray(repeating: 0, count: capacity)
    numberMask = UInt32(truncatingIfNeeded: (1 << (Int.bitWidth - capacity.leadingZeroBitCount)) - 1)
  }

  /// Numbers below this have room.
  var limit: Int { slots.count - slots.count / 3 }

  /// The number whose key has `hash` and is the one that `isKey` recognises, or nil.
  @inline(__always)
  func find(_ hash: UInt32, _ isKey: (Int) -> Bool) -> Int? {
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
  mutating func insert(_ number: Int, hash: UInt32) {
    var slot = home(hash)
    while slots[slot] != 0 { slot = slot + 1 == slots.count ? 0 : slot + 1 }
    slots[slot] = (hash & ~numberMask) | UInt32(truncatingIfNeeded: number + 1)
  }

  /// Puts `new` in the place of `old`, which is there; the keys are equal.
  mutating func replace(_ old: Int, by new: Int, hash: UInt32) {
    var slot = home(hash)
    while Int(slots[slot] & numberMask) != old + 1 { slot = slot + 1 == slots.count ? 0 : slot + 1 }
    slots[slot] = (hash & ~numberMask) | UInt32(truncatingIfNeeded: new + 1)
  }

  mutating func removeAll() {
    for slot in slots.indices { slots[slot] = 0 }
  }

  /// From the low bits of the hash; the high ones stand in the slot.
  @inline(__always)
  private func home(_ hash: UInt32) -> Int {
    Int(truncatingIfNeeded: (UInt64(hash.byteSwapped) * UInt64(slots.count)) >> 32)
  }
}

/// The hash of two numbers.
@inline(__always)
func pairHash(_ a: Int32, _ b: Int32) -> UInt32 {
  let pair = (UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b))) ^ hashSeed
  let product = pair.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
  return UInt32(truncatingIfNeeded: product.high ^ product.low >> 32)
}
