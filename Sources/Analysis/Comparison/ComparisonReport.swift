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
    say(
      "token ids are not known of both runs: as the hashes of their inputs are equal, texts pair by their order and tokens by position; what a model "
        + "wrote itself is not compared", if: alignment.isByPlace)
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
    say("\(restA) of A's \(a.tokens) \(a.rowNoun)s and \(restB) of B's \(b.tokens) are not compared", if: restA > 0 || restB > 0)
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
    func number(_ taken: Double) -> String { fixedPoint(taken, digits: taken == taken.rounded() ? 0 : 2) }
    if let mixed = result.layers.first(where: { $0.row[.decisions] != 0 && $0.taken.a != $0.taken.b }) {
      say(
        "other numbers of experts a decision (\(mixed.pair.a.id): \(number(mixed.taken.a)) and \(number(mixed.taken.b))): shared experts are "
          + "divided by the larger, so agreement has that ratio above it")
    }
    let oneSided = result.layers.reduce(0) { $0 + $1.oneSided }
    say("\(oneSided) rows are no decisions: only one of the runs took an expert there", if: oneSided > 0)
    let empty = result.layers.filter { $0.row[.decisions] == 0 }
    if !empty.isEmpty, result.left == nil {
      say("no row has a decision of both runs at \(empty.map(\.pair.words).joined(separator: ", "))")
    }
    say(
      "losses are of prompts and of what was generated behind them, as far as both runs have the same tokens",
      if: [a, b].contains { $0.description.sampling != nil && $0.description.denoising == nil })
    let hashed = result.layers.map(\.pair.a).filter(\.spec.isHashed).map(\.id)
    say("\(hashed.listed): experts are looked up by token id, with no margin and in no bin of entropy", if: !hashed.isEmpty)
    let recordings = [a, b].map { $0.description.recording }
    say("js_divergence is not there: both runs need --record full", if: recordings.contains { $0.content != .full })
    let every = recordings.map { $0.content == .full ? $0.logitsEvery : 1 }
    say(
      "js_divergence is of tokens that have logits in both runs",
      if: every.contains { $0 > 1 } && result.layers.contains { $0.row[.jsDivergence] != nil })
    let isTempered = [a, b].contains { run in
      (try? RuleSet(parsing: run.description.intervention ?? ""))?.rules.contains {
        if case .temperature = $0.action { true } else { false }
      } == true
    }
    say(
      "js_divergence is of the recorded logits, before `temperature` rules",
      if: isTempered && result.layers.contains { $0.row[.jsDivergence] != nil })
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

  /// `A`, then `B`, or `B1`, `B2`, ...
  public var letters: [String] { ["A"] + pairs.indices.map { pairs.count == 1 ? "B" : "B\($0 + 1)" } }

  /// What is said of pairs, each once; what is not said of all names its runs.
  public var notes: [String] {
    let all = pairs.flatMap(\.notes).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    return all.map { note in
      let whose = zip(letters.dropFirst(), pairs).filter { $1.notes.contains(note) }.map(\.0)
      return whose.count == pairs.count ? note : "\(whose.joined(separator: ", ")): \(note)"
    }
  }
}
