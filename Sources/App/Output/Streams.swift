// Standard output and standard error, as bytes. Data goes to the first, words to the second; a closed pipe ends quietly.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

enum StandardError {
  static func write(_ text: String) { writeAll(text, to: STDERR_FILENO) }
  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}

enum StandardOutput {
  static func write(_ text: String) { writeAll(text, to: STDOUT_FILENO) }
  static func write(_ bytes: [UInt8]) { bytes.withUnsafeBufferPointer { writeAll($0, to: STDOUT_FILENO) } }
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
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

/// Writes everything; a reader that went away (`| head`) is not an error.
private func writeAll(_ bytes: UnsafeBufferPointer<UInt8>, to descriptor: Int32) {
  var done = 0
  while done < bytes.count {
    let written = write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
    if written < 0 {
      if errno == EINTR { continue }
      if errno == EPIPE { exit(0) }
      // Where nobody hears the words, their reason is still told by the exit code.
      if descriptor == STDERR_FILENO { return }
      exit(ExitStatus.inputOutput.rawValue)
    }
    done += written
  }
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
