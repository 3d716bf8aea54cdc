// How often each expert was chosen, by step, by patch and by sample: what all statistics of a denoising run are made of, in memory that
// does not grow with its decisions. The live screen, the analysis of a trace and the recording of counts alone fold passes with this one
// value; Store keeps it, Analysis asks it questions.

/// Exact counts of one branch of a denoising run.
///
/// The counting rule is the published one: each selected id counts 1, whatever its weight; shared experts are no choice and do not
/// occur; dropped assignments count, since the question is what the router prefers. The sums of routing weights stand beside the counts.
///
/// Only whole samples count: a sample's rows may arrive over many passes and among those of others, and are kept apart until its last
/// one. Samples are dealt into groups by number (`sample % groupCount`), and tables by step and patch are kept for each group: shifts of
/// a null and the delete-a-group jackknife need nothing finer. With up to `groupCount` samples a group is a sample.
///
/// - Memory: 4 bytes a group, router, expert and (step or patch): 1.4 MB for 6 routers of 8 experts, 50 steps and 64 patches; 8 bytes a
///   sample, router and expert; and one table for each sample in progress.
public struct DenoisingCounts: Sendable, Equatable {
  /// Groups that samples are dealt into.
  public static let groupCount = 64

  public let layout: DenoisingLayout
  /// The branch that is counted: 0 conditional, 1 unconditional.
  public let branch: Int
  /// Whole samples.
  public private(set) var routers: [RouterID: DenoisingTables]
  /// Numbers of the whole samples.
  public private(set) var samples: Set<Int> = []
  /// Rows that cannot be placed: no denoising row, a position beyond the layout, or one of a sample that was whole before.
  public private(set) var strayRows = 0
  private var unfinished: [Int: UnfinishedSample] = [:]

  /// - Throws: `RoutingError.invalidLayout` when the layout has no rows, too many, or no such branch.
  public init(layout: DenoisingLayout, routers: [RouterDescription], branch: Int = 0) throws {
    try layout.validate()
    guard (0..<layout.branchCount).contains(branch) else {
      throw RoutingError.invalidLayout(expected: "a branch below \(layout.branchCount)", found: "\(branch)")
    }
    self.layout = layout
    self.branch = branch
    self.routers = [:]
    for router in routers {
      try layout.validate(expertCount: router.spec.expertCount)
      self.routers[router.id] = DenoisingTables(layout: layout, expertCount: router.spec.expertCount)
    }
  }

  /// Counts as they were kept somewhere.
  /// - Throws: `RoutingError.invalidLayout` when a table does not have the size that the layout says.
  public init(layout: DenoisingLayout, branch: Int, tables: [RouterID: DenoisingTables]) throws {
    try layout.validate()
    self.layout = layout
    self.branch = branch
    routers = tables
    for (router, table) in tables {
      try table.validate(layout: layout, router: router)
      samples.formUnion(table.samples.keys)
    }
  }

  /// The same run and branch, nothing counted.
  public func emptied() -> DenoisingCounts {
    var empty = self
    empty.routers = routers.mapValues { DenoisingTables(layout: layout, expertCount: $0.expertCount) }
    (empty.samples, empty.strayRows, empty.unfinished) = ([], 0, [:])
    return empty
  }

  /// Samples of which some rows have come.
  public var unfinishedCount: Int { unfinished.count }
  /// In order of stack, then layer.
  public var routerIDs: [RouterID] { routers.keys.sorted() }
  /// Rows of one sample that this branch has.
  private var rowsPerSample: Int { layout.stepCount * layout.patchCount }

  // MARK: - Folding

  public mutating func add(_ pass: RoutingPass) {
    let tokens = pass.tokens
    for batch in pass.batches {
      let offset = batch.firstToken - tokens.firstToken
      guard let tables = routers[batch.router], tables.expertCount == batch.expertCount, offset >= 0, offset + batch.count <= tokens.count
      else {
        strayRows += batch.count
        continue
      }
      var start = 0
      while start < batch.count {
        let sample = tokens.sequence[offset + start]
        var end = start + 1
        while end < batch.count && tokens.sequence[offset + end] == sample { end += 1 }
        add(batch, rows: start..<end, offset: offset, of: Int(sample), tokens)
        start = end
      }
    }
  }

  private mutating func add(_ batch: RoutingBatch, rows: Range<Int>, offset: Int, of sample: Int, _ tokens: TokenTable) {
    let isWhole = samples.contains(sample)
    var tables = unfinished[sample]?.tables.removeValue(forKey: batch.router) ?? SampleTables(layout: layout, batch.expertCount)
    var counted = 0
    for row in rows {
      let position = Int(tokens.position[offset + row])
      guard tokens.phase[offset + row] == .denoise, position >= 0, position < layout.rowsPerSample else {
        strayRows += 1
        continue
      }
      let (run, patch) = position.quotientAndRemainder(dividingBy: layout.patchCount)
      let (step, rowBranch) = run.quotientAndRemainder(dividingBy: layout.branchCount)
      if rowBranch != branch { continue }
      if isWhole {
        strayRows += 1
        continue
      }
      tables.add(batch, row: row, step: step, patch: patch)
      counted += 1
    }
    if counted == 0 && unfinished[sample] == nil { return }
    unfinished[sample, default: UnfinishedSample()].tables[batch.router] = tables
    unfinished[sample]?.decisions += counted
    finishIfWhole(sample)
  }

  private mutating func finishIfWhole(_ sample: Int) {
    guard let found = unfinished[sample], found.decisions >= rowsPerSample * routers.count else { return }
    for (router, tables) in found.tables { routers[router]?.add(tables, sample: sample) }
    unfinished[sample] = nil
    samples.insert(sample)
  }

  /// - Precondition: the same layout and branch, and no sample whole in both.
  public mutating func merge(_ other: DenoisingCounts) {
    precondition(layout == other.layout && branch == other.branch, "counts of another run")
    precondition(samples.isDisjoint(with: other.samples), "parts share a sample")
    for (router, tables) in other.routers { routers[router]?.merge(tables) }
    samples.formUnion(other.samples)
    strayRows += other.strayRows
    for (sample, part) in other.unfinished {
      unfinished[sample, default: UnfinishedSample()].merge(part)
      finishIfWhole(sample)
    }
  }

  // MARK: - Tables of a router

  /// `[steps, experts]`; with `unfinished`, also what is known of samples in progress.
  public func stepCounts(of router: RouterID, unfinished: Bool = false) -> [Int] { total(router, unfinished, \.steps, \.steps) }

  /// `[patches, experts]`
  public func patchCounts(of router: RouterID, unfinished: Bool = false) -> [Int] { total(router, unfinished, \.patches, \.patches) }

  private func total(
    _ router: RouterID, _ withUnfinished: Bool, _ groups: KeyPath<DenoisingTables, [[UInt32]]>, _ own: KeyPath<SampleTables, [UInt32]>
  ) -> [Int] {
    guard let tables = routers[router] else { return [] }
    var sum = Array(repeating: 0, count: (groups == \.steps ? layout.stepCount : layout.patchCount) * tables.expertCount)
    var parts = tables[keyPath: groups].filter { !$0.isEmpty }
    if withUnfinished { parts += unfinished.values.compactMap { $0.tables[router]?[keyPath: own] } }
    for part in parts { for entry in part.indices { sum[entry] += Int(part[entry]) } }
    return sum
  }
}

/// Counts of one router over whole samples.
public struct DenoisingTables: Sendable, Equatable {
  /// What one sample chose.
  public struct Sample: Sendable, Equatable {
    /// `[experts]`
    public var counts: [UInt32]
    /// `[experts]`: sum of routing weights.
    public var weights: [Float]

    public init(counts: [UInt32], weights: [Float]) {
      self.counts = counts
      self.weights = weights
    }
  }

  public let expertCount: Int
  /// `[groups]` of `[steps, experts]`; empty while a group has no sample.
  public var steps: [[UInt32]]
  /// `[groups]` of `[patches, experts]`
  public var patches: [[UInt32]]
  /// `[steps, experts]`: sums of routing weights over all groups.
  public var stepWeights: [Double]
  /// `[patches, experts]`
  public var patchWeights: [Double]
  public var samples: [Int: Sample]

  public init(layout: DenoisingLayout, expertCount: Int) {
    self.expertCount = expertCount
    steps = Array(repeating: [], count: DenoisingCounts.groupCount)
    patches = steps
    stepWeights = Array(repeating: 0, count: layout.stepCount * expertCount)
    patchWeights = Array(repeating: 0, count: layout.patchCount * expertCount)
    samples = [:]
  }

  fileprivate mutating func add(_ tables: SampleTables, sample: Int) {
    let group = sample % DenoisingCounts.groupCount
    steps[group].add(tables.steps)
    patches[group].add(tables.patches)
    for entry in stepWeights.indices { stepWeights[entry] += tables.stepWeights[entry] }
    for entry in patchWeights.indices { patchWeights[entry] += tables.patchWeights[entry] }
    var own = Sample(counts: Array(repeating: 0, count: expertCount), weights: Array(repeating: 0, count: expertCount))
    for entry in tables.steps.indices {
      own.counts[entry % expertCount] += tables.steps[entry]
      own.weights[entry % expertCount] += Float(tables.stepWeights[entry])
    }
    samples[sample] = own
  }

  fileprivate mutating func merge(_ other: DenoisingTables) {
    for group in steps.indices {
      steps[group].add(other.steps[group])
      patches[group].add(other.patches[group])
    }
    for entry in stepWeights.indices { stepWeights[entry] += other.stepWeights[entry] }
    for entry in patchWeights.indices { patchWeights[entry] += other.patchWeights[entry] }
    samples.merge(other.samples) { first, _ in first }
  }

  fileprivate func validate(layout: DenoisingLayout, router: RouterID) throws {
    func require(_ column: String, _ found: Int, _ expected: Int) throws {
      if found != expected { throw RoutingError.malformedBatch(router: router, column: column, expected: expected, found: found) }
    }
    for (name, groups, cells) in [("steps", steps, layout.stepCount), ("patches", patches, layout.patchCount)] {
      try require("groups of \(name)", groups.count, DenoisingCounts.groupCount)
      for group in groups where !group.isEmpty { try require(name, group.count, cells * expertCount) }
    }
    try require("step weights", stepWeights.count, layout.stepCount * expertCount)
    try require("patch weights", patchWeights.count, layout.patchCount * expertCount)
    for sample in samples.values {
      try require("counts of a sample", sample.counts.count, expertCount)
      try require("weights of a sample", sample.weights.count, expertCount)
    }
  }
}

/// A sample some of whose rows are still to come.
private struct UnfinishedSample: Sendable, Equatable {
  /// Decisions so far, over all routers.
  var decisions = 0
  var tables: [RouterID: SampleTables] = [:]

  mutating func merge(_ other: UnfinishedSample) {
    decisions += other.decisions
    tables.merge(other.tables) { first, second in
      var sum = first
      sum.steps.add(second.steps)
      sum.patches.add(second.patches)
      for entry in sum.stepWeights.indices { sum.stepWeights[entry] += second.stepWeights[entry] }
      for entry in sum.patchWeights.indices { sum.patchWeights[entry] += second.patchWeights[entry] }
      return sum
    }
  }
}

/// What one router chose in one sample.
private struct SampleTables: Sendable, Equatable {
  private let experts: Int
  /// `[steps, experts]`, `[patches, experts]`
  var steps: [UInt32]
  var patches: [UInt32]
  var stepWeights: [Double]
  var patchWeights: [Double]

  init(layout: DenoisingLayout, _ experts: Int) {
    self.experts = experts
    steps = Array(repeating: 0, count: layout.stepCount * experts)
    patches = Array(repeating: 0, count: layout.patchCount * experts)
    stepWeights = Array(repeating: 0, count: steps.count)
    patchWeights = Array(repeating: 0, count: patches.count)
  }

  mutating func add(_ batch: RoutingBatch, row: Int, step: Int, patch: Int) {
    for slot in row * batch.topK..<(row + 1) * batch.topK {
      let expert = Int(batch.selectedExperts[slot])
      guard expert >= 0, expert < experts else { continue }
      steps[step * experts + expert] += 1
      patches[patch * experts + expert] += 1
      let weight = Double(batch.routingWeights[slot])
      if weight.isFinite {
        stepWeights[step * experts + expert] += weight
        patchWeights[patch * experts + expert] += weight
      }
    }
  }
}

extension [UInt32] {
  /// Adds entry by entry; an empty table is one of zeros.
  fileprivate mutating func add(_ other: [UInt32]) {
    if isEmpty {
      self = other
      return
    }
    for entry in other.indices { self[entry] &+= other[entry] }
  }
}
