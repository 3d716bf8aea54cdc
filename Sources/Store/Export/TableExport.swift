// Views as text: the loads and the tokens of a run are rows of documented views, and an export of them is these rows.

import Formats
import Routing

/// A view of one run, ready to be written out.
struct ExportTable {
  let columns: [String]
  let sql: String
  /// Columns that hold f32 numbers: shortest form as such.
  let singles: Set<String>

  /// run, layer, expert, assignments, load, importance, mean_weight; a run with several stacks of routers has `stack` as a last column.
  static func load(of run: RunSummary) -> ExportTable {
    let hasStacks = Set(run.description.routers.map(\.id.lane)).count > 1
    let columns = ["run", "layer", "expert", "assignments", "load", "importance", "mean_weight"] + (hasStacks ? ["stack"] : [])
    let sql = "SELECT \(columns.joined(separator: ", ")) FROM layer_load WHERE run = \(run.id) ORDER BY stack, layer, expert"
    return ExportTable(columns: columns, sql: sql, singles: [])
  }

  static func tokens(of run: RunSummary) -> ExportTable {
    let places = run.description.denoising == nil ? [] : ["step", "timestep", "branch", "patch_row", "patch_column"]
    let columns =
      ["run", "token", "sequence", "position", "token_id", "phase", "surprisal", "next_token_entropy", "text"] + places
      + TraceExport.tokenColumns(of: run.description.recording)
    let order = "sequence, phase <> 'encode', position, token"
    let sql = "SELECT \(columns.joined(separator: ", ")) FROM tokens WHERE run = \(run.id) ORDER BY \(order)"
    return ExportTable(columns: columns, sql: sql, singles: ["surprisal", "next_token_entropy", "timestep"])
  }
}

extension TraceExport {
  /// Writes the rows of a table; of the loads under a filter those of what passes.
  func writeLoad(as format: Format, to output: TextOutput) throws {
    let table = ExportTable.load(of: run)
    guard let left = try filteredRows(sums: true) else { return try writeTable(table, as: format, to: output) }
    try writeHeader(table, as: format, to: output)
    for row in filteredLoad(left, columns: table.columns) { try write(row, of: table, as: format, to: output) }
  }

  /// The tokens; under a filter those of which one decision passes.
  func writeTokens(as format: Format, to output: TextOutput) throws {
    let table = ExportTable.tokens(of: run)
    guard let left = try filteredRows(), let column = table.columns.firstIndex(of: "token") else {
      return try writeTable(table, as: format, to: output)
    }
    try writeTable(table, as: format, to: output) { row in
      guard case .integer(let token) = row[column] else { return false }
      return left.isShown.indices.contains(Int(token)) && left.isShown[Int(token)]
    }
  }

  private func writeTable(
    _ table: ExportTable, as format: Format, to output: TextOutput, where isWanted: ([SQLValue]) -> Bool = { _ in true }
  ) throws {
    try writeHeader(table, as: format, to: output)
    try TraceQuery(trace: trace)(table.sql) { answer in
      while let row = try answer.next() { if isWanted(row) { try write(row, of: table, as: format, to: output) } }
    }
  }

  private func writeHeader(_ table: ExportTable, as format: Format, to output: TextOutput) throws {
    guard format == .csv else { return }
    output.append(table.columns.joined(separator: ","))
    try output.endLine()
  }

  private func write(_ row: [SQLValue], of table: ExportTable, as format: Format, to output: TextOutput) throws {
    if format == .csv {
      for (index, value) in row.enumerated() {
        if index > 0 { output.append(",") }
        output.append(csv(value, isSingle: table.singles.contains(table.columns[index])))
      }
    } else {
      var json = JSONWriter()
      json.object { object in
        for (index, value) in row.enumerated() where value != .null {
          let column = table.columns[index]
          write(value, named: column, isSingle: table.singles.contains(column), to: &object)
        }
      }
      output.append(json.bytes)
    }
    try output.endLine()
  }

  private func csv(_ value: SQLValue, isSingle: Bool) -> String {
    switch value {
    case .null: ""
    case .integer(let number): String(number)
    case .real(let number): isSingle ? CSV.cell(Float(number)) : CSV.cell(number)
    case .text(let text): CSV.cell(text)
    case .blob(let bytes): CSV.cell(String(decoding: bytes, as: UTF8.self))
    }
  }

  private func write(_ value: SQLValue, named name: String, isSingle: Bool, to json: inout JSONWriter) {
    switch value {
    case .null: json.member(name) { $0.null() }
    case .integer(let number): json.member(name, number)
    case .real(let number): if isSingle { json.member(name, Float(number)) } else { json.member(name, number) }
    case .text(let text): json.member(name, text)
    case .blob(let bytes): json.member(name, String(decoding: bytes, as: UTF8.self))
    }
  }
}
