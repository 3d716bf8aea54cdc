// The arithmetic of a Mixture-of-Experts layer after its routers have decided: all experts' work of a layer in two
// forks, whatever the number of tokens. The same code runs a dense gated MLP: one expert that every token chose.
// Who is chosen, and with which weight, is Routing's business.

import CKernels

/// The weights of one expert: `out = down(activation(gate x) * up x)`. Experts of one layer may differ in size.
public struct ExpertWeights {
  /// `[intermediate, hidden]`; nil: a plain MLP, activation(up x).
  public var gate: WeightMatrix?
  /// `[intermediate, hidden]`
  public var up: WeightMatrix
  /// `[hidden, intermediate]`
  public var down: WeightMatrix
  /// `[intermediate]`, `[intermediate]`, `[hidden]`
  public var gateBias: UnsafePointer<Float>?
  public var upBias: UnsafePointer<Float>?
  public var downBias: UnsafePointer<Float>?
  /// `[2 * intermediate, hidden]`: gate and up in turns, where the file keeps them so.
  let gateAndUp: WeightMatrix?

  public init(
    gate: WeightMatrix?, up: WeightMatrix, down: WeightMatrix, gateBias: UnsafePointer<Float>? = nil,
    upBias: UnsafePointer<Float>? = nil, downBias: UnsafePointer<Float>? = nil
  ) {
    self.gate = gate
    self.up = up
    self.down = down
    self.gateBias = gateBias
    self.upBias = upBias
    self.downBias = downBias
    gateAndUp = gate.flatMap { WeightMatrix.interleaved($0, up) }
  }
}

/// The activation between the projections of an expert.
public enum ExpertActivation: Sendable, Equatable {
  case silu, geluTanh, gelu, relu, reluSquared
  /// gpt-oss: clamped, sigmoid(1.702 gate), up + 1.
  case clampedSwiGLU(limit: Float)
  /// DeepSeek-V4: silu of the gate, both sides clamped before it.
  case clampedSilu(limit: Float)
  /// Step: silu of the gate, both sides clamped behind it.
  case toppedSilu(limit: Float)

  var kernelKind: mt_activation {
    switch self {
    case .silu: MT_SILU
    case .geluTanh: MT_GELU_TANH
    case .gelu: MT_GELU_ERF
    case .relu: MT_RELU
    case .reluSquared: MT_RELU_SQUARED
    case .clampedSwiGLU: MT_SWIGLU_CLAMPED
    case .clampedSilu: MT_SILU_CLAMPED
    case .toppedSilu: MT_SILU_TOPPED
    }
  }

  var limit: Float {
    switch self {
    case .clampedSwiGLU(let limit), .clampedSilu(let limit), .toppedSilu(let limit): limit
    default: 0
    }
  }
}

/// Which tokens go to which expert of a layer, sorted by expert: the plan of one MoE layer call.
///
/// Reused from layer to layer; grows, never shrinks. Within an expert, tokens are in rising order, and a token's
/// contributions are summed in rising expert order, whatever else is in the batch.
public struct ExpertAssignments {
  /// Slots of expert `e` are `offsets[e]..<offsets[e + 1]`.
  public private(set) var offsets: [Int32] = []
  /// Of each slot: the token (a row of x and of out), and the factor of the expert's output.
  public private(set) var tokens: [UInt32] = []
  public private(set) var weights: [Float] = []
  /// Experts that have slots, in rising order.
  public private(set) var activeExperts: [Int32] = []

  public init() {}

  public var slotCount: Int { tokens.count }

  /// Sorts decisions by expert.
  ///
  /// - Shape: `experts` and `weights` are `[tokens, topK]`; an expert `< 0` (a dropped assignment) is skipped.
  /// - Precondition: a token names an expert at most once; experts are `< expertCount`.
  /// - Parameter always: experts `expertCount..<expertCount + always` get every token with weight 1: shared experts.
  public mutating func assign(
    experts: UnsafePointer<Int32>, weights routed: UnsafePointer<Float>, tokens tokenCount: Int, topK: Int, expertCount: Int,
    always: Int = 0
  ) {
    begin(expertCount: expertCount + always)
    for i in 0..<tokenCount * topK where experts[i] >= 0 { offsets[Int(experts[i]) + 1] += 1 }
    for e in 0..<always { offsets[expertCount + e + 1] = Int32(tokenCount) }
    closeCounts()
    for t in 0..<tokenCount {
      for i in t * topK..<(t + 1) * topK where experts[i] >= 0 { place(t, routed[i], in: Int(experts[i])) }
      for e in 0..<always { place(t, 1, in: expertCount + e) }
    }
    closePlaces()
  }

  /// Every token goes to each of `expertCount` experts, weighted: a dense gate `[tokens, expertCount]`, or 1 if nil.
  public mutating func assignAll(tokens tokenCount: Int, expertCount: Int = 1, weights dense: UnsafePointer<Float>? = nil) {
    begin(expertCount: expertCount)
    for e in 0..<expertCount { offsets[e + 1] = Int32(tokenCount) }
    closeCounts()
    for t in 0..<tokenCount {
      for e in 0..<expertCount { place(t, dense.map { $0[t * expertCount + e] } ?? 1, in: e) }
    }
    closePlaces()
  }

  /// Sets the factor of every slot of one expert from `[tokens]`: the gate of a shared expert.
  public mutating func setWeights(of expert: Int, from perToken: UnsafePointer<Float>) {
    for slot in Int(offsets[expert])..<Int(offsets[expert + 1]) { weights[slot] = perToken[Int(tokens[slot])] }
  }

  /// Gives an expert weight 0 for some tokens.
  mutating func hide(_ hidden: [Bool], from expert: Int) {
    for slot in Int(offsets[expert])..<Int(offsets[expert + 1]) where hidden[Int(tokens[slot])] { weights[slot] = 0 }
  }

  private mutating func begin(expertCount: Int) {
    offsets.removeAll(keepingCapacity: true)
    offsets.append(contentsOf: repeatElement(0, count: expertCount + 1))
    activeExperts.removeAll(keepingCapacity: true)
  }

  /// Counts at e + 1 become the start of e: `place` then moves each start to its end.
  private mutating func closeCounts() {
    var sum: Int32 = 0
    for e in 0..<offsets.count - 1 {
      let count = offsets[e + 1]
      if count > 0 { activeExperts.append(Int32(e)) }
      offsets[e + 1] = sum
      sum += count
    }
    tokens.removeAll(keepingCapacity: true)
    tokens.append(contentsOf: repeatElement(0, count: Int(sum)))
    weights.removeAll(keepingCapacity: true)
    weights.append(contentsOf: repeatElement(0, count: Int(sum)))
  }

  @inline(__always)
  private mutating func place(_ token: Int, _ weight: Float, in expert: Int) {
    let slot = Int(offsets[expert + 1])
    offsets[expert + 1] += 1
    tokens[slot] = UInt32(truncatingIfNeeded: token)
    weights[slot] = weight
  }

  /// After placing, offsets[e + 1] is the end of e, as wanted.
  private func closePlaces() {}
}

/// One call of an MoE layer.
public struct ExpertCall {
  /// `[tokens, hidden]`, contiguous; expert outputs are added to it.
  public var out: UnsafeMutablePointer<Float>
  /// `[tokens, hidden]`, contiguous.
  public var x: UnsafePointer<Float>
  /// `[slots, intermediate]` of each expert, one after the other: at least `hiddenFloats(...)` floats.
  public var hidden: UnsafeMutablePointer<Float>
  public var activation: ExpertActivation
  /// Llama 4: the routing weight multiplies the expert's input instead of its output.
  public var weightsApplyToInput = false

  public init(out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, hidden: UnsafeMutablePointer<Float>, activation: ExpertActivation)
  {
    self.out = out
    self.x = x
    self.hidden = hidden
    self.activation = activation
  }

  /// Floats that `hidden` must hold.
  public static func hiddenFloats(_ experts: UnsafeBufferPointer<ExpertWeights>, _ assignments: ExpertAssignments) -> Int {
    assignments.activeExperts.reduce(0) { sum, e in
      let slots = assignments.offsets[Int(e) + 1] - assignments.offsets[Int(e)]
      return sum + Int(slots) * experts[Int(e)].up.rows
    }
  }
}

extension WorkerPool {
  /// Adds every expert's weighted output to the rows of its tokens: `out[t] += sum over e of w[t, e] * expert_e(x[t])`.
  ///
  /// Two forks: gate, up and activation over (expert, rows, tokens), then down over columns of `out`; a chunk of the
  /// second owns its columns and walks the experts in rising order, so the sum has one order.
  /// - Precondition: experts with biases do not take weights at their input.
  public func runExperts(_ call: ExpertCall, experts: UnsafeBufferPointer<ExpertWeights>, assignments: borrowing ExpertAssignments) {
    let active = assignments.activeExperts.count
    guard active > 0 else { return }
    assignments.activeExperts.withUnsafeBufferPointer { activeExperts in
      assignments.offsets.withUnsafeBufferPointer { offsets in
        assignments.tokens.withUnsafeBufferPointer { tokens in
          assignments.weights.withUnsafeBufferPointer { weights in
            withUnsafeTemporaryAllocation(of: ExpertShare.self, capacity: active) { shares in
              guard let tokens = tokens.baseAddress, let weights = weights.baseAddress else { return }
              plan(shares, activeExperts: activeExperts, offsets: offsets, tokens: tokens, weights: weights, experts: experts, call: call)
              let work = ExpertWork(call: call, experts: experts, shares: UnsafeBufferPointer(shares))
              runFirstHalf(work)
              runSecondHalf(work)
            }
          }
        }
      }
    }
  }

  /// Gate, up and activation of every slot: `hidden[slot, :] = activation(gate x) * up x`.
  private func runFirstHalf(_ work: ExpertWork) {
    guard let last = work.shares.last else { return }
    run(chunks: last.firstChunk + last.cut.chunks) { chunk, worker in
      let share = work.share(ofChunk: chunk)
      let expert = work.experts[share.expert]
      var job = Product(
        out: share.hidden, outStride: expert.up.rows, x: work.call.x, tokens: share.slots, weight: expert.gate ?? expert.up,
        bias: expert.gate == nil ? expert.upBias : expert.gateBias
      ).job(sums)
      job.x_index = share.tokens
      job.scale = work.call.weightsApplyToInput ? share.weights : nil
      share.cut.narrow(&job, to: chunk - share.firstChunk)
      let whole = job
      defer { if share.isLaid { lay(whole, for: expert.down) } }
      let scratch = self.scratch(of: worker)
      let (begin, rows, out) = (job.row_begin, job.row_end - job.row_begin, job.out)
      // Behind the kernel's own scratch: the up projection. Column r of it is weight row r, hence the offset.
      let up = (scratch + mt_matmul_scratch_bytes(expert.up.columns)).assumingMemoryBound(to: Float.self)
      if let both = expert.gateAndUp, job.scale == nil {
        job.weights = both.kernelMatrix
        (job.row_begin, job.row_end) = (2 * begin, 2 * (begin + rows))
        (job.bias, job.out, job.out_stride) = (nil, up - 2 * begin, 2 * rows)
        mt_matmul(&job, scratch)
        for t in 0..<job.tokens {
          let (row, pairs) = (out + t * expert.up.rows + begin, up + t * 2 * rows)
          for r in 0..<rows {
            let pair = (pairs[2 * r], pairs[2 * r + 1])
            row[r] = expert.gateBias.map { pair.0 + $0[begin + r] } ?? pair.0
            pairs[r] = expert.upBias.map { pair.1 + $0[begin + r] } ?? pair.1
          }
          mt_activate(row, row, pairs, rows, work.call.activation.kernelKind, work.call.activation.limit)
        }
        return
      }
      mt_matmul(&job, scratch)
      if expert.gate == nil {
        for t in 0..<job.tokens {
          let row = out + t * job.out_stride + begin
          mt_activate(row, row, nil, rows, work.call.activation.kernelKind, work.call.activation.limit)
        }
        return
      }
      job.is_laid = expert.gate.map { $0.laysTokens(like: expert.up) } ?? false
      job.weights = expert.up.kernelMatrix
      job.bias = expert.upBias
      job.out = up - begin
      job.out_stride = rows
      mt_matmul(&job, scratch)
      for t in 0..<job.tokens {
        let row = out + t * expert.up.rows + begin
        mt_activate(row, row, up + t * rows, rows, work.call.activation.kernelKind, work.call.activation.limit)
      }
    }
  }

  /// Rows that a chunk has come to become what the products with their down projection take, once for all of these.
  private func lay(_ job: mt_matmul_job, for down: WeightMatrix) {
    var matrix = down.kernelMatrix
    for t in 0..<job.tokens { mt_lay(job.out + t * job.out_stride, &matrix) }
  }

  /// Down projections, weighted and summed into `out`.
  private func runSecondHalf(_ work: ExpertWork) {
    let down = work.experts[work.shares[0].expert].down
    let columns = down.rows
    // Each chunk copies or lays out every slot again: fewer than of others, still some a thread.
    let grain = grain(work: work.downWork)
    let most = grain == .max ? .max : 2 * grain
    let step = down.rowGrain(tokens: work.shares.reduce(0) { max($0, $1.slots) }, sums: sums)
    let width = min(columns, max(step, (most / max(1, work.downWork / columns) + step - 1) / step * step))
    run(chunks: (columns + width - 1) / width) { chunk, worker in
      let scratch = self.scratch(of: worker)
      for share in work.shares {
        let expert = work.experts[share.expert]
        var job = Product(
          out: work.call.out, x: UnsafePointer(share.hidden), tokens: share.slots, weight: expert.down, bias: expert.downBias,
          accumulate: true
        ).job(sums)
        job.out_index = share.tokens
        job.x_is_laid = share.isLaid
        job.scale = work.call.weightsApplyToInput ? nil : share.weights
        job.row_begin = chunk * width
        job.row_end = min(columns, (chunk + 1) * width)
        mt_matmul(&job, scratch)
      }
    }
  }

  /// Each active expert's slots, place in `hidden` and chunks; reserves scratch for the largest.
  private func plan(
    _ shares: UnsafeMutableBufferPointer<ExpertShare>, activeExperts: UnsafeBufferPointer<Int32>, offsets: UnsafeBufferPointer<Int32>,
    tokens: UnsafePointer<UInt32>, weights: UnsafePointer<Float>, experts: UnsafeBufferPointer<ExpertWeights>, call: ExpertCall
  ) {
    var work = 0
    for e in activeExperts {
      let slots = Int(offsets[Int(e) + 1] - offsets[Int(e)])
      let expert = experts[Int(e)]
      work += slots * expert.up.rows * expert.up.columns * (expert.gate == nil ? 1 : 2)
    }
    let grain = productGrain(work: work)
    var hidden = call.hidden
    var firstChunk = 0
    var bytes = 0
    for (i, e) in activeExperts.enumerated() {
      let start = Int(offsets[Int(e)])
      let slots = Int(offsets[Int(e) + 1]) - start
      let expert = experts[Int(e)]
      // Gate and up are two products of the same chunk. At most 256 tokens a chunk bounds the scratch of the second.
      let cut = MatmulCut(
        expert.up, tokens: slots, grain: grain == .max ? .max : grain / 2, sums: sums, mostTokens: 256)
      shares.initializeElement(
        at: i,
        to: ExpertShare(
          expert: Int(e), slots: slots, tokens: tokens + start, weights: weights + start, hidden: hidden, firstChunk: firstChunk,
          cut: cut, isLaid: sums.layTokens && cut.rowChunks == 1 && expert.down.canLayTokens))
      hidden += slots * expert.up.rows
      firstChunk += cut.chunks
      let up =
        mt_matmul_scratch_bytes(expert.up.columns) + (expert.gateAndUp == nil ? 1 : 2) * cut.rowsPerChunk * cut.tokensPerChunk
        * MemoryLayout<Float>.size
      bytes = max(bytes, up, mt_matmul_scratch_bytes(expert.down.columns))
    }
    reserveScratch(bytes: bytes)
  }
}

/// One active expert's part of a call.
private struct ExpertShare {
  var expert: Int
  var slots: Int
  var tokens: UnsafePointer<UInt32>
  var weights: UnsafePointer<Float>
  var hidden: UnsafeMutablePointer<Float>
  var firstChunk: Int
  var cut: MatmulCut
  /// Its rows of `hidden` are laid out for the down projection.
  var isLaid: Bool
}

private struct ExpertWork {
  var call: ExpertCall
  var experts: UnsafeBufferPointer<ExpertWeights>
  var shares: UnsafeBufferPointer<ExpertShare>

  var downWork: Int {
    shares.reduce(0) { $0 + $1.slots * experts[$1.expert].down.rows * experts[$1.expert].down.columns }
  }

  /// The last share that begins at or before the chunk.
  func share(ofChunk chunk: Int) -> ExpertShare {
    var low = 0
    var high = shares.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if shares[middle].firstChunk <= chunk { low = middle } else { high = middle }
    }
    return shares[low]
  }
}
