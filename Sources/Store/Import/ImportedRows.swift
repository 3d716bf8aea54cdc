// Rows of a record as passes of a run: decisions without a fault as batches of their routers, tokens with what is known of them. A row at fault,
// or of unknown route, is in no batch: the run has its token and no decision.

import Foundation
import Routing

/// Makes passes of the rows of a record that was judged.
struct ImportedRows {
  let record: any ForeignRecord
  let judgement: RecordJudgement
  /// By router of the run; those without a column have no row.
  let routers: [RouterDescription]
  let tokens: [[Int32]]?
  /// Whether ids of tokens are left out.
  let withoutIDs: Bool
  /// Repeats decisions from logits; nil where the rule cannot be repeated.
  private let deciders: [Router?]

  init(
    record: any ForeignRecord, judgement: RecordJudgement, routers: [RouterDescription], tokens: [[Int32]]?, withoutIDs: Bool
  ) {
    (self.record, self.judgement, self.routers, self.tokens, self.withoutIDs) = (record, judgement, routers, tokens, withoutIDs)
    deciders = routers.map { $0.spec.rule == .executable ? try? Router($0.spec) : nil }
  }

  /// Token ids of a sequence from position 0 on, as far as they are known.
  func ids(of sequence: Int) -> [Int32]? { tokens?[sequence] ?? record.shape.sequences[sequence].tokens }

  func forEachPass(_ body: (RoutingPass) throws -> Void) throws {
    var first = 0
    try RecordScan.forEach(record, judgement.sequences) { number, row, block in
      let sequence = judgement.sequences[number]
      let table = table(block, of: sequence, from: row, firstToken: first)
      var pass = RoutingPass(tokens: table, batches: [])
      for (place, router) in judgement.routers.enumerated() where !router.isUnknown && !sequence.isLost {
        guard let column = router.column else { continue }
        pass.batches += batches(block, column, place, accused: sequence.accused, from: row, firstToken: first)
      }
      try body(pass)
      first += block.count
    }
  }

  private func table(_ block: ForeignRows, of sequence: JudgedSequence, from row: Int, firstToken: Int) -> TokenTable {
    let described = record.shape.sequences[sequence.index]
    let known = ids(of: sequence.index)
    var table = TokenTable(firstToken: firstToken)
    for index in 0..<block.count {
      let position = block.positions.map { Int($0[index]) } ?? sequence.start + row + index
      let id = block.tokens?[index] ?? known.flatMap { $0.indices.contains(position) ? $0[position] : nil } ?? -1
      table.append(
        sequence: sequence.index, position: position, tokenID: withoutIDs ? -1 : id,
        phase: described.generatedFrom.map { position >= $0 } == true ? .decode : .prefill)
    }
    table.facts = block.facts
    return table
  }

  /// Rows of each router that are known.
  func knownRows() throws -> [RouterID: Int] {
    var known: [RouterID: Int] = [:]
    try RecordScan.forEach(record, judgement.sequences) { number, row, block in
      let sequence = judgement.sequences[number]
      for (place, router) in judgement.routers.enumerated() where !router.isUnknown && !sequence.isLost && router.column != nil {
        known[routers[place].id, default: 0] += sound(block, place, accused: sequence.accused, from: row).count { $0 }
      }
    }
    return known
  }

  /// Which rows of one router have no fault.
  private func sound(_ block: ForeignRows, _ place: Int, accused: [Range<Int>], from row: Int) -> [Bool] {
    var sound = Array(repeating: true, count: block.count)
    let router = judgement.routers[place]
    guard let column = router.column else { return sound.map { _ in false } }
    for range in accused { for place in range.clamped(to: row..<row + block.count) { sound[place - row] = false } }
    let (slots, taken, experts) = (record.shape.columns[column].slots, router.slots, router.experts)
    switch record.shape.content {
    case .ids:
      let mayTakeFewer = record.shape.mayTakeFewer
      block.columns[column].ids.withUnsafeBufferPointer { ids in
        for index in sound.indices {
          let own = UnsafeBufferPointer(rebasing: ids[index * slots..<index * slots + taken])
          if RowFault.of(own, experts: experts, mayTakeFewer: mayTakeFewer) != nil { sound[index] = false }
        }
      }
    case .logits:
      guard let logits = block.columns[column].logits else { break }
      for index in sound.indices {
        let values = logits[index * experts..<(index + 1) * experts]
        if values.contains(where: \.isNaN) || values.allSatisfy({ $0 == 0 }) { sound[index] = false }
      }
    }
    return sound
  }

  /// The decisions of one router, a batch for each stretch of rows without a fault.
  private func batches(
    _ block: ForeignRows, _ column: Int, _ place: Int, accused: [Range<Int>], from row: Int, firstToken: Int
  ) -> [RoutingBatch] {
    let sound = sound(block, place, accused: accused, from: row)
    let slots = record.shape.columns[column].slots
    var batches: [RoutingBatch] = []
    var start = 0
    while start < block.count {
      guard sound[start] else {
        start += 1
        continue
      }
      var end = start
      while end < block.count, sound[end] { end += 1 }
      batches.append(batch(block.columns[column], start..<end, place, slots: slots, firstToken: firstToken))
      start = end
    }
    return batches
  }

  private func batch(_ decisions: ForeignDecisions, _ rows: Range<Int>, _ place: Int, slots: Int, firstToken: Int) -> RoutingBatch {
    let description = routers[place]
    let taken = description.slots
    var batch = RoutingBatch(
      router: description.id, expertCount: description.spec.expertCount, topK: taken, firstToken: firstToken + rows.lowerBound,
      count: rows.count)
    if let logits = decisions.logits { decide(logits, rows, place, into: &batch) }
    if record.shape.content == .logits { return batch }
    for index in rows {
      let (from, into) = (index * slots, (index - rows.lowerBound) * taken)
      guard let weights = decisions.weights else {
        for slot in 0..<taken {
          let expert = max(decisions.ids[from + slot], -1)
          // What its rule made of the logits stands where it chose the same; not known is not 0.
          let isSame = batch.selectedExperts[into + slot] == expert
          batch.selectedExperts[into + slot] = expert
          if !isSame { batch.routingWeights[into + slot] = expert < 0 ? 0 : .nan }
        }
        continue
      }
      var order = Array(0..<taken)
      if judgement.sortsByWeight {
        order.sort { (a, b) in weights[from + a] != weights[from + b] ? weights[from + a] > weights[from + b] : a < b }
      }
      for (rank, slot) in order.enumerated() {
        batch.selectedExperts[into + rank] = max(decisions.ids[from + slot], -1)
        batch.routingWeights[into + rank] = weights[from + slot]
      }
    }
    return batch
  }

  /// Fills in what follows from logits: all of a decision where the rule can be repeated; logits alone where not.
  private func decide(_ logits: [Float], _ rows: Range<Int>, _ place: Int, into batch: inout RoutingBatch) {
    let experts = batch.expertCount
    var values = Array(logits[rows.lowerBound * experts..<rows.upperBound * experts])
    if judgement.areProbabilities { for index in values.indices { values[index] = Self.logit(values[index]) } }
    if values.contains(where: \.isNaN) { return }
    if let router = deciders[place] {
      values.withUnsafeBufferPointer { buffer in
        if let base = buffer.baseAddress { router.decide(base, demand: RoutingDemand(logitsEvery: nil), into: &batch) }
      }
    }
    batch.logits = RouterLogits(rows: (0..<rows.count).map(Int32.init), values: values)
  }

  /// ln of a probability; of 0 a number that is finite and that a softmax makes 0 again.
  private static func logit(_ probability: Float) -> Float { probability > 0 ? log(probability) : -1e4 }
}
