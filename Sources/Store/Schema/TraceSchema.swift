// What can a program read from a trace? The catalogue of views: every view and column is declared here once, with type, unit and
// meaning; the SQL that makes the views, `moetop schema` and the schema page of the documentation all come from it. Tables are not
// listed: they are private and may change with any release, the views only grow.

import Formats
import GRDB

/// The documented, stable face of a trace.
public enum TraceSchema {
  public struct Column: Sendable, Equatable {
    public enum Kind: String, Sendable { case integer = "INTEGER", real = "REAL", text = "TEXT" }

    public let name: String
    public let kind: Kind
    /// e.g. `nat`, `seconds since 1970`; empty when the number counts or names something.
    public let unit: String
    public let meaning: String

    init(_ name: String, _ kind: Kind, unit: String = "", _ meaning: String) {
      self.name = name
      self.kind = kind
      self.unit = unit
      self.meaning = meaning
    }
  }

  public struct View: Sendable, Equatable {
    public let name: String
    public let meaning: String
    public let columns: [Column]
    /// A query that answers a common question with this view.
    public let example: String
    /// The SELECT behind the view; its columns are `columns`, in order.
    let select: String

    /// The statement that makes the view.
    var sql: String {
      "CREATE VIEW \(name) (\(columns.map { $0.name == "of" ? "\"of\"" : $0.name }.joined(separator: ", "))) AS\n\(select)"
    }
  }

  /// Makes the views say what this version of the catalogue says. Costs nothing when they already do.
  static func installViews(_ db: Database) throws {
    for view in views {
      if try sql(of: view, in: db) == view.sql { continue }
      try db.execute(sql: "DROP VIEW IF EXISTS \(view.name)")
      try db.execute(sql: view.sql)
    }
  }

  /// Whether there is any view.
  static func hasViews(_ db: Database) throws -> Bool {
    try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'view')") ?? false
  }

  /// The statement that the view of this name was made by; nil when there is none.
  static func sql(of view: View, in db: Database) throws -> String? {
    try String.fetchOne(db, sql: "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?", arguments: [view.name])
  }
}

// MARK: - For people and programs

extension TraceSchema {
  public enum Format: String, Sendable, CaseIterable { case text, json, markdown }

  /// The catalogue, ready to print; ends in a newline.
  public static func rendered(as format: Format) -> String {
    switch format {
    case .text: text
    case .json: json
    case .markdown: markdown
    }
  }

  private static var text: String {
    var lines: [String] = []
    for view in views {
      lines += ["\(view.name)  \(view.meaning)"]
      let width = view.columns.map(\.name.count).max() ?? 0
      for column in view.columns {
        let name = column.name + String(repeating: " ", count: width - column.name.count)
        let kind = column.kind.rawValue + String(repeating: " ", count: 7 - column.kind.rawValue.count)
        lines += ["  \(name)  \(kind)  \(column.meaning)\(column.unit.isEmpty ? "" : " [\(column.unit)]")"]
      }
      lines += ["  e.g. \(view.example)", ""]
    }
    lines += ["Tables are private and may change with any release. NULL means: not recorded, or not defined."]
    return lines.joined(separator: "\n") + "\n"
  }

  private static var markdown: String {
    var lines = [
      "# Trace schema", "",
      "A trace is a SQLite database. Programs read these views; the tables behind them are private and may change with any release.",
      "NULL means: not recorded, or not defined.", "",
      "Pages of packed columns and the tokens of a run carry CRC-32 checksums. They are compared whenever decisions are read; views are",
      "plain SQL and cannot: `moetop runs check FILE` does it for them, and holds totals, ranges and places against each other. It also",
      "compares the checksums of a run's routers (layer, stack, rule) and of its words (names and labels of sequences, pieces of tokens).",
      "",
    ]
    for view in views {
      lines += ["## \(view.name)", "", view.meaning, "", "| column | type | unit | meaning |", "|---|---|---|---|"]
      for column in view.columns {
        let meaning = column.meaning.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
        lines += ["| `\(column.name)` | \(column.kind.rawValue) | \(column.unit) | \(meaning) |"]
      }
      lines += ["", "```sql", view.example, "```", ""]
    }
    return lines.joined(separator: "\n")
  }

  private static var json: String {
    var json = JSONWriter(layout: .indented)
    json.object {
      $0.member("schema", "moetop.schema/1")
      $0.member("trace_schema", TraceMigrations.names.last)
      $0.member("views") { $0.array { for view in views { write(view, to: &$0) } } }
    }
    return json.text + "\n"
  }

  private static func write(_ view: View, to json: inout JSONWriter) {
    json.object {
      $0.member("name", view.name)
      $0.member("meaning", view.meaning)
      $0.member("example", view.example)
      $0.member("columns") {
        $0.array {
          for column in view.columns {
            $0.object {
              $0.member("name", column.name)
              $0.member("type", column.kind.rawValue)
              $0.member("unit", column.unit.isEmpty ? nil : column.unit)
              $0.member("meaning", column.meaning)
            }
          }
        }
      }
    }
  }
}
