// How large is what each expert computes? The forward pass adds experts up without ever holding one's output by itself, so a run that asks
// for norms pays for a second down projection, of each assignment for itself; the pass itself computes what it always does.

import Routing

/// What the experts of one call computed, assignment by assignment.
struct MeasuredExperts {
  let assignments: ExpertAssignments
  /// `[slots, hiddenSize]`: outputs before their factor; nil where norms are not wanted.
  let outputs: UnsafeMutablePointer<Float>?
  let hiddenSize: Int

  /// Fills `expertNorms` of the decisions that were carried out.
  ///
  /// - Parameters:
  ///   - real: routed experts that have weights; those behind them hand on their input.
  ///   - x: `[tokens, hiddenSize]`: what the experts read.
  func note(routed real: Int, x: UnsafePointer<Float>, in decisions: inout RoutingBatch) {
    guard let outputs else { return }
    let topK = decisions.topK
    let computed = decisions.carriedOut
    var norms = Array(repeating: Float.nan, count: computed.count)
    for slot in computed.indices where Int(computed[slot]) >= real { norms[slot] = norm(x + slot / topK * hiddenSize) }
    for expert in assignments.activeExperts where Int(expert) < real {
      for slot in slots(of: Int(expert)) {
        let first = Int(assignments.tokens[slot]) * topK
        guard let place = computed[first..<first + topK].firstIndex(of: expert) else { continue }
        norms[place] = norm(outputs + slot * hiddenSize)
      }
    }
    decisions.expertNorms = norms
  }

  /// Fills the columns of the shared expert: the last of the experts, from `first` on. Of several networks the outputs are added up and the
  /// factors averaged.
  func note(shared first: Int, in decisions: inout RoutingBatch) {
    let networks = first..<assignments.offsets.count - 1
    var weights = Array(repeating: Float(0), count: decisions.count)
    var sums = outputs == nil ? [] : Array(repeating: Float(0), count: decisions.count * hiddenSize)
    for expert in networks {
      for slot in slots(of: expert) {
        let token = Int(assignments.tokens[slot])
        weights[token] += assignments.weights[slot] / Float(networks.count)
        guard let outputs else { continue }
        for column in 0..<hiddenSize { sums[token * hiddenSize + column] += outputs[slot * hiddenSize + column] }
      }
    }
    decisions.sharedWeight = weights
    guard outputs != nil else { return }
    decisions.sharedNorm = sums.withUnsafeBufferPointer { sums in
      sums.baseAddress.map { base in (0..<decisions.count).map { norm(base + $0 * hiddenSize) } }
    }
  }

  private func slots(of expert: Int) -> Range<Int> { Int(assignments.offsets[expert])..<Int(assignments.offsets[expert + 1]) }

  private func norm(_ row: UnsafePointer<Float>) -> Float {
    var sum = 0.0
    for column in 0..<hiddenSize { sum += Double(row[column]) * Double(row[column]) }
    return Float(sum.squareRoot())
  }
}

extension Pass {
  /// Whether a listener asked for it.
  func wants(_ extra: RecordingExtras) -> Bool { demand?.extras.contains(extra) == true }

  /// What `runExperts` added up, apart.
  ///
  /// - Parameters:
  ///   - inner: what it returned.
  ///   - up: what outputs go through on their way to the stream; nil: nothing.
  func measured(
    _ experts: [ExpertWeights], _ assignments: ExpertAssignments, inner: UnsafeMutablePointer<Float>, through up: Linear? = nil
  ) -> MeasuredExperts {
    guard wants(.norms) else { return MeasuredExperts(assignments: assignments, outputs: nil, hiddenSize: hiddenSize) }
    let width = up?.weight.columns ?? hiddenSize
    var outputs = arena.floats(assignments.slotCount * width)
    withUnsafeTemporaryAllocation(of: Product.self, capacity: assignments.activeExperts.count) { products in
      var rows = UnsafePointer(inner)
      for (index, active) in assignments.activeExperts.enumerated() {
        let (expert, first) = (experts[Int(active)], Int(assignments.offsets[Int(active)]))
        let count = Int(assignments.offsets[Int(active) + 1]) - first
        products.initializeElement(
          at: index,
          to: Product(out: outputs + first * width, x: rows, tokens: count, weight: expert.down, bias: expert.downBias))
        rows += count * expert.up.rows
      }
      pool.multiply(UnsafeBufferPointer(products))
    }
    if let up {
      let wide = arena.floats(assignments.slotCount * hiddenSize)
      pool.multiply(Product(out: wide, x: outputs, tokens: assignments.slotCount, weight: up.weight))
      outputs = wide
    }
    return MeasuredExperts(assignments: assignments, outputs: outputs, hiddenSize: hiddenSize)
  }
}
