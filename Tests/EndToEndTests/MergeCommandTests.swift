// `moetop merge` as a user calls it: what is in the new trace, what is said of it, that other commands give the same numbers of a copy as of the
// original and of a joined run as of one run of all texts, and what is refused with which code.

import Formats
import Foundation
import Support
import Testing

struct MergeCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/mixtral"))
  }

  private func moetop(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let paths = arguments.map { $0.contains(".db") || $0.hasSuffix(".json") ? folder.file($0) : $0 }
    let result = try Binary.run(paths)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.output) \(result.errors)")
    return result
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  /// A run of some texts, which are the same for the same numbers.
  private func run(_ trace: String, _ texts: Range<Int>, name: String, more: [String] = []) throws {
    let lists = texts.map { text in "[" + (0..<30).map { String((text * 7 + $0 * 5 + $0 * $0 % 11) % 60 + 3) }.joined(separator: ",") + "]"
    }
    let names = texts.map { "\"text \($0)\"" }
    let labels = texts.map { "{\"domain\": \"\(["code", "law"][$0 % 2])\"}" }
    let json =
      "{\"sequences\": [\(lists.joined(separator: ","))], \"names\": [\(names.joined(separator: ","))], \"labels\": [\(labels.joined(separator: ","))]}"
    let tokens = try folder.write(Array(json.utf8), to: "ids.json")
    let result = try Binary.run(["run", model, "--tokens", tokens, "--trace", folder.file(trace), "--name", name, "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
  }

  /// Gives the runs of a trace a series, as a recorder of a job of many processes does.
  private func setSeries(_ trace: String, _ series: String, rank: Int? = nil) throws {
    try SQLite.run("UPDATE run SET description = json_set(description, '$.series', '\(series)')", on: folder.file(trace))
    if let rank { try SQLite.run("INSERT INTO token_more SELECT run, token, NULL, \(rank) FROM token", on: folder.file(trace)) }
  }

  @Test func copiesGiveTheSameNumbers() throws {
    try run("a.db", 0..<4, name: "first", more: ["--record", "full+norms+passes"])
    try run("a.db", 4..<6, name: "second")
    try run("b.db", 6..<9, name: "third", more: ["--record", "ids"])
    let answer = try moetop("merge", "a.db", "b.db", "-o", "all.db")
    #expect(answer.output.contains("3 runs more in") && answer.output.contains("first") && answer.errors.isEmpty)
    #expect(try moetop("runs", "check", "all.db").output.hasSuffix("integrity ok\n"))
    for (copy, original) in [("all.db#1", "a.db#1"), ("all.db#2", "a.db#2"), ("all.db#3", "b.db#1")] {
      for command in [
        ["export", "--format", "csv"], ["export", "--what", "tokens", "--format", "jsonl"], ["analyze", "--by", "expert", "--json"],
      ] {
        func text(_ run: String) throws -> String {
          let result = try Binary.run([command[0], folder.file(run)] + command.dropFirst())
          #expect(result.status == 0 && !result.output.isEmpty, "\(result.errors)")
          // The number of the run is the one thing that differs.
          return result.output.split(separator: "\n").map { line in
            line.replacing(/^[0-9]+,/, with: "").replacing(/"run":[0-9]+/, with: "")
          }.joined(separator: "\n")
        }
        #expect(try text(copy) == text(original), "\(command) \(copy)")
      }
      let pair = try moetop("compare", copy, original, "--fail-if", "set_agreement<1", "--json")
      #expect(pair.output.contains("\"flips\":0"))
    }
    let shown = try object(try moetop("runs", "show", "all.db#3", "--json").output)
    #expect(
      shown["origin"] as? String == folder.file("b.db") + "#1" && shown["kind"] as? String == "engine"
        && shown["name"] as? String == "third")
    let sql = try moetop("sql", "all.db", "SELECT run, kind, origin FROM runs ORDER BY run", "--format", "csv").output
    #expect(sql.contains("\n2,engine,\(folder.file("a.db"))#2"))
  }

  @Test func singleRunsAndMore() throws {
    try run("a.db", 0..<2, name: "first")
    try run("a.db", 2..<4, name: "second")
    let answer = try object(try moetop("merge", "a.db#second", "-o", "all.db", "--json").output)
    #expect(answer["schema"] as? String == "moetop.merge/1")
    let runs = try #require(answer["runs"] as? [[String: Any]])
    #expect(runs.count == 1 && runs[0]["run"] as? Int == 1 && runs[0]["origin"] as? String == folder.file("a.db") + "#2")
    #expect(runs[0]["tokens"] as? Int == 60 && runs[0]["state"] as? String == "completed")
    let refused = try moetop("merge", "a.db#1", "-o", "all.db", status: 73)
    #expect(refused.errors.contains("expected no file, found one") && refused.errors.contains("--append") && refused.output.isEmpty)
    _ = try moetop("merge", "a.db#1", "-o", "all.db", "--append", "-q")
    #expect(try moetop("sql", "all.db", "SELECT name FROM runs ORDER BY run", "--format", "csv").output == "name\nsecond\nfirst\n")
    let own = try moetop("merge", "a.db", "all.db", "-o", "all.db", "--append", status: 64)
    #expect(own.errors.contains("all.db"))
    let twice = try moetop("merge", "a.db", "a.db#2", "-o", "new.db", status: 64)
    #expect(twice.errors.contains("a.db#2 is given twice"))
    #expect(try moetop("merge", "none.db", "-o", "new.db", status: 66).errors.contains("no such trace"))
    #expect(try moetop("merge", "a.db#9", "-o", "new.db", status: 66).errors.contains("no run 9"))
    _ = try folder.write(Array("text".utf8), to: "text.db")
    _ = try moetop("merge", "text.db", "-o", "new.db", status: 65)
    _ = try moetop("merge", "a.db", "-o", "text.db", "--append", status: 65)
    _ = try moetop("merge", "a.db", "-o", "no/such/folder.db", status: 73)
    #expect(!FileManager.default.fileExists(atPath: folder.file("new.db")))
  }

  /// Ranks of one job, joined, are the run that one process would have recorded: the same decisions, the same metrics.
  @Test func aJoinedRunIsOneRun() throws {
    try run("whole.db", 0..<6, name: "whole", more: ["--record", "full"])
    for (rank, texts) in [(0, 0..<3), (1, 3..<6)] {
      try run("rank\(rank).db", texts, name: "rank\(rank)", more: ["--record", "full"])
      try setSeries("rank\(rank).db", "job", rank: rank)
    }
    let answer = try object(try moetop("merge", "rank1.db", "rank0.db", "-o", "job.db", "--one", "--json").output)
    let runs = try #require(answer["runs"] as? [[String: Any]])
    #expect(
      runs.count == 1 && runs[0]["kind"] as? String == "merged" && runs[0]["name"] as? String == "job" && runs[0]["tokens"] as? Int == 180)
    #expect(runs[0]["parts"] as? [String] == [folder.file("rank0.db") + "#1", folder.file("rank1.db") + "#1"])
    #expect(try moetop("runs", "check", "job.db").output.hasSuffix("integrity ok\n"))
    let columns =
      "SELECT router, token, rank, expert, weight, entropy FROM routing JOIN routing_stats USING (run, router, token) "
    func table(_ trace: String) throws -> String {
      try moetop("sql", trace, columns + "ORDER BY router, token, rank", "--format", "csv").output
    }
    #expect(try table("job.db") == table("whole.db") && table("job.db").count > 10_000)
    for by in [["load_cv,entropy,repeat_first", "layer"], ["specialization", "domain"]] {
      func numbers(_ trace: String) throws -> String {
        try moetop("analyze", trace, "--metric", by[0], "--by", by[1], "--null", "99", "--json").output
      }
      #expect(try numbers("job.db") == numbers("whole.db"))
    }
    let shown = try object(try moetop("runs", "show", "job.db", "--json").output)
    let whole = try object(try moetop("runs", "show", "whole.db", "--json").output)
    #expect(shown["input_hash"] as? String == whole["input_hash"] as? String && shown["input_hash"] != nil)
    let (mine, theirs) = (try #require(shown["checks"] as? [[String: Any]]), try #require(whole["checks"] as? [[String: Any]]))
    #expect(mine.map { $0["outcome"] as? String } == theirs.map { $0["outcome"] as? String })
  }

  @Test func whatCannotBeJoined() throws {
    try run("a.db", 0..<2, name: "a")
    let alone = try moetop("merge", "a.db", "-o", "job.db", "--one", status: 64)
    #expect(alone.errors.contains("expected every run to name one, found none in \(folder.file("a.db"))#1"))
    try setSeries("a.db", "job")
    try run("level.db", 2..<4, name: "level", more: ["--record", "full"])
    try run("rules.db", 2..<4, name: "rules", more: ["--intervene", "swap all"])
    try run("again.db", 1..<3, name: "again")
    for (trace, words) in [
      ("level.db", "differ in their recording: "), ("rules.db", "differ in their rules: "), ("again.db", "sequence \"text 1\" is in"),
    ] {
      try setSeries(trace, "job")
      let result = try moetop("merge", "a.db", trace, "-o", "job.db", "--one", status: 65)
      #expect(result.errors.contains(words) && result.errors.contains("#1") && result.output.isEmpty, "\(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: folder.file("job.db")))
  }

  /// What failed in a part is warned of, in the answer of the merge and by every later command.
  @Test func failedChecksAreSaid() throws {
    try run("a.db", 0..<2, name: "a")
    try SQLite.run("UPDATE capture_check SET outcome = 'failed', detail = 'lost rows' WHERE name = 'equal_tokens'", on: folder.file("a.db"))
    try setSeries("a.db", "job")
    for (output, more) in [("copy.db", []), ("job.db", ["--one"])] {
      let merged = try Binary.run(["merge", folder.file("a.db"), "-o", folder.file(output)] + more)
      #expect(
        merged.status == 0 && merged.errors.contains("equal_tokens failed: ") && merged.errors.contains("lost rows"), "\(merged.errors)")
      #expect(try moetop("analyze", output, "--metric", "load_cv").errors.contains("lost rows"))
    }
  }
}
