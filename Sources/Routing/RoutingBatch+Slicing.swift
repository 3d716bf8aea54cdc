// Joining and cutting batches: pages are joined passes, windows are cut from what was kept, and every cut folds to the same metrics.

extension RoutingBatch {
  /// Appends the batch that follows this one in the run.
  ///
  /// - Precondition: same router and shape, and `other` begins where this batch ends.
  public mutating func append(_ other: RoutingBatch) {
    precondition(
      other.router == router && other.expertCount == expertCount && other.topK == topK && other.firstToken == firstToken + count,
      "the next batch of the same router")
    if dropped != nil || other.dropped != nil {
      if dropped == nil { dropped = Array(repeating: false, count: count * topK) }
      dropped? += other.dropped ?? Array(repeating: false, count: other.count * topK)
    }
    selectedExperts += other.selectedExperts
    routingWeights += other.routingWeights
    routerEntropy += other.routerEntropy
    selectionMargin += other.selectionMargin
    top1Margin += other.top1Margin
    topKMass += other.topKMass
    Self.join(&expertNorms, other.expertNorms, counts: (count * topK, other.count * topK))
    Self.join(&sharedWeight, other.sharedWeight, counts: (count, other.count))
    Self.join(&sharedNorm, other.sharedNorm, counts: (count, other.count))
    if importanceSum.count == other.importanceSum.count {
      for expert in importanceSum.indices { importanceSum[expert] += other.importanceSum[expert] }
    } else {
      importanceSum = []
    }
    squaredLogSumExpSum += other.squaredLogSumExpSum
    if let more = other.logits {
      // In place: a copy of what is kept at each token would cost more than the model.
      if logits == nil { logits = RouterLogits(rows: [], values: []) }
      logits?.rows += more.rows.lazy.map { $0 + Int32(count) }
      logits?.values += more.values
    }
    count += other.count
  }

  /// The same decisions with room for more experts a token.
  ///
  /// - Precondition: `slots` is at least `topK`.
  public func widened(to slots: Int) -> RoutingBatch {
    if slots == topK { return self }
    precondition(slots > topK, "a batch is never cut")
    func wide<Value>(_ column: [Value], _ padding: Value) -> [Value] {
      var wide = Array(repeating: padding, count: count * slots)
      for token in 0..<count { for slot in 0..<topK { wide[token * slots + slot] = column[token * topK + slot] } }
      return wide
    }
    var batch = self
    batch.topK = slots
    batch.selectedExperts = wide(selectedExperts, -1)
    batch.routingWeights = wide(routingWeights, 0)
    batch.dropped = dropped.map { wide($0, false) }
    batch.expertNorms = expertNorms.map { wide($0, .nan) }
    return batch
  }

  /// Appends a column that either part may not know.
  private static func join(_ column: inout [Float]?, _ more: [Float]?, counts: (own: Int, more: Int)) {
    if column == nil && more == nil { return }
    if column == nil { column = Array(repeating: .nan, count: counts.own) }
    column? += more ?? Array(repeating: .nan, count: counts.more)
  }

  /// The decisions of some of the tokens; `range` counts from the batch's first token. Sums over tokens are unknown in a part, so
  /// `importanceSum` is empty and `squaredLogSumExpSum` is NaN, unless the part is the whole.
  public func slice(_ range: Range<Int>) -> RoutingBatch {
    if range == 0..<count { return self }
    var part = RoutingBatch(router: router, expertCount: expertCount, topK: topK, firstToken: firstToken + range.lowerBound, count: 0)
    let slots = range.lowerBound * topK..<range.upperBound * topK
    part.count = range.count
    part.selectedExperts = Array(selectedExperts[slots])
    part.routingWeights = Array(routingWeights[slots])
    if let dropped, dropped[slots].contains(true) { part.dropped = Array(dropped[slots]) }
    part.routerEntropy = Array(routerEntropy[range])
    part.selectionMargin = Array(selectionMargin[range])
    part.top1Margin = Array(top1Margin[range])
    part.topKMass = Array(topKMass[range])
    part.expertNorms = expertNorms.map { Array($0[slots]) }
    part.sharedWeight = sharedWeight.map { Array($0[range]) }
    part.sharedNorm = sharedNorm.map { Array($0[range]) }
    if let logits {
      let first = logits.rows.partitioningIndex { $0 >= range.lowerBound }
      let end = logits.rows.partitioningIndex { $0 >= range.upperBound }
      part.logits = RouterLogits(
        rows: logits.rows[first..<end].map { $0 - Int32(range.lowerBound) },
        values: Array(logits.values[first * expertCount..<end * expertCount]))
    }
    return part
  }
}

extension RoutingBatch {
  /// Some of the rows. A part does not know its sums over tokens: they are computed again from raw logits, where every row of the part has
  /// them, and left unknown where not.
  ///
  /// - Parameters:
  ///   - spec: the router's rule; nil leaves the sums unknown.
  ///   - withImportance: whether sums of router probabilities and logits are wanted at all.
  public func part(_ rows: Range<Int>, spec: RouterSpec?, withImportance: Bool) -> RoutingBatch {
    var batch = self
    if !withImportance { batch.logits = nil }
    var part = batch.slice(rows)
    if withImportance, part.importanceSum.isEmpty, let spec, let logits = part.logits, logits.rows.count == part.count,
      let sums = Self.sums(logits.values[...], count: part.count, spec: spec)
    {
      part.importanceSum = sums.importance
      part.squaredLogSumExpSum = sums.squaredLogSumExp
    }
    if !withImportance { part.importanceSum = [] }
    return part
  }

  /// Sum over tokens of the router's distribution, from raw logits `[count, experts]`; the router itself computes it.
  public static func importance(_ logits: ArraySlice<Float>, count: Int, spec: RouterSpec) -> [Double]? {
    sums(logits, count: count, spec: spec)?.importance
  }

  /// Sums over tokens of the router's distribution and of the squared log-sum-exp; nil where the rule does not fit the logits.
  private static func sums(
    _ logits: ArraySlice<Float>, count: Int, spec: RouterSpec
  ) -> (importance: [Double], squaredLogSumExp: Double)? {
    guard count > 0, logits.count == count * spec.expertCount, let router = try? Router(spec) else { return nil }
    return logits.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { router.sums(of: $0, count: count) } }
  }
}

extension TokenTable {
  /// Some of the rows; `range` counts from the table's first row. What came out of the model is counted for the whole only.
  public func slice(_ range: Range<Int>) -> TokenTable {
    if range == 0..<count { return self }
    var part = TokenTable(firstToken: firstToken + range.lowerBound)
    part.sequence = Array(sequence[range])
    part.position = Array(position[range])
    part.tokenID = Array(tokenID[range])
    part.phase = Array(phase[range])
    part.surprisal = Array(surprisal[range])
    part.nextTokenEntropy = Array(nextTokenEntropy[range])
    part.pass = pass.map { Array($0[range]) }
    part.batch = batch.map { Array($0[range]) }
    part.predictedID = predictedID.map { Array($0[range]) }
    part.facts = facts?.slice(range)
    return part
  }
}

extension RoutingPass {
  /// Appends the pass that follows this one in the run.
  public mutating func append(_ other: RoutingPass) {
    // That each is the same router's is checked by the batches.
    precondition(batches.count == other.batches.count, "passes of the same routers")
    tokens.append(contentsOf: other.tokens)
    for index in batches.indices { batches[index].append(other.batches[index]) }
  }

  /// Some of the tokens; `range` counts from the pass's first token.
  public func slice(_ range: Range<Int>) -> RoutingPass {
    RoutingPass(tokens: tokens.slice(range), batches: batches.map { $0.slice(range) })
  }
}

extension RouterLogits {
  /// Index of the first row at `token` or behind it.
  public func index(from token: Int) -> Int { rows.partitioningIndex { $0 >= token } }
}

extension Array {
  /// The first index at which a rising condition holds.
  fileprivate func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
