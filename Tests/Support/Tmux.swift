// A real terminal for tests: the program in tmux, typed into and looked at.

import Foundation

/// One tmux server with one window, killed when it goes out of use.
public final class TmuxSession {
  private let socket = "moetop-test-\(UUID().uuidString.prefix(8))"

  /// Whether tmux is here at all.
  public static var isAvailable: Bool { FileManager.default.isExecutableFile(atPath: "/usr/bin/tmux") }

  /// - Parameter command: run by `sh -c` in a window of that size.
  public init(columns: Int, rows: Int, command: String, environment: [String: String] = [:]) throws {
    let settings = environment.map { "\($0.key)='\($0.value)'" }.joined(separator: " ")
    try tmux(["-f", "/dev/null", "new-session", "-d", "-x", "\(columns)", "-y", "\(rows)", "env \(settings) sh -c '\(command)'; sleep 600"])
  }

  deinit { _ = try? tmux(["kill-server"]) }

  public func send(_ keys: String...) throws { try tmux(["send-keys"] + keys) }
  public func resize(columns: Int, rows: Int) throws { try tmux(["resize-window", "-x", "\(columns)", "-y", "\(rows)"]) }

  /// What is on the screen, without colours; with escape sequences when `styled`.
  public func screen(styled: Bool = false) throws -> String { try tmux(["capture-pane", "-p"] + (styled ? ["-e"] : [])) }

  /// Looks until `condition` holds for the screen; false when it does not within `seconds`.
  public func wait(seconds: Double = 60, until condition: (String) -> Bool) throws -> Bool {
    let deadline = Date().addingTimeInterval(seconds)
    while Date() < deadline {
      if condition(try screen()) { return true }
      Thread.sleep(forTimeInterval: 0.1)
    }
    return false
  }

  @discardableResult
  private func tmux(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/tmux")
    process.arguments = ["-L", socket] + arguments
    process.environment = ["LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "HOME": NSTemporaryDirectory()]
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: text, as: UTF8.self)
  }
}
