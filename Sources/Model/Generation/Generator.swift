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
  private var fed: Int
  /// Drawn and not yet fed.
  private var pending: TokenDraw?
  /// How probable the prompt was; NaN nats and no scored token without a sink.
  public private(set) var promptScore: SequenceScore
  /// What came out of the model so far. Without a sink only the logits that tokens are drawn from are computed.
  public private(set) var outputs = OutputTally()
  /// Whether the last logits had a number that is none, so that nothing could be drawn from them and the text ends here.
  public private(set) var isBroken = false

  /// Prefills the prompt.
  ///
  /// - Parameters:
  ///   - maxTokens: how many may follow; room for so many is made at once, so that nothing is copied on the way.
  ///   - sequence: index of the sequence in the run.
  ///   - firstToken: row of the prompt's first token in the run.
  /// - Throws: `ModelError` for a bad prompt; what the sink throws.
  public init(
    _ forward: ForwardPass, prompt: TokenSequence, sampling: SamplingSettings, maxTokens: Int = 0, sink: (any RoutingSink)?,
    sequence: Int = 0, firstToken: Int = 0
  ) throws {
    try sampling.validate()
    try forward.model.check(prompt)
    if forward.model.hasEncoder { throw ModelError.cannotContinue(sequence: prompt.description.name) }
    guard !prompt.tokens.isEmpty else {
      throw ModelError.badOption(name: prompt.description.name, expected: "at least one token", found: "an empty prompt")
    }
    self.forward = forward
    self.sink = sink
    self.sequence = sequence
    predicts = sink?.demand.extras.contains(.predicted) == true
    name = prompt.description.name
    sampler = Sampler(sampling)
    fed = firstToken
    forward.reset(length: prompt.tokens.count, following: maxTokens, sequence: sequence)
    var scorer = TokenScorer()
    promptScore = SequenceScore(tokens: prompt.tokens.count, scoredTokens: 0, nats: sink == nil ? .nan : 0)
    for start in stride(from: 0, to: prompt.tokens.count, by: forward.passLimit) {
      let end = min(start + forward.passLimit, prompt.tokens.count)
      let tokens = prompt.tokens[start..<end]
      let batches = forward.advance(tokens, demand: sink?.demand, firstToken: fed)
      if sink != nil {
        var table = TokenTable(firstToken: fed)
        scorer.score(
          forward, tokens: tokens, following: end < prompt.tokens.count ? prompt.tokens[end] : nil, predicts: predicts, into: &table)
        // The first token has none.
        for surprisal in table.surprisal.dropFirst(start == 0 ? 1 : 0) { promptScore.nats += Double(surprisal) }
        try forward.requireSoundFiles()
        try deliver(&table, tokens, firstPosition: start, phase: .prefill, batches)
      }
      fed += tokens.count
    }
    let last = (prompt.tokens.count - 1) % forward.passLimit
    pending = draw(row: last)
    if sink != nil {
      outputs = scorer.outputs
      (promptScore.outputs, promptScore.scoredTokens) = (outputs, outputs.scores)
    }
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
  public var tokenCount: Int { fed }

  /// Feeds the pending token and draws the one after it.
  ///
  /// - Returns: the new pending token, or nil when the context is full or nothing can be drawn (`isBroken`).
  /// - Throws: `ModelError.positionsChange` at a length from which the model turns all positions otherwise (the reference then reads
  ///   everything again, and what was decided before no longer holds); what the sink throws.
  public func advance() throws -> TokenDraw? {
    guard let draw = pending, canAdvance else { return nil }
    let position = forward.position
    if let border = forward.border, position + 1 > border { throw ModelError.positionsChange(sequence: name, limit: border) }
    let batches = forward.advance([draw.token], demand: sink?.demand, firstToken: fed, phase: .decode)
    let following = self.draw(row: 0)
    try forward.requireSoundFiles()
    if sink != nil {
      var table = TokenTable(firstToken: fed)
      table.surprisal = [draw.surprisal]
      table.nextTokenEntropy = [following?.entropy ?? .nan]
      if predicts { table.predictedID = [following?.candidates.first?.token ?? -1] }
      (table.outputs.rows, table.outputs.notFiniteRows) = (1, isBroken ? 1 : 0)
      (table.outputs.scores, table.outputs.notFiniteScores) = (1, draw.surprisal.isFinite ? 0 : 1)
      try deliver(&table, [draw.token], firstPosition: position, phase: .decode, batches)
    }
    fed += 1
    pending = following
    return following
  }

  private func deliver(
    _ table: inout TokenTable, _ tokens: ArraySlice<Int32>, firstPosition: Int, phase: TokenPhase, _ batches: [RoutingBatch]
  ) throws {
    table.describe(tokens, sequence: sequence, firstPosition: firstPosition, phase: phase)
    try sink?.receive(RoutingPass(tokens: table, batches: batches))
  }
}
