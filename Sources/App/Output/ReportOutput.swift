// Tables of a report on standard output, in the form that was asked for: aligned for people, csv and Markdown for programs and pages.

import Analysis
import ArgumentParser
import Formats
import Foundation

/// How a report is printed.
enum ReportFormat: String, ExpressibleByArgument, CaseIterable { case table, csv, json, md }

/// How an answer of tables is asked for.
struct FormatOptions: ParsableArguments {
  @Option(help: "table, csv, json or md.") var format: ReportFormat?
  @Flag(help: "Same as --format json.") var json = false

  var chosen: ReportFormat { json ? .json : format ?? .table }

  func validate() throws {
    if json, let format, format != .json { throw ValidationError("--json and --format \(format.rawValue): expected one of them") }
  }
}

enum ReportOutput {
  /// Tables for people, notes wrapped below each.
  static func write(_ tables: [ReportTable], width: Int) {
    for (index, table) in tables.enumerated() {
      if index > 0 { StandardOutput.say("\n") }
      if !table.title.isEmpty { StandardOutput.say(Show.line(table.title) + "\n") }
      var text = TextTable(
        table.columns.enumerated().map { index, title in
          table.rows.contains { $0[index].isText } ? .left(title) : .right(title)
        })
      text.rows = table.rows.map { $0.map(\.display) }
      StandardOutput.say(text.text)
      for note in table.notes { StandardOutput.say(Paragraph.wrapped(note, width: width)) }
    }
  }

  static func csv(_ tables: [ReportTable]) {
    for (index, table) in tables.enumerated() {
      if index > 0 { StandardOutput.write("\n") }
      StandardOutput.write(table.columns.map(CSV.field).joined(separator: ",") + "\n")
      for row in table.rows { StandardOutput.write(row.map { CSV.field($0.plain) }.joined(separator: ",") + "\n") }
    }
  }

  static func markdown(_ tables: [ReportTable]) {
    for (index, table) in tables.enumerated() {
      if index > 0 { StandardOutput.say("\n") }
      if !table.title.isEmpty { StandardOutput.say("**\(markdown(table.title))**\n\n") }
      StandardOutput.say("| " + table.columns.map(markdown).joined(separator: " | ") + " |\n")
      StandardOutput.say("|" + table.columns.map { _ in "---" }.joined(separator: "|") + "|\n")
      for row in table.rows { StandardOutput.say("| " + row.map { markdown($0.display) }.joined(separator: " | ") + " |\n") }
      if !table.notes.isEmpty { StandardOutput.say("\n" + table.notes.map { "- \(markdown($0))\n" }.joined()) }
    }
  }

  /// A text inside a cell, on one line: labels may hold what Markdown would take for the end of a cell or of the table.
  private static func markdown(_ text: String) -> String {
    Show.line(text).replacing("\\", with: "\\\\").replacing("|", with: "\\|")
  }
}
