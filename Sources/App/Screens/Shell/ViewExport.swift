// The present view as data: what `e` saves and `y` copies. Numbers are written in full, unlike on the screen; a picture is the screen
// itself.

import Analysis
import Formats
import Routing
import Terminal

/// A table of what a screen shows.
struct ExportTable: Sendable {
  var columns: [String]
  var rows: [[String]] = []
  /// The row under the cursor.
  var selected: Int?
}

extension ExportTable {
  /// A number in full; nothing for none.
  static func number(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "" } ?? "" }
}

extension ExportTable {
  /// The content of a file of that name; nil for an ending that is not known.
  func rendered(as path: String, model: AppModel) -> String? {
    switch path.split(separator: ".").last.map({ $0.lowercased() }) {
    case "csv": return ([columns] + rows).map { $0.map(CSV.field).joined(separator: ",") + "\n" }.joined()
    case "json": return json(model)
    case "txt":
      // Without colour, so that heat is written as signs.
      var plain = model
      plain.theme.depth = .mono
      return Painter.draw(plain).screen.plainText
    case "svg": return SVGScreen(appearance: model.theme.appearance).render(Painter.draw(model).screen)
    default: return nil
    }
  }

  private func json(_ model: AppModel) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.view/1")
      writer.member("screen", model.room.title.lowercased())
      writer.member("run", model.runReference)
      writer.member("columns") { writer in writer.array { writer in for column in columns { writer.value(column) } } }
      writer.member("rows") { writer in
        writer.array { writer in
          for row in rows {
            writer.array { writer in
              for cell in row {
                if let whole = Int(cell) {
                  writer.value(whole)
                } else if let real = Double(cell) {
                  writer.value(real)
                } else {
                  writer.value(cell)
                }
              }
            }
          }
        }
      }
    }
    return writer.text + "\n"
  }
}
