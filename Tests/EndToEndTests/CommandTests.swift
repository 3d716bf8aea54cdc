// Whole commands, as a script sees them: what is on standard output, what is on standard error, which exit code.

import Formats
import Foundation
import Support
import Testing

struct CommandTests {
  private func model(_ family: String = "olmoe") throws -> String { try #require(Fixtures.own("models/\(family)")) }

  /// A trace with one full run of the OLMoE fixture.
  private func trace(in folder: TemporaryDirectory, record: String = "full") throws -> String {
    let path = folder.file("t.db")
    let model = try model()
    let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "--record", record, "--name", "first"])
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  @Test(arguments: ["olmoe", "mixtral", "qwen3_moe"])
  func verifyHolds(_ family: String) throws {
    let model = try model(family)
    let result = try Binary.run(["verify", model, "--tokens", model + "/input.json", "--expected", model + "/expected.safetensors"])
    #expect(result.status == 0)
    #expect(result.output.contains("96 of 96 decisions equal"))
    #expect(result.errors.isEmpty)
  }

  @Test func verifyFindsAnotherModel() throws {
    let olmoe = try model()
    let qwen = try model("qwen3_moe")
    let result = try Binary.run(["verify", qwen, "--tokens", qwen + "/input.json", "--expected", olmoe + "/expected.safetensors"])
    #expect(result.status == 2)
    #expect(result.output.contains("DIFFERS"))
  }

  @Test func verifyFindsAnotherRoutingRule() throws {
    let model = try model()
    let result = try Binary.run([
      "verify", model, "--tokens", model + "/input.json", "--expected", model + "/expected.safetensors", "--set", "norm_topk_prob=true",
    ])
    #expect(result.status == 2)
    #expect(result.output.contains("ffn.0.weights"))
  }

  @Test func everyErrorHasItsCode() throws {
    let folder = try TemporaryDirectory()
    let model = try model()
    let damaged = try folder.write(Array("not a trace".utf8), to: "damaged.db")
    let cases: [([String], Int32, String)] = [
      (["nonsense", "--data-dir", folder.path], 66, "nonsense"),
      (["inspect", model, "--nonsense"], 64, "--nonsense"),
      (["run", model], 64, "--prompt"),
      (["run", model, "-p", "hi", "--no-trace"], 66, "tokenizer.json"),
      (["run", model, "-p", "hi", "--chat", "--no-trace"], 66, "chat template"),
      (["run", model, "-p", "hi", "--system", "x", "--no-trace"], 64, "--chat"),
      (["run", model + "/nowhere", "-p", "hi"], 66, "no such file or folder"),
      (["run", model, "--tokens", folder.file("missing.json")], 66, "missing.json"),
      (["run", model, "--tokens", model + "/input.json", "--trace", "/proc/none/t.db"], 73, "/proc/none"),
      (["verify", model, "--tokens", model + "/config.json", "--expected", model + "/expected.safetensors"], 65, "sequences"),
      (["inspect", model, "--set", "model_type=\"unheard_of\""], 69, "unheard_of"),
      (["inspect", model, "--set", "rope_scaling={\"rope_type\":\"yarn\"}"], 65, "rope_scaling.factor"),
      (["inspect", model, "--set", "rope_scaling={\"rope_type\":\"spiral\"}"], 69, "spiral"),
      (["inspect", model, "--set", "num_experts=13"], 65, "model.layers.0.mlp.gate.weight"),
      (["inspect", model, "--set", "new_field=1"], 69, "new_field"),
      (["inspect", try pyTorch("system")], 69, "posix.system"),
      (["inspect", try pyTorch("legacy")], 69, "PyTorch before 1.6"),
      (["inspect", folder.file("missing.pt")], 66, "missing.pt"),
      (["inspect", try folder.write([0x50, 0x4B, 3, 4], to: "cut.pt")], 65, "is the download complete?"),
      (["analyze", folder.file("missing.db")], 66, "missing.db"),
      (["analyze", damaged], 65, "damaged.db"),
      (["sql", try trace(in: folder), "DELETE FROM runs"], 64, "read"),
      (["analyze", folder.file("t.db") + "#9"], 66, "run 9"),
      (["analyze", folder.file("t.db"), "--metric", "lod_cv"], 64, "load_cv"),
    ]
    for (arguments, status, word) in cases {
      let result = try Binary.run(arguments)
      #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.errors)")
      #expect(result.errors.contains(word), "\(arguments.joined(separator: " ")): \(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  @Test func anUnsupportedModelIsDescribedAndRefused() throws {
    let folder = try TemporaryDirectory()
    let sound = try #require(Fixtures.own("models/olmoe"))
    for file in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: "\(sound)/\(file)", toPath: folder.file(file))
    }
    let config = try String(contentsOfFile: folder.file("config.json"), encoding: .utf8)
    try folder.write(Data(config.replacingOccurrences(of: "\"olmoe\"", with: "\"olmoe9\"").utf8), to: "config.json")
    let result = try Binary.run(["inspect", folder.path])
    #expect(result.errors.contains("olmoe9, not supported") && result.errors.contains("parameters"), "\(result.errors)")
    #expect(result.errors.contains("model_type") && result.status != 0 && result.output.isEmpty)
  }

  private func pyTorch(_ name: String) throws -> String { try #require(Fixtures.own("pytorch/\(name).pt")) }

  @Test func tensorsOfATorchFileAreListed() throws {
    let text = try Binary.run(["inspect", pyTorch("training")])
    #expect(text.status == 0 && text.errors.isEmpty)
    for part in ["family", "not known", "\"ema\", of model, ema, opt, args, step", "0.weight  F32 [4, 6]"] {
      #expect(text.output.contains(part), "\(text.output)")
    }
    let json = try JSON.parse(text: try Binary.run(["inspect", pyTorch("training"), "--json"]).output, name: "inspect")
    #expect(try json.string("state") == "ema" && json.integer("parameters") == 44 && json.member("tensors").count == 5)
  }

  @Test func aRunCanBeAskedInStockSQL() throws {
    let folder = try TemporaryDirectory()
    let path = try trace(in: folder)
    let result = try Binary.run([
      "sql", path, "SELECT rank, expert FROM routing WHERE token = 17 AND layer = 1 ORDER BY rank", "--format", "csv",
    ])
    #expect(result.output == "rank,expert\n0,7\n1,1\n2,2\n")
  }

  @Test func modelsOfAFolderAreListed() throws {
    let folder = try #require(Fixtures.own("models"))
    let listed = try Binary.run(["models", folder])
    #expect(listed.status == 0 && listed.output.contains("qwen3_moe") && listed.output.contains(" can be opened"))
    #expect(try Binary.run(["inspect", folder]).output == listed.output)
    #expect(try Binary.run(["models", folder, "--json"]).output.hasPrefix("{\"schema\":\"moetop.models/1\""))
  }

  /// Tokens of the prompt, of a run's JSON.
  private func prefilled(_ json: String) throws -> Int { try JSON.parse(text: json, name: "run").member("prefill").integer("tokens") }

  @Test func aChatTemplateWritesThePrompt() throws {
    let folder = try TemporaryDirectory()
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.createSymbolicLink(
        atPath: folder.file(name), withDestinationPath: "\(Fixtures.root)/samples/olmoe-tiny/\(name)")
    }
    try folder.write(
      Array("{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}".utf8), to: "chat_template.jinja")
    let chat = try Binary.run([
      "run", folder.path, "--chat", "--system", "S", "-p", "hi", "--max-tokens", "1", "--json", "--no-trace",
    ])
    let plain = try Binary.run(["run", folder.path, "-p", "<system>S<user>hi", "--max-tokens", "1", "--json", "--no-trace"])
    #expect(chat.status == 0)
    #expect(try prefilled(chat.output) == prefilled(plain.output))
    try folder.write(Array("a\n{% include 'b' %}".utf8), to: "chat_template.jinja")
    let refused = try Binary.run(["run", folder.path, "--chat", "-p", "hi", "--no-trace"])
    #expect(refused.status == 69 && refused.errors.contains("line 2") && refused.errors.contains("include"))
  }

  @Test func failIfTellsByItsCode() throws {
    let folder = try TemporaryDirectory()
    let path = try trace(in: folder)
    let met = try Binary.run(["analyze", path, "--metric", "load_cv", "--fail-if", "load_cv>0.3"])
    #expect(met.status == 2)
    #expect(met.errors.hasPrefix("ffn.0: load_cv 0.433 > 0.3"))
    #expect(try Binary.run(["analyze", path, "--metric", "load_cv", "--fail-if", "load_cv>3"]).status == 0)
  }

  @Test func numbersDoNotDependOnTheLocale() throws {
    let folder = try TemporaryDirectory()
    let path = try trace(in: folder)
    let plain = try Binary.run(["analyze", path])
    let german = try Binary.run(["analyze", path], environment: ["LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8"])
    #expect(plain.output == german.output)
  }

  @Test func threadsAndPassesDoNotChangeARun() throws {
    let folder = try TemporaryDirectory()
    let model = try model()
    var outputs: Set<String> = []
    for threads in ["1", "2"] {
      let path = folder.file("threads-\(threads).db")
      let run = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "--threads", threads])
      #expect(run.status == 0)
      outputs.insert(try Binary.run(["sql", path, "SELECT * FROM routing", "--format", "csv"]).output)
    }
    #expect(outputs.count == 1)
  }
}
