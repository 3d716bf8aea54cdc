// Tables as people read them: columns aligned, nothing cut, two spaces between. A table without end is printed in pieces.

struct TextTable {
  enum Alignment { case left, right }
  struct Column {
    var title: String
    var alignment: Alignment

    static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
    static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
  }

  var columns: [Column]
  var rows: [[String]] = []
  /// Widths of the first piece, once that was taken.
  private var widths: [Int] = []

  init(_ columns: [Column]) { self.columns = columns }

  /// Lines with trailing spaces removed, each ended by a newline. Width is counted in characters.
  var text: String {
    var copy = self
    return copy.takeLines()
  }

  /// The lines of the rows so far, which are forgotten: later ones keep the widths of the first, and what is longer stands out.
  mutating func takeLines() -> String {
    let isFirst = widths.isEmpty
    let titled = isFirst && columns.contains { !$0.title.isEmpty }
    let lines = (titled ? [columns.map(\.title)] : []) + rows
    if isFirst { widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 } }
    rows.removeAll(keepingCapacity: true)
    return lines.map { cells in
      let padded = cells.enumerated().map { index, cell in
        let space = String(repeating: " ", count: max(0, widths[index] - cell.count))
        return columns[index].alignment == .left ? cell + space : space + cell
      }
      var line = padded.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
