// What can go wrong with a terminal, and the words for it.

public enum TerminalError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A stream that must be a terminal is something else.
  case notATerminal(stream: String)
  /// `TERM` names a terminal that cannot place a cursor.
  case unsuitable(term: String)
  /// ncurses does not know the terminal.
  case unknown(term: String)
  /// Another terminal is open in this process; ncurses has one.
  case alreadyOpen
  /// A call of the system failed.
  case system(call: String, code: Int32)
  /// The terminal is gone while writing.
  case gone

  public var description: String {
    switch self {
    case .notATerminal(let stream): "the screen needs a terminal, but \(stream) is not one"
    case .unsuitable(let term): "the screen needs a terminal that can place a cursor; TERM is \"\(term)\""
    case .unknown(let term): "no terminfo entry for TERM=\"\(term)\"; try TERM=xterm-256color or install ncurses-term"
    case .alreadyOpen: "a terminal is already open in this process"
    case .system(let call, let code): "\(call) failed with error \(code)"
    case .gone: "the terminal is gone"
    }
  }
}
