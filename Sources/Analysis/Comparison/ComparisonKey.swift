// The numbers of a comparison: how each is called in JSON, csv and conditions, its unit, what it is counted over, what it is read against.
// Rows hold values by key; whoever prints or judges them asks here and nowhere else what a key means.

/// A number of a comparison.
public enum ComparisonKey: String, Sendable, CaseIterable {
  case texts, tokens, decisions
  case partedAt = "parted_at"
  case partedTexts = "parted_texts"
  case setAgreement = "set_agreement"
  case setAgreementLow = "set_agreement_low"
  case setAgreementHigh = "set_agreement_high"
  case baseline
  case loadBaseline = "load_baseline"
  case shuffledBaseline = "shuffled_baseline"
  case top1Agreement = "top1_agreement"
  case top1Baseline = "top1_baseline"
  case top1LoadBaseline = "top1_load_baseline"
  case jaccard
  case jaccardBaseline = "jaccard_baseline"
  case jsDivergence = "js_divergence"
  case jsDecisions = "js_decisions"
  case loadTV = "load_tv"
  case lossA = "loss_a"
  case lossB = "loss_b"
  case lossChange = "loss_change"
  case low, high
  case scoredTokens = "scored_tokens"
  case flips
  case flipMargin50 = "flip_margin_q50"
  case flipMargin95 = "flip_margin_q95"
  case flipMarginMax = "flip_margin_max"
  case flipsAboveMargin = "flips_above_margin"
  case moved
  case token, position, margin

  /// What is said about a number.
  public struct Entry: Sendable {
    /// Nil where it is that of A's selection scores.
    public var unit: String?
    var format: Metric.Format
    /// Where the row says how many were counted, and of what.
    public var n: ComparisonKey?
    public var counted: Counted?
    /// Weakest first.
    public var baselines: [ComparisonKey] = []
    public var interval: [ComparisonKey] = []
    /// What it says; empty for what only stands beside another number.
    public var words = ""
    /// Why it may not be there.
    public var missing = "without a decision that both runs have"
  }

  public var entry: Entry {
    let share = Metric.Format.number(4)
    switch self {
    case .texts: return Entry(unit: "texts", format: .count)
    case .tokens: return Entry(unit: "tokens", format: .count)
    case .decisions: return Entry(unit: "decisions", format: .count)
    case .partedAt: return Entry(unit: "position", format: .count, missing: "where no two texts part")
    case .partedTexts: return Entry(unit: "texts", format: .count)
    case .setAgreement:
      return Entry(
        unit: "share", format: share, n: .decisions, counted: .decisions, baselines: [.baseline, .loadBaseline, .shuffledBaseline],
        interval: [.setAgreementLow, .setAgreementHigh],
        words: "mean |A ∩ B| / k of a decision, 1 where both chose the same experts")
    case .setAgreementLow, .setAgreementHigh:
      return Entry(unit: "share", format: share, missing: "with fewer than \(Jackknife.minimumSequences) texts")
    case .baseline, .loadBaseline, .top1Baseline, .top1LoadBaseline, .jaccardBaseline: return Entry(unit: "share", format: share)
    case .shuffledBaseline: return Entry(unit: "share", format: share, missing: "with one text, or none that has a position of another")
    case .top1Agreement:
      return Entry(
        unit: "share", format: share, n: .decisions, counted: .decisions, baselines: [.top1Baseline, .top1LoadBaseline],
        words: "share of decisions with the same first expert")
    case .jaccard:
      return Entry(
        unit: "share", format: share, n: .decisions, counted: .decisions, baselines: [.jaccardBaseline],
        words: "experts of both over experts of either, mean")
    case .jsDivergence:
      return Entry(
        unit: "nat", format: .number(6), n: .jsDecisions, counted: .decisions,
        words: "Jensen-Shannon divergence of the routers' distributions: 0 equal, 0.693 nothing in common",
        missing: "where one of the runs has no logits of a token (--record full)")
    case .jsDecisions: return Entry(unit: "decisions", format: .count)
    case .loadTV:
      return Entry(
        unit: "share", format: share, n: .decisions, counted: .decisions,
        words: "half the sum of the differences of both loads: 0 equal, 1 no expert in common")
    case .lossA:
      return Entry(
        unit: "nat/token", format: .number(4), n: .scoredTokens, counted: .tokens, words: "mean surprisal in A", missing: Self.noLoss)
    case .lossB:
      return Entry(
        unit: "nat/token", format: .number(4), n: .scoredTokens, counted: .tokens, words: "mean surprisal in B", missing: Self.noLoss)
    case .lossChange:
      return Entry(
        unit: "nat/token", format: .number(4), n: .scoredTokens, counted: .tokens, interval: [.low, .high],
        words: "loss_b - loss_a on the same tokens; above 0: B predicts them worse", missing: Self.noLoss)
    case .low, .high: return Entry(unit: "nat/token", format: .number(4), missing: "with fewer than \(Jackknife.minimumSequences) texts")
    case .scoredTokens: return Entry(unit: "tokens", format: .count)
    case .flips:
      return Entry(unit: "decisions", format: .count, n: .decisions, counted: .decisions, words: "decisions whose set of experts differs")
    case .flipMargin50:
      return Entry(format: .number(5), n: .flips, counted: .decisions, words: "median of A's margins of flips", missing: Self.noFlip)
    case .flipMargin95: return Entry(format: .number(5), n: .flips, counted: .decisions, words: "their 95 % quantile", missing: Self.noFlip)
    case .flipMarginMax: return Entry(format: .number(5), n: .flips, counted: .decisions, words: "the largest", missing: Self.noFlip)
    case .flipsAboveMargin:
      return Entry(
        unit: "decisions", format: .count, n: .decisions, counted: .decisions,
        words: "flips that were no near tie in A: its margin is above --margin", missing: "where A's margins are not known")
    case .moved: return Entry(unit: "experts", format: .count, missing: "without --match behaviour")
    case .token, .position: return Entry(unit: "tokens", format: .count)
    case .margin: return Entry(format: .number(6), missing: Self.noFlip)
    }
  }

  private static let noLoss = "where no token has a surprisal in both runs (images, encoders, first tokens)"
  private static let noFlip = "without a flip whose margin is known"

  /// Counts are printed as whole numbers.
  public var isCount: Bool { entry.format == .count }
}

/// Some numbers of a comparison that belong together.
public struct ComparisonRow: Sendable, Equatable {
  /// Which list of the answer it stands in.
  public enum Kind: String, Sendable, CaseIterable {
    case pairs, layers
    case byEntropy = "by_entropy"
    case flipped

    /// Keys that rows of this kind have, in the order of JSON.
    public var keys: [ComparisonKey] {
      let agreement: [ComparisonKey] = [
        .setAgreement, .setAgreementLow, .setAgreementHigh, .baseline, .loadBaseline, .shuffledBaseline, .top1Agreement, .top1Baseline,
        .top1LoadBaseline, .jaccard, .jaccardBaseline, .jsDivergence, .jsDecisions, .loadTV,
      ]
      let losses: [ComparisonKey] = [.lossA, .lossB, .lossChange, .low, .high, .scoredTokens]
      let margins: [ComparisonKey] = [.flipMargin50, .flipMargin95, .flipMarginMax]
      switch self {
      case .pairs:
        return [.texts, .tokens, .partedAt, .partedTexts] + agreement + losses + [.decisions, .flips, .flipsAboveMargin]
      case .layers: return agreement + [.decisions, .flips] + margins + [.flipsAboveMargin, .moved]
      case .byEntropy: return [.low, .high, .decisions, .setAgreement]
      case .flipped: return [.token, .position, .margin]
      }
    }
  }

  public var kind: Kind
  /// Where the numbers are of: `all routers`, `ffn.3`, `entropy 0.91 to 0.93`, `ffn.3 token 17`.
  public var place: String
  /// Unit of A's selection scores; nil where routers of several are pooled.
  public var marginUnit: String?
  /// Nil for a number that is not there.
  var values: [ComparisonKey: Double]

  init(_ kind: Kind, place: String, marginUnit: String? = nil, values: [ComparisonKey: Double?]) {
    self.kind = kind
    self.place = place
    self.marginUnit = marginUnit
    self.values = values.compactMapValues { $0.flatMap { $0.isFinite ? $0 : nil } }
  }

  public subscript(key: ComparisonKey) -> Double? { values[key] }

  public func unit(of key: ComparisonKey) -> String {
    // The ends of a bin, not of an interval.
    if kind == .byEntropy, key == .low || key == .high { return "share of ln E" }
    return key.entry.unit ?? marginUnit ?? "selection score"
  }
}
