// Another program shortens a model's file while it is read: the run says so, with the exit code of a read error, and keeps what it
// decided before; a session says so on its screen and gives the terminal back as ever.

import Foundation
import Store
import Support
import Testing

@Suite(.serialized)
struct ShortenedModelTests {
  private let folder: TemporaryDirectory

  /// A copy of a fixture that may be cut.
  init() throws {
    folder = try TemporaryDirectory()
    let model = try #require(Fixtures.own("models/olmoe"))
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: "\(model)/\(name)", toPath: folder.file(name))
    }
  }

  /// Leaves the first bytes of the header.
  private func cut() { #expect(truncate(folder.file("model.safetensors"), 100) == 0) }

  private func wait(until condition: () -> Bool) -> Bool {
    let deadline = Date().addingTimeInterval(120)
    while Date() < deadline {
      if condition() { return true }
      Thread.sleep(forTimeInterval: 0.05)
    }
    return false
  }

  @Test func aRunSaysSoAndKeepsItsTrace() throws {
    let ids = "[" + (0..<60).map { String($0 * 7 % 60 + 3) }.joined(separator: ",") + "]"
    let tokens = try folder.write(
      Array("{\"sequences\": [\(Array(repeating: ids, count: 20_000).joined(separator: ","))]}".utf8), to: "long.json")
    let trace = folder.file("t.db")
    let process = Binary.start(["run", folder.path, "--tokens", tokens, "--trace", trace])
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    #expect(wait { (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 > 0 })
    cut()
    let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 74)
    #expect(words.contains("error: \(folder.file("model.safetensors")): was changed while it was read"))
    #expect(words.split(separator: "\n").count <= 4, "no backtrace: \(words)")

    let reader = try TraceReader(file: trace)
    let run = try reader.run(.latest)
    var reason = ""
    if case .failed(let words) = run.state { reason = words }
    #expect(reason.contains("was changed while it was read"))
    #expect(run.tokenCount > 0 && run.tokenCount < 1_200_000)
    #expect(try reader.checkIntegrity() == [])
    #expect(run.failedChecks.isEmpty)
    var read = 0
    try reader.passes(of: run).forEach { read += $0.tokens.count }
    #expect(read == run.tokenCount)
  }

  /// As long as before, but another model half way: no run, and no hash of either.
  @Test func aModelWrittenIntoIsNoModel() throws {
    let path = folder.file("model.safetensors")
    let ids = "[" + (0..<60).map { String($0 * 7 % 60 + 3) }.joined(separator: ",") + "]"
    let tokens = try folder.write(
      Array("{\"sequences\": [\(Array(repeating: ids, count: 2_000).joined(separator: ","))]}".utf8), to: "long.json")
    let trace = folder.file("t.db")
    let process = Binary.start(["run", folder.path, "--tokens", tokens, "--trace", trace, "-q"])
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    #expect(wait { (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 > 0 })
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try handle.seek(toOffset: try handle.seekToEnd() - 64)
    try handle.write(contentsOf: Data(count: 64))
    try handle.close()
    process.waitUntilExit()
    #expect(process.terminationStatus == 74)
    let run = try TraceReader(file: trace).run(.latest)
    var reason = ""
    if case .failed(let words) = run.state { reason = words }
    #expect(reason.contains("was changed while it was read"), "\(run.state)")
  }

  @Test func aModelShortenedBeforeIsDamaged() throws {
    cut()
    let result = try Binary.run(["inspect", folder.path])
    #expect(result.status == 65)
    #expect(result.errors.contains("model.safetensors"))
  }

  @Test(.enabled(if: TmuxSession.isAvailable))
  func aSessionSaysSoAndLeavesAsEver() throws {
    // A model with a corpus beside it streams by itself.
    let model = folder.file("olmoe-tiny")
    for name in ["corpus.jsonl", "olmoe-tiny"] {
      try FileManager.default.copyItem(atPath: "\(Fixtures.root)/samples/\(name)", toPath: folder.file(name))
    }
    let session = try TmuxSession(
      columns: 120, rows: 40,
      command: "\(Binary.path) ui \(model) --no-record --data-dir \(folder.path); echo left with $?",
      environment: ["LANG": "C.UTF-8", "TERM": "xterm-256color"])
    #expect(try session.wait { $0.contains("tok/s") })
    #expect(truncate(model + "/model.safetensors", 100) == 0)
    #expect(try session.wait { $0.contains("was changed while it was read") })
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
  }
}
