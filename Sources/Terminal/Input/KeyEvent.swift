// Keys as values with names, so that a key map, a help page and a session script speak of the same thing.

/// One key press.
public enum KeyEvent: Hashable, Sendable {
  case char(Character)
  /// Control with a lower-case letter or one of `@[\]^_`.
  case ctrl(Character)
  case up, down, left, right
  case shiftUp, shiftDown, shiftLeft, shiftRight
  case pageUp, pageDown, home, end
  case insert, delete, backspace
  case enter, tab, backTab, escape
  case function(Int)
}

extension KeyEvent: CustomStringConvertible {
  /// The name as in key maps and scripts: `q`, `G`, `space`, `ctrl-d`, `shift-left`, `pgup`, `f1`.
  public var name: String {
    switch self {
    case .char(" "): "space"
    case .char(let character): String(character)
    case .ctrl(let character): "ctrl-\(character)"
    case .function(let number): "f\(number)"
    default: KeyEvent.named.first { $0.key == self }?.name ?? ""
    }
  }

  public var description: String { name }

  /// Reads a name; also `^d`, `escape`, `return`, `pageup`, `shift-tab` and the like.
  public init?(_ name: String) {
    if name.count == 1, let character = name.first {
      guard character == " " || !character.isWhitespace else { return nil }
      self = .char(character)
      return
    }
    let lower = name.lowercased()
    if let key = KeyEvent.named.first(where: { $0.name == lower })?.key ?? KeyEvent.aliases[lower] {
      self = key
    } else if let letter = KeyEvent.controlLetter(lower) {
      self = .ctrl(letter)
    } else if lower.hasPrefix("f"), let number = Int(lower.dropFirst()), (1...20).contains(number) {
      self = .function(number)
    } else {
      return nil
    }
  }

  /// A short sign for key bars and help.
  public func label(_ glyphs: GlyphSet) -> String {
    let sign = glyphs == .utf8 ? KeyEvent.signs[self] : nil
    if let sign { return sign }
    switch self {
    case .ctrl(let character): return "^\(character)"
    case .backTab: return glyphs == .utf8 ? "⇧tab" : "S-tab"
    case .shiftUp, .shiftDown, .shiftLeft, .shiftRight: return "S-" + name.dropFirst(6)
    default: return name
    }
  }

  private static let named: [(name: String, key: KeyEvent)] = [
    ("space", .char(" ")), ("up", .up), ("down", .down), ("left", .left), ("right", .right),
    ("shift-up", .shiftUp), ("shift-down", .shiftDown), ("shift-left", .shiftLeft), ("shift-right", .shiftRight),
    ("pgup", .pageUp), ("pgdn", .pageDown), ("home", .home), ("end", .end), ("insert", .insert), ("delete", .delete),
    ("backspace", .backspace), ("enter", .enter), ("tab", .tab), ("backtab", .backTab), ("esc", .escape),
  ]

  private static let aliases: [String: KeyEvent] = [
    "escape": .escape, "return": .enter, "pageup": .pageUp, "pagedown": .pageDown, "pgdown": .pageDown, "shift-tab": .backTab,
    "s-tab": .backTab, "del": .delete, "ins": .insert, "bs": .backspace, "plus": .char("+"), "comma": .char(","),
  ]

  private static let signs: [KeyEvent: String] = [
    .up: "↑", .down: "↓", .left: "←", .right: "→", .shiftUp: "⇧↑", .shiftDown: "⇧↓", .shiftLeft: "⇧←", .shiftRight: "⇧→", .enter: "⏎",
  ]

  private static func controlLetter(_ lower: String) -> Character? {
    for prefix in ["ctrl-", "c-", "^"] where lower.hasPrefix(prefix) {
      let rest = lower.dropFirst(prefix.count)
      if rest.count == 1, let letter = rest.first, letter.isASCII, letter.isLetter || "@[\\]^_".contains(letter) { return letter }
    }
    return nil
  }

  /// The key of one typed scalar in raw mode.
  public init?(typed scalar: Unicode.Scalar) {
    switch scalar.value {
    case 0: self = .ctrl("@")
    case 8, 127: self = .backspace
    case 9: self = .tab
    case 10, 13: self = .enter
    case 27: self = .escape
    case 1..<27: self = .ctrl(Character(Unicode.Scalar(UInt8(scalar.value) + 0x60)))
    case 28..<32: self = .ctrl(Character(Unicode.Scalar(UInt8(scalar.value) + 0x40)))
    case 0x80..<0xA0: return nil
    default: self = .char(Character(scalar))
    }
  }
}
