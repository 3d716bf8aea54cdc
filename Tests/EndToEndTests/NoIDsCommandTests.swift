// `run --no-ids` as a user calls it: the trace says nowhere what was read, the routes are those of a run with ids, every command works on it, and
// what needs tokens says so.

import Formats
import Foundation
import Support
import Testing

struct NoIDsCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = Fixtures.root + "/samples/olmoe-tiny"
  }

  private static let texts = ["A secret garden behind the wall", "def secret(key): return key", "The secret of the old clock"]

  private func record(_ trace: String, _ more: String..., texts: [String] = texts) throws {
    let lines = texts.enumerated().map { "{\"text\": \"\($0.element)\", \"domain\": \"\(["prose", "code"][$0.offset % 2])\"}" }
    let file = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "texts.jsonl")
    let result = try Binary.run(["run", model, "-f", file, "--trace", folder.file(trace), "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
  }

  private func moetop(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(arguments.map { $0.contains(".db") ? folder.file($0) : $0 })
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.output) \(result.errors)")
    return result
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func theTraceDoesNotSayWhatWasRead() throws {
    try record("with.db", "--record", "full")
    try record("without.db", "--no-ids", "--record", "full")
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file("without.db")))
    for word in ["secret", "garden", "clock"] { #expect(bytes.range(of: Data(word.utf8)) == nil, "\(word)") }
    let sql = "SELECT count(*), count(text), max(token_id), count(surprisal) > 0 FROM tokens"
    let answer = try moetop("sql", "without.db", sql, "--format", "csv").output.split(separator: "\n")[1].split(
      separator: ",", omittingEmptySubsequences: false)
    #expect(Int(answer[0]) ?? 0 > 20 && answer[1] == "0" && ["", "-1"].contains(answer[2]) && answer[3] == "1")
    let (mine, theirs) = (
      try object(try moetop("runs", "show", "without.db", "--json").output),
      try object(try moetop("runs", "show", "with.db", "--json").output)
    )
    #expect(
      mine["input_hash"] as? String == theirs["input_hash"] as? String && mine["without_ids"] as? Bool == true
        && theirs["without_ids"] == nil)
    #expect(try moetop("runs", "show", "without.db").output.contains("left out"))
    let outcomes = { (run: [String: Any]) in (run["checks"] as? [[String: Any]])?.map { $0["outcome"] as? String } }
    #expect(outcomes(mine) == outcomes(theirs), "checks are made with the ids")
    #expect(try moetop("runs", "check", "without.db").output.hasSuffix("integrity ok\n"))
    // The routes, and every number that follows from them.
    let routes = "SELECT router, token, rank, expert, weight FROM routing ORDER BY router, token, rank"
    #expect(try moetop("sql", "without.db", routes, "--format", "csv").output == moetop("sql", "with.db", routes, "--format", "csv").output)
    for metrics in [["load_cv,entropy,repeat_first,z_loss", "layer"], ["specialization", "domain"], ["load,importance", "expert"]] {
      func numbers(_ trace: String) throws -> String {
        try moetop("analyze", trace, "--metric", metrics[0], "--by", metrics[1], "--null", "99", "--json").output
      }
      #expect(try numbers("without.db") == numbers("with.db"))
    }
    #expect(try moetop("export", "without.db", "--what", "tokens").output.contains(",-1,prefill,"))
    for format in ["csv", "jsonl"] { #expect(try moetop("export", "without.db", "--format", format).output.count > 1000) }
    _ = try moetop("export", "without.db", "--format", "safetensors", "-o", "x.db.safetensors")
    _ = try moetop("merge", "without.db", "-o", "copy.db")
    #expect(try object(try moetop("runs", "show", "copy.db", "--json").output)["without_ids"] as? Bool == true)
  }

  @Test func whatNeedsTokensSaysSo() throws {
    try record("t.db", "--no-ids")
    for arguments in [
      ["analyze", "--by", "vocabulary"], ["analyze", "--metric", "specialization", "--by", "token-class"], ["analyze", "--filter", "id=5"],
      ["analyze", "--filter", "token~secret"], ["export", "--filter", "!id=5"],
    ] {
      let result = try Binary.run([arguments[0], folder.file("t.db")] + arguments.dropFirst())
      #expect(
        result.status == 64 && result.errors.contains("keeps no token ids") && result.output.isEmpty, "\(arguments): \(result.errors)")
    }
    // What is said of places needs no ids: a run that names no BOS takes position 0 for it.
    #expect(try moetop("analyze", "t.db", "--filter", "bos", "--metric", "load_cv", "--json").output.contains("load_cv"))
    let predicted = try moetop("run", model, "-p", "x", "--no-ids", "--record", "ids+predicted", "--trace", "p.db", status: 64)
    #expect(predicted.errors.contains("+predicted"))
    let images = try Binary.run([
      "run", Fixtures.root + "/samples/dit-moe-tiny", "--no-ids", "--images", "1", "--trace", folder.file("i.db"),
    ])
    #expect(images.status == 64 && images.errors.contains("--no-ids"))
    let replay = try Binary.run([
      "run", model, "-p", "x", "--intervene", "replay all=\(folder.file("t.db"))", "--trace", folder.file("r.db"),
    ])
    #expect(replay.status == 64 && replay.errors.contains("keeps no token ids"))
  }

  @Test func textsPairWhereTheInputIsTheSame() throws {
    try record("a.db", "--no-ids")
    try record("b.db", "--no-ids", "--intervene", "swap all")
    try record("ids.db")
    try record("other.db", "--no-ids", texts: ["Another text of other words", "def other(): pass"])
    let same = try object(try moetop("compare", "a.db", "ids.db", "--json").output)
    let pair = try #require((same["pairs"] as? [[String: Any]])?.first)
    #expect(pair["set_agreement"] as? Double == 1 && pair["parted_at"] is NSNull)
    #expect((same["notes"] as? [String])?.contains { $0.contains("texts pair by their order") } == true)
    let tokens = try object(try moetop("compare", "ids.db", "ids.db", "--json").output)
    #expect(pair["tokens"] as? Int == (tokens["pairs"] as? [[String: Any]])?.first?["tokens"] as? Int)
    #expect(try moetop("compare", "a.db", "b.db", "--fail-if", "set_agreement<0.9", status: 2).output.contains("set_agreement"))
    for (a, b) in [("a.db", "other.db"), ("ids.db", "other.db")] {
      let refused = try moetop("compare", a, b, status: 64)
      #expect(refused.errors.contains("keeps no token ids") && refused.errors.contains("hash"), "\(refused.errors)")
    }
  }

  /// What a model wrote itself may be something else in each run.
  @Test func generatedTokensAreNotPaired() throws {
    for (trace, seed) in [("a.db", "1"), ("b.db", "2")] {
      let result = try Binary.run([
        "run", model, "-p", "Once upon a time", "--max-tokens", "12", "--temperature", "2", "--seed", seed, "--no-ids", "--trace",
        folder.file(trace), "-q",
      ])
      #expect(result.status == 0, "\(result.errors)")
    }
    let answer = try object(try moetop("compare", "a.db", "b.db", "--json").output)
    let pair = try #require((answer["pairs"] as? [[String: Any]])?.first)
    let prompt = try moetop("sql", "a.db", "SELECT count(*) FROM tokens WHERE phase = 'prefill'", "--format", "csv").output
    #expect(pair["tokens"] as? Int == Int(prompt.split(separator: "\n")[1]) && pair["set_agreement"] as? Double == 1)
  }

  /// The screens open it, and say where they have nothing to say.
  @Test func screensSaySo() throws {
    try record("t.db", "--no-ids")
    let script = """
      open \(folder.file("t.db"))
      wait 1 seconds
      dump \(folder.file("live.txt"))
      key 2
      dump \(folder.file("token.txt"))
      key 3
      key t
      dump \(folder.file("words.txt"))
      key 5
      wait 1 seconds
      dump \(folder.file("experts.txt"))
      do filter id=5
      dump \(folder.file("filter.txt"))
      """
    let file = try folder.write(Array(script.utf8), to: "script")
    let result = try Binary.run(["ui", "--script", file, "--size", "140x50", "--data-dir", folder.path])
    #expect([0, 1].contains(result.status), "\(result.errors)")
    func screen(_ name: String) throws -> String { try String(contentsOfFile: folder.file(name), encoding: .utf8) }
    #expect(try screen("live.txt").contains("Live") && !screen("live.txt").contains("<-1>"))
    for name in ["token.txt", "words.txt", "experts.txt"] {
      let shown = try screen(name)
      #expect(shown.contains("keeps no token ids"), "\(name): \(shown)")
    }
    #expect(try screen("filter.txt").contains("keeps no token ids"))
  }
}
