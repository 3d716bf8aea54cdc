// From the draws of a specialization study to what it found out: effect and interval, p of a router alone and among all, experts that stand
// out, and the same at one length.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension SpecializationStudy {
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
    let nulls = prepared.keys.reduce(into: [RouterID: Null]()) { nulls, router in
      nulls[router] = Null(observed: prepared[router]?.information.plugIn ?? 0, draws: draws.information[router] ?? [])
    }
    let furthest = furthest(draws, nulls)
    return prepared.sorted { $0.key < $1.key }.compactMap { router, study in
      guard let null = nulls[router] else { return nil }
      let sizes = study.axis.cellSizes
      let width = study.axis.experts.count
      let cellSums = sizes.indices.map { cell in study.observed[cell * width..<(cell + 1) * width].reduce(0) { $0 + Int($1) } }
      let cells = sizes.indices.map {
        SpecializationCell(
          name: study.axis.cellNames[$0], sequences: sizes[$0].sequences, tokens: sizes[$0].tokens, assignments: cellSums[$0])
      }
      return SpecializationResult(
        router: router, cells: cells, sequences: study.axis.memberCount, assignments: study.total,
        mutualInformation: study.information.plugIn, nullMean: null.mean, nullSD: null.sd, nullCount: null.count, p: null.p,
        adjustedP: adjusted(null, observed: study.information.plugIn, furthest: furthest), effect: study.information.effect,
        interval: study.information.interval, fewest: fewest(study.axis),
        cellEntropy: normalized(cellSums.map(Double.init)).map(shannonEntropy) ?? 0, enrichment: enrichment(study, largest: largest),
        expertDivergence: divergence(study, cellSums: cellSums), matched: study.matched.map { matched($0, draws.matched[router] ?? []) },
        lacksLengthControl: study.lacksLengthControl)
    }
  }

  private func matched(_ study: Matched, _ draws: [Double]) -> MatchedSpecialization {
    let null = Null(observed: study.information.plugIn, draws: draws)
    return MatchedSpecialization(
      positions: study.positions, leftOut: study.leftOut, mutualInformation: study.information.plugIn, nullMean: null.mean,
      nullSD: null.sd, effect: study.information.effect, interval: study.information.interval, fewest: fewest(study.axis), p: null.p)
  }

  /// Sequences of the label value that has fewest, or of the axis where cells lie inside sequences.
  private func fewest(_ axis: any CellAxis) -> Int {
    guard facet.isConstantWithinSequence else { return axis.memberCount }
    return axis.cellSizes.map(\.sequences).filter { $0 > 0 }.min() ?? 0
  }

  /// Rising, `[draws]`: how far each draw is above the null's mean, in its spreads, at the router where that is most. Routers are
  /// standardised first, so that one with a wide null does not decide alone.
  private func furthest(_ draws: NullDraws, _ nulls: [RouterID: Null]) -> [Double] {
    var furthest = Array(repeating: -Double.infinity, count: draws.largestDeviation.count)
    for (router, null) in nulls where null.sd > Self.noSpread {
      guard let own = draws.information[router], own.count == furthest.count else { continue }
      for draw in own.indices { furthest[draw] = max(furthest[draw], (own[draw] - null.mean) / null.sd) }
    }
    return furthest.sorted()
  }

  /// Share of draws that go as far at some router. Never below the router's own p.
  private func adjusted(_ null: Null, observed: Double, furthest: [Double]) -> Double {
    guard null.sd > Self.noSpread else { return null.p }
    let reaching = furthest.count - Self.countBelow((observed - null.mean) / null.sd - 1e-9, in: furthest)
    return max(null.p, Double(1 + reaching) / Double(1 + furthest.count))
  }

  /// A null whose draws differ by rounding only.
  private static let noSpread = 1e-12

  /// What each router's axis says, with its draws and what it would say without each sequence (or group): the material of statements
  /// over several routers. By stack, then layer; draw i is the same draw at each.
  func information(_ draws: NullDraws) -> [RouterInformation] {
    prepared.sorted { $0.key < $1.key }.map { router, study in
      RouterInformation(router: router, information: study.information, draws: draws.information[router] ?? [])
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
