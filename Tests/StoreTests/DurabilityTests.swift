// What survives? A trace looked at while it is written, copied as a crash would leave it, written by a process that is killed, held up
// by another writer, and by a stream that pauses.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct DurabilityTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func options(interval: Double = 0.2) -> TraceWriter.Options {
    var options = TraceWriter.Options()
    options.commitInterval = interval
    return options
  }

  private func waitUntil(seconds: Double, _ condition: () -> Bool) -> Bool {
    let end = DispatchTime.now() + seconds
    while DispatchTime.now() < end {
      if condition() { return true }
      usleep(5000)
    }
    return condition()
  }

  /// A stream that pauses is on disk all the same, without a further token.
  @Test func pausedStreamIsCommitted() throws {
    let shape = SampleShape(name: "paused", passes: [3, 1])
    let passes = shape.makePasses()
    let writer = try TraceWriter(file: file, description: shape.run, options: options())
    try writer.receive(passes[0])
    #expect(waitUntil(seconds: 20) { writer.committedTokens == 3 })
    let trace = try TraceReader(file: file)
    #expect(try trace.run(.latest).tokenCount == 3)
    #expect(try trace.run(.latest).state == .running)
    try writer.receive(passes[1])
    #expect(waitUntil(seconds: 20) { writer.committedTokens == 4 })
    #expect(try trace.wholeRun().differences(from: WholeRun(passes)) == [])
    try writer.finish(.completed)
    #expect(try trace.run(.latest).state == .completed)
  }

  /// Whatever moment a reader looks, it sees a beginning of the run, whole.
  @Test func isReadableWhileBeingWritten() throws {
    let recording = RecordingLevel(content: .full, logitsEvery: 5)
    let shape = SampleShape(name: "live", recording: recording, passes: Array(repeating: 3, count: 400))
    let passes = shape.makePasses()
    let whole = WholeRun(passes)
    let writer = try TraceWriter(file: file, description: shape.run, options: options(interval: 0.02))
    let trace = try TraceReader(file: file)
    let writing = Thread { for pass in passes { try? writer.receive(pass); usleep(300) } }
    writing.start()
    var seen = Set<Int>()
    while writer.committedTokens < 1200, !writing.isFinished || seen.isEmpty {
      let run = try trace.run(.latest)
      seen.insert(run.tokenCount)
      // The cursor may outlive commits that replace parts of the page it stands on.
      var read: [RoutingPass] = []
      let cursor = trace.passes(of: run)
      while let pass = try cursor.next() {
        read.append(pass)
        usleep(2000)
      }
      var expected = whole
      expected.tokens = try trace.tokens(run: 1, in: 0..<run.tokenCount)
      for (id, batch) in whole.routers { expected.routers[id] = batch.cut(to: 0..<run.tokenCount) }
      if run.tokenCount > 0 { #expect(WholeRun(read).differences(from: expected, comparingSums: false) == []) }
    }
    #expect(waitUntil(seconds: 60) { writing.isFinished })
    try writer.finish(.completed)
    #expect(try trace.wholeRun().differences(from: whole) == [])
    #expect(try trace.checkIntegrity() == [])
  }

  /// A reader that comes while a trace is being made does not make it too.
  @Test func aTraceIsMadeOnce() throws {
    for round in 0..<20 {
      let file = directory.file("made\(round).db")
      let readers = (0..<3).map { _ in
        Thread { for _ in 0..<200 where (try? TraceReader(file: file).run(.latest)) == nil { usleep(100) } }
      }
      for reader in readers { reader.start() }
      try SampleShape(name: "made", passes: [3]).record(in: file)
      #expect(waitUntil(seconds: 60) { readers.allSatisfy(\.isFinished) })
      let run = try TraceReader(file: file).run(.latest)
      #expect(run.tokenCount == 3)
    }
  }

  /// Nothing was lost when nothing had come yet.
  @Test func endedBeforeItsFirstToken() throws {
    try SampleShape(name: "early", passes: []).record(in: file)
    let findings = try TraceReader(file: file).checkIntegrity()
    #expect(findings == [])
  }

  /// Copies of file and log at odd moments are what a crash leaves behind.
  @Test func crashImagesAreWhole() throws {
    let shape = SampleShape(name: "crash", expertCount: 64, topK: 8, passes: Array(repeating: 5, count: 500))
    let passes = shape.makePasses()
    let whole = WholeRun(passes)
    let writer = try TraceWriter(file: file, description: shape.run, options: options(interval: 0.02))
    let writing = Thread { for pass in passes { try? writer.receive(pass); usleep(200) } }
    writing.start()
    let holder = try TraceReader(file: file)
    var lengths: [Int] = []
    for image in 0..<12 {
      usleep(useconds_t(3000 + 7000 * image))
      let copy = directory.file("image\(image).db")
      // The open transaction keeps the log from being wrapped around between the two copies, as no crash could do either.
      let committed = try holder.database.read { db in
        let tokens = try Int.fetchOne(db, sql: "SELECT token_count FROM run") ?? 0
        for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: file + suffix, toPath: copy + suffix) }
        return tokens
      }
      if image % 3 == 2 {
        // The last frame was being written when the power went.
        let log = try FileHandle(forUpdating: URL(fileURLWithPath: copy + "-wal"))
        let end = try log.seekToEnd()
        try log.truncate(atOffset: end > 1000 ? end - 777 : end)
        try log.close()
      }
      var readerOptions = TraceReader.Options()
      readerOptions.isAlive = { _, _ in false }
      let trace = try TraceReader(file: copy, options: readerOptions)
      let run = try trace.run(.latest)
      if image % 3 != 2 { #expect(run.tokenCount >= committed) }
      lengths.append(run.tokenCount)
      #expect(run.state == .interrupted)
      #expect(run.note?.hasPrefix("interrupted at token \(run.tokenCount)") == true)
      let findings = try trace.checkIntegrity()
      #expect(findings == [], "image \(image), \(committed) tokens committed")
      if run.tokenCount > 0 {
        var expected = whole
        expected.tokens = try trace.tokens(run: 1, in: 0..<run.tokenCount)
        for (id, batch) in whole.routers { expected.routers[id] = batch.cut(to: 0..<run.tokenCount) }
        #expect(try trace.wholeRun().differences(from: expected, comparingSums: false) == [])
      }
      // The next run goes into the same file.
      trace.close()
      try SampleShape(name: "after", passes: [10]).record(in: copy)
      let later = try TraceReader(file: copy).checkIntegrity()
      #expect(later == [], "image \(image), with another run")
    }
    #expect(waitUntil(seconds: 60) { writing.isFinished })
    try writer.finish(.completed)
  }

  /// The engine never runs away from the disk by more than 4,096 tokens.
  @Test func backPressure() throws {
    var options = TraceWriter.Options()
    options.busyTimeout = 60
    let shape = SampleShape(name: "pressure", passes: Array(repeating: 256, count: 40))
    let passes = shape.makePasses()
    let writer = try TraceWriter(file: file, description: shape.run, options: options)
    let other = try DatabaseQueue(path: file)
    let received = Counter()
    let writing = Thread {
      for pass in passes {
        try? writer.receive(pass)
        received.add(pass.tokens.count)
      }
    }
    try other.inDatabase { db in
      try db.execute(sql: "BEGIN IMMEDIATE")
      writing.start()
      #expect(waitUntil(seconds: 20) { received.value >= 4096 })
      usleep(300_000)
      #expect(received.value <= 4096 + writer.committedTokens)
      try db.execute(sql: "COMMIT")
    }
    #expect(waitUntil(seconds: 60) { writing.isFinished })
    try writer.finish(.completed)
    #expect(try TraceReader(file: file).wholeRun().differences(from: WholeRun(passes)) == [])
  }

  /// Another process that does not let go: an error that says so, and nothing lost that can still be written at the end.
  @Test func lockedByAnotherWriter() throws {
    var options = options()
    options.busyTimeout = 0.1
    let shape = SampleShape(name: "locked", passes: [5, 5])
    let passes = shape.makePasses()
    let writer = try TraceWriter(file: file, description: shape.run, options: options)
    let other = try DatabaseQueue(path: file)
    try other.inDatabase { db in
      try db.execute(sql: "BEGIN IMMEDIATE")
      #expect(throws: StoreError.locked(file: file)) { try SampleShape(name: "second", passes: [1]).record(in: file, options: options) }
      try writer.receive(passes[0])
      #expect(throws: StoreError.locked(file: file)) {
        for _ in 0..<400 {
          try writer.append(sequences: [])
          usleep(20_000)
        }
      }
      try db.execute(sql: "COMMIT")
    }
    #expect(throws: StoreError.locked(file: file)) { try writer.finish(.completed) }
    let run = try TraceReader(file: file).run(.latest)
    #expect(run.tokenCount == 5)
    if case .failed = run.state {} else { Issue.record("state \(run.state)") }
    #expect(throws: StoreError.writerClosed(file: file)) { try writer.finish(.completed) }
    #expect(throws: (any Error).self) { try writer.receive(passes[1]) }
  }

  /// Two runs into one file at the same time, as two processes would.
  @Test func twoWritersTakeTurns() throws {
    let shape = SampleShape(name: "a", passes: Array(repeating: 7, count: 60))
    let other = SampleShape(name: "b", expertCount: 64, topK: 4, passes: Array(repeating: 9, count: 60))
    let (first, second) = (shape.makePasses(seed: 1), other.makePasses(seed: 2))
    let a = try TraceWriter(file: file, description: shape.run, options: options(interval: 0.02))
    let b = try TraceWriter(file: file, description: other.run, options: options(interval: 0.02))
    for index in 0..<60 {
      try a.receive(first[index])
      try b.receive(second[index])
      usleep(2000)
    }
    try a.finish(.completed)
    try b.finish(.stopped)
    let trace = try TraceReader(file: file)
    #expect(try trace.wholeRun(.name("a")).differences(from: WholeRun(first)) == [])
    #expect(try trace.wholeRun(.name("b")).differences(from: WholeRun(second)) == [])
    #expect(try trace.checkIntegrity() == [])
  }

  @Test func passesThatContradictTheRun() throws {
    let shape = SampleShape(name: "bad", passes: [5, 5])
    var passes = shape.makePasses()
    passes[1].tokens.firstToken = 7
    let changes: [(inout RoutingPass) -> Void] = [
      { $0.tokens.firstToken = 3 }, { $0.batches[0].firstToken = 2 }, { $0.batches[1].router = RouterID(layer: 77) },
      { $0.batches[1].router = $0.batches[0].router }, { $0.batches[0].selectedExperts[0] = 16 }, { $0.batches[0].topKMass.removeLast() },
      { $0.tokens.surprisal.removeLast() }, { $0.tokens.sequence[0] = -1 }, { $0.batches[0].expertCount = 8 },
      { $0.batches[0].logits = RouterLogits(rows: [1, 1], values: Array(repeating: 0, count: 32)) },
    ]
    for change in changes {
      var pass = shape.makePasses()[0]
      change(&pass)
      let writer = try TraceWriter(file: file, description: shape.run)
      try writer.receive(pass)
      #expect { try writer.finish(.completed) } throws: { ($0 as? StoreError)?.kind == .ourFault }
      #expect(try TraceReader(file: file).run(.latest).tokenCount == 0)
    }
    #expect(try TraceReader(file: file).checkIntegrity() == [])
  }

  @Test func abandonedWriterKeepsWhatItHas() throws {
    let shape = SampleShape(name: "abandoned", passes: [5])
    do {
      let writer = try TraceWriter(file: file, description: shape.run)
      try writer.receive(shape.makePasses()[0])
    }
    let trace = try TraceReader(file: file)
    #expect(waitUntil(seconds: 20) { (try? trace.run(.latest).tokenCount) == 5 })
    #expect(waitUntil(seconds: 20) { (try? trace.run(.latest).state) != .running })
  }

  /// A trace that a crash left in write-ahead mode, on media where SQLite cannot make its shared-memory file (here a directory stands
  /// in its place).
  @Test func opensWhereNothingCanBeCreated() throws {
    let odd = directory.file("odd %20 näme?.db")
    let passes = try SampleShape(name: "read only", passes: [50]).record(in: odd)
    let database = try DatabaseQueue(path: odd)
    try database.inDatabase { try $0.execute(sql: "PRAGMA journal_mode = WAL") }
    try database.close()
    try FileManager.default.createDirectory(atPath: odd + "-shm", withIntermediateDirectories: false)
    var options = TraceReader.Options()
    options.busyTimeout = 0.1
    #expect(try TraceReader(file: odd, options: options).wholeRun().differences(from: WholeRun(passes)) == [])
    // With something in the log, the file alone would be a lie.
    try directory.write(Array(repeating: UInt8(1), count: 5000), to: "odd %20 näme?.db-wal")
    #expect { try TraceReader(file: odd, options: options) } throws: { ($0 as? StoreError)?.kind == .inputOutput }
  }

  @Test(.enabled(if: geteuid() != 0, "the superuser may write everywhere"), arguments: [false, true])
  func opensInADirectoryThatCannotBeWritten(isInWriteAheadMode: Bool) throws {
    let passes = try SampleShape(name: "read only", passes: [50]).record(in: file)
    if isInWriteAheadMode { try DatabaseQueue(path: file).inDatabase { try $0.execute(sql: "PRAGMA journal_mode = WAL") } }
    let manager = FileManager.default
    try manager.setAttributes([.posixPermissions: 0o400], ofItemAtPath: file)
    try manager.setAttributes([.posixPermissions: 0o500], ofItemAtPath: directory.path)
    defer { try? manager.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory.path) }
    #expect(try TraceReader(file: file).wholeRun().differences(from: WholeRun(passes)) == [])
    #expect { try SampleShape(name: "x", passes: [1]).record(in: file) } throws: { ($0 as? StoreError)?.kind == .permission }
  }

  /// A finished trace is one plain file that also opens where nothing can be written.
  @Test func finishedTraceIsOneFile() throws {
    let passes = try SampleShape(name: "finished", passes: [50]).record(in: file)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["trace.db"])
    #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))[18...19] == [1, 1], "rollback mode")
    #expect(try TraceReader(file: file).wholeRun().differences(from: WholeRun(passes)) == [])
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["trace.db"])
  }
}

/// A number that two threads share.
final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var number = 0

  var value: Int { lock.withLock { number } }
  func add(_ more: Int) { lock.withLock { number += more } }
}
