// Are the scores of a row logits, and was each row written?

import Routing

extension RecordJudge {
  mutating func judgeLogits() throws {
    var tally = LogitTally(judgement.routers)
    try RecordScan.forEach(record, judgement.sequences) { sequence, _, block in
      tally.add(block, isLost: judgement.sequences[sequence].isLost)
    }
    let places = judgement.routers.indices.filter { !judgement.routers[$0].isUnknown && judgement.routers[$0].column != nil }
    for place in places where tally.zero[place].count > 0 {
      say(
        .zeroRows, judgement.routers[place].id, tally.zero[place].count, of: total, first: tally.zero[place].first,
        "every logit of the row is 0: the row was never written")
    }
    let isFaultless = tally.lost == 0 && places.allSatisfy { tally.zero[$0].count == 0 }
    if isFaultless, places.count >= 2, total >= Self.enoughRows, places.allSatisfy({ tally.isConstant[$0] }) {
      for place in places {
        say(
          .equalRows, judgement.routers[place].id, total, of: total,
          "every row of every router is the same: a buffer that was read again and again")
        judgement.routers[place].isUnknown = true
      }
      return
    }
    for place in places where request.scores == nil && tally.areProbabilities(place) {
      say(
        .probabilities, judgement.routers[place].id, total, of: total,
        "every row is 0 or more and sums to 1: these are probabilities, not logits; their logarithms were taken")
      judgement.areProbabilities = true
    }
    if request.scores == .probabilities { judgement.areProbabilities = true }
  }
}
