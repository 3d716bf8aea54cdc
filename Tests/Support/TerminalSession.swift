// A program on a terminal of its own, without any other program's help: a pseudoterminal that is its controlling one, a grid that its output
// is drawn on, keys and clicks as a terminal sends them, sizes and signals.

import Foundation

public final class TerminalSession {
  /// What the program has drawn so far.
  public private(set) var screen: VirtualScreen
  /// Every byte that came, as far as `keepsBytes`.
  public private(set) var bytes: [UInt8] = []
  public var keepsBytes = true
  public let process: pid_t
  /// The other end of the program's terminal; -1 once it is closed.
  public private(set) var master: Int32
  private var ended: Ending?

  /// How a process ended.
  public enum Ending: Equatable, Sendable {
    case exited(Int32)
    case killed(Int32)

    /// The number that a shell would say.
    public var status: Int32 {
      switch self {
      case .exited(let status): status
      case .killed(let signal): 128 + signal
      }
    }
  }

  /// - Parameters:
  ///   - arguments: of `program`; it leads a session whose terminal is this one.
  ///   - folder: where it runs.
  public init(
    _ arguments: [String], program: String = Binary.path, columns: Int = 120, rows: Int = 40, term: String = "xterm-256color",
    environment: [String: String] = [:], folder: String? = nil
  ) throws {
    var slave: Int32 = -1
    var end: Int32 = -1
    var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    var name = [CChar](repeating: 0, count: 128)
    guard openpty(&end, &slave, &name, nil, &size) == 0 else { throw CocoaError(.fileReadUnknown) }
    defer { close(slave) }
    _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    _ = fcntl(slave, F_SETFD, FD_CLOEXEC)
    master = end
    screen = VirtualScreen(columns: columns, rows: rows)

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // The first terminal that the leader of a session opens is its controlling one.
    posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    for descriptor in 3..<Int32(256) { posix_spawn_file_actions_addclose(&actions, descriptor) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Whatever whoever runs the tests ignores or keeps off, the program has as a shell would start it.
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | Self.newSession))
    let settings = ["LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": NSTemporaryDirectory(), "TERM": term]
    // Who is started in a folder goes there by itself: not every system can be asked to.
    let words = (folder.map { ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", $0] } ?? []) + [program] + arguments
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var values: [UnsafeMutablePointer<CChar>?] = settings.merging(environment) { $1 }.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in argv + values { free(word) } }
    var child = pid_t()
    let code = posix_spawn(&child, words[0], &actions, &attributes, &argv, &values)
    guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
    process = child
  }

  deinit {
    if ended == nil {
      // Its group too: a shell and what it started.
      kill(-process, SIGKILL)
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
    if master >= 0 { close(master) }
  }

  private static var newSession: Int32 {
    #if canImport(Darwin)
      POSIX_SPAWN_SETSID
    #else
      0x80
    #endif
  }

  // MARK: - What the user does

  public func send(_ text: String) { send(Array(text.utf8)) }

  public func send(_ keys: [UInt8]) {
    var rest = keys[...]
    let deadline = Date().addingTimeInterval(30)
    while !rest.isEmpty, master >= 0, Date() < deadline {
      // The terminal's buffer may be full, and the program may wait for what it wrote to be read.
      var wanted = pollfd(fd: master, events: Int16(POLLIN | POLLOUT), revents: 0)
      guard poll(&wanted, 1, 1000) > 0 else { continue }
      if wanted.revents & Int16(POLLIN) != 0 { read(waiting: 0) }
      guard wanted.revents & Int16(POLLOUT) != 0 else { continue }
      let piece = Array(rest.prefix(512))
      let count = write(master, piece, piece.count)
      if count <= 0 { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Presses the left button at a place and lets it go, as mode 1006 tells it.
  public func click(x: Int, y: Int) { send("\u{1B}[<0;\(x + 1);\(y + 1)M\u{1B}[<0;\(x + 1);\(y + 1)m") }

  public func resize(columns: Int, rows: Int) {
    var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    // What was drawn for the old size is drawn on it.
    read(waiting: 0)
    screen.resize(columns: columns, rows: rows)
    _ = ioctl(master, UInt(TIOCSWINSZ), &size)
  }

  public func signal(_ number: Int32) { kill(process, number) }

  /// The window goes away.
  public func hangUp() {
    close(master)
    master = -1
  }

  // MARK: - What is seen

  /// Takes over what comes within some milliseconds.
  public func read(waiting: Int32) {
    var part = [UInt8](repeating: 0, count: 1 << 16)
    var patience = waiting
    while master >= 0 {
      var wanted = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
      guard poll(&wanted, 1, patience) > 0, wanted.revents & Int16(POLLIN) != 0 else { return }
      guard case let count = Foundation.read(master, &part, part.count), count > 0 else { return }
      if keepsBytes { bytes += part.prefix(count) }
      screen.take(part.prefix(count))
      patience = 0
      let answers = screen.answers
      screen.answers = []
      if !answers.isEmpty { _ = write(master, answers, answers.count) }
    }
  }

  /// Reads until a condition holds; false when it does not within `seconds`, or the program ends before.
  public func wait(seconds: Double = 60, until condition: (VirtualScreen) -> Bool) -> Bool {
    let deadline = Date().addingTimeInterval(seconds)
    while Date() < deadline {
      read(waiting: 20)
      if condition(screen) { return true }
      if hasEnded {
        read(waiting: 100)
        return condition(screen)
      }
    }
    return false
  }

  /// Reads until nothing has come for some milliseconds.
  public func settle(milliseconds: Int32 = 150, seconds: Double = 20) {
    let deadline = Date().addingTimeInterval(seconds)
    var wanted = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
    while Date() < deadline, poll(&wanted, 1, milliseconds) > 0, wanted.revents & Int16(POLLIN) != 0 { read(waiting: 0) }
  }

  public var hasEnded: Bool {
    if ended != nil { return true }
    var status: Int32 = 0
    guard waitpid(process, &status, WNOHANG) == process else { return false }
    ended = status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .killed(status & 0x7F)
    return true
  }

  /// Reads until the program is gone; nil when it is still there after so long.
  public func end(seconds: Double = 60) -> Ending? {
    let deadline = Date().addingTimeInterval(seconds)
    while !hasEnded, Date() < deadline { master >= 0 ? read(waiting: 20) : Thread.sleep(forTimeInterval: 0.02) }
    read(waiting: 50)
    return ended
  }

  /// The line discipline of the terminal, as `stty` would say it: flags and control characters.
  public var modes: [UInt32] {
    var found = termios()
    guard tcgetattr(master, &found) == 0 else { return [] }
    let flags = [found.c_iflag, found.c_oflag, found.c_cflag, found.c_lflag].map { UInt32(truncatingIfNeeded: $0) }
    return flags + withUnsafeBytes(of: &found.c_cc) { $0.map { UInt32($0) } }
  }
}
