// The program on terminals of its own: every screen is reached and left, on every kind of terminal, at every size, and whatever ends it
// leaves the terminal as it was. Needs no other program: a pseudoterminal is enough.

import Foundation
import Store
import Support
import Testing

@Suite(.serialized)
struct TerminalWaysTests {
  private let folder: TemporaryDirectory
  private static let sample = Fixtures.root + "/samples/olmoe-tiny"

  init() throws { folder = try TemporaryDirectory() }

  private func start(
    _ more: [String] = ["--no-record"], columns: Int = 120, rows: Int = 40, term: String = "xterm-256color",
    environment: [String: String] = [:]
  ) throws -> TerminalSession {
    try TerminalSession(
      ["ui", Self.sample, "--data-dir", folder.path] + more, columns: columns, rows: rows, term: term, environment: environment)
  }

  /// Tokens are drawn: what is below them in a narrow window is the last thing to come.
  private func isStreaming(_ screen: VirtualScreen) -> Bool {
    screen.plainText.contains("tok/s") || screen.width < 100 && screen.plainText.contains("× uniform")
  }

  /// What every end must leave behind: no mode of ours on, text drawn plainly, the line discipline as it was.
  private func expectGivenBack(_ session: TerminalSession, _ before: [UInt32], _ what: String) {
    #expect(session.screen.modes == VirtualScreen.modesAtFirst, "\(what): modes")
    #expect(session.screen.isPlain && !session.screen.hasKeypad, "\(what): look and keypad")
    #expect(session.modes == before && before.count > 4, "\(what): line discipline")
  }

  /// Signals that end it, by what is asked for, by accident and by crashes; it ends within seconds, by that number.
  @Test(arguments: [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGABRT, SIGBUS, SIGUSR1, SIGUSR2])
  func anySignalGivesTheTerminalBack(_ signal: Int32) throws {
    let session = try start()
    let before = session.modes
    #expect(session.wait(until: isStreaming))
    #expect(session.screen.modes.isSuperset(of: [1049, 1000, 1002, 1006, 2004]) && !session.screen.modes.contains(25))
    #expect(session.modes != before)
    session.signal(signal)
    #expect(session.end(seconds: 10)?.status == 128 + signal)
    expectGivenBack(session, before, "signal \(signal)")
  }

  @Test(arguments: ["q", "\u{3}", "\u{1B}[21~"]) func keysThatLeaveGiveTheTerminalBack(_ key: String) throws {
    let session = try start()
    let before = session.modes
    #expect(session.wait(until: isStreaming))
    session.send(key)
    #expect(session.end(seconds: 10) == .exited(0))
    expectGivenBack(session, before, "key \(key.debugDescription)")
  }

  /// ^Z under a shell with job control: modes are restored before the stop, entered again after it, and the whole screen is drawn.
  @Test func stopsWithTheTerminalAsItWasAndComesBack() throws {
    let script = """
      set -m
      \(Binary.path) ui \(Self.sample) --no-record --data-dir \(folder.path)
      echo stopped-$?
      read line
      fg
      echo left-$?
      """
    let session = try TerminalSession(["-c", script], program: "/bin/sh")
    let before = session.modes
    #expect(session.wait(until: isStreaming))
    session.send("\u{1A}")
    #expect(session.wait(seconds: 20) { $0.plainText.contains("stopped-1") })
    expectGivenBack(session, before, "stopped")
    session.resize(columns: 100, rows: 32)
    session.send("\n")
    #expect(
      session.wait(seconds: 20) { $0.plainText.contains("tok/s") && $0.lines[0].contains("1 Live") && $0.lines[31].contains("q quit") })
    #expect(session.screen.modes.isSuperset(of: [1049, 1000, 1002, 1006, 2004]) && !session.screen.modes.contains(25))
    session.send("q")
    #expect(session.wait(seconds: 20) { $0.plainText.contains("left-0") })
    #expect(session.end(seconds: 10) != nil)
    expectGivenBack(session, before, "left")
  }

  /// Stopped and continued from outside, by one who asks nobody.
  @Test func aStopFromOutsideIsDrawnOverWhenItEnds() throws {
    let session = try start()
    #expect(session.wait(until: isStreaming))
    session.signal(SIGSTOP)
    session.settle(seconds: 2)
    let drawn = session.bytes.count
    session.signal(SIGCONT)
    #expect(session.wait(seconds: 20) { _ in session.bytes.count > drawn + 2000 }, "everything is drawn again")
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  @Test func aClosedTerminalEndsTheSessionWithItsTraceWhole() throws {
    let trace = folder.file("live.db")
    let session = try start(["--trace", trace])
    #expect(session.wait { isStreaming($0) && $0.plainText.contains("rec") })
    // Some batches.
    #expect(session.wait { _ in (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 > 0 })
    let tokens = try TraceReader(file: trace).run(.latest).tokenCount
    session.hangUp()
    #expect(session.end(seconds: 10) == .exited(129))
    #expect(kill(session.process, 0) != 0, "no process is left")
    let reader = try TraceReader(file: trace)
    let run = try reader.run(.latest)
    #expect(run.state == .stopped && run.tokenCount >= tokens)
    #expect(try reader.checkIntegrity() == [])
  }

  // MARK: - Kinds of terminals

  private static func isInstalled(_ term: String) -> Bool {
    guard let first = term.first else { return false }
    return ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"].contains { folder in
      ["\(first)", String(first.asciiValue ?? 0, radix: 16)].contains {
        FileManager.default.fileExists(atPath: "\(folder)/\($0)/\(term)")
      }
    }
  }

  @Test(
    arguments: ["xterm", "xterm-256color", "xterm-direct", "screen", "screen-256color", "tmux-256color", "linux", "vt100", "rxvt-unicode"]
      .filter(isInstalled))
  func kindsOfTerminalsAreDrawnOnAndGivenBack(_ term: String) throws {
    let session = try start(columns: 100, rows: 30, term: term)
    let before = session.modes
    #expect(session.wait(until: isStreaming), "\(term): \(session.screen.plainText)")
    for key in ["2", "3", "4", "1"] {
      session.send(key)
      #expect(session.wait(seconds: 20) { $0.lines[0].contains("[\(key) ") }, "\(term): key \(key)")
    }
    session.send("\u{1B}[B\u{1B}OB\u{1B}")
    session.settle(seconds: 0.5)
    #expect(session.screen.overruns == 0 && session.screen.brokenBytes == 0, "\(term)")
    #expect(session.screen.widths.allSatisfy { $0 == 100 })
    #expect(session.screen.unknown.isEmpty, "\(term): \(session.screen.unknown)")
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0), "\(term)")
    expectGivenBack(session, before, term)
  }

  @Test(arguments: ["dumb", "unknown", "", "no-such-terminal"]) func otherTerminalsAreRefused(_ term: String) throws {
    let session = try start(term: term)
    let before = session.modes
    #expect(session.end(seconds: 20) == .exited(64))
    expectGivenBack(session, before, "TERM=\(term)")
    #expect(session.screen.plainText.contains("TERM") || session.screen.plainText.contains("terminal"), "\(session.screen.plainText)")
    #expect(!session.bytes.contains(0x1B), "nothing that such a terminal would not understand")
  }

  @Test func withoutTheMouseItsModesStayOff() throws {
    let session = try start(["--no-record", "--no-mouse"])
    #expect(session.wait(until: isStreaming))
    #expect(session.screen.modes.isDisjoint(with: [1000, 1002, 1003, 1006]))
    session.send(":mouse on\r")
    #expect(session.wait(seconds: 10) { $0.modes.isSuperset(of: [1000, 1002, 1006]) })
    session.send(":mouse off\r")
    #expect(session.wait(seconds: 10) { $0.modes.isDisjoint(with: [1000, 1002, 1003, 1006]) })
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  // MARK: - Screens

  /// Tabs by their keys and columns, as the first line says them.
  private func tabs(_ screen: VirtualScreen) -> [(key: String, name: String, x: Int)] {
    screen.lines[0].matches(of: /\[?(\d) ([A-Z][A-Za-z]+)\]?/).map { match in
      (String(match.1), String(match.2), screen.lines[0].distance(from: screen.lines[0].startIndex, to: match.range.lowerBound))
    }
  }

  @Test(arguments: [(200, 60), (120, 40), (80, 24)]) func everyScreenIsReachedByKeyAndByMouse(_ columns: Int, _ rows: Int) throws {
    let session = try start(columns: columns, rows: rows)
    #expect(session.wait(until: isStreaming))
    let all = tabs(session.screen)
    #expect(all.count >= 5, "\(session.screen.lines[0])")
    for isClicked in [false, true] {
      for tab in all + all.reversed() {
        if isClicked {
          let place = try #require(tabs(session.screen).first { $0.key == tab.key })
          session.click(x: place.x + 2, y: 0)
        } else {
          session.send(tab.key)
        }
        // Where titles are cut short, that of the screen shown is whole.
        let isThere = session.wait(seconds: 20) { $0.lines[0].contains("[\(tab.key) ") }
        #expect(isThere, "\(tab.name), \(isClicked ? "clicked" : "by key"): \(session.screen.lines[0])")
        session.settle(milliseconds: 40, seconds: 0.15)
        #expect(session.screen.overruns == 0)
      }
    }
    // Back along them, one step at a time, and never out.
    for _ in 0..<20 {
      session.send("\u{1B}")
      session.settle(milliseconds: 40, seconds: 0.1)
    }
    #expect(!session.hasEnded && session.screen.lines[0].contains("[1 Live]"))
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  @Test func aResizeStormLeavesAWholeScreen() throws {
    let session = try start()
    #expect(session.wait(until: isStreaming))
    for step in 0..<200 {
      session.resize(columns: 1 + step * 37 % 260, rows: 1 + step * 23 % 80)
      if step % 20 == 0 { session.send(["2", "3", "4", "1"][step / 20 % 4]) }
      if step % 7 == 0 { session.read(waiting: 5) }
    }
    session.resize(columns: 40, rows: 10)
    #expect(session.wait(seconds: 20) { $0.plainText.contains("60x16") && $0.plainText.contains("40x10") }, "both sizes are named")
    session.resize(columns: 140, rows: 45)
    session.send("1")
    #expect(session.wait(seconds: 20) { isStreaming($0) && $0.lines[44].contains("q quit") })
    session.send(" ")
    session.settle(milliseconds: 400)
    let drawn = session.screen.lines
    // What was drawn piece by piece is what is drawn at once.
    session.send("\u{C}")
    session.settle(milliseconds: 400)
    #expect(session.screen.lines == drawn)
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  // MARK: - Cost

  /// Seconds on processors, of all threads; nil where the system does not say.
  private func processorTime(_ session: TerminalSession) -> Double? {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(session.process)/task")) ?? []
    let times = threads.compactMap { thread in
      (try? String(contentsOfFile: "/proc/\(session.process)/task/\(thread)/schedstat", encoding: .utf8))?.split(separator: " ").first
        .flatMap { Double($0) }
    }
    return times.isEmpty ? nil : times.reduce(0, +) / 1e9
  }

  /// A session at rest draws nothing and takes next to nothing of a core.
  @Test func aRestCostsNothing() throws {
    let session = try start()
    #expect(session.wait(until: isStreaming))
    session.send(" ")
    #expect(session.wait(seconds: 20) { $0.plainText.contains("paused") })
    // Hashing the weights may take a while in a slow build.
    session.settle(milliseconds: 1000, seconds: 5)
    Thread.sleep(forTimeInterval: 2)
    let drawn = session.bytes.count
    guard let before = processorTime(session) else { return }
    Thread.sleep(forTimeInterval: 3)
    let spent = try #require(processorTime(session)) - before
    session.read(waiting: 50)
    #expect(session.bytes.count == drawn, "nothing is drawn")
    #expect(spent < 0.015, "\(spent) s of processor time in 3 s")
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  /// The first rows of a long run are on the screen while the others are read.
  @Test func aLongTraceIsShownBeforeItIsRead() throws {
    let trace = folder.file("long.db")
    let model = try #require(Fixtures.own("models/olmoe"))
    let run = try Binary.run(
      [
        "run", model, "--tokens", try LongTrace.tokens(Binary.isOptimised ? 4000 : 200, in: folder), "--trace", trace, "--quiet",
        "--no-loss",
      ])
    #expect(run.status == 0, "\(run.errors)")
    let session = try TerminalSession(["ui", trace, "--data-dir", folder.path])
    #expect(session.wait(seconds: 20) { $0.plainText.contains("uniform") })
    let isPartial = session.screen.lines[0].contains("loading")
    #expect(isPartial || !Binary.isOptimised, "\(session.screen.lines[0])")
    #expect(session.wait(seconds: 60) { !$0.lines[0].contains("loading") })
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }

  /// A model of very many tensors is looked through behind the first frame; what is wrong with it ends the session as it would have before.
  @Test func whatIsFoundLateEndsTheSession() throws {
    let entry = ":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":["
    var header = "{" + (0..<200_000).map { "\"t\($0)\"\(entry)\($0 * 4),\($0 * 4 + 4)]}" }.joined(separator: ",")
    header += ",\"last\"\(entry)800004,800008]}}"
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
    let file = try folder.write(length + Array(header.utf8) + [UInt8](repeating: 0, count: 800_008), to: "model.safetensors")
    try FileManager.default.copyItem(
      atPath: try #require(Fixtures.own("models/olmoe")) + "/config.json", toPath: folder.file("config.json"))
    let session = try TerminalSession(["ui", folder.path, "--no-record", "--data-dir", folder.path], columns: 120, rows: 40)
    let before = session.modes
    #expect(session.wait(seconds: 20) { $0.plainText.contains("opening") }, "\(session.screen.plainText)")
    #expect(session.end(seconds: 60) == .exited(65))
    expectGivenBack(session, before, "found late")
    #expect(session.screen.plainText.contains("\(file): tensor \"last\": leaves a gap before it"), "\(session.screen.plainText)")
  }

  // MARK: - What is typed

  /// 220,000 characters into a line, as a paste and as keys that came at once; both are taken in time, and the program goes on.
  @Test(arguments: [true, false]) func longTextsAreTakenInTime(_ isBracketed: Bool) throws {
    let session = try start()
    session.keepsBytes = false
    #expect(session.wait(until: isStreaming))
    session.send("/")
    #expect(session.wait(seconds: 10) { $0.modes.contains(25) })
    let text = String(repeating: "word ", count: 44_000)
    let began = Date()
    session.send((isBracketed ? "\u{1B}[200~" : "") + text + "end" + (isBracketed ? "\u{1B}[201~" : ""))
    #expect(session.wait(seconds: 30) { $0.lines[39].contains("word end") })
    #expect(Date().timeIntervalSince(began) < 15)
    session.send("\u{1B}")
    #expect(session.wait(seconds: 10) { !$0.modes.contains(25) })
    session.send("q")
    #expect(session.end(seconds: 10) == .exited(0))
  }
}
