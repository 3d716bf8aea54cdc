// One sublayer of a block: what it reads of the residual stream, and where its output goes. Its operation is somebody else's.

import CKernels

extension ForwardPass {
  func run(_ sublayer: BoundSublayer, _ operation: any RunningOperation, _ stream: UnsafeMutablePointer<Float>) {
    let plan = sublayer.plan
    let width = pass.count * pass.hiddenSize
    pass.arena.reset()
    if case .streams = plan.input {
      (pass.x, pass.stream, pass.out) = (stream, stream, stream)
      return operation.run(pass)
    }
    let input = normed.floats(width)
    if let connection = sublayer.connection { return run(sublayer, operation, stream, over: connection, input) }
    switch plan.input {
    case .norm: sublayer.inputNorm?.apply(pool, out: input, x: stream, rows: pass.count)
    case .stream: input.update(from: stream, count: width)
    case .previous, .streams: break
    }
    sublayer.inputGate?.multiply(input, pass)
    (pass.x, pass.stream) = (input, stream)
    let isPlain =
      plan.outputNorm == nil && plan.outputScale == 1 && plan.inputAsResidual == nil && plan.destination == .stream && plan.sumNorm == nil
    pass.out = isPlain ? stream : aside.zeros(width)
    operation.run(pass)
    defer { if let factor = sublayer.streamFactor?.values { mt_scale(stream, stream, factor[0], width) } }
    guard !isPlain || plan.addsHeld else { return }
    if !isPlain {
      sublayer.outputNorm?.apply(pool, out: pass.out, x: pass.out, rows: pass.count)
      if let factor = plan.inputAsResidual { mt_scale(stream, input, factor, width) }
      if let norm = sublayer.sumNorm {
        mt_add(pass.out, pass.out, held.floats(width), width)
        norm.apply(pool, out: pass.out, x: pass.out, rows: pass.count)
      }
      switch plan.destination {
      case .stream: mt_axpy(stream, pass.out, plan.outputScale, width)
      case .held: mt_scale(held.floats(width), pass.out, plan.outputScale, width)
      }
    }
    if plan.addsHeld, plan.sumNorm == nil { mt_add(stream, stream, held.floats(width), width) }
  }

  /// A sublayer between several streams, `[count, streams, hiddenSize]`.
  private func run(
    _ sublayer: BoundSublayer, _ operation: any RunningOperation, _ stream: UnsafeMutablePointer<Float>,
    over connection: any BoundStreamConnection, _ input: UnsafeMutablePointer<Float>
  ) {
    let (count, size) = (pass.count, pass.hiddenSize)
    let mixture = connection.weights(stream, count: count, pool, pass.arena)
    connection.collapse(stream, mixture, count: count, hidden: size, into: input, pool)
    sublayer.inputNorm?.apply(pool, out: input, x: input, rows: count)
    sublayer.inputGate?.multiply(input, pass)
    (pass.x, pass.stream, pass.out) = (input, input, aside.zeros(count * size))
    operation.run(pass)
    connection.spread(pass.out, mixture, count: count, hidden: size, over: stream, pool)
  }
}
