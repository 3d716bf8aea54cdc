// Who the rows of a batch are: the tokens of a run in the order they were fed, and the sequences they belong to.

/// When a token was fed to the model.
public enum TokenPhase: UInt8, Sendable, Codable, CaseIterable {
  /// Given by the user: part of a prompt or of teacher-forced text.
  case prefill = 0
  /// Sampled by the model and fed back.
  case decode = 1
  /// Fed to the encoder of an encoder-decoder model: all of a sequence's at once, before its decoder's tokens, with positions of
  /// their own.
  case encode = 2
  /// A patch of an image at one denoising step; `tokenID` is -1 and the position says step, branch and patch (`DenoisingLayout`).
  case denoise = 3
}

/// Whether what came out of a model were numbers. Counted where it is computed: afterwards a NaN may as well mean "not computed".
public struct OutputTally: Sendable, Equatable {
  /// Rows whose output was computed: the logits behind a token, or the image behind a patch of it; and those with a number that is none.
  public var rows = 0
  public var notFiniteRows = 0
  /// Tokens that have a surprisal, and those whose surprisal is not finite.
  public var scores = 0
  public var notFiniteScores = 0

  public init() {}

  public static func += (tally: inout OutputTally, more: OutputTally) {
    tally.rows += more.rows
    tally.notFiniteRows += more.notFiniteRows
    tally.scores += more.scores
    tally.notFiniteScores += more.notFiniteScores
  }
}

/// Consecutive tokens of a run as columns. Row i of the table is token `firstToken + i` of the run.
public struct TokenTable: Sendable, Equatable {
  public var firstToken: Int
  /// `[count]`: index into the run's sequences.
  public var sequence: [Int32]
  /// `[count]`: 0-based place in the sequence.
  public var position: [Int32]
  /// `[count]`: vocabulary id fed to the model.
  public var tokenID: [Int32]
  /// `[count]`
  public var phase: [TokenPhase]
  /// `[count]`: -ln of the probability the model gave this token before it saw it, nats; NaN for the first of a sequence or when
  /// the output head was not computed.
  public var surprisal: [Float]
  /// `[count]`: entropy of the model's distribution over the token that follows this one, nats; NaN when not computed.
  public var nextTokenEntropy: [Float]
  /// `[count]`: number of the forward pass in the run; nil when it was not kept.
  public var pass: [Int32]?
  /// `[count]`: number of the batch in the run: of a text that was read, a prompt, one generated token, or a sample of a denoising step with
  /// both its branches; nil when it was not kept.
  public var batch: [Int32]?
  /// `[count]`: id with the largest logit behind the token (of equals the lowest); -1 where no logit was computed. nil when it was not kept.
  public var predictedID: [Int32]?
  /// What few runs know of single tokens; nil: nothing of it.
  public var facts: TokenFacts?
  /// Of the model's outputs behind these tokens; nothing where they were read back from a trace.
  public var outputs = OutputTally()

  public init(firstToken: Int = 0) {
    self.firstToken = firstToken
    sequence = []
    position = []
    tokenID = []
    phase = []
    surprisal = []
    nextTokenEntropy = []
  }

  public var count: Int { tokenID.count }

  /// Makes room for as many tokens in all.
  public mutating func reserve(_ count: Int) {
    sequence.reserveCapacity(count)
    position.reserveCapacity(count)
    tokenID.reserveCapacity(count)
    phase.reserveCapacity(count)
    surprisal.reserveCapacity(count)
    nextTokenEntropy.reserveCapacity(count)
  }

  public mutating func append(
    sequence: Int, position: Int, tokenID: Int32, phase: TokenPhase, surprisal: Float = .nan, nextTokenEntropy: Float = .nan
  ) {
    self.sequence.append(Int32(sequence))
    self.position.append(Int32(position))
    self.tokenID.append(tokenID)
    self.phase.append(phase)
    self.surprisal.append(surprisal)
    self.nextTokenEntropy.append(nextTokenEntropy)
  }

  public mutating func append(contentsOf other: TokenTable) {
    sequence += other.sequence
    position += other.position
    tokenID += other.tokenID
    phase += other.phase
    surprisal += other.surprisal
    nextTokenEntropy += other.nextTokenEntropy
    Self.join(&pass, other.pass, counts: (count - other.count, other.count))
    Self.join(&batch, other.batch, counts: (count - other.count, other.count))
    Self.join(&predictedID, other.predictedID, counts: (count - other.count, other.count))
    if facts != nil || other.facts != nil {
      if facts == nil { facts = TokenFacts(count: count - other.count) }
      facts?.append(other.facts ?? TokenFacts(count: other.count))
    }
    outputs += other.outputs
  }

  /// Appends a column that either part may not know.
  private static func join(_ column: inout [Int32]?, _ more: [Int32]?, counts: (own: Int, more: Int)) {
    if column == nil && more == nil { return }
    if column == nil { column = Array(repeating: -1, count: counts.own) }
    column? += more ?? Array(repeating: -1, count: counts.more)
  }
}

/// Numbers the passes and batches of a run as they come.
///
/// - Test: a prompt in two passes and two generated tokens are passes 0 to 3 and batches 0 to 2; three texts, two a batch, batches 0, 0, 1.
public struct PassNumbering: Sendable {
  private let texts: Int32
  private var passes: Int32 = 0
  private var batches: Int32 = 0
  private var previous: (sequence: Int32, phase: TokenPhase, step: Int)?

  /// - Parameter texts: that share a batch.
  public init(texts: Int = 1) { self.texts = Int32(max(1, texts)) }

  /// Fills `pass` and `batch` of the tokens of the next pass.
  ///
  /// - Parameter layout: of a denoising run.
  public mutating func number(_ tokens: inout TokenTable, layout: DenoisingLayout?) {
    tokens.pass = Array(repeating: passes, count: tokens.count)
    passes += 1
    tokens.batch = tokens.sequence.indices.map { row in
      let phase = tokens.phase[row]
      let step = layout.map { Int(tokens.position[row]) / max(1, $0.branchCount * $0.patchCount) } ?? 0
      let here = (sequence: tokens.sequence[row], phase: phase, step: step)
      if let previous,
        phase == .decode || previous.phase == .decode || here.sequence / texts != previous.sequence / texts || step != previous.step
      {
        batches += 1
      }
      previous = here
      return batches
    }
  }
}

/// One input of a run: a document, a prompt, a list of ids.
public struct SequenceDescription: Sendable, Codable, Hashable {
  public var name: String
  /// Labels of the whole sequence, e.g. `domain: code`. An axis of every specialization metric.
  public var labels: [String: String]

  public init(name: String, labels: [String: String] = [:]) {
    self.name = name
    self.labels = labels
  }
}
