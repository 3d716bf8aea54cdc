// What Live shows of a stretch of rows: kept by blocks, and equal to a fold over these very rows.

import Analysis
import Routing
import Support
import Testing

@testable import App

struct RowFoldsTests {
  private static let experts = 6
  private static let spec = RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: 2))

  /// A pass of random decisions.
  private func pass(
    _ routers: [RouterID], first: Int, count: Int, phase: TokenPhase = .prefill, withLogits: Bool = true, _ random: inout SeededRandom
  ) throws -> RoutingPass {
    var tokens = TokenTable(firstToken: first)
    for row in 0..<count { tokens.append(sequence: 0, position: first + row, tokenID: 1, phase: phase) }
    let rule = try Router(Self.spec)
    let batches = routers.map { id in
      var batch = RoutingBatch(router: id, expertCount: Self.experts, topK: 2, firstToken: first, count: count)
      let logits = (0..<count * Self.experts).map { _ in Float(random.next() >> 40) / Float(1 << 22) - 2 }
      logits.withUnsafeBufferPointer {
        if let base = $0.baseAddress { rule.decide(base, demand: RoutingDemand(logitsEvery: withLogits ? 1 : nil), into: &batch) }
      }
      return batch
    }
    return RoutingPass(tokens: tokens, batches: batches)
  }

  private func filled(_ sizes: [Int], withLogits: Bool = true, memory: Int = 64 << 20) throws -> RoutingBuffer {
    var random = SeededRandom(seed: 3)
    let routers = [RouterID(layer: 0), RouterID(layer: 4)]
    var buffer = RoutingBuffer(routers: routers.map { RouterDescription(id: $0, spec: Self.spec) }, memory: memory)
    for size in sizes {
      let next = try pass(routers, first: buffer.end, count: size, withLogits: withLogits, &random)
      let isTaken = buffer.append(next)
      #expect(isTaken)
    }
    return buffer
  }

  /// Row by row, without blocks.
  private func direct(_ buffer: RoutingBuffer, _ range: Range<Int>) -> [RouterTally] {
    buffer.routers.indices.map { router in
      var tally = RouterTally()
      for row in range {
        tally.add(
          buffer.pass.batches[router].part(
            row - buffer.first..<row - buffer.first + 1, spec: buffer.routers[router].spec, withImportance: true))
      }
      return tally
    }
  }

  private func expectEqual(_ a: [RouterTally], _ b: [RouterTally], _ what: String) {
    func near(_ a: [Double]?, _ b: [Double]?) -> Bool {
      guard let a, let b else { return a == nil && b == nil }
      return a.count == b.count && zip(a, b).allSatisfy { $0.isNaN && $1.isNaN || abs($0 - $1) < 1e-9 }
    }
    for (left, right) in zip(a, b) {
      #expect(left.counts == right.counts && left.load.tokens == right.load.tokens, "\(what)")
      #expect(near(left.importance, right.importance), "\(what)")
      #expect(near(left.meanNormalizedEntropy, right.meanNormalizedEntropy) && near(left.meanMargin, right.meanMargin), "\(what)")
    }
  }

  @Test func anyStretchIsWhatItsRowsAre() throws {
    let buffer = try filled([1, 3, 250, 1, 1, 700, 40, 1, 513, 7])
    var random = SeededRandom(seed: 9)
    var ranges = [0..<buffer.end, 256..<512, 255..<buffer.end, 256..<buffer.end, 0..<1, 100..<300, 511..<1025]
    for _ in 0..<20 {
      let ends = [Int(random.next() % UInt64(buffer.end)), Int(random.next() % UInt64(buffer.end))].sorted()
      ranges.append(ends[0]..<ends[1] + 1)
    }
    for range in ranges { expectEqual(buffer.tallies(range, withImportance: true), direct(buffer, range), "\(range)") }
    #expect(buffer.tallies(0..<buffer.end, withImportance: true)[0].importance != nil)
    #expect(buffer.tallies(0..<buffer.end, withImportance: false)[0].importance == nil)
    expectEqual(buffer.folds.total, direct(buffer, 0..<buffer.end), "the run")
  }

  /// A window that moves along with a run that grows token by token, as Live draws it: what is remembered of rows is what they are.
  @Test func aMovingWindowIsWhatItsRowsAre() throws {
    var buffer = try filled([90])
    var random = SeededRandom(seed: 4)
    for step in 0..<700 {
      let next = try pass(buffer.routers.map(\.id), first: buffer.end, count: step % 50 == 49 ? 5 : 1, &random)
      let isTaken = buffer.append(next)
      guard step % 3 != 1 else { continue }
      let window = max(0, buffer.end - 300)..<buffer.end
      let shown = buffer.tallies(window, withImportance: step % 40 != 0)
      if step % 40 != 0, step % 7 == 0 { expectEqual(shown, direct(buffer, window), "\(window)") }
      #expect(isTaken)
    }
  }

  @Test func droppedRowsAreCountedInTheRunOnly() throws {
    let buffer = try filled(Array(repeating: 100, count: 40), memory: 0)
    #expect(buffer.first > 0)
    for range in [buffer.rows, buffer.first + 3..<buffer.end, buffer.first..<buffer.end - 5] {
      expectEqual(buffer.tallies(range, withImportance: true), direct(buffer, range), "\(range)")
    }
    #expect(buffer.folds.total[0].load.tokens == 4000)
  }

  /// Without logits the share of probability is known only of passes as they came.
  @Test func importanceOfPartsIsUnknownWithoutLogits() throws {
    let buffer = try filled([200, 200, 112], withLogits: false)
    #expect(buffer.folds.total[0].importance != nil)
    #expect(buffer.tallies(10..<300, withImportance: true)[0].importance == nil)
    #expect(buffer.tallies(10..<300, withImportance: true)[0].load.tokens == 290)
  }

  /// A router is asked about the tokens of its own stack only.
  @Test func tokensOfTheOtherStackDoNotCount() throws {
    var random = SeededRandom(seed: 5)
    let (encoder, decoder) = (RouterID(stack: .encoder, layer: 1), RouterID(stack: .decoder, layer: 1))
    var buffer = RoutingBuffer(routers: [encoder, decoder].map { RouterDescription(id: $0, spec: Self.spec) })
    for (id, phase, count) in [(encoder, TokenPhase.encode, 5), (decoder, .prefill, 2), (encoder, .encode, 300), (decoder, .prefill, 3)] {
      let next = try pass([id], first: buffer.end, count: count, phase: phase, &random)
      let isTaken = buffer.append(next)
      #expect(isTaken)
    }
    #expect(buffer.folds.total.map(\.load.tokens) == [305, 5])
    #expect(buffer.tallies(3..<8, withImportance: true).map(\.load.tokens) == [3, 2])
    #expect(buffer.tallies(0..<buffer.end, withImportance: true).map(\.load.tokens) == [305, 5])
    #expect(buffer.tallies(0..<buffer.end, withImportance: true).allSatisfy { $0.importance != nil })
  }
}
