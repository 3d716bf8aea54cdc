// A metric as one value: how it is called, what its number means, what chance would give at the size of a row's sample, where it comes
// from, which folds must see the run for it, and how its rows are read off them. The values stand in the files of their families
// (MetricsOfLoad, ...); a new one is a value there, a name in MetricKey and a line in MetricCatalog, and nothing compiles without all three.

import Routing

/// What a row's number was taken over, for a baseline that depends on it.
public struct SampleSize: Sendable, Hashable {
  /// Experts and choices a token of the router.
  public var chance: Chance
  /// Tokens (decisions of one router) in the row.
  public var tokens: Int
  /// Seed for chance values that are simulated.
  public var seed: UInt64
  public var threshold: EntropyThreshold

  public init(chance: Chance, tokens: Int, seed: UInt64 = 0, threshold: EntropyThreshold = .standard) {
    self.chance = chance
    self.tokens = tokens
    self.seed = seed
    self.threshold = threshold
  }
}

/// A metric.
public struct Metric: Sendable {
  public enum Grain: String, Sendable {
    /// One number for each router.
    case layer
    /// One number for each expert of each router.
    case expert
    /// One number for each router and axis.
    case axis
    /// One number for all routers of a stack.
    case stack
    /// One answer for the run.
    case run

    /// As the reference says it.
    var reading: String {
      switch self {
      case .layer: "layer"
      case .expert: "layer and expert"
      case .axis: "layer and axis"
      case .stack: "stack of routers"
      case .run: "run"
      }
    }
  }

  /// How a value is printed.
  public enum Format: Sendable, Hashable {
    case percent(Int)
    case number(Int)
    case count
  }

  public enum FacetSupport: String, Sendable {
    case none = "none"
    case labels = "labels of sequences"
    case all = "labels of sequences, position"
    case step = "step"
    case denoising = "labels of samples, step, patch-row, patch-column, patch"
    case every = "labels of sequences, position, vocabulary, token-class; of denoising runs also step, patch-row, patch-column, patch"

    public func allows(_ facet: Facet) -> Bool {
      switch self {
      case .none: false
      case .labels: facet.isConstantWithinSequence
      case .all: !facet.isDenoising && !facet.isOfTokens
      case .step: facet == .step
      case .denoising: facet != .position && !facet.isOfTokens
      case .every: true
      }
    }
  }

  /// Whether and how an estimate gets a 95 % interval.
  public enum IntervalRule: Sendable, Hashable, CustomStringConvertible {
    /// Delete-one-sequence jackknife, with `--ci`.
    case onRequest
    case always(String)
    /// With the reason.
    case none(String)

    public var description: String {
      switch self {
      case .onRequest: MetricCatalog.jackknife
      case .always(let how): how
      case .none(let reason): "none: " + reason
      }
    }
  }

  /// Which runs have it.
  public enum Runs: Sendable, Hashable {
    case all
    /// Runs whose rows stand one after the other in a text.
    case texts
    case denoising
    case encoderDecoder
  }

  public let key: MetricKey
  public let name: String
  public let unit: String
  public let range: String
  /// How to read the number, both ends.
  public let reading: String
  public let grain: Grain
  public let format: Format
  /// What chance or an even router would give, in words.
  public let baseline: String
  /// The same as a number, at the size of a row's sample; nil where there is none.
  public let baselineValue: @Sendable (SampleSize) -> Double?
  /// Axes it can be shown along.
  public let facets: FacetSupport
  public let interval: IntervalRule
  public let source: String
  /// One line for the Help screen.
  public let glossary: String
  /// When a row has no number, as the end of a sentence: "without assignments".
  public let missing: String
  public var runs = Runs.all
  /// Whether it needs sums that an engine takes over the rows of a pass, which cannot be told apart afterwards.
  public var isSummedByPass = false
  /// Whether it is taken over routing weights.
  public var isOfWeights = false
  /// Whether it is about the router's entropy, whose formula can be chosen (`--as`).
  public var usesEntropyForm = false
  /// Whether it asks how sure a choice was: where experts are looked up by token id there is none, and no number.
  public var needsChoice = false
  /// What a run must have recorded for it.
  public var needs = RecordingLevel(content: .counts)
  /// Whether only routers with a correction bias have it.
  public var isAboutBias = false
  /// What answers it.
  let measure: any Measure
  /// More to know, in Markdown, for the reference; empty for most.
  public var details = ""

  /// Whether `--ci` gives an interval, or there is always one.
  public var hasInterval: Bool {
    switch interval {
    case .onRequest, .always: true
    case .none: false
    }
  }

  /// What a condition can name beside the value.
  var conditionFields: [String] {
    ["n", "baseline"] + (hasInterval ? ["low", "high"] : []) + measure.conditionFields
  }
}

/// The folds of an analysis.
struct Folds: OptionSet, Sendable {
  let rawValue: Int
  /// `RouterLoad`
  static let load = Folds(rawValue: 1)
  /// `RouterUncertainty`; sees all layers, since a quantile threshold is one of the whole run.
  static let uncertainty = Folds(rawValue: 2)
  /// `SequenceLinks`
  static let links = Folds(rawValue: 4)
  /// `StratumCounts`
  static let counts = Folds(rawValue: 8)
  /// `StratumMeans`
  static let means = Folds(rawValue: 16)
  /// `RouteStore`
  static let routes = Folds(rawValue: 32)
  /// `UncertainTokens`
  static let tokens = Folds(rawValue: 64)
  /// `DenoisingCounts`
  static let denoising = Folds(rawValue: 128)
  /// Means and tokens must know the threshold before they see the run.
  static let threshold = Folds(rawValue: 256)
  /// `SequenceLinks` keeps some sets of each sequence.
  static let sets = Folds(rawValue: 512)
  /// `ExpertNorms`
  static let norms = Folds(rawValue: 1024)
  /// `LogitProducts`
  static let products = Folds(rawValue: 2048)
}

/// What answers a metric.
protocol Measure: Sendable {
  /// Folds that must see the run.
  func folds(for plan: AnalysisPlan) -> Folds
  /// A number of single decisions that it needs a `RouterStatistic` of; nil for most.
  var statistic: DecisionStatistic? { get }
  /// Numbers of its rows that a condition can name, beside value, n, baseline and the ends of an interval.
  var conditionFields: [String] { get }
  func rows(_ reading: MetricReading) -> MetricDocument.Rows
  /// Adds what is needed to repeat the numbers, beyond what every metric needs.
  func complete(_ settings: inout ReportSettings, _ reading: MetricReading)
  /// How to read the number in this analysis.
  func words(_ reading: MetricReading) -> String
  /// What a reader must know beside the numbers, one sentence each.
  func notes(_ reading: MetricReading) -> [String]
}

extension Measure {
  var statistic: DecisionStatistic? { nil }
  var conditionFields: [String] { [] }
  func complete(_ settings: inout ReportSettings, _ reading: MetricReading) {}
  func words(_ reading: MetricReading) -> String { reading.metric.reading }
  func notes(_ reading: MetricReading) -> [String] { [] }
}
