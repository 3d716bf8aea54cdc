// Tables as people read them: columns aligned, nothing cut, two spaces between. A table without end is printed in pieces. A row is one line
// whatever its cells hold: names, labels and results come from files, and a line end or an escape sequence in one of them must not become
// part of the table.

import Terminal

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

  /// The lines, each ended by a newline.
  var text: String {
    var copy = self
    return copy.takeLines()
  }

  /// The titles, when there are any, and the rows: one line each, without its end. Cells are written by `Printable.running`.
  var lines: [String] {
    var copy = self
    return copy.take()
  }

  /// The lines of the rows so far, which are forgotten: later ones keep the widths of the first, and what is longer stands out.
  mutating func takeLines() -> String { take().map { $0 + "\n" }.joined() }

  /// Lines with trailing spaces removed. Widths are columns of a terminal.
  private mutating func take() -> [String] {
    let isFirst = widths.isEmpty
    let titled = isFirst && columns.contains { !$0.title.isEmpty }
    let cells = ((titled ? [columns.map(\.title)] : []) + rows).map { $0.map { Show.line($0) } }
    let sizes = cells.map { $0.map { Printable.columns(of: $0) } }
    if isFirst { widths = columns.indices.map { column in sizes.map { $0[column] }.max() ?? 0 } }
    rows.removeAll(keepingCapacity: true)
    return zip(cells, sizes).map { cells, sizes in
      let padded = columns.indices.map { index in
        let space = String(repeating: " ", count: max(0, widths[index] - sizes[index]))
        return columns[index].alignment == .left ? cells[index] + space : space + cells[index]
      }
      var line = padded.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
