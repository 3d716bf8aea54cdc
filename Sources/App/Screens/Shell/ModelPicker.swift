// Which model shall it be? What `moetop models` finds, as a list to open from: family, size, whether it runs here and if not why.

import Terminal

/// The models of this machine, and the folders that were looked through for them.
struct ModelShelf: Sendable {
  var listing: ModelListing
  var places: [String]
}

extension Painter {
  mutating func drawModels(_ list: ListState, in body: Rect) {
    let rows = model.shelf?.listing.rows ?? []
    let size = Size(width: min(112, body.width), height: min(max(12, rows.count + 7), body.height))
    let footer =
      rows.isEmpty ? "esc closes" : "\(rows.count { $0.obstacle == nil }) of \(rows.count) run here · enter opens · y copies the path · esc"
    let inner = Modal(Panel("Models on this machine", footer: StyledText(footer), isFocused: true), size: size)
      .draw(into: &screen, body, theme: theme)
    guard let shelf = model.shelf else { return explain("looking through the folders where models are kept", in: inner) }
    guard rows.indices.contains(list.selected) else {
      return explain(
        "There are none. MOETOP_MODELS names further folders, colons between them. Looked through: "
          + shelf.places.joined(separator: " "), in: inner)
    }
    let columns = [
      TableColumn("model", width: .flex(20)), TableColumn("family", width: .flex(12)),
      TableColumn("size", width: .fixed(8), alignment: .right), TableColumn("runs", width: .fixed(4)),
      TableColumn("stored", width: .fixed(6)), TableColumn("parameters", width: .fixed(10), alignment: .right),
    ]
    Table(columns: columns, rowCount: rows.count, state: list) { row, column in
      let (found, summary, runs) = (rows[row].found, rows[row].summary, rows[row].obstacle == nil)
      switch column {
      case 0: return StyledText(found.name, runs ? nil : .disabled)
      case 1: return StyledText(summary?.family ?? "–")
      case 2: return StyledText(summary?.bytes.map { Show.bytes($0) } ?? "–")
      case 3: return runs ? StyledText("yes", .good) : StyledText("no", .warning)
      case 4: return StyledText(summary?.stored?.lowercased() ?? "–", .dim)
      default: return StyledText(summary?.parameters.map { Show.count($0) } ?? "–")
      }
    }.draw(into: &screen, inner.dropping(bottom: 4), theme: theme)
    let chosen = rows[list.selected]
    let words = inner.dropping(top: inner.height - 3, left: 1)
    line(0, StyledText(chosen.found.path, .dim), in: words)
    guard let obstacle = chosen.obstacle else { return }
    for (index, part) in wrapped("does not run here: " + obstacle, words.width - 1).prefix(2).enumerated() {
      line(1 + index, StyledText(part, .warning), in: words)
    }
  }
}
