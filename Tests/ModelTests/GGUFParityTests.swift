// Do models in GGUF files decide as the reference does? Unquantised files against the reference's own run, quantised ones against the
// reference with the same dequantised weights; the rules are those of `verify`. Files of many families and types are further reference
// models (MOETOP_SHARED); each way of reading them has a small one here.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct GGUFParityTests {
  private struct Input: Decodable {
    var sequences: [[Int32]]
  }

  /// The sequences of a folder's input.json.
  private func sequences(_ folder: String) throws -> [TokenSequence] {
    try JSONDecoder().decode(Input.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/input.json"))).sequences.enumerated().map {
      TokenSequence(SequenceDescription(name: "sequence \($0)"), tokens: $1)
    }
  }

  /// gpt-oss with its yarn range rounded. The expected values of its quantised files were made by llama.cpp, which always rounds; the
  /// model does not, and GGUF does not say.
  static let rounded = ["rope_scaling.truncate": "true"]
  static let settings = ["gpt_oss gguf/q8_0.gguf": rounded, "gpt_oss gguf/mxfp4.gguf": rounded]

  /// A file of a folder, and what it is compared with.
  struct Case: Sendable, CustomTestStringConvertible {
    var family: String
    var file: String
    var expected: String
    var testDescription: String { "\(family) \(file)" }
  }

  /// Every file of the further reference models.
  static let sharedCases: [Case] = {
    guard let root = Fixtures.sharedRoot else { return [] }
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

  @Test func equalsTheReference() throws {
    let own = Case(family: "gguf/mixtral", file: "gguf/q4_0.gguf", expected: "gguf/expected_dequant_q4_0.safetensors")
    try compare(own, in: #require(Fixtures.own(own.family)))
  }

  @Test func thereAreFurtherReferences() { #expect(Fixtures.sharedRoot == nil || Self.sharedCases.count > 30) }

  @Test(.enabled(if: Fixtures.sharedRoot != nil, "\(Fixtures.needsShared)"), arguments: sharedCases)
  func equalsFurtherReferences(_ item: Case) throws { try compare(item, in: #require(Fixtures.shared(item.family))) }

  private func compare(_ item: Case, in folder: String) throws {
    let settings = Self.settings["\(item.family) \(item.file)"]
    let model = try LanguageModel(path: "\(folder)/\(item.file)", overrides: settings ?? [:])
    let report = try Verifier(model, threads: 1)
      .verify(sequences(folder), against: SafetensorsFile(path: "\(folder)/\(item.expected)"))
    // What llama.cpp calls router logits lacks the router's bias.
    for entry in report.entries where settings == nil || !entry.tensor.hasSuffix("router_logits") {
      #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)")
    }
    #expect(report.decisions > 0 && report.equalDecisions == report.decisions)
    #expect(model.facts().unusedTensors.isEmpty, "\(model.facts().unusedTensors)")
  }

  /// Names of files of our own, and what they leave out where their folders say otherwise than published checkpoints.
  static let converted: [String: [String: String]] = {
    let data = FileManager.default.contents(atPath: Fixtures.root + "/Tests/Fixtures/gguf/settings.json")
    return data.flatMap { try? JSONDecoder().decode([String: [String: String]].self, from: $0) } ?? [:]
  }()

  @Test func everyConvertedFileIsThere() { #expect(Self.converted.count == 38) }

  /// Files as llama.cpp's converter writes them, by tools/make_gguf.py, against the expected values of their folders.
  @Test(arguments: converted.keys.sorted())
  func equalsTheFolderItWasMadeOf(_ name: String) throws {
    let fixture = try #require(ModelFixture.named(name).first)
    let file = try #require(Fixtures.own("gguf/\(name).gguf"))
    let model = try LanguageModel(path: file, overrides: Self.converted[name] ?? [:])
    // MiniMax's folder has tables of decay, which files lack: transformers ran it without them too.
    let expected = Fixtures.own("gguf/\(name).expected.safetensors") ?? fixture.file("expected.safetensors")
    let report = try Verifier(model, threads: 1).verify(fixture.sequences(), against: SafetensorsFile(path: expected))
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    let facts = model.facts()
    // One file has a block that looks further ahead, as published ones do.
    let ahead = name == "step3p5" ? ["attn_norm", "nextn.eh_proj", "nextn.shared_head_norm"].map { "blk.4.\($0).weight" } : []
    #expect(facts.unusedTensors == ahead && facts.otherParameters.mtp == (ahead.isEmpty ? 0 : 2112), "\(facts.unusedTensors)")
  }

  /// The same files in the ways of Ollama's converter (tools/make_ollama_gguf.py), with a tower and layers that look ahead beside the model.
  @Test(arguments: [
    ("gpt_oss", [0, 0, 0]), ("laguna", [0, 0, 0]), ("qwen3_5_moe", [256, 0, 256]), ("gemma4", [256, 128, 0]), ("nemotron_h", [0, 0, 128]),
  ])
  func equalsTheFolderInOllamasWays(_ name: String, _ beside: [Int]) throws {
    let fixture = try #require(ModelFixture.named(name).first)
    let model = try LanguageModel(path: #require(Fixtures.own("gguf/ollama/\(name).gguf")), overrides: Self.converted[name] ?? [:])
    let report = try Verifier(model, threads: 1)
      .verify(fixture.sequences(), against: SafetensorsFile(path: fixture.file("expected.safetensors")))
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    let facts = model.facts()
    let others = facts.otherParameters
    #expect([others.vision, others.audio, others.mtp] == beside && facts.unusedTensors.allSatisfy(OllamaFiles.isBesideText))
    let usual = try LanguageModel(path: #require(Fixtures.own("gguf/\(name).gguf")), overrides: Self.converted[name] ?? [:]).facts()
    #expect(facts.parameters == usual.parameters && facts.activeParameters == usual.activeParameters)
  }

  /// Cut in four, as large downloads are; each part may be named.
  @Test(arguments: 1...4) func equalsTheFolderInParts(_ part: Int) throws {
    let fixture = try #require(ModelFixture.named("mellum").first)
    let file = try #require(Fixtures.own("gguf/split/mellum-0000\(part)-of-00004.gguf"))
    let report = try Verifier(LanguageModel(path: file), threads: 1)
      .verify(fixture.sequences(), against: SafetensorsFile(path: fixture.file("expected.safetensors")))
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
  }

  /// docs/models.md says of every family by which architecture it comes, that it does not, or that it is not read yet.
  @Test func thePageSaysWhatComesAsGGUF() throws {
    let page = try String(contentsOfFile: Fixtures.root + "/docs/models.md", encoding: .utf8)
    for family in Family.all {
      let architectures = GGUFFamily.all.filter { $0.modelType == family.modelType }.map { "`\($0.architecture)`" }
      let row = page.split(separator: "\n").first { $0.hasPrefix("| `\(family.modelType)` | ") && $0.filter { $0 == "|" }.count == 3 }
      let says = try #require(row, "\(family.modelType): tools/make_models_page.py writes the page").split(separator: "|")[1]
      if !architectures.isEmpty {
        var names: [String] = []
        for name in architectures where !names.contains(name) { names.append(name) }
        #expect(says == " \(names.joined(separator: ", ")) ")
      } else {
        let isOther = GGUFFamily.all.contains { says == " `\($0.architecture)`, read as `\($0.modelType)` " }
        #expect(isOther || says.hasPrefix(" none: ") || says.hasSuffix(", not read yet "), "\(family.modelType): \(says)")
      }
    }
  }

  /// Gate and up of all experts in one tensor, as a choice of the converter has it.
  @Test func readsGateAndUpInOneTensor() throws {
    let names = GGUFNames(
      habits: .init(), headSize: 8, linearHeads: (1, 1, 1, 1), has: { $0 == "blk.0.ffn_gate_up_exps.weight" })
    for (projection, first) in [("gate_proj", 96), ("up_proj", 112)] {
      let plan = MatrixPlan("model.layers.0.mlp.experts.3.\(projection).weight")
      guard case .stored(let place) = names.place(plan, rows: 16, columns: 32) else { throw CancellationError() }
      #expect(place.tensor == "blk.0.ffn_gate_up_exps.weight" && place.storedShape == [-1, 32, 32] && place.firstRow == first)
    }
  }

  /// Three families have one shape in these files; the tokenizer tells them apart, or `inspect` says which one is assumed.
  @Test func tellsTheFamiliesOfLatentAttentionApart() throws {
    let file = try #require(Fixtures.own("gguf/glm4_moe_lite.gguf"))
    let model = try LanguageModel(path: file)
    #expect(model.family == "deepseek_v3" && model.assumed.contains { $0.key == "model_type" })
    #expect(try LanguageModel(path: file, overrides: ["model_type": "\"glm4_moe_lite\""]).family == "glm4_moe_lite")
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    // The key becomes that of the text splitting; the value has the length it had.
    let (old, new) = (Array("tokenizer.ggml.model".utf8), Array("tokenizer.ggml.pre".utf8))
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: old) })
    bytes.replaceSubrange(place - 8..<place + old.count, with: [UInt8(new.count)] + [UInt8](repeating: 0, count: 7) + new)
    let value = try #require(bytes[place...].indices.first { bytes[$0...].starts(with: Array("none".utf8)) })
    bytes.replaceSubrange(value..<value + 4, with: Array("glm4".utf8))
    // Two bytes fewer: the name of the model grows by them, so that tensors stay where they were.
    let title = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("general.name".utf8)) }) + 12 + 4
    bytes[title] += 2
    bytes.insert(contentsOf: Array("!!".utf8), at: title + 8)
    let directory = try TemporaryDirectory()
    let renamed = try LanguageModel(path: directory.write(bytes, to: "model.gguf"))
    #expect(renamed.family == "glm4_moe_lite" && !renamed.assumed.contains { $0.key == "model_type" })
  }

  /// 8-bit floats with block scales, and 4-bit floats with their powers of two in another tensor, in safetensors.
  @Test(arguments: ["deepseek_v3-fp8", "gpt_oss-mxfp4"])
  func quantisedSafetensors(_ family: String) throws {
    let folder = try #require(Fixtures.own("quant/\(family)"))
    let model = try LanguageModel(path: folder)
    let report = try Verifier(model, threads: 1)
      .verify(sequences(folder), against: SafetensorsFile(path: folder + "/expected.safetensors"))
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions > 0 && report.equalDecisions == report.decisions)
    #expect(model.facts().unusedTensors.isEmpty, "\(model.facts().unusedTensors)")
  }

  @Test func saysWhatItAssumes() throws {
    let file = try #require(Fixtures.own("gguf/mixtral/gguf/q4_0.gguf"))
    #expect(try LanguageModel(path: file).assumed.map { "\($0.key)=\($0.value)" } == ["sliding_window=null"])
    let model = try LanguageModel(path: file, overrides: ["sliding_window": "7"])
    #expect(model.assumed.isEmpty && model.facts().quantization == "q4_0" && model.facts().routerPrecision == "f32")
  }

  /// What llama.cpp's converter leaves out of these is said to be assumed; what it writes is not.
  @Test(arguments: [
    ("qwen3_5_moe", []), ("gemma4", []), ("nemotron_h", []), ("laguna", ["layer_types"]),
    ("mimo_v2_flash", ["norm_topk_prob", "routed_scaling_factor", "sliding_window_size"]),
    ("mistral4", ["rope_scaling.llama_4_scaling_beta"]), ("kimi_linear", ["moe_renormalize", "num_expert_group"]), ("jamba", []),
    ("glm_moe_dsa", []), ("deepseek_v32", []), ("deepseek_v4-published", []), ("deepseek", ["norm_topk_prob"]), ("bailing_moe", []),
    ("bailing_moe-second", []), ("bailing_hybrid", []), ("minimax_m3", ["swiglu_limit"]), ("granitemoe_swa", []), ("glm4v_moe", []),
    ("solar_open", []),
  ])
  func saysWhatFamiliesOf2026LeaveOut(_ name: String, _ keys: [String]) throws {
    let model = try LanguageModel(path: #require(Fixtures.own("gguf/\(name).gguf")))
    #expect(model.assumed.map(\.key).sorted() == keys, "\(model.assumed)")
  }

  /// Gemma 4's divisors are one share of the head that turns, and nothing else.
  @Test func refusesOtherDivisors() throws {
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("gguf/gemma4.gguf")))))
    let still = withUnsafeBytes(of: Float(1e30).bitPattern.littleEndian) { Array($0) }
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: still) })
    bytes.replaceSubrange(place..<place + 4, with: withUnsafeBytes(of: Float(8).bitPattern.littleEndian) { Array($0) })
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes, to: "model.gguf")
    let error = #expect(throws: ModelError.self) { try LanguageModel(path: path) }
    #expect(error.map { "\($0)" }?.contains("tensor \"rope_freqs.weight\" = other divisors") == true, "\(String(describing: error))")
  }

  /// Columns of the projection behind a delta network by value head; heads of 8 lie within one block of 32, which is taken apart.
  @Test func regroupsColumnsWithinBlocks() throws {
    let names = GGUFNames(habits: .init(tilesValueHeads: true), headSize: 8, linearHeads: (2, 8, 6, 8), has: { _ in false })
    let plan = MatrixPlan("model.layers.0.linear_attn.out_proj.weight")
    guard case .regrouped(let tensor, let run, let place) = names.place(plan, rows: 32, columns: 48) else { throw CancellationError() }
    #expect(tensor == "blk.0.ssm_out.weight" && run == 8 && (0..<6).map(place) == [0, 2, 4, 1, 3, 5])
  }

  /// A key that matters and that the family does not read is refused by its name.
  @Test func refusesWhatNobodyReads() throws {
    let source = try #require(Fixtures.own("gguf/mixtral/gguf/q4_0.gguf"))
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: source)))
    let (known, other) = (Array("llama.rope.freq_base".utf8), Array("llama.residual_scale".utf8))
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: known) })
    bytes.replaceSubrange(place..<place + known.count, with: other)
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes, to: "model.gguf")
    do {
      _ = try LanguageModel(path: path)
      Issue.record("opened")
    } catch { #expect("\(error)".contains("model.gguf: llama.residual_scale = 1000000.0 is not supported"), "\(error)") }
  }

  /// Text of the metadata that would end a JSON text is refused as the text it is, by the field it stands for.
  @Test func quotesInMetadataStayQuotes() throws {
    let source = try #require(Fixtures.own("gguf/mixtral/gguf/q4_0.gguf"))
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: source)))
    func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(text.utf8) }
    // One more pair, of 64 bytes: the tensors stay aligned.
    bytes.insert(contentsOf: text("llama.rope.scaling.type") + [8, 0, 0, 0] + text(#"yarn", "factor": 1000"#), at: 24)
    bytes[16] += 1
    let directory = try TemporaryDirectory()
    let path = try directory.write(bytes, to: "model.gguf")
    let error = #expect(throws: ModelError.self) { try LanguageModel(path: path) }
    #expect(error.map { "\($0)" }?.hasPrefix("model.gguf: rope_scaling.rope_type = ") == true, "\(String(describing: error))")
  }
}
