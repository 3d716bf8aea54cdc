// Does a bad file lead to an error that says so, never to a crash? Files that are not traces, every truncation, a thousand seeded
// mutations, and places that cannot be written.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct DamageTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  /// The kind of error of opening `path`; nil when it opens.
  private func kindOfOpening(_ path: String) -> StoreError.Kind? {
    do {
      let trace = try TraceReader(file: path)
      _ = try trace.runs()
      return nil
    } catch { return (error as? StoreError)?.kind ?? .ourFault }
  }

  @Test func whatIsNotATrace() throws {
    #expect(kindOfOpening(directory.file("nowhere.db")) == .missing)
    #expect(kindOfOpening(directory.path) == .damaged)
    #expect(kindOfOpening("/dev/null") == .damaged)
    #expect(kindOfOpening(try directory.write([], to: "empty.db")) == .damaged)
    #expect(kindOfOpening(try directory.write("hello, world".utf8, to: "text.db")) == .damaged)
    #expect(kindOfOpening(try directory.write(Array(repeating: UInt8(7), count: 9000), to: "noise.db")) == .damaged)
    let foreign = directory.file("foreign.db")
    try DatabaseQueue(path: foreign).write { try $0.execute(sql: "CREATE TABLE people (name TEXT)") }
    #expect(kindOfOpening(foreign) == .damaged)
    #expect(throws: StoreError.notATrace(file: foreign, found: "a SQLite database of another program")) {
      try SampleShape(name: "x", passes: [1]).record(in: foreign)
    }
    #expect(throws: StoreError.self) { try SampleShape(name: "x", passes: [1]).record(in: directory.file("text.db")) }
  }

  @Test func placesThatCannotBeWritten() throws {
    func kindOfWriting(_ path: String) -> StoreError.Kind? {
      do {
        try SampleShape(name: "x", passes: [1]).record(in: path)
        return nil
      } catch { return (error as? StoreError)?.kind }
    }
    #expect(kindOfWriting(directory.file("no/such/directory/t.db")) == .cannotCreate)
    #expect(kindOfWriting("/proc/moetop.db") == .cannotCreate)
    #expect(kindOfWriting(directory.path) == .damaged)
    // An empty file may become a trace; a directory is made when asked for.
    #expect(kindOfWriting(try directory.write([], to: "empty.db")) == nil)
    var options = TraceWriter.Options()
    options.createsDirectory = true
    try SampleShape(name: "x", passes: [1]).record(in: directory.file("deep/er/t.db"), options: options)
    #expect(throws: StoreError.missingFile(file: directory.file("none.db"))) { try TraceEditor(file: directory.file("none.db")) }
  }

  @Test(.enabled(if: geteuid() != 0, "the superuser may write everywhere")) func directoryWithoutPermission() throws {
    try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: directory.path)
    defer { try? FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory.path) }
    #expect { try SampleShape(name: "x", passes: [1]).record(in: file) } throws: { ($0 as? StoreError)?.kind == .cannotCreate }
  }

  /// A full disk, played by SQLite's own limit on the size of the file.
  @Test func fullDisk() throws {
    let shape = SampleShape(name: "full disk", expertCount: 64, topK: 8, passes: [])
    let database = try TraceFile.openForWriting(file, busyTimeout: 1)
    try database.inDatabase { try $0.execute(sql: "PRAGMA max_page_count = 120") }
    let recorder = try RunRecorder(
      database: database, file: file, description: shape.run, sequences: [], process: .current, now: 0, pieces: { _ in nil })
    let passes = SampleShape(name: "full disk", expertCount: 64, topK: 8, passes: [500, 4000, 10]).makePasses()
    try recorder.add(passes[0])
    try recorder.commit(now: 1)
    try recorder.add(passes[1])
    #expect(throws: StoreError.diskFull(file: file)) { try recorder.commit(now: 2) }
    // What was committed is whole; when there is space again, nothing is missing.
    #expect(try TraceReader(file: file).run(.latest).tokenCount == 500)
    try database.inDatabase { try $0.execute(sql: "PRAGMA max_page_count = 1000000") }
    try recorder.add(passes[2])
    try recorder.commit(now: 3, outcome: .completed)
    #expect(try TraceReader(file: file).wholeRun().differences(from: WholeRun(passes)) == [])
    #expect(try TraceReader(file: file).checkIntegrity() == [])
  }

  /// Everything a reader can be asked, on a file that may be anything. Errors are fine, crashes are not.
  private func readEverything(_ path: String) {
    func attempt(_ body: () throws -> Void) {
      do { try body() } catch {
        #expect(error is StoreError, "\(error)")
      }
    }
    attempt {
      let trace = try TraceReader(file: path)
      attempt { _ = try trace.checkIntegrity() }
      for run in try trace.runs() {
        attempt { try trace.passes(of: run).forEach { _ in } }
        attempt { _ = try trace.footprint(of: run) }
        attempt { _ = try trace.sequences(run: run.id) }
        attempt { _ = try trace.pieces(run: run.id) }
        attempt { try TraceExport(trace: trace, run: run).write(.routing, as: .jsonl, to: .stream { _ in }) }
      }
      attempt { _ = try TraceQuery(trace: trace).all("SELECT count(*), sum(weight) FROM routing WHERE token < 5") }
    }
  }

  @Test func truncatedFiles() throws {
    try SampleShape(name: "x", recording: RecordingLevel(content: .full), passes: [150, 60], hasPadding: true).record(in: file)
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    for length in Array(stride(from: 0, to: bytes.count, by: 4096)) + [1, 15, 16, 99, 100, 101, 5000, bytes.count - 1] {
      let path = try directory.write(bytes.prefix(length), to: "cut.db")
      readEverything(path)
      #expect(kindOfOpening(path) == .damaged || length > 8192)
    }
  }

  @Test func mutatedFiles() throws {
    try SampleShape(name: "x", recording: RecordingLevel(content: .full), passes: [100, 10], hasPadding: true).record(in: file)
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    var random = SeededRandom(seed: 11)
    for round in 0..<150 {
      var copy = bytes
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        // Half of the time in the first pages, where the schema lies.
        let end = Bool.random(using: &random) ? copy.count : 32768
        copy[Int.random(in: 0..<end, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      readEverything(try directory.write(copy, to: "mutated\(round).db"))
      try FileManager.default.removeItem(atPath: directory.file("mutated\(round).db"))
    }
  }

  /// Rows that are valid SQLite and lie about what they hold.
  @Test(arguments: [
    "UPDATE page SET ids = zeroblob(3)", "UPDATE page SET token_count = 1000000000000", "UPDATE page SET token_count = -5",
    "UPDATE page SET first_token = first_token - 9", "UPDATE page SET ids = NULL WHERE 0; UPDATE page SET weights = 'text'",
    "UPDATE page SET entropy = 5", "UPDATE page SET logit_rows = x'ffffffff'", "UPDATE page SET importance = x'00'",
    "UPDATE router SET expert_count = 0", "UPDATE router SET expert_count = 9000000000000000000", "UPDATE router SET top_k = 99",
    "UPDATE router SET id_bytes = 3", "UPDATE router SET page_tokens = -1", "UPDATE router SET page_tokens = 1 << 39",
    "UPDATE router SET top_k = 16, page_tokens = 1 << 39; UPDATE page SET token_count = 1 << 38", "UPDATE router SET stack = 'x'",
    "UPDATE router SET spec = '{}'", "UPDATE router SET spec = replace(spec, '\"topK\":2', '\"topK\":-2')",
    "UPDATE router SET spec = replace(spec, '\"topK\":2', '\"topK\":9')", "UPDATE router SET spec = x'ff'",
    "UPDATE router SET layer = -1 - layer",
    "UPDATE run SET description = 'no'", "UPDATE run SET token_count = 1 << 40", "UPDATE run SET token_count = -1",
    "UPDATE run SET state = 'x'", "UPDATE run SET heartbeat = 'x'", "UPDATE run SET process = 1 << 60", "UPDATE run SET stored_bytes = -7",
    "UPDATE token SET phase = 7", "UPDATE token SET sequence = 1 << 50", "UPDATE token SET token_id = 1 << 50",
    "UPDATE token SET position = 'x' WHERE token = 50", "UPDATE token SET surprisal = 'x'", "UPDATE token SET token_id = 1.5",
    "UPDATE page SET checksum = 'x'", "UPDATE page SET squared_lse = 'x'", "UPDATE page SET first_token = 'x'",
    "DELETE FROM token WHERE token = 50", "UPDATE sequence SET labels = '[]'", "UPDATE sequence SET sequence = (1 << 40) + sequence",
    "UPDATE piece SET token_id = 1 << 40 WHERE token_id = (SELECT min(token_id) FROM piece)", "DELETE FROM page WHERE first_token = 0",
    "DELETE FROM router", "UPDATE router SET logit_bytes = 8",
    "DELETE FROM capture_check; DELETE FROM expert_total; DELETE FROM decoder",
  ])
  func rowsThatLie(_ sql: String) throws {
    try SampleShape(name: "x", recording: RecordingLevel(content: .full, logitsEvery: 2), passes: [100, 10]).record(in: file)
    try DatabaseQueue(path: file).inDatabase { db in
      try db.execute(sql: "PRAGMA foreign_keys = OFF")
      try db.execute(sql: sql)
    }
    readEverything(file)
  }

  /// A value of another type than its column is damage, whichever way it is read.
  @Test(arguments: [
    "UPDATE token SET position = 'x' WHERE token = 50", "UPDATE page SET squared_lse = 'x'", "UPDATE page SET checksum = 'x'",
  ])
  func otherTypesAreDamage(_ sql: String) throws {
    try SampleShape(name: "x", passes: [100]).record(in: file)
    try DatabaseQueue(path: file).inDatabase { try $0.execute(sql: sql) }
    let (trace, run) = try TraceReader.open(TraceReference(file: file, run: .latest))
    let error = #expect(throws: StoreError.self) { try trace.passes(of: run).forEach { _ in } }
    #expect(error?.kind == .damaged, "\(String(describing: error))")
  }

  @Test func integrityCheckFindsWhatIsWrong() throws {
    try SampleShape(name: "x", passes: [100]).record(in: file)
    try SampleShape(name: "y", passes: [100]).record(in: file)
    try DatabaseQueue(path: file).inDatabase { db in
      try db.execute(sql: "UPDATE page SET weights = zeroblob(8) WHERE router = 5; DELETE FROM token WHERE run = 2 AND token = 99")
    }
    let findings = try TraceReader(file: file).checkIntegrity()
    #expect(findings.allSatisfy { $0.run == 2 } && findings.count >= 2)
    #expect(findings.map(\.description).joined().contains("column weights has 8 bytes, expected 800"))
    #expect(findings.map(\.description).joined().contains("rows of the token table: found 99, expected 100"))
  }
}
