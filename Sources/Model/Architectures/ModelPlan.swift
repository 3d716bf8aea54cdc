// What a checkpoint says about its own computation, as data. A family's declaration fills this value from its configuration; binding
// turns names into tensors; the forward pass executes it without ever asking which family it came from.

import Routing

/// A language model, block by block.
struct ModelPlan: Sendable {
  var family: String
  var hiddenSize: Int
  var vocabularySize: Int
  /// Positions the checkpoint was made for.
  var contextLength: Int
  /// `[vocabularySize, hiddenSize]`: of the decoder's tokens.
  var embedding: MatrixPlan
  /// Factor on every embedding.
  var embeddingScale: Float = 1
  /// Residual streams side by side; each begins as the embedding.
  var streamCount = 1
  /// Routed experts of each layer that texts have, where the files number those of images behind them; nil: all are.
  var ownExperts: Int?
  /// How writers name the plan's tensors: the first spelling that a file has counts. Empty: as the plan does.
  var spellings: [NameSpelling] = []
  /// Added to the embeddings of each stack; nil: positions are a matter of attention.
  var positions: SinusoidalPositionsPlan?
  /// nil: a decoder-only model.
  var encoder: EncoderPlan?
  var decoder: StackPlan
  /// `[vocabularySize, hiddenSize]`; when tied, the embedding itself.
  var outputHead: LinearPlan
  /// Factor on every logit.
  var logitScale: Float = 1
  /// Logits become `cap * tanh(logit / cap)`; nil: they stay.
  var logitCap: Float?
}

/// What reads the input of an encoder-decoder model.
struct EncoderPlan: Sendable {
  /// `[vocabularySize, hiddenSize]`
  var embedding: MatrixPlan
  var stack: StackPlan
}

/// Blocks one after the other, and the norm behind the last.
struct StackPlan: Sendable {
  var blocks: [BlockPlan]
  /// How several streams become one before the norm.
  var join: (any StreamJoinPlan)?
  /// nil: what the last block (or the join) gives is the state.
  var finalNorm: NormPlan?
}

/// One block: usually attention, then a feed-forward half.
struct BlockPlan: Sendable {
  var sublayers: [SublayerPlan]
  /// nil: the only run of the layer that has the block's own number.
  var run: LayerRun?

  init(_ sublayers: [SublayerPlan], run: LayerRun? = nil) { (self.sublayers, self.run) = (sublayers, run) }
}

/// `stream += scale * outputNorm(operation(input))`, and the ways families vary it.
struct SublayerPlan: Sendable {
  /// What the operation reads.
  enum Input: Sendable {
    /// The residual stream, normalised.
    case norm(NormPlan)
    /// What the sublayer before this one read: blocks whose halves run in parallel.
    case previous
    /// The residual stream as it is: blocks that only normalise behind their operations.
    case stream
    /// Several streams as they are, which the operation itself adds to.
    case streams
  }
  /// Where the output goes.
  enum Destination: Sendable {
    case stream
    /// Kept aside until a later sublayer of the block has `addsHeld`.
    case held
  }

  var input: Input
  /// What multiplies the input; nil: nothing.
  var inputGate: InputGatePlan?
  /// What stands between the operation and several streams: `stream` is then what it makes of them.
  var connection: (any StreamConnectionPlan)?
  var operation: any OperationPlan
  var outputNorm: NormPlan?
  var outputScale: Float = 1
  /// The stream is replaced by this factor times the operation's input before the output is added; nil: the stream stays.
  var inputAsResidual: Float?
  var destination = Destination.stream
  var addsHeld = false
  /// Over the sum of the output and what was held, before it goes to the stream; only with `addsHeld`.
  var sumNorm: NormPlan?
  /// `[1]`: a factor on the stream when the output has been added.
  var streamFactor: VectorPlan?

  init(_ input: Input, _ operation: any OperationPlan) {
    self.input = input
    self.operation = operation
  }

  init(_ norm: NormPlan, _ operation: any OperationPlan) { self.init(.norm(norm), operation) }
}

/// `x * sigmoid(up silu(down x))`: a gate of low rank that what it multiplies decides.
struct InputGatePlan: Sendable {
  var rank: Int
  /// `[rank, hidden]`, `[hidden, rank]`
  var down: LinearPlan
  var up: LinearPlan
}

/// A normalisation over the last axis.
struct NormPlan: Sendable, Hashable {
  enum Kind: Sendable { case rms, layer }
  var kind = Kind.rms
  /// nil: no weight.
  var weight: VectorPlan?
  var bias: VectorPlan?
  var epsilon: Float
  /// Added to the weight: 1 where the file holds the difference from 1.
  var weightOffset: Float = 0

  static func rms(_ weight: VectorPlan?, _ epsilon: Double, offset: Float = 0) -> NormPlan {
    NormPlan(weight: weight, epsilon: Float(epsilon), weightOffset: offset)
  }

  static func layer(_ weight: VectorPlan, bias: VectorPlan? = nil, _ epsilon: Double) -> NormPlan {
    NormPlan(kind: .layer, weight: weight, bias: bias, epsilon: Float(epsilon))
  }
}

/// `y = W x + b`.
struct LinearPlan: Sendable, Hashable {
  var weight: MatrixPlan
  var bias: VectorPlan?

  init(_ weight: MatrixPlan, bias: VectorPlan? = nil) {
    self.weight = weight
    self.bias = bias
  }

  /// `prefix.weight`, and `prefix.bias` where the family has biases.
  init(prefix: String, bias: Bool = false) {
    weight = "\(prefix).weight"
    self.bias = bias ? "\(prefix).bias" : nil
  }
}

/// A writer's names for tensors, where they are not those of the plan.
struct NameSpelling: Sendable {
  /// Names that are others as a whole.
  var whole: [String: String] = [:]
  /// In front of all other names.
  var prefix = ""
  /// Ends of names that are others.
  var endings: [String: String] = [:]

  func name(_ name: String) -> String {
    if let other = whole[name] { return other }
    let ending = endings.first { name.hasSuffix($0.key) }
    return prefix + (ending.map { name.dropLast($0.key.count) + $0.value } ?? name)
  }
}

/// Where a matrix `[rows, columns]` lies: a whole tensor, or some rows of one that holds several.
struct MatrixPlan: Sendable, Hashable, ExpressibleByStringInterpolation {
  /// A matrix that is stored with inputs as rows: columns of the stored tensor become rows.
  struct Transposition: Sendable, Hashable {
    var firstColumn = 0
    var step = 1
  }

  var tensor: String
  /// Read where the file has no `tensor`, or none of `storedShape`, the first that it has: an equal matrix that its writer left out, or the
  /// layout of another writer.
  var alternatives: [MatrixPlan] = []
  /// The tensor's own shape; nil: `[rows, columns]`. All axes but the last `columnAxes` are counted as rows.
  var storedShape: [Int]?
  var columnAxes = 1
  /// The first stored row, and the distance to the next one.
  var firstRow = 0
  var step = 1
  var transposition: Transposition?

  init(_ tensor: String) { self.tensor = tensor }
  init(stringLiteral value: String) { tensor = value }

  /// The output head of a model whose configuration ties it to the embedding. A file that holds a head all the same is taken at its
  /// word, as transformers does: equal values change nothing, and others are what was trained.
  static func tiedHead(_ embedding: MatrixPlan) -> MatrixPlan {
    var plan: MatrixPlan = "lm_head.weight"
    plan.alternatives = [embedding]
    return plan
  }

  init(
    _ tensor: String, storedShape: [Int], columnAxes: Int = 1, firstRow: Int = 0, step: Int = 1, transposition: Transposition? = nil
  ) {
    self.tensor = tensor
    self.storedShape = storedShape
    self.columnAxes = columnAxes
    self.firstRow = firstRow
    self.step = step
    self.transposition = transposition
  }
}

/// Where a vector lies: a whole tensor, or some elements of one.
struct VectorPlan: Sendable, Hashable, ExpressibleByStringInterpolation {
  var tensor: String
  /// Read where the file has no `tensor`, the first that it has: the names of other writers.
  var alternatives: [String] = []
  /// The tensor's own shape; nil: `[count]`.
  var storedShape: [Int]?
  var first = 0
  var step = 1

  init(_ tensor: String, or alternatives: String...) { (self.tensor, self.alternatives) = (tensor, alternatives) }
  init(stringLiteral value: String) { tensor = value }

  init(_ tensor: String, storedShape: [Int], first: Int = 0, step: Int = 1) {
    self.tensor = tensor
    self.storedShape = storedShape
    self.first = first
    self.step = step
  }
}
