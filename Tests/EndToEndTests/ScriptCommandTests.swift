// `ui --script` as a user gives it: what it refuses before anything is played, what a line opens, and what it leaves behind.

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
    for (run, last) in [(1, "0-2"), (2, "0-3")] {
      let dump = folder.file("\(run).txt")
      let result = try play("# both runs\r\nopen \(trace)#\(run)   # this one\r\ndump \(dump)\t#here\r\n")
      #expect(result.status == 0, "\(result.errors)")
      let screen = try String(contentsOfFile: dump, encoding: .utf8)
      #expect(screen.contains("run \(run)") && screen.contains("of \(last)"))
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
