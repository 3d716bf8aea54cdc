// Gives the terminal back however the program ends; the handlers and their state are in CExitGuard, whose functions only this file
// names.

import CExitGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What signals do to the whole program, screen or not.
public enum ProcessSignals {
  /// To be called before anything else: a crash ends the program by its signal, without the runtime's debugger, which would wait for an
  /// answer (`SWIFT_BACKTRACE` set: as it says), and a write to a closed pipe or beyond the limit on file sizes is an error of that write.
  public static func prepare() { moetop_guard_prepare() }
}

enum ExitGuard {
  /// Installs the handlers and remembers the modes, before anything is changed.
  static func start(tty: Int32) throws {
    guard moetop_guard_open_pipe() == 1 else { throw TerminalError.system(call: "pipe", code: errno) }
    guard moetop_guard_remember(tty) == 1 else { throw TerminalError.notATerminal(stream: "standard output") }
    moetop_guard_start()
  }

  /// From here on every end writes `bytes` and puts the modes back.
  static func arm(tty: Int32, bytes: [UInt8]) {
    bytes.withUnsafeBytes { raw in
      moetop_guard_arm(tty, raw.baseAddress?.assumingMemoryBound(to: CChar.self), raw.count)
    }
  }

  static func disarm() { moetop_guard_disarm() }
  static func finish() { moetop_guard_finish() }

  /// Puts the terminal back now, if that is still due.
  static func restore() { moetop_guard_restore() }

  /// Takes the modes as they are now for those to put back.
  static func remember(tty: Int32) { _ = moetop_guard_remember(tty) }

  /// Runs `write` unless the terminal was given back; a signal that asks for the end meanwhile gives it back afterwards.
  static func guarding(_ write: () throws -> Void) rethrows {
    guard moetop_guard_begin_write() == 1 else { return }
    defer { moetop_guard_end_write() }
    try write()
  }

  static var isArmed: Bool { moetop_guard_is_armed() == 1 }

  /// The signal that asked for the end, and thanks: the program will end by itself now.
  static var pendingSignal: Int32? {
    let signal = moetop_guard_pending()
    return signal == 0 ? nil : signal
  }

  static var wakeDescriptor: Int32 { moetop_guard_wake_read() }
  static func stop() { moetop_guard_stop() }

  static func waker() -> Waker { Waker(descriptor: moetop_guard_wake_write()) }
}

/// Calls a waiting device from any thread.
public struct Waker: Sendable {
  let descriptor: Int32

  /// A waker that nobody listens to.
  public static let silent = Waker(descriptor: -1)

  /// Makes the device's `poll` return `.wake`. Never blocks; calls before the next `poll` count as one.
  public func wake() {
    guard descriptor >= 0 else { return }
    var byte = UInt8(ascii: "A")
    _ = write(descriptor, &byte, 1)
  }
}
