// Signals from outside: whichever comes, the program does what is written about it, leaves no debugger waiting for an answer, and the terminal
// is as it was.

import Foundation
import Store
import Support
import Testing

@Suite(.serialized, .enabled(if: TmuxSession.isAvailable))
struct ScreenSignalTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  /// The process of the program that draws on the session's terminal.
  private func process() throws -> Int32 { try #require(try Processes.ofScreens(naming: folder.path)) }

  private func session() throws -> TmuxSession {
    let session = try TmuxSession(
      columns: 120, rows: 40,
      command:
        "stty -a >\(folder.file("before")); \(Binary.path) ui \(Fixtures.root)/samples/olmoe-tiny --no-record --data-dir \(folder.path); echo left with $?; stty -a >\(folder.file("after")); echo done",
      environment: ["LANG": "C.UTF-8", "TERM": "xterm-256color"])
    #expect(try session.wait { $0.contains("tok/s") })
    return session
  }

  private func text(_ name: String) throws -> String { try String(contentsOfFile: folder.file(name), encoding: .utf8) }

  @Test(arguments: [SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF])
  func endsWithTheTerminalAsItWas(_ signal: Int32) throws {
    let session = try session()
    let process = try process()
    kill(process, signal)
    #expect(try session.wait(seconds: 20) { $0.contains("left with \(128 + signal)") && $0.contains("done") })
    #expect(kill(process, 0) != 0, "nothing of it is left")
    #expect(try text("before") == text("after"))
    let screen = try session.screen()
    #expect(!screen.contains("│") && !screen.localizedCaseInsensitiveContains("backtrace"))
  }

  @Test(arguments: [SIGPIPE, SIGXFSZ, SIGCHLD, SIGURG, SIGWINCH])
  func goesOn(_ signal: Int32) throws {
    let session = try session()
    kill(try process(), signal)
    Thread.sleep(forTimeInterval: 0.5)
    #expect(try session.screen().contains("tok/s"))
    try session.send("q")
    #expect(try session.wait { $0.contains("left with 0") })
  }
}

struct RunSignalTests {
  /// A run that would take long, in a process of its own.
  private func start(_ folder: TemporaryDirectory, through shell: String? = nil) throws -> (process: Process, trace: String) {
    let model = try #require(Fixtures.own("models/olmoe"))
    let ids = "[" + (0..<60).map { String($0 * 7 % 60 + 3) }.joined(separator: ",") + "]"
    let tokens = try folder.write(
      Array("{\"sequences\": [\(Array(repeating: ids, count: 20_000).joined(separator: ","))]}".utf8), to: "long.json")
    let trace = folder.file("run.db")
    let arguments = ["run", model, "--tokens", tokens, "--trace", trace, "--quiet"]
    let process =
      shell.map { Binary.start(["-c", "\($0); exec \(Binary.path) \"$@\"", "sh"] + arguments, program: "/bin/sh") }
      ?? Binary.start(arguments)
    try process.run()
    let deadline = Date().addingTimeInterval(60)
    while (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 == 0, Date() < deadline { Thread.sleep(forTimeInterval: 0.05) }
    return (process, trace)
  }

  /// As a shell starts it in the background of a script, too: with ^\ ignored.
  @Test(arguments: [nil, "trap '' QUIT"]) func quitKeepsWhatWasCommitted(_ shell: String?) throws {
    let folder = try TemporaryDirectory()
    let (process, trace) = try start(folder, through: shell)
    kill(process.processIdentifier, SIGQUIT)
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGQUIT)
    let reader = try TraceReader(file: trace)
    let run = try reader.run(.latest)
    #expect(run.state == .interrupted && run.tokenCount > 0)
    #expect(try reader.checkIntegrity() == [])
  }

  @Test func hangUpIsIgnoredUnderNohup() throws {
    let folder = try TemporaryDirectory()
    let (process, trace) = try start(folder, through: "trap '' HUP")
    kill(process.processIdentifier, SIGHUP)
    Thread.sleep(forTimeInterval: 0.5)
    #expect(process.isRunning)
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 143)
    #expect(try TraceReader(file: trace).run(.latest).state == .stopped)
  }
}
