// How sure was the router? Entropy, margins and mass of one token's distribution, and its share in the sums of a batch.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Router {
  /// Entropy and margins of one token, and its share in the batch's sums. `row.probs` is the router's distribution afterwards. Where
  /// experts are looked up, nothing is uncertain: entropy and margins stay undefined, and the distribution only counts as importance.
  func measure(_ row: inout RouterRow, token: Int, into batch: inout RoutingBatch) {
    guard let logSumExp = distribute(&row) else { return }
    batch.squaredLogSumExpSum += Double(logSumExp) * Double(logSumExp)
    var entropy: Float = 0
    var first: Float = 0
    var second: Float = 0
    for e in row.probs.indices {
      let p = row.probs[e]
      if p > 0 { entropy -= p * log(p) }
      if p > first {
        second = first
        first = p
      } else if p > second {
        second = p
      }
      batch.importanceSum[e] += Double(p)
    }
    guard !spec.isHashed else { return }
    batch.routerEntropy[token] = max(0, entropy)
    batch.top1Margin[token] = row.probs.count > 1 ? first - second : .nan
    batch.selectionMargin[token] = row.best.gap(after: row.taken)
  }

  /// Writes the router's distribution into `row.probs`.
  ///
  /// - Returns: the log-sum-exp of the logits; nil, and a distribution of NaN, when one of them is no number or all are infinite.
  @discardableResult
  func distribute(_ row: inout RouterRow) -> Float? {
    let logits = row.logits
    let peak = logits.max() ?? 0
    guard peak.isFinite, logits.allSatisfy({ spec.lists == nil ? !$0.isNaN : $0.isFinite }) else {
      row.probs.update(repeating: .nan)
      return nil
    }
    if let lists = spec.lists { return lists.distribute(logits, into: row.probs) }
    var sum: Float = 0
    for e in logits.indices {
      row.probs[e] = exp(logits[e] - peak)
      sum += row.probs[e]
    }
    if let share = spec.share {
      var total: Float = 0
      for e in logits.indices {
        row.probs[e] = share(logits[e])
        total += row.probs[e]
      }
      for e in logits.indices { row.probs[e] /= total }
    } else {
      for e in logits.indices { row.probs[e] /= sum }
    }
    return peak + log(sum)
  }

  /// Sums over `count` tokens of the router's distribution and of the squared log-sum-exp, from raw logits `[count, experts]`, the same as
  /// a decision of these tokens counts; which experts are taken has no part in them.
  func sums(of logits: UnsafePointer<Float>, count: Int) -> (importance: [Double], squaredLogSumExp: Double) {
    let experts = spec.expertCount
    var importance = [Double](repeating: 0, count: experts)
    var squared = 0.0
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * experts) { scratch in
      var row = RouterRow(experts: experts, taking: 0, scratch: scratch, best: TopList(capacity: 0))
      for token in 0..<count {
        row.logits = UnsafeBufferPointer(start: logits + token * experts, count: experts)
        guard let logSumExp = distribute(&row) else { continue }
        squared += Double(logSumExp) * Double(logSumExp)
        for e in row.probs.indices { importance[e] += Double(row.probs[e]) }
      }
    }
    return (importance, squared)
  }

  /// Router probability on the experts taken.
  func mass(of row: RouterRow) -> Float {
    var mass: Float = 0
    for slot in 0..<row.taken { mass += row.probs[Int(row.best.ids[slot])] }
    return mass
  }

  /// The rows of `logits` whose place in the run is a multiple of `every`.
  func keep(_ logits: UnsafePointer<Float>, every: Int, of batch: RoutingBatch) -> RouterLogits {
    let experts = spec.expertCount
    let rows = (0..<batch.count).filter { (batch.firstToken + $0) % every == 0 }
    var values: [Float] = []
    values.reserveCapacity(rows.count * experts)
    for row in rows { values.append(contentsOf: UnsafeBufferPointer(start: logits + row * experts, count: experts)) }
    return RouterLogits(rows: rows.map(Int32.init), values: values)
  }
}
