// Does a trace take at most 1.3 times the bytes its decisions need? Measured with SQLite's own page accounting, for prefill, for streams
// of single tokens, finished and killed.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

/// Whether this SQLite can say how many bytes a table takes.
private let canMeasure = (try? DatabaseQueue().read { _ = try Row.fetchOne($0, sql: "SELECT name FROM dbstat") }) != nil

@Suite(.enabled(if: canMeasure, "SQLite was built without dbstat")) struct FootprintTests {
  static let shapes: [SampleShape] = {
    let six = (0..<6).map { RouterID(layer: $0) }
    let sixteen = (0..<16).map { RouterID(layer: $0) }
    let prefill = Array(repeating: 512, count: 6)
    let decode = Array(repeating: 1, count: 1500)
    let full = RecordingLevel(content: .full)
    return [
      SampleShape(name: "6 x 16 top-2, prefill", routers: six, expertCount: 16, topK: 2, passes: prefill),
      SampleShape(name: "6 x 16 top-2, single tokens", routers: six, expertCount: 16, topK: 2, passes: decode),
      SampleShape(name: "16 x 64 top-8, prefill", routers: sixteen, expertCount: 64, topK: 8, passes: prefill),
      SampleShape(name: "16 x 64 top-8, single tokens", routers: sixteen, expertCount: 64, topK: 8, passes: decode),
      SampleShape(name: "16 x 64 top-8, 300 tokens", routers: sixteen, expertCount: 64, topK: 8, passes: [300]),
      SampleShape(name: "6 x 16 top-2, full", routers: six, expertCount: 16, topK: 2, recording: full, passes: prefill),
      SampleShape(name: "16 x 64 top-8, full", routers: sixteen, expertCount: 64, topK: 8, recording: full, passes: [512, 512]),
      SampleShape(
        name: "16 x 64 top-8, full, single tokens", routers: sixteen, expertCount: 64, topK: 8, recording: full,
        passes: Array(repeating: 1, count: 500)),
      SampleShape(name: "4 x 512 top-10, prefill", routers: Array(six.prefix(4)), expertCount: 512, topK: 10, passes: prefill),
    ]
  }()

  @Test(arguments: shapes) func staysNearTheFloor(_ shape: SampleShape) throws {
    let directory = try TemporaryDirectory()
    let file = directory.file("trace.db")
    // A slow stream: some tokens, then a commit, as the timer would do it.
    try shape.record(in: file, flushEvery: shape.passes.count > 500 ? 14 : nil)
    let trace = try TraceReader(file: file)
    let footprint = try trace.footprint(of: try trace.run(.latest))
    #expect(footprint.isMeasured && footprint.overhead <= 1.3, "\(footprint)")
  }

  /// A process that dies leaves parts of pages behind: they too stay near the floor.
  @Test func killedStreamStaysNearTheFloor() throws {
    let directory = try TemporaryDirectory()
    let shape = SampleShape(
      name: "killed", routers: (0..<16).map { RouterID(layer: $0) }, expertCount: 64, topK: 8, passes: Array(repeating: 1, count: 500))
    let writer = try TraceWriter(file: directory.file("a.db"), description: shape.run)
    for (index, pass) in shape.makePasses().enumerated() {
      try writer.receive(pass)
      if index % 14 == 13 { try writer.flush() }
    }
    try writer.flush()
    let trace = try TraceReader(file: directory.file("a.db"))
    let footprint = try trace.footprint(of: try trace.run(.latest))
    #expect(footprint.isMeasured && footprint.overhead <= 1.3, "\(footprint)")
    try writer.finish(.completed)
  }
}
