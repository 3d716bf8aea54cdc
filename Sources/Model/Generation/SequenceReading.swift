// One given text on its way through the model, a pass at a time. Who reads decides when the next pass is computed, so that others come to
// their turn between two of them; all that reads goes through here, the prompt of a continuation too.

import Routing

/// Result of reading one sequence, or as much of it as was handed on before a stop.
public struct SequenceScore: Sendable {
  /// The encoder's included.
  public var tokens: Int
  /// Tokens that have a surprisal: all but the first that the decoder was fed.
  public var scoredTokens: Int
  /// Sum of their surprisals, nats; NaN when the output head was not computed, or when one of them is no number.
  public var nats: Double
  /// What came out of the model; nothing when the output head was not computed.
  public var outputs: OutputTally
  /// How far they are from those of a reading that was kept; nothing without one.
  public var divergence = OutputDivergence()
  /// `[tokens of the decoder]`: the most probable next token behind each, of equals the lowest id; empty where nobody asked.
  public var best: [Int32] = []

  public init(tokens: Int, scoredTokens: Int, nats: Double, outputs: OutputTally = OutputTally()) {
    self.tokens = tokens
    self.scoredTokens = scoredTokens
    self.nats = nats
    self.outputs = outputs
  }
}

/// One sequence that is read, from position 0.
public struct SequenceReading {
  private let forward: ForwardPass
  private let sequence: TokenSequence
  /// Index of the sequence in the run.
  private let index: Int
  private let firstToken: Int
  private let following: Int?
  /// Nil: the output head is not computed.
  private var scorer: TokenScorer?
  private let keepsBest: Bool
  /// Tokens of the encoder that were not read yet, and where the decoder stands.
  private var unread: [Int32]?
  private var position = 0
  /// Of the passes that were handed on, also when the next is given up.
  public private(set) var score: SequenceScore

  /// Makes room; nothing is computed yet.
  ///
  /// - Parameters:
  ///   - index: index of the sequence in the run.
  ///   - firstToken: row of its first token in the run.
  ///   - following: how many tokens may be fed after these; nil: the sequence ends with them.
  ///   - scores: whether the output head is computed: surprisal and next-token entropy.
  ///   - reference: final states of an earlier reading of the sequence, to hold the outputs against; empty: none. Takes a pass that holds the
  ///     whole sequence.
  ///   - keepsBest: whether the score tells the most probable next tokens.
  /// - Throws: `ModelError` for a sequence that the model cannot take.
  init(
    _ forward: ForwardPass, _ sequence: TokenSequence, index: Int, firstToken: Int, following: Int?, scores: Bool, reference: [Float],
    keepsBest: Bool
  ) throws {
    try forward.model.check(sequence)
    (self.forward, self.sequence, self.index, self.firstToken) = (forward, sequence, index, firstToken)
    (self.following, self.keepsBest, unread) = (following, keepsBest, sequence.encoder)
    scorer = scores ? TokenScorer(reference: reference) : nil
    score = SequenceScore(tokens: 0, scoredTokens: 0, nats: scores ? 0 : .nan)
    forward.reset(length: sequence.tokens.count, following: following ?? 0, sequence: index)
  }

  /// A text that is scored and ends where it ends.
  public init(_ forward: ForwardPass, _ sequence: TokenSequence, index: Int, firstToken: Int) throws {
    try self.init(
      forward, sequence, index: index, firstToken: firstToken, following: nil, scores: true, reference: [], keepsBest: false)
  }

  /// Whether all of it went through the model.
  public var isWhole: Bool { unread == nil && position == sequence.tokens.count }

  /// One pass: the encoder's, or up to `passLimit` tokens of the decoder. Does nothing once `isWhole`.
  ///
  /// - Parameters:
  ///   - sink: receives the routing of the pass before this returns; nil: nobody listens.
  ///   - tell: called between the steps of the pass with the tokens of the sequence that are done; what it throws ends the reading.
  /// - Throws: `FormatError.changed` when a file of the model lost pages meanwhile; what the sink and `tell` throw.
  public mutating func advance(sink: (any RoutingSink)?, tell: (Int) throws -> Void = { _ in }) throws {
    if let tokens = unread {
      try encode(tokens, sink)
      unread = nil
      return
    }
    guard !isWhole else { return }
    let demand = sink?.demand
    let end = min(position + forward.passLimit, sequence.tokens.count)
    let tokens = sequence.tokens[position..<end]
    var table = TokenTable(firstToken: firstToken + score.tokens)
    let batches = try forward.advance(
      tokens, isLast: following == nil && end == sequence.tokens.count, demand: demand, firstToken: table.firstToken
    ) { [done = score.tokens] share in try tell(done + Int(share * Double(tokens.count))) }
    scorer?.score(
      forward, tokens: tokens, following: end < sequence.tokens.count ? sequence.tokens[end] : nil,
      predicts: demand?.extras.contains(.predicted) == true, into: &table)
    // The first token of a sequence has none.
    let surprisals = table.surprisal.dropFirst(position == 0 ? 1 : 0)
    try forward.requireSoundFiles()
    if let sink {
      table.describe(tokens, sequence: index, firstPosition: position, phase: .prefill)
      try sink.receive(RoutingPass(tokens: table, batches: batches))
    }
    for surprisal in surprisals { score.nats += Double(surprisal) }
    if let scorer {
      (score.outputs, score.divergence) = (scorer.outputs, scorer.divergence)
      if keepsBest { score.best += scorer.best }
    }
    (score.tokens, score.scoredTokens, position) = (score.tokens + tokens.count, end - 1, end)
  }

  private mutating func encode(_ tokens: [Int32], _ sink: (any RoutingSink)?) throws {
    var table = TokenTable(firstToken: firstToken)
    let batches = forward.encode(tokens, demand: sink?.demand, firstToken: firstToken)
    table.describe(tokens[...], sequence: index, firstPosition: 0, phase: .encode)
    try forward.requireSoundFiles()
    try sink?.receive(RoutingPass(tokens: table, batches: batches))
    score.tokens += tokens.count
  }
}

extension TokenTable {
  /// Fills the identity columns of consecutive tokens of one sequence; the score columns keep what they have, or become NaN.
  mutating func describe(_ tokens: ArraySlice<Int32>, sequence: Int, firstPosition: Int, phase: TokenPhase) {
    self.sequence = Array(repeating: Int32(sequence), count: tokens.count)
    position = (0..<tokens.count).map { Int32(firstPosition + $0) }
    tokenID = Array(tokens)
    self.phase = Array(repeating: phase, count: tokens.count)
    if surprisal.isEmpty { surprisal = Array(repeating: .nan, count: tokens.count) }
    if nextTokenEntropy.isEmpty { nextTokenEntropy = Array(repeating: .nan, count: tokens.count) }
  }
}
