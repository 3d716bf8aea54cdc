// What the commands say of checkpoints as people have them: copies that disagree, fields that files leave out, settings given in every
// spelling, weights in the layout of another program, and files that are not what their names say.

import Formats
import Foundation
import Support
import Testing

struct CheckpointCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func fixture(_ name: String) throws -> String { try #require(Fixtures.own(name)) }

  private func loss(_ model: String, _ input: String, _ settings: [String] = []) throws -> Double {
    let answer = try Answer(["run", model, "--tokens", input, "--no-trace"] + settings.flatMap { ["--set", $0] })
    #expect(answer.status == 0, "\(answer.errors)")
    return try #require(answer["loss"]?.double)
  }

  private func verify(_ model: String, _ input: String, _ expected: String, _ settings: [String] = []) throws -> CommandResult {
    try Binary.run(["verify", model, "--tokens", input, "--expected", expected] + settings.flatMap { ["--set", $0] })
  }

  // MARK: Parts of a checkpoint

  /// People give the file they see first.
  @Test(arguments: [
    ("olmoe", "config.json", "is the configuration of a model"),
    ("olmoe-shards", "model.safetensors.index.json", "says which file of a model holds which weights"),
  ])
  func aPartOfACheckpointIsSaidToBeOne(_ model: String, _ name: String, _ what: String) throws {
    let path = try fixture("models/\(model)")
    for command in [["run", "-p", "a"], ["inspect"], ["ui"]] where command[0] != "ui" || name.hasSuffix(".json") {
      let result = try Binary.run([command[0], "\(path)/\(name)"] + command.dropFirst())
      let words = "error: \(path)/\(name): \(what); the model is the folder it lies in\n  try: \(path)\n"
      #expect(result.status == 66 && result.errors == words, "\(command): \(result.errors)")
    }
    let alone = try Binary.run(["run", try folder.write(Array("{}".utf8), to: "some.json"), "-p", "a"])
    #expect(alone.status == 66 && alone.errors.contains("is a JSON file, and no model"), "\(alone.errors)")
  }

  /// A file of weights that its folder is opened with means the folder; so does a shard.
  @Test(arguments: [("olmoe", "model.safetensors"), ("olmoe-shards", "model-00001-of-00004.safetensors")])
  func aFileOfWeightsMeansItsFolder(_ model: String, _ name: String) throws {
    let path = try fixture("models/\(model)")
    let result = try Binary.run(["inspect", "\(path)/\(name)"])
    let folder = try Binary.run(["inspect", path])
    #expect(result.status == 0 && result.output == folder.output, "\(result.errors)")
  }

  /// A folder with GGUF files alone: the one model in it, or the list of them.
  @Test func aFolderOfGGUFFiles() throws {
    try FileManager.default.copyItem(atPath: fixture("gguf/laguna.gguf"), toPath: folder.file("a.gguf"))
    try folder.write(Array("no model".utf8), to: "mmproj-a.gguf")
    let one = try Binary.run(["run", folder.path, "--tokens", fixture("models/laguna/input.json"), "--no-trace"])
    #expect(one.status == 0, "\(one.errors)")
    try FileManager.default.copyItem(atPath: fixture("gguf/mellum.gguf"), toPath: folder.file("b.gguf"))
    let two = try Binary.run(["run", folder.path, "--tokens", fixture("models/laguna/input.json"), "--no-trace"])
    let list = "\(folder.path)/a.gguf, \(folder.path)/b.gguf"
    #expect(
      two.status == 66
        && two.errors == "error: \(folder.path): there are 2 models in it: \(list)\n  try: one of them: \(folder.path)/a.gguf\n",
      "\(two.errors)")
    let listed = try Binary.run(["inspect", folder.path])
    #expect(listed.status == 0 && listed.output.contains("a.gguf") && listed.output.contains("b.gguf"), "\(listed.output)")
  }

  /// A vocabulary without a model is called that.
  @Test func aVocabularyAlone() throws {
    let result = try Binary.run(["inspect", fixture("tokenizers/qwen2/vocab.gguf")])
    #expect(result.status == 66 && result.errors.contains("holds a vocabulary alone, and no weights"), "\(result.errors)")
  }

  // MARK: Copies that disagree

  /// The index names the copy in an overlay; older ones lie in a shard that sorts before it and in one that sorts behind it.
  @Test(arguments: ["model-00000-overlay.safetensors", "model-99999-overlay.safetensors"])
  func theCopyThatTheIndexNamesCounts(_ overlay: String) throws {
    let router = "model.layers.0.block_sparse_moe.gate.weight"
    let turned = try ChangedModel("models/mixtral") { tensors in
      let index = try #require(tensors.firstIndex { $0.name == router })
      tensors[index] = tensors[index].scaled(by: -1.5)
    }
    let shards = try ChangedModel("models/mixtral")
    try FileManager.default.removeItem(atPath: shards.folder.file("model.safetensors"))
    let old = try ChangedModel.tensors(fixture("models/mixtral") + "/model.safetensors")
    let new = try ChangedModel.tensors(turned.folder.file("model.safetensors"))
    try ChangedModel.write(old, to: shards.folder.file("model-00001-of-00001.safetensors"))
    try ChangedModel.write(new.filter { $0.name == router }, to: shards.folder.file(overlay))
    let map = Dictionary(uniqueKeysWithValues: old.map { ($0.name, $0.name == router ? overlay : "model-00001-of-00001.safetensors") })
    try shards.folder.write(
      try JSONSerialization.data(withJSONObject: ["metadata": [:], "weight_map": map] as [String: Any]), to: "model.safetensors.index.json")
    let right = try loss(turned.path, turned.input)
    #expect(try loss(shards.path, shards.input) == right)
    #expect(try abs(loss(fixture("models/mixtral"), shards.input) - right) > 1e-3)
    // The older copy is none of the model's parameters.
    let (whole, parts) = (try Answer(["inspect", turned.path]), try Answer(["inspect", shards.path]))
    #expect(whole["parameters"]?.int64 == parts["parameters"]?.int64 && parts["unused_tensors"]?.count == 0)
  }

  /// transformers keeps a head of its own and warns; equal copies are no news.
  @Test func aHeadOfItsOwnIsUsedAndSaid() throws {
    let untied = try fixture("models/mixtral")
    let model = try ChangedModel("models/mixtral", settings: ["tie_word_embeddings": true])
    #expect(try loss(model.path, model.input) == loss(untied, model.input))
    let run = try Answer(["run", model.path, "--tokens", model.input, "--no-trace"])
    #expect(run.errors.contains("warning: tie_word_embeddings is true") && run["warnings"]?.count == 1)
    #expect(try Binary.run(["inspect", model.path]).output.contains("lm_head.weight of its own"))
    #expect(try Answer(["inspect", model.path])["warnings"]?.count == 1)

    let same = try ChangedModel("models/mixtral", settings: ["tie_word_embeddings": true]) { tensors in
      let (head, table) = ("lm_head.weight", "model.embed_tokens.weight")
      let place = try #require(tensors.firstIndex { $0.name == head }), source = try #require(tensors.firstIndex { $0.name == table })
      tensors[place].bytes = tensors[source].bytes
    }
    let tied = try ChangedModel("models/mixtral", settings: ["tie_word_embeddings": true]) { $0.removeAll { $0.name == "lm_head.weight" } }
    #expect(try loss(same.path, same.input) == loss(tied.path, tied.input))
    for quiet in [same, tied] { #expect(try Answer(["inspect", quiet.path])["warnings"]?.count == 0) }
  }

  // MARK: verify

  /// A layer that the model does not have, and a name that nobody knows: compared with nothing, so nothing holds.
  @Test func whatWasNotComparedIsNamed() throws {
    let mixtral = try fixture("models/mixtral")
    let expected = try ChangedModel.tensors(mixtral + "/expected.safetensors")
    let short = try ChangedModel("models/mixtral", settings: ["num_hidden_layers": 1])
    let routing = expected.filter { $0.name.hasPrefix("ffn.") || $0.name == "input_ids" }
    try ChangedModel.write(routing, to: folder.file("two.safetensors"))
    try ChangedModel.write(routing.filter { !$0.name.hasPrefix("ffn.1.") }, to: folder.file("one.safetensors"))
    let unknown = ChangedModel.Tensor(name: "ffn.0.frobnication", type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    try ChangedModel.write(expected + [unknown], to: folder.file("unknown.safetensors"))

    let layer = try verify(short.path, short.input, folder.file("two.safetensors"))
    #expect(layer.status == 2 && layer.output.contains("NOT COMPARED") && layer.output.contains("ffn.1.router_logits"), "\(layer.output)")
    #expect(!layer.output.contains("all holds"))
    #expect(try verify(short.path, short.input, folder.file("one.safetensors")).status == 0)
    let name = try verify(mixtral, short.input, folder.file("unknown.safetensors"))
    #expect(name.status == 2 && name.output.contains("ffn.0.frobnication"), "\(name.output)")
    let json = try Answer(["verify", mixtral, "--tokens", short.input, "--expected", folder.file("unknown.safetensors")])
    #expect(json["not_compared"]?.elements.compactMap(\.string) == ["ffn.0.frobnication"] && json["holds"]?.bool == false)
  }

  /// The verdict is the last line, and no line of a verify that holds looks like an error. An export of our own is an expectation too.
  @Test func aVerifyThatHoldsEndsWithSayingSo() throws {
    for name in ["models/mixtral", "models/gpt_oss"] {
      let model = try fixture(name)
      let result = try verify(model, model + "/input.json", model + "/expected.safetensors")
      let lines = result.output.split(separator: "\n")
      #expect(result.status == 0 && lines.last == "all holds" && !lines.contains { $0.hasPrefix("error") }, "\(result.output)")
    }
    let model = try fixture("models/mixtral")
    let run = try Binary.run(["run", model, "--tokens", model + "/input.json", "--record", "full", "--trace", folder.file("t.db")])
    let export = try Binary.run(
      ["export", folder.file("t.db"), "--what", "routing", "--format", "safetensors", "-o", folder.file("e.safetensors")])
    #expect(run.status == 0 && export.status == 0)
    let again = try verify(model, model + "/input.json", folder.file("e.safetensors"))
    #expect(again.status == 0, "\(again.output)")
  }

  // MARK: What GGUF leaves out

  /// EXAONE-MoE's fixture has scale 2.0 and 2 groups of which 1 is kept; what is published is 2.5 and one group.
  @Test func whatAGGUFLeavesOutIsAssumedAndSaid() throws {
    let keys = ["expert_weights_scale", "expert_group_count", "expert_group_used_count", "rope.freq_base"].map { "exaone-moe." + $0 }
    let file = try ChangedModel.gguf("exaone_moe", without: keys, in: folder)
    let whole = try fixture("gguf/exaone_moe.gguf"), model = try fixture("models/exaone_moe")
    #expect(try Answer(["inspect", whole])["assumed"]?.count == 0)
    let answer = try Answer(["inspect", file])
    for (key, value) in [("routed_scaling_factor", "2.5"), ("n_group", "1"), ("topk_group", "1"), ("rope_theta", "10000.0")] {
      #expect(answer["assumed"]?[key]?.string == value, "\(key)")
    }
    #expect(answer["routers"]?.firstElement?["policy"]?.string?.contains("scaled by 2.5") == true)
    let text = try Binary.run(["inspect", file])
    #expect(text.output.contains("routed_scaling_factor = 2.5, which the file does not say  (--set routed_scaling_factor=…)"))
    let settings = ["routed_scaling_factor=2.0", "n_group=2", "topk_group=1"]
    let restored = try verify(file, model + "/input.json", model + "/expected.safetensors", settings)
    #expect(restored.status == 0, "\(restored.output)")
    let set = try Answer(["inspect", file] + settings.flatMap { ["--set", $0] })
    #expect(set["assumed"]?.count == 1 && set["assumed"]?["rope_theta"]?.string != nil)
  }

  /// Without the pattern of windows three layers of four have one, as published.
  @Test func whereWindowsAreIsAssumedAndSaid() throws {
    let file = try ChangedModel.gguf("exaone_moe", without: ["exaone-moe.attention.sliding_window_pattern"], in: folder)
    let types = "[\"sliding_attention\", \"sliding_attention\", \"sliding_attention\"]"
    #expect(try Answer(["inspect", file])["assumed"]?["layer_types"]?.string == types)
    let model = try fixture("models/exaone_moe")
    let windows = "layer_types=[\"sliding_attention\", \"sliding_attention\", \"full_attention\"]"
    #expect(try verify(file, model + "/input.json", model + "/expected.safetensors", [windows]).status == 0)
  }

  /// A width that no layer has need not be said: Mellum's file has routed layers only.
  @Test func aFieldThatNoLayerNeedsIsNotRequired() throws {
    let file = try ChangedModel.gguf("mellum", without: ["mellum.feed_forward_length"], in: folder)
    let model = try fixture("models/mellum")
    #expect(try verify(file, model + "/input.json", model + "/expected.safetensors").status == 0)
    let dense = try Binary.run(["inspect", ChangedModel.gguf("exaone_moe", without: ["exaone-moe.feed_forward_length"], in: folder)])
    #expect(dense.status == 65 && dense.errors.contains("intermediate_size: expected a width for the dense layer 0"), "\(dense.errors)")
  }

  /// gpt-oss is stretched by yarn where nothing is said; a user's null says that it is not.
  @Test func nullTurnsOffWhatIsOnByDefault() throws {
    let plain = ["rope_type": "default", "rope_theta": 150_000] as [String: Any]
    let without = try ChangedModel("models/gpt_oss", settings: ["rope_parameters": plain])
    let silent = try ChangedModel("models/gpt_oss", settings: ["rope_parameters": nil])
    let right = try loss(without.path, without.input)
    #expect(try loss(silent.path, silent.input, ["rope_scaling=null"]) == right)
    #expect(try loss(without.path, without.input, ["rope_parameters=null"]) == right)
    #expect(try abs(loss(silent.path, silent.input) - right) > 1e-3)
  }

  // MARK: Settings

  /// Every spelling of a setting reaches the text model of a larger checkpoint, and the hint of a refusal works as printed.
  @Test func settingsReachTheTextModel() throws {
    let inner = try ChangedModel.configuration(fixture("models/mixtral")).merging(["mystery": 1]) { $1 }
    let model = try ChangedModel("models/mixtral", settings: ["model_type": "seeing_mixtral", "text_config": inner, "vision_config": [:]])
    let refused = try Binary.run(["inspect", model.path])
    #expect(refused.status == 69 && refused.errors.contains("--set text_config.mystery=null if it does not matter"), "\(refused.errors)")
    let right = try loss(fixture("models/mixtral"), model.input)
    for setting in ["text_config.mystery=null", "mystery=null"] { #expect(try loss(model.path, model.input, [setting]) == right) }
    let base = ["mystery=null", "rope_parameters.rope_theta=777"]
    #expect(try loss(model.path, model.input, base) == loss(model.path, model.input, base.map { "text_config." + $0 }))
    #expect(try loss(model.path, model.input, base) == loss(fixture("models/mixtral"), model.input, ["rope_parameters.rope_theta=777"]))
    #expect(try loss(model.path, model.input, base) != right)
  }

  @Test func aSectionsHintNamesItsPlace() throws {
    let dbrx = try fixture("models/dbrx")
    let section = try #require(try ChangedModel.configuration(dbrx)["ffn_config"] as? [String: Any])
    let model = try ChangedModel("models/dbrx", settings: ["ffn_config": section.merging(["mystery": 1]) { $1 }])
    let refused = try Binary.run(["inspect", model.path])
    #expect(refused.status == 69 && refused.errors.contains("--set ffn_config.mystery=null"), "\(refused.errors)")
    #expect(try Binary.run(["inspect", model.path, "--set", "ffn_config.mystery=null"]).status == 0)
  }

  /// A word is a text without quotes inside; what is neither JSON nor a word is refused.
  @Test func aBareWordIsAText() throws {
    let sample = Fixtures.root + "/samples/dit-moe-tiny"
    for value in ["ddpm", "\"ddpm\""] {
      #expect(try Answer(["inspect", sample, "--set", "sampler=\(value)"])["sampler"]?.string == "ddpm")
    }
    #expect(try Answer(["inspect", sample, "--set", "sampler=rectified-flow"])["sampler"]?.string == "rectified-flow")
    for value in ["{", "[1", "1e", ""] {
      let refused = try Binary.run(["inspect", sample, "--set", "sampler=\(value)"])
      #expect(refused.status == 64 && refused.errors.contains("a JSON value or a word"), "\(value): \(refused.errors)")
    }
    let wrong = try Binary.run(["inspect", fixture("models/mixtral"), "--set", "num_local_experts=many"])
    #expect(wrong.status == 65 && wrong.errors.contains("found \"many\""), "\(wrong.errors)")
  }

  // MARK: Other programs' layouts

  /// Experts stacked as MLX stacks them: named, not called an incomplete download.
  @Test func aLayoutOfMLXIsNamed() throws {
    let stacked = try ChangedModel("models/qwen3_moe") { tensors in
      var stacks: [String: [ChangedModel.Tensor]] = [:]
      tensors.removeAll { tensor in
        guard let match = tensor.name.firstMatch(of: #/^(.*\.mlp)\.experts\.[0-9]+\.(\w+_proj)\.weight$/#) else { return false }
        stacks["\(match.1).switch_mlp.\(match.2).weight", default: []].append(tensor)
        return true
      }
      for (name, parts) in stacks.sorted(by: { $0.key < $1.key }) {
        tensors.append(.init(name: name, type: parts[0].type, shape: [parts.count] + parts[0].shape, bytes: parts.flatMap(\.bytes)))
      }
    }
    let result = try Binary.run(["inspect", stacked.path])
    #expect(result.status == 69 && result.errors.contains("MLX") && result.errors.contains("switch_mlp"), "\(result.errors)")
    #expect(!result.errors.contains("download"))
    let packed = ["group_size": 32, "bits": 4]
    for settings in [["quantization": packed], ["quantization_config": packed], ["quantization": packed, "quantization_config": packed]] {
      let model = try ChangedModel("models/qwen3_moe", settings: settings)
      let refused = try Binary.run(["inspect", model.path])
      #expect(
        refused.status == 69 && refused.errors.contains("{bits 4, group_size 32}") && refused.errors.contains("MLX"), "\(refused.errors)")
      #expect(!refused.errors.contains("\"nothing\"") && refused.errors.contains("supported, but not in this form"))
    }
  }

  @Test(arguments: [
    (".weight_scale_2", "NVFP4"), (".qweight", "GPTQ or AWQ"), (".weight_packed", "compressed-tensors"), (".absmax", "bitsandbytes"),
  ])
  func aQuantisationIsNamed(_ ending: String, _ words: String) throws {
    let expert = "model.layers.0.mlp.experts.0.up_proj"
    let model = try ChangedModel("models/qwen3_moe") { tensors in
      tensors.removeAll { $0.name == expert + ".weight" }
      tensors.append(.init(name: expert + ending, type: .u8, shape: [4], bytes: [0, 0, 0, 0]))
    }
    let result = try Binary.run(["inspect", model.path])
    #expect(result.status == 69 && result.errors.contains(words) && !result.errors.contains("download"), "\(result.errors)")
  }

  /// A quantisation that only NVIDIA's own file says is named, not told by the shapes it leads to.
  @Test func aQuantisationInAFileOfItsOwnIsNamed() throws {
    let model = try ChangedModel("models/qwen3_moe")
    try model.folder.write(
      Array(#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}"#.utf8), to: "hf_quant_config.json")
    let result = try Binary.run(["inspect", model.path])
    #expect(result.status == 69 && result.errors.contains("quantization.quant_algo = \"NVFP4\" is not supported"), "\(result.errors)")
  }

  // MARK: What lies there instead

  /// The advice fits what is in the folder.
  @Test func whatLiesInAFolderIsNamed() throws {
    func result(_ names: [String]) throws -> CommandResult {
      let folder = try TemporaryDirectory()
      try FileManager.default.copyItem(atPath: fixture("models/mixtral") + "/config.json", toPath: folder.file("config.json"))
      for name in names {
        try FileManager.default.copyItem(atPath: fixture("models/mixtral") + "/model.safetensors", toPath: folder.file(name))
      }
      return try Binary.run(["inspect", folder.path])
    }
    let shards = try result(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])
    #expect(shards.status == 66 && shards.errors.contains("without an index") && shards.errors.contains("model-00001-of-00002.safetensors"))
    let adapter = try result(["adapter_model.safetensors"])
    #expect(adapter.status == 66 && adapter.errors.contains("merge the adapter"), "\(adapter.errors)")
    let pickles = try result(["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"])
    #expect(
      pickles.status == 66 && pickles.errors.contains("pytorch_model-00001-of-00002.bin") && pickles.errors.contains("safetensors"),
      "\(pickles.errors)")
  }

  /// A clone without git-lfs has pointers, and a download that was not allowed is a page; whatever file it is.
  @Test(arguments: ["model.safetensors", "config.json", "model.safetensors.index.json"])
  func aPointerAndAPageAreNamed(_ name: String) throws {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:\(String(repeating: "5", count: 64))\nsize 430000\n"
    for (text, words) in [(pointer, "pointer of Git LFS"), ("<!DOCTYPE html>\n<html></html>\n", "web page"), ("\n<HTML>", "web page")] {
      let model = try ChangedModel("models/mixtral")
      // An index is read where there is no single file.
      if name.hasSuffix(".index.json") { try FileManager.default.removeItem(atPath: model.folder.file("model.safetensors")) }
      try model.folder.write(Array(text.utf8), to: name)
      let result = try Binary.run(["inspect", model.path])
      #expect(result.status == 65 && result.errors.contains(name) && result.errors.contains(words), "\(result.errors)")
    }
    for name in ["weights.gguf", "weights.pt", "weights.safetensors"] {
      let result = try Binary.run(["inspect", folder.write(Array(pointer.utf8), to: name)])
      #expect(result.status == 65 && result.errors.contains("pointer of Git LFS"), "\(result.errors)")
    }
  }

  /// A whole disk is not searched.
  @Test func aSearchEnds() throws {
    for index in 0..<4200 {
      try FileManager.default.createDirectory(
        atPath: folder.file("\(index % 60)/\(index / 60)"), withIntermediateDirectories: true)
    }
    let result = try Binary.run(["inspect", folder.path])
    #expect(result.status == 66 && result.errors.contains("the search ended after 4096 folders"), "\(result.errors)")
  }
}
