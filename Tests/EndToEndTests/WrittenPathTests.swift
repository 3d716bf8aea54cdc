// What a command writes to is what it was before: links, modes, pipes, devices, the place in a log. A command that fails or is stopped
// leaves the old file and nothing else, and says what is wrong with a path in words.

import Formats
import Foundation
import Store
import Support
import Testing

struct WrittenPathTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func trace() throws -> String {
    let model = try #require(Fixtures.own("models/olmoe"))
    let path = folder.file("t.db")
    let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "-q"])
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  private func status(_ path: String) -> stat {
    var status = stat()
    #expect(lstat(path, &status) == 0)
    return status
  }

  private func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

  private var entries: Set<String> {
    get throws { try Set(FileManager.default.contentsOfDirectory(atPath: folder.path)) }
  }

  @Test(arguments: ["csv", "jsonl", "safetensors", "npz"]) func exportsKeepWhatThePathIs(_ format: String) throws {
    let trace = try trace()
    let export = ["export", trace, "--format", format, "-o"]
    #expect(try Binary.run(export + [folder.file("plain")]).status == 0)
    let whole = try bytes(folder.file("plain"))
    try folder.write("old".utf8, to: "target")
    chmod(folder.file("target"), 0o600)
    #expect(symlink("target", folder.file("link")) == 0)
    #expect(try Binary.run(export + [folder.file("link")]).status == 0)
    #expect(status(folder.file("link")).st_mode & S_IFMT == S_IFLNK && status(folder.file("target")).st_mode & 0o7777 == 0o600)
    #expect(try bytes(folder.file("target")) == whole)

    #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
    let reader = open(folder.file("pipe"), O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    #expect(try Binary.run(export + [folder.file("pipe")]).status == 0)
    var piped = [UInt8](repeating: 0, count: 1 << 17)
    let count = read(reader, &piped, piped.count)
    #expect(Array(piped.prefix(max(0, count))) == whole)
    #expect(status(folder.file("pipe")).st_mode & S_IFMT == S_IFIFO)

    #expect(try Binary.run(export + ["/dev/null"]).status == 0)
    let full = try Binary.run(export + ["/dev/full"])
    #expect(full.status == 74 && full.errors.contains("no space is left"))
    for device in ["/dev/null", "/dev/full"] { #expect(status(device).st_mode & S_IFMT == S_IFCHR) }
    #expect(try entries == ["t.db", "plain", "target", "link", "pipe"])
  }

  /// An answer that does not arrive is an error in words; one that is read slowly arrives, also through a pipe that does not wait.
  @Test func standardOutputIsWrittenOrItIsSaid() throws {
    let place = (Binary.path as NSString).deletingLastPathComponent
    func shell(_ line: String) throws -> CommandResult {
      try Binary.run(["-c", line], program: "/bin/sh", environment: ["PATH": "\(place):/bin"])
    }
    for (target, reason) in [("/dev/full", "no space is left on the device"), ("&-", "it is closed, or cannot be written to")] {
      let result = try shell("moetop docs exit >\(target)")
      #expect(result.status == 74 && result.errors == "error: standard output: cannot write: \(reason)\n", "\(result)")
    }
    let trace = try trace()
    #expect(try Binary.run(["export", trace, "-o", folder.file("whole")]).status == 0)
    #expect(try shell("moetop export \(trace) -o \(folder.file("alone")) <&- >&- 2>&-").status == 0)
    #expect(try bytes(folder.file("alone")) == bytes(folder.file("whole")))

    let many = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 30000) SELECT x, 'text' AS t FROM c"
    let question = ["sql", trace, many, "--format", "csv"]
    let whole = try Binary.run(question).output
    try #require(whole.utf8.count > 1 << 16, "more than a pipe holds")
    let process = Binary.start(question)
    let output = Pipe()
    let end = output.fileHandleForWriting.fileDescriptor
    #expect(fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) == 0)
    process.standardOutput = output
    try process.run()
    Thread.sleep(forTimeInterval: 0.3)
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && String(decoding: text, as: UTF8.self) == whole)
  }

  @Test func standardOutputByNameKeepsItsPlace() throws {
    let trace = try trace()
    let log = try folder.write("before\n".utf8, to: "log")
    let process = Binary.start(["export", trace, "--what", "load", "-o", "/dev/stdout"])
    let handle = try #require(FileHandle(forUpdatingAtPath: log))
    try handle.seekToEnd()
    process.standardOutput = handle
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(try String(contentsOfFile: log, encoding: .utf8).hasPrefix("before\nrun,layer,expert"))
  }

  @Test func picturesKeepWhatThePathIs() throws {
    let model = try #require(Fixtures.own("dit/flash"))
    let make = ["run", model, "--images", "1", "--steps", "1", "--no-trace", "-q", "-o"]
    for ending in ["png", "safetensors"] {
      let target = try folder.write("old".utf8, to: "target.\(ending)")
      chmod(target, 0o600)
      #expect(symlink(target, folder.file("link.\(ending)")) == 0)
      let result = try Binary.run(make + [folder.file("link.\(ending)")])
      #expect(result.status == 0, "\(result.errors)")
      #expect(status(folder.file("link.\(ending)")).st_mode & S_IFMT == S_IFLNK && status(target).st_mode & 0o7777 == 0o600)
      #expect(try bytes(target).count > 100)
    }
    // Known before the images are made.
    let nowhere = try Binary.run(make + [folder.file("none/x.png"), "--trace", folder.file("images.db")])
    #expect(nowhere.status == 73 && nowhere.errors.contains("its folder does not exist"))
  }

  @Test func dumpsKeepWhatThePathIs() throws {
    let trace = try trace()
    let script = try folder.write("key j\n".utf8, to: "script")
    try folder.write("old".utf8, to: "screen.txt")
    #expect(symlink("screen.txt", folder.file("link.txt")) == 0)
    let result = try Binary.run(["ui", trace, "--script", script, "--dump", folder.file("link.txt")])
    #expect(result.status == 0, "\(result.errors)")
    #expect(status(folder.file("link.txt")).st_mode & S_IFMT == S_IFLNK)
    #expect(try bytes(folder.file("screen.txt")).count > 100)
    let nowhere = try Binary.run(["ui", trace, "--script", script, "--dump", folder.file("none/x.txt")])
    #expect(nowhere.status == 73 && nowhere.errors.contains("its folder does not exist"))
  }

  @Test func pathsThatCannotBeWritten() throws {
    let trace = try trace()
    #expect(symlink("circle", folder.file("circle")) == 0)
    let cases: [(String, String)] = [
      (folder.file("none/x"), "its folder does not exist"), (folder.path, "it is a folder"), (folder.file("circle"), "in a circle"),
      (folder.file(String(repeating: "n", count: 300)), "longer than the file system allows"), (trace + "/x", "not a folder"),
    ]
    for (path, words) in cases {
      for format in ["csv", "safetensors", "npz"] {
        let result = try Binary.run(["export", trace, "--format", format, "-o", path])
        #expect(result.status == 73 && result.errors.contains(words) && !result.errors.contains("NSError"), "\(result.errors)")
      }
    }
    #expect(try entries == ["t.db", "circle"])
  }

  /// Of a damaged trace nothing is exported: the old file stays, and only it.
  @Test func aFailedExportLeavesTheOldFile() throws {
    let trace = try trace()
    try SQLite.run("UPDATE page SET weights = zeroblob(length(weights)) WHERE id = (SELECT max(id) FROM page)", on: trace)
    for format in ["csv", "safetensors", "npz"] {
      try folder.write("old".utf8, to: "out")
      let result = try Binary.run(["export", trace, "--format", format, "-o", folder.file("out")])
      #expect(result.status == 65 && result.errors.contains("checksum"), "\(result.errors)")
      #expect(try String(contentsOfFile: folder.file("out"), encoding: .utf8) == "old")
      #expect(try entries == ["t.db", "out"])
    }
  }

  /// A run whose trace is deleted goes on in a copy and fails loudly; an export of it that is stopped leaves nothing.
  @Test func whatIsStoppedOrRemovedOnTheWay() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let tokens = try LongTrace.tokens(700, in: folder)
    let trace = folder.file("t.db")
    let run = Binary.start(["run", model, "--tokens", tokens, "--trace", trace, "--json"])
    let output = Pipe()
    let errors = Pipe()
    run.standardOutput = output
    run.standardError = errors
    try run.run()
    #expect(LongTrace.wait(seconds: 300) { (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 > 0 })
    for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: trace + suffix) }
    let answer = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    run.waitUntilExit()
    let rescued = trace + ".rescued.db"
    #expect(run.terminationStatus == 74 && words.contains("removed or replaced") && words.contains("\(rescued)#1"), "\(words)")
    #expect(answer.contains("\"trace\":\"\(rescued)\""))
    let check = try Binary.run(["runs", "check", rescued])
    #expect(check.status == 0 && check.output.contains("42,000 tokens  completed"), "\(check.output)\(check.errors)")

    for (number, signal) in [(1, SIGTERM), (2, SIGINT), (3, SIGHUP)] {
      try folder.write("old".utf8, to: "out")
      let export = Binary.start(["export", rescued, "--format", number == 2 ? "safetensors" : "csv", "-o", folder.file("out")])
      export.standardError = FileHandle.nullDevice
      try Binary.startUnmasked(export)
      #expect(LongTrace.wait { (try? entries.contains { $0.hasSuffix(".partial") }) == true })
      kill(export.processIdentifier, signal)
      export.waitUntilExit()
      #expect(export.terminationReason == .uncaughtSignal && export.terminationStatus == signal)
      #expect(try String(contentsOfFile: folder.file("out"), encoding: .utf8) == "old")
      #expect(try !entries.contains { $0.hasSuffix(".partial") })
    }
  }

  /// What a stopped run says is what it recorded: as many tokens, and the loss of these.
  @Test func aStoppedRunAgreesWithItsTrace() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let trace = folder.file("stopped.db")
    let run = Binary.start(["run", model, "--tokens", try LongTrace.tokens(20_000, in: folder), "--trace", trace, "--json"])
    let output = Pipe()
    run.standardOutput = output
    run.standardError = FileHandle.nullDevice
    try Binary.startUnmasked(run)
    #expect(LongTrace.wait(seconds: 300) { (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 > 0 })
    kill(run.processIdentifier, SIGINT)
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    run.waitUntilExit()
    let answer = try JSON.parse(text: text, name: "run")
    let reader = try TraceReader(file: trace)
    let stored = try reader.run(.latest)
    #expect(stored.state == .stopped && stored.tokenCount > 0 && stored.tokenCount < 1_200_000)
    #expect(answer["prefill"]?["tokens"]?.int64 == Int64(stored.tokenCount))
    var (scored, nats) = (0, 0.0)
    try reader.passes(of: stored).forEach { pass in
      for surprisal in pass.tokens.surprisal where !surprisal.isNaN { (scored, nats) = (scored + 1, nats + Double(surprisal)) }
    }
    #expect(answer["scored_tokens"]?.int64 == Int64(scored))
    #expect(abs((answer["loss"]?.double ?? 0) - nats / Double(scored)) < 1e-9)
  }

  /// A name is a path, whatever SQLite would make of it.
  @Test(arguments: ["file:zz.db", ":memory:", "file:zz.db?mode=memory"]) func aTraceIsAPath(_ name: String) throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let here = FileManager.default.currentDirectoryPath
    let process = Binary.start(["run", model, "--tokens", model + "/input.json", "--trace", name, "-q"])
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && here == FileManager.default.currentDirectoryPath)
    #expect(try entries == [name])
    #expect(try Binary.run(["runs", "check", folder.file(name)]).output.hasSuffix("integrity ok\n"))
  }
}
