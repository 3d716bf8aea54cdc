// Which decisions do rules touch? Each decision of the unchanged run is made once more from the same logits, under the rules: what follows from
// rules in earlier layers is an effect, not a touch. Where nothing is touched, the changed run is the unchanged one.

import Routing

/// The decisions of one text that rules would make otherwise, given the same logits: other experts, other weights, or shared experts taken
/// away.
public struct TouchedDecisions: Sendable, Equatable {
  /// `[passes][batches][batch.count]`; nil: none of the batch.
  public private(set) var verdicts: [[[Bool]?]] = []
  /// The same shape: the decisions that rules are about, touched or not.
  public private(set) var named: [[[Bool]?]] = []
  public private(set) var count = 0
  /// Pass and batch of the first one, in the order of computation; nil: there is none.
  public private(set) var first: (pass: Int, batch: Int)?

  /// - Parameters:
  ///   - intervention: bound to these routers.
  ///   - passes: a text as it is read without rules, each batch over all tokens of its pass and with all its logits.
  ///   - routers: what the routers are.
  /// - Throws: `RoutingError.invalidSpec`.
  /// - Complexity: one more decision for each of a router that rules name.
  public init(by intervention: Intervention, in passes: [RoutingPass], routers: [RouterID: Router]) throws {
    let keys = intervention.readsTexts ? TextKey.all(of: passes.map(\.tokens)) : []
    for (number, pass) in passes.enumerated() {
      var (touched, named): ([[Bool]?], [[Bool]?]) = ([], [])
      for batch in pass.batches {
        guard let rules = intervention[batch.router], let router = routers[batch.router], let logits = batch.logits else {
          touched.append(nil)
          named.append(nil)
          continue
        }
        precondition(logits.rows.count == batch.count && batch.count == pass.tokens.count, "all logits of a whole pass")
        let rows = DecisionRows(pass.tokens, keys: keys.isEmpty ? [] : keys[number])
        let verdict = Self.touched(batch, logits.values, router, RuledRows(rules, rows))
        let found = verdict.touched.count { $0 }
        if found > 0, first == nil { first = (number, touched.count) }
        count += found
        touched.append(found > 0 ? verdict.touched : nil)
        named.append(verdict.named)
      }
      verdicts.append(touched)
      self.named.append(named)
    }
  }

  private static func touched(
    _ batch: RoutingBatch, _ logits: [Float], _ router: Router, _ ruled: RuledRows
  ) -> (touched: [Bool], named: [Bool]) {
    var changed = RoutingBatch(
      router: batch.router, expertCount: batch.expertCount, topK: ruled.rules.slots, firstToken: batch.firstToken, count: batch.count)
    var hidden: [Bool]?
    var named: [Bool] = []
    logits.withUnsafeBufferPointer { logits in
      guard let base = logits.baseAddress else { return }
      let ruled = router.judged(ruled, base, count: batch.count)
      hidden = ruled.hiddenShared(count: batch.count)
      named = (0..<batch.count).map { ruled.isAbout($0) }
      var ledger = CapacityLedger()
      router.decide(base, ruled: ruled, demand: RoutingDemand(statistics: false), ledger: &ledger, into: &changed)
    }
    return ((0..<batch.count).map { hidden?[$0] == true || batch.applied($0) != changed.applied($0) }, named)
  }

  public static func == (a: TouchedDecisions, b: TouchedDecisions) -> Bool { a.verdicts == b.verdicts && a.count == b.count }
}

extension RoutingBatch {
  /// Experts of a row with the factors applied to them.
  fileprivate func applied(_ row: Int) -> [Int32: Float] {
    var applied: [Int32: Float] = [:]
    for slot in row * topK..<(row + 1) * topK where selectedExperts[slot] >= 0 && dropped?[slot] != true {
      applied[selectedExperts[slot]] = routingWeights[slot]
    }
    return applied
  }
}

extension TextKey {
  /// The numbers of the tokens of one text, pass by pass: what an encoder reads, then the decoder's.
  fileprivate static func all(of tables: [TokenTable]) -> [[UInt64]] {
    var key = TextKey()
    return tables.map { table in
      table.phase.first == .encode ? key.encoded(table.tokenID) : table.tokenID.map { key.next($0) }
    }
  }
}
