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
    #expect(result.status == 66 && result.errors.contains("none: there is no such script"))
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

/// A terminal as large as the system allows is drawn up to a bound, and answers.
struct LargeTerminalTests {
  @Test func isDrawnUpToABound() throws {
    let folder = try TemporaryDirectory()
    let model = try #require(Fixtures.own("dit/timm"))
    var (master, slave): (Int32, Int32) = (-1, -1)
    var size = winsize(ws_row: 32_767, ws_col: 32_767, ws_xpixel: 0, ws_ypixel: 0)
    #expect(openpty(&master, &slave, nil, nil, &size) == 0)
    let process = Binary.start(
      ["ui", model, "--no-record", "--data-dir", folder.path], environment: ["TERM": "xterm-256color"])
    let terminal = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
    (process.standardInput, process.standardOutput, process.standardError) = (terminal, terminal, FileHandle.nullDevice)
    try process.run()
    defer { close(master) }
    // What it draws is read, as a terminal would; by the system's call, since the other end will be gone some day.
    let drawn = Drawn()
    let reader = Thread { [master] in
      var part = [UInt8](repeating: 0, count: 1 << 16)
      while case let count = read(master, &part, part.count), count > 0 { drawn.add(part.prefix(count)) }
    }
    reader.start()
    let deadline = Date().addingTimeInterval(90)
    while !drawn.contains("steps/s"), process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.1) }
    #expect(drawn.contains("steps/s"))
    let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
    let peak = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }.flatMap { Int($0.filter(\.isNumber)) })
    #expect(peak < 400_000, "kB at most")
    var key = UInt8(ascii: "q")
    #expect(write(master, &key, 1) == 1)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  /// `@unchecked Sendable`: guarded by its lock.
  private final class Drawn: @unchecked Sendable {
    private let lock = NSLock()
    private var bytes = Data()

    func add(_ part: ArraySlice<UInt8>) { lock.withLock { bytes.append(contentsOf: part) } }
    func contains(_ text: String) -> Bool { lock.withLock { bytes.range(of: Data(text.utf8)) != nil } }
  }
}
