// A record that another program wrote, opened by the reader of its format: which routers and sequences there are, and their rows on request.
// Readers say what is in the file and judge nothing; what is wrong with it is found by RecordJudge, for all formats alike.

import Formats
import Routing

/// Programs whose records are read; the raw value is what `--as` takes.
public enum ImportFormat: String, Sendable, CaseIterable {
  case vllm
  case sglang
  case sglangDistribution = "sglang-distribution"
  case tensorrtLLM = "tensorrt-llm"
  case nemoRL = "nemo-rl"
  case verifiers
  case megatron
  case imatrix
  case hfLogits = "hf-logits"
  case olmoe
  case moetopJSONL = "moetop-jsonl"
}

/// What the user says of a record beside its files.
public struct ImportRequest: Sendable {
  public var files: [String]
  /// Nil: by content.
  public var format: ImportFormat?
  public var experts: Int?
  public var topK: Int?
  /// Numbers of the layers that the record has, in its order.
  public var layers: [Int]?
  /// Whether scores are logits or probabilities; nil: by content.
  public var scores: ScoreKind?
  /// Token ids of each sequence.
  public var tokens: [[Int32]]?
  public var model: ImportModel?

  public enum ScoreKind: Sendable { case logits, probabilities }

  public init(files: [String]) { self.files = files }
}

/// The model that a record is said to be of.
public struct ImportModel: Sendable {
  public var identity: ModelIdentity
  public var routers: [RouterDescription]

  public init(identity: ModelIdentity, routers: [RouterDescription]) {
    self.identity = identity
    self.routers = routers
  }
}

/// What a reader makes of its files.
enum ForeignSource {
  case rows(any ForeignRecord)
  case counts(ForeignCounts)
}

/// Rows of decisions. Reading is repeatable, in any order, and takes memory for the rows asked for only.
protocol ForeignRecord {
  var shape: ForeignShape { get }

  /// - Parameter range: rows of the sequence, counted from its first in the record.
  /// - Throws: `FormatError`.
  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows
}

/// What a record has.
struct ForeignShape {
  enum Content { case ids, logits }

  /// More than any model has: what claims more is no record of one.
  static let columnLimit = 1 << 12
  static let slotLimit = 1 << 16
  static let expertLimit = 1 << 16
  /// Of all routers together.
  static let expertSumLimit = 1 << 22

  var format: ImportFormat
  /// In the record's order.
  var columns: [ForeignColumn]
  var sequences: [ForeignSequence]
  var content = Content.ids
  var row = RowKind.token
  /// Tokens at the end of a sequence that the format has no row for.
  var omitted = 0
  /// How many more it may leave out in a sound record.
  var mayOmit = 0
  /// Whether who writes the format appends a row for the last token that says nothing.
  var appendsRow = false
  /// Whether its layers are numbers that may be counted otherwise than the model's.
  var countsLayers = false
  /// Whether a row may have taken fewer experts than there is room for.
  var mayTakeFewer = false
  /// How far its logits may be from what the router computed, as a share of them; nil: they are those.
  var logitError: Float?
  /// What reading itself found: `truncated`, and faults that only the format shows.
  var findings: [ImportFinding] = []
}

extension ForeignShape {
  /// - Throws: `FormatError.value` for an array that is no record of a model.
  static func check(layers: Int, slots: Int, file: String) throws(FormatError) {
    guard layers <= columnLimit, slots <= slotLimit else {
      throw .value(
        file: file, path: "the array", expected: "at most \(columnLimit) layers of \(slotLimit) ids a row",
        found: "\(layers) layers of \(slots)")
    }
  }
}

/// One router of a record.
struct ForeignColumn {
  /// Nil: the record does not say which it is.
  var router: RouterID?
  /// Ids of a row.
  var slots: Int
  /// Nil: the record does not say how many there are.
  var experts: Int?
  /// The rule, where the record says one.
  var spec: RouterSpec?
  var hasWeights = false
  var hasLogits = false
  /// Rows, counted over all sequences, whose route is unknown for what a finding of the reader says already.
  var explained: [Range<Int>] = []
}

/// One text, prompt or answer of a record.
struct ForeignSequence {
  var name: String
  var labels: [String: String] = [:]
  var rows: Int
  /// Position of its first row; nil: not known, 0 unless the number of tokens says otherwise.
  var start: Int?
  /// Ids of its tokens from position 0 on; nil: the record has none.
  var tokens: [Int32]?
  /// How many tokens there are, where only that is said.
  var tokenCount: Int?
  /// Position of the first token that the model generated.
  var generatedFrom: Int?
  /// Whether the file ends before it does, so that its length says nothing.
  var isTruncated = false

  init(name: String, rows: Int) {
    self.name = name
    self.rows = rows
  }
}

/// Some rows of a sequence, by column.
struct ForeignRows {
  var count: Int
  var columns: [ForeignDecisions]
  /// `[count]`: where they do not follow each other.
  var positions: [Int32]?
  /// `[count]`: ids of the tokens, where rows say them and the sequence does not.
  var tokens: [Int32]?
  /// Pieces of text by token id.
  var texts: [Int32: [UInt8]] = [:]
  var facts: TokenFacts?
}

struct ForeignDecisions {
  /// In the first slot of a row that is known to have taken no expert.
  static let none: Int32 = -2

  /// `[count, slots]` as the record has them; a row of -1 says that the route is not known. Empty where the record has logits only.
  var ids: [Int32]
  /// `[count, slots]`
  var weights: [Float]?
  /// `[count, experts]`; a row of NaN where it has none.
  var logits: [Float]?

  init(ids: [Int32], weights: [Float]? = nil, logits: [Float]? = nil) {
    self.ids = ids
    self.weights = weights
    self.logits = logits
  }
}

/// How often experts were taken, and nothing else.
struct ForeignCounts {
  var format: ImportFormat
  /// `slots` 0: the record does not say how many experts a token takes.
  var columns: [ForeignColumn]
  /// `[columns][experts]`
  var counts: [[Int]]
  /// Tokens that were counted; nil: not said.
  var tokens: Int?
  /// Sums over experts by step, `[columns][steps]`, where the record has steps.
  var stepSums: [[Int]] = []
  var findings: [ImportFinding] = []
}
