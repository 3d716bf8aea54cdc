// Runs of a series as one run: which rows it has, in which order, under which numbers; which runs cannot be one; and that a fault of a part is not
// lost in the whole.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct JoinTests {
  let directory: TemporaryDirectory
  private var output: String { directory.file("job.db") }

  init() throws { directory = try TemporaryDirectory() }

  /// A run of some ranks of a job.
  private func record(
    _ name: String, rank: Int64? = nil, seed: UInt64 = 1, passes: [Int] = [60, 45], names: [String]? = nil,
    recording: RecordingLevel? = nil,
    change: (inout RunDescription) -> Void = { _ in }, edit: (inout [RoutingPass]) -> Void = { _ in }, outcome: RunOutcome = .completed
  ) throws -> (file: String, passes: [RoutingPass]) {
    var shape = SampleShape(name: name, recording: recording ?? RecordingLevel(content: .full, extras: .all), passes: passes, hasNaN: true)
    shape.sequenceLength = 40
    var description = shape.run
    description.series = "job"
    change(&description)
    var made = shape.makePasses(seed: seed)
    if let rank {
      for place in made.indices {
        var facts = TokenFacts(count: made[place].tokens.count)
        for row in 0..<facts.count { facts.setRank(rank, of: row) }
        made[place].tokens.facts = facts
      }
    }
    edit(&made)
    let file = directory.file("\(name).db")
    let sequences = (names ?? ["\(name) a", "\(name) b"]).map { SequenceDescription(name: $0, labels: ["of": name]) }
    let writer = try TraceWriter(file: file, description: description, sequences: sequences, pieces: { Array("t\($0)".utf8) })
    for pass in made { try writer.receive(pass) }
    try writer.finish(outcome)
    return (file, made)
  }

  private func join(_ files: String...) throws -> TraceMerge {
    var merge = try TraceMerge(files.map { TraceReference(file: $0, namesRun: false) })
    try merge.join(to: output, appending: false)
    return merge
  }

  private func failure(_ files: String...) throws -> MergeError? {
    var merge = try TraceMerge(files.map { TraceReference(file: $0, namesRun: false) })
    do { try merge.join(to: output, appending: false) } catch let error as MergeError { return error }
    return nil
  }

  @Test func rowsOfTheWholeAreThoseOfItsParts() throws {
    let late = try record("late", rank: 1, seed: 2)
    let early = try record("early", rank: 0, seed: 3)
    let merge = try join(late.file, early.file)
    let trace = try TraceReader(file: output)
    let run = try trace.run(.latest)
    let origin = run.description.origin
    #expect(origin.kind == .merged && origin.source == "\(early.file)#1 \(late.file)#1" && run.name == "job" && run.state == .completed)
    #expect(run.tokenCount == 210 && run.sequenceCount == 6 && merge.done.map(\.tokens) == [210])
    #expect(try trace.sequences(run: run.id).map(\.name) == ["early a", "early b", "sequence 2", "late a", "late b", "sequence 2"])
    // What is expected: rank 0 first, then rank 1, each in its own order; rows, sequences, passes and batches numbered on.
    var expected: [RoutingPass] = []
    var (row, pass, batch) = (0, Int32(0), Int32(0))
    for (place, part) in [early.passes, late.passes].enumerated() {
      let whole = WholeRun(part)
      for var own in part {
        own.tokens.firstToken += row
        own.tokens.sequence = own.tokens.sequence.map { $0 + Int32(3 * place) }
        own.tokens.pass = own.tokens.pass?.map { $0 + pass }
        own.tokens.batch = own.tokens.batch?.map { $0 + batch }
        for index in own.batches.indices { own.batches[index].firstToken += row }
        expected.append(own)
      }
      row += whole.tokens.count
      pass += (whole.tokens.pass?.max() ?? 0) + 1
      batch += (whole.tokens.batch?.max() ?? 0) + 1
    }
    #expect(try trace.wholeRun().differences(from: WholeRun(expected)) == [])
    #expect(try trace.tokens(run: run.id, in: 0..<210).facts?.rank == Array(repeating: 0, count: 105) + Array(repeating: 1, count: 105))
    #expect(try trace.checkIntegrity() == [] && trace.pieces(run: run.id).count > 100)
    #expect(run.checks.first { $0.name == "equal_tokens" }?.outcome == .held)
  }

  /// Without a rank, runs go by their numbers, then as they are named.
  @Test func orderWithoutRanks() throws {
    let a = try record("a", seed: 1)
    let b = try record("b", seed: 2)
    _ = try join(b.file, a.file)
    #expect(try TraceReader(file: output).sequences(run: 1).map(\.name).prefix(2) == ["b a", "b b"])
  }

  @Test func whatCannotBeOneRun() throws {
    let base = try record("base")
    func different(_ name: String, _ change: @escaping (inout RunDescription) -> Void) throws -> String {
      let other = try record(name, seed: 9, change: change)
      guard case .different(let what, let first, let expected, let second, let found)? = try failure(base.file, other.file) else {
        return "none"
      }
      #expect(first == "\(base.file)#1" && second == "\(other.file)#1" && expected != found)
      return what
    }
    #expect(try different("model") { $0.model.filesHash = "11" } == "model")
    #expect(try different("unknown") { ($0.model.filesHash, $0.model.name) = ("", "another") } == "model")
    #expect(try different("rules") { $0.intervention = "swap all" } == "rules")
    #expect(try different("level") { $0.recording = RecordingLevel(content: .full, extras: [.norms]) } == "recording")
    #expect(try different("precision") { $0.recording.precision = .f16 } == "recording")
    #expect(try different("router") { $0.routers[1].more = RouterFacts(bank: "elsewhere") } == "facts of router ffn.1")
    #expect(
      try different("spec") {
        $0.routers[1].spec = RouterSpec(expertCount: 16, scoring: .sigmoid, selection: .tokenChoice(topK: 2))
      } == "rule of router ffn.1")
    let plain = try record("plain", change: { $0.series = nil })
    #expect(try failure(base.file, plain.file) == .noSeries(runs: ["\(plain.file)#1"]))
    #expect(!FileManager.default.fileExists(atPath: output), "nothing is written before all was looked at")
  }

  /// A name alone is no text, and ids alone are none either.
  @Test func theSameTextCountsOnce() throws {
    let a = try record("a", names: ["x", "y"])
    let again = try record("again", names: ["z", "y"])
    #expect(try failure(a.file, again.file) == .sameSequence(name: "y", first: "\(a.file)#1", other: "\(again.file)#1"))
    let other = try record("other", seed: 5, names: ["x", "y"])
    let renamed = try record("renamed", names: ["p", "q", "r"])
    #expect(try failure(a.file, other.file) == nil)
    try FileManager.default.removeItem(atPath: output)
    #expect(try failure(a.file, renamed.file) == nil)
  }

  @Test func theHashOfTheInputIsThatOfAllTexts() throws {
    let a = try record("a", passes: [60], recording: RecordingLevel(content: .ids))
    let b = try record("b", seed: 4, passes: [30], recording: RecordingLevel(content: .ids))
    _ = try join(a.file, b.file)
    var hash = SHA256()
    for ids in [a.passes[0].tokens.tokenID[..<40], a.passes[0].tokens.tokenID[40...], b.passes[0].tokens.tokenID[...]] {
      ([Int32(ids.count)] + ids).withUnsafeBytes { hash.update($0) }
    }
    // The second run describes two sequences and has tokens of one; the other is an empty list.
    [Int32(0)].withUnsafeBytes { hash.update($0) }
    #expect(try TraceReader(file: output).run(.latest).description.input.hash == hash.hexDigest())
  }

  @Test func faultsOfPartsStay() throws {
    let sound = try record("sound")
    let faulty = try record(
      "faulty", seed: 6, change: { $0.recorded = RunOrigin(kind: .import, format: "vllm") },
      edit: { passes in passes[1].batches.removeFirst() })
    // What a capture said of itself, which a reader of the trace cannot find out again.
    try SQLite.run(
      "UPDATE capture_check SET outcome = 'failed', detail = '3 of 9 not finite' WHERE name = 'finite_outputs'", on: faulty.file)
    let editor = try TraceEditor(file: faulty.file)
    try editor.setLabel("verbs", ofExpert: 2, at: RouterID(layer: 1), of: .latest)
    try editor.close()
    _ = try join(sound.file, faulty.file)
    let trace = try TraceReader(file: output)
    let run = try trace.run(.latest)
    let check = try #require(run.failedChecks.first { $0.name == "finite_outputs" })
    #expect(check.detail == "\(faulty.file)#1: 3 of 9 not finite")
    #expect(try trace.expertLabels(run: run.id)[RouterID(layer: 1)] == [2: "verbs"])
    #expect(try trace.checkIntegrity() == [])
    #expect(run.description.origin.format == nil, "one part has a format, the other none")
  }

  /// Rules are known to the program that ran under them: what it found out holds for the whole.
  @Test func checksUnderRulesAreThoseOfTheParts() throws {
    let rules = "mask 0:3"
    let a = try record("a", change: { $0.intervention = rules })
    let b = try record("b", seed: 2, change: { $0.intervention = rules })
    for (file, outcome) in [(a.file, "held"), (b.file, "held")] {
      try SQLite.run("UPDATE capture_check SET outcome = '\(outcome)' WHERE name = 'selection_recomputed'", on: file)
    }
    _ = try join(a.file, b.file)
    let checks = try TraceReader(file: output).run(.latest).checks
    let again = try #require(checks.first { $0.name == "selection_recomputed" })
    #expect(again.outcome == .held && again.detail == "it held in each of the 2 runs that were joined")
  }

  @Test func countsOfImportsAddUp() throws {
    func counted(_ name: String, _ loads: [Int]) throws -> String {
      var description = SampleShape(
        name: "counts", routers: [RouterID(layer: 1)], expertCount: 4, recording: RecordingLevel(content: .counts), passes: []
      ).run
      (description.series, description.recorded) = ("job", RunOrigin(kind: .import, row: .step, format: "imatrix"))
      let writer = try TraceWriter(file: directory.file(name), description: description)
      try writer.count([RouterID(layer: 1): loads], tokens: loads.reduce(0, +) / 2)
      try writer.note([ImportFinding(.notRecomputable, count: 1, of: 1, first: [1], detail: "counts alone")])
      try writer.finish(.completed)
      return directory.file(name)
    }
    _ = try join(try counted("a.db", [1, 2, 3, 4]), try counted("b.db", [10, 0, 0, 4]))
    let trace = try TraceReader(file: output)
    let run = try trace.run(.latest)
    #expect(try trace.loads(run: run.id) == [RouterID(layer: 1): [11, 2, 3, 8]])
    #expect(run.tokenCount == 12 && run.description.origin.format == "imatrix")
    #expect(try trace.importFindings(run: run.id).map(\.first) == [[1], [6]])
  }

  @Test func aStoppedJoinLeavesNothing() throws {
    let a = try record("a")
    var merge = try TraceMerge([TraceReference(file: a.file, namesRun: false)])
    merge.isStopped = { true }
    #expect(throws: MergeError.stopped) { try merge.join(to: output, appending: false) }
    #expect(!FileManager.default.fileExists(atPath: output))
    let b = try record("b", seed: 8)
    _ = try join(b.file)
    #expect(throws: MergeError.stopped) { try merge.join(to: output, appending: true) }
    let trace = try TraceReader(file: output)
    #expect(try trace.runs().map(\.name) == ["job"] && trace.checkIntegrity() == [])
  }

  @Test func aPartThatDidNotEndIsSaid() throws {
    let a = try record("a")
    let b = try record("b", seed: 2, outcome: .failed(reason: "no disk"))
    _ = try join(a.file, b.file)
    #expect(try TraceReader(file: output).run(.latest).state == .failed(reason: "\(b.file)#1: no disk"))
  }
}
