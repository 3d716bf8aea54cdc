// Decisions to measure with: random logits of tokens that differ in how sure a router is, routed by the router itself.

import Foundation
import Routing

struct MadeDecisions {
  let tokens: Int
  let description: RunDescription
  let sequences: [SequenceDescription]
  private let spec: RouterSpec
  private let routers: [RouterID]
  private let router: Router
  private static let sequenceLength = 500

  init(_ spec: RouterSpec, routers: [RouterID], tokens: Int) throws {
    (self.spec, self.routers, self.tokens) = (spec, routers, tokens)
    router = try Router(spec)
    sequences = (0...tokens / Self.sequenceLength).map { SequenceDescription(name: "text \($0)", labels: ["domain": "\($0 % 4)"]) }
    description = RunDescription(
      name: "", model: ModelIdentity(
        name: "random", family: "", path: "", filesHash: "", quantization: "f32", routerPrecision: "f32", tokenizerHash: "",
        layerCount: routers.count, vocabularySize: 50_000),
      routers: routers.map { RouterDescription(id: $0, spec: spec) }, input: InputIdentity(source: "random", hash: ""),
      recording: RecordingLevel(), engine: EngineIdentity(version: "", simd: "", threads: 1), startedAt: 0)
  }

  /// The run in passes of `length` tokens, up to a token; the decisions of a token are the same whatever the length.
  func passes(of length: Int, upTo end: Int? = nil) -> [RoutingPass] {
    let end = min(end ?? tokens, tokens)
    return stride(from: 0, to: end, by: length).map { pass($0..<min($0 + length, end)) }
  }

  private func pass(_ range: Range<Int>) -> RoutingPass {
    var table = TokenTable(firstToken: range.lowerBound)
    for token in range {
      let (sequence, position) = token.quotientAndRemainder(dividingBy: Self.sequenceLength)
      var random = SplitMix64(seed: UInt64(token), stream: UInt64(routers.count))
      table.append(
        sequence: sequence, position: position, tokenID: Int32(random.below(50_000)), phase: .prefill,
        surprisal: position == 0 ? .nan : Float(random.unit() * 10))
    }
    let batches = routers.indices.map { place in
      var batch = RoutingBatch(
        router: routers[place], expertCount: spec.expertCount, topK: spec.topK, firstToken: range.lowerBound, count: range.count)
      var logits: [Float] = []
      logits.reserveCapacity(range.count * spec.expertCount)
      for token in range {
        var random = SplitMix64(seed: UInt64(token), stream: UInt64(place))
        let sharpness = 1 + Float(random.unit()) * 8
        for _ in 0..<spec.expertCount { logits.append(Float(random.unit()) * sharpness) }
      }
      logits.withUnsafeBufferPointer { if let base = $0.baseAddress { router.decide(base, demand: RoutingDemand(), into: &batch) } }
      return batch
    }
    return RoutingPass(tokens: table, batches: batches)
  }
}
