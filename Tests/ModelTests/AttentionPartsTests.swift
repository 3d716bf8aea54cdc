// Parts of attention that one family alone has, by themselves: logits without a value beside latent keys, and a scorer whose heads turn at
// their end. FamilyParityTests holds the family to the reference as a whole.

import Support
import Testing

@testable import Formats
@testable import Model

struct AttentionPartsTests {
  /// `hy_v4` with a number for all sinks, or with attention that says nothing.
  private func routerLogits(sink: Float?) throws -> [[Float]] {
    let fixture = try #require(ModelFixture.named("hy_v4").first)
    let folder = try fixture.linked(without: ["model.safetensors"])
    var changed = 0
    let tensors = try StoredTensor.read(fixture.file("model.safetensors")).map { tensor in
      var own = tensor
      if let sink, tensor.name.hasSuffix(".learnable_sink_param") {
        let width = tensor.type.byteCount
        let bits = tensor.type == .f32 ? sink.bitPattern : sink.bitPattern >> 16
        own.bytes = (0..<tensor.bytes.count).map { place -> UInt8 in UInt8(truncatingIfNeeded: bits >> UInt32(8 * (place % width))) }
        changed += 1
      } else if sink == nil, tensor.name.hasSuffix(".self_attn.o_proj.weight") {
        own.bytes = Array(repeating: 0, count: tensor.bytes.count)
        changed += 1
      }
      return own
    }
    #expect(changed > 1)
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    let sink = ExpertNormTests.Kept(.all)
    _ = try Reader(ForwardPass(LanguageModel(path: folder.path), threads: 2)).read(fixture.sequences(), sink: sink)
    return sink.passes.flatMap { $0.batches.compactMap { $0.logits?.values } }
  }

  /// A sink that outweighs every key leaves nothing of the values; one that nothing is beside leaves them as they were.
  @Test func aSinkTakesItsShareOfLatentAttention() throws {
    let (all, half, none, silent) = (
      try routerLogits(sink: 1e4), try routerLogits(sink: 0), try routerLogits(sink: -1e4), try routerLogits(sink: nil)
    )
    #expect(all == silent)
    #expect(none != silent && half != none && half != silent)
  }

  /// Heads that turn at their end choose as heads that turn at their beginning do, whose elements are exchanged.
  @Test func aScorerTurnsTheEndsOfItsHeads() throws {
    let (hidden, heads, size, turned, count) = (8, 2, 6, 4, 40)
    var random = SeededRandom(seed: 11)
    func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -1...1, using: &random) } }
    let (query, key, weights, stream) = (
      numbers(heads * size * hidden), numbers(size * hidden), numbers(heads * hidden), numbers(count * hidden)
    )
    /// Rows of each head with the turned ones first.
    func exchanged(_ rows: [Float]) -> [Float] {
      var out: [Float] = []
      for head in stride(from: 0, to: rows.count, by: size * hidden) {
        let turning = head + (size - turned) * hidden
        out += rows[turning..<head + size * hidden]
        out += rows[head..<turning]
      }
      return out
    }
    func choices(_ query: [Float], _ key: [Float], turnsLast: Bool) -> [Int: [Int32]] {
      func linear(_ values: [Float]) -> Linear {
        let rows = values.count / hidden
        return Linear(
          .rows(
            of: AssembledMatrix(type: .f32, rows: rows, columns: hidden) { memory in
              memory.copyMemory(from: values, byteCount: values.count * MemoryLayout<Float>.stride)
            }, first: 0, step: 1, count: rows), bias: nil)
      }
      var plan = TokenIndexPlan(
        headCount: heads, headSize: size, topK: 5, query: LinearPlan(prefix: "q"), key: LinearPlan(prefix: "k"),
        keyNorm: .rms(nil, 1e-6), weights: LinearPlan(prefix: "w"),
        rotary: RotaryPlan(base: 100, rotatedSize: turned))
      plan.turnsLast = turnsLast
      let index = RunningTokenIndex(
        BoundTokenIndex(
          plan: plan, query: linear(query), key: linear(key), keyNorm: Norm(plan.keyNorm, size: size, weight: nil, bias: nil),
          weights: linear(weights)))
      let pass = Pass(pool: WorkerPool(threads: 2), hiddenSize: hidden)
      var stream = stream
      return stream.withUnsafeMutableBufferPointer { stream in
        guard let x = stream.baseAddress else { return [:] }
        (pass.x, pass.count, pass.end) = (x, count, count)
        index.choose(pass, narrow: UnsafePointer(x))
        return pass.seenPositions
      }
    }
    let last = choices(query, key, turnsLast: true)
    #expect(last.count == count - 5 && last.values.allSatisfy { $0.count == 5 })
    #expect(last == choices(exchanged(query), exchanged(key), turnsLast: false))
    #expect(last != choices(query, key, turnsLast: false))
  }
}
