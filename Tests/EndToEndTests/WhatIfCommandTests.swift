// `moetop whatif` as a user has it: what changes nothing has no effect, an expert that was made to matter is found, answers have the shape that
// the contract gives, and what cannot be is refused.

import Formats
import Foundation
import Support
import Testing

struct WhatIfCommandTests: WhatIfAnswers {
  private let folder: TemporaryDirectory
  private let model: String
  private let sample = Fixtures.root + "/samples/olmoe-tiny"

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/olmoe"))
    var random: UInt64 = 3
    func next(_ bound: UInt64) -> UInt64 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (random >> 33) % bound
    }
    let texts = (0..<6).map { _ in (0..<12).map { _ in Int(4 + next(56)) } }
    let labels = (0..<6).map { "{\"domain\": \"\($0 % 2 == 0 ? "a" : "b")\"}" }.joined(separator: ",")
    try "{\"sequences\": \(texts), \"labels\": [\(labels)]}".write(toFile: folder.file("texts.json"), atomically: true, encoding: .utf8)
  }

  private func whatIf(_ arguments: [String], model: String? = nil, tokens: String? = nil) throws -> CommandResult {
    try Binary.run(
      ["whatif", model ?? self.model, "--tokens", tokens ?? folder.file("texts.json"), "--threads", "1", "--no-progress"] + arguments)
  }

  private func answer(_ arguments: [String], model: String? = nil, tokens: String? = nil) throws -> JSONValue {
    let result = try whatIf(arguments + ["--json"], model: model, tokens: tokens)
    #expect(result.status == 0, "\(arguments): \(result.errors)")
    return try parsed(result)
  }

  // MARK: What changes nothing

  @Test(arguments: ["topk all=+0", "scale all:all=1", "temperature all=1", "mask all:top0", "capacity all=1000000"])
  func whatChangesNothingHasNoEffect(_ rules: String) throws {
    let effect = try #require(try effects(answer(["--rules", rules])).first)
    #expect(try number(effect, "touched") == 0 && number(effect, "loss_change") == 0 && number(effect, "kl") == 0)
    #expect(try number(effect, "same_top1") == 1 && number(effect, "low") == 0 && number(effect, "high") == 0, "\(rules)")
  }

  /// Rules about no decision have no effect, which is not an effect of 0 with a p of 1.
  @Test func rulesAboutNothingAreRefusedAndSaid() throws {
    let alone = try whatIf(["--rules", "swap all if id=3"])
    #expect(alone.status == 64 && alone.errors.contains("no decision meets the condition") && alone.output.isEmpty, "\(alone.errors)")
    let both = try effects(answer(["--rules", "swap all if id=3", "--rules", "swap all if position>2"]))
    #expect(try both[0].member("difference").member("p").isNull && number(both[1], "difference", "p") <= 1)
    let table = try whatIf(["--rules", "swap all if id=3", "--rules", "swap all"]).output
    #expect(table.contains("nothing was changed by swap all if id=3"), "\(table)")
  }

  @Test func theRunItselfReplayedHasNoEffect() throws {
    let trace = folder.file("t.db")
    let run = try Binary.run(["run", model, "--tokens", folder.file("texts.json"), "--trace", trace, "--threads", "1", "--quiet"])
    #expect(run.status == 0, "\(run.errors)")
    for rules in ["replay all=\(trace)#1", "replay all=\(trace)#1+weights"] {
      let effect = try #require(try effects(answer(["--rules", rules])).first)
      #expect(try number(effect, "loss_change") == 0 && number(effect, "kl") == 0 && number(effect, "touched") == 0, "\(rules)")
    }
  }

  @Test func anExpertThatNobodyTakesMayGo() throws {
    let short = ["--length", "2"]
    let trace = folder.file("t.db")
    _ = try Binary.run(["run", model, "--tokens", folder.file("texts.json"), "--trace", trace, "--threads", "1", "--quiet"] + short)
    let taken = try Binary.run(["sql", trace, "SELECT DISTINCT expert FROM routing WHERE layer = 1", "--format", "csv"])
    let ids = Set(taken.output.split(separator: "\n").compactMap { Int($0) })
    guard let idle = (0..<8).first(where: { !ids.contains($0) }) else { return }
    let effect = try #require(try effects(answer(short + ["--rules", "mask 1:\(idle)"])).first)
    #expect(try number(effect, "loss_change") == 0 && number(effect, "touched") == 0)
  }

  // MARK: Shape

  @Test func theAnswerIsAsTheContractSays() throws {
    let answer = try answer([
      "--rules", "mask 0:1", "--rules", "swap all if position>6", "--rules", "topk all=1", "--by", "domain", "--seeds", "3", "--seed", "5",
    ])
    #expect(try answer.string("schema") == "moetop.whatif/1" && answer.integer("texts") == 6 && answer.integer("tokens") == 66)
    #expect(try number(answer, "baseline", "loss") > 0)
    let effects = try self.effects(answer)
    #expect(try effects.map { try $0.string("rules") } == ["mask 0:1", "swap all if position>6", "topk all=1"])
    #expect(try effects.map { try $0.member("control").string("kind") } == ["equal_load", "equal_size", "none"])
    for effect in effects {
      let (low, change, high) = try (number(effect, "low"), number(effect, "loss_change"), number(effect, "high"))
      #expect(low < change && change < high)
      #expect(try effect.string("n_of") == "texts" && effect.string("unit") == "nat/token" && effect.integer("n") == 6)
      #expect(try (0...1).contains(number(effect, "touched")) && number(effect, "kl") > 0)
      #expect(try effect.array("by").map { try $0.string("value") } == ["a", "b"])
    }
    // 5 of 12 tokens in every layer.
    #expect(abs(try number(effects[1], "touched") - 5.0 / 12) < 1e-9)
    #expect(try number(effects[2], "experts_per_token") == 1)
    for effect in effects.prefix(2) {
      let (own, other) = try (number(effect, "loss_change"), number(effect, "control", "loss_change"))
      #expect(abs(try number(effect, "difference", "loss_change") - (own - other)) < 1e-12)
      let (p, adjusted) = try (number(effect, "difference", "p"), number(effect, "difference", "adjusted_p"))
      #expect(p > 0 && p <= adjusted && adjusted <= 1)
    }
    #expect(try effects[2].member("difference").member("p").kind == .null)
    #expect(try effects[2].member("control").string("reason").contains("whole layers"))
    #expect(try answer.member("settings").integer("seeds") == 3)
    let again = try whatIf(["--rules", "redraw all=uniform if entropy>q0.8", "--json"])
    #expect(
      try again.output == whatIf(["--rules", "redraw all=uniform if entropy>q0.8", "--json", "--threads", "2"]).output, "the same seed")
  }

  @Test(arguments: ["gw-moe", "redundancy", "k-sweep", "importance"])
  func everyExperimentAnswers(_ name: String) throws {
    let effects = try self.effects(answer(["--experiment", name, "--seeds", "2"]))
    #expect(effects.count >= 3)
    if name == "redundancy" { #expect(try number(effects[0], "loss_change") == 0) }
    if name == "k-sweep" { #expect(try effects.map { try number($0, "experts_per_token") } == effects.indices.map { Double($0 + 1) }) }
    let table = try whatIf(["--experiment", name, "--seeds", "2"])
    #expect(table.status == 0 && table.output.contains("loss change") && table.output.contains("nat per scored token"))
  }

  @Test func tablesFitEightyColumns() throws {
    let result = try whatIf(["--experiment", "gw-moe", "--seeds", "2"])
    let lines = result.output.split(separator: "\n")
    let rows = lines.filter { $0.hasPrefix("redraw, ") && !$0.contains(": ") }
    #expect(rows.count == 6 && rows.allSatisfy { $0.count <= 80 }, "\(result.output)")
  }

  @Test func otherModelsAnswerToo() throws {
    for name in ["switch_transformers", "nllb_moe", "deepseek_v3", "jetmoe"] {
      guard let path = Fixtures.own("models/\(name)") else { continue }
      let hasEncoder = ["switch_transformers", "nllb_moe"].contains(name)
      let rules = hasEncoder ? ["scale dec.*:all=0.5", "temperature enc.*=2", "mask enc.1:top1", "capacity dec.*=0.5"] : ["topk all=+1"]
      for rules in rules {
        let answer = try answer(["--rules", rules], model: path, tokens: path + "/input.json")
        let effect = try #require(try effects(answer).first)
        #expect(try number(effect, "touched") > 0 && number(effect, "loss_change") != 0, "\(name): \(rules)")
        #expect(try effect.member("low").kind == .null, "few texts have no interval")
      }
    }
  }

  // MARK: A planted effect

  /// A copy of the sample in which one expert's answers are 128 times as large.
  private func planted(layer: Int, expert: Int) throws -> String {
    let copy = folder.file("planted")
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(atPath: "\(sample)/\(name)", toPath: "\(copy)/\(name)")
    }
    let file = try SafetensorsFile(path: sample + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: copy + "/model.safetensors", tensors: file.tensors.map { .init($0.name, $0.elementType, $0.shape) })
    var isPlanted = false
    for tensor in file.tensors {
      var bytes = Array(tensor.bytes)
      if tensor.name.hasSuffix("layers.\(layer).mlp.experts.\(expert).down_proj.weight") {
        isPlanted = true
        for start in stride(from: 0, to: bytes.count, by: 2) {
          // bf16: 128 times is seven more in the exponent, which stands seven bits up.
          var bits = UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8
          if bits & 0x7F80 != 0 { bits += 7 << 7 }
          (bytes[start], bytes[start + 1]) = (UInt8(bits & 0xFF), UInt8(bits >> 8))
        }
      }
      try writer.append(bytes, to: tensor.name)
    }
    try writer.finish()
    #expect(isPlanted)
    return copy
  }

  @Test func importanceFindsTheExpertThatWasMadeToMatter() throws {
    let path = try planted(layer: 3, expert: 15)
    let corpus = try String(contentsOfFile: Fixtures.root + "/samples/corpus.jsonl", encoding: .utf8).split(separator: "\n").prefix(12)
    try corpus.joined(separator: "\n").write(toFile: folder.file("texts.jsonl"), atomically: true, encoding: .utf8)
    let result = try Binary.run([
      "whatif", path, "-f", folder.file("texts.jsonl"), "--experiment", "importance", "--length", "12", "--json", "--quiet",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let effects = try self.effects(parsed(result))
    #expect(effects.count == 96)
    #expect(try effects[0].string("name") == "ffn.3:15")
    #expect(try number(effects[0], "difference", "p") <= 0.01 && number(effects[0], "difference", "adjusted_p") <= 0.05)
    let planted = abs(try number(effects[0], "difference", "loss_change"))
    for effect in effects.dropFirst() where try effect.string("name").hasPrefix("ffn.3:") {
      let name = try effect.string("name")
      #expect(try abs(number(effect, "loss_change")) < 0.25 * planted, "\(name)")
    }
  }

  // MARK: Batches

  @Test func aBatchMattersToCapacityAlone() throws {
    func effect(_ rules: String, _ batch: String) throws -> JSONValue {
      try #require(try effects(answer(["--rules", rules, "--batch", batch, "--seeds", "2"])).first)
    }
    for rules in ["redraw all=uniform if entropy>q0.8", "topk all=+1", "capacity all=1000000", "swap all if position>6"] {
      for key in ["loss_change", "low", "high", "kl", "touched", "experts_per_token"] {
        #expect(try number(effect(rules, "4"), key) == number(effect(rules, "1"), key), "\(rules): \(key)")
      }
    }
    let (one, four) = try (effect("capacity all=0.5", "1"), effect("capacity all=0.5", "4"))
    #expect(try number(one, "loss_change") != number(four, "loss_change") && number(four, "touched") > 0)
    #expect(try number(effect("capacity all=0.5", "4"), "loss_change") == number(four, "loss_change"))
    // 6 texts of 12 tokens, k = 3 of 8 experts: of 72 rows an expert takes ceil(13.5), of 12 rows ceil(2.25).
    let trace = folder.file("b.db")
    let texts = folder.file("texts.json")
    let run = ["run", model, "--tokens", texts, "--trace", trace, "--threads", "1", "--intervene", "capacity all=0.5"]
    for batch in [["--batch", "6"], ["--batch", "1"], []] {
      let result = try Binary.run(run + batch)
      #expect(result.status == 0, "\(result.errors)")
    }
    let load = try Binary.run([
      "sql", trace,
      "SELECT run, max(n) FROM (SELECT run, layer, expert, count(*) n FROM routing WHERE dropped = 0 GROUP BY 1, 2, 3) GROUP BY run",
      "--format", "csv",
    ])
    let most = load.output.split(separator: "\n").dropFirst().compactMap { $0.split(separator: ",").last.flatMap { Int($0) } }
    #expect(most == [14, 18, 18], "\(load.output)")
    #expect(try Binary.run(["runs", "check", trace]).status == 0)
    let refused = try Binary.run(["run", model, "--tokens", texts, "--generate", "--batch", "2", "--no-trace"])
    #expect(refused.status == 64 && refused.errors.contains("--batch"), "\(refused.errors)")
  }

  @Test func anOverflowIsCountedAndWithoutCapacityThereIsNone() throws {
    let arguments = ["--experiment", "overflow", "--seeds", "3", "--batch", "2", "--by", "domain", "--length", "8"]
    let answer = try answer(arguments)
    let effects = try self.effects(answer)
    #expect(try effects.count == 17 && answer.member("settings").integer("batch") == 2)
    for kind in ["mates", "order"] {
      for key in ["changed_tokens", "changed_tokens_low", "changed_tokens_high", "changed_top1"] {
        #expect(try number(effects[0], kind, key) == 0, "without capacity: \(kind).\(key)")
      }
    }
    #expect(try number(effects[0], "loss_change") == 0 && number(effects[0], "touched") == 0)
    let gshard = effects[1]
    #expect(try gshard.string("rules") == "capacity all=1,gshard" && number(gshard, "mates", "changed_tokens") > 0)
    #expect(try gshard.member("mates").integer("draws") == 3 && gshard.member("order").integer("draws") == 1)
    #expect(try gshard.member("mates").integer("tokens") == 3 * 48 && gshard.member("mates").integer("places") == 3 * 42)
    #expect(try gshard.member("mates").integer("n") == 6 && Array(gshard.array("by")).count == 2)
    #expect(try number(gshard, "mates", "changed_tokens_low") < number(gshard, "mates", "changed_tokens"))
    // Neither who is surest nor who suits an expert depends on who stands first.
    for effect in effects where try effect.string("rules").hasSuffix("priority") || effect.string("rules").hasSuffix("expert-choice") {
      #expect(try number(effect, "order", "changed_tokens") == 0 && number(effect, "order", "changed_top1") == 0)
    }
    let again = try whatIf(arguments + ["--json"])
    #expect(try again.output == whatIf(arguments + ["--json", "--threads", "2"]).output, "the same seed")
    #expect(try whatIf(arguments + ["--fail-if", "mates.changed_tokens>0"]).status == 2)
    let table = try whatIf(arguments)
    #expect(table.output.contains("tokens, mates") && table.output.contains("Hayes et al. 2024"), "\(table.output)")
    #expect(table.output.split(separator: "\n").filter { $0.hasPrefix("1.25 ") }.allSatisfy { $0.count <= 80 })
    for name in ["switch_transformers", "nllb_moe"] {
      guard let path = Fixtures.own("models/\(name)") else { continue }
      let ids = (0..<4).map {
        "{\"encoder\": [\((0..<10).map { "\($0 * 5 % 50 + 4)" }.joined(separator: ","))], \"decoder\": [2, \($0 + 5), 9, 8]}"
      }
      try "{\"sequences\": [\(ids.joined(separator: ","))]}".write(toFile: folder.file("two.json"), atomically: true, encoding: .utf8)
      let effects = try self.effects(
        self.answer(["--experiment", "overflow", "--seeds", "1"], model: path, tokens: folder.file("two.json")))
      #expect(try number(effects[0], "mates", "changed_tokens") == 0 && number(effects[1], "touched") > 0, "\(name)")
    }
  }

  // MARK: Prompts, traces, refusals

  @Test func aPromptIsContinuedBeforeAndAfter() throws {
    let arguments = ["whatif", sample, "-p", "def main():", "--max-tokens", "6", "--rules", "mask all:top2", "--rules", "topk all=+0"]
    let result = try Binary.run(arguments + ["--json", "--quiet"])
    #expect(result.status == 0, "\(result.errors)")
    let effects = try self.effects(parsed(result))
    #expect(try effects[0].string("before") != effects[0].string("after") && !effects[0].string("before").isEmpty)
    #expect(try effects[1].string("before") == effects[1].string("after") && effects[1].string("before") == effects[0].string("before"))
    #expect(try effects[0].member("low").kind == .null && effects[0].member("difference").member("p").kind == .null)
    let text = try Binary.run(arguments).output
    #expect(text.contains("before   ") && text.contains("after    ") && text.contains("fewer than 5 texts"))
  }

  @Test func variantsAreRecordedAsRunsOfASeries() throws {
    let trace = folder.file("t.db")
    let plain = try whatIf(["--rules", "swap all if position>6", "--seeds", "2", "--json"])
    let result = try whatIf(["--rules", "swap all if position>6", "--seeds", "2", "--trace", trace, "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let (got, want) = try (parsed(result), parsed(plain))
    #expect(try number(effects(got)[0], "loss_change") == number(effects(want)[0], "loss_change"))
    let view = try Binary.run(["sql", trace, "SELECT run, intervention, parent, series FROM runs ORDER BY run", "--format", "csv"])
    #expect(
      view.output.split(separator: "\n").dropFirst() == [
        "1,,,whatif", "2,swap all if position>6,1,whatif", "3,swap all if position>6,1,whatif", "4,swap all if position>6,1,whatif",
      ], "\(view.output)")
    let check = try Binary.run(["runs", "check", trace])
    #expect(check.status == 0, "\(check.output)\(check.errors)")
    // What stands for chance is told from what was asked, whatever kind of control it is.
    let neighbours = folder.file("n.db")
    #expect(try whatIf(["--rules", "mask 0:1", "--rules", "swap all if position>6", "--seeds", "1", "--trace", neighbours]).status == 0)
    let tags = try Binary.run(["sql", neighbours, "SELECT tags FROM runs WHERE parent = 1 ORDER BY run", "--format", "csv"])
    let controls = (1...3).map { "\"[\"\"control-\($0)\"\"]\"" }
    #expect(tags.output.split(separator: "\n").dropFirst().map(String.init) == ["[]"] + controls + ["[]", controls[0]], "\(tags.output)")
    let changed = try Binary.run([
      "sql", trace,
      "SELECT count(*) FROM (SELECT token, layer, expert FROM routing WHERE run = 1 EXCEPT SELECT token, layer, expert FROM routing WHERE run = 2) "
        + "WHERE layer = 0", "--format", "csv",
    ])
    #expect(changed.output.split(separator: "\n").last == "30", "5 tokens of 6 texts lose one expert")
  }

  @Test func conditionsOnRowsDecideTheExitCode() throws {
    #expect(try whatIf(["--rules", "topk all=1", "--fail-if", "touched>0.5"]).status == 2)
    #expect(try whatIf(["--rules", "topk all=1", "--fail-if", "touched>1"]).status == 0)
    #expect(try whatIf(["--rules", "topk all=1", "--fail-if", "difference.p<0.05"]).status == 1)
    #expect(try whatIf(["--rules", "topk all=1", "--fail-if", "loss>1"]).status == 64)
  }

  @Test func whatCannotBeIsRefused() throws {
    let cases: [([String], String)] = [
      (["--rules", ""], "there is no rule in it"), (["--rules", " ; "], "there is no rule in it"), ([], "found neither"),
      (["--rules", "swap all", "--experiment", "gw-moe"], "found both"),
      (["--experiment", "nonsense"], "there is no such experiment; expected gw-moe, redundancy"),
      (["--experiment", "overflow", "--batch", "3"], "--batch 3: expected at least 9 texts"),
      (["--rules", "swap all", "--batch", "0"], "--batch"),
      (["--experiment", "overflow", "--batch", "1"], "at least 2 texts"),
      (["--rules", "swap all", "--class", "1"], "--class: only models"),
      (["--rules", "mask 9:1"], "--rules: rule \"mask 9:1\": there is no router"),
      (["--rules", "mask 0:99"], "there is no expert 99"), (["--rules", "swap all if layer=77"], "layer"),
      (["--rules", "swap all", "--by", "language"], "there is domain"), (["--rules", "swap all", "--seeds", "0"], "--seeds"),
      (["--rules", "musk 1"], "--rules: rules, character 1"),
    ]
    for (arguments, words) in cases {
      let result = try whatIf(arguments)
      #expect(result.status == 64 && result.errors.contains(words), "\(arguments): \(result.status) \(result.errors)")
      #expect(result.output.isEmpty)
    }
    let prompt = try Binary.run(["whatif", sample, "-p", "x", "--experiment", "nonsense"])
    #expect(prompt.status == 64 && prompt.errors.contains("there is no such experiment"), "\(prompt.errors)")
    guard let images = Fixtures.own("dit/timm") else { return }
    let refused: [([String], String)] = [
      (["-p", "x", "--rules", "swap all"], "makes images"), (["--rules", "swap all", "--batch", "2"], "--batch"),
      (["--experiment", "overflow"], "images share no batch"), (["--rules", "swap all if surprisal>1"], "no surprisal"),
      (["--rules", "swap all", "--by", "domain"], "there is class"),
      (["--rules", "swap all", "--class", "99"], "--class"),
    ]
    for (arguments, words) in refused {
      let result = try Binary.run(["whatif", images, "--steps", "3"] + arguments)
      #expect(result.status == 64 && result.errors.contains(words) && result.output.isEmpty, "\(arguments): \(result.errors)")
    }
  }

  @Test func anInterruptionKeepsTheTextsThatWereFinished() throws {
    let ids = "[" + (0..<60).map { String($0 * 7 % 60 + 3) }.joined(separator: ",") + "]"
    let many = try folder.write(
      Array("{\"sequences\": [\(Array(repeating: ids, count: 5_000).joined(separator: ","))]}".utf8), to: "long.json")
    func interrupted(after seconds: TimeInterval) throws -> String {
      let process = Binary.start(["whatif", model, "--tokens", many, "--rules", "swap all", "--json", "--threads", "1", "--no-progress"])
      let output = Pipe()
      (process.standardOutput, process.standardError) = (output, FileHandle.nullDevice)
      try Binary.startUnmasked(process)
      Thread.sleep(forTimeInterval: seconds)
      kill(process.processIdentifier, SIGINT)
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      return text
    }
    // On a busy machine the first text may take longer: before it there is nothing to keep.
    let first = try interrupted(after: 3)
    let text = first.isEmpty ? try interrupted(after: 30) : first
    let answer = try JSON.parse(text: text, name: "answer")
    #expect(try answer.bool("partial") && (1..<5_000).contains(answer.integer("texts")))
    #expect(try answer.array("effects").map { try $0.integer("n") } == [answer.integer("texts")])
  }

  @Test func anOutputThatIsNoNumberIsAnErrorAndNoNumber() throws {
    let copy = folder.file("broken")
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: model + "/config.json", toPath: copy + "/config.json")
    let file = try SafetensorsFile(path: model + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: copy + "/model.safetensors", tensors: file.tensors.map { .init($0.name, $0.elementType, $0.shape) })
    for tensor in file.tensors {
      var bytes = Array(tensor.bytes)
      // The last norm: not a number in bf16 and in f32.
      if tensor.name == "model.norm.weight" { for index in bytes.indices { bytes[index] = index % 2 == 0 ? 0xC0 : 0x7F } }
      try writer.append(bytes, to: tensor.name)
    }
    try writer.finish()
    let result = try whatIf(["--rules", "swap all", "--json"], model: copy)
    #expect(result.status == 1 && result.output.isEmpty && result.errors.contains("NaN or infinite"), "\(result.errors)")
  }
}
