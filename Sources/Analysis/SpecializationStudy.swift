// Do experts specialise along an axis? Mutual information between the chosen experts and the cells of the axis, against a null that
// respects what tokens of one text have in common. Draw i of the null is the same draw at every router and on however many cores.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Some draws of a null, in any order; parts computed on several cores are merged.
public struct NullDraws: Sendable {
  /// Mutual information of each draw; entry i of every router is the same draw.
  var information: [RouterID: [Double]] = [:]
  var matched: [RouterID: [Double]] = [:]
  /// Largest |z| of each draw over all routers.
  var largestDeviation: [Double] = []

  public mutating func merge(_ other: NullDraws) {
    information.merge(other.information) { $0 + $1 }
    matched.merge(other.matched) { $0 + $1 }
    largestDeviation += other.largestDeviation
  }
}

/// One facet, all routers of a run.
///
///     let study = try SpecializationStudy(label: "domain", counts: counts, sequences: sequences, settings: NullSettings())
///     let results = study.result()                    // or: study.result(study.draws(0..<500) merged with study.draws(500..<1000))
///
/// - Complexity: labels: O(N S E) a router; position: O(N S B E) with B bins. Both at several experts an instruction.
public struct SpecializationStudy: Sendable {
  struct Prepared: Sendable {
    var axis: any CellAxis
    var matched: Matched?
    var observed: [UInt32]
    var information: InformationEstimate
    /// sum n_e ln n_e, and the number of choices: the same in every draw.
    var expertTerm: Double
    var total: Int
    /// `[cells, experts]`
    var expected: [Double]
    /// `[cells, experts]`: 1 / spread; 0 for cells that are not in the family (faint, or no freedom).
    var weight: [Double]
    var inverseSpread: [Double]
    /// Sequences differ in length, and fewer than two values of the label have sequences of `shortestMatched` tokens.
    var lacksLengthControl = false
  }

  /// The comparison with every sequence cut to one length.
  struct Matched: Sendable {
    var axis: any CellAxis
    var information: InformationEstimate
    var positions: Int
    /// Sequences that are shorter.
    var leftOut: Int
  }

  public let facet: Facet
  public let settings: NullSettings
  /// Sequences that were seen but carry no such label.
  public let unlabelled: Int
  /// Values of the label that share one cell, because there are more than `mostValues`.
  public private(set) var pooledValues = 0
  /// Choices expected in a cell below which it is faint.
  public static let faintBelow = 20.0
  /// Values of a label that have a cell of their own; tables, time and memory grow with them.
  public static let mostValues = 1000
  /// The shortest common length that a comparison is made at.
  public static let shortestMatched = 16

  private(set) var prepared: [RouterID: Prepared] = [:]

  /// A label of whole sequences.
  /// - Throws: `AnalysisError.invalidPlan` with fewer than two values of the label among the sequences seen.
  public init(
    label key: String, counts: PerRouter<StratumCounts>, sequences: [SequenceDescription], settings: NullSettings,
    matchesLengths: Bool = true
  ) throws {
    facet = .label(key)
    self.settings = settings
    let lengths = counts.folds.mapValues(Self.lengths)
    let longest = lengths.values.reduce(into: [Int: Int]()) { $0.merge($1) { max($0, $1) } }
    let labelled = longest.keys.filter { sequences.indices.contains($0) && sequences[$0].labels[key] != nil }
    unlabelled = longest.count - labelled.count
    let values = LabelCells(labelled.map { ($0, sequences[$0].labels[key] ?? "", longest[$0] ?? 0) }, most: Self.mostValues)
    pooledValues = values.pooled
    guard values.names.count > 1 else {
      throw AnalysisError.invalidPlan(
        field: "--by \(key)", expected: "two values or more of this label", found: values.names.first.map { "only '\($0)'" } ?? "none")
    }
    for (router, fold) in counts.folds {
      let axis = LabelAxis(fold, cells: values.cells, cellNames: values.names, lastBin: nil)
      let own = (lengths[router] ?? [:]).filter { values.cells[$0.key] != nil }
      let differ = matchesLengths && Set(own.values).count > 1
      let matched = differ ? Self.match(fold, values, lengths: own) : nil
      prepared[router] = Self.prepare(axis, matched: matched, seed: settings.seed)
      prepared[router]?.lacksLengthControl = differ && matched == nil
    }
  }

  /// Every sequence cut to the longest stretch that all those of `shortestMatched` tokens have.
  /// - Returns: nil when these have fewer than two values of the label.
  private static func match(_ fold: StratumCounts, _ values: LabelCells, lengths: [Int: Int]) -> Matched? {
    let long = lengths.filter { $0.value >= shortestMatched }
    guard let shortest = long.values.min() else { return nil }
    // Whole bins of positions: the bin that holds the position after the last one is not whole.
    let lastBin = PositionBin(rawValue: PositionBin(position: shortest).rawValue - 1)
    let cells = values.cells.filter { long[$0.key] != nil }
    guard Set(cells.values).count > 1 else { return nil }
    let axis = LabelAxis(fold, cells: cells, cellNames: values.names, lastBin: lastBin)
    return Matched(
      axis: axis, information: InformationEstimate(axis, observed: axis.observed()), positions: lastBin.positions.upperBound,
      leftOut: lengths.count - long.count)
  }

  /// Place in the sequence.
  /// - Throws: `AnalysisError.invalidPlan` when all tokens lie in one bin.
  public init(positions routes: PerRouter<RouteStore>, settings: NullSettings) throws {
    facet = .position
    self.settings = settings
    unlabelled = 0
    for (router, fold) in routes.folds {
      let axis = PositionAxis(fold)
      guard axis.cellNames.count > 1 else {
        throw AnalysisError.invalidPlan(field: "--by position", expected: "sequences of two tokens or more", found: "one position")
      }
      prepared[router] = Self.prepare(axis, matched: nil, seed: settings.seed)
    }
  }

  /// What the tokens are: entries of the vocabulary, or classes of their text.
  ///
  /// - Parameters:
  ///   - facet: one of `Facet.ofTokens`.
  ///   - routes: with tokens.
  ///   - words: what an entry of the vocabulary stands for; nil where nobody knows.
  /// - Throws: `AnalysisError.invalidPlan` when all tokens are of one cell.
  public init(tokens facet: Facet, _ routes: PerRouter<RouteStore>, words: (Int32) -> String?, settings: NullSettings) throws {
    self.facet = facet
    self.settings = settings
    unlabelled = 0
    // One sorting for all routers: those of a decoder may see other tokens than those of an encoder.
    let counts = routes.folds.values.reduce(into: [Int32: Int]()) { $0.merge($1.tokenCounts) { max($0, $1) } }
    let cells = TokenCells(facet, counts: counts, words: words)
    pooledValues = facet != .tokenClass ? max(0, counts.count - TokenCells.mostWords) : 0
    guard cells.names.count > 1 else {
      throw AnalysisError.invalidPlan(
        field: "--by \(facet.name)", expected: "tokens of two kinds or more", found: cells.names.first.map { "only \($0)" } ?? "none")
    }
    for (router, fold) in routes.folds {
      prepared[router] = Self.prepare(TokenAxis(fold, cells), matched: nil, seed: settings.seed)
    }
  }

  /// An axis of a denoising run: a label of its samples, or one of `Facet.denoising`.
  /// - Throws: `AnalysisError.invalidPlan` without a whole sample, and with fewer than two cells.
  public init(_ facet: Facet, of counts: DenoisingCounts, sequences: [SequenceDescription] = [], settings: NullSettings) throws {
    self.facet = facet
    self.settings = settings
    guard !counts.samples.isEmpty else {
      throw AnalysisError.invalidPlan(field: "--by \(facet.name)", expected: "one whole sample or more", found: "none")
    }
    if case .label(let key) = facet {
      let samples = SampleClasses(key, samples: counts.samples, sequences: sequences)
      unlabelled = counts.samples.count - samples.cells.count
      let rank = Dictionary(uniqueKeysWithValues: samples.names.enumerated().map { ($1, $0) })
      let classes = LabelCells(samples.cells.map { ($0, samples.names[Int($1)], 1) }, most: Self.mostValues) {
        rank[$0] ?? 0 < rank[$1] ?? 0
      }
      pooledValues = classes.pooled
      guard classes.names.count > 1 else {
        throw AnalysisError.invalidPlan(
          field: "--by \(key)", expected: "two values or more of this label", found: classes.names.first.map { "only '\($0)'" } ?? "none")
      }
      let rows = counts.layout.stepCount * counts.layout.patchCount
      for (router, tables) in counts.routers {
        let axis = LabelAxis(
          tables.samples, cells: classes.cells, cellNames: classes.names, expertCount: tables.expertCount, rows: rows)
        prepared[router] = Self.prepare(axis, matched: nil, seed: settings.seed)
      }
      return
    }
    unlabelled = 0
    let cells = facet.cellNames(counts.layout).count
    guard cells > 1 else {
      throw AnalysisError.invalidPlan(
        field: "--by \(facet.name)", expected: "a run of two steps, patch rows or columns or more along this axis", found: "\(cells)")
    }
    for (router, tables) in counts.routers {
      prepared[router] = Self.prepare(ShiftedAxis(facet, tables, layout: counts.layout), matched: nil, seed: settings.seed)
    }
  }

  /// Tokens of each sequence.
  private static func lengths(_ fold: StratumCounts) -> [Int: Int] {
    fold.rows.reduce(into: [:]) { $0[$1.key.sequence, default: 0] += $1.value.tokens }
  }

  private static func prepare(_ axis: any CellAxis, matched: Matched?, seed: UInt64) -> Prepared {
    let f = XLogX.shared
    let observed = axis.observed()
    let width = axis.experts.count
    let cells = axis.cellNames.count
    var expertSums = Array(repeating: 0, count: width)
    var cellSums = Array(repeating: 0, count: cells)
    for entry in observed.indices {
      expertSums[entry % width] += Int(observed[entry])
      cellSums[entry / width] += Int(observed[entry])
    }
    let expected: [Double] =
      switch axis.expectation {
      case .proportional(let shares): cellSums.flatMap { sum in shares.map { $0 * Double(sum) } }
      case .fixed(let table): table
      }
    let inverse = axis.spread(seed: seed).map { $0 > 1e-9 ? 1 / $0 : 0 }
    return Prepared(
      axis: axis, matched: matched, observed: observed, information: InformationEstimate(axis, observed: observed),
      expertTerm: expertSums.reduce(0) { $0 + f($1) }, total: cellSums.reduce(0, +), expected: expected,
      weight: zip(inverse, expected).map { $1 >= faintBelow ? $0 : 0 }, inverseSpread: inverse)
  }

  // MARK: - The null

  /// Draws number `range` of `0..<settings.draws`.
  public func draws(_ range: Range<Int>) -> NullDraws {
    var draws = NullDraws()
    draws.largestDeviation = Array(repeating: 0, count: range.count)
    for (router, study) in prepared.sorted(by: { $0.key < $1.key }) {
      draws.information[router] = draw(study, range: range, largest: &draws.largestDeviation)
      if let matched = study.matched?.axis {
        var information: [Double] = []
        matched.forEachDraw(range, seed: settings.seed) { _, table in
          information.append(mutualInformation(table: Array(table), cells: matched.cellNames.count, experts: matched.experts.count))
        }
        draws.matched[router] = information
      }
    }
    return draws
  }

  private func draw(_ study: Prepared, range: Range<Int>, largest: inout [Double]) -> [Double] {
    let f = XLogX.shared
    let width = study.axis.experts.count
    let cells = study.axis.cellNames.count
    let total = Double(max(1, study.total))
    let constant = f(study.total) - study.expertTerm
    var information: [Double] = []
    information.reserveCapacity(range.count)
    let shares: [Double]
    let fixed: [Double]
    switch study.axis.expectation {
    case .proportional(let values): (shares, fixed) = (values, [])
    case .fixed(let values): (shares, fixed) = ([], values)
    }
    study.axis.forEachDraw(range, seed: settings.seed) { draw, table in
      var joint = constant
      var deviation = largest[draw - range.lowerBound]
      for cell in 0..<cells {
        var sum = 0
        for column in 0..<width {
          let n = Int(table[cell * width + column])
          sum += n
          joint += f(n)
        }
        joint -= f(sum)
        for column in 0..<width {
          let entry = cell * width + column
          let expected = fixed.isEmpty ? shares[column] * Double(sum) : fixed[entry]
          deviation = max(deviation, abs(Double(table[entry]) - expected) * study.weight[entry])
        }
      }
      largest[draw - range.lowerBound] = deviation
      information.append(max(0, joint / total))
    }
    return information
  }
}
