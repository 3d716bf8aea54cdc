import ArgumentParser
import Formats
import Foundation
import Store

/// Read-only SQL over the documented views.
struct SQL: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sql",
    abstract: "Ask a trace in SQL; nothing can be changed.",
    discussion: """
      moetop sql corpus.db "SELECT * FROM runs"
      moetop sql corpus.db#2 "SELECT rank, expert, weight FROM routing WHERE token = 17 AND layer = 3" --format csv

      moetop schema prints the views. With #RUN the views show that run only. Rows are printed as they come: a table takes its widths from \
      the first rows. A table says of a blob how long it is; csv and jsonl have it as x'…'.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, jsonl }

  @Argument(help: "Trace, or a run of it.") var trace: String
  @Argument(help: "One statement.") var query: String
  @Option(help: "table, csv or jsonl.") var format = Format.table
  @Option(help: ArgumentHelp("Stop after this many rows.", valueName: "n")) var limit: Int?
  @OptionGroup var traces: TraceOptions

  func validate() throws {
    if let limit, limit < 0 { throw ValidationError("--limit: expected at least 0, found \(limit)") }
  }

  func run() throws {
    let reference = try traces.reference(trace)
    let reader = try TraceReader(file: reference.file)
    let run = reference.namesRun ? try reader.run(reference.run).id : nil
    try TraceQuery(trace: reader, run: run)(query) { rows in
      var printer = RowPrinter(format, columns: rows.columns)
      var count = 0
      while count < limit ?? .max, let row = try rows.next() {
        printer.add(row)
        count += 1
      }
      printer.finish()
      if let limit, count == limit, try rows.next() != nil {
        StandardError.write("note: the first \(limit) rows; there are more (--limit)\n")
      }
      if printer.wroteInfinity { StandardError.write("note: 9e999 stands for infinity, for which JSON has no word\n") }
    }
  }
}

/// Prints rows as they come, in memory that does not grow with them.
private struct RowPrinter {
  private let format: SQL.Format
  private let columns: [String]
  private var table: TextTable
  /// Whether widths and alignment of the table are settled.
  private var isSettled = false
  private var sampleBytes = 0
  private(set) var wroteInfinity = false

  /// Rows, and bytes of cells, from which a table takes its widths.
  private static let sampleRows = 1000
  private static let sampleBytes = 1 << 20

  init(_ format: SQL.Format, columns: [String]) {
    self.format = format
    self.columns = columns
    table = TextTable(columns.map { .right($0) })
    if format == .csv { StandardOutput.write(columns.map { CSV.cell($0) }.joined(separator: ",") + "\n") }
  }

  mutating func add(_ row: [SQLValue]) {
    switch format {
    case .table: addToTable(row)
    case .csv: StandardOutput.write(row.map(\.csv).joined(separator: ",") + "\n")
    case .jsonl:
      var writer = JSONWriter()
      writer.object { writer in
        for (name, value) in zip(columns, row) {
          value.write(name, to: &writer)
          if case .real(let number) = value, number.isInfinite { wroteInfinity = true }
        }
      }
      StandardOutput.write(writer.text + "\n")
    }
  }

  private mutating func addToTable(_ row: [SQLValue]) {
    if !isSettled {
      for (column, value) in row.enumerated() where !value.isNumber { table.columns[column].alignment = .left }
    }
    let cells = row.map(\.shown)
    sampleBytes += cells.reduce(0) { $0 + $1.utf8.count }
    table.rows.append(cells)
    guard isSettled || table.rows.count == Self.sampleRows || sampleBytes > Self.sampleBytes else { return }
    isSettled = true
    StandardOutput.write(table.takeLines())
  }

  mutating func finish() {
    guard format == .table, !isSettled else { return }
    if table.rows.isEmpty { for column in table.columns.indices { table.columns[column].alignment = .left } }
    StandardOutput.write(table.takeLines())
  }
}

extension SQLValue {
  fileprivate var isNumber: Bool {
    switch self {
    case .integer, .real, .null: true
    case .text, .blob: false
    }
  }

  /// For people.
  fileprivate var shown: String {
    if case .blob(let bytes) = self { return "blob, \(Show.grouped(bytes.count)) bytes" }
    return plain
  }

  fileprivate var csv: String {
    switch self {
    case .text(let text): CSV.cell(text)
    default: plain
    }
  }

  private var plain: String {
    switch self {
    case .null: ""
    case .integer(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): value
    case .blob(let bytes): "x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
    }
  }

  fileprivate func write(_ name: String, to writer: inout JSONWriter) {
    switch self {
    case .null: writer.member(name) { $0.null() }
    case .integer(let value): writer.member(name, value)
    // As SQLite spells it: a number that every reader of doubles takes for what it is.
    case .real(let value) where value.isInfinite: writer.member(name) { $0.number(value < 0 ? "-9e999" : "9e999") }
    case .real(let value): writer.member(name, value)
    case .text, .blob: writer.member(name, plain)
    }
  }
}
