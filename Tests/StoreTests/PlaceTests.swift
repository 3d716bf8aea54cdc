// Is the trace where its path says? Names that SQLite would read as something else, files that are removed, replaced or renamed while a
// run is written to them, and names of runs that would select something else.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct PlaceTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  @Test(arguments: [("file:zz.db", "./file:zz.db"), (":memory:", "./:memory:"), ("a/b.db", "./a/b.db"), ("/x.db", "/x.db"), ("", "./")])
  func aNameIsAPath(_ path: String, _ expected: String) { #expect(TraceFile.sqliteName(path) == expected) }

  enum Loss: CaseIterable { case removed, replaced, renamed }

  @Test(arguments: Loss.allCases) func aRunOutlivesItsFile(_ loss: Loss) throws {
    try SampleShape(name: "before", passes: [10]).record(in: file)
    try SampleShape(name: "stranger", passes: [3]).record(in: directory.file("other.db"))
    let shape = SampleShape(name: "long", passes: [300, 200, 1, 50])
    let passes = shape.makePasses()
    let writer = try TraceWriter(file: file, description: shape.run)
    try writer.receive(passes[0])
    try writer.flush()
    #expect(writer.relocation == nil)
    let manager = FileManager.default
    switch loss {
    case .removed: for suffix in ["", "-wal", "-shm"] { try manager.removeItem(atPath: file + suffix) }
    case .replaced: #expect(rename(directory.file("other.db"), file) == 0)
    case .renamed: try manager.moveItem(atPath: file, toPath: directory.file("away.db"))
    }
    for pass in passes[1...] { try writer.receive(pass) }
    try writer.finish(.completed)

    let rescued = file + ".rescued.db"
    #expect(writer.file == rescued)
    #expect(writer.relocation as StoreError? == .moved(file: file, run: 2, rescued: rescued))
    let trace = try writer.reader()
    #expect(try trace.runs().map(\.name) == ["before", "long"] && trace.run(.latest).state == .completed)
    #expect(try trace.wholeRun().differences(from: WholeRun(passes)) == [])
    #expect(try trace.checkIntegrity() == [])
    // Whoever lies at the path now is left alone.
    if loss == .replaced {
      let stranger = try TraceReader(file: file)
      #expect(try stranger.runs().map(\.name) == ["stranger"] && stranger.checkIntegrity() == [])
    }
  }

  /// Between the end of a run and the look at it, its file is exchanged: another file's run is not described.
  @Test func anotherFilesRunIsNotOurs() throws {
    let shape = SampleShape(name: "mine", passes: [5])
    let writer = try TraceWriter(file: file, description: shape.run)
    try writer.receive(shape.makePasses()[0])
    try writer.finish(.completed)
    #expect(try writer.reader().run(.latest).name == "mine")
    try SampleShape(name: "stranger", passes: [5]).record(in: directory.file("other.db"))
    #expect(rename(directory.file("other.db"), file) == 0)
    #expect(throws: StoreError.moved(file: file, run: 1, rescued: nil)) { try writer.reader() }
    try FileManager.default.removeItem(atPath: file)
    #expect(throws: StoreError.moved(file: file, run: 1, rescued: nil)) { try writer.reader() }
  }

  @Test(arguments: ["", " ", "latest", "12", "007", "a#b", "#", "a/b", "x.db"])
  func namesThatWouldSelectSomethingElse(_ name: String) throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    #expect { try RunName.check(name) } throws: { ($0 as? StoreError)?.kind == .usage }
    #expect { try TraceEditor(file: file).rename(.latest, to: name) } throws: { ($0 as? StoreError)?.kind == .usage }
    if name.isEmpty { return }
    #expect { try SampleShape(name: name, passes: [1]).record(in: file) } throws: { ($0 as? StoreError)?.kind == .usage }
  }

  @Test(arguments: ["baseline", "7b-run", "v1.2", "Größe 3", "late"]) func namesThatSelect(_ name: String) throws {
    try SampleShape(name: name, passes: [1]).record(in: file)
    let reference = try TraceReference(parsing: name, defaultTrace: file) { _ in false }
    #expect(try TraceReader.open(reference).run.name == name)
  }

  /// Editing leaves the plain file that a finished run is.
  @Test func editingLeavesOneFile() throws {
    try SampleShape(name: "x", passes: [1]).record(in: file)
    try TraceEditor(file: file).rename(.latest, to: "y")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["trace.db"])
    #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))[18...19] == [1, 1], "rollback mode")
  }

  @Test func pathsThatLeadNowhere() throws {
    #expect(symlink("loop.db", directory.file("loop.db")) == 0)
    try directory.write("x".utf8, to: "plain")
    let long = String(repeating: "a", count: 300) + ".db"
    for name in ["loop.db", "plain/t.db", long] {
      #expect { try TraceReader(file: directory.file(name)) } throws: { ($0 as? StoreError)?.kind == .missing }
      #expect { try SampleShape(name: "x", passes: [1]).record(in: directory.file(name)) } throws: {
        ($0 as? StoreError)?.kind == .cannotCreate
      }
    }
  }
}
