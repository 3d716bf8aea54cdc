// The forward pass of a language model, once: tokens of one sequence in, hidden states and routing decisions out. It executes a plan
// with bound weights and keeps the sequence's state; which family the plan came from it never learns.

import CKernels
import Routing

/// Runs one sequence at a time through the blocks of a model.
///
/// A sequence begins with `reset`; where the model has an encoder, `encode` then takes all of the encoder's tokens at once; `advance`
/// takes the tokens of the decoder, pass by pass.
///
/// Not thread-safe: one value belongs to one thread at a time. Results do not depend on how a sequence is cut into passes, nor on
/// the number of threads.
public final class ForwardPass {
  public let model: LanguageModel
  /// Tokens a single pass may hold: as asked for, or a whole sequence where the model's routers need one.
  public let passLimit: Int
  /// Tokens of the decoder's sequence that the state holds.
  public private(set) var position = 0
  public weak var probe: (any ActivationProbe)?

  let pool: WorkerPool
  private let plan: ModelPlan
  private let weights: ModelWeights
  private let pass: Pass
  /// Of the encoder and the decoder, block by block.
  private let encoderOperations: [[any RunningOperation]]
  private let operations: [[any RunningOperation]]
  private var positions: SinusoidalPositions?
  /// `[tokens, hiddenSize]` each: the residual stream; what a sublayer reads; what a block holds back; a sublayer's output where it
  /// does not go to the stream as it is. After a pass `normed` holds the final hidden states.
  private let hidden: GrowingBuffer
  private let normed: GrowingBuffer
  private let held: GrowingBuffer
  private let aside: GrowingBuffer
  /// `[encoder tokens, hiddenSize]`: what the encoder made of the sequence.
  private let encoded: GrowingBuffer
  private let logitBuffer: GrowingBuffer
  /// Tokens of the last pass.
  private var lastCount = 0

  /// - Parameters:
  ///   - threads: nil takes every core.
  ///   - passLimit: memory grows with it: about (8 hidden + topK x intermediate) floats a token.
  public init(_ model: LanguageModel, threads: Int? = nil, passLimit: Int = 512) {
    self.model = model
    self.passLimit = model.takesWholeSequences ? model.contextLength : passLimit
    pool = WorkerPool(threads: threads)
    plan = model.plan
    weights = model.weights
    pass = Pass(pool: pool, hiddenSize: plan.hiddenSize)
    encoderOperations = weights.encoder?.stack.blocks.map { $0.map { $0.operation.start() } } ?? []
    operations = weights.decoder.blocks.map { $0.map { $0.operation.start() } }
    positions = plan.positions.map { [width = plan.hiddenSize] in SinusoidalPositions($0, width: width) }
    (hidden, normed, held, aside, encoded, logitBuffer) = (
      GrowingBuffer(), GrowingBuffer(), GrowingBuffer(), GrowingBuffer(), GrowingBuffer(), GrowingBuffer()
    )
  }

  public var threadCount: Int { pool.threadCount }

  /// Tokens the sequence at hand can have before its first tokens would have to be read again, because longer ones are turned otherwise
  /// from their start; nil: no such number.
  public var border: Int? { pass.rotary.border }

  /// Forgets the sequence.
  ///
  /// - Parameter length: tokens the next sequence is known to have. Few models look at it: their positions are encoded in another
  ///   way beyond the context they were first trained for.
  public func reset(length: Int = 0) {
    position = 0
    lastCount = 0
    pass.encodedCount = 0
    pass.rotary.begin(length: length)
    positions?.reset()
    for block in encoderOperations + operations { for operation in block { operation.reset() } }
  }

  /// Feeds all of the encoder's tokens.
  ///
  /// - Parameters: as of `advance`, but for the number of tokens: an encoder sees all of them at once.
  /// - Returns: one batch per router of the encoder; empty when nobody listens.
  /// - Precondition: the model has an encoder, and `reset` came before.
  public func encode(_ tokens: [Int32], demand: RoutingDemand? = nil, firstToken: Int = 0) -> [RoutingBatch] {
    guard let encoder = weights.encoder else { preconditionFailure("a model without an encoder") }
    precondition(position == 0 && pass.encodedCount == 0 && !tokens.isEmpty, "the encoder comes first, once")
    begin(tokens.count, position: 0, firstToken: firstToken, demand: demand)
    let stream = embed(tokens[...], from: encoder.embedding)
    for (block, operations) in zip(encoder.stack.blocks, encoderOperations) {
      for (sublayer, operation) in zip(block, operations) { run(sublayer, operation, stream) }
    }
    let output = encoded.floats(tokens.count * plan.hiddenSize)
    encoder.stack.finalNorm.apply(pool, out: output, x: stream, rows: tokens.count)
    probe?.encoded(UnsafeBufferPointer(start: output, count: tokens.count * plan.hiddenSize))
    (pass.encoded, pass.encodedCount) = (output, tokens.count)
    positions?.reset()
    return pass.batches
  }

  /// Feeds the next tokens of the sequence.
  ///
  /// - Parameters:
  ///   - tokens: at most `passLimit`, ids inside the vocabulary.
  ///   - demand: what a sink wants to know; nil when nobody listens, and then nothing is recorded.
  ///   - firstToken: row of the first token in the run.
  /// - Returns: one batch per router of the decoder, in the order of `LanguageModel.routers`; empty when nobody listens.
  /// - Precondition: `position + tokens.count` within the model's context; the encoder, where there is one, has run.
  public func advance(_ tokens: ArraySlice<Int32>, demand: RoutingDemand? = nil, firstToken: Int = 0) -> [RoutingBatch] {
    precondition(tokens.count <= passLimit && !tokens.isEmpty, "a pass holds 1 to \(passLimit) tokens")
    precondition(position + tokens.count <= plan.contextLength, "beyond the context")
    precondition(weights.encoder == nil || pass.encodedCount > 0, "the encoder comes first")
    let count = tokens.count
    let width = count * plan.hiddenSize
    begin(count, position: position, firstToken: firstToken, demand: demand)
    let stream = embed(tokens, from: weights.embedding)
    probe?.hidden(0, UnsafeBufferPointer(start: stream, count: width))
    for (layer, block) in weights.decoder.blocks.enumerated() {
      for (sublayer, operation) in zip(block, operations[layer]) { run(sublayer, operation, stream) }
      if layer + 1 < operations.count { probe?.hidden(layer + 1, UnsafeBufferPointer(start: stream, count: width)) }
    }
    let final = normed.floats(width)
    weights.decoder.finalNorm.apply(pool, out: final, x: stream, rows: count)
    probe?.hidden(operations.count, UnsafeBufferPointer(start: final, count: width))
    position += count
    lastCount = count
    return pass.batches
  }

  /// Logits of some rows of the last pass, `[rows.count, vocabularySize]`; valid until the next call.
  public func logits(_ rows: Range<Int>) -> UnsafeBufferPointer<Float> {
    precondition(rows.upperBound <= lastCount, "rows of the last pass")
    let count = rows.count * plan.vocabularySize
    let logits = logitBuffer.floats(count)
    let head = weights.outputHead
    pool.multiply(
      Product(
        out: logits, x: normed.floats(lastCount * plan.hiddenSize) + rows.lowerBound * plan.hiddenSize, tokens: rows.count,
        weight: head.weight, bias: head.bias))
    if plan.logitScale != 1 { mt_scale(logits, logits, plan.logitScale, count) }
    return UnsafeBufferPointer(start: logits, count: count)
  }

  private func begin(_ count: Int, position: Int, firstToken: Int, demand: RoutingDemand?) {
    (pass.count, pass.position, pass.firstToken) = (count, position, firstToken)
    (pass.demand, pass.probe, pass.batches) = (demand, probe, [])
  }

  /// The residual stream of a pass, `[tokens, hiddenSize]`, as it enters the first block.
  private func embed(_ tokens: ArraySlice<Int32>, from embedding: WeightMatrix) -> UnsafeMutablePointer<Float> {
    let width = tokens.count * plan.hiddenSize
    let stream = hidden.floats(width)
    for (row, token) in tokens.enumerated() { embedding.read(row: Int(token), into: stream + row * plan.hiddenSize) }
    if plan.embeddingScale != 1 { mt_scale(stream, stream, plan.embeddingScale, width) }
    positions?.add(to: stream, of: tokens)
    return stream
  }

  private func run(_ sublayer: BoundSublayer, _ operation: any RunningOperation, _ stream: UnsafeMutablePointer<Float>) {
    let plan = sublayer.plan
    let width = pass.count * pass.hiddenSize
    pass.arena.reset()
    let input = normed.floats(width)
    switch plan.input {
    case .norm: sublayer.inputNorm?.apply(pool, out: input, x: stream, rows: pass.count)
    case .stream: input.update(from: stream, count: width)
    case .previous: break
    }
    pass.x = input
    let isPlain = plan.outputNorm == nil && plan.outputScale == 1 && plan.inputAsResidual == nil && plan.destination == .stream
    pass.out = isPlain ? stream : aside.zeros(width)
    operation.run(pass)
    guard !isPlain || plan.addsHeld else { return }
    if !isPlain {
      sublayer.outputNorm?.apply(pool, out: pass.out, x: pass.out, rows: pass.count)
      if let factor = plan.inputAsResidual { mt_scale(stream, input, factor, width) }
      switch plan.destination {
      case .stream: mt_axpy(stream, pass.out, plan.outputScale, width)
      case .held: mt_scale(held.floats(width), pass.out, plan.outputScale, width)
      }
    }
    if plan.addsHeld { mt_add(stream, stream, held.floats(width), width) }
  }
}

/// f32 memory that grows to the largest request and keeps its content between requests of one size.
final class GrowingBuffer {
  private var base = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var capacity = 1

  deinit { base.deallocate() }

  /// Room for `count` floats; what was there is lost when it has to grow.
  func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
    if count > capacity {
      base.deallocate()
      base = .allocate(capacity: count)
      capacity = count
    }
    return base
  }

  func zeros(_ count: Int) -> UnsafeMutablePointer<Float> {
    let memory = floats(count)
    memory.update(repeating: 0, count: count)
    return memory
  }
}
