// Where a copy goes. Over SSH a local clipboard tool would "succeed" on the far side, so the terminal is asked instead.
// Pure: the environment and the tools that exist are injected, and running a tool is the caller's work.

/// How to copy a text, decided from the environment.
public enum ClipboardPlan: Hashable, Sendable {
  /// Write these bytes to the terminal (OSC 52).
  case terminal(String)
  /// Run this command with the text on its standard input.
  case command([String])
  /// Nothing can be done; the reason, in words.
  case unavailable(String)

  /// Most bytes of text sent by OSC 52: terminals drop longer sequences without a word.
  public static let terminalLimit = 74_994

  /// - Parameter hasTool: whether a program of that name is on the search path.
  public init(text: String, environment: [String: String], isMac: Bool, hasTool: (String) -> Bool) {
    func isSet(_ name: String) -> Bool { !(environment[name] ?? "").isEmpty }
    if isSet("SSH_TTY") || isSet("SSH_CONNECTION") {
      self = ClipboardPlan.osc52(text)
    } else if isMac, hasTool("pbcopy") {
      self = .command(["pbcopy"])
    } else if isSet("WAYLAND_DISPLAY"), hasTool("wl-copy") {
      self = .command(["wl-copy"])
    } else if isSet("DISPLAY"), hasTool("xclip") {
      self = .command(["xclip", "-selection", "clipboard"])
    } else {
      self = ClipboardPlan.osc52(text)
    }
  }

  /// Words for the status line: which way was used.
  public var description: String {
    switch self {
    case .terminal: "terminal (OSC 52)"
    case .command(let words): words.first ?? ""
    case .unavailable(let reason): reason
    }
  }

  private static func osc52(_ text: String) -> ClipboardPlan {
    guard text.utf8.count <= terminalLimit else {
      return .unavailable("too long for the terminal's clipboard: \(text.utf8.count) bytes, at most \(terminalLimit)")
    }
    return .terminal("\u{1B}]52;c;" + base64(Array(text.utf8)) + "\u{7}")
  }

  static func base64(_ bytes: [UInt8]) -> String {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var coded: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for place in 0..<4 { coded.append(place <= group.count ? letters[bits >> (18 - 6 * place) & 63] : 61) }
    }
    return String(decoding: coded, as: UTF8.self)
  }
}
