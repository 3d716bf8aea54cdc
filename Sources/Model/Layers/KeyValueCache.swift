// What attention remembers of one sequence: keys and values of every layer, f32, and the rotary angles of every position. Grows with
// the sequence and is reused for the next one.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Keys and values of one sequence; per layer `[position, keyValueHeads * headSize]`.
final class KeyValueCache {
  private let rowSizes: [Int]
  private var keys: [UnsafeMutablePointer<Float>] = []
  private var values: [UnsafeMutablePointer<Float>] = []
  private(set) var capacity = 0

  /// - Parameter rowSizes: floats of one position in each layer.
  init(rowSizes: [Int]) { self.rowSizes = rowSizes }

  deinit { release() }

  /// Makes room for `positions` positions, keeping the first `used`.
  func reserve(_ positions: Int, keeping used: Int) {
    guard positions > capacity else { return }
    let larger = max(positions, min(2 * capacity, capacity + 4096), 64)
    func grow(_ old: [UnsafeMutablePointer<Float>]) -> [UnsafeMutablePointer<Float>] {
      rowSizes.enumerated().map { layer, size in
        let new = UnsafeMutablePointer<Float>.allocate(capacity: larger * size)
        if layer < old.count { new.update(from: old[layer], count: used * size) }
        return new
      }
    }
    let newKeys = grow(keys)
    let newValues = grow(values)
    release()
    keys = newKeys
    values = newValues
    capacity = larger
  }

  func keys(layer: Int, position: Int = 0) -> UnsafeMutablePointer<Float> { keys[layer] + position * rowSizes[layer] }
  func values(layer: Int, position: Int = 0) -> UnsafeMutablePointer<Float> { values[layer] + position * rowSizes[layer] }

  private func release() {
    for pointer in keys + values { pointer.deallocate() }
  }
}

/// Cosines and sines of the rotary angles, `[position, rotatedSize / 2]` each, as the reference computes them: frequencies in f32,
/// angle = position * frequency in f32.
struct RotaryTable {
  private let frequencies: [Float]
  private(set) var cosines: [Float] = []
  private(set) var sines: [Float] = []

  init(_ plan: RotaryPlan) {
    frequencies = (0..<plan.rotatedSize / 2).map { i in
      1 / Float(pow(plan.base, Double(Float(2 * i) / Float(plan.rotatedSize))))
    }
  }

  var half: Int { frequencies.count }

  mutating func reserve(_ positions: Int) {
    let have = half == 0 ? positions : cosines.count / half
    guard positions > have else { return }
    for position in have..<max(positions, 2 * have) {
      for frequency in frequencies {
        let angle = Float(position) * frequency
        cosines.append(cos(angle))
        sines.append(sin(angle))
      }
    }
  }
}
