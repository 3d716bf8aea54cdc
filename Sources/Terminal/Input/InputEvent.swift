// What a terminal can report, decoded. Where it came from (curses, a script, a test) is not visible here.

public struct MouseEvent: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case press, release, drag, doubleClick, wheelUp, wheelDown
  }

  public enum Button: Hashable, Sendable {
    case left, middle, right
  }

  public var kind: Kind
  public var button: Button
  public var at: Point

  public init(_ kind: Kind, button: Button = .left, at: Point) {
    self.kind = kind
    self.button = button
    self.at = at
  }
}

/// One thing that happened at the terminal.
public enum InputEvent: Hashable, Sendable {
  case key(KeyEvent)
  case mouse(MouseEvent)
  /// Text pasted as one piece; line ends are `\n`.
  case paste(String)
  case resize(Size)
  /// The program runs again after a stop; the screen was re-entered and must be drawn anew.
  case resumed
  /// Another thread asked for attention through a `Waker`.
  case wake
  /// A signal asked the program to end. The terminal is already restored; flush and exit with 128 + the number.
  case terminated(Int32)
  /// The terminal is gone. Flush and exit with 129.
  case eof
}
