// `ui --script` as a user gives it: what it refuses before anything is played, what a line opens, and what it leaves behind.

import Formats
import Foundation
import Store
import Support
import Testing

struct ScriptCommandTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/olmoe"))
  }

  private func play(_ script: String, _ arguments: [String] = ["--no-record"], on target: String? = nil) throws -> CommandResult {
    let file = try folder.write(Array(script.utf8), to: "script")
    return try Binary.run(["ui", target ?? model, "--script", file, "--data-dir", folder.path] + arguments)
  }

  @Test(arguments: ["99999x99999", "0x0", "80x0", "1001x40", "120x501", "120", "-1x5", "1e3x10", "9223372036854775807x1"])
  func sizesThatNoScreenHas(_ size: String) throws {
    let option = try play("key j\n", ["--no-record", "--size=\(size)"])
    #expect(option.status == 64 && option.errors.contains("1x1") && option.errors.contains("1000x500"), "\(option.errors)")
    let line = try play("key j\nresize \(size)\n")
    #expect(line.status == 64 && line.errors.contains("line 2") && line.errors.contains("1000x500"), "\(line.errors)")
  }

  @Test(arguments: [
    "wait inf tokens", "wait nan steps", "wait 1e30 tokens", "wait 9e18 steps", "wait -1 seconds", "wait 2.5 tokens", "wait 1e9 seconds",
    "wait 5", "wait 5 hours", "click 99999999999999999999 1", "click -1 0", "click 3", "resize x", "key nosuchkey", "do nosuchaction",
    "frobnicate",
    "dump picture.png", "dump", "open",
  ]) func linesThatAreRefused(_ line: String) throws {
    let result = try play("dump \(folder.file("before.txt"))\n\(line)\n")
    #expect(result.status == 64 && result.errors.contains("script line 2: expected"), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.file("before.txt")), "nothing is played of a script with a mistake")
  }

  /// A step that is refused is a message on the screen; whoever plays a script hears of it afterwards, with the line.
  @Test func stepsThatAreNotDoneFailTheCommand() throws {
    let trace = folder.file("t.db")
    let tokens = try folder.write(Array("{\"sequences\": [[5, 6, 7]]}".utf8), to: "ids.json")
    #expect(try Binary.run(["run", model, "--tokens", tokens, "--trace", trace, "--quiet"]).status == 0)
    for (line, words) in [
      ("do token 99", "token 99 is not here: 0 to 2"), ("do find nothing-so-called", "no token contains"),
      ("do threshold 99nat", "at most 2.079 nat (ln 8), found 99nat"), ("key Z", "Z does nothing here"),
      ("paste lost", "nothing is open to paste into"), ("open \(folder.file("none.db"))", "no such trace"),
    ] {
      let dump = folder.file("after.txt")
      try? FileManager.default.removeItem(atPath: dump)
      let result = try play("key g\n\n\(line)\ndump \(dump)\n", [], on: trace)
      #expect(result.status == 1 && result.output.isEmpty, "\(line): \(result.errors)")
      #expect(result.errors.hasPrefix("error: script line 3, \(line.prefix(50))") && result.errors.contains(words), "\(result.errors)")
      #expect(FileManager.default.fileExists(atPath: dump), "what comes after it is played")
    }
    let several = try play(String(repeating: "do token 99\n", count: 12), [], on: trace)
    #expect(several.status == 1 && several.errors.contains("12 lines of the script were not done\n  line 1, do token 99: "))
    #expect(several.errors.hasSuffix("line 10, do token 99: token 99 is not here: 0 to 2\n  and 2 more\n"), "\(several.errors)")
    #expect(try play("key 3\nkey j\ndo token 2\n", [], on: trace).status == 0)
  }

  /// A number on a screen stands beside the same baseline as in the command's answer.
  @Test func liveHasTheBaselinesOfAnalyze() throws {
    let trace = folder.file("t.db")
    #expect(try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "--quiet"]).status == 0)
    func rows(_ metric: String) throws -> [JSONValue] {
      Array(try Answer(["analyze", trace, "--metric", metric]).root.array("layers"))
    }
    func fixed(_ number: Double) -> String { String(format: "%.2f", (number * 100).rounded() / 100) }
    let busiest = try #require(try rows("max_over_mean").max { try $0.number("value") < $1.number("value") })
    let overlap = try #require(try rows("overlap").first)
    let dump = folder.file("live.txt")
    #expect(try play("do window all\nkey G\ndo layer 0\ndump \(dump)\n", [], on: trace).status == 0)
    let screen = try String(contentsOfFile: dump, encoding: .utf8)
    let (ratio, even) = (try busiest.number("value"), try busiest.number("baseline"))
    #expect(even > 1.05 && screen.contains("max / uniform   \(fixed(ratio))  L0") && screen.contains("chance \(fixed(even))"), "\(screen)")
    let repeats = "\(fixed(try overlap.number("value"))) of 3 L00  chance \(fixed(try overlap.number("baseline"))), in text "
    #expect(screen.contains(repeats + fixed(try overlap.number("within_text_baseline"))), "\(screen)")
  }

  /// No decision has an entropy, so the run has no quantile of them: the command says so, and the screens show no number either.
  @Test func aThresholdThatIsNotThereIsNoNumber() throws {
    let broken = try ChangedModel("models/mixtral") { tensors in
      for index in tensors.indices where tensors[index].name.hasSuffix("block_sparse_moe.gate.weight") {
        tensors[index] = tensors[index].scaled(by: .nan)
      }
    }
    let trace = folder.file("t.db")
    #expect(try Binary.run(["run", broken.path, "--tokens", broken.input, "--trace", trace, "--quiet"]).status == 1)
    #expect(try Binary.run(["analyze", trace, "--metric", "uncertain"]).output.contains("no decision has an entropy"))
    let (live, list) = (folder.file("live.txt"), folder.file("list.txt"))
    #expect(try play("key g\ndump \(live)\nkey 3\nwait 1 seconds\ndump \(list)\n", [], on: trace).status == 0)
    #expect(try String(contentsOfFile: live, encoding: .utf8).contains("no entropy at any layer, so no threshold (q0.95)"))
    let screen = try String(contentsOfFile: list, encoding: .utf8)
    #expect(screen.contains("threshold – (q0.95: no decision has an entropy)") && !screen.contains("1.000"), "\(screen)")
  }

  /// The command refuses a text that the model cannot take; so does the screen, which would otherwise read another text than was given.
  @Test func textsBeyondTheContextAreRefused() throws {
    let sample = Fixtures.root + "/samples/olmoe-tiny"
    let long = String(repeating: "one two three ", count: 2000)
    let refused = try Binary.run(["run", sample, "-p", long, "--no-trace"])
    let words = try #require(refused.errors.split(separator: "\n").first?.dropFirst("error: ".count))
    #expect(refused.status == 64 && words.hasPrefix("prompt: ") && words.contains("tokens, the model was made for "), "\(refused.errors)")
    let prompt = try play("key p\npaste \(long)\nkey enter\nwait 1 tokens\n", on: sample)
    #expect(prompt.status == 1 && prompt.errors.contains(words), "\(prompt.errors)")
    try folder.write(Array("{\"text\":\"short\"}\n{\"text\":\"\(long)\",\"name\":\"prompt\"}\n".utf8), to: "texts.jsonl")
    let read = try play("do read \(folder.file("texts.jsonl"))\nwait 1 tokens\n", on: sample)
    #expect(read.status == 1 && read.errors.contains(words), "\(read.errors)")
    #expect(try play("key p\npaste one two three\nkey enter\nwait 5 tokens\n", on: sample).status == 0)
  }

  /// A session that is left does nothing more, and the lines that are left over are said.
  @Test func whatComesAfterTheEndIsSaid() throws {
    let dump = folder.file("after.txt")
    let result = try play("key j\nkey q\nkey k\ndump \(dump)\n")
    #expect(result.status == 1 && result.errors.contains("line 3, key k: the session was left before it"), "\(result.errors)")
    #expect(result.errors.contains("line 4, dump ") && !FileManager.default.fileExists(atPath: dump))
    #expect(try play("key j\nkey q\n").status == 0)
  }

  @Test func picturesAreRefusedByTheirEnding() throws {
    let refused = try play("key j\n", ["--no-record", "--dump", folder.file("x.png")])
    #expect(refused.status == 64 && refused.errors.contains(".txt, .svg or .snapshot"))
    #expect(!FileManager.default.fileExists(atPath: folder.file("x.png")))
    for name in ["x.txt", "x.SVG", "x.snapshot", "x"] {
      #expect(try play("key j\n", ["--no-record", "--dump", folder.file(name)]).status == 0)
      #expect(FileManager.default.fileExists(atPath: folder.file(name)))
    }
  }

  @Test func aMissingScriptIsMissing() throws {
    let result = try Binary.run(["ui", model, "--no-record", "--script", folder.file("none")])
    #expect(result.status == 66 && result.errors.contains(folder.file("none")))
  }

  @Test func opensTheRunThatALineNames() throws {
    let trace = folder.file("two.db")
    for (index, text) in ["[5, 6, 7]", "[8, 9, 10, 11]"].enumerated() {
      let tokens = try folder.write(Array("{\"sequences\": [\(text)]}".utf8), to: "ids\(index).json")
      #expect(try Binary.run(["run", model, "--tokens", tokens, "--trace", trace, "--quiet"]).status == 0)
    }
    for (run, last) in [(1, 3), (2, 4)] {
      let dump = folder.file("\(run).txt")
      let result = try play("# both runs\r\nopen \(trace)#\(run)   # this one\r\ndump \(dump)\t#here\r\n")
      #expect(result.status == 0, "\(result.errors)")
      let screen = try String(contentsOfFile: dump, encoding: .utf8)
      // The last token of the run is the one looked at.
      #expect(screen.contains("run \(run)") && screen.contains("all \(last) tokens"), "\(screen)")
    }
  }

  /// What a script plays becomes a run only where a trace was named for it, and then at the time of day.
  @Test func leavesNoRunBehind() throws {
    let dit = try #require(Fixtures.own("dit/timm"))
    let standard = folder.file("traces.db")
    #expect(try play("wait 2 steps\n", [], on: dit).status == 0)
    #expect(!FileManager.default.fileExists(atPath: standard))
    let named = folder.file("named.db")
    #expect(try play("key j\n", ["--trace", named], on: dit).status == 0)
    #expect(!FileManager.default.fileExists(atPath: named), "nothing was shown, nothing is kept")
    #expect(try play("wait 2 steps\n", ["--trace", named], on: dit).status == 0)
    let runs = try TraceReader(file: named).runs()
    #expect(runs.count == 1 && runs[0].tokenCount > 0 && runs[0].state == .completed)
    #expect(abs((runs.first?.description.startedAt ?? 0) - Date().timeIntervalSince1970) < 600)
  }

  @Test func aModelWithoutATokenizerDoesNotPretendToRead() throws {
    let dump = folder.file("live.txt")
    #expect(try play("wait 2 seconds\ndump \(dump)\n").status == 0)
    let screen = try String(contentsOfFile: dump, encoding: .utf8)
    #expect(screen.contains("no tokenizer") && !screen.contains("reading its first tokens"))
  }
}
