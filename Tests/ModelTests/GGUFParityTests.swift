// Do models in GGUF files decide as the reference does? Unquantised files against the reference's own run, quantised ones against the
// reference with the same dequantised weights; the rules are those of `verify`. One small file travels with the project, the others are
// read where the machine has them.

import Formats
import Foundation
import Model
import Routing
import Support
import Testing

struct GGUFParityTests {
  private struct Input: Decodable {
    var sequences: [[Int32]]
  }

  /// Settings that GGUF leaves out and in which the tiny models differ from published ones.
  static let settings: [String: [String: String]] = [
    "qwen2_moe": ["norm_topk_prob": "false"]
  ]

  /// A file, and what it is compared with.
  struct Case: Sendable, CustomTestStringConvertible {
    var family: String
    var file: String
    var expected: String
    var testDescription: String { "\(family) \(file)" }
  }

  /// Every file of the shared fixtures, or the one of our own.
  static let cases: [Case] = {
    guard let root = Fixtures.shared("olmoe").map({ URL(fileURLWithPath: $0).deletingLastPathComponent().path }) else {
      return [Case(family: "models/mixtral", file: "gguf/q4_0.gguf", expected: "gguf/expected_dequant_q4_0.safetensors")]
    }
    var cases: [Case] = []
    for family in (try? FileManager.default.contentsOfDirectory(atPath: root).sorted()) ?? [] {
      for file in (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(family)/gguf").sorted()) ?? []
      where file.hasSuffix(".gguf") {
        let dequantised = "gguf/expected_dequant_\(file.dropLast(5)).safetensors"
        let isQuantised = FileManager.default.fileExists(atPath: "\(root)/\(family)/\(dequantised)")
        cases.append(Case(family: family, file: "gguf/" + file, expected: isQuantised ? dequantised : "expected.safetensors"))
      }
    }
    return cases
  }()

  @Test(arguments: cases)
  func equalsTheReference(_ item: Case) throws {
    let folder = try #require(Fixtures.any(item.family))
    let input = try JSONDecoder().decode(Input.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/input.json")))
    let sequences = input.sequences.enumerated().map {
      TokenSequence(SequenceDescription(name: "sequence \($0)"), tokens: $1)
    }
    let model = try LanguageModel(path: "\(folder)/\(item.file)", overrides: Self.settings[item.family] ?? [:])
    let report = try Verifier(model, threads: 1).verify(sequences, against: SafetensorsFile(path: "\(folder)/\(item.expected)"))
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    #expect(model.facts().unusedTensors.isEmpty, "\(model.facts().unusedTensors)")
  }

  @Test func saysWhatItAssumes() throws {
    let file = try #require(Fixtures.own("models/mixtral/gguf/q4_0.gguf"))
    #expect(try LanguageModel(path: file).assumed.map { "\($0.key)=\($0.value)" } == ["sliding_window=null"])
    let model = try LanguageModel(path: file, overrides: ["sliding_window": "7"])
    #expect(model.assumed.isEmpty && model.facts().quantization == "q4_0" && model.facts().routerPrecision == "f32")
  }
}
