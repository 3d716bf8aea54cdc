// Logits in, decision out: the one place in the product where experts are chosen and weighed, for every family, every re-check of a
// stored trace and every verification. Each step reads one field of `RouterSpec`; none knows which model it serves.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Applies a `RouterSpec` to router logits.
///
/// Ties go to the lower expert id. A non-finite logit is never selected before a finite one; the statistics of such a token are NaN
/// and the capture checks report it.
///
/// - Test: `RouterTableTests` compares every published family with its reference.
public struct Router: Sendable {
  public let spec: RouterSpec

  /// - Throws: `RoutingError.invalidSpec`.
  public init(_ spec: RouterSpec) throws {
    try spec.validate()
    guard spec.rule == .executable else {
      throw RoutingError.invalidSpec(expected: "a rule that can be repeated", found: spec.summary)
    }
    self.spec = spec
  }

  /// Decides for all tokens of `batch` as if every expert had room for all of them.
  ///
  /// - Parameters:
  ///   - logits: `[batch.count, expertCount]`, contiguous, raw router output.
  ///   - hashed: `[batch.count, topK]`, the different experts that the tokens' ids name; needed where `spec.isHashed`, else not looked at.
  ///   - demand: what to fill in beside ids and weights.
  ///   - ruled: the rules of a run at this router, and who the rows are; nil: the router decides by itself.
  ///   - batch: made for this router (`expertCount`; `topK`, or the rules' `slots`); its columns are overwritten.
  public func decide(
    _ logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>? = nil, ruled: RuledRows? = nil, demand: RoutingDemand,
    into batch: inout RoutingBatch
  ) {
    let ruled = ruled.map { judged($0, logits, hashed: hashed, count: batch.count) }
    decide(logits, hashed: hashed, imposed: [:], ruled: ruled, demand: demand, into: &batch) { _, _ in }
  }

  /// Decides for the next tokens of a sequence and drops what exceeds the capacity of `spec`.
  ///
  /// - Parameters:
  ///   - imposed: the `topK` different experts that some tokens take whatever their scores, by row of the batch; their weights are the
  ///     rule's for these experts.
  ///   - ledger: of the sequence; a fresh one for its first batch.
  /// - Precondition: a rule that looks ahead (`CapacityRule.looksAhead`) gets the whole sequence in one batch.
  public func decide(
    _ logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>? = nil, imposed: [Int: [Int32]] = [:], ruled: RuledRows? = nil,
    demand: RoutingDemand, ledger: inout CapacityLedger, into batch: inout RoutingBatch
  ) {
    let ruled = ruled.map { judged($0, logits, hashed: hashed, count: batch.count) }
    if let ruled, let change = ruled.rules.capacity {
      let imposed = change.order == .expertChoice ? expertsChoice(logits, hashed, ruled, change, count: batch.count) : imposed
      return decide(logits, hashed: hashed, imposed: imposed, ruled: ruled, demand: demand, into: &batch) { batch, firstProbability in
        drop(beyond: change, ruled, firstProbability, from: &batch)
      }
    }
    decide(logits, hashed: hashed, imposed: imposed, ruled: ruled, demand: demand, into: &batch) { batch, firstProbability in
      spec.capacity?.apply(to: &batch, rows: Array(0..<batch.count), firstProbability: firstProbability, ledger: &ledger)
    }
  }

  /// - Parameter drop: takes the weights of what does not fit; given the batch and `[count]` the probability of each first choice.
  private func decide(
    _ logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>?, imposed: [Int: [Int32]], ruled: RuledRows?, demand: RoutingDemand,
    into batch: inout RoutingBatch, drop: (inout RoutingBatch, [Float]) -> Void
  ) {
    let slots = ruled?.rules.slots ?? spec.topK
    precondition(batch.expertCount == spec.expertCount && batch.topK == slots, "batch of another router")
    if demand.statistics {
      batch.importanceSum = Array(repeating: 0, count: spec.expertCount)
      batch.squaredLogSumExpSum = 0
    }
    batch.sharedWeight = spec.sharedWeight == nil ? nil : Array(repeating: 1, count: batch.count)
    let isByProbability = ruled?.rules.capacity.map { $0.order == .priority } ?? (spec.capacity?.order == .probability)
    var firstProbability: [Float] = []
    eachRow(of: logits, hashed, count: batch.count, ruled) { token, row in
      if let ruled {
        decide(&row, ruled, token: token, imposed: imposed[token], demand: demand, into: &batch)
      } else {
        if let experts = imposed[token] { row.best.impose(experts, from: row.selectionScores) }
        if demand.statistics { measure(&row, token: token, into: &batch) }
      }
      let first = token * slots
      batch.selectedExperts.withUnsafeMutableBufferPointer { ids in
        for slot in 0..<row.taken { ids[first + slot] = row.best.ids[slot] }
      }
      batch.routingWeights.withUnsafeMutableBufferPointer { weights in
        weigh(row, into: UnsafeMutableBufferPointer(rebasing: weights[first..<first + row.taken]))
      }
      if demand.statistics { batch.topKMass[token] = mass(of: row) }
      if row.taken > 0 { batch.sharedWeight?[token] = 1 - row.scores[Int(row.best.ids[0])] }
      if isByProbability { firstProbability.append(row.taken > 0 ? row.scores[Int(row.best.ids[0])] : 0) }
    }
    batch.dropped = nil
    if spec.capacity?.renormalizes == true { drop(&batch, firstProbability) }
    for token in 0..<batch.count {
      let first = token * slots
      let taken = ruled == nil && spec.lists == nil ? slots : batch.taken(token)
      batch.routingWeights.withUnsafeMutableBufferPointer { weights in
        let mine = UnsafeMutableBufferPointer(rebasing: weights[first..<first + taken])
        normalize(mine)
        guard spec.routedScale != 1 || spec.expertScales != nil else { return }
        for slot in 0..<taken { mine[slot] *= spec.scale(of: batch.selectedExperts[first + slot]) }
      }
    }
    if spec.capacity?.renormalizes != true { drop(&batch, firstProbability) }
    if let ruled { reweigh(logits, hashed, ruled, in: &batch) }
    if let every = demand.logitsEvery { batch.logits = keep(logits, every: every, of: batch) }
  }

  /// Calls `body` with each row as it is when the router has picked its experts by itself, from logits that rules may have changed.
  func eachRow(
    of logits: UnsafePointer<Float>, _ hashed: UnsafePointer<Int32>?, count: Int, _ ruled: RuledRows?,
    _ body: (Int, inout RouterRow) -> Void
  ) {
    precondition(!spec.isHashed || hashed != nil, "experts by token id come with the logits")
    let experts = spec.expertCount
    let slots = max(ruled?.rules.slots ?? 0, spec.topK)
    // Rules may need the logits changed, in a place of their own.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: (ruled == nil ? 3 : 4) * experts) { scratch in
      var row = RouterRow(
        experts: experts, taking: spec.topK, scratch: scratch, best: TopList(capacity: min(slots + 1, experts)))
      for token in 0..<count {
        row.logits = UnsafeBufferPointer(start: logits + token * experts, count: experts)
        if spec.isHashed { row.hashed = hashed.map { UnsafeBufferPointer(start: $0 + token * spec.topK, count: spec.topK) } }
        if let ruled {
          (row.changes, row.taken) = (RowChanges(), spec.topK)
          heat(&row, ruled, token: token, into: UnsafeMutableBufferPointer(rebasing: scratch[(3 * experts)...]))
        }
        score(&row)
        adjust(&row)
        select(&row)
        body(token, &row)
      }
    }
  }

  /// What may come of a decision whose margin is at most `tolerance`; nil for one with a larger margin, and where nothing is compared.
  public func nearTie(_ logits: UnsafeBufferPointer<Float>, within tolerance: Float) -> NearTie? {
    guard !spec.isHashed else { return nil }
    return withDecided(logits) { row in
      guard margin(of: row) <= tolerance else { return nil }
      if let lists = spec.lists { return lists.tie(row.selectionScores, within: tolerance) }
      let all = row.selectionScores.indices
      // Which group is kept changes everything within it.
      guard row.groupGap > tolerance else { return NearTie(certain: [], possible: Set(all.map(Int32.init))) }
      let last = row.best.values[spec.topK - 1]
      return NearTie(
        certain: Set(all.filter { row.selectionScores[$0] > last + tolerance }.map(Int32.init)),
        possible: Set(all.filter { row.selectionScores[$0] >= last - tolerance }.map(Int32.init)))
    }
  }

  /// How far a token is from another decision: the smaller of the gap between the last selected and the first rejected expert and,
  /// where groups are limited, between the last kept and the first dropped group; the distance to the threshold where there are lists.
  /// Infinite when nothing else could be chosen.
  public func decisionMargin(_ logits: UnsafeBufferPointer<Float>) -> Float {
    spec.isHashed ? .infinity : withDecided(logits) { margin(of: $0) }
  }

  private func margin(of row: RouterRow) -> Float {
    if let lists = spec.lists { return lists.margin(row.selectionScores) }
    let gap = row.best.gap(after: spec.topK)
    return min(gap.isNaN ? .infinity : gap, row.groupGap)
  }

  /// Calls `body` with one token as it is when its experts have been picked.
  private func withDecided<Result>(_ logits: UnsafeBufferPointer<Float>, _ body: (RouterRow) -> Result) -> Result {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * spec.expertCount) { scratch in
      var row = RouterRow(
        experts: spec.expertCount, taking: spec.topK, scratch: scratch,
        best: TopList(capacity: min(spec.topK + 1, spec.expertCount)))
      row.logits = logits
      score(&row)
      adjust(&row)
      select(&row)
      return body(row)
    }
  }
}

/// A decision that rounding decides.
public struct NearTie: Sendable {
  /// Experts that are taken however it falls.
  public let certain: Set<Int32>
  /// Experts that may be taken.
  public let possible: Set<Int32>

  /// Whether it can fall so.
  public func allows(_ chosen: some Sequence<Int32>) -> Bool {
    let chosen = Set(chosen)
    return certain.isSubset(of: chosen) && chosen.isSubset(of: possible)
  }
}

// MARK: - The six steps

extension Router {
  /// Step 1. Scores from logits.
  func score(_ row: inout RouterRow) {
    switch spec.scoring {
    case .softmax: softmax(row.logits, into: row.scores)
    case .sigmoid: for e in row.logits.indices { row.scores[e] = RouterSpec.Share.sigmoid(row.logits[e]) }
    case .sqrtSoftplus: for e in row.logits.indices { row.scores[e] = RouterSpec.Share.sqrtSoftplus(row.logits[e]) }
    case .logits, .sparsemixer, .stated: for e in row.logits.indices { row.scores[e] = row.logits[e] }
    }
  }

  /// Step 2. What top-k compares: scores plus bias, with the experts of dropped groups masked.
  func adjust(_ row: inout RouterRow) {
    defer { row.mask() }
    if row.changes.usesBias, let bias = spec.correctionBias {
      bias.withUnsafeBufferPointer { for e in $0.indices { row.selectionScores[e] = row.scores[e] + $0[e] } }
    } else {
      for e in row.scores.indices { row.selectionScores[e] = row.scores[e] }
    }
    row.mask()
    row.groupGap = .infinity
    spec.lists?.lower(row.selectionScores)
    guard let limit = spec.groupLimit, limit.topKGroups < limit.groupCount else { return }
    let size = spec.expertCount / limit.groupCount
    withUnsafeTemporaryAllocation(of: Float.self, capacity: limit.groupCount) { groupScores in
      for group in 0..<limit.groupCount {
        var first = -Float.infinity
        var second = -Float.infinity
        for e in group * size..<(group + 1) * size {
          let value = row.selectionScores[e]
          if value > first {
            second = first
            first = value
          } else if value > second {
            second = value
          }
        }
        groupScores[group] = limit.groupScore == .maximum ? first : first + second
      }
      var kept = TopList(capacity: limit.topKGroups + 1)
      kept.fill(from: groupScores)
      row.groupGap = kept.gap(after: limit.topKGroups)
      let fill = limit.filledScore
      for group in 0..<limit.groupCount where !kept.ids[0..<limit.topKGroups].contains(Int32(group)) {
        for e in group * size..<(group + 1) * size { row.selectionScores[e] = fill }
      }
    }
  }

  /// Step 3. The picked experts and the first rejected one.
  func select(_ row: inout RouterRow) {
    switch spec.selection {
    case .tokenChoice, .stated: row.best.fill(from: row.selectionScores)
    case .aboveThreshold: row.taken = row.best.fill(reaching: 0, from: row.selectionScores)
    case .hash: row.best.hold(row.hashed.map(Array.init) ?? [], from: row.selectionScores)
    }
  }

  /// Step 4. Weights before normalisation; `weights` is `[topK]`.
  private func weigh(_ row: RouterRow, into weights: UnsafeMutableBufferPointer<Float>) {
    switch spec.weighting {
    case .scores:
      if case .sparsemixer(let epsilon) = spec.scoring {
        for slot in weights.indices { weights[slot] = sparsemixerWeight(row, rank: slot, epsilon: epsilon) }
      } else {
        for slot in weights.indices { weights[slot] = row.scores[Int(row.best.ids[slot])] }
      }
    case .softmaxOfSelectedLogits:
      if let lists = spec.lists { return lists.weigh(row.logits, row.best.ids[..<row.taken], into: weights) }
      for slot in weights.indices { weights[slot] = row.logits[Int(row.best.ids[slot])] }
      softmax(UnsafeBufferPointer(weights), into: weights)
    case .sigmoidOfSelectedLogits:
      for slot in weights.indices { weights[slot] = 1 / (1 + exp(-row.logits[Int(row.best.ids[slot])])) }
    case .bestTimesSoftmaxOfSelectedScores:
      for slot in weights.indices { weights[slot] = row.scores[Int(row.best.ids[slot])] }
      guard let best = weights.first else { return }
      softmax(UnsafeBufferPointer(weights), into: weights)
      for slot in weights.indices { weights[slot] *= best }
    case .ones:
      for slot in weights.indices { weights[slot] = 1 }
    }
  }

  /// The multiplier of the expert at `rank`: a softmax over those experts that are still there and not far below it.
  private func sparsemixerWeight(_ row: RouterRow, rank: Int, epsilon: Float) -> Float {
    let chosen = Int(row.best.ids[rank])
    let best = row.logits[chosen]
    var sum: Float = 0
    for e in row.logits.indices where !row.best.ids[0..<rank].contains(Int32(e)) {
      if e != chosen && row.changes.masked.contains(Int32(e)) { continue }
      let distance = (best - row.logits[e]) / max(abs(row.logits[e]), best)
      if !(distance > 2 * epsilon) { sum += exp(row.logits[e] - best) }
    }
    return 1 / sum
  }

  /// Step 5.
  private func normalize(_ weights: UnsafeMutableBufferPointer<Float>) {
    let divisor: Float
    switch spec.normalization {
    case .none: return
    case .sum(let epsilon): divisor = weights.reduce(0, +) + epsilon
    case .sumClamped(let minimum): divisor = max(weights.reduce(0, +), minimum)
    case .pNorm(let p): divisor = p == 1 ? weights.reduce(0) { $0 + abs($1) } : pow(weights.reduce(0) { $0 + pow(abs($1), p) }, 1 / p)
    }
    for slot in weights.indices { weights[slot] /= divisor }
  }
}

/// Softmax of `input` into `output`, which may be the same memory. A row whose maximum is not finite stays NaN.
func softmax(_ input: UnsafeBufferPointer<Float>, into output: UnsafeMutableBufferPointer<Float>) {
  let peak = input.max() ?? 0
  var sum: Float = 0
  for index in input.indices {
    output[index] = exp(input[index] - peak)
    sum += output[index]
  }
  for index in input.indices { output[index] /= sum }
}
