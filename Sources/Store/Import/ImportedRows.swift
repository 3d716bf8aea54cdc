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

  /// The decisions of one router, a batch for each stretch of rows without a fault.
  private func batches(
    _ block: ForeignRows, _ column: Int, _ place: Int, accused: [Range<Int>], from row: Int, firstToken: Int
  ) -> [RoutingBatch] {
    let decisions = block.columns[column]
    let slots = record.shape.columns[column].slots
    let router = judgement.routers[place]
    var sound = Array(repeating: true, count: block.count)
    for range in accused { for place in range.clamped(to: row..<row + block.count) { sound[place - row] = false } }
    if record.shape.content == .ids {
      let mayTakeFewer = record.shape.format == .moetopJSONL
      decisions.ids.withUnsafeBufferPointer { ids in
        for index in 0..<block.count {
          let own = UnsafeBufferPointer(rebasing: ids[index * slots..<index * slots + router.slots])
          if RowFault.of(own, experts: router.experts, mayTakeFewer: mayTakeFewer) != nil { sound[index] = false }
        }
      }
    }
    if record.shape.content == .logits, let logits = decisions.logits {
      for index in 0..<block.count {
        let values = logits[index * router.experts..<(index + 1) * router.experts]
        if values.contains(where: \.isNaN) || values.allSatisfy({ $0 == 0 }) { sound[index] = false }
      }
    }
    var batches: [RoutingBatch] = []
    var start = 0
    while start < block.count {
      guard sound[start] else {
        start += 1
        continue
      }
      var end = start
      while end < block.count, sound[end] { end += 1 }
      batches.append(batch(decisions, start..<end, place, slots: slots, firstToken: firstToken))
      start = end
    }
    return batches
  }

  private func batch(_ decisions: ForeignDecisions, _ rows: Range<Int>, _ place: Int, slots: Int, firstToken: Int) -> RoutingBatch {
    let description = routers[place]
    let experts = description.spec.expertCount
    var batch = RoutingBatch(
      router: description.id, expertCount: experts, topK: description.slots, firstToken: firstToken + rows.lowerBound, count: rows.count)
    if let logits = decisions.logits { decide(logits, rows, place, into: &batch) }
    if record.shape.content == .logits { return batch }
    for index in rows {
      var order = Array(0..<description.slots)
      let weights = decisions.weights.map { Array($0[index * slots..<index * slots + description.slots]) }
      if judgement.sortsByWeight, let weights {
        order.sort { weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1 }
      }
      let into = (index - rows.lowerBound) * description.slots
      for (rank, slot) in order.enumerated() {
        batch.selectedExperts[into + rank] = max(decisions.ids[index * slots + slot], -1)
        if let weights { batch.routingWeights[into + rank] = weights[slot] }
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
