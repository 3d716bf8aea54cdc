// Are the ids of a row what a router can have chosen, and are all rows together what routers choose?

import Routing

extension RecordJudge {
  mutating func judgeRows() throws {
    let places = judgement.routers.indices.filter { judgement.routers[$0].column != nil }
    guard !places.isEmpty, total > 0 else { return }
    var tally = RowTally(
      judgement.routers, columns: record.shape.columns, expectsPatterns: true, mayTakeFewer: record.shape.mayTakeFewer)
    try RecordScan.forEach(record, judgement.sequences) { sequence, first, block in
      tally.add(block, sequence: sequence, first: first, isLost: judgement.sequences[sequence].isLost)
    }
    tally.finish()
    for place in places { judgement.routers[place].hasNegativeWeights = tally.isSigned[place] }
    let isPhysical =
      places.allSatisfy { isKnown($0) }
      && places.allSatisfy { Double(tally.beyond[$0]) >= Self.physicalShare * Double(total * judgement.routers[$0].slots) }
      && places.allSatisfy { tally.outside[$0] == 0 } && tally.beyond.contains { $0 > 0 }
    for place in places {
      let router = judgement.routers[place]
      for fault in RowFault.allCases {
        let found = tally.faults[place][fault.rawValue]
        guard found.count > 0, !isPhysical || fault == .unknown || fault == .zero else { continue }
        say(fault.code, router.id, found.count, of: total, first: found.first, words(fault, router))
      }
      if isPhysical {
        let bad = tally.faults[place][RowFault.unknown.rawValue].count + tally.faults[place][RowFault.zero.rawValue].count
        say(
          .physicalIDs, router.id, total - bad - tally.lost, of: total,
          "ids reach beyond the \(router.experts) experts in every router: they are slots of replicated experts, not experts")
        judgement.routers[place].isUnknown = true
      }
    }
    if isPhysical { return }
    for (sequence, ranges) in tally.accused.enumerated() { judgement.sequences[sequence].accused = ranges }
    let dealt = tally.accused.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
    for place in places where dealt > 0 {
      say(
        .partition, judgement.routers[place].id, dealt, of: total, first: tally.firstAccused,
        "rows deal out the experts in turn: memory that was numbered, or a list that was read with a wrong stride")
    }
    judgeSameness(tally, places, dealt: dealt)
  }

  private mutating func judgeSameness(_ tally: RowTally, _ places: [Int], dealt: Int) {
    let isFaultless = dealt == 0 && tally.lost == 0 && places.allSatisfy { place in tally.faults[place].allSatisfy { $0.count == 0 } }
    let all = request.tokens ?? record.shape.sequences.compactMap(\.tokens)
    let distinct = all.isEmpty ? nil : all.reduce(into: Set<Int32>()) { $0.formUnion($1) }.count
    if isFaultless, places.count >= 2, tally.clean >= Self.enoughRows, distinct.map({ $0 >= Self.enoughTokens }) ?? true,
      places.allSatisfy({ tally.isConstant[$0] && judgement.routers[$0].slots < judgement.routers[$0].experts })
    {
      for place in places {
        say(
          .equalRows, judgement.routers[place].id, total, of: total,
          "every row of every router is the same: a buffer that was read again and again, or a model all of whose routers are constant")
        judgement.routers[place].isUnknown = true
      }
      return
    }
    let clean = tally.clean - dealt
    guard tally.rising.isFound, clean > 0 else { return }
    for place in places {
      let router = judgement.routers[place]
      let rises = tally.weightsRise[place]
      if router.column.map({ record.shape.columns[$0].hasWeights }) == true {
        judgement.sortsByWeight = true
        guard rises.count > 0 else { continue }
        say(
          .unsorted, router.id, rises.count, of: total, first: rises.first,
          "ids rise with their numbers in every row, and weights do not fall: ids were put in the order of their weights")
      } else {
        say(
          .unsorted, router.id, clean, of: total,
          "ids rise with their numbers in every row: their order is not that of the scores, and ranks are not known")
      }
    }
  }

  /// Whether somebody says how many experts a router has.
  private func isKnown(_ place: Int) -> Bool {
    let router = judgement.routers[place]
    return experts(of: router.id) != nil || router.column.flatMap { record.shape.columns[$0].experts } != nil
  }

  private func words(_ fault: RowFault, _ router: JudgedRouter) -> String {
    switch fault {
    case .unknown: "the record says that it does not know the route: it has no id, or -1 in place of each"
    case .zero: "every id of the row is 0, and a token takes \(router.slots) different experts: the row was never written"
    case .outOfRange: "an id is not one of the \(router.experts) experts"
    case .duplicate: "an expert is taken twice"
    }
  }
}
