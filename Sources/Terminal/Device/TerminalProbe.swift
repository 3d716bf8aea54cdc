// What a terminal says about itself: its background colour (OSC 11), whether it draws frames whole (mode 2026) and pictures (asked only
// for whoever wants them), and an attributes report (DA1) that every terminal answers, which tells that no more replies will come.

enum TerminalProbe {
  static let limit = Duration.milliseconds(100)

  /// - Parameter pictures: whether to ask for kitty's protocol too, by one pixel that is looked at and not shown.
  static func question(pictures: Bool) -> String {
    "\u{1B}]11;?\u{1B}\\\u{1B}[?2026$p" + (pictures ? KittyGraphics.question : "") + "\u{1B}[c"
  }

  /// Old consoles would show the question instead of answering it.
  static func isWorthAsking(term: String) -> Bool {
    !["dumb", "linux", "vt", "ansi", "cons", "sun", "cygwin", "hurd", "mach", "wsvt", "pcansi"].contains { term.hasPrefix($0) }
  }

  /// Replies sorted out of what was read; what is no reply was typed by the user.
  struct Replies: Hashable {
    var background: String?
    var isSynchronized = false
    var showsPictures = false
    var isComplete = false
    var typed: [UInt8] = []

    init(_ bytes: [UInt8]) {
      var rest = bytes[...]
      while let first = rest.first {
        if first == 0x1B, let length = take(rest) {
          rest = rest.dropFirst(length)
        } else {
          typed.append(first)
          rest = rest.dropFirst()
        }
      }
    }

    /// The length of the reply at the start; nil when there is none.
    private mutating func take(_ bytes: ArraySlice<UInt8>) -> Int? {
      let second = bytes.dropFirst().first
      if second == UInt8(ascii: "]") {
        guard let end = bytes.firstIndex(where: { $0 == 7 || $0 == UInt8(ascii: "\\") }) else { return bytes.count }
        background = String(decoding: bytes[bytes.startIndex..<end].filter { $0 != 0x1B }, as: UTF8.self)
        return end - bytes.startIndex + 1
      }
      if second == UInt8(ascii: "_") {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\\")) else { return bytes.count }
        if String(decoding: bytes[bytes.startIndex..<end], as: UTF8.self).hasSuffix(";OK\u{1B}") { showsPictures = true }
        return end - bytes.startIndex + 1
      }
      guard second == UInt8(ascii: "["), bytes.dropFirst(2).first == UInt8(ascii: "?") else { return nil }
      guard let end = bytes.dropFirst(3).firstIndex(where: { (0x40...0x7E).contains($0) }) else { return bytes.count }
      let body = String(decoding: bytes[bytes.startIndex + 3..<end], as: UTF8.self)
      if bytes[end] == UInt8(ascii: "c") { isComplete = true }
      if bytes[end] == UInt8(ascii: "y"), body == "2026;1$" || body == "2026;2$" { isSynchronized = true }
      return end - bytes.startIndex + 1
    }
  }
}
