// What may follow a token: logits from its final hidden state.

import CKernels

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The output head of a model with room for its logits.
final class OutputHead {
  private let linear: Linear
  private let scale: Float
  private let cap: Float?
  private let room = GrowingBuffer()

  init(_ weights: ModelWeights, _ plan: ModelPlan) { (linear, scale, cap) = (weights.outputHead, plan.logitScale, plan.logitCap) }

  /// Logits of hidden states, `[rows, vocabularySize]`; valid until the next call.
  ///
  /// - Parameter states: `[rows, hiddenSize]`
  func logits(of states: UnsafePointer<Float>, rows: Int, _ pool: WorkerPool) -> UnsafeBufferPointer<Float> {
    let count = rows * linear.weight.rows
    let logits = room.floats(count)
    pool.multiply(Product(out: logits, x: states, tokens: rows, weight: linear.weight, bias: linear.bias))
    if scale != 1 { mt_scale(logits, logits, scale, count) }
    if let cap { for i in 0..<count { logits[i] = cap * tanh(logits[i] / cap) } }
    return UnsafeBufferPointer(start: logits, count: count)
  }
}
