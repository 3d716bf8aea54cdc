// The façade of CKernels that a forward pass calls: products, attention and row functions, cut into chunks for the
// pool. Which chunk a number falls into never changes the number (see kernels.h), so cutting is a matter of speed only.
// Experts have a file of their own, ExpertKernels.swift.

import CKernels

/// How products add up (CKernels' kernels.h defines both).
public enum ProductSums: Sendable {
  /// Weights become f32 numbers, which lanes of f32 add up.
  case f32
  /// By the tiles of a matrix unit or by blocks, where kernels and matrix have them, else in f32: fastest where many tokens share a weight.
  case tiles
  /// Whole numbers, exact in each block of 32: fastest for a single token, and the same bits on every machine. Types that have no digits
  /// are summed in f32, without tiles.
  case digits

  /// Whether a product lays its tokens out first.
  var layTokens: Bool { self == .tiles && mt_lays_tokens() }

  var kernelSums: mt_sums {
    switch self {
    case .f32: MT_SUMS_F32
    case .tiles: MT_SUMS_TILES
    case .digits: MT_SUMS_DIGITS
    }
  }
}

/// One product `out[t, r] = x[t, :] . weight[r, :] + bias[r]`, or `+=` with `accumulate`.
public struct Product {
  /// `[tokens, outStride]`, columns `0..<weight.rows` are written.
  public var out: UnsafeMutablePointer<Float>
  public var outStride: Int
  /// `[tokens, xStride]`, columns `0..<weight.columns` are read.
  public var x: UnsafePointer<Float>
  public var xStride: Int
  public var tokens: Int
  public var weight: WeightMatrix
  /// `[weight.rows]`
  public var bias: UnsafePointer<Float>?
  public var accumulate: Bool

  /// Strides default to the matrix: contiguous rows.
  public init(
    out: UnsafeMutablePointer<Float>, outStride: Int? = nil, x: UnsafePointer<Float>, xStride: Int? = nil, tokens: Int,
    weight: WeightMatrix, bias: UnsafePointer<Float>? = nil, accumulate: Bool = false
  ) {
    self.out = out
    self.outStride = outStride ?? weight.rows
    self.x = x
    self.xStride = xStride ?? weight.columns
    self.tokens = tokens
    self.weight = weight
    self.bias = bias
    self.accumulate = accumulate
  }

  func job(_ sums: ProductSums) -> mt_matmul_job {
    mt_matmul_job(
      out: out, out_stride: outStride, out_index: nil, x: x, x_stride: xStride, x_index: nil, tokens: tokens,
      weights: weight.kernelMatrix, row_begin: 0, row_end: weight.rows, bias: bias, scale: nil, accumulate: accumulate,
      sums: sums.kernelSums, is_laid: false, x_is_laid: false)
  }
}

/// Attention of some query tokens over a cache of keys and values, heads grouped over KV heads.
///
/// Query head `h` uses KV head `h / (heads / kvHeads)`. Token `t` has position `firstPosition + t` among the keys.
public struct Attention {
  /// `[tokens, rowHeads, valueDim]`, of which the first `heads` are written.
  public var out: UnsafeMutablePointer<Float>
  /// `[tokens, rowHeads, headDim]`
  public var queries: UnsafePointer<Float>
  /// Heads from one token to the next; those of a call may be some of them.
  public var rowHeads: Int
  /// Key `j` of KV head `g` at `keys + j * keyStride + g * keyHeadStride`, and values alike.
  public var keys: UnsafePointer<Float>
  public var keyStride: Int
  public var keyHeadStride: Int
  public var values: UnsafePointer<Float>
  public var valueStride: Int
  public var valueHeadStride: Int
  public var tokens: Int
  public var heads: Int
  public var kvHeads: Int
  public var headDim: Int
  public var valueDim: Int
  /// Keys in the cache, those of the query tokens included.
  public var keyCount: Int
  public var firstPosition: Int
  public var scale: Float
  public var causal = true
  /// Keys a token sees, itself included; nil: all.
  public var window: Int?
  public var softcap: Float?
  /// `[heads]` an extra logit in each head's denominator.
  public var sinks: UnsafePointer<Float>?
  /// Added to the scores of head `h` by the key's distance `d` from the token: `distanceBias[h * biasHeadStride + d]`, d below zero for
  /// keys before it.
  public var distanceBias: UnsafePointer<Float>?
  public var biasHeadStride = 0

  /// - Parameter capacity: positions of a cache `[kvHeads, capacity, dim]`, the faster layout (a head's keys lie together;
  ///   rows a multiple of 4 KiB apart compete for a few cache sets). nil: `[position, kvHeads, dim]`.
  public init(
    out: UnsafeMutablePointer<Float>, queries: UnsafePointer<Float>, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
    tokens: Int, heads: Int, kvHeads: Int, headDim: Int, valueDim: Int? = nil, keyCount: Int, firstPosition: Int, scale: Float,
    capacity: Int? = nil
  ) {
    let valueDim = valueDim ?? headDim
    self.out = out
    self.queries = queries
    self.keys = keys
    self.values = values
    self.tokens = tokens
    self.heads = heads
    rowHeads = heads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.valueDim = valueDim
    self.keyCount = keyCount
    self.firstPosition = firstPosition
    self.scale = scale
    keyStride = capacity == nil ? kvHeads * headDim : headDim
    keyHeadStride = (capacity ?? 1) * headDim
    valueStride = capacity == nil ? kvHeads * valueDim : valueDim
    valueHeadStride = (capacity ?? 1) * valueDim
  }

  /// The part of one KV head, with some of the query heads that share it, for some tokens.
  func job(kvHead: Int, sharers: Range<Int>, tokens range: Range<Int>) -> mt_attention_job {
    let head = kvHead * (heads / kvHeads) + sharers.lowerBound
    let row = range.lowerBound * rowHeads + head
    return mt_attention_job(
      out: out + row * valueDim, out_token_stride: rowHeads * valueDim, out_head_stride: valueDim, q: queries + row * headDim,
      q_token_stride: rowHeads * headDim, q_head_stride: headDim, k: keys + kvHead * keyHeadStride, k_stride: keyStride,
      v: values + kvHead * valueHeadStride, v_stride: valueStride, head_dim: headDim, value_dim: valueDim, tokens: range.count,
      group: sharers.count, keys: keyCount, first_position: firstPosition + range.lowerBound, causal: causal, window: window ?? 0,
      scale: scale, softcap: softcap ?? 0, sinks: sinks.map { $0 + head },
      distance_bias: distanceBias.map { $0 + head * biasHeadStride }, bias_head_stride: biasHeadStride)
  }
}

extension WorkerPool {
  /// Multiply-adds below which a second thread costs more than it brings (about 3 microseconds of one core).
  static let forkThreshold = 100_000

  /// One product, its output rows (and for many tokens its tokens) shared by the threads.
  public func multiply(_ product: Product) {
    withUnsafePointer(to: product) { multiply(UnsafeBufferPointer(start: $0, count: 1)) }
  }

  /// `out[t, r] = x[t, :] . weight[r, :]`, contiguous rows.
  public func matmul(out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, tokens: Int, weight: WeightMatrix) {
    multiply(Product(out: out, x: x, tokens: tokens, weight: weight))
  }

  /// Two or three products that do not depend on one another, in one fork: query, key and value.
  public func multiply(_ first: Product, _ second: Product) {
    withUnsafeTemporaryAllocation(of: Product.self, capacity: 2) { list in
      list.initializeElement(at: 0, to: first)
      list.initializeElement(at: 1, to: second)
      multiply(UnsafeBufferPointer(list))
    }
  }

  public func multiply(_ first: Product, _ second: Product, _ third: Product) {
    withUnsafeTemporaryAllocation(of: Product.self, capacity: 3) { list in
      list.initializeElement(at: 0, to: first)
      list.initializeElement(at: 1, to: second)
      list.initializeElement(at: 2, to: third)
      multiply(UnsafeBufferPointer(list))
    }
  }

  /// Any number of independent products in one fork.
  public func multiply(_ products: UnsafeBufferPointer<Product>) {
    var work = 0
    var scratch = 0
    for product in products {
      work += product.tokens * product.weight.rows * product.weight.columns
      scratch = max(scratch, mt_matmul_scratch_bytes(product.weight.columns))
    }
    reserveScratch(bytes: scratch)
    let grain = productGrain(work: work)
    var chunks = 0
    for product in products { chunks += MatmulCut(product, grain: grain, sums: sums).chunks }
    run(chunks: chunks) { chunk, worker in
      var chunk = chunk
      for product in products {
        let cut = MatmulCut(product, grain: grain, sums: sums)
        if chunk < cut.chunks {
          var job = product.job(sums)
          cut.narrow(&job, to: chunk)
          mt_matmul(&job, self.scratch(of: worker))
          return
        }
        chunk -= cut.chunks
      }
    }
  }

  /// Multiply-adds a chunk should hold: everything for small work, else several chunks a thread, none too small.
  func grain(work: Int) -> Int {
    threadCount == 1 || work < Self.forkThreshold ? .max : max(Self.forkThreshold / 4, work / (threadCount * 6))
  }

  /// The same of products: larger where each chunk lays out its tokens for tiles.
  func productGrain(work: Int) -> Int {
    let grain = grain(work: work)
    return sums.layTokens && grain != .max ? 3 * grain : grain
  }

  /// Attention of all heads: a chunk is one KV head, or some of the query heads that share it, with a block of tokens.
  public func attend(_ attention: Attention) {
    let group = attention.heads / attention.kvHeads
    let work = attention.tokens * attention.heads * attention.keyCount * (attention.headDim + attention.valueDim) / 2
    reserveScratch(bytes: mt_attention_scratch_bytes(attention.keyCount))
    let alone = grain(work: work) == .max
    let block = max(1, 48 / group)
    let blocks = (attention.tokens + block - 1) / block
    // Where few tokens meet few KV heads, the heads that share one are divided among the threads.
    let wanted = alone ? 1 : (2 * threadCount + blocks * attention.kvHeads - 1) / (blocks * attention.kvHeads)
    let sharers = (group + min(wanted, group) - 1) / min(wanted, group)
    let parts = (group + sharers - 1) / sharers
    let chunks = blocks * attention.kvHeads * parts
    run(chunks: alone ? 1 : chunks) { first, worker in
      for chunk in alone ? 0..<chunks : first..<first + 1 {
        // Later tokens see more keys: begin with them, so that no long chunk is left for the end.
        let (kvHead, part) = (chunk / parts % attention.kvHeads, chunk % parts)
        let token = (blocks - 1 - chunk / (parts * attention.kvHeads)) * block
        var job = attention.job(
          kvHead: kvHead, sharers: part * sharers..<min(part * sharers + sharers, group),
          tokens: token..<min(token + block, attention.tokens))
        mt_attention(&job, self.scratch(of: worker))
      }
    }
  }

  /// Calls `body` with ranges that together are `0..<count`: row functions over many tokens (norms, rotary, softmax).
  ///
  /// - Parameter cost: rough multiply-adds of one row; small work stays on the calling thread.
  public func forEachRow(of count: Int, cost: Int, _ body: (Range<Int>) -> Void) {
    let rows = max(1, min(count, grain(work: count * cost) / max(1, cost)))
    run(chunks: (count + rows - 1) / rows) { chunk, _ in body(chunk * rows..<min(count, (chunk + 1) * rows)) }
  }

  /// `out = x / rms(x) * (weight + weightOffset)` for each of `rows` contiguous rows; in place is allowed.
  public func rmsNorm(
    out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, rows: Int, columns: Int, weight: UnsafePointer<Float>?,
    weightOffset: Float = 0, eps: Float
  ) {
    forEachRow(of: rows, cost: columns * 2) { range in
      let start = range.lowerBound * columns
      mt_rms_norm(out + start, columns, x + start, columns, range.count, columns, weight, weightOffset, eps)
    }
  }
}

extension WorkerPool {
  /// `out = (x - mean) / deviation * weight + bias` for each of `rows` contiguous rows; in place is allowed.
  public func layerNorm(
    out: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, rows: Int, columns: Int, weight: UnsafePointer<Float>?,
    bias: UnsafePointer<Float>?, eps: Float
  ) {
    forEachRow(of: rows, cost: columns * 3) { range in
      let start = range.lowerBound * columns
      mt_layer_norm(out + start, columns, x + start, columns, range.count, columns, weight, bias, eps)
    }
  }
}

/// How one product is cut: blocks of weight rows, and blocks of tokens where the rows alone are too few.
struct MatmulCut {
  let rowsPerChunk: Int
  let tokensPerChunk: Int
  let rowChunks: Int
  let chunks: Int

  init(_ product: Product, grain: Int, sums: ProductSums) {
    self.init(product.weight, tokens: product.tokens, grain: grain, sums: sums)
  }

  init(_ weight: WeightMatrix, tokens: Int, grain: Int, sums: ProductSums, mostTokens: Int = .max) {
    let (rows, depth) = (weight.rows, weight.columns)
    let row = max(1, depth * min(tokens, mostTokens))
    let step = weight.rowGrain(tokens: tokens, sums: sums)
    rowsPerChunk = min(max(rows, 1), max(step, (min(grain / row, rows) + step - 1) / step * step))
    rowChunks = (rows + rowsPerChunk - 1) / rowsPerChunk
    // So few rows may still be more than a grain: then tokens are cut, in blocks that repay the widening of weights.
    let tokenGrain = max(48, grain / max(1, depth * rowsPerChunk))
    tokensPerChunk = max(1, min(tokens, tokenGrain, mostTokens))
    chunks = rowChunks * ((tokens + tokensPerChunk - 1) / tokensPerChunk)
  }

  func narrow(_ job: inout mt_matmul_job, to chunk: Int) {
    let row = chunk % rowChunks * rowsPerChunk
    let token = chunk / rowChunks * tokensPerChunk
    job.row_end = min(job.row_begin + row + rowsPerChunk, job.row_end)
    job.row_begin += row
    job.tokens = min(tokensPerChunk, job.tokens - token)
    if let index = job.x_index { job.x_index = index + token } else { job.x += token * job.x_stride }
    if let index = job.out_index { job.out_index = index + token } else { job.out += token * job.out_stride }
    if let scale = job.scale { job.scale = scale + token }
  }
}
