// What DeepSeek-V4 brought, part by part: residual streams that are mixed without growing, entries that do not depend on how their tokens
// came, tables of experts that have to be tables of experts, the names and fields of both writers, and the packed numbers of the official files.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct CompressedModelTests {
  private var fixture: ModelFixture { get throws { try #require(ModelFixture.named("deepseek_v4").first) } }

  private func numbers(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in Float.random(in: -2...2, using: &random) }
  }

  // MARK: Residual streams

  @Test func mixturesOfStreamsAreNearlyDoublyStochastic() throws {
    let model = try LanguageModel(path: fixture.folder)
    let connection = try #require(model.weights.decoder.blocks[1][0].connection as? BoundHyperConnection)
    let (n, hidden, count) = (connection.plan.streams, model.hiddenSize, 5)
    let pool = WorkerPool(threads: 2)
    let arena = Arena()
    var stream = numbers(count * n * hidden, seed: 3)
    let output = numbers(count * hidden, seed: 4)
    stream.withUnsafeMutableBufferPointer { stream in
      guard let stream = stream.baseAddress else { return }
      let weights = connection.weights(stream, count: count, pool, arena)
      let before = Array(UnsafeBufferPointer(start: stream, count: count * n * hidden))
      let collapsed = arena.floats(count * hidden)
      connection.collapse(stream, weights, count: count, hidden: hidden, into: collapsed, pool)
      connection.spread(output, weights, count: count, hidden: hidden, over: stream, pool)
      for t in 0..<count {
        let own = weights + t * (2 + n) * n
        for i in 0..<n {
          let (input, output) = (own[i], own[n + i])
          #expect(input > 0 && input < 1.001)
          #expect(output > 0 && output < 2)
          var (row, column): (Float, Float) = (0, 0)
          for j in 0..<n {
            row += own[2 * n + i * n + j]
            column += own[2 * n + j * n + i]
          }
          #expect(abs(row - 1) < 0.05)
          #expect(abs(column - 1) < 1e-4, "columns come last")
        }
        for h in 0..<hidden {
          var read: Float = 0
          for j in 0..<n { read += own[j] * before[(t * n + j) * hidden + h] }
          let got = collapsed[t * hidden + h]
          #expect(abs(got - read) < 1e-5)
          for k in 0..<n {
            var wanted = own[n + k] * output[t * hidden + h]
            for j in 0..<n { wanted += own[2 * n + j * n + k] * before[(t * n + j) * hidden + h] }
            let spread = stream[(t * n + k) * hidden + h]
            #expect(abs(spread - wanted) < 1e-5, "stream j goes to stream k by row j")
          }
        }
      }
    }
  }

  // MARK: Tables of experts

  /// The fixture with other ids for token 5 in the table of layer 1.
  private func damaged(_ ids: [Int64]) throws -> TemporaryDirectory {
    let folder = try fixture.linked(without: ["model.safetensors"])
    var tensors = try StoredTensor.read(fixture.file("model.safetensors"))
    let place = try #require(tensors.firstIndex { $0.name.hasSuffix("layers.1.ffn.gate.tid2eid") })
    for (slot, id) in ids.enumerated() {
      withUnsafeBytes(of: id.littleEndian) { tensors[place].bytes.replaceSubrange((5 * 3 + slot) * 8..<(5 * 3 + slot + 1) * 8, with: $0) }
    }
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    return folder
  }

  @Test(arguments: [[0, 1, 8], [0, -1, 2], [3, 3, 1], [0, 1, Int64.max]])
  func aRowThatIsNoChoiceIsAnErrorWhereItIsNeeded(_ ids: [Int64]) throws {
    let folder = try damaged(ids)
    defer { withExtendedLifetime(folder) {} }
    let model = try LanguageModel(path: folder.path)
    func read(_ tokens: [Int32]) throws {
      _ = try Reader(ForwardPass(model, threads: 1)).read([TokenSequence(SequenceDescription(name: "x"), tokens: tokens)], sink: nil)
    }
    try read([1, 2, 3])
    let error = #expect(throws: ModelError.self) { try read([1, 5, 3]) }
    let words = "\(try #require(error))"
    #expect(words.contains("tid2eid") && words.contains("token id 5") && words.contains("3 different experts of 0 to 7"))
    #expect(error?.kind == .damaged)
  }

  // MARK: Names and fields

  /// The fixture under the names and fields that the official checkpoints have.
  private func official() throws -> TemporaryDirectory {
    let folder = try fixture.linked(without: ["config.json", "model.safetensors"])
    let names = [
      "model.embed_tokens.weight": "embed.weight", "model.hc_head.hc_": "hc_head_", ".attn.norm.": ".attn.kv_norm.", "model.": "",
    ]
    let tensors = try StoredTensor.read(fixture.file("model.safetensors")).map { tensor in
      var tensor = tensor
      for (old, new) in names.sorted(by: { $0.key.count > $1.key.count }) {
        tensor.name = tensor.name.replacingOccurrences(of: old, with: new)
      }
      return tensor
    }
    try StoredTensor.write(tensors, to: folder.file("model.safetensors"))
    var settings = try #require(
      JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: fixture.file("config.json")))) as? [String: Any])
    for key in ["layer_types", "mlp_layer_types", "compress_rates", "rope_parameters", "partial_rotary_factor"] { settings[key] = nil }
    settings["compress_ratios"] = [0, 4, 128, 4, 0]
    settings["compress_rate_hca"] = 8
    settings["num_hash_layers"] = 2
    settings["qk_rope_head_dim"] = 8
    settings["rope_scaling"] = NSNull()
    settings["topk_method"] = "noaux_tc"
    settings["num_nextn_predict_layers"] = 1
    settings["expert_dtype"] = "fp4"
    try folder.write(Array(JSONSerialization.data(withJSONObject: settings)), to: "config.json")
    return folder
  }

  @Test func officialNamesAndFieldsAreTheSameModel() throws {
    let folder = try official()
    defer { withExtendedLifetime(folder) {} }
    let model = try LanguageModel(path: folder.path)
    let report = try fixture.report(model)
    #expect(report.holds && report.equalDecisions == report.decisions)
    #expect(model.facts().unusedTensors.isEmpty)
  }

  @Test func yarnOfOlderFilesLeavesCosinesAsTheyAre() throws {
    func plan(_ fields: String) throws -> (window: RotaryPlan, entries: RotaryPlan) {
      let folder = try official()
      let path = folder.file("config.json")
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try folder.write(Array(("{" + fields + "," + text.dropFirst()).utf8), to: "config.json")
      let model = try LanguageModel(path: folder.path)
      let plans = model.plan.decoder.blocks.compactMap { $0.sublayers[0].operation as? CompressedAttentionPlan }
      return (plans[0].rotary, plans[1].rotary)
    }
    let older = try plan(#""rope_scaling": {"type": "yarn", "factor": 16, "original_max_position_embeddings": 32, "beta_fast": 32}"#)
    #expect(older.window.scaling == .none && older.window.base == 10_000 && older.entries.base == 160_000)
    guard case .yarn(factor: 16, originalContext: 32, _, _, _) = older.entries.scaling else {
      Issue.record("\(older.entries)")
      return
    }
    #expect(older.entries.magnitude == 1 && older.entries.isInterleaved && older.entries.rotatedSize == 8)
  }

  // MARK: Packed numbers

  /// 4-bit floats with powers of two for 32 numbers, and 8-bit floats with powers of two for blocks, as `NAME.scale` beside them.
  @Test func packedNumbersOfTheOfficialFilesAreRead() throws {
    let folder = try TemporaryDirectory()
    let codes = (0..<64).map { UInt8($0 * 7 % 16) }
    let packed = stride(from: 0, to: 64, by: 2).map { codes[$0] | codes[$0 + 1] << 4 }
    try StoredTensor.write(
      [
        StoredTensor(name: "a.weight", type: .i8, shape: [1, 32], bytes: packed),
        StoredTensor(name: "a.scale", type: .f8E8M0, shape: [1, 2], bytes: [128, 126]),
        StoredTensor(name: "b.weight", type: .f8E4M3, shape: [2, 4], bytes: [0x38, 0x40, 0xB8, 0, 0x38, 0x38, 0x38, 0x38]),
        StoredTensor(name: "b.scale", type: .f8E8M0, shape: [1, 1], bytes: [130]),
        StoredTensor(name: "c.weight", type: .i8, shape: [1, 32], bytes: packed),
        StoredTensor(name: "c.scale", type: .f8E8M0, shape: [1, 1], bytes: [128]),
      ], to: folder.file("x.safetensors"))
    let checkpoint = try Checkpoint(file: folder.file("x.safetensors"))
    func row(_ name: String, _ rows: Int, _ columns: Int) throws -> [Float] {
      let matrix = try checkpoint.matrix(MatrixPlan(name), rows: rows, columns: columns, because: "test").matrix
      var out = [Float](repeating: .nan, count: columns)
      matrix.read(row: rows - 1, into: &out)
      return out
    }
    let magnitudes: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let wanted = codes.enumerated().map { place, code in
      magnitudes[Int(code & 7)] * (code > 7 ? -1 : 1) * (place < 32 ? 2 : 0.5)
    }
    #expect(try row("a.weight", 1, 64) == wanted)
    #expect(try row("b.weight", 2, 4) == [8, 8, 8, 8])
    #expect(throws: ModelError.self) { try row("c.weight", 1, 64) }
    #expect(throws: ModelError.self) { try row("a.weight", 1, 32) }
  }
}
