// A gate of low rank in front of an operation: what a norm gives is multiplied by a sigmoid of two small projections of itself.
// Source: modeling_axk2.py (A.X-K2, 2026), whose norms carry it.

import CKernels

struct BoundInputGate: Sendable {
  let down: Linear
  let up: Linear

  init(_ plan: InputGatePlan, _ binder: WeightBinder) throws {
    let because = "hidden_size and the rank of gates in config.json"
    down = try binder.linear(plan.down, rows: plan.rank, columns: binder.hiddenSize, because: because)
    up = try binder.linear(plan.up, rows: binder.hiddenSize, columns: plan.rank, because: because)
  }

  /// Multiplies `x`, `[pass.count, hiddenSize]`, in place.
  func multiply(_ x: UnsafeMutablePointer<Float>, _ pass: Pass) {
    let narrow = pass.project(down, from: x)
    mt_activate(narrow, narrow, nil, pass.count * down.weight.rows, MT_SILU, 0)
    let gates = pass.project(up, from: narrow)
    let width = pass.count * pass.hiddenSize
    mt_sigmoid(gates, gates, width)
    mt_multiply(x, x, gates, width)
  }
}
