// Does verification hold behind near ties, and only there? Two experts get the same router row, so every token that wants one of them is a
// tie. The reference is the same model with the two experts renamed: it takes the other one of every tie, and is as right.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct TieRulingsTests {
  private let fixture: ModelFixture
  private let tied: TemporaryDirectory
  private let renamed: TemporaryDirectory

  init() throws {
    fixture = try #require(ModelFixture.named("mixtral").first)
    let tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    (tied, renamed) = (try fixture.linked(without: ["model.safetensors"]), try fixture.linked(without: ["model.safetensors"]))
    var copy = tensors
    for index in copy.indices where copy[index].name.hasSuffix("gate.weight") {
      let row = copy[index].bytes.count / copy[index].shape[0]
      copy[index].bytes.replaceSubrange(row..<2 * row, with: copy[index].bytes[..<row])
    }
    try StoredTensor.write(copy, to: tied.file("model.safetensors"))
    for index in copy.indices {
      for (one, other) in [(".experts.0.", ".experts.1."), (".experts.1.", ".experts.0.")] where copy[index].name.contains(one) {
        copy[index].name = copy[index].name.replacingOccurrences(of: one, with: other)
        break
      }
    }
    try StoredTensor.write(copy, to: renamed.file("model.safetensors"))
  }

  /// What a model computes, as an expected file in which experts 0 and 1 have changed names; `change` may spoil it.
  private func expected(_ change: (inout StoredTensor) -> Void = { _ in }) throws -> SafetensorsFile {
    let model = try LanguageModel(path: renamed.path)
    let wanted = try SafetensorsFile(path: fixture.file("expected.safetensors"))
    let capture = try Verifier(model, threads: 1).capture(fixture.sequences(), wanted: Set(wanted.tensors.map(\.name)))
    var tensors: [StoredTensor] = []
    for view in wanted.tensors {
      var tensor = StoredTensor(name: view.name, type: view.elementType, shape: view.shape, bytes: Array(view.bytes))
      if let values = capture.floats[view.name] {
        tensor.bytes = values.flatMap { withUnsafeBytes(of: $0) { Array($0) } }
      } else if view.name.hasSuffix("expert_ids"), let router = model.routers.first(where: { view.name == "\($0.id).expert_ids" }) {
        let ids = try #require(capture.ids[router.id]).map { $0 < 2 ? 1 - $0 : $0 }
        tensor.bytes = ids.flatMap { withUnsafeBytes(of: $0) { Array($0) } }
      }
      change(&tensor)
      tensors.append(tensor)
    }
    let path = renamed.file("expected.safetensors")
    try StoredTensor.write(tensors, to: path)
    return try SafetensorsFile(path: path)
  }

  private func report(_ expected: SafetensorsFile) throws -> VerificationReport {
    try Verifier(LanguageModel(path: tied.path), threads: 1).verify(fixture.sequences(), against: expected)
  }

  @Test func everythingHoldsBehindTiesThatFallTheOtherWay() throws {
    let report = try report(expected())
    #expect(report.holds, "\(report.entries.filter { $0.outcome == .differs }.map { "\($0.tensor) \($0.error) \($0.detail)" })")
    #expect(report.nearTies > 10 && report.ruledTies == report.nearTies)
    #expect(report.equalDecisions + report.nearTies == report.decisions)
  }

  @Test func withoutTheLogitsNobodyKnowsTheTies() throws {
    let report = try report(expected { if $0.name.hasSuffix("router_logits") { $0.name = "not_" + $0.name } })
    #expect(!report.holds && report.ruledTies == 0)
  }

  /// Samples that share a pass take their steps together; expected files go sample by sample.
  @Test(arguments: [1, 2, 3, 5, 8]) func rowsOfImagesAreFoundWhicheverSharesAPass(batch: Int) {
    let layout = DenoisingLayout(
      sampler: "ddpm", timesteps: [2, 1, 0], branchCount: 2, patchRows: 2, patchColumns: 2, guidanceScale: 2)
    let place = DenoisingVerifier.place(samples: 5, batch: batch, layout)
    var row = 0
    for first in stride(from: 0, to: 5, by: batch) {
      for step in 0..<3 {
        for sample in first..<min(5, first + batch) {
          for patch in 0..<8 {  // of both branches
            #expect(place(row) == (sample * 3 + step) * 8 + patch)
            row += 1
          }
        }
      }
    }
  }

  @Test func aDecisionThatIsNoTieIsNotExcused() throws {
    var isSpoilt = false
    let report = try report(
      expected { tensor in
        // The first token's experts: the worst instead of the best.
        guard tensor.name == "ffn.0.expert_ids", !isSpoilt else { return }
        isSpoilt = true
        let ids = tensor.bytes.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
        let unused = (0..<Int32(6)).filter { !ids[0..<2].contains($0) && $0 > 1 }
        for (slot, id) in unused.prefix(2).enumerated() {
          tensor.bytes.replaceSubrange(slot * 4..<slot * 4 + 4, with: withUnsafeBytes(of: id) { Array($0) })
        }
      })
    #expect(isSpoilt && !report.holds)
  }
}
