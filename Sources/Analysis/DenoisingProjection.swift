// The three published projections of a denoising run (choices by step, by patch and by class), and what can be read off the one by step
// without a null: how evenly experts are used, how use drifts from step to step, how much two steps have in common.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Choices of one router along one axis: a published heat map.
public struct DenoisingProjection: Sendable, Equatable {
  public var router: RouterID
  public var facet: Facet
  public var cellNames: [String]
  public var expertCount: Int
  /// `[cells, experts]`: choices, or sums of routing weights.
  public var values: [Double]

  /// The values scaled to 0...1 over all cells and experts of this router, as the published maps by patch and step show them; 0 where
  /// all values are equal.
  public var minMax: [Double] {
    let low = values.min() ?? 0
    let high = values.max() ?? 0
    return values.map { high > low ? ($0 - low) / (high - low) : 0 }
  }
}

extension DenoisingCounts: PassFold {
  public func result() -> DenoisingCounts { self }

  /// The counts of the routers that a plan looks at.
  func selecting(_ plan: AnalysisPlan) throws -> DenoisingCounts {
    guard plan.layers != nil || plan.filter != nil else { return self }
    return try DenoisingCounts(layout: layout, branch: branch, tables: routers.filter { plan.shows($0.key) })
  }

  /// One router along one axis.
  ///
  /// - Parameters:
  ///   - facet: one of `Facet.denoising`, or a label of the samples.
  ///   - weighted: sums of routing weights in place of counts.
  ///   - sequences: labels of the samples, by number; only read for a label.
  ///   - unfinished: count samples in progress too, for a screen that watches; without weights and not for labels.
  /// - Returns: nil for a router that the run does not have, and for an axis of text.
  public func projection(
    _ facet: Facet, of router: RouterID, weighted: Bool = false, sequences: [SequenceDescription] = [], unfinished: Bool = false
  ) -> DenoisingProjection? {
    guard let tables = routers[router], facet != .position else { return nil }
    let width = tables.expertCount
    var names = facet.cellNames(layout)
    var values: [Double]
    if case .label(let key) = facet {
      let classes = SampleClasses(key, samples: samples, sequences: sequences)
      names = classes.names
      values = Array(repeating: 0, count: names.count * width)
      for (sample, cell) in classes.cells.sorted(by: { $0.key < $1.key }) {
        guard let own = tables.samples[sample] else { continue }
        for expert in 0..<width {
          values[Int(cell) * width + expert] += weighted ? Double(own.weights[expert]) : Double(own.counts[expert])
        }
      }
    } else {
      let source: [Double] =
        switch (facet == .step, weighted) {
        case (true, true): tables.stepWeights
        case (true, false): stepCounts(of: router, unfinished: unfinished).map(Double.init)
        case (false, true): tables.patchWeights
        case (false, false): patchCounts(of: router, unfinished: unfinished).map(Double.init)
        }
      values = Array(repeating: 0, count: names.count * width)
      for entry in source.indices { values[facet.cell(ofPlace: entry / width, layout) * width + entry % width] += source[entry] }
    }
    return DenoisingProjection(router: router, facet: facet, cellNames: names, expertCount: width, values: values)
  }

  /// How experts are used at each step; nil for a router that the run does not have.
  public func useByStep(of router: RouterID, unfinished: Bool = false) -> UseByStep? {
    routers[router].map { UseByStep(counts: stepCounts(of: router, unfinished: unfinished), experts: $0.expertCount) }
  }

  /// Path overlap of all pairs of steps, averaged over routers: `[steps, steps]`, row-major.
  ///
  /// Where a router decides by the timestep alone it is the published overlap: shared (layer, expert) units over those of one path.
  public func pathOverlap() -> [Double] {
    var sum = Array(repeating: 0.0, count: layout.stepCount * layout.stepCount)
    let uses = routerIDs.compactMap { useByStep(of: $0) }
    for use in uses {
      for a in 0..<use.steps { for b in 0..<use.steps { sum[a * use.steps + b] += (use.overlap(a, b) ?? 0) / Double(uses.count) } }
    }
    return sum
  }
}

/// Distribution of a router's choices over experts at each step.
public struct UseByStep: Sendable, Equatable {
  public let steps: Int
  public let experts: Int
  /// `[steps, experts]`
  private let counts: [Int]

  /// - Parameter counts: `[steps, experts]`
  init(counts: [Int], experts: Int) {
    self.counts = counts
    self.experts = experts
    steps = experts > 0 ? counts.count / experts : 0
  }

  /// Choices at a step.
  public func total(_ step: Int) -> Int { counts[step * experts..<(step + 1) * experts].reduce(0, +) }

  /// Entropy of use divided by ln E; 0: one expert does all, 1: all do the same. Nil without choices or with one expert.
  ///
  /// - Test: uniform 1, one expert 0.
  public func normalizedEntropy(_ step: Int) -> Double? {
    let f = XLogX.shared
    let n = total(step)
    guard n > 0, experts > 1 else { return nil }
    let joint = counts[step * experts..<(step + 1) * experts].reduce(0.0) { $0 + f($1) }
    return max(0, (log(Double(n)) - joint / Double(n)) / log(Double(experts)))
  }

  /// Shares of the experts at a step; nil without choices.
  private func shares(_ step: Int) -> [Double]? {
    let n = total(step)
    return n > 0 ? counts[step * experts..<(step + 1) * experts].map { Double($0) / Double(n) } : nil
  }

  /// Jensen-Shannon divergence of use at two steps, nats: 0 the same, ln 2 disjoint.
  public func drift(_ a: Int, _ b: Int) -> Double? {
    guard let p = shares(a), let q = shares(b) else { return nil }
    return jensenShannon(p, q)
  }

  /// Sum over experts of the smaller share at the two steps: 1 the same use, 0 disjoint. It is 1 minus the total variation.
  public func overlap(_ a: Int, _ b: Int) -> Double? {
    guard let p = shares(a), let q = shares(b) else { return nil }
    return zip(p, q).reduce(0) { $0 + min($1.0, $1.1) }
  }

  /// Mean of a number of single steps over some of them; nil where one is not defined.
  private func mean(_ range: Range<Int>, _ value: (Int) -> Double?) -> Double? {
    let values = range.compactMap(value)
    return values.count == range.count && !values.isEmpty ? values.reduce(0, +) / Double(values.count) : nil
  }

  public var meanEntropy: Double? { mean(0..<steps, normalizedEntropy) }
  /// Over neighbouring steps.
  public var meanDrift: Double? { steps > 1 ? mean(1..<steps) { drift($0 - 1, $0) } : nil }
  public var meanOverlap: Double? { steps > 1 ? mean(1..<steps) { overlap($0 - 1, $0) } : nil }

  /// The first fifth of the steps, at least one: under 50 of 250.
  static func early(_ steps: Int) -> Range<Int> { 0..<max(1, steps / 5) }
  /// The last three fifths: over 100 of 250.
  static func late(_ steps: Int) -> Range<Int> { steps - max(1, steps * 3 / 5)..<steps }
  /// Fewer steps have no early and late.
  static let fewestSteps = 5

  public var earlyEntropy: Double? { mean(Self.early(steps), normalizedEntropy) }
  public var lateEntropy: Double? { mean(Self.late(steps), normalizedEntropy) }
  /// Late minus early normalised entropy of use; above 0: early steps are concentrated.
  var contrast: Double? {
    guard steps >= Self.fewestSteps, let earlyEntropy, let lateEntropy else { return nil }
    return lateEntropy - earlyEntropy
  }
}

/// Jensen-Shannon divergence, nats. - Test: equal 0, disjoint ln 2.
func jensenShannon(_ p: [Double], _ q: [Double]) -> Double {
  var sum = 0.0
  for (a, b) in zip(p, q) {
    let middle = (a + b) / 2
    if a > 0 { sum += a / 2 * log(a / middle) }
    if b > 0 { sum += b / 2 * log(b / middle) }
  }
  return max(0, sum)
}

/// Early against late steps: one router, or the mean over routers.
struct StepContrast: Sendable, Equatable {
  /// Nil for the mean over routers.
  var router: RouterID?
  var early: Double
  var late: Double
  var contrast: Double
  /// Delete-a-group jackknife.
  var interval: Interval?
  /// Under circular shifts of the steps.
  var nullMean: Double
  var nullSD: Double
  var p: Double
}

extension DenoisingCounts {
  /// The contrast at each router and over all of them; empty with fewer than five steps or without a sample.
  func stepContrasts(_ settings: NullSettings) -> [StepContrast] {
    var found: [StepContrast] = []
    var draws = Array(repeating: 0.0, count: settings.draws)
    var leftOut: [Double]?
    for router in routerIDs {
      guard let tables = routers[router], let use = useByStep(of: router), let contrast = use.contrast, let early = use.earlyEntropy,
        let late = use.lateEntropy
      else { return [] }
      let all = stepCounts(of: router)
      let own = tables.steps.filter { !$0.isEmpty }.map { group -> Double? in
        UseByStep(counts: zip(all, group).map { $0 - Int($1) }, experts: tables.expertCount).contrast
      }
      let mine = shiftedContrasts(tables, settings)
      let null = SpecializationStudy.Null(observed: contrast, draws: mine)
      found.append(
        StepContrast(
          router: router, early: early, late: late, contrast: contrast, interval: Jackknife.interval(estimate: contrast, leftOut: own),
          nullMean: null.mean, nullSD: null.sd, p: null.p))
      for draw in draws.indices { draws[draw] += mine[draw] }
      let sums = leftOut ?? Array(repeating: 0, count: own.count)
      leftOut = zip(sums, own).map { $0 + ($1 ?? .nan) }
    }
    guard !found.isEmpty else { return [] }
    let n = Double(found.count)
    func mean(_ value: (StepContrast) -> Double) -> Double { found.reduce(0) { $0 + value($1) } / n }
    let contrast = mean(\.contrast)
    let null = SpecializationStudy.Null(observed: contrast, draws: draws.map { $0 / n })
    let interval = Jackknife.interval(estimate: contrast, leftOut: (leftOut ?? []).map { $0 / n })
    found.append(
      StepContrast(
        router: nil, early: mean(\.early), late: mean(\.late), contrast: contrast, interval: interval, nullMean: null.mean,
        nullSD: null.sd, p: null.p))
    return found
  }

  /// `[draws]`: the contrast under the null of the step axis.
  private func shiftedContrasts(_ tables: DenoisingTables, _ settings: NullSettings) -> [Double] {
    let axis = ShiftedAxis(.step, tables, layout: layout)
    let f = XLogX.shared
    let steps = layout.stepCount
    let width = axis.experts.count
    let scale = log(Double(tables.expertCount))
    let parts = [UseByStep.early(steps), UseByStep.late(steps)]
    var contrasts: [Double] = []
    contrasts.reserveCapacity(settings.draws)
    axis.forEachDraw(0..<settings.draws, seed: settings.seed) { _, table in
      let means = parts.map { part -> Double in
        part.reduce(0.0) { sum, step in
          var total = 0
          var joint = 0.0
          for column in 0..<width {
            let n = Int(table[step * width + column])
            total += n
            joint += f(n)
          }
          return total > 0 ? sum + (log(Double(total)) - joint / Double(total)) / scale : sum
        } / Double(part.count)
      }
      contrasts.append(means[1] - means[0])
    }
    return contrasts
  }
}
