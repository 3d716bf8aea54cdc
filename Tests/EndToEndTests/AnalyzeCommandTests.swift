// `moetop analyze` as a user calls it: numbers beside what they are to be read against, gates that a missing number does not pass, axes that
// have metrics of their own, and questions that a run cannot answer.

import Formats
import Foundation
import Support
import Testing

struct AnalyzeCommandTests {
  private func model(_ family: String) throws -> String { try #require(Fixtures.own("models/\(family)")) }

  /// A trace of the fixture's own input.
  private func trace(
    _ family: String, in folder: TemporaryDirectory, record: String = "weights", tokens: String? = nil, more: [String] = []
  ) throws -> String {
    let path = folder.file("\(family)-\(record).db")
    let model = try model(family)
    let result = try Binary.run(
      ["run", model, "--tokens", tokens ?? model + "/input.json", "--trace", path, "--record", record, "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  /// Two images of the sample under guidance, and how their decisions fell.
  private func images(in folder: TemporaryDirectory, guidance: String = "1.5") throws -> String {
    let path = folder.file("images\(guidance).db")
    let result = try Binary.run([
      "run", "\(Fixtures.root)/samples/dit-moe-tiny", "--images", "2", "--steps", "3", "--cfg", guidance, "--trace", path, "-q",
    ])
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  private func analyze(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(["analyze"] + arguments)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    return result
  }

  /// The documents of an answer by metric.
  private func documents(_ result: CommandResult) throws -> [String: [String: Any]] {
    let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
    let all = value as? [[String: Any]] ?? [value as? [String: Any] ?? [:]]
    return Dictionary(all.map { ($0["metric"] as? String ?? "", $0) }) { first, _ in first }
  }

  private func rows(_ document: [String: Any]?, _ key: String = "layers") throws -> [[String: Any]] {
    try #require(document?[key] as? [[String: Any]])
  }

  private func value(_ rows: [[String: Any]], _ router: String, _ key: String = "value") throws -> Double {
    try #require(rows.first { $0["router"] as? String == router || $0["stack"] as? String == router }?[key] as? Double)
  }

  // MARK: - Labels that are called as something else

  @Test func aLabelThatIsTheWordForAnAxisCanBeAskedFor() throws {
    let folder = try TemporaryDirectory()
    let words = ["layer", "expert", "token", "position", "step", "label:x"]
    let labels = (0..<2).map { text in "{\(words.map { "\"\($0)\": \"of text \(text)\"" }.joined(separator: ","))}" }
    let ids = "{\"sequences\": [[5, 6, 7, 8], [9, 10, 11]], \"labels\": [\(labels.joined(separator: ","))]}"
    let path = try trace("olmoe", in: folder, tokens: try folder.write(Array(ids.utf8), to: "ids.json"))
    for word in words {
      let result = try analyze(path, "--metric", "load_cv", "--by", "label:" + word, "--json")
      let document = try #require(try documents(result)["load_cv"])
      #expect(document["axis"] as? String == "label:" + word)
      let cells = try rows(document, "cells").compactMap { $0["cell"] as? String }
      #expect(Set(cells) == ["of text 0", "of text 1"], "\(result.output)")
    }
    // The words themselves still mean the axes, and a label that is not there is answered with how those that are there are written.
    #expect(try !analyze(path, "--metric", "load_cv", "--by", "position", "--json").output.contains("of text"))
    let unknown = try analyze(path, "--metric", "load_cv", "--by", "domain", status: 64)
    #expect(unknown.errors.contains("label:expert, label:label:x, label:layer"), "\(unknown.errors)")
    _ = try analyze(path, "--metric", "load_cv", "--by", "label:", status: 64)
    // The screens offer it beside the axis of the same name.
    let script = try folder.write(Array("key 4\ndo axis label:position\ndump \(folder.file("axis.txt"))\n".utf8), to: "script")
    let shown = try Binary.run(["ui", path, "--script", script])
    #expect(shown.status == 0, "\(shown.errors)")
    #expect(try String(contentsOfFile: folder.file("axis.txt"), encoding: .utf8).contains("label:position"))
  }

  // MARK: - GW-MoE's formula

  /// Means of -sum p ln(p + 1e-5) over the fixture's own reference logits (transformers, f32), and the share of at least 1.35 nat.
  @Test func theFormulaOfGWMoEIsTakenOverRecordedLogits() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("switch_transformers", in: folder, record: "full")
    let metrics = "entropy_nats,uncertain,encoder_entropy,encoder_gw_ratio,decoder_entropy,decoder_gw_ratio"
    let found = try documents(try analyze(path, "--as", "gw-moe", "--threshold", "1.35nat", "--metric", metrics, "--json"))
    let nats = try rows(found["entropy_nats"])
    let shares = try rows(found["uncertain"])
    for (router, entropy, share) in [("enc.1", 1.19571, 1.0 / 3), ("dec.1", 1.23280, 0.375)] {
      #expect(try abs(value(nats, router) - entropy) < 1e-4)
      #expect(try abs(value(shares, router) - share) < 1e-9)
    }
    for (metric, expected) in [
      ("encoder_entropy", 1.19571), ("encoder_gw_ratio", 1.0 / 3), ("decoder_entropy", 1.23280), ("decoder_gw_ratio", 0.375),
    ] {
      let row = try #require(try rows(found[metric], "stacks").first)
      #expect(abs((row["value"] as? Double ?? .nan) - expected) < 1e-4, "\(metric)")
      #expect(row["stack"] as? String == String(metric.prefix(3)) && row["routers"] as? Int == 1 && row["n_of"] as? String == "decisions")
    }
    let gate = try analyze(path, "--as", "gw-moe", "--metric", "entropy_nats", "--fail-if", "entropy_nats<5", status: 2)
    #expect(gate.errors.contains("enc.1: entropy_nats 1.196 < 5") && gate.errors.contains("dec.1"))
    _ = try analyze(path, "--as", "gw-moe", "--fail-if", "encoder_entropy>1.1", status: 2)
  }

  /// Over several sparse layers the figures of a stack are means over all decisions: layers of equal weight here, whose n is the same.
  @Test func figuresOfAStackPoolItsRouters() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("nllb_moe", in: folder, record: "full")
    let found = try documents(try analyze(path, "--metric", "entropy_nats,encoder_entropy,decoder_entropy", "--ci", "--json"))
    let all = try rows(found["entropy_nats"])
    for (stack, metric) in [("enc", "encoder_entropy"), ("dec", "decoder_entropy")] {
      let own = all.filter { ($0["router"] as? String)?.hasPrefix(stack) == true }
      let n = own.map { $0["n"] as? Int ?? 0 }.reduce(0, +)
      let sum = own.reduce(0.0) { $0 + ($1["value"] as? Double ?? .nan) * Double($1["n"] as? Int ?? 0) }
      let row = try #require(try rows(found[metric], "stacks").first)
      #expect(abs((row["value"] as? Double ?? .nan) - sum / Double(n)) < 1e-9 && row["n"] as? Int == n)
    }
  }

  @Test func withoutLogitsTheFormulaIsRefused() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("switch_transformers", in: folder)
    for metric in ["entropy", "uncertain", "encoder_entropy"] {
      let refused = try analyze(path, "--as", "gw-moe", "--metric", metric, status: 64)
      #expect(refused.errors.contains(metric) && refused.errors.contains("--record full") && refused.output.isEmpty)
    }
    // What does not go by entropy is not refused, and the plain figures of the stacks need no logits.
    _ = try analyze(path, "--as", "gw-moe", "--metric", "load_cv")
    _ = try analyze(path, "--metric", "encoder_entropy,decoder_gw_ratio")
    let other = try analyze(try trace("mixtral", in: folder), "--metric", "decoder_entropy", status: 64)
    #expect(other.errors.contains("no encoder"))
  }

  // MARK: - Gates

  /// One token has no neighbour, and a router that takes every expert has no margin: neither passes a gate, whichever way it points.
  @Test func aGateOnAMissingNumberIsAnError() throws {
    let folder = try TemporaryDirectory()
    let one = try folder.write(Array(#"{"sequences": [[5]]}"#.utf8), to: "one.json")
    let single = try trace("mixtral", in: folder, record: "ids", tokens: one)
    let all = try trace("mixtral", in: folder, more: ["--set", "num_experts_per_tok=6"])
    for (path, metric, why) in [(single, "repeat_first", "neighbouring"), (all, "selection_margin", "k = E")] {
      for sign in ["<", ">"] {
        let result = try analyze(path, "--metric", metric, "--fail-if", "\(metric)\(sign)0.5", status: 1)
        for word in ["error: ", metric, "ffn.0", why] { #expect(result.errors.contains(word), "\(result.errors)") }
      }
    }
    // Recorded by ids alone, weights are not known; an interval was not asked for.
    #expect(try analyze(single, "--metric", "weighted_load", "--fail-if", "weighted_load>2", status: 1).errors.contains("--record ids"))
    #expect(try analyze(all, "--metric", "load_cv", "--fail-if", "load_cv.low<9", status: 1).errors.contains("--ci"))
    // A true condition beside a missing number is still said, and the error stands.
    let both = try analyze(
      all, "--metric", "load_cv,selection_margin", "--fail-if", "load_cv>=0", "--fail-if", "selection_margin<1", status: 1)
    #expect(both.errors.contains("ffn.0: load_cv") && both.errors.contains("selection_margin of ffn.0"))
  }

  // MARK: - Denoising

  /// One branch by itself, recomputed from the export.
  @Test func aBranchOfAnImageRunIsLookedAtAlone() throws {
    let folder = try TemporaryDirectory()
    let path = try images(in: folder)
    let output = folder.file("routing.safetensors")
    let export = try Binary.run(["export", path, "--what", "routing", "--format", "safetensors", "-o", output])
    #expect(export.status == 0, "\(export.errors)")
    let file = try SafetensorsFile(path: output)
    func integers(_ name: String) throws -> [Int] {
      let view = try file.tensor(name)
      return (0..<view.elementCount).map {
        Int(Int32(littleEndian: view.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)))
      }
    }
    let branches = try integers("branch")
    var found: [[Double]] = []
    for branch in 0...1 {
      let rows = try rows(try documents(try analyze(path, "--metric", "load_cv", "--branch", "\(branch)", "--json"))["load_cv"])
      #expect(rows.count == 6)
      for row in rows {
        let router = try #require(row["router"] as? String)
        let ids = try integers(router + ".expert_ids")
        let width = ids.count / branches.count
        var counts = Array(repeating: 0.0, count: 8)
        for (index, own) in branches.enumerated() where own == branch {
          for expert in ids[index * width..<(index + 1) * width] { counts[expert] += 1 }
        }
        let mean = counts.reduce(0, +) / 8
        let cv = (counts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 8).squareRoot() / mean
        #expect(abs((row["value"] as? Double ?? .nan) - cv) < 1e-9 && row["n"] as? Int == Int(mean * 8), "\(router) of branch \(branch)")
      }
      found.append(rows.map { $0["value"] as? Double ?? .nan })
    }
    #expect(found[0] != found[1])
    let table = try analyze(path, "--metric", "load_cv", "--branch", "1")
    #expect(table.output.contains("unconditional branch"))
    #expect(try analyze(path, "--branch", "2", status: 64).errors.contains("0 to 1"))
    #expect(try analyze(try trace("mixtral", in: folder), "--branch", "1", status: 64).errors.contains("not a denoising run"))
    // Summed over both branches while the images were made; without guidance there is one.
    #expect(try analyze(path, "--metric", "importance", status: 64).errors.contains("--cfg 1"))
    _ = try analyze(try images(in: folder, guidance: "1"), "--metric", "importance,z_loss,balance_loss,token_information")
  }

  @Test func neighboursInTextAreNotAskedOfImages() throws {
    let folder = try TemporaryDirectory()
    let path = try images(in: folder)
    for metric in ["repeat_first", "repeat_any", "overlap", "jaccard"] {
      let refused = try analyze(path, "--metric", metric, status: 64)
      #expect(refused.errors.contains(metric) && refused.errors.contains("--by patch") && refused.output.isEmpty)
    }
    for metric in ["entropy", "load_cv", "specialization"] {
      #expect(try analyze(path, "--metric", metric, "--by", "position", status: 64).errors.contains("--by step"))
    }
    let table = try analyze(path)
    #expect(table.output.contains("load_cv") && table.output.contains("384 rows") && !table.output.contains("repeat_first"))
  }

  // MARK: - What is printed

  /// Value, baseline, n, unit and router in every form; no line is wider than the page.
  @Test func everyFormHasBaselineSizeAndUnit() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", in: folder)
    let document = try #require(try documents(try analyze(path, "--metric", "load_cv", "--json"))["load_cv"])
    let row = try #require(try rows(document).first)
    #expect(row["n"] as? Int == 96 && row["n_of"] as? String == "assignments")
    // sqrt((E - k) / (k T)) of six experts, two a token, 48 tokens.
    #expect(abs((row["baseline"] as? Double ?? 0) - (1.0 / 24).squareRoot()) < 1e-9)
    for format in ["table", "md"] {
      let output = try analyze(path, "--metric", "load_cv", "--format", format).output
      for part in ["router", "ffn.0", " / 0.204", "times the mean · n 96 assignments", "48 tokens"] {
        #expect(output.contains(part), "\(output)")
      }
    }
    let csv = try analyze(path, "--metric", "load_cv", "--format", "csv").output.split(separator: "\n")
    #expect(csv[0] == "metric,router,layer,expert,axis,cell,value,unit,n,n_of,baseline,low,high")
    #expect(csv[1].hasPrefix("load_cv,ffn.0,0,,,,0.") && csv[1].contains(",times the mean,96,assignments,0.20") && csv[1].hasSuffix(",,"))
    for arguments in [[path], [path, "--ci"], [path, "--by", "expert"]] {
      let lines = try Binary.run(["analyze"] + arguments).output.split(separator: "\n")
      #expect(lines.allSatisfy { $0.count <= 100 }, "\(arguments)")
    }
    // JSON holds each number of a table; an interval that was asked for and is not there is null.
    let asked = try rows(try documents(try analyze(path, "--metric", "load_cv,max_over_mean", "--ci", "--json"))["load_cv"])
    #expect(asked[0]["low"] is NSNull && asked[0]["high"] is NSNull && row["low"] == nil)
  }

  @Test(arguments: ["expert", "token", "position", "domain", "domain,expert"])
  func everyAxisHasMetricsByDefault(by: String) throws {
    let folder = try TemporaryDirectory()
    let texts = #"{"sequences": [[5, 6, 7, 8], [9, 10, 11], [5, 9]], "labels": [{"domain": "a"}, {"domain": "b"}, {"domain": "a"}]}"#
    let path = try trace("mixtral", in: folder, tokens: try folder.write(Array(texts.utf8), to: "texts.json"))
    let result = try analyze(path, "--by", by, "--null", "19")
    #expect(result.output.split(separator: "\n").count > 3 && result.errors.isEmpty)
  }

  @Test func layersThatAreNotThereAreRefused() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", in: folder)
    for layers in ["99", "0,99", "5-7"] {
      let refused = try analyze(path, "--layer", layers, status: 64)
      #expect(refused.errors.contains("layers 0-1") && refused.output.isEmpty, "\(refused.errors)")
    }
    #expect(try analyze(path, "--layer", "1-99", "--metric", "load_cv").output.contains("ffn.1"))
  }
}
