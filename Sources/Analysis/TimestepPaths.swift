// Which experts does a model whose routers read the timestep alone switch on, and when? Known for every timestep from the weights, so
// nothing here is an estimate: there is no sample and no null.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The experts of every timestep: a table `[timesteps, routers, topK]` and what it says.
///
/// - Source: Park et al. 2024, Switch Diffusion Transformer, arXiv:2403.09176: task-expert affinity and its logged statistics.
/// - Test: a hand-made table of four timesteps; the prior of twelve blocks.
public struct TimestepPaths: Sendable {
  /// One per router, rows timesteps.
  public let routers: [RouterID]
  public let timestepCount: Int
  public let expertCount: Int
  public let topK: Int
  /// `[timesteps, routers]`: the chosen experts.
  private let chosen: [[Set<Int32>]]

  /// - Parameter batches: one per router over the same timesteps, row t for timestep t; not empty.
  public init(_ batches: [RoutingBatch]) {
    routers = batches.map(\.router)
    timestepCount = batches.first?.count ?? 0
    expertCount = batches.first?.expertCount ?? 0
    topK = batches.first?.topK ?? 0
    chosen = (0..<timestepCount).map { row in
      batches.map { Set($0.selectedExperts[row * $0.topK..<(row + 1) * $0.topK].filter { $0 >= 0 }) }
    }
  }

  public func experts(timestep: Int, router: Int) -> [Int] { chosen[timestep][router].map(Int.init).sorted() }

  /// Experts of a router that every timestep takes.
  public func alwaysOn(router: Int) -> [Int] {
    guard var common = chosen.first?[router] else { return [] }
    for row in chosen { common.formIntersection(row[router]) }
    return common.map(Int.init).sorted()
  }

  /// Experts of a router that no timestep takes.
  public func neverOn(router: Int) -> [Int] {
    let used = chosen.reduce(into: Set<Int32>()) { $0.formUnion($1[router]) }
    return (0..<expertCount).filter { !used.contains(Int32($0)) }
  }

  /// Timesteps whose set of experts differs from that of the timestep before.
  public func switches(router: Int) -> [Int] { chosen.indices.dropFirst().filter { chosen[$0][router] != chosen[$0 - 1][router] } }

  /// Different paths through all routers, and how long the longest stretch of timesteps with one path is.
  public var paths: (distinct: Int, longest: Int) {
    var longest = 0
    var length = 0
    for t in chosen.indices {
      length = t > 0 && chosen[t] == chosen[t - 1] ? length + 1 : 1
      longest = max(longest, length)
    }
    return (Set(chosen).count, longest)
  }

  /// Share of their experts that two timesteps have in common, over all routers: 0 to 1.
  public func overlap(_ a: Int, _ b: Int) -> Double {
    let shared = zip(chosen[a], chosen[b]).reduce(0) { $0 + $1.0.intersection($1.1).count }
    return Double(shared) / Double(max(1, routers.count * topK))
  }

  /// Mean overlap of timesteps this far apart, over all pairs.
  public func meanOverlap(distance: Int) -> Double? {
    guard distance > 0, distance < timestepCount else { return nil }
    return (distance..<timestepCount).reduce(0) { $0 + overlap($1, $1 - distance) } / Double(timestepCount - distance)
  }

  /// What two uniformly random choices would have in common: k / E.
  public var chanceOverlap: Double { expertCount > 0 ? Double(topK) / Double(expertCount) : 0 }

  /// How near the map comes to a prior: share of unit and timestep pairs on which the two agree, units matched so that it is largest, as
  /// the published loss matches them. Nil when prior and map differ in size.
  public func agreement(with prior: DiffusionPrior) -> Double? {
    let units = routers.count * expertCount
    guard prior.timestepCount == timestepCount, prior.unitCount == units, units > 0 else { return nil }
    var costs = Array(repeating: Array(repeating: 0, count: units), count: units)
    for t in 0..<timestepCount {
      for unit in 0..<units {
        let isOn = chosen[t][unit / expertCount].contains(Int32(unit % expertCount))
        for place in 0..<units where prior.isOn(unit: place, timestep: t) != isOn { costs[unit][place] += 1 }
      }
    }
    return 1 - Double(Assignment.leastCost(costs)) / Double(units * timestepCount)
  }
}

/// The windows of units that Switch-DiT's training asks for: neighbouring timesteps share most of their units, and some units belong to
/// all timesteps.
///
/// Unit u is on at timestep t when it lies in a window of `unitCount * topK / expertCount` units that begins at
/// `round((t / (T - 1))^exponent * (unitCount - window))`, ties to even.
///
/// - Source: Park et al. 2024, arXiv:2403.09176 and its released code; the windows are those of Denoising Task Routing (arXiv:2310.07138).
/// - Test: 12 blocks of 3 experts, 2 chosen: 12 units always on, 13 windows, 452 timesteps in the first.
public struct DiffusionPrior: Sendable {
  public let timestepCount: Int
  public let unitCount: Int
  public let window: Int
  private let starts: [Int]

  public init(layers: Int, expertCount: Int, topK: Int, timestepCount: Int = 1000, exponent: Double = 4) {
    self.timestepCount = timestepCount
    unitCount = layers * expertCount
    window = Int(Double(unitCount) * (Double(topK) / Double(expertCount)))
    let last = Double(unitCount - window)
    starts = (0..<timestepCount).map { t in
      let share = timestepCount > 1 ? Double(t) / Double(timestepCount - 1) : 0
      return Int((pow(share, exponent) * last).rounded(.toNearestOrEven))
    }
  }

  public func isOn(unit: Int, timestep: Int) -> Bool { unit >= starts[timestep] && unit < starts[timestep] + window }

  public var alwaysOn: Int {
    (0..<unitCount).filter { unit in (0..<timestepCount).allSatisfy { isOn(unit: unit, timestep: $0) } }.count
  }
  public var windowCount: Int { Set(starts).count }
  public var timestepsInFirstWindow: Int { starts.filter { $0 == starts.first }.count }
}
