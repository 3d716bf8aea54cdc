// `moetop compare` as a user calls it: runs that decide alike, models that do not, experts in another order, texts in another order, and what
// cannot be compared, with the code and the words that say why. The numbers themselves are checked by tools/check_compare.py.

import Formats
import Foundation
import Support
import Testing

struct CompareCommandTests {
  private func model(_ family: String) throws -> String { try #require(Fixtures.own("models/\(family)")) }

  /// Texts of random ids below `vocabulary`, the same for the same seed.
  private func texts(_ count: Int, seed: UInt64, vocabulary: UInt64 = 60) -> [[Int]] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { text in (0..<24 + text % 5).map { _ in Int(random.next() % vocabulary) + 3 } }
  }

  /// A run of `texts` appended to `trace`.
  private func run(
    _ model: String, _ texts: [[Int]], in folder: TemporaryDirectory, trace: String, name: String, more: [String] = []
  ) throws {
    let json = "{\"sequences\": [\(texts.map { "[\($0.map(String.init).joined(separator: ","))]" }.joined(separator: ","))]}"
    let tokens = try folder.write(Array(json.utf8), to: "\(name).json")
    let result = try Binary.run(
      ["run", model, "--tokens", tokens, "--trace", folder.file(trace), "--name", name, "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
  }

  private func compare(_ folder: TemporaryDirectory, _ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let paths = arguments.map { $0.contains(".db") && !$0.contains("<") ? folder.file($0) : $0 }
    let result = try Binary.run(["compare"] + paths)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    if status != 0, status != 2, status != 1 { #expect(result.output.isEmpty) }
    return result
  }

  private func answer(_ folder: TemporaryDirectory, _ arguments: String...) throws -> [String: Any] {
    let paths = arguments.map { $0.contains(".db") ? folder.file($0) : $0 }
    let result = try Binary.run(["compare"] + paths + ["--json"])
    #expect(result.status == 0, "\(result.errors)")
    return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  private func pairs(_ answer: [String: Any]) throws -> [[String: Any]] { try #require(answer["pairs"] as? [[String: Any]]) }
  private func layers(_ pair: [String: Any]) throws -> [[String: Any]] { try #require(pair["layers"] as? [[String: Any]]) }
  private func number(_ row: [String: Any], _ key: String) -> Double { row[key] as? Double ?? .nan }

  // MARK: - Alike

  @Test func theSameRunOnOtherThreadsAgreesInEverything() throws {
    let folder = try TemporaryDirectory()
    let texts = texts(6, seed: 1)
    for threads in ["1", "2"] {
      try run(model("mixtral"), texts, in: folder, trace: "t.db", name: "on\(threads)", more: ["--threads", threads, "--record", "full"])
    }
    let pair = try pairs(try answer(folder, "t.db#on1", "t.db#on2"))[0]
    for row in [pair] + (try layers(pair)) {
      #expect(number(row, "set_agreement") == 1 && number(row, "top1_agreement") == 1 && number(row, "jaccard") == 1)
      #expect(number(row, "js_divergence") == 0 && number(row, "load_tv") == 0 && number(row, "flips") == 0)
      #expect(number(row, "set_agreement_low") == 1 && number(row, "baseline") == 1.0 / 3)
      let shuffled = number(row, "shuffled_baseline")
      #expect(number(row, "load_baseline") > 1.0 / 3 && shuffled > 0.2 && shuffled < 0.8)
    }
    #expect(number(pair, "loss_change") == 0 && number(pair, "low") == 0 && number(pair, "high") == 0)
    #expect(number(pair, "texts") == 6 && number(pair, "tokens") == Double(texts.joined().count) && pair["parted_at"] is NSNull)
    #expect((pair["flipped"] as? [Any])?.isEmpty == true && pair["matched"] as? String == "index")
    _ = try compare(folder, "t.db#on1", "t.db#on2", "--fail-if", "set_agreement<1", "--fail-if", "flips>0")
    let table = try compare(folder, "t.db#on1", "t.db#on2").output
    for part in ["1.0000  1.0000 to 1.0000  0.3333  ", "set_agreement", "by load  other texts", "decisions", "nat/token"] {
      #expect(table.contains(part), "\(table)")
    }
    let lines = table.components(separatedBy: "\n")
    let legend = try #require(lines.firstIndex { $0.hasPrefix("chance beside an agreement") })
    #expect(lines[..<legend].allSatisfy { $0.count <= 80 } && lines.allSatisfy { $0.count <= 100 }, "\(table)")
  }

  /// A schema grows by keys: these are the ones that were promised.
  @Test func theAnswerHasTheKeysOfTheContract() throws {
    let folder = try TemporaryDirectory()
    for family in ["olmoe", "qwen3_moe"] {
      try run(model(family), texts(3, seed: 2), in: folder, trace: "t.db", name: family, more: ["--record", "full"])
    }
    let answer = try answer(folder, "t.db#olmoe", "t.db#qwen3_moe")
    #expect(answer["schema"] as? String == "moetop.compare/1" && answer["notes"] is [String] && answer["settings"] is [String: Any])
    #expect((answer["a"] as? [String: Any])?["run"] as? String == "t.db#1")
    let pair = try pairs(answer)[0]
    let promised = [
      "b", "texts", "tokens", "parted_at", "set_agreement", "top1_agreement", "jaccard", "js_divergence", "load_tv", "loss_a", "loss_b",
      "loss_change", "low", "high", "flips", "flips_above_margin", "matched", "layers", "by_entropy", "flipped",
    ]
    #expect(Set(promised).subtracting(pair.keys).isEmpty)
    let ofLayers = [
      "router", "set_agreement", "baseline", "load_baseline", "shuffled_baseline", "top1_agreement", "jaccard", "js_divergence", "load_tv",
      "decisions", "flips", "flip_margin_q50", "flip_margin_q95", "flip_margin_max", "flips_above_margin",
    ]
    let layer = try layers(pair)[0]
    #expect(Set(ofLayers).subtracting(layer.keys).isEmpty && layer["moved"] == nil && layer["margin_unit"] as? String == "probability")
    let bins = try #require(pair["by_entropy"] as? [[String: Any]])
    #expect(bins.reduce(0) { $0 + number($1, "decisions") } == number(pair, "decisions"))
    #expect(bins.allSatisfy { Set($0.keys) == ["low", "high", "decisions", "set_agreement"] })
    let flipped = try #require(pair["flipped"] as? [[String: Any]])
    #expect(flipped.count == min(100, Int(number(pair, "flips"))) && !flipped.isEmpty)
    #expect(Set(["token", "router", "margin", "a", "b"]).subtracting(flipped[0].keys).isEmpty && (flipped[0]["a"] as? [Int])?.count == 3)
  }

  // MARK: - Under a filter

  @Test func aFilterChoosesDecisionsOfTheFirstRun() throws {
    let folder = try TemporaryDirectory()
    for family in ["olmoe", "qwen3_moe"] {
      try run(model(family), texts(8, seed: 5), in: folder, trace: "t.db", name: family, more: ["--record", "full"])
    }
    let runs = ["t.db#olmoe", "t.db#qwen3_moe"]
    let found = try answer(folder, runs[0], runs[1], "--filter", "layer=1 position>3 expert=2")
    #expect((found["settings"] as? [String: Any])?["filter"] as? String == "layer=1 position>3 expert=2")
    let pair = try pairs(found)[0]
    #expect(try layers(pair).map { $0["router"] as? String } == ["ffn.1"])
    let whole = try pairs(try answer(folder, runs[0], runs[1]))[0]
    #expect(number(pair, "decisions") > 0 && number(pair, "decisions") == number(pair, "tokens"))
    #expect(number(pair, "decisions") < number(whole, "decisions") / 2 && number(pair, "scored_tokens") == number(pair, "tokens"))
    for flip in try #require(pair["flipped"] as? [[String: Any]]) {
      #expect((flip["a"] as? [Int])?.contains(2) == true && (flip["position"] as? Int ?? 0) > 3)
    }
    #expect((pair["notes"] as? [String])?.contains { $0.contains("decisions of A") && $0.contains("tokens pass") } == true)
    // The other run first: other decisions, of the same tokens at most.
    let turned = try pairs(try answer(folder, runs[1], runs[0], "--filter", "layer=1 position>3 expert=2"))[0]
    #expect(number(turned, "decisions") != number(pair, "decisions"))
    let csv = try compare(folder, runs[0], runs[1], "--filter", "bos", "--format", "csv").output.split(separator: "\n")
    #expect(csv[0].hasSuffix(",high,filter") && csv[1].hasSuffix(",bos"))
    #expect(try compare(folder, runs[0], runs[1], "--filter", "bos").output.contains("8 tokens of 8 texts"))
    for (filter, words) in [("weight>2", "none of"), ("layer=9", "layer"), ("entropy>", "expected")] {
      #expect(try compare(folder, runs[0], runs[1], "--filter", filter, status: 64).errors.contains(words))
    }
  }

  // MARK: - Not alike

  /// Two models of one shape on the same ids: near chance, and --margin counts what was no near tie.
  @Test func twoModelsAgreeByChance() throws {
    let folder = try TemporaryDirectory()
    for family in ["olmoe", "qwen3_moe"] { try run(model(family), texts(8, seed: 3), in: folder, trace: "t.db", name: family) }
    let found = try answer(folder, "t.db#olmoe", "t.db#qwen3_moe")
    let pair = try pairs(found)[0]
    #expect(abs(number(pair, "set_agreement") - number(pair, "shuffled_baseline")) < 0.1 && pair["js_divergence"] is NSNull)
    #expect(abs(number(pair, "loss_change") - number(pair, "loss_b") + number(pair, "loss_a")) < 1e-9)
    #expect(number(pair, "low") < number(pair, "loss_change") && number(pair, "high") > number(pair, "loss_change"))
    let notes = try #require(found["notes"] as? [String]).joined(separator: "\n")
    for words in ["other weights", "(ffn.0: 3 and 2)", "--record full"] { #expect(notes.contains(words), "\(notes)") }
    let gate = try compare(folder, "t.db#olmoe", "t.db#qwen3_moe", "--fail-if", "set_agreement<0.9", status: 2)
    #expect(gate.errors.contains("t.db#2 all routers: set_agreement 0.") && gate.errors.contains("t.db#2 ffn.1: set_agreement"))
    #expect(try compare(folder, "t.db#olmoe", "t.db#qwen3_moe", "--fail-if", "js_divergence>1", status: 1).errors.contains("--record full"))
    func above(_ margin: String) throws -> Double {
      number(try pairs(try answer(folder, "t.db#olmoe", "t.db#qwen3_moe", "--margin", margin))[0], "flips_above_margin")
    }
    #expect(try above("0") == number(pair, "flips") && above("1") == 0 && above("0.01") < number(pair, "flips_above_margin"))
  }

  /// The same weights with experts in another order do the same work under other numbers.
  @Test func permutedExpertsAreMatchedByBehaviour() throws {
    let folder = try TemporaryDirectory()
    let order = [2, 0, 4, 5, 1, 3]
    let permuted = try permute(try model("mixtral"), order: order, in: folder)
    for (name, path) in [("own", try model("mixtral")), ("permuted", permuted)] {
      try run(path, texts(16, seed: 4), in: folder, trace: "t.db", name: name, more: ["--record", "full"])
    }
    let byIndex = try pairs(try answer(folder, "t.db#own", "t.db#permuted"))[0]
    #expect(number(byIndex, "set_agreement") < 0.6 && abs(number(byIndex, "loss_change")) < 1e-3)
    let pair = try pairs(try answer(folder, "t.db#own", "t.db#permuted", "--match", "behaviour"))[0]
    #expect(number(pair, "set_agreement") > 0.999 && number(pair, "js_divergence") < 1e-6 && pair["matched"] as? String == "behaviour")
    for layer in try layers(pair) {
      #expect(layer["experts_b"] as? [Int] == order && number(layer, "moved") == 6)
      #expect(number(layer, "decisions") == Double(texts(16, seed: 4).enumerated().filter { $0.offset % 2 == 1 }.flatMap(\.element).count))
    }
    let table = try compare(folder, "t.db#own", "t.db#permuted", "--match", "behaviour").output
    #expect(table.contains("2 0 4 5 1 3") && table.contains("matched by behaviour"))
  }

  /// A copy of a Mixtral whose expert e is called `order[e]`.
  private func permute(_ model: String, order: [Int], in folder: TemporaryDirectory) throws -> String {
    let path = folder.file("permuted")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: model + "/config.json", toPath: path + "/config.json")
    let source = try SafetensorsFile(path: model + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: path + "/model.safetensors",
      tensors: source.tensors.map { SafetensorsWriter.Declaration($0.name, $0.elementType, $0.shape) })
    for tensor in source.tensors {
      let parts = tensor.name.components(separatedBy: ".experts.")
      if parts.count == 2, let dot = parts[1].firstIndex(of: "."), let expert = Int(parts[1][..<dot]) {
        try writer.append(tensor.bytes, to: "\(parts[0]).experts.\(order[expert])\(parts[1][dot...])")
      } else if tensor.name.hasSuffix(".gate.weight") {
        let row = tensor.bytes.count / order.count
        for place in order.indices {
          let expert = order.firstIndex(of: place) ?? 0
          try writer.append(UnsafeRawBufferPointer(rebasing: tensor.bytes[expert * row..<(expert + 1) * row]), to: tensor.name)
        }
      } else {
        try writer.append(tensor.bytes, to: tensor.name)
      }
    }
    try writer.finish()
    return path
  }

  @Test func fewerExpertsATokenAndASeriesOfRuns() throws {
    let folder = try TemporaryDirectory()
    for k in ["1", "2", "3"] {
      try run(
        model("mixtral"), texts(6, seed: 5), in: folder, trace: "t.db", name: "k\(k)", more: ["--set", "num_experts_per_tok=\(k)"])
    }
    let pairs = try pairs(try answer(folder, "t.db#k2", "t.db#k1", "t.db#k3", "t.db#k2"))
    #expect(pairs.count == 3 && number(pairs[2], "set_agreement") == 1)
    // The first layer sees the same: one of two, two of three.
    #expect(
      try number(layers(pairs[0])[0], "set_agreement") == 0.5 && abs(number(layers(pairs[1])[0], "set_agreement") - 2.0 / 3) < 1e-12)
    #expect(number(pairs[0], "baseline") == 1.0 / 6 && number(pairs[1], "baseline") == 1.0 / 3)
    let table = try compare(folder, "t.db#k2", "t.db#k1", "t.db#k3").output
    for part in ["B1 k1", "t.db#3", "B2 k3", "ffn.1", "0.5000", "  0.1667  ", "B1: other numbers of experts"] {
      #expect(table.contains(part), "\(table)")
    }
    let csv = try compare(folder, "t.db#k2", "t.db#k1", "t.db#k3", "--format", "csv").output.split(separator: "\n")
    #expect(csv[0] == "run,router,name,value,unit,n,n_of,baseline,load_baseline,shuffled_baseline,low,high")
    #expect(csv[1].hasPrefix("t.db#1,ffn.0,set_agreement,0.5,share,") && csv.contains { $0.hasPrefix("t.db#3,,loss_change,") })
    #expect(try compare(folder, "t.db#k2", "t.db#k1", "--format", "md").output.contains("| router | set_agreement | 95 % |"))
  }

  // MARK: - Texts

  @Test func textsInAnotherOrderAreFoundAndSaid() throws {
    let folder = try TemporaryDirectory()
    let texts = texts(7, seed: 6)
    try run(model("mixtral"), texts, in: folder, trace: "a.db", name: "own", more: ["--record", "full"])
    try run(model("mixtral"), Array(texts.reversed()), in: folder, trace: "b.db", name: "turned", more: ["--record", "full:every=3"])
    let found = try answer(folder, "a.db", "b.db")
    let pair = try pairs(found)[0]
    #expect(number(pair, "set_agreement") == 1 && pair["pairing"] as? String == "content" && number(pair, "texts") == 7)
    #expect(number(pair, "loss_change") == 0 && number(pair, "js_divergence") == 0)
    // Logits of every third row of B.
    let rows = texts.joined().count
    #expect(number(pair, "js_decisions") == 2 * Double((rows + 2) / 3))
    #expect((found["notes"] as? [String])?.contains { $0.contains("B has 6 of 7 at another place") } == true)
  }

  @Test func whatFollowsAPartingIsNotCompared() throws {
    let folder = try TemporaryDirectory()
    var texts = texts(3, seed: 7)
    try run(model("mixtral"), texts, in: folder, trace: "t.db", name: "own")
    texts[1][10] = texts[1][10] == 5 ? 6 : 5
    try run(model("mixtral"), texts, in: folder, trace: "t.db", name: "parted")
    let found = try answer(folder, "t.db#own", "t.db#parted")
    let pair = try pairs(found)[0]
    #expect(number(pair, "parted_at") == 10 && number(pair, "parted_texts") == 1 && number(pair, "set_agreement") == 1)
    #expect(number(pair, "tokens") == Double(texts[0].count + 10 + texts[2].count))
    #expect((found["notes"] as? [String])?.contains { $0.contains("1 of 3 texts part, the first at position 10") } == true)
  }

  @Test func anEncoderDecoderStandsBesideItself() throws {
    let folder = try TemporaryDirectory()
    let model = try model("switch_transformers")
    for name in ["a", "b"] {
      let done = try Binary.run([
        "run", model, "--tokens", model + "/input.json", "--trace", folder.file("t.db"), "--name", name, "--record", "full", "-q",
      ])
      #expect(done.status == 0, "\(done.errors)")
    }
    let pair = try pairs(try answer(folder, "t.db#a", "t.db#b"))[0]
    #expect(try layers(pair).compactMap { $0["router"] as? String } == ["dec.1", "enc.1"] && number(pair, "set_agreement") == 1)
    let crossed = try compare(folder, "t.db#a", "t.db#b", "--layers", "enc.1=dec.1", status: 65)
    #expect(crossed.errors.contains("no decision in common: at no row did both take an expert"))
  }

  // MARK: - What cannot be compared

  @Test func whatCannotBeComparedIsRefusedWithTheReason() throws {
    let folder = try TemporaryDirectory()
    try run(model("mixtral"), texts(2, seed: 8), in: folder, trace: "t.db", name: "own")
    try run(model("mixtral"), [[7, 7, 7]], in: folder, trace: "t.db", name: "other")
    try run(model("mixtral-window"), texts(2, seed: 8), in: folder, trace: "t.db", name: "deeper")
    try run(model("olmoe"), texts(2, seed: 8), in: folder, trace: "t.db", name: "wider")
    func refused(_ arguments: String..., code: Int32, _ words: String...) throws {
      let paths = arguments.map { $0.contains(".db") ? folder.file($0) : $0 }
      let result = try Binary.run(["compare"] + paths)
      #expect(result.status == code && result.output.isEmpty, "\(arguments): \(result.status) \(result.errors)")
      for word in words { #expect(result.errors.contains(word), "\(arguments): \(result.errors)") }
    }
    try refused("t.db#own", "t.db#other", code: 65, "t.db#2 has no token in common with t.db#1", "same texts")
    try refused("t.db#own", "t.db#deeper", code: 64, "A has ffn.0-1, B has ffn.0-2", "--layers")
    try refused("t.db#own", "t.db#deeper", "--layers", "0=7", code: 64, "B has no router ffn.7")
    try refused("t.db#own", "t.db#deeper", "--layers", "0:1", code: 64, "3=4")
    try refused("t.db#own", "t.db#wider", code: 64, "ffn.0 of 6 and of 8", "--match behaviour")
    try refused("t.db#own", "t.db#99", code: 66, "no run 99", "runs 1-4")
    try refused("none.db", "t.db", code: 66, "no such trace")
    try refused("t.db#own", code: 64, "two runs or more")
    try refused("t.db#own", "t.db#own", "--margin", "-1", code: 64, "--margin")
    try refused("t.db#own", "t.db#own", "--fail-if", "agreement<1", code: 64, "set_agreement")
    try refused("t.db#own", "t.db#own", "--branch", "1", code: 64, "not a denoising run")
    try refused("t.db#other", "t.db#other", "--match", "behaviour", code: 64, "two texts or more")
    let crossed = try pairs(try answer(folder, "t.db#own", "t.db#own", "--layers", "0=1,1=0"))[0]
    #expect(try layers(crossed).compactMap { $0["router_b"] as? String } == ["ffn.1", "ffn.0"])
    // Of other widths, behaviour decides which expert is which.
    let wider = try pairs(try answer(folder, "t.db#own", "t.db#wider", "--match", "behaviour"))[0]
    #expect(try number(wider, "baseline") == 0.25 && (layers(wider)[0]["experts_b"] as? [Int])?.count == 6)
  }

  @Test func imagesAreComparedPlaceByPlace() throws {
    let folder = try TemporaryDirectory()
    func images(_ name: String, _ more: [String]) throws {
      let done = try Binary.run(
        ["run", "\(Fixtures.root)/samples/dit-moe-tiny", "--images", "2", "--steps", "2", "--trace", folder.file("i.db"), "-q"]
          + ["--name", name] + more)
      #expect(done.status == 0, "\(done.errors)")
    }
    try images("one", ["--cfg", "1.5", "--threads", "1"])
    try images("again", ["--cfg", "1.5", "--threads", "2"])
    try images("seed", ["--cfg", "1.5", "--seed", "9"])
    try images("counted", ["--cfg", "1.5", "--record", "counts"])
    try images("steps", ["--cfg", "1.5", "--steps", "3"])
    // Rows of a second branch lie between the steps of one run only: at a guidance next to nothing both make the same images.
    try images("guided", ["--cfg", "1.00001"])
    try images("unguided", ["--cfg", "1"])
    let guidance = try pairs(try answer(folder, "i.db#guided", "i.db#unguided", "--filter", "step=1"))[0]
    #expect(number(guidance, "set_agreement") == 1 && number(guidance, "tokens") == 128)
    let same = try pairs(try answer(folder, "i.db#one", "i.db#again", "--branch", "1"))[0]
    #expect(number(same, "set_agreement") == 1 && number(same, "tokens") == 256 && same["loss_a"] is NSNull)
    let table = try compare(folder, "i.db#one", "i.db#seed").output
    #expect(table.contains("256 rows") && table.contains("other noise (seed 0 and seed 9)") && !table.contains("scored_tokens  "))
    let counted = try compare(folder, "i.db#one", "i.db#counted", status: 64)
    #expect(counted.errors.contains("--record counts") && counted.errors.contains("no decisions"))
    #expect(try compare(folder, "i.db#one", "i.db#steps", status: 65).errors.contains("2 steps of"))
    try run(model("mixtral"), texts(2, seed: 8), in: folder, trace: "t.db", name: "text")
    #expect(try compare(folder, "i.db#one", "t.db#text", status: 65).errors.contains("is a denoising run"))
  }
}
