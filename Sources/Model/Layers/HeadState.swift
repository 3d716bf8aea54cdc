// What a layer with a recurrence remembers of one sequence: a matrix for each head, however long the sequence grows. A token adds the
// product of a key and a value to it, the past fades by a factor, and a query reads a weighted sum of its rows.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The states of all heads of a layer, f32.
///
/// Heads are independent: different threads may work on different heads.
final class HeadStates {
  private let heads: Int
  private let keySize: Int
  private let valueSize: Int
  private let memory: UnsafeMutablePointer<Float>

  init(heads: Int, keySize: Int, valueSize: Int) {
    (self.heads, self.keySize, self.valueSize) = (heads, keySize, valueSize)
    memory = .allocate(capacity: max(1, heads * keySize * valueSize))
    reset()
  }

  deinit { memory.deallocate() }

  func reset() { memory.update(repeating: 0, count: heads * keySize * valueSize) }

  subscript(head: Int) -> HeadState {
    HeadState(base: memory + head * keySize * valueSize, keySize: keySize, valueSize: valueSize)
  }
}

/// `[keySize, valueSize]` of one head.
struct HeadState {
  fileprivate let base: UnsafeMutablePointer<Float>
  fileprivate let keySize: Int
  fileprivate let valueSize: Int

  func fade(by factor: Float) { mt_scale(base, base, factor, keySize * valueSize) }

  /// Row k by `factors[k]`.
  func fade(by factors: UnsafePointer<Float>) {
    for k in 0..<keySize { mt_scale(base + k * valueSize, base + k * valueSize, factors[k], valueSize) }
  }

  /// Replaces a share of what the state says of a key by a value: `state += key * strength * (value - state read by key)`.
  ///
  /// - Parameter scratch: `[valueSize]`
  func correct(
    _ key: UnsafePointer<Float>, to value: UnsafePointer<Float>, strength: Float, scratch: UnsafeMutablePointer<Float>
  ) {
    read(key, into: scratch)
    mt_scale(scratch, scratch, -1, valueSize)
    mt_add(scratch, scratch, value, valueSize)
    mt_scale(scratch, scratch, strength, valueSize)
    add(key, scratch)
  }

  /// `out[v] = sum over k of key[k] * state[k, v]`.
  func read(_ key: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>) {
    mt_scale(out, base, key[0], valueSize)
    for k in 1..<keySize { mt_axpy(out, base + k * valueSize, key[k], valueSize) }
  }

  /// `state[k, v] += key[k] * value[v]`.
  func add(_ key: UnsafePointer<Float>, _ value: UnsafePointer<Float>) {
    for k in 0..<keySize { mt_axpy(base + k * valueSize, value, key[k], valueSize) }
  }
}

/// `ln(1 + e^x)`, which is x itself beyond 20.
func softplus(_ x: Float) -> Float { x > 20 ? x : log1p(exp(x)) }
