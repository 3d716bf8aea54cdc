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
  /// - Complexity: one more decision for each of a router that rules name.
  public init(by intervention: Intervention, in passes: [RoutingPass], routers: [RouterID: Router]) {
    self = Self.all(by: intervention, in: [passes], routers: routers)[0]
  }

  /// The same of texts that share a batch: rules of capacity count over the rows of all of them, text by text.
  ///
  /// - Parameter texts: the passes of each; of the same routers.
  /// - Returns: a value for each text.
  public static func all(
    by intervention: Intervention, in texts: [[RoutingPass]], routers: [RouterID: Router]
  ) -> [TouchedDecisions] {
    var found = texts.map { _ in TouchedDecisions() }
    let keys = intervention.readsTexts ? texts.map { TextKey.all(of: $0.map(\.tokens)) } : []
    for number in texts[0].indices {
      for index in found.indices {
        found[index].verdicts.append([])
        found[index].named.append([])
      }
      for place in texts[0][number].batches.indices {
        let rows = texts.enumerated().map { text, passes in
          DecisionRows(passes[number].tokens, keys: keys.isEmpty ? [] : keys[text][number])
        }
        let batches = texts.map { $0[number].batches[place] }
        guard let rules = intervention[batches[0].router], let router = routers[batches[0].router],
          batches.allSatisfy({ $0.logits != nil })
        else {
          for index in found.indices { found[index].add(nil, named: nil) }
          continue
        }
        for (index, verdict) in verdicts(on: batches, rules, router, rows).enumerated() {
          found[index].add(verdict.touched, named: verdict.named)
        }
      }
    }
    return found
  }

  private init() {}

  /// Takes the verdicts on the next batch of the last pass.
  private mutating func add(_ touched: [Bool]?, named: [Bool]?) {
    let pass = verdicts.count - 1
    let hits = touched?.count { $0 } ?? 0
    if hits > 0, first == nil { first = (pass, verdicts[pass].count) }
    count += hits
    verdicts[pass].append(hits > 0 ? touched : nil)
    self.named[pass].append(named)
  }

  /// What one router would make of one batch of each text.
  private static func verdicts(
    on batches: [RoutingBatch], _ rules: BoundRules, _ router: Router, _ rows: [DecisionRows]
  ) -> [(touched: [Bool], named: [Bool])] {
    let parts = zip(batches, rows).map { batch, rows in
      precondition(batch.logits?.rows.count == batch.count && batch.count == rows.tokens.count, "all logits of a whole pass")
      return (ruled: RuledRows(rules, rows).asked(of: batch, router), count: batch.count)
    }
    let logits = batches.flatMap { $0.logits?.values ?? [] }
    // Where experts are looked up, the unchanged run took what the tokens' ids name.
    let hashed = router.spec.isHashed ? batches.flatMap(\.selectedExperts) : []
    let total = batches.reduce(0) { $0 + $1.count }
    var changed = RoutingBatch(
      router: rules.router, expertCount: router.spec.expertCount, topK: rules.slots, firstToken: 0, count: total)
    var hidden: [Bool]?
    var named: [Bool] = []
    logits.withUnsafeBufferPointer { logits in
      guard let base = logits.baseAddress else { return }
      let ruled = parts.count == 1 ? parts[0].ruled : .together(parts)
      hidden = ruled.hiddenShared(count: total)
      named = (0..<total).map { ruled.isAbout($0) }
      var ledger = CapacityLedger()
      hashed.withUnsafeBufferPointer {
        router.decide(
          base, hashed: $0.baseAddress, ruled: ruled, demand: RoutingDemand(statistics: false), ledger: &ledger, into: &changed)
      }
    }
    var start = 0
    return batches.map { batch in
      defer { start += batch.count }
      let mine = start..<start + batch.count
      let touched = mine.map { hidden?[$0] == true || batch.applied($0 - start) != changed.applied($0) }
      return (touched, Array(named[mine]))
    }
  }

  public static func == (a: TouchedDecisions, b: TouchedDecisions) -> Bool { a.verdicts == b.verdicts && a.count == b.count }
}

extension RuledRows {
  /// The rules with their conditions asked about the rows of a batch.
  fileprivate func asked(of batch: RoutingBatch, _ router: Router) -> RuledRows {
    batch.logits?.values.withUnsafeBufferPointer { logits in
      batch.selectedExperts.withUnsafeBufferPointer { hashed in
        logits.baseAddress.map { router.judged(self, $0, hashed: hashed.baseAddress, count: batch.count) }
      }
    } ?? self
  }
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
