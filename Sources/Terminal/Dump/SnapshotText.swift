// A screen as text, for tests, bug reports and diffs: the characters, then the same grid with a letter for each style,
// then what the letters mean. Equal screens give equal text, and a changed cell changes one line in each grid.

extension CellBuffer {
  /// The text alone, one line a row, blanks at line ends left out.
  public var plainText: String {
    lines.map { line in String(line.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n") + "\n"
  }

  /// Text, style layer and legend. `.` is the plain style; letters are given in order of first use.
  public var snapshot: String {
    let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    var names: [Style: Character] = [.plain: "."]
    var legend: [String] = []
    var layer: [String] = []
    for y in 0..<size.height {
      var line = ""
      for cell in row(y) {
        if names[cell.style] == nil {
          // More styles than letters: a 64-level heat map. They share a sign, and the legend lists them.
          let name = legend.count < letters.count ? letters[legend.count] : "#"
          names[cell.style] = name
          legend.append("\(name) \(cell.style.words)")
        }
        line.append(names[cell.style] ?? "?")
      }
      layer.append(line)
    }
    var text = "\(size)\n"
    text += lines.map { "|\($0)|\n" }.joined()
    text += "styles\n" + layer.map { "|\($0)|\n" }.joined()
    return text + legend.joined(separator: "\n") + (legend.isEmpty ? "" : "\n")
  }
}

extension Style {
  /// `fg 110 bg #440154 bold`; `plain` for none of it.
  public var words: String {
    var parts: [String] = []
    if foreground != .default { parts.append("fg \(foreground.words)") }
    if background != .default { parts.append("bg \(background.words)") }
    let names: [(Attributes, String)] = [(.bold, "bold"), (.dim, "dim"), (.underline, "underline"), (.reverse, "reverse")]
    parts += names.filter { attributes.contains($0.0) }.map(\.1)
    return parts.isEmpty ? "plain" : parts.joined(separator: " ")
  }
}

extension Color {
  /// `default`, an index, or `#rrggbb`.
  public var words: String {
    switch kind {
    case .default: "default"
    case .indexed(let index): String(index)
    case .direct(let rgb): "#" + Printable.hex(rgb, digits: 6)
    }
  }
}
