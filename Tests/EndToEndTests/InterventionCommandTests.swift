// `moetop run --intervene` as a user has it: rules that change nothing change no bit of the trace, the trace says what was changed, what is
// not there is refused, and images are changed by the same rules as texts.

import Foundation
import Support
import Testing

struct InterventionCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/olmoe"))
  }

  private func run(_ name: String, _ rules: String?, model: String? = nil, more: [String] = []) throws -> CommandResult {
    let model = model ?? self.model
    return try Binary.run(
      ["run", model, "--tokens", model + "/input.json", "--trace", folder.file(name), "--record", "full", "--threads", "1"]
        + (rules.map { ["--intervene", $0] } ?? []) + more)
  }

  /// Everything a trace holds of its decisions, tokens, routers and checks.
  private func content(_ name: String, run: Int = 1) throws -> [String] {
    try [
      "SELECT token, stack, layer, rank, expert, weight, dropped FROM routing WHERE run = \(run) ORDER BY token, stack, layer, rank",
      "SELECT * FROM routing_stats WHERE run = \(run) ORDER BY token, stack, layer",
      "SELECT token, sequence, position, token_id, phase, surprisal, next_token_entropy FROM tokens WHERE run = \(run) ORDER BY token",
      "SELECT * FROM routers WHERE run = \(run) ORDER BY stack, layer", "SELECT * FROM layer_load WHERE run = \(run)",
      "SELECT hex(logits), hex(importance), squared_lse, checksum FROM page WHERE router IN (SELECT id FROM router WHERE run = \(run)) "
        + "ORDER BY id",
      "SELECT name, outcome FROM capture_checks WHERE run = \(run)",
    ].map { query in
      let result = try Binary.run(["sql", folder.file(name), query, "--format", "csv"])
      #expect(result.status == 0, "\(result.errors)")
      return result.output.replacing("\n\(run),", with: "\n,")
    }
  }

  private func chosen(_ name: String, layer: Int) throws -> Set<Int> {
    let result = try Binary.run(
      ["sql", folder.file(name), "SELECT DISTINCT expert FROM routing WHERE layer = \(layer)", "--format", "csv"])
    return Set(result.output.split(separator: "\n").compactMap { Int($0) })
  }

  @Test func whatChangesNothingChangesNoBit() throws {
    #expect(try run("plain.db", nil).status == 0)
    let plain = try content("plain.db")
    // A text short enough to leave an expert alone.
    let short = ["--length", "2"]
    #expect(try run("short.db", nil, more: short).status == 0)
    let taken = try chosen("short.db", layer: 0)
    let idle = try #require((0..<8).first { !taken.contains($0) })
    let rules = ["", " ; ", "temperature all=1", "topk all=+0", "scale all:all=1", "capacity all=1000000", "capacity all=100000tok,switch"]
    for (index, rule) in (rules + ["replay all=\(folder.file("plain.db"))", "replay all=\(folder.file("plain.db"))+weights"]).enumerated() {
      let result = try run("t\(index).db", rule)
      #expect(result.status == 0, "\(rule): \(result.errors)")
      let isReplay = rule.hasPrefix("replay")
      let (got, want) = (try content("t\(index).db"), plain)
      // Whether ids follow from the logits is not asked where another run gave them.
      #expect(got.dropLast(isReplay ? 1 : 0) == want.dropLast(isReplay ? 1 : 0), "\(rule)")
    }
    let masked = try run("masked.db", "mask 0:\(idle)", more: short)
    #expect(masked.status == 0, "\(masked.errors)")
    #expect(try content("masked.db").dropLast() == content("short.db").dropLast(), "an expert nobody took")
  }

  @Test func theTraceSaysWhatWasChanged() throws {
    #expect(try run("t.db", nil).status == 0)
    let rules = "mask 0:1; topk 1=+1"
    let result = try run("t.db", rules, more: ["--json"])
    #expect(result.status == 0 && result.output.contains("\"intervention\":\"\(rules)\""), "\(result.output)\(result.errors)")
    let trace = folder.file("t.db")
    let view = try Binary.run(["sql", trace, "SELECT run, intervention, parent, series FROM runs ORDER BY run", "--format", "csv"])
    #expect(view.output.split(separator: "\n").suffix(2) == ["1,,,", "2,\(rules),,"], "\(view.output)\(view.errors)")
    #expect(!(try chosen("t.db", layer: 0)).isEmpty)
    let experts = try Binary.run(
      ["sql", trace, "SELECT count(*) FROM routing WHERE run = 2 AND layer = 0 AND expert = 1", "--format", "csv"])
    #expect(experts.output.split(separator: "\n").last == "0")
    for command in [["runs", trace], ["runs", "show", trace], ["runs", "show", trace, "--json"]] {
      let shown = try Binary.run(command)
      #expect(shown.status == 0 && shown.output.contains(rules), "\(shown.output)\(shown.errors)")
    }
    let analysis = try Binary.run(["analyze", trace])
    #expect(analysis.status == 0 && analysis.errors.contains("changed by rules") && analysis.errors.contains(rules), "\(analysis.errors)")
    #expect(!(try Binary.run(["analyze", trace + "#1"])).errors.contains("rules"))
    let check = try Binary.run(["runs", "check", trace])
    #expect(check.status == 0 && check.output.contains("selection_recomputed held"), "\(check.output)\(check.errors)")
  }

  /// Every kind of rule makes a trace that can be read, analysed and exported.
  @Test(arguments: [
    "broadcast all", "redraw all=uniform", "mask all:all", "topk all=1", "capacity all=0.5,expert-choice", "capacity all=0.5,priority",
    "scale all:all=-1", "force all:0,1", "temperature all=0.1; swap all",
    "broadcast all if entropy>0.8", "mask 1:top1 if position>3 !expert=2",
  ])
  func everyTraceIsWhole(_ rules: String) throws {
    let result = try run("t.db", rules)
    #expect(result.status == 0, "\(result.errors)")
    let trace = folder.file("t.db")
    let check = try Binary.run(["runs", "check", trace])
    #expect(check.status == 0 && check.output.contains("integrity ok"), "\(check.output)\(check.errors)")
    for metrics in [[], ["--metric", "load_cv,idle,entropy,uncertain,top_k_mass"]] {
      let analysis = try Binary.run(["analyze", trace] + (metrics.isEmpty ? [] : metrics))
      #expect(analysis.status == 0, "\(analysis.errors)")
    }
    let export = try Binary.run(["export", trace, "--what", "routing", "--format", "safetensors", "-o", folder.file("r.safetensors")])
    #expect(export.status == 0, "\(export.errors)")
  }

  @Test(arguments: [
    ("mask 9:1", "there is no router in layer 9"), ("mask 0:99", "there is no expert 99 at ffn.0, which has 0 to 7"),
    ("shared all=off", "no shared expert is there"), ("musk 1", "character 1: expected one of temperature"),
    ("swap all if surprisal>2", "not known yet"), ("swap all if entropy", "expected a comparison"),
    ("replay all=nothing.db", "nothing.db"), ("topk all=20", "expected 1 to 8 experts a token, found 20"),
  ])
  func whatIsNotThereIsRefused(_ rules: String, words: String) throws {
    let result = try run("t.db", rules)
    #expect(result.status == (rules.hasPrefix("replay") ? 66 : 64) && result.errors.contains(words), "\(result.status) \(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.file("t.db")), "nothing was recorded")
  }

  /// Rules come from a file, one a line, and a fault is named by its line.
  @Test func rulesOfAFile() throws {
    let rules = try folder.write(Array("# words\n\nmask 0:1   # the first\nmask 1:2; swap 1\n".utf8), to: "rules.txt")
    let whole = try run("t.db", "@" + rules)
    #expect(whole.status == 0, "\(whole.errors)")
    let shown = try Binary.run(["runs", "show", folder.file("t.db")])
    #expect(shown.output.contains("mask 0:1; mask 1:2; swap 1"), "\(shown.output)\(whole.output)")
    let broken = try folder.write(Array("mask 0:1\n\nmusk 1\n".utf8), to: "broken.txt")
    let refused = try run("u.db", "@" + broken)
    #expect(refused.status == 64 && refused.errors.contains("\(broken), line 3: "), "\(refused.errors)")
    let empty = try folder.write(Array("# nothing\n".utf8), to: "empty.txt")
    #expect(try run("u.db", "@" + empty).errors.contains("\(empty): expected a rule or more, found none"))
    #expect(try run("u.db", "@" + folder.file("none.txt")).status == 66)
  }

  @Test func otherTextsAreNotReplayed() throws {
    #expect(try run("t.db", nil).status == 0)
    let other = try folder.write(Array(#"{"sequences": [[40, 41, 42]]}"#.utf8), to: "other.json")
    let result = try Binary.run(
      ["run", model, "--tokens", other, "--no-trace", "--intervene", "replay all=\(folder.file("t.db"))"])
    #expect(result.status == 64 && result.errors.contains("not one token of the input"), "\(result.errors)")
  }

  @Test func generationUnderRulesRepeats() throws {
    func generate(_ seed: Int, _ rules: String) throws -> String {
      let result = try Binary.run([
        "run", model, "--tokens", model + "/input.json", "--generate", "--max-tokens", "8", "--no-trace", "--json", "--intervene", rules,
        "--seed", "\(seed)",
      ])
      #expect(result.status == 0, "\(result.errors)")
      return result.output.components(separatedBy: "\"generated\":").dropFirst().map { $0.prefix { $0 != "]" } }.joined()
    }
    for rules in ["redraw all=uniform", "capacity all=1", "broadcast all"] {
      #expect(try generate(1, rules) == generate(1, rules), "\(rules)")
    }
  }

  @Test func encodersAndDecodersAreNamedApart() throws {
    let model = try #require(Fixtures.own("models/switch_transformers"))
    #expect(try run("t.db", "force dec.*:2", model: model).status == 0)
    let query = "SELECT stack, count(DISTINCT expert) FROM routing GROUP BY stack ORDER BY stack"
    let counts = try Binary.run(["sql", folder.file("t.db"), query, "--format", "csv"]).output.split(separator: "\n")
    #expect(counts.contains("dec,1") && !counts.contains("enc,1"), "\(counts)")
  }

  @Test(arguments: [true, false])
  func imagesAreChangedByTheSameRules(routesPatches: Bool) throws {
    let model = routesPatches ? Fixtures.root + "/samples/dit-moe-tiny" : try #require(Fixtures.own("dit/switch"))
    func make(_ trace: String, _ rules: String?) throws -> CommandResult {
      try Binary.run(
        ["run", model, "--images", "2", "--steps", "3", "--trace", folder.file(trace), "--record", "full", "--threads", "1"]
          + (rules.map { ["--intervene", $0] } ?? []))
    }
    #expect(try make("plain.db", nil).status == 0)
    for (index, rule) in ["", "topk all=+0", "replay all=\(folder.file("plain.db"))"].enumerated() {
      let result = try make("same\(index).db", rule)
      #expect(result.status == 0, "\(result.errors)")
      #expect(try content("same\(index).db").dropLast() == content("plain.db").dropLast(), "\(rule)")
    }
    for (index, rule) in ["redraw all=uniform", "mask all:0", "broadcast all", "scale all:top1=0.5", "mask all:all"].enumerated() {
      let result = try make("other\(index).db", rule)
      #expect(result.status == 0, "\(rule): \(result.errors)")
      #expect(try content("other\(index).db")[0] != content("plain.db")[0], "\(rule)")
    }
    let refused = try make("no.db", "mask 99:0")
    #expect(refused.status == 64 && refused.errors.contains("no router in layer 99"), "\(refused.errors)")
  }
}
