// The statistics of `moetop analyze` as a script gets them: each number is worked out again here from what `sql` says was recorded.

import Formats
import Foundation
import Support
import Testing

struct StatisticsCommandTests {
  private func model(_ family: String) throws -> String { try #require(Fixtures.own("models/\(family)")) }

  /// Token ids that need no library: a 64-bit congruential generator.
  private func ids(_ seed: UInt64, _ count: Int, _ length: Int, below vocabulary: Int = 60) -> [[Int]] {
    var state = seed &* 2 &+ 1
    return (0..<count).map { _ in
      (0..<length).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return 2 + Int(state >> 33) % (vocabulary - 2)
      }
    }
  }

  /// Runs texts through a model of the fixtures; the path of the trace.
  private func trace(
    _ family: String, _ sequences: [Any], labels: [[String: String]]? = nil, in folder: TemporaryDirectory, name: String = "t"
  ) throws -> String {
    var input: [String: Any] = ["sequences": sequences]
    input["labels"] = labels
    let file = try folder.write(JSONSerialization.data(withJSONObject: input), to: name + ".json")
    let path = folder.file(name + ".db")
    let result = try Binary.run(["run", model(family), "--tokens", file, "--trace", path, "-q"])
    try #require(result.status == 0, "\(result.errors)")
    return path
  }

  private func analyze(_ trace: String, _ options: [String]) throws -> JSONValue {
    let result = try Binary.run(["analyze", trace, "--json"] + options)
    try #require(result.status == 0, "\(result.errors)")
    return try JSON.parse(text: result.output, name: "analyze")
  }

  private func notes(_ document: JSONValue) throws -> String { try document.strings("notes").joined(separator: "\n") }

  private func rows(_ document: JSONValue, _ key: String = "layers") throws -> [JSONValue] { Array(try document.array(key)) }

  /// One column of numbers.
  private func numbers(_ trace: String, _ query: String) throws -> [Double] {
    let result = try Binary.run(["sql", trace, query, "--format", "csv"])
    try #require(result.status == 0, "\(result.errors)")
    return result.output.split(separator: "\n").dropFirst().map { Double($0) ?? .nan }
  }

  // MARK: - Load

  /// Choices that capacity dropped are no load: by layer, along an axis with one value and in the interval.
  @Test func capacityFollowsOneRule() throws {
    let folder = try TemporaryDirectory()
    let texts = zip(ids(1, 8, 24), ids(2, 8, 12)).map { ["encoder": $0, "decoder": $1] }
    let path = try trace("switch_transformers", texts, labels: texts.map { _ in ["domain": "x"] }, in: folder)
    let layers = try rows(analyze(path, ["--metric", "load_cv", "--ci"]))
    let cells = try rows(analyze(path, ["--metric", "load_cv", "--by", "domain", "--ci"]), "cells")
    #expect(try rows(analyze(path, ["--metric", "dropped"])).contains { try $0.number("value") > 0 })
    #expect(!layers.isEmpty && layers.count == cells.count)
    for (layer, cell) in zip(layers, cells) {
      for key in ["value", "low", "high", "baseline"] {
        #expect(abs(try layer.number(key) - cell.number(key)) < 1e-9, "\(key)")
      }
      #expect(try layer.integer("n") == cell.integer("n"))
    }
    #expect(try Binary.run(["docs", "metrics"]).output.contains("a choice that a capacity limit dropped is no"))
  }

  /// What chance yields for 48 tokens that take 2 of 6 experts (means of 20,000 draws with NumPy).
  @Test func baselinesKnowTheNumberOfTokens() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", ids(3, 2, 24), in: folder)
    let expected = [
      "gini": 0.1045, "max_over_mean": 1.287, "max_vio": 0.287, "coverage": 0.4048, "load_entropy": 1.7708, "effective_experts": 5.876,
    ]
    let documents = Array(try analyze(path, ["--metric", expected.keys.sorted().joined(separator: ",")]).elements)
    #expect(documents.count == expected.count)
    for document in documents {
      let name = try document.string("metric")
      let want = try #require(expected[name])
      for row in try rows(document) {
        #expect(abs(try row.number("baseline") / want - 1) < 0.04, "\(name)")
      }
    }
  }

  // MARK: - Numbers that are not there

  /// A router whose every logit is NaN has no loss and no threshold; how many decisions have one is their n.
  @Test func aRouterWithoutNumbersHasNoLoss() throws {
    let broken = try ChangedModel("models/mixtral", bits: ChangedModel.notANumber, of: "model.layers.0.block_sparse_moe.gate.weight")
    let folder = try TemporaryDirectory()
    let path = folder.file("nan.db")
    #expect(try Binary.run(["run", broken.path, "--tokens", broken.input, "--trace", path, "-q"]).status == 1)
    let metrics = ["z_loss", "balance_loss", "balance_loss_hf", "token_information", "uncertain"]
    for document in try analyze(path, ["--metric", metrics.joined(separator: ",")]).elements {
      let name = try document.string("metric")
      for row in try rows(document) {
        #expect(try row.member("value").isNull && row.integer("n") == 0, "\(name)")
      }
      guard name == "uncertain" else { continue }
      #expect(try notes(document).contains("no decision has an entropy, so there is no quantile (q0.95 of the run)"))
      #expect(try document.member("settings").string("threshold") == "q0.95")
      #expect(try document.member("settings")["threshold_share"] == nil)
    }
    for metric in metrics {
      let gate = try Binary.run(["analyze", path, "--fail-if", "\(metric)>=0", "--metric", metric])
      #expect(gate.status == 1 && gate.errors.contains("where no decision has"), "\(metric): \(gate.errors)")
    }
  }

  /// The fixture has six experts.
  @Test func aThresholdBeyondEveryRouterIsRefused() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", ids(3, 2, 24), in: folder)
    for nats in ["99nat", "1.8nat"] {
      let refused = try Binary.run(["analyze", path, "--metric", "uncertain", "--threshold", nats])
      #expect(refused.status == 64 && refused.errors.contains("expected at most 1.792 nat (ln 6), found \(nats)"), "\(refused.errors)")
    }
    #expect(try Binary.run(["analyze", path, "--metric", "uncertain", "--threshold", "1.79nat"]).status == 0)
  }

  // MARK: - Neighbours

  /// Two texts of three words each, in random order: neighbours agree as any two tokens of a text do.
  @Test func repeatsStandBesideTheirOwnText() throws {
    let folder = try TemporaryDirectory()
    let words = ids(7, 2, 60).map { $0.map { $0 % 3 } }
    let path = try trace("mixtral", [words[0].map { 20 + $0 }, words[1].map { 50 + $0 }], in: folder)
    for row in try rows(analyze(path, ["--metric", "repeat_first"])) {
      let layer = try row.integer("layer")
      var want = 0.0
      for sequence in 0..<2 {
        let counts = try numbers(
          path,
          "SELECT count(*) FROM routing JOIN tokens USING (run, token) WHERE routing.rank = 0 AND layer = \(layer) AND sequence = \(sequence) "
            + "GROUP BY expert")
        want += counts.reduce(0) { $0 + $1 * ($1 - 1) } / (60 * 59) / 2
      }
      #expect(abs(try row.number("within_text_baseline") - want) < 1e-9)
      #expect(abs(try row.number("value") - want) < 0.2)
    }
    let metrics = "repeat_first,repeat_any,overlap,jaccard"
    for document in try analyze(path, ["--metric", metrics]).elements {
      for row in try rows(document) {
        let (within, value) = (try row.number("within_text_baseline"), try row.number("value"))
        let name = try document.string("metric")
        #expect(within > 0 && abs(within / value - 1) < 0.35, "\(name)")
      }
    }
    let failing = try Binary.run(["analyze", path, "--metric", "repeat_first", "--fail-if", "repeat_first.within_text_baseline>0.01"])
    #expect(failing.status == 2, "\(failing.errors)")
  }

  // MARK: - Quantiles

  /// The quantiles of a few hundred decisions are those decisions, to the float.
  @Test func quantilesAreDecisions() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", ids(4, 10, 40), in: folder)
    for metric in ["top1_margin", "selection_margin", "entropy_nats"] {
      for row in try rows(analyze(path, ["--metric", metric])) {
        let column = metric == "entropy_nats" ? "entropy" : metric
        let sorted = try numbers(path, "SELECT \(column) FROM routing_stats WHERE layer = \(try row.integer("layer"))").sorted()
        for (key, q) in [("q05", 0.05), ("median", 0.5), ("q95", 0.95)] {
          let exact = sorted[Int((q * Double(sorted.count)).rounded(.up)) - 1]
          #expect(abs(try row.number(key) / exact - 1) < 1e-5, "\(metric) \(key)")
        }
      }
    }
    let found = try rows(analyze(path, ["--metric", "uncertain", "--threshold", "q0.9"]))
    let all = try numbers(path, "SELECT entropy FROM routing_stats").sorted()
    let edge = all[Int((0.9 * Double(all.count)).rounded(.up)) - 1]
    let share = try found.reduce(0.0) { $0 + (try $1.number("value")) } / Double(found.count)
    #expect(abs(share - Double(all.count { $0 >= edge }) / Double(all.count)) < 1e-9)
  }

  // MARK: - Specialization

  private func kinds(_ texts: [[Int]]) -> [[String: String]] { texts.map { ["kind": $0.count > 30 ? "long" : "short"] } }

  /// The effect is not the plug-in value less its null; p of all layers stands beside p of each, in JSON and in the table.
  @Test func effectsAndTheirP() throws {
    let folder = try TemporaryDirectory()
    let texts = ids(8, 6, 40, below: 30) + ids(9, 6, 40)
    let path = try trace("mixtral", texts, labels: (0..<12).map { ["kind": $0 < 6 ? "few words" : "many"] }, in: folder)
    let document = try analyze(path, ["--metric", "specialization", "--by", "kind", "--null", "199"])
    for row in try rows(document) {
      let effect = try row.number("effect")
      let (low, high) = (try row.number("low"), try row.number("high"))
      #expect(abs((low + high) / 2 - effect) < 1e-9 && low < high)
      let plugIn = try row.number("mutual_information")
      #expect(effect < plugIn)
      #expect(try row.number("p") <= row.number("adjusted_p") && row.string("family") == "layers")
      #expect(try row.bool("few_texts") == false)
    }
    let table = try Binary.run(["analyze", path, "--metric", "specialization", "--by", "kind", "--null", "199"])
    #expect(table.output.contains("adjusted_p") && table.output.contains("largest of all layers") && !table.output.contains("few_texts"))
    let failing = try Binary.run([
      "analyze", path, "--metric", "specialization", "--by", "kind", "--null", "19", "--fail-if", "specialization.adjusted_p<=1",
    ])
    #expect(failing.status == 2)
  }

  @Test func fewTextsAreMarked() throws {
    let folder = try TemporaryDirectory()
    let path = try trace("mixtral", ids(8, 6, 30), labels: (0..<6).map { ["kind": $0 < 4 ? "a" : "b"] }, in: folder)
    let options = ["--metric", "specialization", "--by", "kind", "--null", "19"]
    let document = try analyze(path, options)
    #expect(try rows(document).allSatisfy { try $0.bool("few_texts") })
    #expect(try notes(document).contains("has only 2"))
    #expect(try Binary.run(["analyze", path] + options).output.contains("few_texts"))
    // One text along the position: nothing to leave out, so no effect.
    let one = try trace("mixtral", ids(8, 1, 64), in: folder, name: "one")
    let alone = try rows(analyze(one, ["--metric", "specialization", "--by", "position", "--null", "19"]))
    #expect(try alone.allSatisfy { try $0.member("effect").isNull })
  }

  /// Fewer than two texts a value on average leave no interval: null, a dash, a note, and a gate that cannot be judged.
  @Test func tooFewTextsAValueLeaveNoInterval() throws {
    let folder = try TemporaryDirectory()
    let labels = (0..<6).map { ["four": "\($0 % 4)", "three": "\($0 % 3)"] }
    let path = try trace("mixtral", ids(8, 6, 30), labels: labels, in: folder)
    func options(_ label: String) -> [String] { ["--metric", "specialization", "--by", label, "--null", "19"] }
    let none = try analyze(path, options("four"))
    #expect(try rows(none).allSatisfy { try $0.member("low").isNull && $0.member("high").isNull && !$0.member("effect").isNull })
    #expect(try notes(none).contains("no interval: it takes 5 texts, and 2 a value of the label on average"))
    let table = try Binary.run(["analyze", path] + options("four")).output.split(separator: "\n")
    let columns = try #require(table.first).split(separator: " ")
    let first = try #require(table.dropFirst().first).split(separator: " ")
    #expect(columns[2] == "low" && columns[3] == "high" && first[2] == "-" && first[3] == "-")
    let gate = try Binary.run(["analyze", path] + options("four") + ["--fail-if", "specialization.low>0"])
    #expect(gate.status == 1 && gate.errors.contains("along a label 2 a value of it on average"), "\(gate.errors)")
    let some = try analyze(path, options("three"))
    #expect(try rows(some).allSatisfy { try $0.number("low") < $0.number("high") } && !notes(some).contains("no interval"))
  }

  /// A text too short to be compared at equal length is left out of that and said; it does not take the comparison away.
  @Test func aShortTextKeepsTheLengthControl() throws {
    let folder = try TemporaryDirectory()
    let texts = ids(8, 6, 60) + ids(9, 6, 24) + ids(10, 1, 10)
    let options = ["--metric", "specialization", "--by", "kind", "--null", "19"]
    let path = try trace("mixtral", texts, labels: kinds(texts), in: folder)
    let document = try analyze(path, options)
    for row in try rows(document) {
      let matched = try row.member("matched")
      #expect(try matched.integer("positions") == 16 && matched.integer("left_out") == 1)
    }
    #expect(try notes(document).contains("1 shorter than 16 tokens left out"))
    let short = ids(8, 6, 60) + ids(9, 6, 9)
    let none = try analyze(try trace("mixtral", short, labels: kinds(short), in: folder, name: "short"), options)
    #expect(try rows(none).allSatisfy { try $0.member("matched").isNull })
    #expect(try notes(none).contains("no comparison at equal length"))
  }

  /// As many values as texts: the most frequent stay, the rest share a cell, and both are said.
  @Test func aLabelOfManyValuesIsPooled() throws {
    let folder = try TemporaryDirectory()
    let texts = ids(5, 1030, 3)
    // Ten values of two texts, 1,010 of one.
    let path = try trace("mixtral", texts, labels: texts.indices.map { ["id": "v\($0 < 20 ? $0 / 2 : $0)"] }, in: folder)
    let document = try analyze(path, ["--metric", "specialization", "--by", "id", "--null", "19"])
    for row in try rows(document) {
      let cells = try rows(row, "cells")
      let names = try cells.map { try $0.string("name") }
      #expect(cells.count == 1001 && names.last == "20 other values" && Set((0..<10).map { "v\($0)" }).isSubset(of: names))
      #expect(try cells.last?.integer("sequences") == 20)
    }
    #expect(try notes(document).contains("the 20 rarest of 1020 values share one cell"))
  }
}
