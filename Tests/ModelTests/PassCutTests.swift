// A sequence may go through a model token by token, in passes, in steps within a pass, with every block's state kept or with one block's
// at a time: what the routers decide and what the tokens score is the same, bit for bit. And a pass can be given up between its steps.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct PassCutTests {
  /// Joins what it is given.
  private final class Listener: RoutingSink {
    let demand = RoutingDemand(logitsEvery: 3)
    var tokens = TokenTable()
    var batches: [RouterID: RoutingBatch] = [:]
    var passes = 0

    func receive(_ pass: RoutingPass) {
      passes += 1
      tokens.append(contentsOf: pass.tokens)
      for batch in pass.batches { batches[batch.router, default: emptied(batch)].append(joinable(batch)) }
    }

    private func emptied(_ batch: RoutingBatch) -> RoutingBatch {
      RoutingBatch(router: batch.router, expertCount: batch.expertCount, topK: batch.topK, firstToken: 0, count: 0)
    }

    /// Without what a cut may change: sums over tokens, whose order of addition is another, and the rows of the other stack.
    private func joinable(_ batch: RoutingBatch) -> RoutingBatch {
      var batch = batch
      batch.firstToken = batches[batch.router]?.count ?? 0
      (batch.importanceSum, batch.squaredLogSumExpSum) = ([], 0)
      return batch
    }

    /// Everything as bits, so that NaN equals NaN.
    var bits: [[UInt32]] {
      var columns: [[UInt32]] = []
      func add(_ values: [Int32]) { columns.append(values.map { UInt32(bitPattern: $0) }) }
      func add(_ values: [Float]) { columns.append(values.map(\.bitPattern)) }
      for (_, batch) in batches.sorted(by: { $0.key < $1.key }) {
        add(batch.selectedExperts)
        add((batch.dropped ?? []).map { $0 ? 1 : 0 } as [Int32])
        add(batch.logits?.rows ?? [])
        add(batch.logits?.values ?? [])
        for statistic in [batch.routingWeights, batch.routerEntropy, batch.selectionMargin, batch.top1Margin, batch.topKMass] {
          add(statistic)
        }
      }
      add(tokens.tokenID)
      add(tokens.position)
      add(tokens.surprisal)
      add(tokens.nextTokenEntropy)
      return columns
    }
  }

  private func read(_ fixture: ModelFixture, _ forward: ForwardPass) throws -> Listener {
    let listener = Listener()
    let scores = try Reader(forward).read(fixture.sequences(), sink: listener)
    #expect(scores.count == (try fixture.sequences().count))
    return listener
  }

  @Test(arguments: ModelFixture.onePerFamily)
  func doesNotMatter(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    let whole = try read(fixture, ForwardPass(model, threads: 1)).bits
    for (pass, step) in [(4096, 5), (4096, 1), (7, 3), (7, 7), (1, 1)] {
      let other = try read(fixture, ForwardPass(model, threads: 2, passLimit: pass, stepLimit: step)).bits
      #expect(other == whole, "passes of \(pass), steps of \(step)")
    }
  }

  @Test func aSequenceIsOnePass() throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let model = try LanguageModel(path: fixture.folder)
    let sequences = try fixture.sequences()
    #expect(try read(fixture, ForwardPass(model, threads: 1, stepLimit: 5)).passes == sequences.count)
  }

  @Test func aPassCanBeGivenUpBetweenItsSteps() throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let forward = ForwardPass(try LanguageModel(path: fixture.folder), threads: 1, stepLimit: 5)
    let listener = Listener()
    var reader = Reader(forward)
    var seen: [Int] = []
    reader.onProgress = { progress in
      seen.append(progress.tokens)
      return seen.count < 3
    }
    #expect(try reader.read(fixture.sequences(), sink: listener).isEmpty)
    #expect(listener.passes == 0 && seen == seen.sorted() && seen.count == 3)
    // What was given up leaves nothing behind.
    #expect(try read(fixture, forward).bits == read(fixture, ForwardPass(forward.model, threads: 1)).bits)
  }

  @Test func aCacheMakesRoomOnceAndGivesItBack() {
    let cache = HeadCache(heads: 2, keySize: 4, valueSize: 2)
    let rows = (0..<16).map { Float($0) }
    for position in 0..<2 {
      rows.withUnsafeBufferPointer { rows in
        guard let base = rows.baseAddress else { return }
        cache.store(keys: base, keyStride: 8, values: base + 8, valueStride: 4, position: position, count: 1, end: 300)
      }
      #expect(cache.capacity == 300)
    }
    #expect(cache.keys[300 * 4 + 4] == 4 && cache.values[2] == 8)
    cache.clear()
    #expect(cache.capacity == 0)
  }
}
