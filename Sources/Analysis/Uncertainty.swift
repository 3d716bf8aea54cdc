// How sure is the router? Entropy, margins and mass of every decision of one router, as means, spreads and quantiles, and the share
// of decisions over the threshold. Which tokens they are is told by UncertainTokens.

import Routing

/// A statistic of single decisions: moments, quantiles, and how often it was not defined.
public struct Distribution: Sendable, Equatable {
  public private(set) var moments = Moments()
  public private(set) var histogram = Histogram()
  /// Decisions for which the statistic is not defined or was not recorded.
  public private(set) var undefined = 0

  public init() {}

  init(moments: Moments, histogram: Histogram, undefined: Int) {
    (self.moments, self.histogram, self.undefined) = (moments, histogram, undefined)
  }

  public mutating func add(_ value: Float) {
    guard value.isFinite else {
      undefined += 1
      return
    }
    moments.add(Double(value))
    histogram.add(value)
  }

  /// Adds the numbers of many decisions.
  mutating func add(_ values: [Float]) {
    var ignored = Moments()
    add(values, dividedBy: 1, undivided: &ignored)
  }

  /// Adds numbers divided by `whole`, and to `undivided` the numbers themselves: each sum waits for its own last step, and two that are
  /// taken side by side for no more than one.
  mutating func add(_ values: [Float], dividedBy whole: Float, undivided: inout Moments) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: values.count) { finite in
      var (own, other, kept) = (moments, undivided, 0)
      for value in values {
        let share = value / whole
        if share.isFinite {
          own.add(Double(share))
          finite[kept] = share
          kept += 1
        }
        if value.isFinite { other.add(Double(value)) }
      }
      (moments, undivided) = (own, other)
      undefined += values.count - kept
      histogram.add(UnsafeBufferPointer(rebasing: finite[..<kept]))
    }
  }

  public mutating func merge(_ other: Distribution) {
    moments.merge(other.moments)
    histogram.merge(other.histogram)
    undefined += other.undefined
  }
}

/// Uncertainty of one router's decisions.
///
/// - Memory: at most 800 KiB, whatever the number of tokens and experts.
public struct RouterUncertainty: RouterFold, Equatable {
  public private(set) var experts = 0
  public private(set) var topK = 0
  public private(set) var decisions = 0
  /// Divided by ln E.
  public private(set) var entropy = Distribution()
  /// Nats; moments only, quantiles are those of `entropy` times ln E.
  public private(set) var entropyNats = Moments()
  /// Largest minus second largest router probability.
  public private(set) var top1Margin = Distribution()
  /// k-th minus (k+1)-th selection score; its unit is the family's (`RouterSpec.selectionScoreUnit`).
  public private(set) var selectionMargin = Distribution()
  /// Router probability on the selected experts; k/E for a router without preference.
  public private(set) var topKMass = Distribution()
  /// Decisions over the threshold that was known beforehand.
  private var over = 0
  private let known: ResolvedThreshold?
  private let form: EntropyForm
  /// Whether the margins and the mass are asked for too.
  private let margins: Bool

  /// - Parameter margins: false where only entropy is asked for; margins and mass then stay empty.
  public init(threshold: EntropyThreshold = .standard, form: EntropyForm = .standard, margins: Bool = true) {
    known = ResolvedThreshold(threshold)
    self.form = form
    self.margins = margins
  }

  public mutating func add(_ batch: RoutingBatch, tokens: TokenTable) { add(batch) }

  public mutating func add(_ batch: RoutingBatch) {
    experts = max(experts, batch.expertCount)
    topK = max(topK, batch.topK)
    decisions += batch.count
    let entropies = form.entropies(of: batch)
    let whole = largestEntropy(experts: batch.expertCount)
    entropy.add(entropies, dividedBy: whole, undivided: &entropyNats)
    if let known { over += entropies.count { known.isUncertain(nats: $0, normalized: $0 / whole) } }
    guard margins else { return }
    top1Margin.add(batch.top1Margin)
    selectionMargin.add(batch.selectionMargin)
    topKMass.add(batch.topKMass)
  }

  public mutating func merge(_ other: RouterUncertainty) {
    precondition(known == other.known && form == other.form && margins == other.margins, "folds of two thresholds")
    experts = max(experts, other.experts)
    topK = max(topK, other.topK)
    decisions += other.decisions
    entropy.merge(other.entropy)
    entropyNats.merge(other.entropyNats)
    top1Margin.merge(other.top1Margin)
    selectionMargin.merge(other.selectionMargin)
    topKMass.merge(other.topKMass)
    over += other.over
  }

  public func result() -> RouterUncertainty { self }

  /// Decisions with H >= H*, exactly.
  /// - Precondition: `threshold` is the one this fold began with or a quantile of such folds.
  public func uncertainCount(_ threshold: ResolvedThreshold) -> Int {
    if let known {
      precondition(known == threshold, "folded for another threshold")
      return over
    }
    guard case .share(let edge) = threshold.level, experts > 1 else { return 0 }
    return entropy.histogram.count(atLeast: edge)
  }

  /// Share of decisions with H >= H*, among those whose entropy is known.
  public func uncertainShare(_ threshold: ResolvedThreshold) -> Double? {
    let known = entropy.moments.count
    return known > 0 ? Double(uncertainCount(threshold)) / Double(known) : nil
  }
}

extension PerRouter<RouterUncertainty> {
  /// Normalised entropies of all decisions of all routers.
  public var pooledEntropy: Histogram {
    var pooled = Histogram()
    for fold in folds.values { pooled.merge(fold.entropy.histogram) }
    return pooled
  }

  /// The threshold as a number, with quantiles read off the decisions folded so far.
  public func resolve(_ threshold: EntropyThreshold) -> ResolvedThreshold {
    ResolvedThreshold(threshold, entropies: pooledEntropy)
  }
}

extension RouterUncertainty: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    columns.set("shape", .numbers([experts, topK, decisions, over]))
    entropy.save("entropy", &columns)
    entropyNats.save("nats", &columns)
    top1Margin.save("top1", &columns)
    selectionMargin.save("selection", &columns)
    topKMass.save("mass", &columns)
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 4)
    try columns.shape(shape[0], shape[1])
    (experts, topK, decisions, over) = (shape[0], shape[1], shape[2], shape[3])
    entropy = try .loaded("entropy", columns)
    entropyNats = try .loaded("nats", columns)
    top1Margin = try .loaded("top1", columns)
    selectionMargin = try .loaded("selection", columns)
    topKMass = try .loaded("mass", columns)
  }
}
