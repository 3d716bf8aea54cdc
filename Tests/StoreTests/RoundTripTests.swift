// Is what was written what is read? Random runs of every shape, many runs in one file, slices, single-token streams.

import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct RoundTripTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  static let shapes: [SampleShape] = [
    SampleShape(name: "prefill", passes: [512, 512, 512, 300]),
    SampleShape(name: "single tokens", passes: Array(repeating: 1, count: 700)),
    SampleShape(name: "uneven", passes: [1, 700, 2, 1, 1, 1, 333, 1, 4096, 5]),
    SampleShape(name: "one token", passes: [1]),
    SampleShape(name: "nothing", passes: []),
    SampleShape(name: "empty passes", passes: [0, 3, 0, 2]),
    SampleShape(name: "NaN", passes: [64, 64], hasNaN: true),
    SampleShape(name: "drops", passes: [40, 3, 50], hasDrops: true),
    SampleShape(name: "padding", topK: 4, passes: [40, 3, 50], hasPadding: true),
    SampleShape(name: "u8 full", expertCount: 256, topK: 8, passes: [100], hasDrops: true, hasPadding: true),
    SampleShape(name: "u16", expertCount: 257, topK: 3, passes: [100, 1], hasPadding: true),
    SampleShape(name: "u32", routers: [RouterID(layer: 0)], expertCount: 70_000, topK: 3, passes: [100, 1]),
    SampleShape(name: "ids", recording: RecordingLevel(content: .ids), passes: [100, 100], hasPadding: true),
    SampleShape(name: "f16", recording: RecordingLevel(content: .full, precision: .f16), passes: [100, 100]),
    SampleShape(name: "full", recording: RecordingLevel(content: .full), passes: [100, 1, 1, 1, 100]),
    SampleShape(name: "every 7th", recording: RecordingLevel(content: .full, logitsEvery: 7), passes: [100, 1, 1, 1, 1, 1, 1, 1, 1, 100]),
    SampleShape(
      name: "extras", topK: 3, recording: RecordingLevel(content: .full, logitsEvery: 3, extras: .all),
      passes: [100, 1, 1, 1, 60, 900], hasNaN: true, hasDrops: true, hasPadding: true),
    SampleShape(name: "norms of ids", recording: RecordingLevel(content: .ids, extras: .norms), passes: [100, 1], hasDrops: true),
    SampleShape(name: "shared", recording: RecordingLevel(extras: [.shared, .passes]), passes: [100, 1]),
    SampleShape(name: "predicted", recording: RecordingLevel(precision: .f16, extras: .predicted), passes: [100, 1]),
    SampleShape(name: "dense", expertCount: 4, topK: 4, passes: [100]),
    SampleShape(name: "one expert", expertCount: 1, topK: 1, passes: [100]),
    SampleShape(name: "no sums", passes: [100, 100], knowsImportance: false),
    SampleShape(
      name: "two stacks", routers: [RouterID(stack: .attention, layer: 0), RouterID(layer: 0), RouterID(stack: .attention, layer: 1)],
      passes: [100, 100]),
  ]

  @Test(arguments: shapes) func isReadAsWritten(_ shape: SampleShape) throws {
    let written = try shape.record(in: file)
    let trace = try TraceReader(file: file)
    #expect(try trace.wholeRun().differences(from: WholeRun(written)) == [])
    #expect(try trace.checkIntegrity() == [])
    let run = try trace.run(.latest)
    #expect(run.description == shape.run)
    #expect(run.state == .completed)
    #expect(run.tokenCount == shape.passes.reduce(0, +))
    #expect(run.checks.count >= 8)
  }

  @Test(arguments: shapes) func isReadAsWrittenWhenCommittedOften(_ shape: SampleShape) throws {
    let written = try shape.record(in: file, seed: 2, flushEvery: 3)
    let trace = try TraceReader(file: file)
    #expect(try trace.wholeRun().differences(from: WholeRun(written)) == [])
    #expect(try trace.checkIntegrity() == [])
  }

  @Test func randomShapes() throws {
    var random = SeededRandom(seed: 99)
    for round in 0..<25 {
      let experts = [2, 3, 16, 64, 255, 256, 300].randomElement(using: &random) ?? 8
      let shape = SampleShape(
        name: "round \(round)", routers: (0..<Int.random(in: 1...3, using: &random)).map { RouterID(layer: $0 * 2) }, expertCount: experts,
        topK: Int.random(in: 1...min(experts, 9), using: &random),
        recording: RecordingLevel(
          content: [.ids, .weights, .full].randomElement(using: &random) ?? .ids, logitsEvery: Int.random(in: 1...9, using: &random),
          precision: Bool.random(using: &random) ? .f32 : .f16),
        passes: (0..<Int.random(in: 1...12, using: &random)).map { _ in Int.random(in: 0...200, using: &random) },
        sequenceLength: Int.random(in: 1...90, using: &random), hasNaN: Bool.random(using: &random), hasDrops: Bool.random(using: &random),
        hasPadding: Bool.random(using: &random), knowsImportance: Bool.random(using: &random))
      let written = try shape.record(in: file, seed: UInt64(round), flushEvery: Bool.random(using: &random) ? 2 : nil)
      #expect(try TraceReader(file: file).wholeRun().differences(from: WholeRun(written)) == [], "\(shape)")
    }
    let trace = try TraceReader(file: file)
    #expect(try trace.runs().map(\.id) == Array(1...25))
    #expect(try trace.checkIntegrity() == [])
  }

  @Test func slicesAreCutExactly() throws {
    let shape = SampleShape(
      name: "slices", recording: RecordingLevel(content: .full, logitsEvery: 3), passes: [300, 1, 1, 300, 7, 1200], hasDrops: true,
      hasPadding: true)
    let whole = WholeRun(try shape.record(in: file))
    let trace = try TraceReader(file: file)
    var random = SeededRandom(seed: 5)
    for _ in 0..<40 {
      let first = Int.random(in: 0..<1809, using: &random)
      let span = first..<min(1809, first + Int.random(in: 1...900, using: &random))
      let slice = try trace.wholeRun(tokens: span)
      var expected = whole
      expected.tokens = try trace.tokens(run: 1, in: span)
      for (id, batch) in whole.routers { expected.routers[id] = batch.cut(to: span) }
      #expect(slice.differences(from: expected, comparingSums: false) == [], "\(span)")
    }
    #expect(try trace.allPasses(tokens: 5000..<6000).isEmpty)
  }

  @Test func onlyTheWantedRouters() throws {
    let shape = SampleShape(name: "some", recording: RecordingLevel(content: .full), passes: [100, 20])
    try shape.record(in: file)
    let trace = try TraceReader(file: file)
    let cursor = trace.passes(of: try trace.run(.latest), routers: [RouterID(layer: 3)], withLogits: false)
    while let pass = try cursor.next() {
      #expect(pass.batches.map(\.router) == [RouterID(layer: 3)])
      #expect(pass.batches.allSatisfy { $0.logits == nil })
    }
  }

  /// Encoder and decoder see different tokens; a pass then has batches of one stack only.
  @Test func stacksWithTokensOfTheirOwn() throws {
    let routers = [RouterID(stack: .encoder, layer: 1), RouterID(stack: .decoder, layer: 1)]
    let shape = SampleShape(name: "enc-dec", routers: routers, passes: Array(repeating: 30, count: 60))
    let passes = shape.makePasses().enumerated().map { index, pass in
      RoutingPass(tokens: pass.tokens, batches: index % 10 == 9 ? [] : [pass.batches[index % 2]])
    }
    let writer = try TraceWriter(file: file, description: shape.run)
    for pass in passes { try writer.receive(pass) }
    try writer.finish(.completed)
    let trace = try TraceReader(file: file)
    #expect(try trace.checkIntegrity() == [])
    let read = try trace.allPasses()
    #expect(read.map(\.tokens.count).reduce(0, +) == 1800)
    for id in routers {
      let expected = passes.flatMap(\.batches).filter { $0.router == id }
      let found = read.flatMap(\.batches).filter { $0.router == id }
      #expect(found.flatMap { Array($0.firstToken..<$0.endToken) } == expected.flatMap { Array($0.firstToken..<$0.endToken) })
      #expect(found.flatMap(\.selectedExperts) == expected.flatMap(\.selectedExperts))
    }
  }

  @Test func sequencesPiecesAndNames() throws {
    try SampleShape(name: "a", passes: [250]).record(in: file)
    try SampleShape(name: "b", passes: [10]).record(in: file, outcome: .stopped)
    try SampleShape(name: "a", passes: [20]).record(in: file, outcome: .failed(reason: "the disk"))
    let trace = try TraceReader(file: file)
    let sequences = try trace.sequences(run: 1)
    #expect(sequences.map(\.name) == ["first", "sequence 1", "sequence 2"])
    #expect(sequences[0].labels == ["domain": "code"])
    let pieces = try trace.pieces(run: 1)
    #expect(!pieces.isEmpty && pieces.allSatisfy { $0.key < 250 && $0.value == Array(" t\($0.key)".utf8) })
    #expect(try trace.run(.name("a")).id == 3)
    #expect(try trace.run(.id(2)).state == .stopped)
    #expect(try trace.run(.latest).state == .failed(reason: "the disk"))
    #expect(throws: StoreError.noSuchRun(file: file, run: "7", known: "runs 1-3")) { try trace.run(.id(7)) }
    trace.close()

    let editor = try TraceEditor(file: file)
    try editor.rename(.id(2), to: "renamed")
    try editor.setTags(["x", "y"], of: .id(2))
    try editor.delete(.id(1))
    try editor.close()
    let again = try TraceReader(file: file)
    #expect(try again.runs().map(\.name) == ["renamed", "a"])
    #expect(try again.run(.id(2)).description.tags == ["x", "y"])
    #expect(try again.checkIntegrity() == [])
    #expect(try TraceQuery(trace: again).all("SELECT count(*) FROM tokens").rows == [[.integer(30)]])
  }

  @Test func halfPrecisionIsTheNearest() {
    var random = SeededRandom(seed: 3)
    for bits in UInt16.min...UInt16.max {
      let value = PackedColumns.float(half: bits)
      #expect(value.isNaN ? PackedColumns.float(half: PackedColumns.halfBits(value)).isNaN : PackedColumns.halfBits(value) == bits)
    }
    for _ in 0..<20_000 {
      let value = Float(bitPattern: UInt32.random(in: 0..<0x7f80_0000, using: &random))
      let half = PackedColumns.halfBits(value)
      let error = abs(Double(PackedColumns.float(half: half)) - Double(value))
      if half < 0x7bff {
        let above = abs(Double(PackedColumns.float(half: half + 1)) - Double(value))
        let below = half == 0 ? .infinity : abs(Double(PackedColumns.float(half: half - 1)) - Double(value))
        #expect(error <= above && error <= below)
      }
    }
  }

  /// What becomes known only while a run goes on: the hash of large weights, say.
  @Test func descriptionsAreRevised() throws {
    let shape = SampleShape(name: "revised", passes: [10, 10])
    var expected = shape.run
    expected.model.filesHash = ""
    let writer = try TraceWriter(file: file, description: expected)
    let passes = shape.makePasses()
    try writer.receive(passes[0])
    try writer.flush()
    #expect(try TraceReader(file: file).runs().first?.description == expected)
    writer.revise { $0.model.filesHash = "12ab" }
    expected.model.filesHash = "12ab"
    try writer.flush()
    #expect(try TraceReader(file: file).runs().first?.description == expected)
    try writer.receive(passes[1])
    writer.revise { $0.input.hash = "34cd" }
    expected.input.hash = "34cd"
    try writer.finish(.stopped)
    let run = try #require(try TraceReader(file: file).runs().first)
    #expect(run.description == expected && run.state == .stopped && run.tokenCount == 20)
  }
}
