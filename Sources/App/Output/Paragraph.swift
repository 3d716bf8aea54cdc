// Words below a table: wrapped to the terminal, or to a width that is good to read where there is none.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

enum Paragraph {
  /// Columns of words where output is no terminal.
  static let columns = 100

  /// Columns of the terminal that standard output is, else `columns`.
  static var outputColumns: Int {
    var size = winsize()
    guard StandardOutput.isTerminal, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return columns }
    return Int(size.ws_col)
  }

  /// The text in lines of at most `width` columns, each ended by a newline; lines after the first are set in by two spaces. A word that is
  /// longer stays whole.
  static func wrapped(_ text: String, width: Int) -> String {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.count + 1 + word.count <= width {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append((lines.isEmpty ? "" : "  ") + word)
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
