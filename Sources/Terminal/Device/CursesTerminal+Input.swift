// Events: keys as ncurses decodes them; mouse reports, pastes and late replies through key codes of our own; signals and
// other threads through one pipe. A terminal that is gone is an event, and is reported without spinning.

import CNcurses

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Key codes above those of ncurses, for sequences that it does not know or does not know everywhere.
private enum OwnCode {
  static let pasteStart: Int32 = 3000
  static let pasteEnd: Int32 = 3001
  static let mouse: Int32 = 3002
  static let stringReply: Int32 = 3003
  static let modeReply: Int32 = 3004
  static let ignored: Int32 = 3005
}

extension CursesTerminal {
  /// Longest paste taken over, in scalars; the rest is dropped.
  static let pasteLimit = 1 << 20

  public func poll(timeout: Duration?) throws -> InputEvent? {
    let end = timeout.map { ContinuousClock.now + $0 }
    while true {
      if !queue.isEmpty { return queue.removeFirst() }
      if isGone {
        // Reported again and again to a caller that does not stop, but slowly.
        usleep(100_000)
        return .eof
      }
      if let event = try readEvent() { return event }
      if !queue.isEmpty { continue }
      let left = end.map { max(.zero, $0 - .now) }
      try waitForInput(left)
      if queue.isEmpty, !isGone, let end, .now >= end, Int(moetop_readable(input)) <= 0 { return nil }
    }
  }

  /// Waits until something can be read, a signal or another thread calls, or time is up.
  private func waitForInput(_ timeout: Duration?) throws {
    var wanted = [
      pollfd(fd: input, events: Int16(POLLIN), revents: 0), pollfd(fd: ExitGuard.wakeDescriptor, events: Int16(POLLIN), revents: 0),
    ]
    let count = SystemCall.poll(&wanted, 2, timeout.map(Self.milliseconds) ?? -1)
    guard count > 0 else { return }
    if wanted[1].revents != 0 { try answerCalls() }
    let seen = Int32(wanted[0].revents)
    if seen & (POLLERR | POLLHUP | POLLNVAL) != 0 || (seen & POLLIN != 0 && Int(moetop_readable(input)) <= 0) {
      // A handler that gave the terminal back also put its line mode back, which looks the same from here.
      if let signal = ExitGuard.pendingSignal { queue.append(.terminated(signal)) } else { isGone = true }
    }
  }

  /// What signal handlers and other threads noted since the last time.
  func answerCalls(justResumed: Bool = false) throws {
    var bytes = [UInt8](repeating: 0, count: 256)
    var calls: Set<UInt8> = []
    while true {
      let count = read(ExitGuard.wakeDescriptor, &bytes, bytes.count)
      guard count > 0 else { break }
      calls.formUnion(bytes.prefix(count))
    }
    if calls.contains(UInt8(ascii: "T")), let signal = ExitGuard.pendingSignal {
      queue.append(.terminated(signal))
      return
    }
    if justResumed {
      calls.subtract([UInt8(ascii: "Z"), UInt8(ascii: "C")])
    }
    if calls.contains(UInt8(ascii: "Z")) {
      try suspend()
    } else if calls.contains(UInt8(ascii: "C")) {
      try enterAgain()
    } else if calls.contains(UInt8(ascii: "W")), updateSize() {
      queue.append(.resize(size))
    }
    if calls.contains(UInt8(ascii: "A")) { queue.append(.wake) }
  }

  /// Reads the size and tells ncurses; true when it changed.
  func updateSize() -> Bool {
    var rows: Int32 = 0
    var columns: Int32 = 0
    guard moetop_size(output, &rows, &columns) == 1 else { return false }
    let now = Size(width: Int(columns), height: Int(rows)).drawn
    guard now != size else { return false }
    resizeterm(Int32(now.height), Int32(now.width))
    size = now
    invalidate()
    return true
  }

  // MARK: Keys

  /// Names sequences that terminfo entries leave out although terminals send them.
  static func defineKeys() {
    let own: [(String, Int32)] = [
      ("\u{1B}[200~", OwnCode.pasteStart), ("\u{1B}[201~", OwnCode.pasteEnd), ("\u{1B}[<", OwnCode.mouse),
      ("\u{1B}]", OwnCode.stringReply), ("\u{1B}[?", OwnCode.modeReply), ("\u{1B}[I", OwnCode.ignored), ("\u{1B}[O", OwnCode.ignored),
    ]
    for (sequence, code) in own { define_key(sequence, code) }
    let common: [(String, Int32)] = [
      ("\u{1B}[A", KEY_UP), ("\u{1B}[B", KEY_DOWN), ("\u{1B}[C", KEY_RIGHT), ("\u{1B}[D", KEY_LEFT),
      ("\u{1B}OA", KEY_UP), ("\u{1B}OB", KEY_DOWN), ("\u{1B}OC", KEY_RIGHT), ("\u{1B}OD", KEY_LEFT),
      ("\u{1B}[H", KEY_HOME), ("\u{1B}OH", KEY_HOME), ("\u{1B}[1~", KEY_HOME), ("\u{1B}[7~", KEY_HOME),
      ("\u{1B}[F", KEY_END), ("\u{1B}OF", KEY_END), ("\u{1B}[4~", KEY_END), ("\u{1B}[8~", KEY_END),
      ("\u{1B}[5~", KEY_PPAGE), ("\u{1B}[6~", KEY_NPAGE), ("\u{1B}[2~", KEY_IC), ("\u{1B}[3~", KEY_DC), ("\u{1B}[Z", KEY_BTAB),
      ("\u{1B}[1;2A", KEY_SR), ("\u{1B}[1;2B", KEY_SF), ("\u{1B}[1;2C", KEY_SRIGHT), ("\u{1B}[1;2D", KEY_SLEFT),
    ]
    for (sequence, code) in common where key_defined(sequence) == 0 { define_key(sequence, code) }
  }

  private func readEvent() throws -> InputEvent? {
    while true {
      // Who was asked to end has given the terminal back: what is typed now is the shell's.
      if ExitGuard.pendingSignal != nil { return nil }
      var value: wint_t = 0
      let result = wget_wch(window, &value)
      if result == ERR { return nil }
      if result != KEY_CODE_YES {
        if let event = Unicode.Scalar(UInt32(value)).flatMap(KeyEvent.init(typed:)).map(InputEvent.key) { return event }
        continue
      }
      if let event = event(code: Int32(bitPattern: UInt32(value))) { return event }
    }
  }

  private func event(code: Int32) -> InputEvent? {
    switch code {
    case OwnCode.pasteStart:
      return .paste(readPaste())
    case OwnCode.mouse:
      let report = readUntil { "Mm".unicodeScalars.contains($0) }
      return mouse.decode(report, now: .now).map(InputEvent.mouse)
    case OwnCode.stringReply:
      _ = readUntil { $0 == "\u{7}" || $0 == "\\" }
      return nil
    case OwnCode.modeReply:
      _ = readUntil { ("@"..."~").contains($0) }
      return nil
    default:
      return Self.key(code: code).map(InputEvent.key)
    }
  }

  private static func key(code: Int32) -> KeyEvent? {
    switch code {
    case KEY_UP: .up
    case KEY_DOWN: .down
    case KEY_LEFT: .left
    case KEY_RIGHT: .right
    case KEY_SR: .shiftUp
    case KEY_SF: .shiftDown
    case KEY_SLEFT: .shiftLeft
    case KEY_SRIGHT: .shiftRight
    case KEY_PPAGE: .pageUp
    case KEY_NPAGE: .pageDown
    case KEY_HOME: .home
    case KEY_END: .end
    case KEY_IC: .insert
    case KEY_DC: .delete
    case KEY_BACKSPACE: .backspace
    case KEY_ENTER: .enter
    case KEY_BTAB: .backTab
    case KEY_F0 + 1...KEY_F0 + 20: .function(Int(code - KEY_F0))
    default: nil
    }
  }

  /// The rest of a sequence up to and with its last scalar; what does not come within 50 ms is missing.
  private func readUntil(_ isLast: (Unicode.Scalar) -> Bool) -> String {
    wtimeout(window, 50)
    defer { wtimeout(window, 0) }
    var text = String.UnicodeScalarView()
    while text.count < 256 {
      var value: wint_t = 0
      guard wget_wch(window, &value) == OK, let scalar = Unicode.Scalar(UInt32(value)) else { break }
      text.append(scalar)
      if isLast(scalar) { break }
    }
    return String(text)
  }

  private func readPaste() -> String {
    wtimeout(window, 500)
    defer { wtimeout(window, 0) }
    var text = String.UnicodeScalarView()
    var count = 0
    while true {
      var value: wint_t = 0
      let result = wget_wch(window, &value)
      if result == ERR || (result == KEY_CODE_YES && Int32(bitPattern: UInt32(value)) == OwnCode.pasteEnd) { break }
      guard result == OK, count < Self.pasteLimit, let scalar = Unicode.Scalar(UInt32(value)) else { continue }
      text.append(scalar == "\r" ? "\n" : scalar)
      count += 1
    }
    return String(text)
  }
}
