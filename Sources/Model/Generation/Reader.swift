// Teacher forcing: feeds given sequences through the model, each on its own from position 0, and hands the routing of every pass to a
// sink. Nothing is generated.

import Routing

/// What a reading run has done so far.
public struct ReadingProgress: Sendable {
  public var tokens: Int
  public var totalTokens: Int
  public var sequences: Int
}

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

public struct Reader {
  private let forward: ForwardPass
  /// Whether the output head is computed: surprisal and next-token entropy. Without it a pass is up to a third cheaper.
  public var scoresTokens = true
  /// Final states of an earlier reading of the one sequence that is read, to hold the outputs against; empty: none. Takes a pass that holds
  /// the whole sequence.
  var reference: [Float] = []
  /// Whether scores tell the most probable next tokens.
  var keepsBest = false
  /// Row of the first token, and index of the first sequence, in the run.
  public var firstToken = 0
  public var firstSequence = 0
  /// Called between the steps of a pass, with the share of the pass's tokens that this is worth, and after every pass; return false
  /// to stop. A pass that was begun is then lost.
  public var onProgress: ((ReadingProgress) -> Bool)?

  public init(_ forward: ForwardPass) { self.forward = forward }

  /// Feeds all sequences.
  ///
  /// - Returns: one score per sequence; fewer than given when stopped by `onProgress`, the last of the passes that the sink has received.
  /// - Throws: `ModelError` for a bad sequence (before anything runs); `FormatError.changed` when a file of the model lost pages meanwhile; what the sink
  ///   throws.
  public func read(_ sequences: [TokenSequence], sink: (any RoutingSink)?) throws -> [SequenceScore] {
    for sequence in sequences { try forward.model.check(sequence) }
    var scores: [SequenceScore] = []
    do { try read(sequences, sink: sink, into: &scores) } catch is CancellationError {}
    return scores
  }

  /// - Throws: also `CancellationError`, when `onProgress` says so.
  private func read(_ sequences: [TokenSequence], sink: (any RoutingSink)?, into scores: inout [SequenceScore]) throws {
    let demand = sink?.demand
    var progress = ReadingProgress(tokens: 0, totalTokens: sequences.reduce(0) { $0 + $1.count }, sequences: 0)
    var scorer = TokenScorer(reference: reference)
    for (index, sequence) in sequences.enumerated() {
      forward.reset(length: sequence.tokens.count, sequence: firstSequence + index)
      scorer.reset()
      // Of the passes that were handed on, also when the next is given up.
      var score = SequenceScore(tokens: 0, scoredTokens: 0, nats: scoresTokens ? 0 : .nan)
      var isWhole = false
      defer { if isWhole || score.tokens > 0 { scores.append(score) } }
      if let tokens = sequence.encoder {
        let batches = forward.encode(tokens, demand: demand, firstToken: firstToken + progress.tokens)
        var table = TokenTable(firstToken: firstToken + progress.tokens)
        table.describe(tokens[...], sequence: firstSequence + index, firstPosition: 0, phase: .encode)
        try forward.requireSoundFiles()
        try sink?.receive(RoutingPass(tokens: table, batches: batches))
        score.tokens += tokens.count
        progress.tokens += tokens.count
        try tell(progress)
      }
      for start in stride(from: 0, to: sequence.tokens.count, by: forward.passLimit) {
        let end = min(start + forward.passLimit, sequence.tokens.count)
        let tokens = sequence.tokens[start..<end]
        let batches = try forward.advance(
          tokens, isLast: end == sequence.tokens.count, demand: demand, firstToken: firstToken + progress.tokens
        ) { share in
          var partial = progress
          partial.tokens += Int(share * Double(tokens.count))
          try tell(partial)
        }
        var table = TokenTable(firstToken: firstToken + progress.tokens)
        if scoresTokens {
          scorer.score(
            forward, tokens: tokens, following: end < sequence.tokens.count ? sequence.tokens[end] : nil,
            predicts: demand?.extras.contains(.predicted) == true, into: &table)
        }
        // The first token of a sequence has none.
        let surprisals = table.surprisal.dropFirst(start == 0 ? 1 : 0)
        try forward.requireSoundFiles()
        if let sink {
          table.describe(tokens, sequence: firstSequence + index, firstPosition: start, phase: .prefill)
          try sink.receive(RoutingPass(tokens: table, batches: batches))
        }
        score.tokens += tokens.count
        score.scoredTokens = end - 1
        for surprisal in surprisals { score.nats += Double(surprisal) }
        (score.outputs, score.divergence) = (scorer.outputs, scorer.divergence)
        if keepsBest { score.best += scorer.best }
        progress.tokens += tokens.count
        try tell(progress)
      }
      progress.sequences += 1
      isWhole = true
    }
  }

  private func tell(_ progress: ReadingProgress) throws {
    if let onProgress, !onProgress(progress) { throw CancellationError() }
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
