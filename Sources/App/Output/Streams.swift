// Standard output and standard error, as bytes. Data goes to the first, words to the second; a closed pipe ends quietly. The one door to a
// terminal: text of files, labels, tokens and queries cannot make it do anything (`Printable.running`). Words are made printable wherever
// they go, since logs are read on terminals later; data is left alone in files and pipes.

import Formats
import Terminal

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

enum StandardStreams {
  /// Takes the places of streams that whoever started us has closed, so that no file of ours is opened there and has words written into it.
  /// The streams stay as useless as they were.
  static func hold() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}

enum StandardError {
  /// Words for people; line feeds and tabs are theirs.
  static func write(_ text: String) { writeAll(Printable.running(text, lines: true), to: STDERR_FILENO) }

  /// Signs that a terminal is meant to obey, as the progress line needs them. Nothing that came from outside.
  static func draw(_ signs: String) { writeAll(signs, to: STDERR_FILENO) }

  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}

enum StandardOutput {
  /// Data, and texts that a model wrote: as they are, but made printable where they would reach a terminal.
  static func write(_ text: String) { writeAll(isTerminal ? Printable.running(text, lines: true) : text, to: STDOUT_FILENO) }

  /// Data in pieces that end at whole characters.
  static func write(_ bytes: [UInt8]) {
    if isTerminal { return write(String(decoding: bytes, as: UTF8.self)) }
    bytes.withUnsafeBufferPointer { writeAll($0, to: STDOUT_FILENO) }
  }

  /// An answer in the form that was asked for: data, or words for people.
  static func answer(json: Bool, data: @autoclosure () throws -> String, words: @autoclosure () throws -> String) rethrows {
    if json { write(try data()) } else { say(try words()) }
  }

  /// Words for people: tables, Markdown, notes, summaries.
  static func say(_ text: String) { writeAll(Printable.running(text, lines: true), to: STDOUT_FILENO) }

  static let isTerminal = isatty(STDOUT_FILENO) == 1
}

/// Ends the process.
func leave(_ status: ExitStatus) -> Never { exit(status.rawValue) }

/// Seconds since 1970.
func wallClock() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Processor time of the calling thread so far.
func threadTime() -> Duration {
  var now = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
  return .seconds(Int64(now.tv_sec)) + .nanoseconds(Int64(now.tv_nsec))
}

/// Seconds on a clock that never jumps.
func steadyClock() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

private func writeAll(_ text: String, to descriptor: Int32) {
  var text = text
  text.withUTF8 { writeAll($0, to: descriptor) }
}

/// Writes everything. A reader that went away (`| head`) is not an error, a terminal that went away is a hang-up; whatever else keeps an
/// answer from its reader is said on standard error.
private func writeAll(_ bytes: UnsafeBufferPointer<UInt8>, to descriptor: Int32) {
  var done = 0
  while done < bytes.count {
    let written = write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
    if written >= 0 {
      done += written
      continue
    }
    let code = errno
    if code == EINTR { continue }
    if code == EAGAIN {
      // Whoever started us shares a stream that does not wait: it is waited for here.
      var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      poll(&room, 1, -1)
      continue
    }
    // Words that nobody can read any more do not change how the command ends.
    if descriptor == STDERR_FILENO { return }
    if code == EPIPE { exit(0) }
    if code == EIO, isCharacterDevice(descriptor) { exit(ExitStatus.hangUp.rawValue) }
    let reason = code == EBADF ? "it is closed, or cannot be written to" : systemMessage(code)
    StandardError.write("error: standard output: cannot write: \(reason)\n")
    leave(.inputOutput)
  }
}

private func isCharacterDevice(_ descriptor: Int32) -> Bool {
  var status = stat()
  return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR
}

/// The kinds of `errno` that have an exit code of their own.
enum SystemError {
  case missing, noPermission, other

  init(_ code: Int32) {
    switch code {
    case ENOENT, ENOTDIR: self = .missing
    case EACCES, EPERM, EROFS: self = .noPermission
    default: self = .other
    }
  }
}

enum StandardInput {
  static var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }
}
