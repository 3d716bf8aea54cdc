// The forward pass of a language model, once: tokens of one sequence in, hidden states and routing decisions out. It executes a plan
// with bound weights and keeps the sequence's state; which family the plan came from it never learns.

import CKernels
import Routing

/// Runs one sequence at a time through the blocks of a model.
///
/// A sequence begins with `reset`; where the model has an encoder, `encode` then takes all of the encoder's tokens at once; `advance`
/// takes the tokens of the decoder, pass by pass. A pass goes block by block: all its tokens, in steps, meet the weights of one block
/// before those of the next, so that each weight is read once a pass, and a block whose sequence ends with the pass needs no state
/// once it has seen it.
///
/// Not thread-safe: one value belongs to one thread at a time. Results do not depend on how a sequence is cut into passes and steps,
/// nor on the number of threads.
public final class ForwardPass {
  public let model: LanguageModel
  /// Tokens a single pass may hold: as asked for, or a whole sequence where routers need one.
  public var passLimit: Int { takesWholeSequences ? plan.contextLength : limits.pass }
  /// Tokens that go through a block together; a whole sequence where routers need one.
  public var stepLimit: Int { takesWholeSequences ? plan.contextLength : limits.step }
  /// Tokens of the decoder's sequence that the state holds.
  public private(set) var position = 0
  public weak var probe: (any ActivationProbe)?
  var review: (any DecisionReview)? {
    get { pass.review }
    set { pass.review = newValue }
  }

  /// What is changed about routing; from the next sequence on.
  public var intervention: Intervention? {
    get { pass.intervention }
    set { pass.intervention = newValue?.rules.isEmpty == false ? newValue : nil }
  }
  /// The sequence's place among others that are computed side by side; from the next sequence on.
  var seat: SharedBatch.Seat? {
    get { pass.seat }
    set { pass.seat = newValue }
  }
  /// The blocks whose incoming stream is kept in `streams`, and where the sequence at hand begins; from the next sequence on.
  var keeping = StreamPlaces()
  var origin: StreamOrigin?
  /// `[tokens of the decoder]`: surprisals of the next sequence, where an earlier reading knows them; conditions may ask.
  var knownSurprisals: [Float] = []
  /// Of the sequence at hand, as far as `keeping` says.
  private(set) var streams = ResidualStreams()

  /// Whether generated tokens are computed as read ones are, bit for bit: products with quantised weights are then never summed by digits,
  /// and latent attention unfolds all tokens before each, which is slower.
  public var isReproducible = false

  /// Whether a pass stops behind the decoder's last router: decisions are the same, and what would come out of the model is unknown.
  public var isRoutingOnly = false

  let pool: WorkerPool
  private let limits: (pass: Int, step: Int)
  private var takesWholeSequences: Bool { model.takesWholeSequences || intervention?.takesWholeSequences == true }
  private let plan: ModelPlan
  private let weights: ModelWeights
  let pass: Pass
  /// Of the encoder and the decoder, block by block.
  private let encoderOperations: [[any RunningOperation]]
  private let operations: [[any RunningOperation]]
  private var positions: SinusoidalPositions?
  /// `[tokens of a pass, streamSize]`: the residual stream (or several side by side), and after a pass the final hidden states.
  private let hidden: GrowingBuffer
  /// `[tokens of a step, hiddenSize]` each: what a sublayer reads; what a block holds back; a sublayer's output where it does not go
  /// to the stream as it is.
  let normed: GrowingBuffer
  let held: GrowingBuffer
  let aside: GrowingBuffer
  /// `[tokens of a step, hiddenSize]`: the stream as it entered a block whose router reads it there.
  private let entry: GrowingBuffer
  /// `[encoder tokens, hiddenSize]`: what the encoder made of the sequence.
  private let encoded: GrowingBuffer
  private let head: OutputHead
  /// For states that were kept, beside those of the last pass.
  private let keptHead: OutputHead
  /// Number of the sequence at hand in the run, and its text so far.
  private var sequence = 0
  private var text = TextKey()
  /// Tokens the sequence at hand is known to have in the end.
  private var expected = 0
  /// Tokens of the last pass.
  private var lastCount = 0
  /// Blocks have forgotten the sequence, or did not all see its last tokens.
  private var isOver = false

  /// - Parameters:
  ///   - threads: nil takes every core.
  ///   - passLimit: a token takes its residual stream and what is recorded of it. A sequence no longer than this keeps the state of
  ///     one block at a time when nothing follows it, a longer one that of all blocks. nil: 4,096, or as many as `LanguageModel.passRoom` says.
  ///   - stepLimit: a token takes about (8 hidden + topK x intermediate) floats.
  public convenience init(_ model: LanguageModel, threads: Int? = nil, passLimit: Int? = nil, stepLimit: Int = 512) {
    self.init(
      model, pool: WorkerPool(threads: threads), passLimit: passLimit ?? min(4096, model.passRoom), stepLimit: stepLimit)
  }

  /// - Parameter pool: shared with whoever computes at other times.
  init(_ model: LanguageModel, pool: WorkerPool, passLimit: Int, stepLimit: Int = 512) {
    self.model = model
    self.pool = pool
    limits = (passLimit, stepLimit)
    plan = model.plan
    weights = model.weights
    pass = Pass(pool: pool, hiddenSize: plan.hiddenSize)
    encoderOperations = weights.encoder?.stack.blocks.map { $0.map { $0.operation.start() } } ?? []
    operations = weights.decoder.blocks.map { $0.map { $0.operation.start() } }
    positions = plan.positions.map { [width = plan.hiddenSize] in SinusoidalPositions($0, width: width) }
    (hidden, normed, held, aside) = (GrowingBuffer(), GrowingBuffer(), GrowingBuffer(), GrowingBuffer())
    (entry, encoded) = (GrowingBuffer(), GrowingBuffer())
    (head, keptHead) = (OutputHead(weights, plan), OutputHead(weights, plan))
  }

  public var threadCount: Int { pool.threadCount }
  /// Floats of the residual stream of a token.
  private var streamSize: Int { plan.streamCount * plan.hiddenSize }

  /// - Throws: `FormatError.changed` when what the last pass computed may be of another file than the one that was opened,
  ///   `ModelError.expertTable` when it needed a part of a file that cannot be what it has to be.
  func requireSoundFiles() throws {
    try weights.checkpoint.requireWhole()
    if let fault = pass.fault { throw fault }
  }

  /// Tokens the sequence at hand can have before its first tokens would have to be read again, because longer ones are turned otherwise
  /// from their start; nil: no such number.
  public var border: Int? { pass.rotary.border }

  /// Forgets the sequence.
  ///
  /// - Parameters:
  ///   - length: tokens the next sequence is known to have. Few models look at it: their positions are encoded in another way beyond
  ///     the context they were first trained for.
  ///   - following: tokens that may come after them. Room for these (at most 4,096 at first) is made with the first.
  ///   - sequence: its number in the run; only rules look at it.
  public func reset(length: Int = 0, following: Int = 0, sequence: Int = 0) {
    (self.sequence, text, streams) = (sequence, TextKey(), ResidualStreams())
    expected = min(length + min(following, 4096), plan.contextLength)
    position = 0
    lastCount = 0
    isOver = false
    pass.encodedCount = 0
    pass.fault = nil
    pass.seenPositions = [:]
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
    pass.rows = rows(of: tokens[...], phase: .encode, firstToken: firstToken)
    pool.sums = .tiles
    if let origin, origin.skipsEncoder {
      let output = self.encoded.floats(origin.streams.encoded.count)
      for (index, value) in origin.streams.encoded.enumerated() { output[index] = value }
      (pass.encoded, pass.encodedCount) = (output, tokens.count)
      return []
    }
    let stream = enter(tokens[...], \.encoder, from: encoder.embedding)
    let batches = flow(
      stream, of: tokens[...], through: encoder.stack.blocks, encoderOperations, \.encoder, positions: 0..<tokens.count,
      step: tokens.count, isLast: true, firstToken: firstToken, demand: demand, betweenSteps: { _ in })
    let output = encoded.floats(tokens.count * plan.hiddenSize)
    encoder.stack.finalNorm?.apply(pool, out: output, x: stream, rows: tokens.count)
    probe?.encoded(UnsafeBufferPointer(start: output, count: tokens.count * plan.hiddenSize))
    if keeping.encoded { streams.encoded = Array(UnsafeBufferPointer(start: output, count: tokens.count * plan.hiddenSize)) }
    (pass.encoded, pass.encodedCount) = (output, tokens.count)
    positions?.reset()
    return batches
  }

  /// Feeds the next tokens of the sequence.
  ///
  /// - Parameters:
  ///   - tokens: at most `passLimit`, ids inside the vocabulary.
  ///   - isLast: the sequence ends with them; each block forgets it as soon as it has seen it.
  ///   - demand: what a sink wants to know; nil when nobody listens, and then nothing is recorded.
  ///   - firstToken: row of the first token in the run.
  ///   - phase: how the tokens came to be fed; only rules look at it.
  /// - Returns: one batch per router of the decoder, in the order of `LanguageModel.routers`; empty when nobody listens.
  /// - Precondition: `position + tokens.count` within the model's context; the encoder, where there is one, has run; the sequence has
  ///   not ended.
  public func advance(
    _ tokens: ArraySlice<Int32>, isLast: Bool = false, demand: RoutingDemand? = nil, firstToken: Int = 0, phase: TokenPhase = .prefill
  ) -> [RoutingBatch] {
    advance(tokens, isLast: isLast, demand: demand, firstToken: firstToken, phase: phase) { _ in }
  }

  /// The same, telling how it goes.
  ///
  /// - Parameter betweenSteps: called with the share of the pass that is done; what it throws ends the pass, and the sequence with it.
  public func advance(
    _ tokens: ArraySlice<Int32>, isLast: Bool, demand: RoutingDemand?, firstToken: Int, phase: TokenPhase = .prefill,
    betweenSteps: (Double) throws -> Void
  ) rethrows -> [RoutingBatch] {
    precondition(tokens.count <= passLimit && !tokens.isEmpty, "a pass holds 1 to \(passLimit) tokens")
    precondition(position + tokens.count <= plan.contextLength, "beyond the context")
    precondition(weights.encoder == nil || pass.encodedCount > 0, "the encoder comes first")
    precondition(!isOver, "the sequence has ended")
    let width = tokens.count * streamSize
    isOver = true
    pool.sums = phase == .decode && !isReproducible ? .digits : .tiles
    let stream = enter(tokens, \.decoder, from: weights.embedding)
    pass.rows = rows(of: tokens, phase: phase, firstToken: firstToken)
    probe?.hidden(0, UnsafeBufferPointer(start: stream, count: width))
    let batches = try flow(
      stream, of: tokens, through: weights.decoder.blocks, operations, \.decoder, positions: position..<position + tokens.count,
      step: stepLimit,
      isLast: isLast, firstToken: firstToken, demand: demand, betweenSteps: betweenSteps
    ) { [count = operations.count, probe] block in
      if block + 1 < count { probe?.hidden(block + 1, UnsafeBufferPointer(start: stream, count: width)) }
    }
    if let join = weights.decoder.join {
      for start in stride(from: 0, to: tokens.count, by: stepLimit) {
        pass.arena.reset()
        join.join(
          stream + start * streamSize, count: min(stepLimit, tokens.count - start), hidden: plan.hiddenSize,
          into: stream + start * plan.hiddenSize, pool, pass.arena)
      }
    }
    weights.decoder.finalNorm?.apply(pool, out: stream, x: stream, rows: tokens.count)
    probe?.hidden(operations.count, UnsafeBufferPointer(start: stream, count: tokens.count * plan.hiddenSize))
    position += tokens.count
    lastCount = isRoutingOnly ? 0 : tokens.count
    isOver = isLast
    return batches
  }

  /// Logits of some rows of the last pass, `[rows.count, vocabularySize]`; valid until the next call.
  public func logits(_ rows: Range<Int>) -> UnsafeBufferPointer<Float> {
    precondition(rows.upperBound <= lastCount, "rows of the last pass")
    return head.logits(of: hidden.floats(lastCount * plan.hiddenSize) + rows.lowerBound * plan.hiddenSize, rows: rows.count, pool)
  }

  /// The final hidden states of the last pass, `[tokens, hiddenSize]`.
  var finalStates: [Float] {
    let count = lastCount * plan.hiddenSize
    return Array(UnsafeBufferPointer(start: hidden.floats(count), count: count))
  }

  /// Logits of some rows of `finalStates` of an earlier pass, `[rows.count, vocabularySize]`; valid until the next call.
  func logits(_ rows: Range<Int>, of states: [Float]) -> UnsafeBufferPointer<Float> {
    precondition(rows.upperBound * plan.hiddenSize <= states.count, "rows of the states")
    return states.withUnsafeBufferPointer { states in
      guard let base = states.baseAddress else { return UnsafeBufferPointer(start: nil, count: 0) }
      return keptHead.logits(of: base + rows.lowerBound * plan.hiddenSize, rows: rows.count, pool)
    }
  }

  /// Brings the residual stream of a pass, `[positions.count, streamSize]`, through the blocks of a stack.
  ///
  /// - Parameters:
  ///   - tokens: of the pass.
  ///   - stack: which of the model's stacks it is.
  ///   - step: tokens that go through a block together.
  /// - Returns: one batch per router of the blocks it went through, over all tokens of the pass.
  private func flow(
    _ stream: UnsafeMutablePointer<Float>, of tokens: ArraySlice<Int32>, through blocks: [[BoundSublayer]],
    _ operations: [[any RunningOperation]],
    _ stack: WritableKeyPath<ResidualStreams, [Int: [Float]]>, positions: Range<Int>, step: Int, isLast: Bool, firstToken: Int,
    demand: RoutingDemand?, betweenSteps: (Double) throws -> Void, afterBlock: (Int) -> Void = { _ in }
  ) rethrows -> [RoutingBatch] {
    (pass.end, pass.demand, pass.probe, pass.batches) = (max(positions.upperBound, expected), demand, probe, [])
    pass.pairedChoices.removeAll()
    let begin = origin?.block(of: stack) ?? 0
    let kept = keeping.blocks(of: stack)
    let end = isRoutingOnly && stack == \.decoder ? blocks.lastRouter : nil
    for (index, block) in blocks.enumerated() where index >= begin && index <= end?.block ?? .max {
      // What a fault leaves behind is not worth another block: the caller hears of it.
      if pass.fault != nil { break }
      let first = pass.batches.count
      if kept.contains(index) {
        let width = positions.count * streamSize
        streams[keyPath: stack][index, default: []] += UnsafeBufferPointer(start: stream, count: width)
      }
      for start in stride(from: 0, to: positions.count, by: step) {
        if index + start > 0 {
          try betweenSteps((Double(index) + Double(start) / Double(positions.count)) / Double(blocks.count))
        }
        pass.count = min(step, positions.count - start)
        pass.tokens = tokens.dropFirst(start).prefix(pass.count)
        (pass.position, pass.firstToken) = (positions.lowerBound + start, firstToken + start)
        let known = pass.batches.count
        if block.contains(where: \.operation.readsBlockEntry) {
          pass.blockEntry = entry.floats(pass.count * plan.hiddenSize)
          pass.blockEntry.update(from: stream + start * streamSize, count: pass.count * plan.hiddenSize)
        }
        for (place, (sublayer, operation)) in zip(block, operations[index]).enumerated() {
          pass.isOver = index == end?.block && place == end?.sublayer
          run(sublayer, operation, stream + start * streamSize)
          if pass.isOver { break }
        }
        guard start > 0 else { continue }
        let more = Array(pass.batches[known...])
        pass.batches.removeSubrange(known...)
        for (offset, batch) in more.enumerated() { pass.batches[first + offset].append(batch) }
      }
      if isLast { for operation in operations[index] { operation.reset() } }
      afterBlock(index)
    }
    return pass.batches
  }

  /// The residual stream of a pass, `[tokens, streamSize]`, as it enters the first block that it goes through.
  private func enter(
    _ tokens: ArraySlice<Int32>, _ stack: KeyPath<ResidualStreams, [Int: [Float]]>, from embedding: WeightMatrix
  ) -> UnsafeMutablePointer<Float> {
    guard let origin, let start = origin.stream(of: stack) else { return embed(tokens, from: embedding) }
    precondition(start.count == tokens.count * streamSize && position == 0, "the stream of a whole sequence in one pass")
    let stream = hidden.floats(start.count)
    start.withUnsafeBufferPointer { if let base = $0.baseAddress { stream.update(from: base, count: start.count) } }
    return stream
  }

  /// Who the tokens of a pass are, when rules ask.
  private func rows(of tokens: ArraySlice<Int32>, phase: TokenPhase, firstToken: Int) -> DecisionRows? {
    guard let intervention else { return nil }
    var table = TokenTable(firstToken: firstToken)
    if phase == .prefill, position + tokens.count <= knownSurprisals.count {
      table.surprisal = Array(knownSurprisals[position..<position + tokens.count])
    }
    table.describe(tokens, sequence: sequence, firstPosition: position, phase: phase)
    guard intervention.readsTexts else { return DecisionRows(table) }
    return DecisionRows(table, keys: phase == .encode ? text.encoded(tokens) : tokens.map { text.next($0) })
  }

  private func embed(_ tokens: ArraySlice<Int32>, from embedding: WeightMatrix) -> UnsafeMutablePointer<Float> {
    let width = tokens.count * plan.hiddenSize
    let stream = hidden.floats(tokens.count * streamSize)
    for (row, token) in tokens.enumerated() { embedding.read(row: Int(token), into: stream + row * plan.hiddenSize) }
    if plan.embeddingScale != 1 { mt_scale(stream, stream, plan.embeddingScale, width) }
    positions?.add(to: stream, of: tokens)
    // From the last on, so that no row is written over before it was read.
    for row in stride(from: tokens.count - 1, through: 0, by: -1) where plan.streamCount > 1 {
      let own = stream + row * plan.hiddenSize
      for copy in stride(from: plan.streamCount - 1, through: 0, by: -1) {
        (stream + row * streamSize + copy * plan.hiddenSize).update(from: own, count: plan.hiddenSize)
      }
    }
    return stream
  }
}
