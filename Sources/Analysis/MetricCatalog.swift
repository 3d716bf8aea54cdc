// The list of all metrics: how each is called, what its number means, what chance would give, where it comes from. The command line,
// the Help screen and the metric reference read this list; a metric that is not in it does not exist.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A metric, by the name used on the command line, in exports and in reports.
public enum MetricKey: String, CaseIterable, Sendable, Hashable, Codable {
  case load
  case activationRate = "activation_rate"
  case loadRatio = "load_ratio"
  case weightedLoad = "weighted_load"
  case importance
  case loadCV = "load_cv"
  case maxViolation = "max_vio"
  case maxOverMean = "max_over_mean"
  case gini
  case coverage
  case idle
  case loadEntropy = "load_entropy"
  case effectiveExperts = "effective_experts"
  case dropped
  case entropy
  case entropyNats = "entropy_nats"
  case top1Margin = "top1_margin"
  case selectionMargin = "selection_margin"
  case topKMass = "top_k_mass"
  case uncertain
  case tokenInformation = "token_information"
  case balanceLoss = "balance_loss"
  case balanceLossHF = "balance_loss_hf"
  case zLoss = "z_loss"
  case repeatFirst = "repeat_first"
  case repeatAny = "repeat_any"
  case overlap
  case jaccard
  case specialization
  case choices
  case choicesWeighted = "choices_weighted"
  case choicesMinMax = "choices_minmax"
  case useEntropy = "use_entropy"
  case earlyLate = "early_late"
  case stepDrift = "step_drift"
  case pathOverlap = "path_overlap"
  case specialists
  case ditClaims = "dit-claims"

  /// - Throws: `AnalysisError.unknownMetric` with the nearest name.
  public init(parsing name: String) throws {
    guard let key = MetricKey(rawValue: name) else {
      let nearest = Self.allCases.map { (key: $0, distance: editDistance($0.rawValue, name)) }.min { $0.distance < $1.distance }
      throw AnalysisError.unknownMetric(found: name, nearest: nearest.flatMap { $0.distance <= 3 ? $0.key.rawValue : nil })
    }
    self = key
  }

  /// Reads `load_cv,idle,entropy`.
  public static func list(parsing text: String) throws -> [MetricKey] {
    try text.split(separator: ",").map { try MetricKey(parsing: String($0)) }
  }
}

/// What the catalog says about a metric.
public struct MetricEntry: Sendable {
  public enum Grain: String, Sendable {
    /// One number for each router.
    case layer
    /// One number for each expert of each router.
    case expert
    /// One number for each router and axis.
    case axis
    /// One answer for the run.
    case run

    /// As the reference says it.
    var reading: String {
      switch self {
      case .layer: "layer"
      case .expert: "layer and expert"
      case .axis: "layer and axis"
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
  /// The same as a number, for a router and how many tokens it saw.
  public let baselineValue: @Sendable (_ chance: Chance, _ tokens: Int) -> Double?
  /// Axes it can be shown along.
  public let facets: FacetSupport
  /// Whether `--ci` gives an interval (delete-one-sequence jackknife); the reason when not.
  public let interval: String
  public let source: String
  /// One line for the Help screen.
  public let glossary: String
  /// More to know, in Markdown, for the reference; empty for most.
  public var details = ""

  public enum FacetSupport: String, Sendable {
    case none = "none"
    case labels = "labels of sequences"
    case all = "labels of sequences, position"
    case step = "step"
    case denoising = "labels of samples, step, patch-row, patch-column, patch"
    case every = "labels of sequences, position; of denoising runs also step, patch-row, patch-column, patch"

    public func allows(_ facet: Facet) -> Bool {
      switch self {
      case .none: false
      case .labels: facet.isConstantWithinSequence
      case .all: !facet.isDenoising
      case .step: facet == .step
      case .denoising: facet != .position
      case .every: true
      }
    }
  }

  public var hasInterval: Bool { [MetricCatalog.jackknife, MetricCatalog.groupJackknife].contains(interval) }
}

public enum MetricCatalog {
  static let jackknife = "jackknife over sequences"

  /// In the order of the reference.
  public static var entries: [MetricEntry] { MetricKey.allCases.map(entry) }

  public static func entry(_ key: MetricKey) -> MetricEntry {
    switch key {
    case .load, .activationRate, .loadRatio, .weightedLoad, .importance: expertEntry(key)
    case .loadCV, .maxViolation, .maxOverMean, .gini, .coverage, .idle, .loadEntropy, .effectiveExperts, .dropped: loadEntry(key)
    case .entropy, .entropyNats, .top1Margin, .selectionMargin, .topKMass, .uncertain, .tokenInformation: uncertaintyEntry(key)
    case .balanceLoss, .balanceLossHF, .zLoss, .repeatFirst, .repeatAny, .overlap, .jaccard, .specialization: structureEntry(key)
    case .choices, .choicesWeighted, .choicesMinMax, .useEntropy, .earlyLate, .stepDrift, .pathOverlap, .specialists, .ditClaims:
      denoisingEntry(key)
    }
  }

  /// The reference page: one section a metric.
  public static func markdown() -> String {
    var page = "# Metrics\n\nAll information is in nats; assignments count 1 each unless a metric is called weighted.\n"
    for entry in entries {
      page += """

        ## `\(entry.key.rawValue)`: \(entry.name)

        \(entry.glossary)

        | | |
        |---|---|
        | unit | \(entry.unit) |
        | range | \(entry.range) |
        | how to read it | \(entry.reading) |
        | one number per | \(entry.grain.reading) |
        | baseline | \(entry.baseline) |
        | along axes | \(entry.facets.rawValue) |
        | interval | \(entry.interval) |
        | source | \(entry.source) |

        """
      if !entry.details.isEmpty { page += "\n" + entry.details + "\n" }
    }
    return page
  }

  /// Key and one line for each metric, for the Help screen.
  public static var glossary: [(term: String, text: String)] { entries.map { ($0.key.rawValue, $0.glossary) } }
}

/// Insertions, deletions and substitutions that turn one word into the other.
public func editDistance(_ a: String, _ b: String) -> Int {
  let target = Array(b)
  var row = Array(0...target.count)
  for (i, letter) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, other) in target.enumerated() {
      let cost = min(row[j] + 1, row[j + 1] + 1, diagonal + (letter == other ? 0 : 1))
      diagonal = row[j + 1]
      row[j + 1] = cost
    }
  }
  return row[target.count]
}
