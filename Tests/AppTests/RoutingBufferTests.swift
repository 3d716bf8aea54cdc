// What the screens keep of a run whose passes do not all have the same routers: an encoder's tokens and a decoder's.

import Routing
import Testing

@testable import App

struct RoutingBufferTests {
  private static let spec = RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 1))
  private static let encoder = RouterID(stack: .encoder, layer: 1)
  private static let decoder = RouterID(stack: .decoder, layer: 1)

  private func pass(_ routers: [RouterID], _ phase: TokenPhase, firstToken: Int, tokens: Int) -> RoutingPass {
    var table = TokenTable(firstToken: firstToken)
    for position in 0..<tokens { table.append(sequence: 0, position: position, tokenID: 7, phase: phase) }
    return RoutingPass(
      tokens: table,
      batches: routers.map { router in
        var batch = RoutingBatch(router: router, expertCount: 4, topK: 1, firstToken: firstToken, count: tokens)
        batch.selectedExperts = Array(repeating: 3, count: tokens)
        batch.routingWeights = Array(repeating: 1, count: tokens)
        return batch
      })
  }

  private func buffer(_ routers: [RouterID]) -> RoutingBuffer {
    RoutingBuffer(routers: routers.map { RouterDescription(id: $0, spec: Self.spec) })
  }

  @Test func rowsOfTheOtherStackHaveNoDecision() {
    var buffer = buffer([Self.encoder, Self.decoder])
    func take(_ pass: RoutingPass) -> Bool { buffer.append(pass) }
    #expect(take(pass([Self.encoder], .encode, firstToken: 0, tokens: 5)))
    #expect(take(pass([Self.decoder], .prefill, firstToken: 5, tokens: 2)))
    #expect(buffer.end == 7)
    #expect(buffer.selected(4, router: 0) == [3] && buffer.selected(4, router: 1) == [-1])
    #expect(buffer.selected(5, router: 0) == [-1] && buffer.selected(5, router: 1) == [3])
    #expect(buffer.folds.total[0].load.chosen.reduce(0, +) == 5)
    #expect(buffer.folds.total[1].load.chosen.reduce(0, +) == 2)
  }

  /// Records of others may lack the routes of some rows: a router's batches need not cover the pass, and what is not known is no decision.
  @Test func rowsOfUnknownRouteHaveNoDecision() {
    var buffer = buffer([Self.encoder, Self.decoder])
    func take(_ pass: RoutingPass) -> Bool { buffer.append(pass) }
    var next = pass([Self.decoder], .prefill, firstToken: 0, tokens: 6)
    next.batches = [next.batches[0].slice(0..<2), next.batches[0].slice(4..<5)]
    #expect(take(next))
    #expect((0..<6).map { buffer.selected($0, router: 1) } == [[3], [3], [-1], [-1], [3], [-1]])
    #expect((0..<6).allSatisfy { buffer.selected($0, router: 0) == [-1] })
    #expect(buffer.folds.total[1].load.chosen.reduce(0, +) == 3 && buffer.folds.total[1].load.tokens == 3)
    // A pass that is not the next one is not taken.
    #expect(!take(pass([Self.encoder], .encode, firstToken: 7, tokens: 5)))
  }

  @Test func theOrderOfBatchesDoesNotMatter() {
    let routers = [RouterID(stack: .feedForward, layer: 0), RouterID(stack: .attention, layer: 0)]
    var buffer = buffer(routers)
    func take(_ pass: RoutingPass) -> Bool { buffer.append(pass) }
    #expect(take(pass(routers.reversed(), .prefill, firstToken: 0, tokens: 3)))
    #expect(buffer.pass.batches.map(\.router) == routers)
  }
}
