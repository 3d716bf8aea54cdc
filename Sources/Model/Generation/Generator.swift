// Text continuation, one pull at a time: the caller decides when the next token is computed, so pausing and stepping cost nothing.

import Routing

/// Continues one prompt.
public final class Generator {
  private let forward: ForwardPass
  private var sampler: Sampler
  private let sink: (any RoutingSink)?
  private let sequence: Int
  private let name: String
  /// Whether the sink wants the id of the largest logit behind each token.
  private let predicts: Bool
  private let firstToken: Int
  /// Tokens of the prompt.
  public let promptLength: Int
  private var reading: SequenceReading
  /// Tokens that were fed after the prompt.
  private var continued = 0
  /// Drawn and not yet fed.
  private var pending: TokenDraw?
  /// What came out of the model so far. Without a sink only the logits that tokens are drawn from are computed.
  public private(set) var outputs = OutputTally()
  /// Whether the last logits had a number that is none, so that nothing could be drawn from them and the text ends here.
  public private(set) var isBroken = false

  /// Takes up a prompt; `readPass` reads it.
  ///
  /// - Parameters:
  ///   - maxTokens: how many may follow; room for so many is made at once, so that nothing is copied on the way.
  ///   - sequence: index of the sequence in the run.
  ///   - firstToken: row of the prompt's first token in the run.
  /// - Throws: `ModelError` for a bad prompt.
  public init(
    _ forward: ForwardPass, unread prompt: TokenSequence, sampling: SamplingSettings, maxTokens: Int = 0, sink: (any RoutingSink)?,
    sequence: Int = 0, firstToken: Int = 0
  ) throws {
    try sampling.validate()
    if forward.model.hasEncoder { throw ModelError.cannotContinue(sequence: prompt.description.name) }
    guard !prompt.tokens.isEmpty else {
      throw ModelError.badOption(name: prompt.description.name, expected: "at least one token", found: "an empty prompt")
    }
    (self.forward, self.sink, self.sequence, self.firstToken) = (forward, sink, sequence, firstToken)
    predicts = sink?.demand.extras.contains(.predicted) == true
    (name, promptLength) = (prompt.description.name, prompt.tokens.count)
    sampler = Sampler(sampling)
    reading = try SequenceReading(
      forward, prompt, index: sequence, firstToken: firstToken, following: maxTokens, scores: sink != nil, reference: [], keepsBest: false)
  }

  /// Takes up a prompt and reads it.
  ///
  /// - Throws: also what the sink throws.
  public convenience init(
    _ forward: ForwardPass, prompt: TokenSequence, sampling: SamplingSettings, maxTokens: Int = 0, sink: (any RoutingSink)?,
    sequence: Int = 0, firstToken: Int = 0
  ) throws {
    try self.init(
      forward, unread: prompt, sampling: sampling, maxTokens: maxTokens, sink: sink, sequence: sequence, firstToken: firstToken)
    while isReading { try readPass() }
  }

  /// Whether a part of the prompt is still to be read; nothing can be drawn before.
  public var isReading: Bool { !reading.isWhole }

  /// How probable the prompt was, as far as it was read; NaN nats without a sink.
  public var promptScore: SequenceScore { reading.score }

  /// Reads a pass of the prompt; after the last the first token is drawn.
  ///
  /// - Parameter tell: called between the steps of the pass with the tokens of the prompt that are done; what it throws ends the text.
  /// - Throws: what the sink and `tell` throw.
  public func readPass(_ tell: (Int) throws -> Void = { _ in }) throws {
    guard isReading else { return }
    try reading.advance(sink: sink, tell: tell)
    guard !isReading else { return }
    pending = draw(row: (promptLength - 1) % forward.passLimit)
    // The row that was drawn from is one of the prompt's.
    if sink != nil { outputs = promptScore.outputs }
    try forward.requireSoundFiles()
  }

  /// Draws from the logits of a row of the last pass, and counts them.
  private func draw(row: Int) -> TokenDraw? {
    let draw = sampler.draw(forward.logits(row..<row + 1))
    isBroken = draw == nil
    outputs.rows += 1
    outputs.notFiniteRows += isBroken ? 1 : 0
    return draw
  }

  /// The token that comes next; it is fed to the model by the following call. nil when none could be drawn.
  public var next: TokenDraw? { pending }

  /// Whether the context has room for the pending token.
  public var canAdvance: Bool { forward.position < forward.model.contextLength }

  /// Rows of the run used so far.
  public var tokenCount: Int { firstToken + promptScore.tokens + continued }

  /// Feeds the pending token and draws the one after it.
  ///
  /// - Returns: the new pending token, or nil when the context is full or nothing can be drawn (`isBroken`).
  /// - Throws: `ModelError.positionsChange` at a length from which the model turns all positions otherwise (the reference then reads
  ///   everything again, and what was decided before no longer holds); what the sink throws.
  public func advance() throws -> TokenDraw? {
    guard let draw = pending, canAdvance else { return nil }
    let position = forward.position
    if let border = forward.border, position + 1 > border { throw ModelError.positionsChange(sequence: name, limit: border) }
    let batches = forward.advance([draw.token], demand: sink?.demand, firstToken: tokenCount, phase: .decode)
    let following = self.draw(row: 0)
    try forward.requireSoundFiles()
    if let sink {
      var table = TokenTable(firstToken: tokenCount)
      table.surprisal = [draw.surprisal]
      table.nextTokenEntropy = [following?.entropy ?? .nan]
      if predicts { table.predictedID = [following?.candidates.first?.token ?? -1] }
      (table.outputs.rows, table.outputs.notFiniteRows) = (1, isBroken ? 1 : 0)
      (table.outputs.scores, table.outputs.notFiniteScores) = (1, draw.surprisal.isFinite ? 0 : 1)
      table.describe([draw.token], sequence: sequence, firstPosition: position, phase: .decode)
      try sink.receive(RoutingPass(tokens: table, batches: batches))
    }
    continued += 1
    pending = following
    return following
  }
}
