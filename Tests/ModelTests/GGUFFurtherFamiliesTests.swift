// What do files of Step, Ling, Granite with windows and DeepSeek-MoE say beside their numbers, and what in them is refused? That they
// decide as the reference does is GGUFParityTests' business.

import Formats
import Foundation
import Support
import Testing

@testable import Model

struct GGUFFurtherFamiliesTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A file of ours with bytes replaced behind the first place of some text.
  private func changed(_ name: String, after text: String, skipping count: Int = 4, to new: [UInt8]) throws -> String {
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("gguf/\(name).gguf")))))
    let start = try #require(bytes.firstRange(of: Array(text.utf8))).upperBound + count
    bytes.replaceSubrange(start..<start + new.count, with: new)
    return try directory.write(bytes, to: name + ".gguf")
  }

  private func error(_ path: String) -> String {
    let error = #expect(throws: ModelError.self) { try LanguageModel(path: path) }
    return error.map { "\($0)" } ?? ""
  }

  // MARK: Step's stretch

  /// The divisors that llama.cpp's converter makes of the published rule, by that rule as it is published.
  private func divisors(factor: Double, context: Double, high: Double, base: Double, count: Int) -> [Float] {
    (0..<count).map { index in
      let wavelength = 2 * Double.pi * pow(base, Double(2 * index) / Double(2 * count))
      if wavelength < context / high { return 1 }
      if wavelength > context { return Float(factor) }
      let smooth = (context / wavelength - 1) / (high - 1)
      return Float(1 / ((1 - smooth) / factor + smooth))
    }
  }

  @Test func publishedDivisorsTellTheirRule() {
    let published = divisors(factor: 2, context: 131_072, high: 32, base: 5_000_000, count: 64)
    #expect(published.first == 1 && published.last == 2 && Set(published).count > 3)
    let members = GGUFFamily.publishedStretch(published, base: 5_000_000)
    #expect(
      members == [
        "\"factor\": 2.0", "\"original_max_position_embeddings\": 131072", "\"low_freq_factor\": 1.0", "\"high_freq_factor\": 32.0",
      ])
    for other in [
      divisors(factor: 4, context: 131_072, high: 32, base: 5_000_000, count: 64),
      divisors(factor: 2, context: 65_536, high: 32, base: 5_000_000, count: 64),
      divisors(factor: 2, context: 131_072, high: 16, base: 5_000_000, count: 64), [Float](repeating: 1, count: 64), [.nan],
    ] { #expect(GGUFFamily.publishedStretch(other, base: 5_000_000).isEmpty) }
    #expect(GGUFFamily.publishedStretch(published, base: 10_000).isEmpty)
  }

  /// Divisors of another rule do not say what it was; the numbers have to be set.
  @Test func otherDivisorsAskForTheirRule() throws {
    let file = try #require(Fixtures.own("gguf/step3p5.gguf"))
    #expect(try LanguageModel(path: file).family == "step3p5")
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    let place = try #require(GGUFFile(path: file).tensors.first { $0.name == "rope_freqs.weight" }).byteOffset
    bytes.replaceSubrange(place..<place + 4, with: withUnsafeBytes(of: Float(2).bitPattern.littleEndian) { Array($0) })
    let found = error(try directory.write(bytes, to: "other.gguf"))
    #expect(found == "other.gguf: rope_parameters.full_attention.factor: expected a positive number, found nothing", "\(found)")
  }

  // MARK: What is refused

  @Test func refusesAFactorWhereThereIsNone() throws {
    let two = withUnsafeBytes(of: Float(2).bitPattern.littleEndian) { Array($0) }
    for name in ["deepseek", "bailing_moe"] {
      let architecture = name == "deepseek" ? "deepseek" : "bailingmoe"
      let found = error(try changed(name, after: "\(architecture).expert_weights_scale", to: two))
      #expect(found.hasPrefix("\(name).gguf: routed_scaling_factor"), "\(found)")
    }
  }

  /// llama.cpp has neither gates without a bound nor clamps of single layers in this family's declaration.
  @Test func refusesOtherGatesOfLing() throws {
    let unbounded = error(try changed("bailing_hybrid", after: "kda.safe_gate", to: [0]))
    #expect(unbounded.contains("bailing_hybrid.gguf: bailingmoe3.kda.safe_gate = false is not supported"), "\(unbounded)")
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("gguf/bailing_hybrid.gguf")))))
    let key = Array("bailingmoe3.swiglu_clamp_exp".utf8)
    // One more pair, of 64 bytes: three floats, the last 7.
    bytes.insert(
      contentsOf: [UInt8(key.count), 0, 0, 0, 0, 0, 0, 0] + key + [9, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE0, 0x40], at: 24)
    bytes[16] += 1
    let clamped = error(try directory.write(bytes, to: "clamped.gguf"))
    #expect(clamped.hasPrefix("clamped.gguf: expert_swiglu_limit_list"), "\(clamped)")
  }

  /// Newer files say layer by layer how many experts a token takes.
  @Test func refusesOtherCountsByLayer() throws {
    let found = error(try changed("granitemoe_swa", after: "granite_swa.expert_used_count", skipping: 20, to: [1, 0, 0, 0]))
    #expect(found.contains("granitemoe_swa.gguf: granite_swa.expert_used_count = several numbers is not supported"), "\(found)")
  }

  /// A rate is the exponential of something in Ling's files; a negative one is none.
  @Test func aRateWithASignIsNoRate() {
    #expect(GGUFVectorChange.exponential.undone(1) == 0 && GGUFVectorChange.exponential.undone(-1).isNaN)
  }

  // MARK: Names

  private func names(_ tensors: Set<String>, pairs: Bool = false) -> GGUFNames {
    GGUFNames(
      habits: .init(pairsHeadRows: pairs), headSize: 4, headCount: 2, linearHeads: (1, 1, 1, 1), has: { tensors.contains($0) })
  }

  private func stored(_ names: GGUFNames, _ plan: MatrixPlan, rows: Int, columns: Int) throws -> MatrixPlan {
    guard case .stored(let place) = names.place(plan, rows: rows, columns: columns) else { throw CancellationError() }
    return place
  }

  /// Gate and up of Granite's shared expert: in one tensor, or in two as files of other families have them.
  @Test func sharedExpertsInOneTensorOrTwo() throws {
    for half in 0...1 {
      let plan = MatrixPlan("model.layers.3.shared_mlp.input_linear.weight", storedShape: [48, 32], firstRow: half * 24)
      let one = try stored(names(["blk.3.ffn_up_shexp.weight"]), plan, rows: 24, columns: 32)
      #expect(one.tensor == "blk.3.ffn_up_shexp.weight" && one.storedShape == [48, 32] && one.firstRow == half * 24)
      let two = try stored(names(["blk.3.ffn_gate_shexp.weight", "blk.3.ffn_up_shexp.weight"]), plan, rows: 24, columns: 32)
      #expect(two.tensor == "blk.3.ffn_\(half == 0 ? "gate" : "up")_shexp.weight" && two.storedShape == nil && two.firstRow == 0)
    }
  }

  /// Early files of MiniMax-M3 have the scorer's tensors under the published words.
  @Test func scorersUnderEitherName() throws {
    for name in ["indexer.q_proj", "index_q_proj"] {
      let plan = MatrixPlan("model.layers.1.self_attn.index_q_proj.weight")
      #expect(try stored(names(["blk.1.\(name).weight"]), plan, rows: 8, columns: 32).tensor == "blk.1.\(name).weight")
    }
  }

  /// Two query heads of 4, one key head, one value head, in one published matrix of 16 rows.
  @Test func headsThatArePublishedInOne() throws {
    let plan = MatrixPlan("model.layers.0.attention.query_key_value.weight", storedShape: [16, 32], firstRow: 8)
    guard case .gathered(let tensors, let rows, let row) = names([], pairs: true).place(plan, rows: 4, columns: 32) else {
      throw CancellationError()
    }
    #expect(tensors == ["attn_q", "attn_k", "attn_v"].map { "blk.0.\($0).weight" } && rows == 16)
    #expect((0..<16).map { row($0).tensor } == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    #expect((0..<16).map { row($0).row } == [0, 2, 1, 3, 4, 6, 5, 7, 0, 2, 1, 3, 0, 1, 2, 3])
    let fused = try stored(names(["blk.0.attn_qkv.weight"]), plan, rows: 4, columns: 32)
    #expect(fused.tensor == "blk.0.attn_qkv.weight" && fused.firstRow == 8)
  }
}
