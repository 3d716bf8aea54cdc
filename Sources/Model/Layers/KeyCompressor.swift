// One entry for many tokens: a compressor makes of each window of so many tokens one vector, a mean of their projections in which every
// element has weights of its own. Windows either stand side by side or reach back over the one before, whose tokens have a second projection
// for that. Entries are turned as if they stood at the first position of their window.
// Source: DeepSeek-AI 2026, DeepSeek-V4, section 2.3 (compressed sparse and heavily compressed attention).

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct CompressorPlan: Sendable {
  /// Tokens of a window.
  var rate: Int
  /// Of an entry.
  var size: Int
  /// Whether a window also sees the one before it.
  var overlaps: Bool
  /// `[width, hidden]` each: what is averaged, and the logits of its weights. Where windows overlap the first `size` rows are for the next
  /// window, the others for a token's own.
  var value: LinearPlan
  var gate: LinearPlan
  /// `[rate, width]`: added to the logits by the place in the window.
  var places: VectorPlan
  var norm: NormPlan
  /// Of the last elements of an entry.
  var rotary: RotaryPlan

  var width: Int { overlaps ? 2 * size : size }

  func bind(_ binder: WeightBinder) throws -> BoundCompressor {
    let because = "head_dim, index_head_dim and the compression rates in config.json"
    var places = places
    places.storedShape = [rate, width]
    return BoundCompressor(
      plan: self, value: try binder.linear(value, rows: width, columns: binder.hiddenSize, because: because),
      gate: try binder.linear(gate, rows: width, columns: binder.hiddenSize, because: because),
      places: try binder.vector(places, count: rate * width, because: because), norm: try binder.norm(norm, size: size))
  }
}

struct BoundCompressor: Sendable {
  let plan: CompressorPlan
  let value: Linear
  let gate: Linear
  let places: WeightVector
  let norm: Norm

  /// Floats that a token adds to the state, rounded up, and those of tokens whose window is not full.
  var floatsPerToken: Int { (plan.size + plan.rate - 1) / plan.rate }
  var stateFloats: Int { 2 * plan.rate * plan.width * (plan.overlaps ? 2 : 1) }
}

/// The entries of one sequence so far.
final class RunningCompressor {
  private let bound: BoundCompressor
  /// `[count, size]`
  private(set) var entries: [Float] = []
  private(set) var count = 0
  /// `[tokens, width]` each: of the window before, where windows overlap and there is one, and of the tokens behind the last entry.
  private var values: [Float] = []
  private var gates: [Float] = []

  init(_ bound: BoundCompressor) { self.bound = bound }

  func reset() { (entries, values, gates, count) = ([], [], [], 0) }

  /// Entries that are there when the token at this position is the last.
  func visible(at position: Int) -> Int { (position + 1) / bound.plan.rate }

  /// Takes the tokens of a step in, and makes the entries of all windows that they fill.
  func take(_ pass: Pass) {
    let plan = bound.plan
    let (rate, width, size) = (plan.rate, plan.width, plan.size)
    values += UnsafeBufferPointer(start: pass.project(bound.value, from: pass.x), count: pass.count * width)
    gates += UnsafeBufferPointer(start: pass.project(bound.gate, from: pass.x), count: pass.count * width)
    let before = plan.overlaps && count > 0 ? rate : 0
    let windows = (values.count / width - before) / rate
    guard windows > 0 else { return }
    let fresh = pass.arena.floats(windows * size)
    values.withUnsafeBufferPointer { values in
      gates.withUnsafeBufferPointer { gates in
        guard let values = values.baseAddress, let gates = gates.baseAddress else { return }
        pass.pool.forEachRow(of: windows, cost: 16 * rate * width) { rows in
          for window in rows {
            let token = before + window * rate
            average(values, gates, from: token >= rate && plan.overlaps ? token - rate : nil, token, into: fresh + window * size)
          }
        }
      }
    }
    bound.norm.apply(pass.pool, out: fresh, x: fresh, rows: windows)
    let table = pass.rotary.table(plan.rotary, positions: (count + windows) * rate)
    for window in 0..<windows {
      table.turn(
        pass.pool, fresh + window * size + size - plan.rotary.rotatedSize, tokenStride: size, heads: 1, headStride: size,
        position: (count + window) * rate, count: 1)
    }
    entries += UnsafeBufferPointer(start: fresh, count: windows * size)
    count += windows
    let done = before + windows * rate - (plan.overlaps ? rate : 0)
    values.removeFirst(done * width)
    gates.removeFirst(done * width)
  }

  /// The entry of the window whose first token is `own`, and of the tokens from `earlier`.
  private func average(
    _ values: UnsafePointer<Float>, _ gates: UnsafePointer<Float>, from earlier: Int?, _ own: Int, into out: UnsafeMutablePointer<Float>
  ) {
    let plan = bound.plan
    let (rate, width, size) = (plan.rate, plan.width, plan.size)
    let places = bound.places.values
    // Where windows overlap, a token's first elements are for the window behind its own.
    var parts = [(token: own, shift: width - size)]
    if let earlier { parts.append((earlier, 0)) }
    for c in 0..<size {
      var peak = -Float.infinity
      for (token, shift) in parts {
        for r in 0..<rate { peak = max(peak, gates[(token + r) * width + shift + c] + places[r * width + shift + c]) }
      }
      var (sum, mean): (Float, Float) = (0, 0)
      for (token, shift) in parts {
        for r in 0..<rate {
          let weight = exp(gates[(token + r) * width + shift + c] + places[r * width + shift + c] - peak)
          sum += weight
          mean += weight * values[(token + r) * width + shift + c]
        }
      }
      out[c] = mean / sum
    }
  }
}
