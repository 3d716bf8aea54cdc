// A comparison of one run with one or more others, as it is printed and judged: rows of every pair, with what must be said beside them. Several
// runs against one reference are a curve: a row a run.

import Routing

/// One run of a comparison.
public struct ComparedRun: Sendable {
  /// File and id: `corpus.db#2`.
  public var label: String
  /// The trace file as the user named it.
  public var trace: String
  public var description: RunDescription
  public var tokens: Int
  public var texts: Int
  /// Of a run that did not reach its end.
  public var note: String?

  /// Label and name, for tables of several runs.
  var title: String { description.name.isEmpty ? label : "\(label) \(description.name)" }
  /// What its rows are.
  public var rowNoun: String { description.denoising == nil ? "token" : "row" }
  public var textNoun: String { description.denoising == nil ? "text" : "image" }

  public init(label: String, trace: String, description: RunDescription, tokens: Int, texts: Int, note: String? = nil) {
    self.label = label
    self.trace = trace
    self.description = description
    self.tokens = tokens
    self.texts = texts
    self.note = note
  }
}

/// A run beside the reference.
public struct ComparedPair: Sendable {
  public let b: ComparedRun
  public let alignment: TextAlignment
  public let result: ComparisonOutcome
  public let row: ComparisonRow
  public let notes: [String]

  public init(a: ComparedRun, b: ComparedRun, alignment: TextAlignment, result: ComparisonOutcome) {
    self.b = b
    self.alignment = alignment
    self.result = result
    row = result.pooledRow(alignment)
    notes = Self.notes(a, b, alignment, result)
  }

  /// Rows of a kind, in the order of JSON.
  public func rows(_ kind: ComparisonRow.Kind) -> [ComparisonRow] {
    switch kind {
    case .pairs: [row]
    case .layers: result.layers.map(\.row)
    case .byEntropy: result.byEntropy
    case .flipped: result.flippedRows
    }
  }

  // MARK: - What must be known to read the numbers

  private static func notes(
    _ a: ComparedRun, _ b: ComparedRun, _ alignment: TextAlignment, _ result: ComparisonOutcome
  ) -> [String] {
    var notes: [String] = []
    func say(_ note: String, if holds: Bool = true) { if holds { notes.append(note) } }
    let (modelA, modelB) = (a.description.model, b.description.model)
    let elsewhere = alignment.pairs.count { $0.a != $0.b }
    switch alignment.ground {
    case .order: break
    case .content: say("texts pair by their content: B has \(elsewhere) of \(alignment.pairs.count) at another place")
    case .name: say("texts pair by their content and their names: B has \(elsewhere) of \(alignment.pairs.count) at another place")
    }
    if let position = alignment.partedAt {
      say(
        "\(alignment.partedTexts) of \(alignment.pairs.count) texts part, the first at position \(position): what follows there is not compared"
      )
    }
    if let left = result.left, let filter = result.plan.filter?.filter {
      say(
        "filter: \(filter.text) (\(left.passing) of \(left.decisions) decisions of A, \(left.shown) of \(left.tokens) tokens pass; A's decisions are "
          + "chosen, whatever B decided, and B's stand beside them; baselines are of these)")
    }
    let (restA, restB) = (a.tokens - alignment.tokens, b.tokens - alignment.tokens)
    say("\(restA) of A's \(a.tokens) tokens and \(restB) of B's \(b.tokens) are not compared", if: restA > 0 || restB > 0)
    say(
      "the tokenizers differ: ids that stand for the same text are equal",
      if: !modelA.tokenizerHash.isEmpty && !modelB.tokenizerHash.isEmpty && modelA.tokenizerHash != modelB.tokenizerHash)
    let isOtherModel = !modelA.filesHash.isEmpty && !modelB.filesHash.isEmpty && modelA.filesHash != modelB.filesHash
    switch result.plan.matching {
    case .index:
      say(
        "other weights: experts are compared by their number, which means something where B comes from A (a quantisation, a later checkpoint); "
          + "--match behaviour compares what they do", if: isOtherModel)
    case .behaviour:
      say(
        "experts matched by behaviour: one to one within a layer on texts 0, 2, 4, ..., and everything but loss counted on the "
          + "\(alignment.pairs.count / 2) others")
    }
    let mixed = result.layers.filter { $0.pair.a.spec.topK != $0.pair.b.spec.topK }
    if let first = mixed.first {
      say(
        "other numbers of experts a token (\(first.pair.a.spec.topK) and \(first.pair.b.spec.topK)): shared experts are divided by the larger"
      )
    }
    let hashed = result.layers.map(\.pair.a).filter(\.spec.isHashed).map(\.id)
    say("\(hashed.listed): experts are looked up by token id, with no margin and in no bin of entropy", if: !hashed.isEmpty)
    let recordings = [a, b].map { $0.description.recording }
    say("js_divergence is not there: both runs need --record full", if: recordings.contains { $0.content != .full })
    let every = recordings.map { $0.content == .full ? $0.logitsEvery : 1 }
    say(
      "js_divergence is of tokens that have logits in both runs",
      if: every.contains { $0 > 1 } && result.layers.contains { $0.row[.jsDivergence] != nil })
    if a.description.denoising != nil {
      let (noiseA, noiseB) = (a.description.input.source, b.description.input.source)
      say("images are compared place by place (step and patch); they have no tokens and no loss")
      say("the images begin from other noise (\(noiseA) and \(noiseB)): not the same image, only the same place", if: noiseA != noiseB)
    }
    say("A \(a.note ?? "")", if: a.note != nil)
    say("B \(b.note ?? "")", if: b.note != nil)
    return notes
  }
}

/// A comparison as it is printed and judged.
public struct ComparisonReport: Sendable {
  public let a: ComparedRun
  public let pairs: [ComparedPair]
  public let plan: Settings

  /// All that repeats it.
  public struct Settings: Sendable {
    public var margin: Double
    public var matching: ComparisonPlan.Matching
    public var layers: String?
    /// Of denoising runs.
    public var branch: Int?
    /// As it was written.
    public var filter: String?

    public init(margin: Double, matching: ComparisonPlan.Matching, layers: String?, branch: Int?, filter: String? = nil) {
      self.margin = margin
      self.matching = matching
      self.layers = layers
      self.branch = branch
      self.filter = filter
    }
  }

  public init(a: ComparedRun, pairs: [ComparedPair], plan: Settings) {
    self.a = a
    self.pairs = pairs
    self.plan = plan
  }

  /// What is said of all pairs, once; of several pairs each note names its run.
  public var notes: [String] {
    pairs.count == 1 ? pairs[0].notes : pairs.flatMap { pair in pair.notes.map { "\(pair.b.label): \($0)" } }
  }
}
