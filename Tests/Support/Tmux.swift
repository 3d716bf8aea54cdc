// A real terminal for tests: the program in tmux, typed into and looked at.

import Foundation

/// One tmux server with one window, killed when it goes out of use.
public final class TmuxSession {
  private let socket = "moetop-test-\(UUID().uuidString.prefix(8))"
  /// Nobody's: what sessions leave behind for the next is not there, and goes with this one.
  public var home: String { NSTemporaryDirectory() + socket + ".home" }

  /// Whether tmux is here at all.
  public static var isAvailable: Bool { FileManager.default.isExecutableFile(atPath: "/usr/bin/tmux") }

  /// - Parameter command: run by `sh -c` in a window of that size.
  public init(columns: Int, rows: Int, command: String, environment: [String: String] = [:]) throws {
    let settings = environment.map { "\($0.key)='\($0.value)'" }.joined(separator: " ")
    try tmux(["-f", "/dev/null", "new-session", "-d", "-x", "\(columns)", "-y", "\(rows)", "env \(settings) sh -c '\(command)'; sleep 120"])
  }

  /// A server asked to end waits for its window, and a shell with a stopped job may stay: it is killed then.
  deinit {
    let server = (try? tmux(["display-message", "-p", "#{pid}"])).flatMap { Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    _ = try? tmux(["kill-server"])
    if let server { kill(server, SIGKILL) }
    try? FileManager.default.removeItem(atPath: home)
  }

  /// Keys by their names; after `-l`, text as it is.
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
    let output = NSTemporaryDirectory() + socket + ".out"
    defer { try? FileManager.default.removeItem(atPath: output) }
    // Not `Process`: it learns of a child's end from a socket that the tmux server would inherit and keep open.
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    // The server outlives this call: a pipe that it inherited from a test beside this one would stay open as long as it lives.
    for descriptor in 3..<Int32(512) { posix_spawn_file_actions_addclose(&actions, descriptor) }
    // A signal ignored by whoever runs the tests would stay ignored in the program: ^Z among them.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    let words = ["/usr/bin/tmux", "-u", "-L", socket] + arguments
    let settings = ["LANG=C.UTF-8", "PATH=/usr/bin:/bin", "TERM=xterm-256color", "HOME=" + home]
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = settings.map { strdup($0) } + [nil]
    defer { for word in argv + environment { free(word) } }
    var child = pid_t()
    guard posix_spawn(&child, "/usr/bin/tmux", &actions, &attributes, &argv, &environment) == 0 else { throw CocoaError(.fileReadUnknown) }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
  }
}
