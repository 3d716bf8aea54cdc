// `moetop import` beside a run of this engine, and in the ways it can be called: routes of another engine and our own on the same tokens, layers
// that were confused, records at fault, options, and what is refused with which code.

import Formats
import Foundation
import Support
import Testing

struct ImportCommandTests {
  private let folder: TemporaryDirectory
  private let trace: String

  init() throws {
    folder = try TemporaryDirectory()
    trace = folder.file("t.db")
  }

  private static let fixtures = Fixtures.root + "/Tests/Fixtures/"
  private static let olmoe = fixtures + "models/olmoe"

  private func vllm(_ name: String) -> [String] { (0..<2).map { Self.fixtures + "foreign/vllm/\(name).\($0).npy" } }

  @discardableResult
  private func moetop(_ arguments: [String], status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(arguments)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    return result
  }

  @discardableResult
  private func imported(_ arguments: [String], as name: String, status: Int32 = 0) throws -> JSONValue {
    let result = try moetop(["import", "--json", "--trace", trace, "--name", name] + arguments, status: status)
    return try JSON.parse(text: result.output, name: "answer")
  }

  private func run(_ model: String, as name: String) throws {
    try moetop(["run", model, "--tokens", model + "/input.json", "--trace", trace, "--name", name, "-q"])
  }

  /// The only pair of a comparison.
  private func compared(_ a: String, _ b: String) throws -> JSONValue {
    let result = try moetop(["compare", "\(trace)#\(a)", "\(trace)#\(b)", "--json"])
    return try #require(JSON.parse(text: result.output, name: "answer").array("pairs").first { _ in true })
  }

  private func routers(_ answer: JSONValue, _ code: String) throws -> [String?] {
    try answer.array("audit").filter { try $0.string("code") == code }.map { try $0.stringIfPresent("router") }
  }

  // MARK: Against this engine

  @Test func anotherEnginesRunAgreesWithOurs() throws {
    try run(Self.olmoe, as: "own")
    let answer = try imported(vllm("sound") + ["--model", Self.olmoe, "--tokens", Self.olmoe + "/input.json"], as: "vllm")
    #expect(try answer.array("audit").allSatisfy { try $0.string("severity") == "note" })
    let pair = try compared("own", "vllm")
    let layers = Array(try pair.array("layers"))
    #expect(layers.count == 2 && pair["tokens"]?.int64 == 46)
    for row in [pair] + layers {
      #expect(try row.number("set_agreement") == 1 && row.integer("flips") == 0 && row.number("top1_agreement") == 1)
    }
  }

  @Test func layersInAnotherOrderAreNamed() throws {
    let tokens = ["--tokens", Self.olmoe + "/input.json"]
    let answer = try imported(vllm("rolled") + ["--model", Self.olmoe] + tokens, as: "rolled", status: 1)
    #expect(try routers(answer, "shifted_layers") == ["ffn.0", "ffn.1"])
    // Without the model nothing in the file shows it; beside a run of the model every layer does.
    try imported(vllm("rolled") + tokens, as: "blind")
    try run(Self.olmoe, as: "own")
    for layer in try compared("own", "blind").array("layers") {
      #expect(try layer.number("set_agreement") < layer.number("load_baseline") + 0.1)
      #expect(try layer.integer("flips") > 40)
    }
  }

  /// Of three layers one has the routes of its neighbour: that one is accused, and no other.
  @Test func oneLayerWithTheRoutesOfItsNeighbourIsNamed() throws {
    let model = Self.fixtures + "models/mellum"
    let reference = try SafetensorsFile(path: model + "/expected.safetensors")
    let ids = try (0..<3).map { layer in
      let rows = NumberRows(try reference.tensor("ffn.\(layer).expert_ids"))
      return (values: try rows.integers(0..<rows.count), width: rows.width)
    }
    /// Layers of the model that stand in the record's places.
    func files(_ layers: [Int], _ name: String) throws -> [String] {
      let width = ids[0].width
      return try (0..<2).map { sequence in
        var numbers: [Int32] = []
        for row in sequence * 24..<sequence * 24 + 23 {
          for layer in layers { numbers += ids[layer].values[row * width..<(row + 1) * width] }
        }
        return try folder.write(NPYBytes.of(numbers, [23, 3, width]), to: "\(name).\(sequence).npy")
      }
    }
    let known = ["--model", model, "--tokens", model + "/input.json"]
    let sound = try imported(files([0, 1, 2], "sound") + known, as: "sound")
    #expect(try sound.array("audit").allSatisfy { try $0.string("severity") == "note" })
    let changed = try files([0, 2, 2], "changed")
    let answer = try imported(changed + known, as: "changed", status: 1)
    #expect(try routers(answer, "shifted_layers") == ["ffn.1"])
    let detail = try answer.array("audit").first { try $0.string("code") == "shifted_layers" }?.string("detail")
    #expect(detail?.contains("those of ffn.2") == true)
    let unknown = try answer.array("routers").map { try $0.integer("unknown_rows") }
    #expect(unknown == [0, 46, 0])
    // Without the model the comparison shows which one it is.
    try imported(changed + ["--tokens", model + "/input.json"], as: "blind")
    try run(model, as: "own")
    let layers = Array(try compared("own", "blind").array("layers"))
    #expect(try layers.map { try $0.number("set_agreement") == 1 } == [true, false, true])
    #expect(try layers[1].number("set_agreement") < layers[1].number("load_baseline") + 0.1)
  }

  // MARK: Records at fault

  @Test func aRecordWithAFaultIsKeptAndWarnedOfUnlessStrict() throws {
    let refused = try moetop(["import", "--trace", trace, "--strict"] + vllm("zero_rows"), status: 65)
    #expect(refused.output.isEmpty && refused.errors.contains("zero_rows at ffn.0") && !FileStatus.exists(trace))
    let answer = try imported(vllm("zero_some"), as: "holes", status: 1)
    #expect(try routers(answer, "zero_rows") == ["ffn.0", "ffn.1"])
    let analysis = try moetop(["analyze", trace + "#holes", "--metric", "load_cv"])
    #expect(analysis.errors.contains("warning:") && analysis.errors.contains("zero_rows"))
    let list = try moetop(["runs", "list", trace, "--json"])
    #expect(list.output.contains("holes"))
    // A dry run answers the same and writes nothing.
    let other = folder.file("u.db")
    let dry = try moetop(["import", "--dry-run", "--json"] + vllm("zero_some"), status: 1)
    #expect(try JSON.parse(text: dry.output, name: "answer").member("audit").count == answer.member("audit").count)
    try moetop(["import", "--dry-run", "--trace", other] + vllm("sound"), status: 64)
    #expect(!FileStatus.exists(other))
    // What was strict and sound is kept.
    try imported(vllm("sound") + ["--strict"], as: "sound")
  }

  // MARK: Options

  @Test func nameTagsAndIDsAreStoredAsAsked() throws {
    let known = ["--tokens", Self.olmoe + "/input.json", "--model", Self.olmoe + "/config.json"]
    try imported(vllm("sound") + known + ["--tag", "a", "--tag", "b"], as: "kept")
    try imported(vllm("sound") + known + ["--no-ids"], as: "bare")
    let list = try moetop(["runs", "list", trace, "--json"]).output
    for word in ["\"kept\"", "\"bare\"", "\"a\"", "\"b\""] { #expect(list.contains(word), "\(list)") }
    func ids(_ run: String) throws -> Set<Int64> {
      let lines = try moetop(["export", "\(trace)#\(run)", "--format", "jsonl"]).output.split(separator: "\n")
      #expect(lines.count == 92)
      return Set(try lines.map { try JSON.parse(text: String($0), name: run)["token_id"]?.int64 ?? -1 })
    }
    #expect(try ids("kept").count > 20 && !ids("kept").contains(-1))
    #expect(try ids("bare") == [-1])
    #expect(try moetop(["runs", "check", trace]).errors.isEmpty)
    try moetop(["import", "--name", "#", "--dry-run"] + vllm("sound"), status: 64)
  }

  /// A file may be called what no run can be, and hold texts that no database keeps.
  @Test func namesThatCannotBeKeptBecomeOthers() throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: vllm("sound")[0]))
    try moetop(["import", folder.write(bytes, to: "0.npy"), "--trace", trace, "-q"])
    #expect(try moetop(["runs", "list", trace, "--json"]).output.contains("\"vllm\""))
    let header = #"{"moetop":"routing/1","routers":[{"router":"ffn.0","experts":4,"top_k":2}]}"#
    let rows = (0..<4).map {
      #"{"sequence":"a\u0000b\u001b[31m","position":\#($0),"labels":{"k\u0000":"v\u0000"},"ffn.0":{"ids":[\#($0 % 3),3]}}"#
    }
    let lines = try folder.write(Array(([header] + rows).joined(separator: "\n").utf8) + [10], to: "texts.jsonl")
    try moetop(["import", lines, "--trace", trace, "-q"])
    let check = try moetop(["runs", "check", trace])
    #expect(check.errors.isEmpty && !check.output.contains("\u{1B}"), "\(check)")
  }

  /// Headers, ids and texts that claim more than a record can have.
  @Test func claimsBeyondAnyModelAreRefusedOrNamed() throws {
    func array(_ shape: [Int], _ numbers: [Int32], _ name: String) throws -> String {
      try folder.write(NPYBytes.of(numbers, shape), to: name)
    }
    let ids: [Int32] = [.max, 1, 2, 3, 4, 5, 6, 7]
    let rows: [(arguments: [String], status: Int32, words: String)] = [
      ([try array([1, 5000, 1], Array(repeating: 1, count: 5000), "layers.npy")], 65, "at most 4096 layers"),
      ([try array([1, 1, 70000], Array(0..<70000), "k.npy")], 65, "at most 4096 layers of 65536 ids"),
      ([try array([900_000_000_000_000_000, 1, 2], [], "rows.npy")], 65, "not one row"),
      ([try array([2, 900_000_000_000_000_000, 1], [], "axes.npy"), "--as", "tensorrt-llm"], 65, "at most 4096 layers"),
      ([try array([8, 1, 1], ids, "ids.npy")], 1, "out_of_range"),
      ([try array([8, 1, 1], Array(0..<8), "few.npy"), "--experts", "16777216"], 65, "experts in all routers together"),
    ]
    for (arguments, status, words) in rows {
      let result = try Binary.run(["import", "--dry-run"] + arguments)
      #expect(result.status == status && result.errors.contains(words), "\(arguments): \(result)")
    }
    // Six times what one header may claim is more than 64 bits.
    let much = (0..<20).map { folder.file("much\($0).npy") }
    for file in much {
      _ = try folder.write(NPYBytes.of([0, 1], [900_000_000_000_000_000, 1, 2]), to: String(file.split(separator: "/").last ?? ""))
    }
    #expect(try moetop(["import", "--dry-run"] + much, status: 1).output.contains("truncated"))
    // Lines of base64, as MIME writes it.
    let bytes = try Data(contentsOf: URL(fileURLWithPath: vllm("sound")[0]))
    let text = bytes.base64EncodedString(options: [.lineLength76Characters, .endLineWithLineFeed]).replacingOccurrences(
      of: "\n", with: "\\n")
    let answer = try folder.write(Array("{\"choices\":[{\"routed_experts\":\"\(text)\"}]}".utf8), to: "lines.json")
    try moetop(["import", "--dry-run", answer])
    let flipped = text.replacingOccurrences(of: "k05VTVBZ", with: "k05VTVBa")
    let other = try folder.write(Array("{\"choices\":[{\"routed_experts\":\"\(flipped)\"}]}".utf8), to: "other.json")
    let refused = try moetop(["import", "--dry-run", "--as", "vllm", other], status: 65)
    #expect(refused.errors.contains("other.json: answer") && refused.errors.contains("header"))
  }

  /// A rule in one word does not say what weights are: where some are below 0 they are signed, for every command; a whole rule is held to what it says.
  @Test(arguments: [
    #""dense""#, #""unknown""#,
    #"{"expertCount":3,"scoring":{"softmax":{}},"selection":{"tokenChoice":{"topK":3}},"weighting":"scores","normalization":{"none":{}},"#
      + #""routedScale":1,"appliesTo":"output","identityExperts":0}"#,
  ])
  func weightsBelowZeroAreSigned(_ rule: String) throws {
    let lines = """
      {"moetop":"routing/1","row":"sample","routers":[{"router":"ffn.0","experts":3,"top_k":3,"rule":\(rule)}]}
      {"sequence":"a","position":0,"ffn.0":{"ids":[0,1,2],"weights":[0.7,0.1,-0.5]}}
      {"sequence":"a","position":1,"ffn.0":{"ids":[1,0,2],"weights":[0.7,0.1,-0.5]}}

      """
    let record = try folder.write(Array(lines.utf8), to: "signed.jsonl")
    let trace = folder.file("signed.db")
    if rule.hasPrefix("{") {
      let refused = try moetop(["import", record, "--trace", trace], status: 65)
      #expect(refused.errors.contains("signed.jsonl") && refused.errors.contains("0 or more, as its rule says"))
      return
    }
    _ = try moetop(["import", record, "--trace", trace])
    #expect(try moetop(["runs", "check", trace]).output.hasSuffix("integrity ok\n"))
    #expect(try moetop(["sql", trace, "SELECT weight_kind FROM routers"]).output.contains("signed"))
    #expect(try moetop(["analyze", trace, "--metric", "weighted_load"], status: 64).errors.contains("may be below 0"))
  }

  @Test func whatCannotBeAskedIsRefusedInItsOwnWords() throws {
    let sound = vllm("sound")[0]
    let both = try folder.write(
      Array(#"{"choices":[{"routed_experts":"k05VTVBZ"}],"meta_info":{"routed_experts":"AAAA"}}"#.utf8), to: "both.json")
    let rows: [(arguments: [String], status: Int32, words: String)] = [
      ([Self.fixtures + "README.md"], 66, "cannot open"),
      ([Self.fixtures + "foreign/README.md"], 65, "expected a routing record that is known"),
      ([both], 64, "this may be vllm or sglang"),
      ([sound, Self.fixtures + "foreign/sglang/sound.json"], 64, "all files of a call are one run"),
      ([sound, "nothing.npy"], 66, "nothing.npy"),
      (["-"], 66, "-"),
      ([Self.fixtures + "foreign/vllm"], 65, "found a directory"),
      (["/dev/null"], 65, "found a pipe or device"),
      ([sound, "--as", "nonsense"], 64, "nonsense"),
      ([sound, "--as", "sglang"], 65, "not valid JSON"),
      ([sound, "--layers", "0-3"], 64, "expected 2 layers"),
      ([sound, "--layers", "3,3"], 64, "layer 3"),
      ([sound, "--layers", "3-"], 64, "--layers"),
      ([sound, "--experts", "0"], 64, "--experts"),
      ([sound, "--tokens", Self.olmoe + "/input.json"], 64, "--tokens: expected 1 sequence"),
      ([sound, "--logits", "--probabilities"], 64, "found both"),
      ([sound, "--model", folder.file("none")], 66, "none"),
      ([], 64, "file"),
    ]
    for (arguments, status, words) in rows {
      let result = try Binary.run(["import", "--dry-run"] + arguments)
      #expect(result.status == status && result.errors.contains(words) && result.output.isEmpty, "\(arguments): \(result)")
    }
  }
}

/// Arrays as numpy.save writes them.
enum NPYBytes {
  /// - Parameter numbers: row-major.
  static func of(_ numbers: [Int32], _ shape: [Int]) -> [UInt8] {
    header("<i4", shape) + numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
  }

  static func header(_ type: String, _ shape: [Int]) -> [UInt8] {
    let words = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(shape.map { "\($0), " }.joined())), }"
    let text = Array(words.utf8) + [10]
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 255), UInt8(text.count >> 8)] + text
  }
}
