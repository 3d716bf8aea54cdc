// Teacher forcing: feeds given sequences through the model, each on its own from position 0, and hands the routing of every pass to a
// sink. Nothing is generated.

import Routing

/// What a reading run has done so far.
public struct ReadingProgress: Sendable {
  public var tokens: Int
  public var totalTokens: Int
  public var sequences: Int
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
    var progress = ReadingProgress(tokens: 0, totalTokens: sequences.reduce(0) { $0 + $1.count }, sequences: 0)
    for (index, sequence) in sequences.enumerated() {
      let before = progress.tokens
      var reading = try SequenceReading(
        forward, sequence, index: firstSequence + index, firstToken: firstToken + before, following: nil, scores: scoresTokens,
        reference: reference, keepsBest: keepsBest)
      defer { if reading.isWhole || reading.score.tokens > 0 { scores.append(reading.score) } }
      while !reading.isWhole {
        try reading.advance(sink: sink) { done in
          var partial = progress
          partial.tokens = before + done
          try tell(partial)
        }
        progress.tokens = before + reading.score.tokens
        try tell(progress)
      }
      progress.sequences += 1
    }
  }

  private func tell(_ progress: ReadingProgress) throws {
    if let onProgress, !onProgress(progress) { throw CancellationError() }
  }
}
