// What experts did over any stretch of a run, at a cost that does not grow with it: every row is counted once, as it comes, into a block of
// rows, and a stretch is the blocks that lie in it and the few rows at its two ends. A frame asks several times.

import Analysis
import Routing

/// What the experts of one router did over some rows: how often they were chosen, which share of the router's probability they had, and
/// how sure the router was of the decisions that chose them.
struct RouterTally: Sendable, Equatable {
  private(set) var load = RouterLoad()
  /// `[experts]`: sum of router probabilities; nil where a row came without.
  private var probabilities: [Double]? = []
  /// `[experts]`: sums over the decisions that chose the expert, and over how many; NaN values are not counted.
  private var entropies = Sums()
  private var margins = Sums()

  private struct Sums: Sendable, Equatable {
    var values: [Double] = []
    var counts: [Int] = []

    mutating func grow(to count: Int) {
      guard count > values.count else { return }
      values += Array(repeating: 0, count: count - values.count)
      counts += Array(repeating: 0, count: count - counts.count)
    }

    mutating func add(_ value: Float, at expert: Int) {
      guard value.isFinite else { return }
      values[expert] += Double(value)
      counts[expert] += 1
    }

    mutating func merge(_ other: Sums) {
      grow(to: other.values.count)
      for expert in other.values.indices {
        values[expert] += other.values[expert]
        counts[expert] += other.counts[expert]
      }
    }

    var means: [Double] { zip(values, counts).map { $1 > 0 ? $0 / Double($1) : .nan } }
  }

  mutating func add(_ batch: RoutingBatch) {
    guard batch.count > 0 else { return }
    load.add(batch)
    if batch.importanceSum.count == batch.expertCount { add(batch.importanceSum) } else { probabilities = nil }
    entropies.grow(to: batch.expertCount)
    margins.grow(to: batch.expertCount)
    for token in 0..<batch.count {
      for slot in token * batch.topK..<(token + 1) * batch.topK where batch.selectedExperts[slot] >= 0 {
        entropies.add(batch.routerEntropy[token], at: Int(batch.selectedExperts[slot]))
        margins.add(batch.selectionMargin[token], at: Int(batch.selectedExperts[slot]))
      }
    }
  }

  mutating func merge(_ other: RouterTally) {
    guard other.load.tokens > 0 else { return }
    load.merge(other.load)
    if let sums = other.probabilities { add(sums) } else { probabilities = nil }
    entropies.merge(other.entropies)
    margins.merge(other.margins)
  }

  private mutating func add(_ sums: [Double]) {
    guard let known = probabilities?.count else { return }
    if known < sums.count { probabilities? += Array(repeating: 0, count: sums.count - known) }
    for expert in sums.indices { probabilities?[expert] += sums[expert] }
  }

  /// Of assignments that were counted elsewhere.
  init(load: RouterLoad) {
    self.load = load
    probabilities = nil
  }

  init() {}

  mutating func forgetImportance() { probabilities = nil }

  var shape: LoadShape { load.shape }
  /// `[experts]`: assignments that were computed.
  var counts: [Int] { load.counts }

  /// `[experts]`: mean router probability, chosen or not; sums to 1. Nil where it is not known of every row.
  var importance: [Double]? {
    guard let probabilities, case let sum = probabilities.reduce(0, +), sum > 0 else { return nil }
    return probabilities.map { $0 / sum }
  }

  /// `[experts]`: mean over the decisions that chose the expert; NaN for one that was never chosen.
  var meanNormalizedEntropy: [Double] {
    entropies.means.map { Double(normalizedEntropy(Float($0), experts: load.experts)) }
  }
  var meanMargin: [Double] { margins.means }
}

/// Tallies of a run by block of rows, and of all of it.
///
/// A block ends where a pass ends: what a pass says of all its rows together, its sums of probabilities, need not be computed again.
struct RowFolds: Sendable {
  private struct Block {
    var first: Int
    /// `[routers]`
    var tallies: [RouterTally]
  }

  /// Rows from which on a block is full. A tally takes 56 bytes an expert, so many rows share one.
  let blockRows: Int
  /// By router, over every row that ever came.
  private(set) var total: [RouterTally]
  private let places: [RouterID: Int]
  private let specs: [RouterSpec]
  /// One behind the other; the last may still grow.
  private var blocks: [Block] = []
  private var end = 0

  init(routers: [RouterDescription]) {
    places = Dictionary(routers.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
    specs = routers.map(\.spec)
    total = Array(repeating: RouterTally(), count: routers.count)
    blockRows = max(256, (specs.map(\.expertCount).max() ?? 0) / 2)
  }

  /// Bytes that the tallies of a router take a row.
  func bytesARow(_ spec: RouterSpec) -> Int { 56 * spec.expertCount / blockRows + 1 }

  /// Takes loads that were counted elsewhere, in place of rows.
  mutating func know(_ loads: [RouterID: RouterLoad]) {
    for (router, load) in loads { if let place = places[router] { total[place] = RouterTally(load: load) } }
  }

  /// Takes the pass that follows; each batch has the rows that its router saw.
  mutating func add(_ pass: RoutingPass) {
    let (first, last) = (pass.tokens.firstToken, pass.tokens.firstToken + pass.tokens.count)
    for batch in pass.batches { if let place = places[batch.router] { total[place].add(batch) } }
    // One that is long is cut, so that the ends of a stretch are short.
    let step = pass.tokens.count > 2 * blockRows ? blockRows : max(1, pass.tokens.count)
    for start in stride(from: first, to: last, by: step) {
      let stop = min(last, start + step)
      if blocks.last.map({ end - $0.first >= blockRows }) ?? true {
        blocks.append(Block(first: start, tallies: Array(repeating: RouterTally(), count: specs.count)))
      }
      let isWhole = start == first && stop == last
      for batch in pass.batches {
        guard let place = places[batch.router] else { continue }
        let rows = (start - batch.firstToken..<stop - batch.firstToken).clamped(to: 0..<batch.count)
        let part = isWhole ? batch : batch.part(rows, spec: specs[place], withImportance: true)
        blocks[blocks.count - 1].tallies[place].add(part)
      }
      end = stop
    }
  }

  /// Forgets what lies wholly before a row.
  mutating func drop(before row: Int) {
    blocks.removeFirst(blocks.indices.prefix { endOfBlock($0) <= row }.count)
  }

  private func endOfBlock(_ number: Int) -> Int { number + 1 < blocks.count ? blocks[number + 1].first : end }

  /// By router, over some rows that are kept.
  ///
  /// - Parameter edge: the batches of some rows, each with the rows that its router saw.
  func tallies(_ range: Range<Int>, edge: (Range<Int>) -> [RoutingBatch]) -> [RouterTally] {
    var result = Array(repeating: RouterTally(), count: specs.count)
    func add(_ rows: Range<Int>) {
      guard !rows.isEmpty else { return }
      for batch in edge(rows) { if let place = places[batch.router] { result[place].add(batch) } }
    }
    var inside = blocks.indices.drop { blocks[$0].first < range.lowerBound }
    while let last = inside.last, endOfBlock(last) > range.upperBound { inside.removeLast() }
    guard let low = inside.first, let high = inside.last else {
      add(range)
      return result
    }
    add(range.lowerBound..<blocks[low].first)
    for number in inside { for place in result.indices { result[place].merge(blocks[number].tallies[place]) } }
    add(endOfBlock(high)..<range.upperBound)
    return result
  }
}
