// What the screens of experts, comparisons and interventions do, asked of the program as a user gives it: by scripts, and by the commands that
// stand beside them.

import Foundation
import Store
import Support
import Testing

struct ScreensCommandTests {
  private let folder: TemporaryDirectory
  private let trace: String
  private let sample = Fixtures.root + "/samples/olmoe-tiny"

  /// Two runs of the sample on the same texts; the second under rules.
  init() throws {
    folder = try TemporaryDirectory()
    trace = folder.file("two.db")
    let corpus = try String(contentsOfFile: Fixtures.root + "/samples/corpus.jsonl", encoding: .utf8)
    let texts = try folder.write(Array(corpus.split(separator: "\n").prefix(8).joined(separator: "\n").utf8), to: "texts.jsonl")
    for rules in ["", "mask 0:3"] {
      let arguments =
        ["run", sample, "-f", texts, "--length", "96", "--trace", trace, "-q"] + (rules.isEmpty ? [] : ["--intervene", rules])
      let run = try Binary.run(arguments)
      #expect(run.status == 0, "\(run.errors)")
    }
  }

  private func play(_ script: String, _ arguments: [String] = []) throws -> CommandResult {
    let file = try folder.write(Array(script.utf8), to: "script")
    return try Binary.run(["ui", "\(trace)#1", "--script", file, "--data-dir", folder.path] + arguments)
  }

  /// The objects of a list of an answer.
  private func members(_ key: String, of answer: String) throws -> [[String: Any]] {
    let whole = try JSONSerialization.jsonObject(with: Data(answer.utf8))
    return try #require((whole as? [String: Any])?[key] as? [[String: Any]], "\(answer.prefix(300))")
  }

  private func shown(_ name: String) throws -> String { try String(contentsOfFile: folder.file(name), encoding: .utf8) }

  /// What the card says of the first token is what SQL says.
  @Test func theCardOfAnExpertCountsAsSQLDoes() throws {
    let played = try play("key 5\ndo layer 2\ndo expert 7\ndump \(folder.file("card.txt"))\ndo export \(folder.file("experts.csv"))\n")
    #expect(played.status == 0, "\(played.errors)")
    let card = try shown("card.txt")
    #expect(card.contains("Card . layer 2 expert 7") || card.contains("Card · layer 2 expert 7"), "\(card)")
    let rows = try Binary.run([
      "sql", "\(trace)#1", "SELECT expert, count(*) AS n FROM routing WHERE run = 1 AND layer = 2 GROUP BY expert ORDER BY expert",
      "--format", "csv",
    ])
    let counts = rows.output.split(separator: "\n").dropFirst().map { $0.split(separator: ",").compactMap { Int($0) } }
    let table = try shown("experts.csv").split(separator: "\n").dropFirst().map {
      $0.split(separator: ",", omittingEmptySubsequences: false)
    }
    #expect(table.count == 16)
    for row in counts { #expect(table.contains { $0[1] == "\(row[0])" && $0[2] == "\(row[1])" }, "\(row)") }
  }

  @Test func labelsAreKeptListedAndTakenAway() throws {
    #expect(try play("key 5\ndo layer 1\ndo expert 4\ndo label water edges\ndump \(folder.file("a.txt"))\n").status == 0)
    #expect(try shown("a.txt").contains("water edges"))
    let listed = try Binary.run(["sql", trace, "SELECT run, layer, expert, label FROM expert_labels", "--format", "csv"])
    #expect(listed.output.contains("1,1,4,water edges"), "\(listed.output)")
    #expect(try play("key 5\ndo layer 1\ndo expert 4\ndump \(folder.file("b.txt"))\n").status == 0)
    #expect(try shown("b.txt").contains("water edges"), "there again when the run is opened again")
    #expect(try Binary.run(["runs", "label", "\(trace)#1", "1:4", "shore"]).status == 0)
    #expect(try Binary.run(["runs", "label", "\(trace)#1", "ffn.1:5", "commas", "and", "dots"]).status == 0)
    let both = try Binary.run(["sql", trace, "SELECT label FROM expert_labels ORDER BY expert", "--format", "csv"])
    #expect(both.output.contains("shore") && both.output.contains("commas and dots"))
    #expect(try Binary.run(["runs", "label", "\(trace)#1", "1:4"]).status == 0)
    #expect(try !Binary.run(["sql", trace, "SELECT label FROM expert_labels", "--format", "csv"]).output.contains("shore"))
    for (expert, status) in [("1:99", Int32(66)), ("99:1", 66), ("1", 64), ("1:x", 64), ("-1:2", 64), ("ffn.:2", 64)] {
      let refused = try Binary.run(["runs", "label", "\(trace)#1", "--", expert, "x"])
      #expect(refused.status == status && !refused.errors.isEmpty, "\(expert): \(refused.errors)")
    }
  }

  /// The screen compares as the command does.
  @Test func comparedOnTheScreenAsByTheCommand() throws {
    let script = "key 8\nkey space\nkey j\nkey C\ndump \(folder.file("compare.txt"))\nkey !\nkey enter\ndump \(folder.file("token.txt"))\n"
    let played = try play(script)
    #expect(played.status == 0, "\(played.errors)")
    let answer = try Binary.run(["compare", "\(trace)#1", "\(trace)#2", "--json"])
    let pair = try #require(try members("pairs", of: answer.output).first)
    let screen = try shown("compare.txt")
    for key in ["set_agreement", "baseline", "load_baseline", "top1_agreement", "loss_change"] {
      let value = try #require(pair[key] as? Double)
      #expect(screen.contains(String(format: "%.4f", value)), "\(key) \(value)\n\(screen)")
    }
    #expect(try shown("token.txt").contains("Router probabilities") || shown("token.txt").contains("Routing weights"))
  }

  /// Rules saved by the screen are read by the commands, and do there what they did here.
  @Test func rulesAreSavedAndReadAgain() throws {
    let rules = folder.file("rules.txt")
    let script =
      "key 7\ndo add-rule mask 0:3; swap 2 if entropy>0.8\nkey space\ndo save-rules \(rules)\nkey r\ndump \(folder.file("effect.txt"))\n"
    let played = try play(script)
    #expect(played.status == 0, "\(played.errors)")
    #expect(try shown("rules.txt").hasSuffix("mask 0:3\n") && shown("effect.txt").contains("neighbours in load"))
    let texts = folder.file("texts.jsonl")
    let read = try Binary.run(["whatif", sample, "-f", texts, "--length", "96", "--rules", "@\(rules)", "--json", "-q"])
    let direct = try Binary.run(["whatif", sample, "-f", texts, "--length", "96", "--rules", "mask 0:3", "--json", "-q"])
    #expect(read.status == 0 && read.output == direct.output, "\(read.errors)")
    let effect = try #require(try members("effects", of: direct.output).first)
    let change = try #require(effect["loss_change"] as? Double)
    #expect(try shown("effect.txt").contains(String(format: "%+.4f", change)), "\(change)")
    let run = try Binary.run(["run", sample, "-f", texts, "--length", "96", "--intervene", "@\(rules)", "--trace", trace, "-q"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(try TraceReader(file: trace).run(.latest).description.intervention == "mask 0:3")
    let missing = try Binary.run(["whatif", sample, "-f", texts, "--rules", "@\(folder.file("none"))"])
    #expect(missing.status == 66 && missing.errors.contains("none"), "\(missing.errors)")
  }

  @Test func tokensAreAxes() throws {
    for axis in ["token-class", "vocabulary"] {
      let answer = try Binary.run(["analyze", "\(trace)#1", "--metric", "specialization", "--by", axis, "--null", "49", "--json"])
      let layers = try members("layers", of: answer.output)
      #expect(layers.count == 6, "\(answer.errors)")
      for layer in layers {
        #expect((layer["p"] as? Double ?? 2) <= 1 && (layer["mutual_information"] as? Double ?? -1) > 0, "\(layer)")
      }
    }
    let refused = try Binary.run(["analyze", "\(trace)#1", "--metric", "load", "--by", "vocabulary"])
    #expect(refused.status == 64 && refused.errors.contains("vocabulary"), "\(refused.errors)")
  }

  @Test func theTourIsWalkedWithoutATerminal() throws {
    let script = try folder.write(Array("wait 60 tokens\nkey space\nkey space\nkey space\nkey space\n".utf8), to: "tour")
    let walked = try Binary.run(["demo", "--script", script, "--dump", folder.file("tour.txt")])
    #expect(walked.status == 0, "\(walked.errors)")
    #expect(try shown("tour.txt").contains("leaves the tour"))
    let piped = try Binary.run(["demo"])
    #expect(piped.status == 64 && piped.errors.contains("terminal"), "\(piped.errors)")
  }
}
