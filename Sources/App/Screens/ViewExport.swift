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

extension AppModel {
  func exported() -> ExportTable {
    switch screen {
    case .live: return exportedHeat()
    case .token: return exportedToken()
    case .uncertainty: return exportedTokens()
    case .specialization: return exportedCells()
    case .runs:
      var table = ExportTable(columns: ["id", "name", "model", "input", "tokens", "state", "stored_bytes", "tags"])
      table.rows = runs.runs.map {
        [
          "\($0.id)", $0.name, $0.description.model.name, $0.description.input.source, "\($0.tokenCount)", $0.state.name,
          "\($0.storedBytes)",
          $0.description.tags.joined(separator: " "),
        ]
      }
      return table
    }
  }

  private func number(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "" } ?? "" }

  private func exportedHeat() -> ExportTable {
    var table = ExportTable(columns: ["layer", "expert", "assignments", metric.rawValue, "router"])
    let tallies = windowTallies()
    for (index, values) in heat(tallies).enumerated() {
      for expert in 0..<routers[index].spec.expertCount {
        if index == router, expert == self.expert { table.selected = table.rows.count }
        let counts = tallies[index].counts
        table.rows.append([
          "\(routers[index].id.layer)", "\(expert)", counts.indices.contains(expert) ? "\(counts[expert])" : "0", number(values?[expert]),
          "\(routers[index].id)",
        ])
      }
    }
    return table
  }

  private func exportedToken() -> ExportTable {
    var table = ExportTable(columns: ["token", "layer", "rank", "expert", "logit", "probability", "weight", "router"])
    guard let row else { return table }
    for index in routers.indices {
      if index == router { table.selected = table.rows.count }
      for (rank, expert) in ranking(row, router: index).enumerated() {
        table.rows.append([
          "\(row)", "\(routers[index].id.layer)", "\(rank)", "\(expert.expert)", number(expert.logit), number(expert.probability),
          number(expert.weight), "\(routers[index].id)",
        ])
      }
    }
    return table
  }

  private func exportedTokens() -> ExportTable {
    var table = ExportTable(columns: [
      "token", "sequence", "position", "token_id", "text", "layers_over", "max_entropy", "layer", "selection_margin", "next_token_entropy",
      "surprisal", "router",
    ])
    table.rows = uncertainRows.map { token in
      [
        "\(token.token)", "\(token.sequence)", "\(token.position)", "\(token.tokenID)",
        plainText(token.token), "\(token.routersOver)", number(Double(token.maxEntropy)),
        "\(token.maxEntropyRouter.layer)", number(Double(token.selectionMargin)), number(Double(token.nextTokenEntropy)),
        number(Double(token.surprisal)), "\(token.maxEntropyRouter)",
      ]
    }
    if table.rows.indices.contains(uncertain.rows.selected) { table.selected = uncertain.rows.selected }
    return table
  }

  private func exportedCells() -> ExportTable {
    var table = ExportTable(columns: [
      "layer", "expert", special.resultFacet?.name ?? "cell", "observed", "expected", "ratio", "z", "adjusted_p", "router",
    ])
    for result in special.results {
      for entry in result.enrichment {
        if result.router == study?.router, entry.expert.rawValue == expert, entry.cell == cell { table.selected = table.rows.count }
        table.rows.append([
          "\(result.router.layer)", "\(entry.expert)", result.cells[entry.cell].name, "\(entry.observed)", number(entry.expected),
          number(entry.ratio), number(entry.z), number(entry.adjustedP), "\(result.router)",
        ])
      }
    }
    return table
  }
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
      writer.member("screen", model.screen.title.lowercased())
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
