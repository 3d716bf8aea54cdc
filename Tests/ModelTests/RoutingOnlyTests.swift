// Does a pass that stops behind the last router decide as one that goes on?

import Routing
import Support
import Testing

@testable import Model

struct RoutingOnlyTests {
  private final class Kept: RoutingSink {
    var demand = RoutingDemand(logitsEvery: 1)
    var batches: [[RoutingBatch]] = []
    func receive(_ pass: RoutingPass) { batches.append(pass.batches) }
  }

  private func read(_ model: LanguageModel, _ texts: [TokenSequence], routingOnly: Bool) throws -> [[RoutingBatch]] {
    // Steps and passes shorter than a text: what a later one needs of an earlier one must be there.
    let forward = ForwardPass(model, threads: 2, passLimit: 7, stepLimit: 3)
    forward.isRoutingOnly = routingOnly
    var reader = Reader(forward)
    reader.scoresTokens = false
    let sink = Kept()
    _ = try reader.read(texts, sink: sink)
    return sink.batches
  }

  @Test(arguments: ModelFixture.onePerFamily) func decisionsAreTheSame(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    let texts = Array(try fixture.sequences().prefix(2))
    let whole = try read(model, texts, routingOnly: false).flatMap { $0 }
    let short = try read(model, texts, routingOnly: true).flatMap { $0 }
    #expect(whole.count >= 2 && short.map(\.router) == whole.map(\.router))
    for (a, b) in zip(short, whole) {
      #expect(a.selectedExperts == b.selectedExperts && a.routingWeights == b.routingWeights, "\(a.router)")
      // Looked-up experts have no margin, which is no number.
      #expect(a.selectionMargin.map(\.bitPattern) == b.selectionMargin.map(\.bitPattern), "\(a.router)")
    }
  }
}
