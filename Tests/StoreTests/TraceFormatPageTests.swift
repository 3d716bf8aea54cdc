// Can another program write a trace from docs/trace-format.md alone? Its tables are those of the migrations, its example runs as it stands there, and
// what the example writes is whole, with the views that only we add.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct TraceFormatPageTests {
  static let page = (try? String(contentsOfFile: "\(Fixtures.root)/docs/trace-format.md", encoding: .utf8)) ?? ""
  static let python = "/usr/bin/python3"

  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// The last block of a language.
  private static func block(_ language: String) throws -> String {
    let parts = page.components(separatedBy: "```\(language)\n")
    return try #require(parts.last?.components(separatedBy: "\n```").first) + "\n"
  }

  /// Columns, keys and indexes by table.
  private static func shape(_ database: DatabaseQueue) throws -> [String: [String]] {
    try database.read { db in
      let tables = try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'")
      return Dictionary(
        uniqueKeysWithValues: try tables.map { table in
          let rows = try ["table_xinfo", "foreign_key_list", "index_list", "table_list"].flatMap {
            try Row.fetchAll(db, sql: "PRAGMA \($0)(\"\(table)\")").map(\.description)
          }
          return (table, rows)
        })
    }
  }

  @Test func tablesAreThoseOfTheMigrations() throws {
    #expect(Self.page.contains("at schema **\(TraceMigrations.names.last ?? "")**"))
    #expect(Self.page.contains("application_id = \(TraceMigrations.applicationID)"))
    let written = try DatabaseQueue(path: directory.file("written.db"))
    try written.write { try $0.execute(sql: Self.block("sql")) }
    let own = try DatabaseQueue(path: directory.file("own.db"))
    try TraceMigrations.migrator.migrate(own)
    let (found, expected) = (try Self.shape(written), try Self.shape(own))
    #expect(found.keys.sorted() == expected.keys.sorted())
    for (table, columns) in expected { #expect(found[table] == columns, "\(table)") }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: python), "there is no \(python)")) func theExampleIsATrace() throws {
    try directory.write(try Self.block("sql").utf8, to: "schema.sql")
    try directory.write(try Self.block("python").utf8, to: "example.py")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Self.python)
    process.arguments = ["example.py"]
    process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)

    let trace = try TraceReader(file: directory.file("example.db"))
    #expect(try trace.checkIntegrity() == [])
    let run = try trace.run(.latest)
    #expect(run.name == "example" && run.state == .completed && run.tokenCount == 5 && run.sequenceCount == 2)
    #expect(run.description.origin == RunOrigin(kind: .recorder) && run.description.routers.allSatisfy { $0.spec.rule == .unknown })
    #expect(try trace.pagesWithoutChecksum(run: run.id) == 0)
    let query = TraceQuery(trace: trace)
    #expect(try query.all("SELECT count(*) FROM routing WHERE router = 'ffn.1' AND token = 3").rows == [[.integer(0)]])
    #expect(try query.all("SELECT count(*) FROM routing").rows == [[.integer(18)]])
    #expect(
      try query.all("SELECT expert FROM routing WHERE router = 'ffn.0' AND token = 3 ORDER BY rank").rows == [[.integer(1)], [.integer(5)]])
  }

  /// Views that another program did not write are there once the trace was opened.
  @Test func tablesWithoutViews() throws {
    let file = directory.file("trace.db")
    try SampleShape(name: "x", passes: [3]).record(in: file)
    let drops = TraceSchema.views.map { "DROP VIEW \($0.name);" }.joined()
    try DatabaseQueue(path: file).write { try $0.execute(sql: drops) }
    #expect(try TraceReader(file: file).viewProblems() == [])
  }
}
