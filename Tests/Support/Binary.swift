// The real program, run as a user runs it: for tests of whole commands.

import Foundation

/// What a finished command left behind.
public struct CommandResult: Sendable {
  /// The exit code; of a command that a signal ended 128 and its number, as a shell says it, and `errors` ends with words about it.
  public var status: Int32
  public var output: String
  public var errors: String
}

public enum Binary {
  /// The program that MOETOP_TEST_BINARY names (the release build, say), else the built `moetop`.
  public static let path = ProcessInfo.processInfo.environment["MOETOP_TEST_BINARY"] ?? built("moetop")

  /// Whether that is an optimised build, which does in a minute what the other one does in half an hour.
  public static let isOptimised =
    URL(fileURLWithPath: path).resolvingSymlinksInPath().deletingLastPathComponent().lastPathComponent == "release"

  /// A program of the package, beside the test bundle.
  public static func built(_ name: String) -> String {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
    for _ in 0..<5 {
      let candidate = folder.appendingPathComponent(name).path
      if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
      folder.deleteLastPathComponent()
    }
    return Fixtures.root + "/.build/debug/" + name
  }

  /// Runs to the end. The environment is empty but for what is given, so that no setting of the machine leaks in.
  public static func run(
    _ arguments: [String], program: String = path, environment: [String: String] = [:]
  ) throws -> CommandResult {
    let process = start(arguments, program: program, environment: environment)
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    // Both pipes are drained at once, so that neither can fill up and block the command.
    let collected = Collector(errors.fileHandleForReading)
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let isEnded = process.terminationReason == .uncaughtSignal
    return CommandResult(
      status: process.terminationStatus + (isEnded ? 128 : 0), output: String(decoding: text, as: UTF8.self),
      errors: collected.text() + (isEnded ? "ended by signal \(process.terminationStatus)\n" : ""))
  }

  /// Starts a process that signals reach: threads of the tests keep most of them off, and a child inherits that.
  public static func startUnmasked(_ process: Process) throws {
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
  }

  /// A process ready to be started.
  public static func start(_ arguments: [String], program: String = path, environment: [String: String] = [:]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.environment = ["LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": NSTemporaryDirectory()].merging(environment) { $1 }
    return process
  }
}

/// Reads a pipe to its end on another thread.
private final class Collector: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private var data = Data()  // written before the signal, read after it

  init(_ handle: FileHandle) {
    DispatchQueue.global().async {
      self.data = handle.readDataToEndOfFile()
      self.done.signal()
    }
  }

  func text() -> String {
    done.wait()
    return String(decoding: data, as: UTF8.self)
  }
}
