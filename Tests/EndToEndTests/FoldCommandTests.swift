// `moetop fold` and `analyze PART…` as a user calls them: parts in any order give the numbers of one process over one trace of all texts, to the
// last bit where whole numbers are counted; what does not belong together is refused; a damaged part is an error that names it.

import Formats
import Foundation
import Support
import Testing

struct FoldCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/mixtral"))
    try record("all.db", 0..<9)
    try record("a.db", 0..<3)
    try record("b.db", 3..<4)
    try record("c.db", 4..<9)
  }

  private func call(_ arguments: [String]) throws -> CommandResult {
    try Binary.run(arguments.map { $0.hasSuffix(".db") || $0.hasSuffix(".part") ? folder.file($0) : $0 })
  }

  /// Texts that are the same for the same numbers, of different lengths.
  private func record(_ trace: String, _ texts: Range<Int>) throws {
    let lists = texts.map { text in
      "[" + (0..<24 + 3 * (text % 3)).map { String((text * 7 + $0 * 5 + $0 * $0 % 11) % 60 + 3) }.joined(separator: ",") + "]"
    }
    let labels = texts.map { "{\"domain\": \"\(["code", "law"][$0 % 2])\"}" }
    let names = texts.map { "\"text \($0)\"" }.joined(separator: ",")
    let json = "{\"sequences\": [\(lists.joined(separator: ","))], \"names\": [\(names)], \"labels\": [\(labels.joined(separator: ","))]}"
    let tokens = try folder.write(Array(json.utf8), to: "ids.json")
    let result = try Binary.run(["run", model, "--tokens", tokens, "--record", "full+norms", "--trace", folder.file(trace), "-q"])
    #expect(result.status == 0, "\(result.errors)")
  }

  private func json(_ arguments: [String]) throws -> Any {
    let result = try call(arguments + ["--json"])
    #expect(result.status == 0, "\(arguments): \(result.errors)")
    return try JSONSerialization.jsonObject(with: Data(result.output.utf8))
  }

  /// Where two answers differ by more than sums of reals may, the number of the run apart.
  private func differences(_ a: Any, _ b: Any, at place: String = "") -> [String] {
    switch (a, b) {
    case (let a as [String: Any], let b as [String: Any]):
      Set(a.keys).union(b.keys).subtracting(["run"]).sorted().flatMap { key -> [String] in
        guard let x = a[key], let y = b[key] else { return ["\(place)/\(key): only in one"] }
        return differences(x, y, at: "\(place)/\(key)")
      }
    case (let a as [Any], let b as [Any]):
      a.count == b.count
        ? zip(a, b).enumerated().flatMap { differences($1.0, $1.1, at: "\(place)/\($0)") } : ["\(place): \(a.count) and \(b.count)"]
    case (let a as NSNumber, let b as NSNumber):
      abs(a.doubleValue - b.doubleValue) <= 1e-12 * max(abs(a.doubleValue), abs(b.doubleValue)) ? [] : ["\(place): \(a) and \(b)"]
    default: "\(a)" == "\(b)" ? [] : ["\(place): \(a) and \(b)"]
    }
  }

  @Test(arguments: [
    ("", ""), ("--metric load_cv,max_over_mean,idle,repeat_first,repeat_any,overlap", "--ci"),
    ("--metric uncertain,entropy,entropy_nats,top1_margin,selection_margin --threshold 0.9", "--ci"),
    ("--metric entropy,uncertain --by domain --threshold 1.2nat", "--ci"), ("--metric specialization --by domain", "--null 60 --seed 3"),
    ("--metric specialization --by position", "--null 30"), ("--metric specialization --by vocabulary", "--null 30"),
    ("--by expert", "--ci"), ("--metric expert_norm --by expert", "--ci"), ("--metric flip_risk,top_k_entropy,router_perplexity", "--ci"),
    ("--metric load_cv,uncertain,repeat_first --threshold 0.9 --filter domain=law", "--ci"),
    ("--metric load_cv,entropy --layer 0", "--ci"), ("--as gw-moe --threshold 1.2nat", ""),
  ]) func partsAreOneProcess(_ folded: String, _ asked: String) throws {
    let (fold, ask) = (folded.split(separator: " ").map(String.init), asked.split(separator: " ").map(String.init))
    for name in ["a", "b", "c"] {
      let result = try call(["fold", "\(name).db", "-o", "\(name).part"] + fold)
      #expect(result.status == 0, "\(result.errors)")
    }
    let whole = try json(["analyze", "all.db"] + fold + ask)
    let parts = try json(["analyze", "a.part", "b.part", "c.part"] + ask)
    #expect(differences(whole, parts) == [])
    let first = try call(["analyze", "a.part", "b.part", "c.part", "--json"] + ask)
    let other = try call(["analyze", "c.part", "a.part", "b.part", "--json"] + ask)
    #expect(first.output == other.output, "the order of parts is nothing")
  }

  /// The order in which a process happens to keep what it counts must not reach the last bits.
  @Test(arguments: ["flip_risk,entropy,uncertain --threshold 0.9", "flip_risk,entropy --by domain", "expert_norm --by expert"])
  func oneProcessIsLikeTheNext(_ asked: String) throws {
    let arguments = ["analyze", "all.db", "--ci", "--json", "--metric"] + asked.split(separator: " ").map(String.init)
    let first = try call(arguments)
    #expect(first.status == 0, "\(first.errors)")
    for _ in 0..<3 { #expect(try call(arguments).output == first.output) }
  }

  @Test func whatDoesNotBelongTogetherIsRefused() throws {
    func refused(_ arguments: String, _ status: Int32, _ words: String) throws {
      let result = try call(arguments.split(separator: " ").map(String.init))
      #expect(result.status == status && result.errors.contains(words) && result.output.isEmpty, "\(arguments): \(result.errors)")
    }
    for (trace, part) in [("a", "a"), ("a", "twin"), ("b", "b")] {
      #expect(try call(["fold", "\(trace).db", "-q", "-o", "\(part).part"]).status == 0)
    }
    #expect(try call(["fold", "b.db", "--layer", "0", "-q", "-o", "other.part"]).status == 0)
    try refused("analyze a.part twin.part", 65, "would count twice")
    try refused("analyze a.part other.part", 64, "folded with --")
    try refused("analyze a.part b.db", 64, "expected a part as")
    try refused("analyze a.db b.db", 64, "expected one run, found 2")
    try refused("analyze a.part --metric idle", 64, "--metric: parts answer what they were folded for")
    try refused("analyze a.part b.part --ci", 64, "a quantile that is known when all parts are")
    try refused("analyze a.part --fail-if overlap>1", 64, "were not folded for it")
    try refused("fold a.db --by token -o x.part", 64, "expected an axis that parts have in common")
    try refused("fold a.db --by domain --metric uncertain -o x.part", 64, "expected nats (1.6nat) or a share")
    let own = try #require(Fixtures.own("models/olmoe"))
    #expect(try call(["run", own, "--tokens", own + "/input.json", "--trace", "z.db", "-q"]).status == 0)
    #expect(try call(["fold", "z.db", "-q", "-o", "z.part"]).status == 0)
    try refused("analyze a.part z.part", 65, "expected the model of")
    #expect(!FileManager.default.fileExists(atPath: folder.file("x.part")), "a refused fold leaves nothing")
  }

  /// Any byte of a part may be wrong: it is an answer or an error with a code, never a crash.
  @Test func damageIsAnError() throws {
    #expect(
      try call(["fold", "a.db", "-q", "-o", "a.part", "--by", "vocabulary"])
        .status == 0)
    let sound = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.part")))
    var random = SeededRandom(seed: 5)
    for round in 0..<60 {
      var bytes = sound
      if round % 3 == 0 {
        bytes = bytes.prefix(Int(random.next() % UInt64(bytes.count)))
      } else {
        // Of the header, of which most is text, and of the columns.
        let place = round % 3 == 1 ? Int(random.next() % 4000) : Int(random.next() % UInt64(bytes.count))
        bytes[min(place, bytes.count - 1)] ^= UInt8(1 << (random.next() % 8))
      }
      try bytes.write(to: URL(fileURLWithPath: folder.file("bad.part")))
      let result = try call(["analyze", "bad.part", "--null", "19"])
      #expect([0, 64, 65].contains(result.status), "round \(round): \(result.status) \(result.errors)")
      if result.status == 65 { #expect(result.errors.contains("bad.part"), "\(result.errors)") }
    }
  }
}
