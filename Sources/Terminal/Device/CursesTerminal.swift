// The real terminal, through ncurses: modes, keys, terminfo and cells. Opening and closing are here, in an order that
// leaves the terminal whole whatever fails; frames are in CursesTerminal+Output, events in CursesTerminal+Input.

import CNcurses

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the user asked for; every default asks the terminal.
public struct TerminalOptions: Hashable, Sendable {
  /// `--color` and its configuration.
  public var color: ColorChoice?
  public var configuredColor: ColorChoice?
  /// `--theme light` or `dark`.
  public var appearance: Appearance?
  /// `--ascii`.
  public var forcesASCII = false
  /// Off for `--no-mouse`, so that the terminal's own selection works.
  public var mouse = true
  /// Whether an entry of terminfo with colours of 24 bits is looked for.
  public var directColor = DirectColorChoice.auto
  /// Whether the terminal is asked if it shows pictures by kitty's protocol.
  public var asksForPictures = false
  public var environment: [String: String]

  public init(environment: [String: String] = TerminalOptions.currentEnvironment()) { self.environment = environment }

  /// The variables this room reads, as they are now.
  public static func currentEnvironment() -> [String: String] {
    let names = [
      "TERM", "COLORTERM", "NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLORFGBG", "SSH_TTY", "SSH_CONNECTION", "WAYLAND_DISPLAY",
      "DISPLAY",
    ]
    var found: [String: String] = [:]
    for name in names {
      if let value = getenv(name) { found[name] = String(cString: value) }
    }
    return found
  }
}

/// The terminal on standard input and output. One at a time; not Sendable, so it stays where it was made.
public final class CursesTerminal: TerminalDevice {
  public private(set) var traits: TerminalTraits
  public internal(set) var size: Size
  public let waker: Waker

  let input: Int32
  let output: Int32
  /// The descriptor ncurses writes to; turned to `scratch` while a frame is drawn.
  let cursesOutput: Int32
  let scratch: Int32
  let window: UnsafeMutablePointer<WINDOW>
  let colors: Int32

  /// What the terminal shows, as far as we know.
  var shown: CellBuffer
  var shownCursor: Point?
  /// Of the frame at hand.
  var looks: [Style: (attr_t, Int32)] = [:]
  var pairs: PairPool
  /// Pictures that the terminal shows, as far as we know.
  var shownPictures: [PlacedPicture] = []
  var mustClear = true
  var queue: [InputEvent] = []
  var mouse = MouseDecoder()
  var mouseIsOn: Bool
  var isGone = false
  private let screen: OpaquePointer
  private var isOpen = true
  private let termination: [UInt8]

  /// Modes of ours that ncurses does not know, in the order of leaving them.
  static let ownModesOff = "\u{1B}[?2026l\u{1B}[?1006l\u{1B}[?1003l\u{1B}[?1002l\u{1B}[?1000l\u{1B}[?2004l"
  static let pasteOn = "\u{1B}[?2004h"
  static let mouseOn = "\u{1B}[?1000h\u{1B}[?1002h\u{1B}[?1006h"
  static let mouseOff = "\u{1B}[?1006l\u{1B}[?1002l\u{1B}[?1000l"

  /// Enters the full screen. The handlers that restore it are in place before the first mode is changed.
  /// - Throws: `TerminalError` with the terminal as it was.
  public init(_ options: TerminalOptions = TerminalOptions()) throws {
    let term = options.environment["TERM"] ?? ""
    guard isatty(1) == 1 else { throw TerminalError.notATerminal(stream: "standard output") }
    guard isatty(0) == 1 else { throw TerminalError.notATerminal(stream: "standard input") }
    guard !term.isEmpty, term != "dumb", term != "unknown" else { throw TerminalError.unsuitable(term: term) }
    guard !ExitGuard.isArmed else { throw TerminalError.alreadyOpen }
    input = 0
    output = 1

    let codeset = String(cString: moetop_codeset())
    try ExitGuard.start(tty: output)
    // Before terminfo is read, the sequences of every terminal that has an alternate screen.
    ExitGuard.arm(tty: output, bytes: Array((CursesTerminal.ownModesOff + "\u{1B}[?25h\u{1B}[0m").utf8))
    let entry = DirectColorPlan(
      choice: options.directColor, color: options.color ?? options.configuredColor, environment: options.environment,
      colors: TerminfoEntry.colors)
    guard let opened = CursesTerminal.open([entry.term, term], output: output, input: input) else {
      ExitGuard.disarm()
      ExitGuard.finish()
      throw TerminalError.unknown(term: term)
    }
    (screen, cursesOutput) = (opened.screen, opened.descriptor)
    guard let window = moetop_stdscr(), moetop_capability("cup") != nil else {
      endwin()
      ExitGuard.disarm()
      ExitGuard.finish()
      throw TerminalError.unsuitable(term: term)
    }
    self.window = window
    termination = CursesTerminal.termination()
    ExitGuard.arm(tty: output, bytes: termination)
    CursesTerminal.enterModes(window)
    scratch = moetop_scratch()

    let replies =
      TerminalProbe.isWorthAsking(term: term)
      ? CursesTerminal.ask(TerminalProbe.question(pictures: options.asksForPictures), input: input, output: output) : nil
    colors = start_color() == OK && use_default_colors() == OK ? moetop_colors() : 0
    pairs = PairPool(count: colors > 0 ? Int(moetop_pairs()) : 0)
    let plan = ColorPlan(
      option: options.color, configuration: options.configuredColor, environment: options.environment,
      terminfoColors: Int(colors), isTerminal: true)
    traits = TerminalTraits(
      color: plan, appearance: AppearancePlan(option: options.appearance, reply: replies?.background, environment: options.environment),
      glyphs: GlyphSet(codeset: codeset, forceASCII: options.forcesASCII), term: opened.term,
      isSynchronized: replies?.isSynchronized ?? false, showsPictures: replies?.showsPictures ?? false)
    waker = ExitGuard.waker()
    mouseIsOn = options.mouse
    size = Size(width: Int(moetop_columns()), height: Int(moetop_lines())).drawn
    shown = CellBuffer(size: size)
    queue = (replies?.typed ?? []).compactMap { KeyEvent(typed: Unicode.Scalar($0)).map(InputEvent.key) }
    try enterOwnModes()
  }

  deinit { close() }

  public func close() {
    guard isOpen else { return }
    isOpen = false
    if ExitGuard.isArmed {
      try? place([])
      try? send(CursesTerminal.ownModesOff)
      endwin()
    }
    ExitGuard.disarm()
    ExitGuard.finish()
    delscreen(screen)
    if scratch >= 0 { SystemCall.close(scratch) }
  }

  public func setMouse(_ on: Bool) throws {
    mouseIsOn = on
    try send(on ? CursesTerminal.mouseOn : CursesTerminal.mouseOff)
  }

  public func suspend() throws {
    try place([])
    try send(CursesTerminal.ownModesOff)
    endwin()
    ExitGuard.disarm()
    ExitGuard.stop()
    try enterAgain()
    try answerCalls(justResumed: true)
  }

  /// After a stop, whoever caused it: the shell may have changed modes and size.
  func enterAgain() throws {
    ExitGuard.remember(tty: output)
    def_shell_mode()
    ExitGuard.arm(tty: output, bytes: termination)
    reset_prog_mode()
    _ = updateSize()
    try enterOwnModes()
    invalidate()
    if queue.last != .resumed { queue.append(.resumed) }
  }

  public func invalidate() { mustClear = true }

  private func enterOwnModes() throws {
    try send(CursesTerminal.pasteOn + (mouseIsOn ? CursesTerminal.mouseOn : ""))
  }

  // MARK: Opening

  /// Opens the terminal by the first entry that it can be opened by.
  private static func open(
    _ names: [String], output: Int32, input: Int32
  ) -> (screen: OpaquePointer, descriptor: Int32, term: String)? {
    for name in names {
      var descriptor: Int32 = -1
      let most = Size.largestScreen
      if let screen = moetop_newterm(name, output, input, Int32(most.height), Int32(most.width), &descriptor) {
        return (screen, descriptor, name)
      }
    }
    return nil
  }

  /// Raw mode, so that ^C, ^Z and ^S arrive as keys; no editing optimisations, which trust widths too much.
  private static func enterModes(_ window: UnsafeMutablePointer<WINDOW>) {
    raw()
    noecho()
    nonl()
    keypad(window, true)
    wtimeout(window, 0)
    intrflush(window, false)
    typeahead(-1)
    idlok(window, false)
    idcok(window, false)
    leaveok(window, false)
    scrollok(window, false)
    set_escdelay(25)
    defineKeys()
    // Enters the alternate screen now, so that whatever a terminal makes of our questions is not left on the main one.
    wrefresh(window)
  }

  /// What must be written to leave everything: our modes, colours, alternate screen, keypad, then the cursor on.
  private static func termination() -> [UInt8] {
    var text = ownModesOff
    for name in ["sgr0", "rmcup", "rmkx", "cnorm"] {
      guard let value = moetop_capability(name) else { continue }
      text += withoutPadding(String(cString: value))
    }
    if !text.contains("\u{1B}[?25h") { text += "\u{1B}[?25h" }
    return Array((text + "\r").utf8)
  }

  /// A capability without its delays, `$<5>`.
  static func withoutPadding(_ capability: String) -> String {
    var text = ""
    var rest = capability[...]
    while let character = rest.first {
      if character == "$", rest.dropFirst().first == "<", let end = rest.firstIndex(of: ">") {
        rest = rest[rest.index(after: end)...]
      } else {
        text.append(character)
        rest = rest.dropFirst()
      }
    }
    return text
  }

  private static func ask(_ text: String, input: Int32, output: Int32) -> TerminalProbe.Replies? {
    let question = Array(text.utf8)
    guard write(output, question, question.count) == question.count else { return nil }
    let end = ContinuousClock.now + TerminalProbe.limit
    var bytes: [UInt8] = []
    var replies = TerminalProbe.Replies([])
    while !replies.isComplete, bytes.count < 4096 {
      let left = max(.zero, end - .now)
      var wanted = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
      guard SystemCall.poll(&wanted, 1, milliseconds(left)) > 0 else { break }
      var part = [UInt8](repeating: 0, count: 256)
      let count = read(input, &part, part.count)
      guard count > 0 else { break }
      bytes += part.prefix(count)
      replies = TerminalProbe.Replies(bytes)
    }
    return replies
  }

  static func milliseconds(_ duration: Duration) -> Int32 {
    let parts = duration.components
    let whole = parts.seconds.multipliedReportingOverflow(by: 1000)
    guard !whole.overflow else { return Int32.max }
    return Int32(clamping: whole.partialValue + (parts.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
