// How does a router decide under rules? Its own steps stay where they are; here stand the changes between them, stage by stage: logits
// before the score function, selection behind its own choice, weights behind everything.

// MARK: - Logits and selection

extension Router {
  /// The rules with every condition asked about every row, by what the router decides without rules, or as it was settled beforehand.
  ///
  /// - Parameter hashed: as of `decide`.
  public func judged(_ ruled: RuledRows, _ logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>? = nil, count: Int) -> RuledRows {
    guard ruled.rules.hasConditions, ruled.verdicts.isEmpty else { return ruled }
    if let settled = ruled.rules.settled {
      var ruled = ruled
      ruled.judge(by: settled, count: count)
      return ruled
    }
    var plain = RoutingBatch(
      router: ruled.rules.router, expertCount: spec.expertCount, topK: spec.topK,
      firstToken: ruled.rows.tokens.firstToken + ruled.rows.first, count: count)
    decide(logits, hashed: hashed, demand: RoutingDemand(), into: &plain)
    var ruled = ruled
    ruled.judge(plain)
    return ruled
  }

  /// The logits stage: divides the logits of a row by the temperatures of its rules.
  ///
  /// - Parameter place: `[experts]`, for the changed logits.
  func heat(_ row: inout RouterRow, _ ruled: RuledRows, token: Int, into place: UnsafeMutableBufferPointer<Float>) {
    for (index, step) in ruled.rules.steps.enumerated() where ruled.holds(index, token) {
      guard case .temperature(let temperature) = step else { continue }
      for e in row.logits.indices { place[e] = row.logits[e] / temperature }
      row.logits = UnsafeBufferPointer(place)
    }
  }

  /// Brings a row from the router's own choice to that of the rules. Entropy and margins are those of the router's own choice.
  ///
  /// - Parameter imposed: what experts have chosen instead.
  func decide(
    _ row: inout RouterRow, _ ruled: RuledRows, token: Int, imposed: [Int32]?, demand: RoutingDemand, into batch: inout RoutingBatch
  ) {
    if demand.statistics { measure(&row, token: token, into: &batch) } else { distribute(&row) }
    choose(&row, ruled, token: token)
    if let imposed {
      row.best.impose(imposed, from: row.selectionScores)
      row.taken = imposed.count
    }
  }

  /// The selection stage of one row, but for capacity; `row.probs` is the router's distribution.
  private func choose(_ row: inout RouterRow, _ ruled: RuledRows, token: Int) {
    var choice = RowChoice(wanted: row.taken)
    for (index, step) in ruled.rules.steps.enumerated() where ruled.holds(index, token) {
      switch step {
      case .bias(let isOn): row.changes.usesBias = isOn
      case .mask(let experts): choice.forget(experts, &row)
      case .maskBest(let count):
        select(&row, wanted: max(count, choice.wanted))
        choice.forget(Array(row.best.ids.prefix(count)), &row)
      case .topK(let change): choice.wanted = change.applied(to: choice.wanted)
      case .force(let experts): choice.force(experts)
      case .swap: choice.pinned = swapped(row)
      case .redraw(let odds, let stream):
        let stream = SplitMix64.mix(stream ^ SplitMix64.mix(ruled.rows.place(token)))
        choice.pinned = drawn(row, odds, wanted: choice.wanted, SplitMix64(seed: ruled.rules.seed, stream: stream))
      case .replay(let routing, _):
        guard let key = ruled.rows.key(token), let experts = routing.experts(of: ruled.rules.router, key: key) else { continue }
        (choice.pinned, choice.wanted) = (experts, experts.count)
      case .temperature, .broadcast, .scale, .scaleBest, .sharedExperts: continue
      }
      settle(&row, &choice)
    }
  }

  /// Lists the experts of a row: those pinned, then the best of the others, all by falling selection score.
  private func settle(_ row: inout RouterRow, _ choice: inout RowChoice) {
    select(&row, wanted: choice.wanted)
    // Without what was taken away others may reach the threshold.
    if spec.lists != nil && choice.pinned.isEmpty { choice.wanted = row.taken }
    choice.pinned = Array(row.ordered(choice.pinned).prefix(choice.wanted))
    let others = row.best.ids.prefix(row.best.count).filter { !choice.pinned.contains($0) && !row.changes.masked.contains($0) }
    let chosen = choice.pinned + others.prefix(choice.wanted - choice.pinned.count)
    row.best.impose(chosen, from: row.selectionScores)
    row.taken = chosen.count
  }

  /// The router's own list for the scores as they are now.
  private func select(_ row: inout RouterRow, wanted: Int) {
    adjust(&row)
    if row.best.ids.count < min(wanted + 1, spec.expertCount) { row.best = TopList(capacity: min(wanted + 1, spec.expertCount)) }
    select(&row)
  }

  /// The chosen, with the best of the others in the place of the last; as they are where there is no other.
  private func swapped(_ row: RouterRow) -> [Int32] {
    let chosen = Array(row.best.ids.prefix(row.taken))
    guard row.taken > 0, row.best.count > row.taken else { return chosen }
    let next = row.best.ids[row.taken]
    // Experts of groups that were not kept are none of the others.
    let isOut = spec.groupLimit.map { $0.topKGroups < $0.groupCount && row.selectionScores[Int(next)] == $0.filledScore } ?? false
    return row.changes.masked.contains(next) || isOut ? chosen : chosen.dropLast() + [next]
  }

  /// Different experts, drawn one after the other among those that are not masked.
  private func drawn(_ row: RouterRow, _ odds: RedrawOdds, wanted: Int, _ generator: SplitMix64) -> [Int32] {
    var generator = generator
    var left = row.scores.indices.map(Int32.init).filter { !row.changes.masked.contains($0) }
    return (0..<min(wanted, left.count)).map { _ in
      let weights = left.map { odds == .uniform ? 1 : Double(row.probs[Int($0)]) }
      let total = weights.reduce(0, +)
      var place = total > 0 ? weights.count - 1 : generator.below(left.count)
      if total > 0 {
        var rest = generator.unit() * total
        for (index, weight) in weights.enumerated() {
          rest -= weight
          if rest < 0 {
            place = index
            break
          }
        }
      }
      return left.remove(at: place)
    }
  }
}

/// What rules have made of a row's choice so far.
private struct RowChoice {
  /// Experts that the token takes whatever their scores.
  var pinned: [Int32] = []
  /// Experts the token takes; fewer where no more are left.
  var wanted: Int

  init(wanted: Int) { self.wanted = wanted }

  /// Takes experts away.
  mutating func forget(_ experts: [Int32], _ row: inout RouterRow) {
    for expert in experts where !row.changes.masked.contains(expert) { row.changes.masked.append(expert) }
    pinned.removeAll { experts.contains($0) }
  }

  /// Gives the last places to experts; what stood there goes, what was pinned before goes first.
  mutating func force(_ experts: [Int32]) {
    pinned = experts + pinned.filter { !experts.contains($0) }.prefix(max(0, wanted - experts.count))
  }
}

// MARK: - Capacity

extension Router {
  /// Drops what does not fit from a batch, weights included.
  func drop(beyond change: CapacityChange, _ ruled: RuledRows, _ firstProbability: [Float], from batch: inout RoutingBatch) {
    let order: CapacityRule.Order
    switch change.order {
    case .gshard: order = .position
    case .switch: order = .token
    case .priority: order = .probability
    case .expertChoice: return
    }
    for rows in ruled.rows.counted(count: batch.count) {
      let counted = rows.filter { ruled.capacityVerdict?[$0] ?? true }
      let room = change.rowsPerExpert(topK: ruled.rules.topK, rows: counted.count, experts: spec.expertCount)
      let rule = CapacityRule(limit: .tokens(room), order: order, renormalizes: spec.capacity?.renormalizes ?? false)
      var ledger = CapacityLedger()
      rule.apply(to: &batch, rows: counted, firstProbability: firstProbability, ledger: &ledger)
    }
    // The others keep the model's own, which is of one sequence.
    guard let own = spec.capacity, let verdict = ruled.capacityVerdict else { return }
    for rows in ruled.rows.sequences(count: batch.count) {
      var ledger = CapacityLedger()
      own.apply(to: &batch, rows: rows.filter { !verdict[$0] }, firstProbability: firstProbability, ledger: &ledger)
    }
  }

  /// The experts that each row of a batch has when every expert takes the rows that give it the largest probability.
  ///
  /// - Source: Zhou et al. 2022, Mixture-of-Experts with Expert Choice Routing, arXiv:2202.09368.
  func expertsChoice(
    _ logits: UnsafePointer<Float>, _ hashed: UnsafePointer<Int32>?, _ ruled: RuledRows, _ change: CapacityChange, count: Int
  ) -> [Int: [Int32]] {
    let experts = spec.expertCount
    var offers = Array(repeating: -Float.infinity, count: count * experts)
    eachRow(of: logits, hashed, count: count, ruled) { token, row in
      distribute(&row)
      choose(&row, ruled, token: token)
      for e in 0..<experts where !row.probs[e].isNaN && !row.changes.masked.contains(Int32(e)) {
        offers[token * experts + e] = row.probs[e]
      }
    }
    var taken: [Int: [Int32]] = [:]
    for rows in ruled.rows.counted(count: count) {
      let rows = rows.filter { ruled.capacityVerdict?[$0] ?? true }
      for row in rows { taken[row] = [] }
      let room = change.rowsPerExpert(topK: ruled.rules.topK, rows: rows.count, experts: experts)
      for e in 0..<experts {
        let offer = { (row: Int) in offers[row * experts + e] }
        let willing = rows.filter { offer($0) > -.infinity }.sorted { (-offer($0), $0) < (-offer($1), $1) }
        for row in willing.prefix(room) { taken[row]?.append(Int32(e)) }
      }
    }
    return taken
  }
}

// MARK: - Weights

extension Router {
  /// The weights stage, and the weights of replayed rows before it.
  ///
  /// - Parameter batch: decided, normalised and scaled.
  func reweigh(_ logits: UnsafePointer<Float>, _ hashed: UnsafePointer<Int32>?, _ ruled: RuledRows, in batch: inout RoutingBatch) {
    for (index, step) in ruled.rules.steps.enumerated() {
      switch step {
      case .replay(let routing, withWeights: true):
        eachSlot(of: &batch, where: { ruled.holds(index, $0) }) { batch, token, slot in
          guard let key = ruled.rows.key(token), batch.dropped?[slot] != true else { return }
          let weight = routing.weight(of: batch.selectedExperts[slot], at: ruled.rules.router, key: key)
          if let weight { batch.routingWeights[slot] = weight }
        }
      case .broadcast: broadcast(logits, hashed, ruled, step: index, in: &batch)
      case .scale(let experts, let factor):
        eachSlot(of: &batch, where: { ruled.holds(index, $0) }) { batch, _, slot in
          if experts.contains(batch.selectedExperts[slot]) { batch.routingWeights[slot] *= factor }
        }
      case .scaleBest(let count, let factor):
        eachSlot(of: &batch, where: { ruled.holds(index, $0) }) { batch, token, slot in
          if slot - token * batch.topK < count { batch.routingWeights[slot] *= factor }
        }
      default: continue
      }
    }
  }

  /// Calls `body` with the token and the slot of each assignment of some tokens.
  private func eachSlot(of batch: inout RoutingBatch, where holds: (Int) -> Bool, _ body: (inout RoutingBatch, Int, Int) -> Void) {
    for token in 0..<batch.count where holds(token) {
      for slot in token * batch.topK..<(token + 1) * batch.topK where batch.selectedExperts[slot] >= 0 { body(&batch, token, slot) }
    }
  }

  /// Gives the rows of a step all experts, each by the router's probability.
  private func broadcast(
    _ logits: UnsafePointer<Float>, _ hashed: UnsafePointer<Int32>?, _ ruled: RuledRows, step: Int, in batch: inout RoutingBatch
  ) {
    let experts = spec.expertCount
    var columns = (ids: batch.selectedExperts, weights: batch.routingWeights, dropped: batch.dropped, mass: batch.topKMass)
    eachRow(of: logits, hashed, count: batch.count, ruled) { token, row in
      guard ruled.holds(step, token) else { return }
      distribute(&row)
      choose(&row, ruled, token: token)
      if !columns.mass[token].isNaN { columns.mass[token] = 1 }
      for (rank, expert) in row.ordered(0..<Int32(experts)).enumerated() {
        let slot = token * experts + rank
        columns.ids[slot] = expert
        columns.weights[slot] = row.probs[Int(expert)] * spec.scale(of: expert)
        columns.dropped?[slot] = false
      }
    }
    (batch.selectedExperts, batch.routingWeights, batch.dropped, batch.topKMass) = columns
  }
}
