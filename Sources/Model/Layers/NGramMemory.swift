// What words that stand together remember: the ids of a token and of the few before it are hashed, each hash looks a small vector up in a large
// table, and what is found is added to every residual stream as far as the stream agrees with it, with a short convolution over time. Texts end
// at the mark of their end: no n-gram reaches over it.
// Source: Qwen team 2026, Qwen4-Exp (per-layer embeddings), by its modelling code.

import CKernels
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct NGramMemoryPlan: OperationPlan {
  var streams: Int
  /// How ids become rows.
  var hash: NGramHash
  /// Elements of all rows of a token together.
  var width: Int
  /// `prefix.shard_N.weight`, so many of them one after the other, or `prefix.weight`: `[hash.rows, width / hash.heads]`.
  var table: (prefix: String, shards: Int)
  /// Where the file holds the numbers of the hash: `[orders]`, `[heads]`, `[heads]`.
  var numbers: (multipliers: String, sizes: String, offsets: String)
  /// `[n * hidden, width]`, `[hidden, width]`
  var key: LinearPlan
  var value: LinearPlan
  var keyNorm: StreamNormPlan
  var queryNorm: StreamNormPlan
  var convolutionNorm: StreamNormPlan
  /// Over `n * hidden` channels.
  var convolution: ConvolutionPlan

  func bind(_ binder: WeightBinder) throws -> any BoundOperation { try BoundNGramMemory(self, binder) }
}

struct BoundNGramMemory: BoundOperation {
  let plan: NGramMemoryPlan
  /// What the file says of the hash, beside what follows from the configuration.
  let numbers: [(found: IntegerMatrix, wanted: [Int64])]
  let table: ShardedTable
  let key: Linear
  let value: Linear
  let keyNorm: StreamNorm
  let queryNorm: StreamNorm
  let convolutionNorm: StreamNorm
  let convolution: BoundConvolution

  init(_ plan: NGramMemoryPlan, _ binder: WeightBinder) throws {
    self.plan = plan
    let because = "ple_embed_dim, hidden_size and hc_count in config.json"
    let hash = plan.hash
    numbers = try [
      (plan.numbers.multipliers, hash.multipliers), (plan.numbers.sizes, hash.sizes.map { Int64($0) }),
      (plan.numbers.offsets, hash.offsets.map { Int64($0) }),
    ].compactMap { name, wanted -> (found: IntegerMatrix, wanted: [Int64])? in
      guard binder.checkpoint.has(name) else { return nil }
      return (try binder.integers(name, rows: 1, columns: wanted.count, because: "the n-gram sizes in config.json"), wanted)
    }
    table = try ShardedTable(
      binder, plan.table.prefix, shards: plan.table.shards, rows: hash.rows, columns: plan.width / hash.heads,
      because: "the n-gram sizes in config.json")
    key = try binder.linear(plan.key, rows: plan.streams * binder.hiddenSize, columns: plan.width, because: because)
    value = try binder.linear(plan.value, rows: binder.hiddenSize, columns: plan.width, because: because)
    keyNorm = try plan.keyNorm.bind(binder)
    queryNorm = try plan.queryNorm.bind(binder)
    convolutionNorm = try plan.convolutionNorm.bind(binder)
    convolution = try BoundConvolution(plan.convolution, binder, because: because)
  }

  /// Numbers of the file that others would be hashed by: read when a token needs them, not when a model is described.
  var fault: ModelError? {
    let other = numbers.first { pair in pair.wanted.indices.contains { pair.found[0, $0] != pair.wanted[$0] } }
    return other.map {
      .unsupportedSetting(
        file: $0.found.file, key: $0.found.name, found: "other numbers",
        supported: "those that follow from seed and the n-gram sizes in config.json")
    }
  }

  /// A token meets one row for each hash.
  var idle: WeightSize { table.size(of: plan.hash.rows - plan.hash.heads) }
  var stateFloats: Int { convolution.stateFloats }
  func start() -> any RunningOperation { RunningNGramMemory(self) }
}

final class RunningNGramMemory: RunningOperation {
  private let bound: BoundNGramMemory
  private let convolution: RunningConvolution
  private var isChecked = false
  /// The ids before the step at hand, the oldest first.
  private var past: [Int32] = []

  init(_ bound: BoundNGramMemory) {
    self.bound = bound
    convolution = RunningConvolution(bound.convolution)
  }

  func reset() {
    past = []
    convolution.reset()
  }

  /// Reads and writes all streams, `[count, n, hidden]`: `pass.x` and `pass.out` are the same.
  func run(_ pass: Pass) {
    let (count, size, n) = (pass.count, pass.hiddenSize, bound.plan.streams)
    precondition(pass.tokens.count == count, "n-grams are looked up for tokens")
    if !isChecked { (isChecked, pass.fault) = (true, pass.fault ?? bound.fault) }
    let found = remembered(pass)
    let keys = pass.project(bound.key, from: found)
    bound.keyNorm.apply(pass.pool, out: keys, x: keys, count: count)
    let values = pass.project(bound.value, from: found)
    let queries = pass.arena.floats(count * n * size)
    bound.queryNorm.apply(pass.pool, out: queries, x: pass.x, count: count)
    let gated = pass.arena.floats(count * n * size)
    pass.pool.forEachRow(of: count * n, cost: 3 * size) { rows in
      for row in rows {
        var agreement: Float = 0
        for i in 0..<size { agreement += keys[row * size + i] * queries[row * size + i] }
        agreement /= Float(size).squareRoot()
        let root = agreement == 0 ? 0 : Float(signOf: agreement, magnitudeOf: max(abs(agreement), 1e-6).squareRoot())
        mt_scale(gated + row * size, values + row / n * size, 1 / (1 + exp(-root)), size)
      }
    }
    let normed = queries
    bound.convolutionNorm.apply(pass.pool, out: normed, x: gated, count: count)
    let convolved = convolution.run(pass, normed, stride: n * size)
    mt_activate(convolved, convolved, nil, count * n * size, MT_SILU, 0)
    mt_add(pass.out, pass.out, gated, count * n * size)
    mt_add(pass.out, pass.out, convolved, count * n * size)
  }

  /// `[count, width]`: the rows of each token's n-grams; in the arena.
  private func remembered(_ pass: Pass) -> UnsafeMutablePointer<Float> {
    let (hash, width) = (bound.plan.hash, bound.plan.width)
    let reach = hash.orders - 1
    let missing = Array(repeating: hash.end, count: max(0, reach - past.count))
    let history = missing + past + pass.tokens
    let out = pass.arena.floats(pass.count * width)
    for t in 0..<pass.count {
      for (head, row) in hash.rows(of: history[t...t + reach]).enumerated() {
        bound.table.read(row: row, into: out + t * width + head * (width / hash.heads))
      }
    }
    past = Array(history.suffix(reach))
    return out
  }
}

/// Which rows of a table the last tokens of a text name: one for each head of each order from 2 on.
struct NGramHash: Sendable {
  /// The longest n-gram.
  let orders: Int
  let headsPerOrder: Int
  /// What ends a text.
  let end: Int32
  /// `[orders]`: odd numbers, one for each place of an n-gram.
  let multipliers: [Int64]
  /// `[heads]`: rows of each head, primes; and where they begin.
  let sizes: [Int]
  let offsets: [Int]
  /// Rows of the whole table.
  let rows: Int

  var heads: Int { sizes.count }

  /// - Parameters:
  ///   - layer: number of this table among those of the model.
  ///   - base: least number of rows of a head.
  ///   - multiple: what the number of rows is a multiple of.
  init(orders: Int, headsPerOrder: Int, end: Int32, vocabulary: Int, layer: Int, base: Int, multiple: Int, seed: Int) {
    (self.orders, self.headsPerOrder, self.end) = (orders, headsPerOrder, end)
    let heads = (orders - 1) * headsPerOrder
    var primes: [Int] = []
    var candidate = base
    while primes.count < (layer + 1) * heads {
      if Self.isPrime(candidate) { primes.append(candidate) }
      candidate += 1
    }
    sizes = Array(primes.suffix(heads))
    var begin = 0
    var offsets: [Int] = []
    for size in sizes {
      offsets.append(begin)
      begin += size
    }
    self.offsets = offsets
    rows = (begin + multiple - 1) / multiple * multiple
    let bound = UInt64(max(1, Int64.max / Int64(max(1, vocabulary)) / 2))
    let first = UInt64(bitPattern: Int64(seed)) &+ 10_007 &* UInt64(layer)
    multipliers = (0..<orders).map { Int64(2 * (Self.mixed(first &+ Self.step &* UInt64($0 + 1)) % bound) + 1) }
  }

  /// The row of each head.
  ///
  /// - Parameter tokens: the last `orders` of a text, the oldest first; none behind an end counts.
  func rows(of tokens: ArraySlice<Int32>) -> [Int] {
    // By distance from the last token: what stands before an end is that end.
    var places: [Int64] = []
    var isOver = false
    for (distance, token) in tokens.reversed().enumerated() {
      isOver = isOver || distance > 0 && token == end
      places.append(Int64(isOver ? end : token))
    }
    var rows: [Int] = []
    var mixed = places[0] &* multipliers[0]
    for order in 1..<orders {
      mixed ^= places[order] &* multipliers[order]
      for head in (order - 1) * headsPerOrder..<order * headsPerOrder {
        let size = Int64(sizes[head])
        rows.append(offsets[head] + Int((mixed % size + size) % size))
      }
    }
    return rows
  }

  private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// A step of SplitMix64.
  private static func mixed(_ number: UInt64) -> UInt64 {
    var value = number &+ step
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  private static func isPrime(_ number: Int) -> Bool {
    guard number > 3 else { return number > 1 }
    guard number % 2 != 0 else { return false }
    var divisor = 3
    while divisor * divisor <= number {
      if number % divisor == 0 { return false }
      divisor += 2
    }
    return true
  }
}

/// The rows of one table, which may lie in several tensors.
struct ShardedTable: Sendable {
  private let parts: [BoundMatrix]
  /// The first row of each part.
  private let first: [Int]

  /// - Throws: `ModelError` for a part that is missing or of another width, or when there are not so many rows.
  init(_ binder: WeightBinder, _ prefix: String, shards: Int, rows: Int, columns: Int, because: String) throws {
    var parts: [BoundMatrix] = []
    var first: [Int] = []
    var known = 0
    let isWhole = binder.checkpoint.has("\(prefix).weight")
    for shard in 0..<(isWhole ? 1 : shards) {
      let name = isWhole ? "\(prefix).weight" : "\(prefix).shard_\(shard).weight"
      let isLast = isWhole || shard == shards - 1
      let stored = binder.checkpoint.shape(of: name)?.first ?? 0
      // Of the last one that many rows are expected that all are there.
      let count = isLast ? rows - known : stored
      guard count > 0, count <= rows - known else {
        throw ModelError.tensorShape(
          file: binder.checkpoint.path, name: name, expected: [max(1, rows - known), columns], found: [stored, columns], because: because)
      }
      parts.append(try binder.matrix(MatrixPlan(name), rows: count, columns: columns, because: because))
      first.append(known)
      known += count
    }
    (self.parts, self.first) = (parts, first)
  }

  func read(row: Int, into out: UnsafeMutablePointer<Float>) {
    var (low, high) = (0, first.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if first[middle] <= row { low = middle } else { high = middle }
    }
    parts[low].matrix.read(row: row - first[low], into: out)
  }

  /// How much so many rows are.
  func size(of rows: Int) -> WeightSize {
    let matrix = parts[0].matrix
    var size = WeightSize()
    (size.parameters, size.bytes) = (rows * matrix.columns, rows * matrix.type.rowBytes(columns: matrix.columns))
    return size
  }
}
