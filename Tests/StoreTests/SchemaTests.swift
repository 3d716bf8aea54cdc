// Are the documented views the views that are there? And does a trace of every schema that was ever shipped still open?

import Formats
import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct SchemaTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/store")

  @Test func catalogueIsWhatTheFileHas() throws {
    try SampleShape(name: "x", expertCount: 8, topK: 2, passes: [120], hasDrops: true).record(in: file)
    try DatabaseQueue(path: file).read { db in
      let present = try String.fetchSet(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'view'")
      #expect(present == Set(TraceSchema.views.map(\.name)))
      for view in TraceSchema.views {
        #expect(try db.columns(in: view.name).map(\.name) == view.columns.map(\.name), "\(view.name)")
        #expect(!view.meaning.isEmpty && view.columns.allSatisfy { $0.meaning.hasSuffix(".") })
        // Each column holds values of the type it declares, or NULL.
        for column in view.columns {
          let types = try String.fetchSet(db, sql: "SELECT DISTINCT typeof(\(column.name)) FROM \(view.name) LIMIT 2000")
          #expect(types.isSubset(of: ["null", column.kind.rawValue.lowercased()]), "\(view.name).\(column.name): \(types)")
        }
        _ = try Row.fetchAll(db, sql: view.example)
      }
    }
  }

  @Test func renderings() throws {
    for view in TraceSchema.views {
      for format in TraceSchema.Format.allCases {
        let text = TraceSchema.rendered(as: format)
        #expect(text.hasSuffix("\n"))
        for column in view.columns { #expect(text.contains(column.name) && text.contains(view.name)) }
      }
    }
    let json = try JSON.parse(text: TraceSchema.rendered(as: .json), name: "schema")
    #expect(json["schema"]?.string == "moetop.schema/1")
    #expect(json["views"]?.count == TraceSchema.views.count)
  }

  /// Traces as each released version left them, as SQL dumps. A new migration must read them all; a fixture is never edited.
  @Test(arguments: ["trace-1", "trace-2", "trace-3", "trace-4", "trace-5", "trace-6", "trace-7", "trace-8", "trace-9"])
  func everyShippedSchemaOpens(
    _ name: String
  ) throws {
    let dump = try String(contentsOf: Self.fixtures.appendingPathComponent("\(name).sql"), encoding: .utf8)
    try DatabaseQueue(path: file).inDatabase { try $0.execute(sql: dump) }
    let trace = try TraceReader(file: file)
    let run = try trace.run(.latest)
    #expect(run.name == "fixture" && run.tokenCount == 9 && run.state == .completed)
    let whole = WholeRun(Self.fixtureShape.makePasses(seed: 7))
    #expect(try trace.wholeRun().differences(from: whole) == [])
    // Its weights and entropies are random numbers; all else is in order, and only those from trace-3 on have checksums.
    let findings = try trace.checkIntegrity().map(\.problem)
    #expect(findings.allSatisfy { $0.contains(": entropy ") || $0.contains(": weight ") }, "\(findings)")
    #expect(try trace.pagesWithoutChecksum(run: 1) == (["trace-1", "trace-2"].contains(name) ? 3 : 0))
    let sql = "SELECT expert, weight FROM routing WHERE run = 1 AND layer = 3 AND token = 4 ORDER BY rank"
    let rows = try TraceQuery(trace: trace).all(sql).rows
    let batch = try #require(whole.routers[RouterID(layer: 3)])
    #expect(rows == (8..<10).map { [.integer(Int64(batch.selectedExperts[$0])), .real(Double(batch.routingWeights[$0]))] })
    // Old traces go on: another run fits in.
    trace.close()
    try SampleShape(name: "next", passes: [10]).record(in: file)
    #expect(try TraceReader(file: file).runs().map(\.name) == ["fixture", "next"])
  }

  /// Names of experts need a schema of their own; who cannot write the file reads the rest of it as it is.
  @Test func anOlderTraceThatCannotBeWrittenIsRead() throws {
    let dump = try String(contentsOf: Self.fixtures.appendingPathComponent("trace-6.sql"), encoding: .utf8)
    try DatabaseQueue(path: file).inDatabase { try $0.execute(sql: dump) }
    #expect(chmod(file, 0o444) == 0)
    // Root writes where nobody may.
    guard access(file, W_OK) != 0 else { return }
    let trace = try TraceReader(file: file)
    #expect(try trace.run(.latest).tokenCount == 9 && trace.expertLabels(run: 1).isEmpty)
  }

  @Test func expertsAreNamed() throws {
    try SampleShape(name: "x", expertCount: 4, topK: 2, passes: [3]).record(in: file)
    let router = try #require(try TraceReader(file: file).run(.latest).description.routers.first?.id)
    let editor = try TraceEditor(file: file)
    try editor.setLabel("commas", ofExpert: 3, at: router, of: .id(1))
    try editor.setLabel("water's edge", ofExpert: 3, at: router, of: .id(1))
    try editor.setLabel("nothing", ofExpert: 0, at: router, of: .id(1))
    try editor.setLabel("", ofExpert: 0, at: router, of: .id(1))
    #expect { try editor.setLabel("x", ofExpert: 4, at: router, of: .id(1)) } throws: { ($0 as? StoreError)?.kind == .missing }
    try editor.close()
    let trace = try TraceReader(file: file)
    #expect(try trace.expertLabels(run: 1) == [router: [3: "water's edge"]])
    #expect(try TraceQuery(trace: trace).all("SELECT layer, expert, label FROM expert_labels").rows.count == 1)
    trace.close()
    let again = try TraceEditor(file: file)
    try again.delete(.id(1))
    #expect(try TraceQuery(trace: TraceReader(file: file)).all("SELECT * FROM expert_labels").rows.isEmpty)
  }

  static let fixtureShape = SampleShape(
    name: "fixture", expertCount: 4, topK: 2, recording: RecordingLevel(content: .full, logitsEvery: 4), passes: [6, 1, 2],
    sequenceLength: 5, hasNaN: true, hasDrops: true, isPlausible: false)

  /// Makes the fixture of the present schema when there is none yet, and fails, so that a person looks at it.
  @Test func presentSchemaHasAFixture() throws {
    let name = try #require(TraceMigrations.names.last)
    let fixture = Self.fixtures.appendingPathComponent("\(name).sql")
    if FileManager.default.fileExists(atPath: fixture.path) { return }
    var options = TraceWriter.Options()
    options.clock = { 1_700_000_100 }
    options.process = ProcessIdentity(id: 1, host: "fixture")
    try Self.fixtureShape.record(in: file, seed: 7, options: options)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    process.arguments = [file, ".dump"]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let dump = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    try FileManager.default.createDirectory(at: Self.fixtures, withIntermediateDirectories: true)
    try ("PRAGMA application_id=\(TraceMigrations.applicationID);\n" + dump).write(to: fixture, atomically: true, encoding: .utf8)
    Issue.record("made \(fixture.path); look at it and commit it")
  }

  @Test func aNewerSchemaIsRefused() throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    try DatabaseQueue(path: file).write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('trace-999')") }
    let error = StoreError.newerSchema(file: file, found: ["trace-999"], known: TraceMigrations.names.last ?? "")
    #expect(throws: error) { try TraceReader(file: file) }
    #expect(throws: error) { try SampleShape(name: "y", passes: [1]).record(in: file) }
    #expect(error.advice == "update moetop")
  }

  /// A trace whose record of steps lost a line is damaged, not old: no step may run twice.
  @Test(arguments: [
    "'trace-1'", "'trace-2'", "'trace-1', 'trace-2', 'trace-3', 'trace-4', 'trace-5', 'trace-6', 'trace-7', 'trace-8', 'trace-9'",
  ])
  func aLostStepIsDamage(
    _ steps: String
  ) throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    try DatabaseQueue(path: file).write { try $0.execute(sql: "DELETE FROM grdb_migrations WHERE identifier IN (\(steps))") }
    #expect { try TraceReader(file: file) } throws: {
      guard case StoreError.damaged(_, "schema", _) = $0 else { return false }
      return true
    }
    #expect { try TraceEditor(file: file) } throws: { ($0 as? StoreError)?.kind == .damaged }
  }

  /// Views of an older version are replaced when a newer one writes to the trace.
  @Test func viewsAreBroughtUpToDate() throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    try DatabaseQueue(path: file).write { try $0.execute(sql: "DROP VIEW tokens; CREATE VIEW tokens AS SELECT 1 AS old") }
    try SampleShape(name: "y", passes: [1]).record(in: file)
    #expect(try TraceQuery(trace: TraceReader(file: file)).all("SELECT run, token FROM tokens").rows.count == 2)
  }

  // MARK: SQL

  @Test(arguments: [
    "DELETE FROM run", "INSERT INTO run DEFAULT VALUES", "DROP VIEW runs", "PRAGMA user_version = 3", "PRAGMA journal_mode",
    "ATTACH 'x' AS y",
    "BEGIN", "VACUUM", "", " -- nothing", "/* open", "CREATE TEMP TABLE x (a)", "REINDEX",
    "WITH x AS (SELECT 1) DELETE FROM run", "UPDATE run SET name = 'x'",
  ])
  func refusesToWrite(_ sql: String) throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    let trace = try TraceReader(file: file)
    #expect { try TraceQuery(trace: trace).all(sql) } throws: { error in
      if case StoreError.refusedStatement = error { true } else { false }
    }
    #expect(try trace.runs().map(\.name) == ["x"])
  }

  /// A question that is right, over a view of the file that is not.
  @Test func aDamagedViewIsNotTheQuestionsFault() throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    let copy = directory.file("damaged.db")
    try DatabaseQueue(path: file).vacuum(into: copy)
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: copy)))
    let place = try #require(Data(bytes).range(of: Data("r.token".utf8))).lowerBound
    bytes[place + 4] ^= 0x80
    try Data(bytes).write(to: URL(fileURLWithPath: copy))
    let query = TraceQuery(trace: try TraceReader(file: copy))
    var answers: [String] = []
    for view in TraceSchema.views {
      do { _ = try query.all("SELECT * FROM \(view.name)") } catch { answers.append("\(error)") }
    }
    #expect(!answers.isEmpty && answers.allSatisfy { $0.hasPrefix(copy) && $0.contains("damaged: view ") }, "\(answers)")
  }

  @Test func answersQuestions() throws {
    try SampleShape(name: "one", passes: [3]).record(in: file)
    try SampleShape(name: "two", passes: [4]).record(in: file)
    let trace = try TraceReader(file: file)
    let query = TraceQuery(trace: trace)
    let sql = " -- which runs?\n /* all */ SELECT run AS number, 1.5 AS x, NULL AS y, 'é' AS z, x'00ff' AS b FROM runs ORDER BY 1"
    let answer = try query.all(sql)
    #expect(answer.columns == ["number", "x", "y", "z", "b"])
    #expect(answer.rows == [1, 2].map { [.integer($0), .real(1.5), .null, .text("é"), .blob(Data([0, 255]))] })
    #expect(try query.all("WITH t AS (SELECT count(*) AS n FROM tokens) SELECT n FROM t").rows == [[.integer(7)]])
    #expect(try TraceQuery(trace: trace, run: 2).all("SELECT count(*), min(run) FROM tokens").rows == [[.integer(4), .integer(2)]])
    #expect(try TraceQuery(trace: trace, run: 1).all("SELECT count(*) FROM tokens, layer_summary").rows == [[.integer(9)]])
    #expect(try query.all("SELECT count(*) FROM tokens").rows == [[.integer(7)]])
    #expect(try !query.all("EXPLAIN QUERY PLAN SELECT * FROM tokens").rows.isEmpty)
    for (wrong, words) in [("SELECT 1; SELECT 2", "one at a time"), ("SELECT ?", "write the value itself")] {
      #expect { try query.all(wrong) } throws: { "\($0)".contains(words) && !"\($0)".contains("Database") }
    }
    for wrong in ["SELECT nothing FROM runs", "SELECT", "SELECT 1; SELECT 2", "SELECT * FROM nowhere"] {
      #expect { try query.all(wrong) } throws: { error in
        if case StoreError.badStatement = error { true } else { false }
      }
    }
  }
}
