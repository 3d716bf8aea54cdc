import ArgumentParser
import Formats
import Store

/// Read-only SQL over the documented views.
struct SQL: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sql",
    abstract: "Ask a trace in SQL; nothing can be changed.",
    discussion: """
      moetop sql corpus.db "SELECT * FROM runs"
      moetop sql corpus.db#2 "SELECT rank, expert, weight FROM routing WHERE token = 17 AND layer = 3" --format csv

      moetop schema prints the views. With #RUN the views show that run only.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, jsonl }

  @Argument(help: "Trace, or a run of it.") var trace: String
  @Argument(help: "One statement.") var query: String
  @Option(help: "table, csv or jsonl.") var format = Format.table
  @OptionGroup var traces: TraceOptions

  func run() throws {
    let reference = try traces.reference(trace)
    let reader = try TraceReader(file: reference.file)
    let run = reference.namesRun ? try reader.run(reference.run).id : nil
    try TraceQuery(trace: reader, run: run)(query) { rows in
      switch format {
      case .table:
        var table = TextTable(rows.columns.map { .left($0) })
        var isNumber = Array(repeating: true, count: rows.columns.count)
        while let row = try rows.next() {
          for (column, value) in row.enumerated() where !value.isNumber { isNumber[column] = false }
          table.rows.append(row.map(\.text))
        }
        for column in isNumber.indices where isNumber[column] { table.columns[column].alignment = .right }
        StandardOutput.write(table.text)
      case .csv:
        StandardOutput.write(rows.columns.map(CSV.field).joined(separator: ",") + "\n")
        while let row = try rows.next() { StandardOutput.write(row.map { CSV.field($0.text) }.joined(separator: ",") + "\n") }
      case .jsonl:
        while let row = try rows.next() {
          var writer = JSONWriter()
          writer.object { writer in for (name, value) in zip(rows.columns, row) { value.write(name, to: &writer) } }
          StandardOutput.write(writer.text + "\n")
        }
      }
    }
  }
}

extension SQLValue {
  var isNumber: Bool {
    switch self {
    case .integer, .real, .null: true
    default: false
    }
  }

  var text: String {
    switch self {
    case .null: ""
    case .integer(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): value
    case .blob(let bytes): "x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
    }
  }

  func write(_ name: String, to writer: inout JSONWriter) {
    switch self {
    case .null: writer.member(name) { $0.null() }
    case .integer(let value): writer.member(name, value)
    case .real(let value): writer.member(name, value)
    case .text, .blob: writer.member(name, text)
    }
  }
}

enum CSV {
  /// A field, quoted where RFC 4180 asks for it.
  static func field(_ text: String) -> String {
    text.contains { $0 == "," || $0 == "\"" || $0.isNewline }
      ? "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"" : text
  }
}
