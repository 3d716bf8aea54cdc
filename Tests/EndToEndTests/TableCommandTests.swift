// `inspect --table` on files as the systems' own programs save them (tools/make_table_files.py), and on files that are none of that.

import Foundation
import Support
import Testing

struct TableCommandTests {
  private struct Answer {
    let object: [String: Any]

    init(_ file: String, _ more: String...) throws {
      let result = try Binary.run(["inspect", file, "--table", "--json"] + more)
      #expect(result.status == 0, "\(result.errors)")
      object = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      #expect(object["schema"] as? String == "moetop.table/1" && object["settings"] is [String: Any] && object["notes"] is [String])
    }

    var facts: [String: Any] { object["facts"] as? [String: Any] ?? [:] }
    var notes: String { (object["notes"] as? [String] ?? []).joined(separator: "\n") }

    func rows(_ wanted: [String: Any] = [:], in list: String = "rows") -> [[String: Any]] {
      (object[list] as? [[String: Any]] ?? []).filter { row in wanted.allSatisfy { "\(row[$0] ?? "")" == "\($1)" } }
    }

    func number(_ key: String, _ wanted: [String: Any], in list: String = "rows") throws -> Double {
      let found = rows(wanted, in: list)
      #expect(found.count == 1, "\(wanted)")
      return try #require(found.first?[key] as? Double)
    }
  }

  private func fixture(_ name: String) throws -> String { try #require(Fixtures.own("tables/\(name)")) }

  private func near(_ a: Double, _ b: Double) -> Bool { abs(a - b) < 1e-6 }

  // MARK: Each system

  @Test func mooresWeightsAreSignedColumns() throws {
    let answer = try Answer(fixture("moore.pt"))
    #expect(answer.object["weight_kind"] as? String == "signed" && answer.object["row_count"] as? Int == 6)
    #expect(near(try answer.number("weight", ["router": "policy_mu_approximator.route.0", "task": "task 2", "expert": 0]), -1))
    #expect(near(try answer.number("weight", ["router": "critic_0.route.0", "task": "task 1", "expert": 1]), -1.25), "the bias is added")
    #expect(near(try answer.number("baseline", ["router": "policy_mu_approximator.route.0", "task": "task 0"], in: "decisions"), 0.25))
    #expect(answer.facts["gram_deviation"] is NSNull && answer.notes.contains("features [experts, samples, width]"))
    #expect(!answer.rows(in: "decisions").contains { $0.keys.contains("entropy") })
    let text = try Binary.run(["inspect", fixture("moore.pt"), "--table"]).output
    #expect(
      text.contains("*+1.500") && text.contains("-1.000") && text.contains("signed, no probabilities") && !text.contains("entropy in nats"))
  }

  @Test func theGramMatrixIsThatOfFeaturesBesideTheWeights() throws {
    let folder = try TemporaryDirectory()
    func answer(_ second: String) throws -> Answer {
      let text = #"{"_task_encoder": {"weight": [[1, 0], [0, 1]]}, "features": [[[1, 0], [0, 1]], [[0, 1], \#(second)]]}"#
      return try Answer(folder.write(Array(text.utf8), to: "moore.json"))
    }
    let good = try answer("[1, 0]")
    #expect(good.facts["gram_deviation"] as? Double == 0 && good.facts["orthonormal"] as? Bool == true)
    let bad = try answer("[0.6, 0.8]")
    #expect(near(try #require(bad.facts["gram_deviation"] as? Double), 0.8) && bad.facts["orthonormal"] as? Bool == false)
  }

  @Test func superpositionIsACurveOverLayers() throws {
    let plain = try Answer(fixture("superposition-1d.pt"))
    let alphas = try (0..<5).map { try plain.number("weight", ["layer": $0, "expert": 1]) }
    #expect(zip(alphas, [0, 0.25, 0.6, 0.75, 1]).allSatisfy(near), "\(alphas): clamped at both ends, a tenth of the bias")
    #expect(near(try #require(plain.facts["mean_alpha"] as? Double), 0.52))
    #expect(near(try plain.number("entropy", ["layer": 1], in: "decisions"), 0.5623351446))
    let vectors = try Answer(fixture("superposition-2d.pt"))
    // Sigmoids of 4 and -4 in tenths: 1.0 and 0.1.
    #expect(near(try vectors.number("weight", ["layer": 4, "expert": 1]), 0.7))
    #expect(near(try vectors.number("smallest", ["layer": 4], in: "decisions"), 0.1))
    #expect(near(try vectors.number("largest", ["layer": 4], in: "decisions"), 1))
  }

  @Test func vlmosRuleIsReadFromItsBlocks() throws {
    let answer = try Answer(fixture("vlmo.pt"))
    #expect(answer.facts["switch_layer"] as? Int == 3 && answer.facts["max_text_len"] as? Int == 24)
    func expert(_ modality: String, _ layer: Int) -> Int? {
      answer.rows(["modality": modality, "layer": layer]).first { $0["chosen"] as? Bool == true }?["expert"] as? Int
    }
    #expect([expert("text", 3), expert("image", 3), expert("text of a pair", 2), expert("image of a pair", 2)] == [0, 1, 0, 1])
    #expect([expert("text of a pair", 3), expert("image of a pair", 3)] == [2, 2])
    #expect(answer.rows(["layer": 0]).allSatisfy { $0["weight"] is NSNull })
    let text = try Binary.run(["inspect", fixture("vlmo.pt"), "--table"]).output
    #expect(text.contains("ffn.0-2") && text.contains("vision-language") && text.contains("switch layer"), "\(text)")
  }

  @Test func vlmosPublishedSizesNeedNoWeights() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write(Array(#"{"model_arch": "vlmo_base_patch16", "max_text_len": 40}"#.utf8), to: "vlmo.json")
    let answer = try Answer(file)
    #expect(answer.facts["switch_layer"] as? Int == 10 && answer.facts["depth"] as? Int == 12)
    let alone = try folder.write(Array(#"{"depth": 4, "vlffn_start_layer_index": 4}"#.utf8), to: "alone.json")
    #expect(try Answer(alone).facts["switch_layer"] is NSNull)
  }

  @Test func sciMultIsHeldAgainstItsConfiguration() throws {
    let checkpoint = try Answer(fixture("scimult.ckpt"))
    #expect(checkpoint.facts["equals_configuration"] as? Bool == true)
    #expect(checkpoint.object["row_count"] as? Int == 12, "three tasks, two inputs, layers 2 and 5")
    let chosen = checkpoint.rows(["router": "ffn.5", "task": "multi-hop-retrieval", "input": "ctx"], in: "decisions")
    #expect(chosen.first?["chosen"] as? Int == 1)
    let map = try Answer(fixture("scimult.json"))
    #expect(map.facts["equals_configuration"] as? Bool == false)
    let differences = try #require(map.facts["differences"] as? [String])
    #expect(differences.count == 2 && differences[0] == "entity-retrieval, ctx: expert 1, published expert 2", "\(differences)")
  }

  @Test func crossTaskRoutesAreOfEncoderAndDecoder() throws {
    let answer = try Answer(fixture("crosstask/route.npy"))
    #expect(answer.facts["encoder_layers"] as? Int == 2 && answer.facts["decoder_layers"] as? Int == 1)
    let own = exp(2.0) / (exp(2.0) + 2)
    #expect(near(try answer.number("weight", ["router": "enc.1", "task": "task 2", "expert": 2]), own))
    #expect(near(try answer.number("weight", ["router": "dec.0", "task": "task 2", "expert": 2]), 1.0 / 3))
    #expect(near(try answer.number("normalized_entropy", ["router": "dec.0", "task": "task 0"], in: "decisions"), 1))
    #expect(answer.rows(["router": "dec.0"], in: "decisions").allSatisfy { $0["tied"] as? Bool == true })
  }

  @Test func withoutAConfigurationHalfOfTheLayersAreTheEncoders() throws {
    let folder = try TemporaryDirectory()
    try FileManager.default.copyItem(atPath: fixture("crosstask/route.npy"), toPath: folder.file("route.npy"))
    let answer = try Answer(folder.file("route.npy"))
    #expect(answer.facts["encoder_layers"] as? Int == 1 && answer.notes.contains("half of 3"))
    try folder.write(Array(#"{"encoder_layers": 6, "decoder_layers": 6}"#.utf8), to: "config.json")
    let other = try Binary.run(["inspect", folder.file("route.npy"), "--table"])
    #expect(other.status == 65 && other.errors.contains("expected 3 layers in all, found 6 and 6"), "\(other.errors)")
  }

  @Test func branchesAreATree() throws {
    let answer = try Answer(fixture("branches.json"))
    #expect(near(try answer.number("weight", ["router": "route.0.t0", "child": "node 0", "expert": 0]), 2.0 / 3))
    #expect(near(try answer.number("probability", ["task": "segmentation"], in: "paths"), 4.0 / 6 * 2 / 3), "of 4 / 6 and 2 / 3")
    #expect(answer.rows(["task": "edges"], in: "paths").first?["nodes"] as? [Int] == [1, 1])
    #expect(answer.facts["nodes"] as? Int == 5 && answer.facts["nodes_with_tasks"] as? Int == 4)
    let text = try Binary.run(["inspect", fixture("branches.json"), "--table"]).output
    #expect(text.contains("  0.1\n    1.1\n      edges  0.333\n      segmentation  0.444\n"), "\(text)")
  }

  @Test func aPlainArrayIsOneLevelOfBranches() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write(Self.numpy([1, 0, 0, 1], shape: "(2, 2)"), to: "logits.npy")
    let answer = try Answer(file, "--as", "learning-to-branch")
    #expect(answer.facts["levels"] as? Int == 1 && answer.object["row_count"] as? Int == 2)
  }

  // MARK: Whose file it is

  @Test func theSystemIsAskedForWhereNamesDoNotTell() throws {
    let folder = try TemporaryDirectory()
    let unknown = try Binary.run(["inspect", folder.write(Array(#"{"a": [[1, 2]]}"#.utf8), to: "a.json"), "--table"])
    #expect(unknown.status == 65 && unknown.errors.contains("found a [1, 2]"), "\(unknown.errors)")
    #expect(
      ["moore", "superposition", "vlmo", "scimult", "crosstaskmoe", "learning-to-branch"].allSatisfy {
        unknown.errors.contains("--as \($0)")
      })
    let both = try Binary.run(["inspect", fixture("both.pt"), "--table"])
    #expect(both.status == 64 && both.errors.contains("--as moore or superposition"), "\(both.errors)")
    #expect(try Answer(fixture("both.pt"), "--as", "superposition").object["system"] as? String == "superposition")
  }

  @Test(arguments: [
    ("moore", "_task_encoder"), ("superposition", "basis_functions"), ("vlmo", "mlp_text"), ("scimult", "N-expert"),
    ("learning-to-branch", "branches.0"),
  ])
  func aFileOfAnotherSystemIsRefused(_ system: String, _ expected: String) throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write(Array(#"{"a": [[1, 2]], "b": [[1]]}"#.utf8), to: "a.json")
    let result = try Binary.run(["inspect", file, "--table", "--as", system])
    #expect(result.status == 65 && result.errors.contains(expected) && result.errors.contains("a.json"), "\(result.errors)")
  }

  @Test func optionsThatMakeNoSenseTogether() throws {
    #expect(try Binary.run(["inspect", fixture("moore.pt"), "--as", "moore"]).errors.contains("add --table"))
    #expect(try Binary.run(["inspect", fixture("moore.pt"), "--table", "--timesteps"]).status == 64)
    #expect(try Binary.run(["inspect", fixture("moore.pt"), "--table", "--as", "more"]).status == 64)
    let folder = try Binary.run(["inspect", fixture("crosstask"), "--table"])
    #expect(folder.status == 64 && folder.errors.contains("--timesteps"), "\(folder.errors)")
    #expect(try Binary.run(["inspect", "nowhere.npy", "--table"]).status == 66)
  }

  // MARK: Hostile files

  /// Name, content, what `--as` says, the exit code, and what the message has.
  private static let hostile: [(String, [UInt8], String, Int32, String)] = [
    ("flat.npy", numpy([1, 0], shape: "(2,)"), "crosstaskmoe", 65, "expected [tasks, layers, experts], found [2]"),
    ("nan.npy", numpy([.nan, 1], shape: "(1, 1, 2)"), "crosstaskmoe", 65, "[0, 0, 0]: expected a finite number, found nan"),
    ("sum.npy", numpy([0.5, 0.4], shape: "(1, 1, 2)"), "crosstaskmoe", 65, "a sum of 0.9000"),
    ("below.npy", numpy([1.5, -0.5], shape: "(1, 1, 2)"), "crosstaskmoe", 65, "[0, 0, 1]: expected a probability, found -0.5"),
    ("huge.npy", numpy([1, 0], shape: "(4000000, 4000000, 4000000)"), "crosstaskmoe", 65, "an array can have"),
    ("long.npy", numpy([1, 0], shape: "(90000000, 24, 3)"), "crosstaskmoe", 65, "rows"),
    ("empty.npy", numpy([], shape: "(0, 4, 3)"), "crosstaskmoe", 65, "found [0, 4, 3]"),
    (
      "huge.safetensors", safetensors(#"{"_task_encoder.weight":{"dtype":"F32","shape":[99999999,99999999],"data_offsets":[0,8]}}"#),
      "moore", 65, "weight"
    ),
    (
      "bias.json", Array(#"{"_task_encoder": {"weight": [[1, 2]], "bias": [1, 2]}}"#.utf8), "moore", 65,
      "expected [1], a number for each expert"
    ),
    ("ragged.json", Array(#"{"_task_encoder": {"weight": [[1, 2], [3]]}}"#.utf8), "moore", 65, "_task_encoder.weight"),
    ("infinite.json", Array(#"{"_task_encoder": {"weight": [[1, 1e999]]}}"#.utf8), "moore", 65, "[0, 1]: expected a finite number"),
    (
      "features.json", Array(#"{"_task_encoder": {"weight": [[1], [2]]}, "features": [[[1]]]}"#.utf8), "moore", 65,
      "expected [2, samples, width]"
    ),
    (
      "points.json", Array(#"{"control_points": [1, 2], "basis_functions": [[1]], "layer_biases": [0]}"#.utf8), "superposition", 65,
      "control_points: expected [1]"
    ),
    (
      "biases.json", Array(#"{"control_points": [1], "basis_functions": [[1]], "layer_biases": [0, 0]}"#.utf8), "superposition", 65,
      "expected [1]"
    ),
    ("depth.json", Array(#"{"depth": 12, "vlffn_start_layer_index": 13}"#.utf8), "vlmo", 65, "expected 0 to 12, the depth, found 13"),
    ("deep.json", Array(#"{"depth": 9000000000000000000, "vlffn_start_layer_index": 1}"#.utf8), "vlmo", 69, "more than"),
    ("start.json", Array(#"{"depth": 12}"#.utf8), "vlmo", 65, "vlffn_start_layer_index: missing"),
    (
      "expert.json", Array(#"{"3-expert": {"a": {"query": 3}}}"#.utf8), "scimult", 65,
      "3-expert.a.query: expected an expert, 0 to 2, found 3"
    ),
    ("maps.json", Array(#"{"3-expert": {"a": {"query": 1}}, "4-expert": {"a": {"query": 1}}}"#.utf8), "scimult", 65, "expected one map"),
    ("many.json", Array(#"{"9000000000000000000-expert": {"a": {"query": 1}}}"#.utf8), "scimult", 69, "more than"),
    ("four.json", Array(#"{"encoder_params": {"num_expert": 4}}"#.utf8), "scimult", 69, "no map is published"),
    ("levels.json", Array(#"{"branches": [[[1, 2]], [[1, 2]], [[1, 2, 3]]]}"#.utf8), "learning-to-branch", 65, "expected 1 parents"),
    ("gap.json", Array(#"{"branches": {"0": [[1]], "2": [[1]]}}"#.utf8), "learning-to-branch", 65, "found those of 0, 2"),
    (
      "length.json", Array(#"{"model_arch": "vlmo_base_patch16", "max_text_len": -1}"#.utf8), "vlmo", 65,
      "max_text_len: expected a number of tokens"
    ),
    (
      "far.safetensors",
      safetensors(
        #"{"layer.9223372036854775807.moe_layer.interm_layers.9223372036854775807.b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#),
      "scimult", 65, "expected a map"
    ),
    (
      "view.pt", TorchBytes(Pickle.dictionary(Pickle.text("_task_encoder.weight") + Pickle.tensor([2, 3], [1, 2]))).bytes, "moore", 69,
      "a view [2, 3] with strides [1, 2]"
    ),
    ("text.txt", Array("alpha".utf8), "moore", 69, "neither of torch.save"),
    ("broken.json", Array(#"{"a": "#.utf8), "moore", 65, "not valid JSON"),
  ]

  @Test(arguments: hostile.indices)
  func aHostileFileIsRefusedByName(_ index: Int) throws {
    let (name, content, system, status, words) = Self.hostile[index]
    let folder = try TemporaryDirectory()
    let result = try Binary.run(["inspect", folder.write(content, to: name), "--table", "--as", system, "--json"])
    #expect(
      result.status == status && result.errors.contains(words) && result.errors.contains(name), "\(name): \(result.status) \(result.errors)"
    )
    #expect(result.output.isEmpty)
  }

  @Test func blocksThatContradictTheRule() throws {
    let folder = try TemporaryDirectory()
    let names = ["0.mlp_text", "0.mlp_imag", "0.mlp_vl", "1.mlp_text", "1.mlp_imag"]
    let members = names.map { "\"blocks.\($0).b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}" }
    // Each has bytes of its own, as the format wants.
    let header = "{" + members.enumerated().map { $1.replacing("[0,4]", with: "[\(4 * $0),\(4 * $0 + 4)]") }.joined(separator: ",") + "}"
    let file = try folder.write(Self.safetensors(header, bytes: 4 * names.count), to: "vlmo.safetensors")
    let result = try Binary.run(["inspect", file, "--table"])
    #expect(
      result.status == 65 && result.errors.contains("blocks.1: expected mlp_text, mlp_imag, mlp_vl, found mlp_text, mlp_imag"),
      "\(result.errors)")
  }

  /// What numpy.save writes of 32-bit floats, whatever its header claims.
  private static func numpy(_ numbers: [Float], shape: String) -> [UInt8] {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': \(shape), }\n"
    let size = UInt16(header.utf8.count)
    return [0x93] + Array("NUMPY\u{1}\u{0}".utf8) + [UInt8(size & 0xFF), UInt8(size >> 8)] + Array(header.utf8)
      + numbers.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) } }
  }

  private static func safetensors(_ header: String, bytes: Int = 8) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8) + [UInt8](repeating: 0, count: bytes)
  }
}
