// The real program in a real terminal: it streams, survives resizing, and gives the terminal back however it ends.

import Foundation
import Store
import Support
import Testing

@Suite(.serialized, .enabled(if: TmuxSession.isAvailable, "there is no /usr/bin/tmux"))
struct TerminalTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func start(
    _ model: String = "samples/olmoe-tiny", columns: Int = 120, rows: Int = 40, recording: String = "--no-record", before: String = "true",
    after: String = "true"
  ) throws -> TmuxSession {
    try TmuxSession(
      columns: columns, rows: rows,
      command:
        "\(before); \(Binary.path) ui \(Fixtures.root)/\(model) \(recording) --data-dir \(folder.path); echo left with $?; \(after)",
      environment: ["LANG": "C.UTF-8", "TERM": "xterm-256color"])
  }

  /// The rows of the heat map with their colours: what changes while tokens stream.
  private func heatMap(_ session: TmuxSession) throws -> [Substring] {
    try session.screen(styled: true).split(separator: "\n").filter { $0.contains("L00") || $0.contains("L03") || $0.contains("L05") }
  }

  @Test func streamsAndRestoresTheTerminal() throws {
    let session = try start(before: "stty -a >\(folder.file("before"))", after: "stty -a >\(folder.file("after"))")
    #expect(try session.wait { $0.contains("Load") && $0.contains("Next token") && $0.contains("tok/s") })
    let early = try heatMap(session)
    #expect(!early.isEmpty)
    var changed = false
    for _ in 0..<100 where !changed {
      Thread.sleep(forTimeInterval: 0.1)
      changed = try heatMap(session) != early
    }
    #expect(changed, "the heat map changes as tokens stream")
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
    Thread.sleep(forTimeInterval: 0.3)
    let before = try String(contentsOfFile: folder.file("before"), encoding: .utf8)
    #expect(try before == String(contentsOfFile: folder.file("after"), encoding: .utf8))
  }

  @Test func survivesAResizeStorm() throws {
    let session = try start()
    #expect(try session.wait { $0.contains("tok/s") })
    for step in 0..<30 { try session.resize(columns: 20 + step * 7 % 180, rows: 5 + step * 5 % 60) }
    try session.resize(columns: 40, rows: 10)
    #expect(try session.wait { $0.contains("60x16") && $0.contains("40x10") }, "says the size it needs and the one it has")
    try session.resize(columns: 80, rows: 24)
    #expect(try session.wait { $0.contains("Load") && $0.contains("? help") })
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
  }

  /// Job control needs an interactive shell: `sh -c` leaves the program in the session leader's own group, which is orphaned, and the
  /// kernel stops no process of such a group.
  @Test func stopsAndComesBack() throws {
    let session = try TmuxSession(
      columns: 120, rows: 40, command: "bash --norc --noprofile -i", environment: ["LANG": "C.UTF-8", "TERM": "xterm-256color"])
    func enter(_ line: String) throws { try session.send("-l", line + "\n") }
    try enter("stty -a >\(folder.file("before")); echo ready$((1))")
    #expect(try session.wait { $0.contains("ready1") })
    try enter("\(Binary.path) ui \(Fixtures.root)/samples/olmoe-tiny --no-record --data-dir \(folder.path); echo left with $?")
    #expect(try session.wait { $0.contains("Next token") && $0.contains("tok/s") })
    try session.send("C-z")
    #expect(try session.wait(seconds: 10) { $0.contains("Stopped") && !$0.contains("Next token") })
    try enter("stty -a >\(folder.file("stopped")); echo usable$((1))")
    #expect(try session.wait(seconds: 10) { $0.contains("usable1") })
    let before = try String(contentsOfFile: folder.file("before"), encoding: .utf8)
    #expect(try before == String(contentsOfFile: folder.file("stopped"), encoding: .utf8))
    try enter("fg")
    #expect(try session.wait(seconds: 10) { $0.contains("Next token") && $0.contains("q quit") }, "draws everything again")
    let resumed = try heatMap(session)
    #expect(try session.wait(seconds: 10) { _ in (try? heatMap(session)) != resumed }, "the stream goes on")
    try session.send("q")
    #expect(try session.wait(seconds: 10) { $0.contains("usable1") && !$0.contains("Next token") })
    try enter("stty -a >\(folder.file("after")); echo back$((1))")
    #expect(try session.wait(seconds: 10) { $0.contains("back1") })
    #expect(try before == String(contentsOfFile: folder.file("after"), encoding: .utf8))
  }

  /// Where nobody could continue it, ^Z must not leave it half out of the screen.
  @Test func withoutJobControlItGoesOn() throws {
    let session = try start()
    #expect(try session.wait { $0.contains("tok/s") })
    try session.send("C-z")
    Thread.sleep(forTimeInterval: 0.5)
    let early = try heatMap(session)
    #expect(try session.wait(seconds: 10) { $0.contains("Next token") && (try? heatMap(session)) != early })
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
  }

  @Test(arguments: [(SIGTERM, 143), (SIGHUP, 129)])
  func leavesCleanlyWhenKilled(_ signal: Int32, _ status: Int) throws {
    let session = try start(before: "echo shell")
    #expect(try session.wait { $0.contains("tok/s") })
    // As many frames as there can be, so that the signal meets one.
    for _ in 0..<12 { try session.send(".") }
    try kill(signal)
    #expect(try session.wait { $0.contains("left with \(status)") && $0.contains("shell") })
    #expect(try !session.screen().contains("│"), "no part of a frame is left")
    #expect(try session.screen().contains("stopped by a signal; nothing was recorded"))
  }

  private func kill(_ signal: Int32) throws {
    Foundation.kill(try #require(try Processes.ofScreens(naming: folder.path)), signal)
  }

  /// A model that makes images: its picture comes out of the noise, classes are chosen, and what was recorded is replayed.
  @Test func makesImages() throws {
    let trace = folder.file("images.db")
    let session = try start("Tests/Fixtures/dit/timm", recording: "--trace \(trace) --steps 6")
    #expect(try session.wait { $0.contains("▀▀▀▀") && $0.contains("predicted image") && $0.contains("steps/s") })
    try session.send("c")
    try session.send("-l", "3")
    try session.send("Enter")
    #expect(try session.wait { $0.contains("class 3") })
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
    let run = try #require(try TraceReader(file: trace).runs().first)
    #expect(run.description.denoising?.stepCount == 6 && run.state == .completed && run.tokenCount > 0)
    let script = folder.file("script")
    try Data("key g\ndump \(folder.file("live.txt"))\nkey 4\ndump \(folder.file("axes.txt"))\n".utf8).write(
      to: URL(fileURLWithPath: script))
    let replay = try Binary.run(["ui", trace, "--script", script])
    #expect(replay.status == 0, "\(replay.errors)")
    #expect(try String(contentsOfFile: folder.file("live.txt"), encoding: .utf8).contains("step 0 of 0-5"))
    #expect(try String(contentsOfFile: folder.file("axes.txt"), encoding: .utf8).contains("Expert × step"))
    let wrong = try Binary.run(["ui", Fixtures.root + "/samples/olmoe-tiny", "--steps", "3", "--script", script])
    #expect(wrong.status == 64 && wrong.errors.contains("make images"))
  }

  /// A session is kept from its first token, says how it ended, and knows what it read.
  @Test func keepsWhatItShowed() throws {
    let trace = folder.file("live.db")
    for signal in [nil, SIGTERM] {
      let session = try start(recording: "--trace \(trace)")
      #expect(try session.wait { $0.contains("rec") && $0.contains("tok/s") })
      if let signal { try kill(signal) } else { try session.send("q") }
      #expect(try session.wait { $0.contains("left with \(signal == nil ? 0 : 143)") })
      if signal != nil { #expect(try session.screen().contains("stopped by a signal; \(trace)#2 is whole up to here")) }
    }
    let runs = try TraceReader(file: trace).runs()
    #expect(runs.map(\.state) == [.completed, .stopped])
    for run in runs {
      #expect(run.tokenCount > 0 && run.sequenceCount > 0)
      // A slow build may end before it has read the weights through, and says so.
      #expect([0, 64].contains(run.description.model.filesHash.count) && run.description.input.hash.count == 64)
      #expect(run.description.routers.count == 6)
    }
  }

  @Test func needsATerminal() throws {
    let piped = try Binary.run(["ui", Fixtures.root + "/samples/olmoe-tiny", "--no-record"])
    #expect(piped.status == 64)
    #expect(piped.output.isEmpty)
    #expect(piped.errors.contains("terminal"))
    let dumb = try TmuxSession(
      columns: 80, rows: 24, command: "TERM=dumb \(Binary.path) ui \(Fixtures.root)/samples/olmoe-tiny --no-record; echo left with $?")
    #expect(try dumb.wait { $0.contains("left with 64") })
  }
}
