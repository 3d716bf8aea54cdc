// Is a copied run the run? Every table is compared cell by cell, pages and checksums included; then what is refused, what a stop leaves behind, and
// that no table of the schema is forgotten.

import Formats
import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct MergeTests {
  let directory: TemporaryDirectory
  private var output: String { directory.file("all.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func copy(_ inputs: [String], appending: Bool = false) throws -> TraceMerge {
    var merge = try TraceMerge(
      inputs.map { try TraceReference(parsing: $0, defaultTrace: "none.db") { FileManager.default.fileExists(atPath: $0) } })
    try merge.copy(to: output, appending: appending)
    return merge
  }

  /// Every cell of a run but ids that SQLite gives, by table: what must be equal in a copy.
  private func cells(_ file: String, _ run: Int64) throws -> [String: [String]] {
    try TraceReader(file: file).read { db in
      var cells: [String: [String]] = [:]
      func collect(_ table: RunTable, _ sql: String, without: Set<String>) throws {
        cells[table.name] = try Row.fetchAll(db, sql: sql, arguments: [run]).map { row in
          row.filter { !without.contains($0.0) }.map { "\($0.0)=\(Self.words($0.1))" }.joined(separator: " ")
        }
      }
      try collect(.runs, "SELECT * FROM run WHERE id = ?", without: ["id", "description", "process"])
      for table in RunTable.all where table.owner == .run {
        try collect(table, "SELECT * FROM \(table.name) WHERE run = ?", without: ["run"])
      }
      let routers = "JOIN router AS r ON r.id = t.router WHERE r.run = ? ORDER BY t.router"
      try collect(.routers, "SELECT * FROM router WHERE run = ? ORDER BY id", without: ["id", "run"])
      for table in RunTable.all where table.owner == .router {
        try collect(table, "SELECT t.* FROM \(table.name) AS t \(routers)", without: ["id", "router"])
      }
      try collect(.pages, "SELECT t.* FROM page AS t \(routers), t.first_token", without: ["id", "router"])
      let extra = "SELECT x.* FROM page_extra AS x JOIN page AS t ON t.id = x.page \(routers), t.first_token"
      try collect(RunTable(name: "page_extra", owner: .page), extra, without: ["page"])
      return cells
    }
  }

  /// A value with its type: 1 is not '1'.
  private static func words(_ value: DatabaseValue) -> String {
    switch value.storage {
    case .null: "null"
    case .int64(let number): "i\(number)"
    case .double(let number): "d\(number.bitPattern)"
    case .string(let text): "s\(text)"
    case .blob(let bytes): "b\(bytes.base64EncodedString())"
    }
  }

  /// A run with all that a run can have.
  private func recordRich(in file: String, parent: Int64? = nil) throws {
    var shape = SampleShape(
      name: "rich", routers: [RouterID(layer: 0), try #require(RouterID(path: "vision.attn.4.q.h2"))],
      recording: RecordingLevel(content: .full, extras: .all),
      passes: [300, 200, 1, 1], hasNaN: true, hasDrops: true)
    shape.sequenceLength = 40
    var description = shape.run
    description.routers[0].more = RouterFacts(sharedExperts: 1, experts: [ExpertFacts(expert: 3, name: "verbs")])
    (description.parent, description.series) = (parent, "series")
    description.recorded = RunOrigin(kind: .import, format: "vllm", source: "routes.npy")
    var passes = shape.makePasses()
    for place in passes.indices {
      var facts = TokenFacts(count: passes[place].tokens.count)
      facts.setLabel("kind", "noun", of: 0)
      facts.setCoordinate("time", 1.5, of: 0)
      facts.setRequest(7, of: 0)
      facts.setRank(2, of: 0)
      passes[place].tokens.facts = facts
    }
    let writer = try TraceWriter(
      file: file, description: description, sequences: [SequenceDescription(name: "first", labels: ["domain": "code"])],
      pieces: { Array("t\($0)".utf8) })
    for pass in passes { try writer.receive(pass) }
    try writer.note([ImportFinding(.equalRows, router: RouterID(layer: 0), count: 3, of: 9, first: [4, 5], detail: "rows are equal")])
    try writer.finish(.completed)
    let editor = try TraceEditor(file: file)
    try editor.setLabel("adjectives", ofExpert: 5, at: RouterID(layer: 0), of: .id(writer.run))
    try editor.close()
  }

  @Test func everyCellIsCarriedOver() throws {
    let (a, b) = (directory.file("a.db"), directory.file("b.db"))
    try SampleShape(name: "other", passes: [50]).record(in: b)
    try recordRich(in: a)
    let merge = try copy([b, a])
    #expect(merge.done.map(\.id) == [1, 2] && merge.done.map(\.name) == ["other", "rich"] && merge.notes.isEmpty)
    let (from, to) = (try cells(a, 1), try cells(output, 2))
    #expect(Set(from.keys) == Set(to.keys))
    for (table, rows) in from {
      #expect(rows == to[table], "\(table)")
      #expect(!rows.isEmpty || table.hasPrefix("denoising"), "\(table) has nothing to compare")
    }
    let trace = try TraceReader(file: output)
    #expect(try trace.checkIntegrity() == [])
    let (copied, original) = (try trace.run(.id(2)), try TraceReader(file: a).run(.id(1)))
    var expected = original.description
    expected.recorded?.source = "\(a)#1"
    #expect(copied.description == expected && copied.checks == original.checks && copied.state == .completed)
    #expect(try trace.run(.id(1)).description.origin == RunOrigin(source: "\(b)#1"))
    #expect(try trace.expertLabels(run: 2) == [RouterID(layer: 0): [5: "adjectives"]])
    #expect(try trace.importFindings(run: 2).map(\.code) == [.equalRows])
    // Views read the copy as they read the original.
    let sql = "SELECT count(*), total(weight), total(norm), max(rank) FROM routing WHERE run = %"
    func rows(_ trace: TraceReader, _ run: Int) throws -> [[SQLValue]] {
      var rows: [[SQLValue]] = []
      try TraceQuery(trace: trace)(sql.replacingOccurrences(of: "%", with: "\(run)")) { answer in
        while let row = try answer.next() { rows.append(row) }
      }
      return rows
    }
    #expect(try rows(trace, 2) == rows(try TraceReader(file: a), 1))
  }

  @Test func noTableIsForgotten() throws {
    _ = try SampleShape(name: "x", passes: [3]).record(in: output)
    let tables = try TraceReader(file: output).read { db in
      try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    }
    let known = RunTable.all.map(\.name) + ["run", "router", "page", "number", "decoder", "float_scale", "grdb_migrations"]
    #expect(Set(tables) == Set(known))
  }

  @Test func imagesAreCarriedOver() throws {
    let images = directory.file("images.db")
    let layout = DenoisingLayout(sampler: "ddpm", timesteps: [1, 0.5], branchCount: 1, patchRows: 20, patchColumns: 3, guidanceScale: 1)
    var description = SampleShape(
      name: "images", routers: [RouterID(layer: 0)], expertCount: 5, recording: RecordingLevel(content: .counts), passes: []
    ).run
    description.denoising = layout
    let writer = try TraceWriter(
      file: images, description: description, sequences: [SequenceDescription(name: "s", labels: ["class": "1"])])
    var shape = SampleShape(name: "images", routers: [RouterID(layer: 0)], expertCount: 5, passes: [120])
    shape.hasDrops = true
    var pass = shape.makePasses()[0]
    var tokens = TokenTable()
    for position in 0..<120 { tokens.append(sequence: 0, position: position, tokenID: -1, phase: .denoise) }
    pass.tokens = tokens
    try writer.receive(pass)
    try writer.finish(.completed)
    _ = try copy([images])
    let (from, to) = (try cells(images, 1), try cells(output, 1))
    #expect(from == to && from["denoising_sample"]?.isEmpty == false && from["denoising_step"]?.count == 2)
    let trace = try TraceReader(file: output)
    #expect(try trace.checkIntegrity() == [], "the table that views count with has grown")
    #expect(try trace.denoisingCounts(of: try trace.run(.latest))?.samples == [0])
  }

  /// Damage is carried over as it is, and found in the copy.
  @Test func damageStaysDamage() throws {
    let a = directory.file("a.db")
    try SampleShape(name: "x", passes: [300]).record(in: a)
    try SQLite.run("UPDATE page SET entropy = zeroblob(length(entropy)) WHERE id = 2", on: a)
    _ = try copy([a])
    let (from, to) = (try TraceReader(file: a).checkIntegrity(), try TraceReader(file: output).checkIntegrity())
    #expect(!from.isEmpty && from == to)
  }

  @Test func aVariantFollowsItsParent() throws {
    let a = directory.file("a.db")
    let shape = SampleShape(name: "base", passes: [20])
    try shape.record(in: a)
    func variant(_ name: String, of parent: Int64) throws {
      var description = shape.run
      (description.name, description.parent) = (name, parent)
      let writer = try TraceWriter(file: a, description: description)
      try writer.finish(.completed)
    }
    try variant("child", of: 1)
    try variant("grandchild", of: 2)
    // Named the wrong way round, and the first without its own parent.
    let merge = try copy(["\(a)#3", "\(a)#2"])
    let runs = try TraceReader(file: output).runs()
    #expect(runs.map(\.name) == ["child", "grandchild"] && runs.map(\.description.parent) == [nil, 1])
    #expect(merge.notes.count == 1 && merge.notes[0].contains("#2 is a variant of run 1"))
    // A later merge does not guess that a run of before is meant.
    let more = try copy(["\(a)#1"], appending: true)
    #expect(more.done.map(\.id) == [3] && more.notes.isEmpty)
  }

  @Test func whatIsRefused() throws {
    let (a, b) = (directory.file("a.db"), directory.file("b.db"))
    try SampleShape(name: "x", passes: [20]).record(in: a)
    try SampleShape(name: "y", passes: [20]).record(in: b)
    func failure(_ body: () throws -> Void) -> (any Error)? {
      do { try body() } catch { return error }
      return nil
    }
    #expect(failure { _ = try copy([a, "\(a)#1"]) } as? MergeError == .twice(run: "\(a)#1"))
    try FileManager.default.createSymbolicLink(atPath: directory.file("link.db"), withDestinationPath: a)
    #expect(
      failure { _ = try copy([a, directory.file("link.db")]) } as? MergeError == .twice(run: "\(a)#1"), "the same file by another name")
    #expect((failure { _ = try copy(["\(a)#9"]) } as? StoreError)?.kind == .missing)
    #expect(!FileManager.default.fileExists(atPath: output))
    _ = try copy([a])
    #expect(failure { _ = try copy([b]) } as? MergeError == .outputExists(file: output))
    #expect(try TraceReader(file: output).runs().map(\.name) == ["x"])
    _ = try copy([b], appending: true)
    #expect(try TraceReader(file: output).runs().map(\.name) == ["x", "y"])
    #expect(failure { _ = try copy([output], appending: true) } is FormatError, "an input is no output")
    #expect(failure { _ = try copy([b, "\(output)#1"], appending: true) } is FormatError)
    // A run that is still being written has no end to be copied to.
    let writer = try TraceWriter(file: b, description: SampleShape(name: "z", passes: []).run)
    #expect((failure { _ = try copy([b], appending: true) } as? StoreError)?.kind == .locked)
    try writer.finish(.completed)
  }

  /// A run is whole or not there; a file that would have none is not left behind.
  @Test func aStopKeepsWholeRuns() throws {
    let a = directory.file("a.db")
    try SampleShape(name: "first", passes: [20]).record(in: a)
    try SampleShape(name: "second", passes: [3000, 3000]).record(in: a)
    var merge = try TraceMerge([TraceReference(file: a, namesRun: false)])
    merge.isStopped = { true }
    #expect(throws: MergeError.stopped) { try merge.copy(to: output, appending: false) }
    #expect(merge.done.map(\.name) == ["first"])
    let trace = try TraceReader(file: output)
    #expect(try trace.runs().map(\.name) == ["first"] && trace.checkIntegrity() == [])
    trace.close()
    var alone = try TraceMerge([TraceReference(file: a, run: .name("second"))])
    alone.isStopped = { true }
    let other = directory.file("other.db")
    #expect(throws: MergeError.stopped) { try alone.copy(to: other, appending: false) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == ["a.db", "all.db"])
    #expect(throws: MergeError.stopped) { try alone.copy(to: output, appending: true) }
    #expect(try TraceReader(file: output).runs().count == 1, "what was there stays")
  }

  /// A run whose process died is copied as what it is, and nobody takes a process of that number for its writer.
  @Test func interruptedRunsStayInterrupted() throws {
    let a = directory.file("a.db")
    try SampleShape(name: "x", passes: [20]).record(in: a)
    try SQLite.run("UPDATE run SET state = 'running', ended_at = NULL, heartbeat = 1, process = 999999", on: a)
    let merge = try copy([a])
    #expect(merge.done.count == 1)
    let run = try TraceReader(file: output).run(.latest)
    #expect(run.state == .interrupted && run.endedAt == nil)
  }
}
