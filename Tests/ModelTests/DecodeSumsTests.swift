// Generated tokens are computed one by one, by digits where weights are quantised; read ones together, in f32. Do both decide alike, and is
// `isReproducible` what it says?

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct DecodeSumsTests {
  /// The first sequence of a folder's input.json.
  private func tokens(_ folder: String) throws -> [Int32] {
    struct Input: Decodable { var sequences: [[Int32]] }
    let input = try JSONDecoder().decode(Input.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/input.json")))
    return try #require(input.sequences.first)
  }

  private func read(_ model: LanguageModel, _ tokens: [Int32]) -> (batches: [RoutingBatch], logits: [Float]) {
    let forward = ForwardPass(model, threads: 1)
    forward.reset(length: tokens.count)
    let batches = forward.advance(tokens[...], demand: RoutingDemand(logitsEvery: 1))
    return (batches, Array(forward.logits(tokens.count - 1..<tokens.count)))
  }

  /// The same tokens one by one, as if the model had chosen them.
  private func generate(_ model: LanguageModel, _ tokens: [Int32], reproducible: Bool) -> (batches: [RoutingBatch], logits: [Float]) {
    let forward = ForwardPass(model, threads: 2)
    forward.isReproducible = reproducible
    forward.reset(length: tokens.count)
    var batches = forward.advance(tokens[..<1], demand: RoutingDemand(logitsEvery: 1))
    for place in 1..<tokens.count {
      let more = forward.advance(tokens[place...place], demand: RoutingDemand(logitsEvery: 1), firstToken: place, phase: .decode)
      for (index, batch) in more.enumerated() { batches[index].append(batch) }
    }
    return (batches, Array(forward.logits(0..<1)))
  }

  private func compare(_ path: String, in folder: String) throws {
    let model = try LanguageModel(path: path)
    let tokens = try tokens(folder)
    let (once, digits, same) = (
      read(model, tokens), generate(model, tokens, reproducible: false), generate(model, tokens, reproducible: true)
    )
    #expect(same.batches == once.batches && same.logits == once.logits, "reproducible")
    var decisions = 0
    for (batch, other) in zip(once.batches, digits.batches) {
      for token in 0..<batch.count where !(batch.selectionMargin[token] <= 1e-5) {
        let range = token * batch.topK..<(token + 1) * batch.topK
        #expect(Set(batch.selectedExperts[range]) == Set(other.selectedExperts[range]), "\(batch.router), token \(token)")
        decisions += 1
      }
    }
    #expect(decisions >= tokens.count)
    let distance = zip(once.logits, digits.logits).map { abs($0 - $1) }.max() ?? .infinity
    #expect(distance < 1e-3)
    // Digits are used at all, and latents as they are: their last bits are others.
    if Self.hasDigits(model) || Self.hasLatents(model) { #expect(digits.logits != once.logits) }
  }

  private static func hasDigits(_ model: LanguageModel) -> Bool {
    ["q8_0", "q4_0", "q4_k", "q5_k", "q6_k", "mxfp4"].contains(model.facts().quantization)
  }

  /// Whether reading unfolds latents, which generating does not; a scorer makes both alike.
  private static func hasLatents(_ model: LanguageModel) -> Bool {
    model.weights.decoder.blocks.joined().contains { ($0.operation as? BoundLatentAttention).map { $0.plan.index == nil } ?? false }
  }

  @Test(arguments: ["deepseek_v2", "deepseek_v3", "kimi_linear", "longcat_flash", "hy_v4"]) func latentsMayStayAsTheyAre(_ name: String)
    throws
  {
    let folder = try #require(ModelFixture.named(name).first).folder
    try compare(folder, in: folder)
  }

  @Test func generatedTokensDecideAsReadOnes() throws {
    let folder = try #require(Fixtures.own("gguf/mixtral"))
    let model = try LanguageModel(path: folder + "/gguf/q4_0.gguf")
    #expect(Self.hasDigits(model))
    try compare(folder + "/gguf/q4_0.gguf", in: folder)
  }

  @Test(.enabled(if: Fixtures.sharedRoot != nil, "\(Fixtures.needsShared)"), arguments: GGUFParityTests.sharedCases)
  func furtherReferencesDoToo(_ item: GGUFParityTests.Case) throws {
    let folder = try #require(Fixtures.shared(item.family))
    try compare("\(folder)/\(item.file)", in: folder)
  }
}
