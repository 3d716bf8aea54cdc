// What can stand in a block. An operation has three lives: a plan (names and sizes, made by a declaration), a bound form (tensors,
// shared by everyone who runs the model), and a running form (one sequence's state). A new kind of layer is a file with these three.

import Routing

/// Sizes and tensor names of an operation.
protocol OperationPlan: Sendable {
  /// - Throws: `ModelError` for a tensor that is missing or of the wrong shape, `RoutingError.invalidSpec`.
  func bind(_ binder: WeightBinder) throws -> any BoundOperation
}

/// An operation with its tensors.
protocol BoundOperation: Sendable {
  /// Its routers, in the order of their batches.
  var routers: [RouterDescription] { get }
  /// Weights that a token does not meet: those of the experts it does not take, in none of the runs of the operation's layer.
  var idle: WeightSize { get }
  /// How the router's weights are stored; nil without a router.
  var routerPrecision: StoredType? { get }
  /// Floats that one position adds to the state of a sequence.
  var cacheFloatsPerToken: Int { get }
  /// Floats of the state of a sequence, whatever its length.
  var stateFloats: Int { get }
  /// Whether it needs more of earlier blocks than the residual stream, so that no sequence can begin with it.
  var readsEarlierBlocks: Bool { get }
  /// Whether it needs the residual stream as it entered the block.
  var readsBlockEntry: Bool { get }
  func start() -> any RunningOperation
  /// The same tensors in another run of its layer: only its routers are called otherwise.
  func repeated(as run: LayerRun) -> any BoundOperation
}

extension BoundOperation {
  var routers: [RouterDescription] { [] }
  var idle: WeightSize { WeightSize() }
  var routerPrecision: StoredType? { nil }
  var cacheFloatsPerToken: Int { 0 }
  var stateFloats: Int { 0 }
  var readsEarlierBlocks: Bool { false }
  var readsBlockEntry: Bool { false }
  func repeated(as run: LayerRun) -> any BoundOperation { self }
}

/// An operation at work on one sequence.
protocol RunningOperation: AnyObject {
  /// Forgets the sequence and gives back memory that grew with it.
  func reset()
  /// Adds the operation's output for the tokens at hand to `pass.out`.
  func run(_ pass: Pass)
}

/// An operation without state runs itself.
extension RunningOperation {
  func reset() {}
}

/// What an operation sees of the pass at hand, a step of which goes through it at a time.
final class Pass {
  let pool: WorkerPool
  /// Memory until the end of the sublayer.
  let arena: Arena
  let rotary: RotaryTables
  let hiddenSize: Int
  var probe: (any ActivationProbe)?
  weak var review: (any DecisionReview)?
  /// Rules of the run, and the tokens of the pass as far as rules ask for them; both nil where nothing is changed.
  var intervention: Intervention?
  var rows: DecisionRows?
  /// The sequence's place among others that are computed side by side; nil: it is alone.
  var seat: SharedBatch.Seat?
  /// `[rows of the last decision]`: whether the shared experts beside its experts are taken away; nil: of no row.
  var hiddenShared: [Bool]?
  var demand: RoutingDemand?
  /// By position in the sequence the positions, rising, that a token of the pass looks at where it does not see all: the last layer's
  /// choice.
  var seenPositions: [Int: [Int32]] = [:]
  /// By position of a step's first token what the heads of the last block that has pairs as experts chose, for the blocks that do as it does.
  var pairedChoices: [Int: PairedChoice] = [:]
  /// The ids of the step's tokens; empty where rows are no tokens.
  var tokens: ArraySlice<Int32> = []
  /// What is wrong with the model's files and showed when a step needed it; what is computed from then on means nothing.
  var fault: ModelError?
  /// Tokens of the step at hand, the position of the first in its sequence, and its row in the run.
  var count = 0
  var position = 0
  var firstToken = 0
  /// Position behind the last token that is known to come: so many a state will hold.
  var end = 0
  /// Nothing behind the decisions of this operation is asked for.
  var isOver = false
  /// `[count, hiddenSize]`: what the operation reads.
  var x: UnsafeMutablePointer<Float>
  /// `[count, hiddenSize]`: what it adds to.
  var out: UnsafeMutablePointer<Float>
  /// `[count, hiddenSize]`: the residual stream before the operation.
  var stream: UnsafeMutablePointer<Float>
  /// `[count, hiddenSize]`: the residual stream as it entered the block; only where an operation of the block reads it.
  var blockEntry: UnsafeMutablePointer<Float>
  /// Decisions so far, in the order of the model's routers: of the pass, and behind them of the step at hand.
  var batches: [RoutingBatch] = []
  /// `[encodedCount, hiddenSize]`: what the encoder made of the sequence; only in a decoder that has one.
  var encoded: UnsafeMutablePointer<Float>
  var encodedCount = 0

  /// Whether the tokens of the step are computed in the way that is fastest for one that was generated: the last bits may be others than
  /// those of read ones.
  var isGenerating: Bool { pool.sums == .digits }

  init(pool: WorkerPool, hiddenSize: Int) {
    self.pool = pool
    self.hiddenSize = hiddenSize
    arena = Arena()
    rotary = RotaryTables()
    x = arena.floats(1)
    out = x
    stream = x
    blockEntry = x
    encoded = x
  }

  /// A product over the step's tokens, rows contiguous.
  func product(
    _ out: UnsafeMutablePointer<Float>, _ linear: Linear, from x: UnsafePointer<Float>, accumulate: Bool = false
  ) -> Product {
    Product(out: out, x: x, tokens: count, weight: linear.weight, bias: linear.bias, accumulate: accumulate)
  }

  /// `W x + b` of the step's tokens, in the arena.
  func project(_ linear: Linear, from x: UnsafePointer<Float>) -> UnsafeMutablePointer<Float> {
    let out = arena.floats(count * linear.weight.rows)
    pool.multiply(product(out, linear, from: x))
    return out
  }
}

/// How much of a model something is.
struct WeightSize: Sendable {
  var parameters = 0
  var bytes = 0

  init() {}

  init(_ matrices: WeightMatrix?...) {
    for case let matrix? in matrices {
      parameters += matrix.rows * matrix.columns
      bytes += matrix.rows * matrix.type.rowBytes(columns: matrix.columns)
    }
  }

  static func * (size: WeightSize, count: Int) -> WeightSize {
    var size = size
    size.parameters *= count
    size.bytes *= count
    return size
  }

  static func / (size: WeightSize, count: Int) -> WeightSize {
    var size = size
    size.parameters /= count
    size.bytes /= count
    return size
  }

  static func + (first: WeightSize, second: WeightSize) -> WeightSize {
    var sum = first
    sum.parameters += second.parameters
    sum.bytes += second.bytes
    return sum
  }
}
