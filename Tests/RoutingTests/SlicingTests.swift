// Cutting a pass and joining the parts gives the pass back.

import Routing
import Testing

struct SlicingTests {
  private func pass(tokens: Int, every: Int) throws -> RoutingPass {
    let spec = RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 2))
    let logits = (0..<tokens * 4).map { Float(($0 * 7) % 11) / 3 }
    var batch = RoutingBatch(router: RouterID(layer: 1), expertCount: 4, topK: 2, firstToken: 0, count: tokens)
    try Router(spec).decide(logits, demand: RoutingDemand(logitsEvery: every), into: &batch)
    var table = TokenTable()
    for position in 0..<tokens {
      table.append(sequence: 0, position: position, tokenID: Int32(position), phase: .prefill, surprisal: 1, nextTokenEntropy: 2)
    }
    return RoutingPass(tokens: table, batches: [batch])
  }

  @Test(arguments: [1, 3])
  func joiningThePartsGivesTheWhole(_ every: Int) throws {
    let whole = try pass(tokens: 12, every: every)
    for cut in 1..<12 {
      var joined = whole.slice(0..<cut)
      joined.append(whole.slice(cut..<12))
      #expect(joined.tokens == whole.tokens)
      #expect(joined.batches[0].selectedExperts == whole.batches[0].selectedExperts)
      #expect(joined.batches[0].logits == whole.batches[0].logits)
      #expect(joined.batches[0].importanceSum.isEmpty, "sums of parts are not known")
      try joined.batches[0].validate()
    }
    #expect(whole.slice(0..<12) == whole)
  }
}
