// Does a change of routing do here what the same change does in transformers? Tests/Fixtures/Interventions holds what it computed for the
// bundled sample and of families whose routers differ in kind, those with a capacity of their own among them; tools/make_interventions.py made it.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct InterventionParityTests {
  static let names = [
    "olmoe-sample", "mixtral", "deepseek_v3", "gpt_oss", "phimoe", "switch_transformers", "switch_transformers-untied", "nllb_moe",
    "nllb_moe-fixed", "nllb_moe-prioritized",
  ]

  /// Joins what it is given.
  private final class Listener: RoutingSink {
    let demand = RoutingDemand()
    var passes: [RoutingPass] = []
    func receive(_ pass: RoutingPass) { passes.append(pass) }
  }

  private func sequences(_ list: [JSONValue]) throws -> [TokenSequence] {
    func ids(_ value: JSONValue) throws -> [Int32] { try value.requireArray().map { Int32(try $0.requireInteger(in: 0...Int(Int32.max))) } }
    return try list.enumerated().map { index, sequence in
      let description = SequenceDescription(name: "sequence \(index)")
      guard sequence.kind == .object else { return TokenSequence(description, tokens: try ids(sequence)) }
      return TokenSequence(description, encoder: try ids(sequence.member("encoder")), tokens: try ids(sequence.member("decoder")))
    }
  }

  private func read(_ texts: [TokenSequence], _ model: LanguageModel, _ rules: Intervention) throws -> [RoutingPass] {
    let forward = ForwardPass(model, threads: 2)
    forward.intervention = rules
    let listener = Listener()
    _ = try Reader(forward).read(texts, sink: listener)
    return listener.passes
  }

  /// Tokens of all passes, and what their routers decided, as a run that can be replayed.
  private func replay(_ passes: [RoutingPass]) -> ReplayedRouting {
    var tokens = TokenTable()
    for pass in passes { tokens.append(contentsOf: pass.tokens) }
    var replay = ReplayedRouting(keys: TextKey.all(of: tokens))
    for batch in passes.flatMap(\.batches) { replay.add(batch) }
    return replay
  }

  @Test(arguments: names)
  func theSameChangeHasTheSameEffect(_ name: String) throws {
    let fixture = try JSON.read(try #require(Fixtures.own("Interventions/\(name).json")))
    let expected = try SafetensorsFile(path: try #require(Fixtures.own("Interventions/\(name).safetensors")))
    let model = try LanguageModel(path: Fixtures.root + "/" + fixture.string("model"))
    let texts: [TokenSequence] = try sequences(Array(fixture.array("sequences")))
    var done: [String: [RoutingPass]] = [:]
    for (key, text) in try fixture.member("cases").requireObject() {
      let name = try key.requireString()
      let rules = try RuleSet(parsing: text.requireString())
      let replays = try Dictionary(
        uniqueKeysWithValues: rules.replayedRuns.map { run in
          (run, replay(try #require(done[String(run.dropFirst("CASE(".count).dropLast())])))
        })
      let intervention = try Intervention(
        rules, run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, replays: replays, seed: 0)
      let passes: [RoutingPass] = try read(texts, model, intervention)
      done[name] = passes
      for router in model.routers.map(\.id) {
        let got: [Decision] = passes.flatMap { $0.batches }.filter { $0.router == router }.flatMap { $0.rows }
        let wanted = try rows(expected, "\(name).\(router)")
        #expect(got.count == wanted.count && got.count > 0)
        let differing = zip(got, wanted).enumerated().filter { !$1.0.agrees(with: $1.1) }
        #expect(differing.isEmpty, "\(name) at \(router): \(differing.prefix(2))")
      }
      let surprisals: [Float] = passes.map { $0.tokens }.filter { $0.phase.first != .encode }.flatMap { $0.surprisal }
      let losses = try floats(expected, "\(name).losses")
      #expect(surprisals.count == losses.count)
      #expect(
        zip(surprisals, losses).allSatisfy { $0.isNaN && $1.isNaN || abs($0 - $1) <= 1e-4 * max(1, $1) },
        "\(name): \(zip(surprisals, losses).map { abs($0 - $1) }.filter { !$0.isNaN }.max() ?? 0)")
    }
  }

  private func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
    let view = try file.tensor(name)
    return (0..<view.elementCount).map {
      Float(bitPattern: UInt32(littleEndian: view.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
    }
  }

  private func rows(_ file: SafetensorsFile, _ name: String) throws -> [Decision] {
    let k = try #require(try file.tensor(name + ".expert_ids").shape.last)
    let ids = try floats(file, name + ".expert_ids").map { Int32(bitPattern: $0.bitPattern) }
    let weights = try floats(file, name + ".weights")
    return stride(from: 0, to: ids.count, by: k).map { start in
      Decision(Dictionary(uniqueKeysWithValues: zip(ids[start..<start + k], weights[start..<start + k])))
    }
  }
}

/// Weights by expert.
private struct Decision: CustomStringConvertible {
  let weights: [Int32: Float]

  init(_ weights: [Int32: Float]) { self.weights = weights }

  func agrees(with other: Decision) -> Bool {
    weights.keys == other.weights.keys
      && weights.allSatisfy { id, weight in
        let wanted = other.weights[id] ?? .nan
        return abs(weight - wanted) <= 1e-4 && (weight == 0) == (wanted == 0)
      }
  }

  var description: String { "\(weights)" }
}

extension RoutingBatch {
  fileprivate var rows: [Decision] {
    (0..<count).map { token in
      let slots = (token * topK..<token * topK + taken(token))
      return Decision(Dictionary(uniqueKeysWithValues: slots.map { (selectedExperts[$0], routingWeights[$0]) }))
    }
  }
}
