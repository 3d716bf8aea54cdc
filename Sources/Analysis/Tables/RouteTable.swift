// Which expert does a task, a modality or a layer take, where weights or a rule alone decide it? Such a route is known without a run, a
// token or an estimate: there is no sample and no null. Here is the table as a value, and what follows from its numbers; who reads it out
// of which file is App's business.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A routing table: rows of decisions that no input changes.
///
/// - Test: hand-made rows of each kind; a row of equal weights.
public struct RouteTable: Sendable {
  /// One decision.
  public struct Row: Sendable, Equatable {
    public var router: RouterID
    /// One for each of the table's axes.
    public var coordinates: [Coordinate]
    public var expertCount: Int
    /// `[expertCount]`, as the system applies them; empty where a rule weighs nothing.
    public var weights: [Double]
    /// The expert of the largest weight, or the one that the rule names; of equal weights the one of the lowest number.
    public var chosen: Int
    /// Of a row that is a mean over dimensions: the smallest and the largest weight of the last expert.
    public var range: ClosedRange<Double>?

    /// A row whose weights choose.
    /// - Precondition: `weights` is not empty and finite.
    public init(_ router: RouterID, _ coordinates: [Coordinate], weights: [Double], range: ClosedRange<Double>? = nil) {
      self.router = router
      self.coordinates = coordinates
      expertCount = weights.count
      self.weights = weights
      chosen = weights.indices.max { (weights[$0], $1) < (weights[$1], $0) } ?? 0
      self.range = range
    }

    /// A row of a rule, which weighs nothing.
    public init(_ router: RouterID, _ coordinates: [Coordinate], chosen: Int, of expertCount: Int) {
      self.router = router
      self.coordinates = coordinates
      self.expertCount = expertCount
      weights = []
      self.chosen = chosen
    }

    /// Whether several experts have the largest weight.
    public var isTied: Bool { weights.count { $0 == weights[chosen] } > 1 }
  }

  /// Where on an axis a row lies.
  public enum Coordinate: Sendable, Equatable {
    case word(String)
    case number(Int)
  }

  /// A number or a verdict about the whole table.
  public enum Fact: Sendable, Equatable {
    case number(Double)
    case whole(Int)
    case flag(Bool)
    case words([String])
    /// Asked for and not there.
    case missing
  }

  /// The experts of one task through all levels of a tree, and the probability of that path.
  public struct Path: Sendable, Equatable {
    public var task: String
    /// From the root.
    public var nodes: [Int]
    public var probability: Double

    public init(task: String, nodes: [Int], probability: Double) {
      self.task = task
      self.nodes = nodes
      self.probability = probability
    }
  }

  /// `probability`: each row sums to 1; `signed`: below 0 too, so neither shares nor entropy; `none`: a rule without weights.
  public var weightKind: WeightKind
  public var axes: [String]
  /// By number; empty where experts have none.
  public var expertNames: [String]
  public var rows: [Row]
  public var paths: [Path] = []
  /// By key, in the order in which they are said.
  public var facts: [(key: String, words: String, value: Fact)] = []
  public var notes: [String] = []

  /// Numbers that a table may have: of more rows nobody reads a table.
  public static let cellLimit = 1 << 20

  public init(_ weightKind: WeightKind, axes: [String], experts expertNames: [String] = [], rows: [Row]) {
    self.weightKind = weightKind
    self.axes = axes
    self.expertNames = expertNames
    self.rows = rows
  }

  /// What `weight` is counted in.
  public var unit: String {
    switch weightKind {
    case .probability: "probability"
    case .signed: "signed weight"
    case .unnormalized: "weight"
    case .none: "expert"
    }
  }

  /// What a weight is read beside: an even choice, 1 / E; of weights that sum to nothing fixed the mean of the row, which is the weight of
  /// every expert for a task that prefers none.
  public func baseline(_ row: Row) -> Double {
    switch weightKind {
    case .probability, .none: 1 / Double(row.expertCount)
    case .signed, .unnormalized: row.weights.reduce(0, +) / Double(row.expertCount)
    }
  }

  /// Shannon entropy of a row's weights.
  ///
  /// - Unit: nats, 0...ln E. 0: one expert has it all; ln E: all alike.
  /// - Returns: nil where the weights are no probabilities.
  public func entropy(_ row: Row) -> Double? {
    guard weightKind == .probability else { return nil }
    // Not -0 of a sure row.
    return max(0, -row.weights.reduce(0) { $0 + ($1 > 0 ? $1 * log($1) : 0) })
  }

  /// `entropy` divided by ln E; nil also for a single expert.
  public func normalizedEntropy(_ row: Row) -> Double? {
    guard row.expertCount > 1 else { return nil }
    return entropy(row).map { $0 / log(Double(row.expertCount)) }
  }
}

/// Largest distance of Gram matrices from the identity.
///
/// 0: the vectors of every sample are orthonormal. Independent of the order of vectors and samples.
///
/// - Parameter vectors: `[count, samples, width]`, contiguous: the vectors of one sample are `width` apart by `samples * width`.
/// - Unit: dimensionless; a product of two vectors.
/// - Complexity: O(count² samples width); no allocation.
/// - Source: Hendawy et al. 2024, MOORE, arXiv:2311.11385: experts' outputs after Gram-Schmidt are orthonormal for every state.
/// - Test: unit vectors give 0, a vector twice gives 1.
public func gramDeviation(_ vectors: [Double], count: Int, samples: Int, width: Int) -> Double {
  precondition(vectors.count == count * samples * width)
  var largest = 0.0
  for sample in 0..<samples {
    for first in 0..<count {
      for second in first..<count {
        let (a, b) = ((first * samples + sample) * width, (second * samples + sample) * width)
        var product = first == second ? -1.0 : 0
        for at in 0..<width { product += vectors[a + at] * vectors[b + at] }
        largest = max(largest, abs(product))
      }
    }
  }
  return largest
}
