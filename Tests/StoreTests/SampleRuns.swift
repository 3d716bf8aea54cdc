// Runs made of random decisions: every shape the store must keep, from seeded random numbers.

import Foundation
import Routing
import Support

@testable import Store

/// What a made-up run looks like.
struct SampleShape: Sendable, CustomStringConvertible {
  var name: String
  var routers: [RouterID] = [RouterID(layer: 0), RouterID(layer: 1), RouterID(layer: 3)]
  var expertCount = 16
  var topK = 2
  var recording = RecordingLevel()
  /// Tokens of each pass.
  var passes: [Int]
  var sequenceLength = 100
  /// Some statistics are not defined.
  var hasNaN = false
  var hasDrops = false
  /// Some tokens take fewer than `topK` experts.
  var hasPadding = false
  var knowsImportance = true
  /// Weights and entropies are numbers that a softmax can give. Not so in the traces of released schemas, which are older than the rule.
  var isPlausible = true

  var description: String { name }

  var run: RunDescription {
    let spec = RouterSpec(
      expertCount: expertCount, scoring: .softmax, selection: .tokenChoice(topK: topK), normalization: .sum(epsilon: 0))
    return RunDescription(
      name: name,
      model: ModelIdentity(
        name: "sample", family: "olmoe", path: "/models/sample", filesHash: "00ff", quantization: "bf16", routerPrecision: "f32",
        tokenizerHash: "", layerCount: (routers.map(\.layer.rawValue).max() ?? 3) + 1, vocabularySize: 500),
      routers: routers.map { RouterDescription(id: $0, spec: spec) }, input: InputIdentity(source: "test", hash: "aa"),
      recording: recording, engine: EngineIdentity(version: "0", simd: "none", threads: 1), startedAt: 1_700_000_000, tags: ["test"])
  }

  func makePasses(seed: UInt64 = 1) -> [RoutingPass] {
    var random = SeededRandom(seed: seed)
    var first = 0
    var numbering = PassNumbering()
    return passes.map { count in
      var tokens = TokenTable(firstToken: first)
      for index in first..<first + count {
        tokens.append(
          sequence: index / sequenceLength, position: index % sequenceLength, tokenID: Int32.random(in: 0..<500, using: &random),
          phase: count == 1 ? .decode : .prefill,
          surprisal: index % sequenceLength == 0 ? .nan : Float.random(in: 0..<10, using: &random),
          nextTokenEntropy: Float.random(in: 0..<5, using: &random))
      }
      if recording.extras.contains(.predicted) { tokens.predictedID = tokens.tokenID.map { $0 % 9 == 0 ? -1 : $0 / 2 } }
      if recording.extras.contains(.passes) { numbering.number(&tokens, layout: nil) }
      defer { first += count }
      return RoutingPass(tokens: tokens, batches: routers.map { batch($0, first: first, count: count, &random) })
    }
  }

  private func batch(_ router: RouterID, first: Int, count: Int, _ random: inout SeededRandom) -> RoutingBatch {
    var batch = RoutingBatch(router: router, expertCount: expertCount, topK: topK, firstToken: first, count: count)
    if hasDrops && Bool.random(using: &random) { batch.dropped = Array(repeating: false, count: count * topK) }
    if knowsImportance {
      batch.importanceSum = (0..<expertCount).map { _ in Double.random(in: 0..<1, using: &random) }
      batch.squaredLogSumExpSum = Double.random(in: 0..<9, using: &random)
    }
    var rows: [Int32] = []
    var values: [Float] = []
    for token in 0..<count {
      let taken = hasPadding && Int.random(in: 0..<3, using: &random) == 0 ? Int.random(in: 0..<topK, using: &random) : topK
      var chosen: Set<Int32> = []
      for slot in 0..<taken {
        var expert = Int32.random(in: 0..<Int32(expertCount), using: &random)
        while !chosen.insert(expert).inserted { expert = Int32.random(in: 0..<Int32(expertCount), using: &random) }
        batch.selectedExperts[token * topK + slot] = expert
        batch.routingWeights[token * topK + slot] = recording.content == .ids ? .nan : weight(&random)
        if batch.dropped != nil && Int.random(in: 0..<5, using: &random) == 0 { batch.dropped?[token * topK + slot] = true }
      }
      let isDefined = !hasNaN || Int.random(in: 0..<4, using: &random) > 0
      batch.routerEntropy[token] =
        isDefined ? Float.random(in: 0..<3, using: &random) * (isPlausible ? log(Float(expertCount)) / 3 : 1) : .nan
      batch.top1Margin[token] = isDefined ? Float.random(in: 0..<1, using: &random) : .nan
      batch.topKMass[token] = isDefined ? Float.random(in: 0..<1, using: &random) : .nan
      if topK < expertCount { batch.selectionMargin[token] = Float.random(in: 0..<1, using: &random) }
      if recording.content == .full && (first + token) % recording.logitsEvery == 0 {
        rows.append(Int32(token))
        for _ in 0..<expertCount { values.append(number(&random)) }
      }
    }
    if batch.dropped?.contains(true) == false { batch.dropped = nil }
    if recording.content == .full { batch.logits = RouterLogits(rows: rows, values: values) }
    if recording.extras.contains(.norms) { batch.expertNorms = batch.carriedOut.map { $0 < 0 ? .nan : Float($0) * 1.37 } }
    if recording.extras.contains(.shared) {
      batch.sharedWeight = batch.top1Margin.map { $0.isNaN ? 1 : $0 }
      if recording.extras.contains(.norms) { batch.sharedNorm = batch.topKMass.map { $0 * 3 } }
    }
    return batch
  }

  /// A float that the recording's precision keeps.
  private func number(_ random: inout SeededRandom) -> Float { kept(Float.random(in: -4..<4, using: &random)) }

  private func weight(_ random: inout SeededRandom) -> Float {
    let value = Float.random(in: -4..<4, using: &random)
    return kept(isPlausible ? (value + 4) / 8 : value)
  }

  private func kept(_ value: Float) -> Float {
    recording.precision == .f16 ? PackedColumns.float(half: PackedColumns.halfBits(value)) : value
  }

  /// Records the run into `file` and returns what was recorded.
  @discardableResult
  func record(
    in file: String, seed: UInt64 = 1, outcome: RunOutcome = .completed, flushEvery: Int? = nil, options: TraceWriter.Options = .init()
  ) throws -> [RoutingPass] {
    let passes = makePasses(seed: seed)
    let writer = try TraceWriter(
      file: file, description: run, sequences: [SequenceDescription(name: "first", labels: ["domain": "code"])],
      pieces: { $0 < 250 ? Array(" t\($0)".utf8) : nil }, options: options)
    for (index, pass) in passes.enumerated() {
      try writer.receive(pass)
      if let flushEvery, index % flushEvery == 0 { try writer.flush() }
    }
    try writer.finish(outcome)
    return passes
  }
}

/// All decisions of a run put end to end, so that runs cut differently can be compared.
struct WholeRun {
  var tokens = TokenTable()
  var routers: [RouterID: RoutingBatch] = [:]

  init(_ passes: [RoutingPass]) {
    tokens.firstToken = passes.first?.tokens.firstToken ?? 0
    for pass in passes {
      tokens.append(contentsOf: pass.tokens)
      for batch in pass.batches where batch.count > 0 {
        if routers[batch.router] == nil { routers[batch.router] = batch } else { routers[batch.router]?.append(batch) }
      }
    }
  }

  /// What differs from `other`, in words; empty when nothing does. NaN equals NaN; sums over tokens agree within rounding.
  func differences(from other: WholeRun, comparingSums: Bool = true) -> [String] {
    var found: [String] = []
    func same(_ a: [Float], _ b: [Float]) -> Bool { a.map(\.canonicalBits) == b.map(\.canonicalBits) }
    let (a, b) = (tokens, other.tokens)
    if a.firstToken != b.firstToken || a.sequence != b.sequence || a.position != b.position { found.append("places of tokens") }
    if a.tokenID != b.tokenID || a.phase != b.phase { found.append("ids of tokens") }
    if !same(a.surprisal, b.surprisal) || !same(a.nextTokenEntropy, b.nextTokenEntropy) { found.append("numbers of tokens") }
    if a.pass != b.pass || a.batch != b.batch || a.predictedID != b.predictedID { found.append("extras of tokens") }
    if Set(routers.keys) != Set(other.routers.keys) { return found + ["routers"] }
    for (id, a) in routers {
      guard let b = other.routers[id] else { continue }
      func require(_ what: String, _ holds: Bool) { if !holds { found.append("\(id): \(what)") } }
      require("extent", a.firstToken == b.firstToken && a.count == b.count && a.topK == b.topK && a.expertCount == b.expertCount)
      require("experts", a.selectedExperts == b.selectedExperts)
      require("weights", same(a.routingWeights, b.routingWeights))
      require("drops", a.dropped == b.dropped)
      require("entropy", same(a.routerEntropy, b.routerEntropy))
      require("selection margin", same(a.selectionMargin, b.selectionMargin))
      require("top-1 margin", same(a.top1Margin, b.top1Margin))
      require("mass", same(a.topKMass, b.topKMass))
      require("norms", same(a.expertNorms ?? [], b.expertNorms ?? []))
      require("shared weight", same(a.sharedWeight ?? [], b.sharedWeight ?? []))
      require("shared norm", same(a.sharedNorm ?? [], b.sharedNorm ?? []))
      require("logit rows", a.logits?.rows ?? [] == b.logits?.rows ?? [])
      require("logits", same(a.logits?.values ?? [], b.logits?.values ?? []))
      if !comparingSums { continue }
      require("importance", a.importanceSum.count == b.importanceSum.count)
      require("importance", zip(a.importanceSum, b.importanceSum).allSatisfy { abs($0 - $1) <= 1e-9 * max(1, abs($0)) })
      let (x, y) = (a.squaredLogSumExpSum, b.squaredLogSumExpSum)
      require("squares", x.isNaN && y.isNaN || abs(x - y) <= 1e-9 * max(1, abs(x)))
    }
    return found
  }
}

extension Float {
  fileprivate var canonicalBits: UInt32 { isNaN ? Float.nan.bitPattern : bitPattern }
}

extension TraceReader {
  func wholeRun(_ selector: RunSelector = .latest, tokens: Range<Int>? = nil) throws -> WholeRun {
    WholeRun(try allPasses(selector, tokens: tokens))
  }

  func allPasses(_ selector: RunSelector = .latest, tokens: Range<Int>? = nil) throws -> [RoutingPass] {
    var passes: [RoutingPass] = []
    try self.passes(of: try run(selector), tokens: tokens).forEach { passes.append($0) }
    return passes
  }
}
