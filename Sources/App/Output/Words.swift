// Words and names on their way out: what is known of them only when they are written to a person. Numbers are in Numbers.swift.

import Terminal

extension Show {
  /// A name, label or message as one line that a terminal cannot be made to obey.
  static func line(_ text: String) -> String { Printable.running(text, lines: false) }

  /// A message whose further lines begin with two spaces, as ours do. A line end before anything else came with a name and is written out.
  static func message(_ text: String) -> String {
    var parts = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    var whole = parts.removeFirst()
    for part in parts { whole += (part.hasPrefix("  ") ? "\n" : "\\n") + part }
    return Printable.running(whole, lines: true)
  }

  /// A word of a command line, in quotes where a shell would read it otherwise.
  static func shell(_ word: String) -> String {
    let plain = word.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case let byte: "_-./:=@%+,".utf8.contains(byte)
      }
    }
    if plain, !word.isEmpty { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}
