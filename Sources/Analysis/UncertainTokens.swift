// Which tokens does the model hesitate about? A token is listed by the number of routers at which it is over the threshold. Because
// that number needs all routers of a token at once, this fold eats whole passes.

import Routing

/// A token that is over the threshold at one router or more.
public struct UncertainToken: Sendable, Equatable {
  /// Row in the run's token table.
  public var token: Int
  public var sequence: Int
  public var position: Int
  public var tokenID: Int32
  /// Routers at which H >= H*.
  public var routersOver: Int
  /// Largest normalised entropy over all routers, and where.
  public var maxEntropy: Float
  public var maxEntropyRouter: RouterID
  /// Selection margin at that router; NaN where not defined.
  public var selectionMargin: Float
  public var surprisal: Float
  public var nextTokenEntropy: Float

  /// More routers over the threshold first, then the higher entropy, then the earlier token: a total order, so lists are reproducible.
  static func isMoreUncertain(_ a: UncertainToken, _ b: UncertainToken) -> Bool {
    if a.routersOver != b.routersOver { return a.routersOver > b.routersOver }
    if a.maxEntropy != b.maxEntropy { return a.maxEntropy > b.maxEntropy }
    return a.token < b.token
  }
}

/// The most uncertain tokens of a run, and how many routers tokens are uncertain at.
///
/// - Precondition: a pass carries all routers of its tokens (as Model and TraceReader make them).
/// - Memory: O(capacity + routers).
/// - Complexity: O(routers) a token, O(log capacity) for one that enters the list.
public struct UncertainTokens: PassFold {
  public let threshold: ResolvedThreshold
  private let form: EntropyForm
  private let capacity: Int
  /// Heap with the least uncertain token on top.
  private var heap: [UncertainToken] = []
  /// `routersOver[n]`: tokens that are over the threshold at exactly n routers.
  public private(set) var routersOver: [Int] = []

  public init(threshold: ResolvedThreshold, form: EntropyForm = .standard, capacity: Int = 1000) {
    self.threshold = threshold
    self.form = form
    self.capacity = max(0, capacity)
  }

  public var tokens: Int { routersOver.reduce(0, +) }
  /// Tokens that are uncertain at one router or more.
  public var uncertainTokens: Int { routersOver.dropFirst().reduce(0, +) }
  /// Decisions (token times router) over the threshold.
  public var uncertainDecisions: Int { routersOver.enumerated().reduce(0) { $0 + $1.offset * $1.element } }

  public mutating func add(_ pass: RoutingPass) {
    let count = pass.tokens.count
    var over = Array(repeating: 0, count: count)
    var best = Array(repeating: -Float.infinity, count: count)
    var bestBatch = Array(repeating: -1, count: count)
    for (index, batch) in pass.batches.enumerated() {
      let rows = batch.rows(in: pass.tokens)
      let entropies = form.entropies(of: batch)
      for (offset, row) in rows.enumerated() {
        let nats = entropies[offset]
        let share = normalizedEntropy(nats, experts: batch.expertCount)
        guard share.isFinite else { continue }
        if threshold.isUncertain(nats: nats, normalized: share) { over[row] += 1 }
        if share > best[row] {
          best[row] = share
          bestBatch[row] = index
        }
      }
    }
    for row in 0..<count {
      tally(over[row])
      guard over[row] > 0, bestBatch[row] >= 0 else { continue }
      let batch = pass.batches[bestBatch[row]]
      insert(
        UncertainToken(
          token: pass.tokens.firstToken + row, sequence: Int(pass.tokens.sequence[row]), position: Int(pass.tokens.position[row]),
          tokenID: pass.tokens.tokenID[row], routersOver: over[row], maxEntropy: best[row], maxEntropyRouter: batch.router,
          selectionMargin: batch.selectionMargin[row - batch.rows(in: pass.tokens).lowerBound],
          surprisal: pass.tokens.surprisal[row], nextTokenEntropy: pass.tokens.nextTokenEntropy[row]))
    }
  }

  public mutating func merge(_ other: UncertainTokens) {
    precondition(threshold == other.threshold, "folds of two thresholds")
    for (routers, tokens) in other.routersOver.enumerated() { tally(routers, tokens: tokens) }
    for token in other.heap { insert(token) }
  }

  /// By falling uncertainty, at most `capacity`.
  public func result() -> [UncertainToken] { heap.sorted(by: UncertainToken.isMoreUncertain) }

  private mutating func tally(_ routers: Int, tokens: Int = 1) {
    if routers >= routersOver.count { routersOver += Array(repeating: 0, count: routers + 1 - routersOver.count) }
    routersOver[routers] += tokens
  }

  private mutating func insert(_ token: UncertainToken) {
    let isWorse = { (a: UncertainToken, b: UncertainToken) in UncertainToken.isMoreUncertain(b, a) }
    if heap.count < capacity {
      heap.append(token)
      var child = heap.count - 1
      while child > 0, isWorse(heap[child], heap[(child - 1) / 2]) {
        heap.swapAt(child, (child - 1) / 2)
        child = (child - 1) / 2
      }
      return
    }
    guard let least = heap.first, isWorse(least, token) else { return }
    heap[0] = token
    var parent = 0
    while true {
      var worst = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isWorse(heap[child], heap[worst]) { worst = child }
      if worst == parent { return }
      heap.swapAt(parent, worst)
      parent = worst
    }
  }
}
