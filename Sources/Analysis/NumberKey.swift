// The order in which quantiles are kept: numbers as integers that rise with them, and integers sorted.

/// Numbers as integers that rise with them, dense next to 0 and next to 1.
///
/// Distances are exact: 1 - x and x - 1 of a float are floats for x from 1/2 to 2^24. Distances outside 2^-60...2^60 are taken as 0 and
/// as 2^60.
enum NumberKey {
  private static let floor = Int32(127 - 60) << 23
  private static let ceiling = Int32(127 + 60) << 23
  /// The key of 1/2.
  private static let half = magnitude(0.5)

  /// Bits of a distance; 0 for 0.
  private static func magnitude(_ distance: Float) -> Int32 {
    max(floor, min(ceiling, Int32(bitPattern: min(distance, .greatestFiniteMagnitude).bitPattern))) - floor
  }

  private static func distance(_ magnitude: Int32) -> Double {
    magnitude <= 0 ? 0 : Double(Float(bitPattern: UInt32(bitPattern: min(magnitude, ceiling - floor) + floor)))
  }

  static func key(of number: Double) -> Int32 {
    if number < 0 { return -magnitude(Float(-number)) }
    if number < 0.5 { return magnitude(Float(number)) }
    return number <= 1 ? 2 * half - magnitude(Float(1 - number)) : 2 * half + magnitude(Float(number - 1))
  }

  /// The keys of many floats, without a branch: neighbours are as good as random.
  ///
  /// - Precondition: none is NaN.
  static func keys(of numbers: UnsafeBufferPointer<Float>) -> [Int32] {
    let half = half
    return [Int32](unsafeUninitializedCapacity: numbers.count) { keys, initialized in
      for place in numbers.indices {
        let number = numbers[place]
        let distance = magnitude(abs(number < 0.5 ? number : number - 1))
        let rises = (number >= 0 && number < 0.5) || number > 1
        keys[place] = (number < 0.5 ? 0 : 2 * half) + (rises ? distance : -distance)
      }
      initialized = numbers.count
    }
  }

  /// The number whose key is `key`.
  static func number(of key: Int32) -> Double {
    if key < 0 { return -distance(-key) }
    if key < half { return distance(key) }
    return key <= 2 * half ? 1 - distance(2 * half - key) : 1 + distance(key - 2 * half)
  }

  /// Sorts keys, rising: by eleven bits at a time of their distance from the least, for more of them than comparing pays for.
  static func sort(_ keys: UnsafeMutableBufferPointer<Int32>) {
    guard keys.count >= 512 else {
      var few = keys
      return few.sort()
    }
    var (least, most) = (keys[0], keys[0])
    for key in keys { (least, most) = (min(least, key), max(most, key)) }
    let bits = 32 - UInt32(bitPattern: most &- least).leadingZeroBitCount
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: keys.count) { other in
      var (from, to) = (keys, other)
      for shift in stride(from: 0, to: bits, by: 11) {
        order(from, into: to, from: least, by: UInt32(shift))
        swap(&from, &to)
      }
      if from.baseAddress == other.baseAddress { for place in keys.indices { keys[place] = other[place] } }
    }
  }

  /// Puts keys in the order of eleven bits of their distance from the least; equal ones stay in order.
  private static func order(
    _ keys: UnsafeMutableBufferPointer<Int32>, into out: UnsafeMutableBufferPointer<Int32>, from least: Int32, by shift: UInt32
  ) {
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 1 << 11) { places in
      places.initialize(repeating: 0)
      func digit(_ key: Int32) -> Int { Int(UInt32(bitPattern: key &- least) >> shift & 0x7FF) }
      for key in keys { places[digit(key)] += 1 }
      var start = 0
      for place in places.indices { (places[place], start) = (start, start + places[place]) }
      for key in keys {
        let digit = digit(key)
        out[places[digit]] = key
        places[digit] += 1
      }
    }
  }
}
