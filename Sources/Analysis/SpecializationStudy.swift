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
  /// Mutual information of each draw.
  fileprivate var information: [RouterID: [Double]] = [:]
  fileprivate var matched: [RouterID: [Double]] = [:]
  /// Largest |z| of each draw over all routers.
  fileprivate var largestDeviation: [Double] = []

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
  private struct Prepared: Sendable {
    var axis: any CellAxis
    var matched: (any CellAxis)?
    var observed: [UInt32]
    var information: Double
    /// sum n_e ln n_e, and the number of choices: the same in every draw.
    var expertTerm: Double
    var total: Int
    /// `[cells, experts]`
    var expected: [Double]
    /// `[cells, experts]`: 1 / spread; 0 for cells that are not in the family (faint, or no freedom).
    var weight: [Double]
    var inverseSpread: [Double]
    var matchedInformation: Double
  }

  public let facet: Facet
  public let settings: NullSettings
  /// Sequences that were seen but carry no such label.
  public let unlabelled: Int
  /// Positions that the matched comparison keeps; nil when it does not apply.
  public let matchedPositions: Int?
  /// Choices expected in a cell below which it is faint.
  public static let faintBelow = 20.0

  private var prepared: [RouterID: Prepared] = [:]

  /// A label of whole sequences.
  /// - Throws: `AnalysisError.invalidPlan` with fewer than two values of the label among the sequences seen.
  public init(
    label key: String, counts: PerRouter<StratumCounts>, sequences: [SequenceDescription], settings: NullSettings,
    matchesLengths: Bool = true
  ) throws {
    facet = .label(key)
    self.settings = settings
    let lengths = Self.lengths(counts)
    let labelled = lengths.keys.filter { sequences.indices.contains($0) && sequences[$0].labels[key] != nil }
    let names = Set(labelled.compactMap { sequences[$0].labels[key] }).sorted()
    let cellOf = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, Int32($0)) })
    unlabelled = lengths.count - labelled.count
    guard names.count > 1 else {
      throw AnalysisError.invalidPlan(
        field: "--by \(key)", expected: "two values or more of this label", found: names.first.map { "only '\($0)'" } ?? "none")
    }
    var cells: [Int: Int32] = [:]
    for sequence in labelled { cells[sequence] = sequences[sequence].labels[key].flatMap { cellOf[$0] } }
    let kept = labelled.compactMap { lengths[$0] }
    let shortest = kept.min() ?? 0
    let lastBin =
      matchesLengths && kept.max() != shortest && shortest >= 16 ? PositionBin(rawValue: PositionBin(position: shortest).rawValue - 1) : nil
    matchedPositions = lastBin?.positions.upperBound
    for (router, fold) in counts.folds {
      let axis = LabelAxis(fold, cells: cells, cellNames: names, lastBin: nil)
      let matched = lastBin.map { LabelAxis(fold, cells: cells, cellNames: names, lastBin: $0) }
      prepared[router] = Self.prepare(axis, matched: matched, seed: settings.seed)
    }
  }

  /// Place in the sequence.
  /// - Throws: `AnalysisError.invalidPlan` when all tokens lie in one bin.
  public init(positions routes: PerRouter<RouteStore>, settings: NullSettings) throws {
    facet = .position
    self.settings = settings
    unlabelled = 0
    matchedPositions = nil
    for (router, fold) in routes.folds {
      let axis = PositionAxis(fold)
      guard axis.cellNames.count > 1 else {
        throw AnalysisError.invalidPlan(field: "--by position", expected: "sequences of two tokens or more", found: "one position")
      }
      prepared[router] = Self.prepare(axis, matched: nil, seed: settings.seed)
    }
  }

  /// An axis of a denoising run: a label of its samples, or one of `Facet.denoising`.
  /// - Throws: `AnalysisError.invalidPlan` without a whole sample, and with fewer than two cells.
  public init(_ facet: Facet, of counts: DenoisingCounts, sequences: [SequenceDescription] = [], settings: NullSettings) throws {
    self.facet = facet
    self.settings = settings
    matchedPositions = nil
    guard !counts.samples.isEmpty else {
      throw AnalysisError.invalidPlan(field: "--by \(facet.name)", expected: "one whole sample or more", found: "none")
    }
    if case .label(let key) = facet {
      let classes = SampleClasses(key, samples: counts.samples, sequences: sequences)
      unlabelled = counts.samples.count - classes.cells.count
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

  /// Tokens of each sequence, at the router that saw most of them.
  private static func lengths(_ counts: PerRouter<StratumCounts>) -> [Int: Int] {
    var lengths: [Int: Int] = [:]
    for fold in counts.folds.values {
      var here: [Int: Int] = [:]
      for (stratum, row) in fold.rows { here[stratum.sequence, default: 0] += row.tokens }
      lengths.merge(here) { max($0, $1) }
    }
    return lengths
  }

  private static func prepare(_ axis: any CellAxis, matched: (any CellAxis)?, seed: UInt64) -> Prepared {
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
    let matchedTable = matched?.observed() ?? []
    return Prepared(
      axis: axis, matched: matched, observed: observed, information: mutualInformation(table: observed, cells: cells, experts: width),
      expertTerm: expertSums.reduce(0) { $0 + f($1) }, total: cellSums.reduce(0, +), expected: expected,
      weight: zip(inverse, expected).map { $1 >= faintBelow ? $0 : 0 }, inverseSpread: inverse,
      matchedInformation: matched.map { mutualInformation(table: matchedTable, cells: cells, experts: $0.experts.count) } ?? 0)
  }

  // MARK: - The null

  /// Draws number `range` of `0..<settings.draws`.
  public func draws(_ range: Range<Int>) -> NullDraws {
    var draws = NullDraws()
    draws.largestDeviation = Array(repeating: 0, count: range.count)
    for (router, study) in prepared.sorted(by: { $0.key < $1.key }) {
      draws.information[router] = draw(study, range: range, largest: &draws.largestDeviation)
      if let matched = study.matched {
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

  // MARK: - Results

  public func result() -> [SpecializationResult] { result(draws(0..<settings.draws)) }

  /// The same on several cores; the same numbers for any number of workers.
  public func result(workers: Int) async -> [SpecializationResult] {
    let parts = max(1, min(workers, settings.draws))
    let draws = await withTaskGroup(of: NullDraws.self) { group in
      for part in 0..<parts {
        group.addTask { self.draws(part * settings.draws / parts..<(part + 1) * settings.draws / parts) }
      }
      return await group.reduce(into: NullDraws()) { $0.merge($1) }
    }
    return result(draws)
  }

  /// By stack, then layer.
  /// - Parameter draws: all `settings.draws` draws, each once, in any order.
  public func result(_ draws: NullDraws) -> [SpecializationResult] {
    let largest = draws.largestDeviation.sorted()
    return prepared.sorted { $0.key < $1.key }.map { router, study in
      let null = Null(observed: study.information, draws: draws.information[router] ?? [])
      let sizes = study.axis.cellSizes
      let width = study.axis.experts.count
      let cellSums = sizes.indices.map { cell in study.observed[cell * width..<(cell + 1) * width].reduce(0) { $0 + Int($1) } }
      let cells = sizes.indices.map {
        SpecializationCell(
          name: study.axis.cellNames[$0], sequences: sizes[$0].sequences, tokens: sizes[$0].tokens, assignments: cellSums[$0])
      }
      let matched = matchedPositions.map { positions in
        let null = Null(observed: study.matchedInformation, draws: draws.matched[router] ?? [])
        return MatchedSpecialization(
          positions: positions, mutualInformation: study.matchedInformation, nullMean: null.mean, nullSD: null.sd,
          effect: study.matchedInformation - null.mean, p: null.p)
      }
      let effect = study.information - null.mean
      return SpecializationResult(
        router: router, cells: cells, sequences: study.axis.memberCount, assignments: study.total,
        mutualInformation: study.information, nullMean: null.mean, nullSD: null.sd, nullCount: null.count, p: null.p, effect: effect,
        interval: Jackknife.interval(estimate: effect, leftOut: leaveOneOut(study)),
        cellEntropy: normalized(cellSums.map(Double.init)).map(shannonEntropy) ?? 0, enrichment: enrichment(study, largest: largest),
        expertDivergence: divergence(study, cellSums: cellSums), matched: matched)
    }
  }

  /// What each router's axis says, with its draws and what it would say without each sequence (or group): the material of statements
  /// over several routers. By stack, then layer; draw i is the same draw at each.
  func information(_ draws: NullDraws) -> [RouterInformation] {
    prepared.sorted { $0.key < $1.key }.map { router, study in
      RouterInformation(
        router: router, plugIn: study.information, draws: draws.information[router] ?? [], leftOut: leaveOneOut(study))
    }
  }

  struct Null {
    var count: Int
    var mean: Double
    var sd: Double
    var p: Double

    init(observed: Double, draws: [Double]) {
      // Sorted, so that the sums round alike however the draws were split; reached within rounding, so that a draw that repeats the
      // observed labels counts as one that reaches it.
      let draws = draws.sorted()
      count = draws.count
      mean = draws.isEmpty ? 0 : draws.reduce(0, +) / Double(draws.count)
      let center = mean
      sd = draws.count > 1 ? (draws.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(draws.count - 1)).squareRoot() : 0
      p = Double(1 + draws.count { $0 >= observed - 1e-12 }) / Double(1 + draws.count)
    }
  }

  /// Plug-in information without each sequence in turn.
  private func leaveOneOut(_ study: Prepared) -> [Double?] {
    let f = XLogX.shared
    let width = study.axis.experts.count
    let cells = study.axis.cellNames.count
    var joint = 0.0
    var expertSums = Array(repeating: 0, count: width)
    var cellSums = Array(repeating: 0, count: cells)
    for entry in study.observed.indices {
      let n = Int(study.observed[entry])
      joint += f(n)
      expertSums[entry % width] += n
      cellSums[entry / width] += n
    }
    var own = Array(repeating: UInt32(0), count: study.observed.count)
    return (0..<study.axis.sequenceCount).map { sequence in
      own.withUnsafeMutableBufferPointer {
        $0.update(repeating: 0)
        study.axis.add(sequence: sequence, to: $0)
      }
      var without = joint
      var experts = expertSums
      var left = cellSums
      var total = study.total
      for entry in own.indices where own[entry] > 0 {
        let n = Int(own[entry])
        without += f(Int(study.observed[entry]) - n) - f(Int(study.observed[entry]))
        experts[entry % width] -= n
        left[entry / width] -= n
        total -= n
      }
      guard total > 0 else { return nil }
      let marginals = experts.reduce(0) { $0 + f($1) } + left.reduce(0) { $0 + f($1) }
      return (without - marginals + f(total)) / Double(total)
    }
  }

  private func enrichment(_ study: Prepared, largest: [Double]) -> [Enrichment] {
    let width = study.axis.experts.count
    let found = study.observed.indices.map { entry in
      let expected = study.expected[entry]
      let z = (Double(study.observed[entry]) - expected) * study.inverseSpread[entry]
      let isFaint = expected < Self.faintBelow
      let reaching = largest.count - Self.countBelow(abs(z) - 1e-9, in: largest)
      return Enrichment(
        expert: ExpertIndex(study.axis.experts[entry % width]), cell: entry / width, observed: Int(study.observed[entry]),
        expected: expected, ratio: expected > 0 ? Double(study.observed[entry]) / expected : 0, z: z,
        adjustedP: isFaint || study.inverseSpread[entry] == 0 ? nil : Double(1 + reaching) / Double(1 + largest.count), isFaint: isFaint)
    }
    return Array(
      found.sorted {
        if $0.isFaint != $1.isFaint { return !$0.isFaint }
        if abs($0.z) != abs($1.z) { return abs($0.z) > abs($1.z) }
        return ($0.cell, $0.expert) < ($1.cell, $1.expert)
      }.prefix(65_536))
  }

  /// How many of the rising `values` are below `limit`.
  private static func countBelow(_ limit: Double, in values: [Double]) -> Int {
    var low = 0
    var high = values.count
    while low < high {
      let middle = (low + high) / 2
      if values[middle] < limit { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func divergence(_ study: Prepared, cellSums: [Int]) -> [(expert: ExpertIndex, nats: Double, assignments: Int)] {
    let width = study.axis.experts.count
    return study.axis.experts.enumerated().map { column, expert in
      let counts = cellSums.indices.map { Double(study.observed[$0 * width + column]) }
      let sum = counts.reduce(0, +)
      let nats = counts.indices.reduce(0.0) { total, cell in
        counts[cell] > 0 ? total + counts[cell] / sum * log(counts[cell] / sum / (Double(cellSums[cell]) / Double(study.total))) : total
      }
      return (ExpertIndex(expert), max(0, nats), Int(sum))
    }
  }
}
