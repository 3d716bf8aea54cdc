// Text from outside as people have it: other line ends, byte-order marks, pipes, other encodings, labels that are numbers, files that are not
// what their names say. Each case is a command with what it is given.

import Formats
import Foundation
import Support
import Testing

struct TextInputTests {
  private let folder: TemporaryDirectory
  /// A model that reads text, and one that reads ids.
  private let sample = Fixtures.root + "/samples/olmoe-tiny"
  private let fixture: String
  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  init() throws {
    folder = try TemporaryDirectory()
    fixture = try #require(Fixtures.own("models/olmoe"))
  }

  /// A command of a shell, with `moetop` for the program and the folder as place.
  private func shell(_ line: String) throws -> CommandResult {
    try Binary.run(["-c", "cd '\(folder.path)'; moetop() { '\(Binary.path)' \"$@\"; }; \(line)"], program: "/bin/sh")
  }

  private func file(_ name: String, _ text: String) throws { try folder.write(Array(text.utf8), to: name) }

  /// What a run says of its sequences: names, labels, tokens, surprisal.
  private func sequences(_ line: String) throws -> [[String: String]] {
    let result = try shell(line + " --no-trace --json")
    #expect(result.status == 0, "\(line): \(result.errors)")
    return try JSON.parse(text: result.output, name: line).array("sequences").map { sequence in
      let (tokens, nats) = (try sequence.integer("tokens"), try sequence.number("nats"))
      var fields = ["name": try sequence.string("name"), "tokens": "\(tokens)", "nats": "\(nats)"]
      for (key, value) in try sequence.member("labels").requireObject() { fields["label " + (key.string ?? "")] = value.string }
      return fields
    }
  }

  private func refused(_ line: String, _ status: Int32, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
    let result = try shell(line)
    #expect(result.status == status, "\(line): \(result.errors)", sourceLocation: sourceLocation)
    for word in words { #expect(result.errors.contains(word), "\(line): \(result.errors)", sourceLocation: sourceLocation) }
    #expect(result.output.isEmpty, sourceLocation: sourceLocation)
  }

  // MARK: Lines and marks

  @Test func lineEndsAndMarksAreNoPartOfJSONLines() throws {
    let lines = [#"{"text":"Once upon a time","domain":"prose"}"#, "", #"{"text":"def main():","domain":"code"}"#]
    try folder.write(Array(lines.joined(separator: "\n").utf8), to: "a.jsonl")
    let expected = try sequences("moetop run \(sample) -f a.jsonl")
    #expect(expected.map { $0["label domain"] } == ["prose", "code"] && expected.map { $0["name"] } == ["a.jsonl:1", "a.jsonl:3"])
    for (end, mark) in [("\r\n", []), ("\r", []), ("\n", Self.mark), ("\r\n", Self.mark)] {
      try folder.write(mark + Array((lines.joined(separator: end) + end).utf8), to: "a.jsonl")
      #expect(try sequences("moetop run \(sample) -f a.jsonl") == expected, "\(end.debugDescription), mark \(mark)")
    }
  }

  /// Tokens see the bytes of a text as they are; only a mark at its start is not of the text.
  @Test func aTextKeepsItsContent() throws {
    func tokens(_ bytes: [UInt8]) throws -> Int {
      try folder.write(bytes, to: "a.txt")
      return Int(try #require(try sequences("moetop run \(sample) -f a.txt").first?["tokens"])) ?? 0
    }
    let plain = try tokens(Array("one\ntwo\nthree".utf8))
    #expect(try tokens(Array("one\r\ntwo\r\nthree".utf8)) > plain)
    #expect(try tokens(Self.mark + Array("one\ntwo\nthree".utf8)) == plain)
  }

  @Test func marksAreNoPartOfJSONFiles() throws {
    let ids = Self.mark + Array(try String(contentsOfFile: fixture + "/input.json", encoding: .utf8).utf8)
    try folder.write(ids.flatMap { $0 == 0x0A ? [0x0D, 0x0A] : [$0] }, to: "ids.json")
    let expected = try sequences("moetop run \(fixture) --tokens \(fixture)/input.json")
    #expect(try sequences("moetop run \(fixture) --tokens ids.json") == expected)
    for name in ["model.safetensors", "config.json"] {
      try FileManager.default.copyItem(atPath: "\(fixture)/\(name)", toPath: folder.file(name))
    }
    try folder.write(Self.mark + Array(try String(contentsOfFile: fixture + "/config.json", encoding: .utf8).utf8), to: "config.json")
    #expect(try sequences("moetop run . --tokens ids.json") == expected)
  }

  @Test func scriptsAreReadLikeTexts() throws {
    try file("a", "key 2\nkey 5\n")
    try folder.write(Self.mark + Array("key 2\r\nkey 5\r\n".utf8), to: "b")
    for script in ["a", "b"] { #expect(try shell("moetop ui \(fixture) --no-record --script \(script) --dump \(script).txt").status == 0) }
    #expect(try shell("moetop ui \(fixture) --no-record --script - --dump c.txt <b").status == 0)
    let screens = try ["a.txt", "b.txt", "c.txt"].map { try String(contentsOfFile: folder.file($0), encoding: .utf8) }
    #expect(Set(screens).count == 1)
    try refused("moetop ui \(fixture) --no-record --script missing --dump d.txt", 66, "missing: ", "No such file or directory")
    try refused("moetop ui missing.db --script a --dump d.txt", 66, "missing.db: ")
    try refused("printf 'key \\351' | moetop ui \(fixture) --no-record --script -", 65, "standard input: not valid UTF-8 at byte 4")
  }

  // MARK: Pipes

  @Test func standardInputIsAnInput() throws {
    try file("a.jsonl", #"{"text":"Once upon a time","domain":"prose","name":"first"}"# + "\n")
    try file("plain.txt", "Once upon a time")
    let expected = try sequences("moetop run \(sample) -f a.jsonl")
    for line in [
      "moetop run \(sample) -f - <a.jsonl", "cat a.jsonl | moetop run \(sample) -f -", "cat a.jsonl | moetop run \(sample) -f /dev/stdin",
      "moetop run \(sample) -f /dev/stdin <a.jsonl", "mkfifo p; cat a.jsonl >p & moetop run \(sample) -f p",
    ] {
      #expect(try sequences(line) == expected, "\(line)")
    }
    let plain = try sequences("cat plain.txt | moetop run \(sample) --domain prose=-")
    #expect(plain.map { $0["name"] } == ["standard input"] && plain.map { $0["nats"] } == expected.map { $0["nats"] })
    let ids = try sequences("cat \(fixture)/input.json | moetop run \(fixture) --tokens -")
    #expect(try ids == sequences("moetop run \(fixture) --tokens \(fixture)/input.json"))
    let ask = "moetop sql t.db 'SELECT input FROM runs' --format csv"
    let traced = try shell("cat plain.txt | moetop run \(sample) -f - --trace t.db -q && \(ask)")
    #expect(traced.output == "input\nstandard input\n", "\(traced.errors)")
  }

  // MARK: Encodings

  @Test func otherEncodingsAreRefusedWithTheirPlace() throws {
    try folder.write(Array("one\r\ntwo\rcaf".utf8) + [0xE9] + Array("\n".utf8), to: "latin.txt")
    let place = "latin.txt: not valid UTF-8 at byte 12, in line 3: found 0xe9"
    try refused("moetop run \(sample) -f latin.txt --no-trace", 65, place, "iconv -f LATIN1")
    try folder.write([0xFF, 0xFE, 0x61, 0], to: "wide.txt")
    try refused("moetop run \(sample) -f wide.txt --no-trace", 65, "at byte 0", "iconv -f UTF-16")
    try folder.write(Array("{\"text\":\"a\"}\n{\"text\":\"caf".utf8) + [0xE9] + Array("\"}".utf8), to: "latin.jsonl")
    try refused("moetop run \(sample) -f latin.jsonl --no-trace", 65, "latin.jsonl: not valid UTF-8 at byte 25, in line 2")
    try refused("cat latin.txt | moetop run \(sample) -f - --no-trace", 65, "standard input: not valid UTF-8 at byte 12")
    try refused("cat latin.txt | moetop run \(fixture) --tokens - --no-trace", 65, "standard input: not valid UTF-8")
    // A sequence that is cut off by the end, a surrogate, an overlong form: none is text.
    for bytes in ["\\303", "\\355\\240\\200", "\\300\\257"] {
      try refused("printf 'ab\(bytes)' | moetop run \(sample) -f - --no-trace", 65, "at byte 2, in line 1")
    }
    try refused("moetop run \(sample) -p \"$(printf 'caf\\351')\" --no-trace", 64, "argument 4: not valid UTF-8 at byte 3")
  }

  // MARK: What is in it

  @Test func plainFieldsBecomeLabelsAndTheRestIsSaid() throws {
    try file(
      "a.JSONL",
      #"{"text":"a","name":7,"n":1.50,"yes":true,"domain":"x","none":null,"list":[1],"deep":{"a":1}}"# + "\n"
        + #"{"text":"b","n":-2e3,"yes":false,"list":[]}"#)
    let read = try sequences("moetop run \(sample) -f a.JSONL")
    #expect(read.map { $0["name"] } == ["7", "a.JSONL:2"])
    #expect(read.map { $0["label n"] } == ["1.50", "-2e3"] && read.map { $0["label yes"] } == ["true", "false"])
    #expect(read.allSatisfy { $0["label none"] == nil && $0["label list"] == nil && $0["label deep"] == nil })
    let said = try shell("moetop run \(sample) -f a.JSONL --no-trace").errors
    for words in ["\"none\" is null in 1 of 2 texts", "\"list\" is an array in 2 of 2 texts", "\"deep\" is an object in 1 of 2 texts"] {
      #expect(said.contains(words), "\(said)")
    }
    try file("b.jsonl", #"{"text":"a"}"# + "\n" + #"{"txt":"b"}"#)
    try refused("moetop run \(sample) -f b.jsonl --no-trace", 65, "b.jsonl:2: text: missing")
  }

  @Test func aTextThatIsNotThereIsAnError() throws {
    for (name, text) in [("a.txt", ""), ("b.jsonl", ""), ("c.jsonl", "\r\n \n"), ("d.json", "[]")] {
      try file(name, text)
      try refused("moetop run \(sample) -f \(name) --no-trace", 65, "\(name): there is no text in it")
    }
    try folder.write(Self.mark, to: "a.txt")
    try refused("moetop run \(sample) -f a.txt --no-trace", 65, "a.txt: there is no text in it")
    try refused("moetop run \(sample) -f - --no-trace </dev/null", 65, "standard input: there is no text in it")
    try refused("moetop run \(sample) -f . --no-trace", 65, "a directory")
    try refused("moetop run \(sample) -f none.txt --no-trace", 66, "none.txt")
    for ids in ["[]", "[[],[]]"] {
      try refused("echo '{\"sequences\":\(ids)}' | moetop run \(fixture) --tokens - --no-trace", 65, "standard input: ")
    }
  }

  @Test func jsonIsReadAsTextsOrSaidNotToBe() throws {
    let array = #"[{"text":"Hello","n":1},{"text":"there"}]"#
    try file("a.json", array)
    try file("a.txt", array)
    try file("one.json", "{\n  \"text\": \"Hello\"\n}")
    try file("lines.txt", #"{"text":"Hello"}"# + "\n" + #"{"text":"there"}"#)
    try file("other.json", #"{"compilerOptions":{}}"#)
    try file("damaged.txt", #"[{"text":"Hello""#)
    try file("damaged.json", "[\n  {\"text\": \"Hé\" \"n\": 1}\n]")
    try file("damaged.jsonl", "{\"text\":\"a\"}\n{\"text\":\n")
    try file("notes.json", "Not JSON at all")
    try file("code.txt", "{ return 1 }")
    let read = try sequences("moetop run \(sample) -f a.json")
    #expect(read.map { $0["name"] } == ["a.json[0]", "a.json[1]"] && read[0]["label n"] == "1")
    #expect(try sequences("moetop run \(sample) -f one.json").map { $0["nats"] } == [read[0]["nats"]])
    #expect(try sequences("cat a.txt | moetop run \(sample) -f -").map { $0["nats"] } == read.map { $0["nats"] })
    #expect(try sequences("cat lines.txt | moetop run \(sample) -f -").map { $0["nats"] } == read.map { $0["nats"] })
    for (name, isSaid) in [("a.txt", true), ("lines.txt", true), ("other.json", true), ("damaged.txt", true), ("code.txt", false)] {
      let result = try shell("moetop run \(sample) -f \(name) --no-trace")
      #expect(result.status == 0 && result.errors.contains("note: \(name): looks like JSON") == isSaid, "\(name): \(result.errors)")
    }
    try refused("moetop run \(sample) -f - --no-trace <\(fixture)/input.json", 65, "token ids", "--tokens")
    // What is called JSON is read as JSON or not at all.
    let place = "damaged.json: not valid JSON in line 2, column 17: expected"
    try refused("moetop run \(sample) -f damaged.json --no-trace", 65, place, "try: a name without .json")
    try refused("moetop run \(sample) --domain a=damaged.json --no-trace", 65, place)
    try refused("moetop run \(sample) -f notes.json --no-trace", 65, "notes.json: not valid JSON in line 1, column 1")
    try refused("moetop run \(sample) -f damaged.jsonl --no-trace", 65, "damaged.jsonl:2: not valid JSON")
    try refused("moetop run \(fixture) --tokens damaged.json --no-trace", 65, place)
  }

  /// A database ends a text at a NUL: half a name would be kept.
  @Test func namesAndLabelsHoldNoNUL() throws {
    for fields in [#""name":"a\u0000b""#, #""domain":"a\u0000b""#, #""do\u0000main":"a""#] {
      try file("a.jsonl", #"{"text":"Hello",\#(fields)}"# + "\n")
      try refused("moetop run \(sample) -f a.jsonl --trace t.db", 65, "a.jsonl:1: ", "without NUL, found \"")
    }
    for fields in [#""names":["a\u0000b"]"#, #""labels":[{"domain":"a\u0000b"}]"#, #""labels":[{"do\u0000main":"a"}]"#] {
      try refused("echo '{\"sequences\":[[1,2]],\(fields)}' | moetop run \(fixture) --tokens - --trace t.db", 65, "without NUL")
    }
    // In the text itself it is a character like others.
    try file("a.jsonl", #"{"text":"Hel\u0000lo"}"# + "\n")
    #expect(try sequences("moetop run \(sample) -f a.jsonl").count == 1)
  }

  /// Whatever never ends is refused before memory does: of the machine, or what `ulimit -v` leaves.
  @Test func textsThatNeverEndAreRefused() throws {
    for option in ["-f ", "--tokens ", "--domain x="] {
      let line = "ulimit -v 1500000; moetop run \(sample) \(option)/dev/zero --no-trace"
      try refused(line, 65, "/dev/zero: more than ", "of text", "free here")
    }
    try refused("ulimit -v 1500000; yes | moetop run \(sample) -f - --no-trace", 65, "standard input: more than ")
    try refused("ulimit -v 1500000; moetop ui \(fixture) --no-record --script /dev/zero", 65, "/dev/zero: more than ")
  }

  @Test func parallelArraysOfTokensAreParallel() throws {
    func line(_ more: String) -> String { "echo '{\"sequences\":[[1,2],[3,4]],\(more)}' | moetop run \(fixture) --tokens - --no-trace" }
    try refused(line(#""labels":[{"domain":"a"}]"#), 65, "labels: expected one for each of the 2 sequences, found an array of 1")
    try refused(line(#""names":["a","b","c"]"#), 65, "names: expected one for each of the 2 sequences, found an array of 3")
    try refused(line(#""labels":[{"domain":"a"},{"domain":["b"]}]"#), 65, "labels[1].domain: expected a string, a number, true or false")
    let ids = #"{"sequences":[[1,2],[3,4]],"labels":[{"n":1},{"n":2.0}],"names":[1,"b"]}"#
    let read = try sequences("echo '\(ids)' | moetop run \(fixture) --tokens -")
    #expect(read.map { $0["label n"] } == ["1", "2.0"] && read.map { $0["name"] } == ["1", "b"])
  }

  // MARK: BOS

  /// What goes before a text is the model's affair, can be overridden, and is recorded where it was.
  @Test func bosIsTheModelsUnlessSaidOtherwise() throws {
    let facts = try JSON.parse(text: shell("moetop inspect \(sample) --json").output, name: "inspect")
    let adds = try facts.bool("adds_bos")
    #expect(facts["text_begins_with"]?.count == (adds ? 1 : 0))
    func count(_ more: String) throws -> Int {
      try sequences("moetop run \(sample) -f t.txt \(more)").compactMap { Int($0["tokens"] ?? "") }.reduce(0, +)
    }
    try file("t.txt", "def main(): pass")
    let (usual, with, without) = (try count(""), try count("--bos add"), try count("--bos omit"))
    let said = try count("--bos model")
    #expect(with == without + 1 && usual == (adds ? with : without) && said == usual)
    let recorded = try shell("moetop run \(sample) -f t.txt --bos \(adds ? "omit" : "add") --trace b.db -q && moetop runs show b.db --json")
    #expect(try JSON.parse(text: recorded.output, name: "runs").string("bos") == (adds ? "omit" : "add"), "\(recorded.errors)")
    let plain = try shell("moetop run \(sample) -f t.txt --trace c.db -q && moetop runs show c.db --json")
    #expect(try JSON.parse(text: plain.output, name: "runs")["bos"] == nil)
    let asked = try shell("moetop whatif \(sample) -f t.txt --rules 'mask 0:1' --bos \(adds ? "omit" : "add") --json")
    #expect(
      asked.status == 0 && asked.output.contains("\"bos\":\"\(adds ? "omit" : "add")\""), "\(asked.errors)\(asked.output.prefix(300))")
    try refused(
      "echo '{\"sequences\":[[1,2]]}' | moetop run \(fixture) --tokens - --no-trace --bos add", 64, "--bos: token ids are used verbatim")
    try refused("moetop run \(sample) -p a --bos maybe", 64, "model")
  }
}
