// How fast is the writer? Printed, never asserted: `MOETOP_SPEED=1 swift test -c release -Xswiftc -enable-testing --filter SpeedTests`.

import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite(.enabled(if: ProcessInfo.processInfo.environment["MOETOP_SPEED"] != nil, "MOETOP_SPEED asks for it"), .serialized) struct SpeedTests
{
  static let shapes: [SampleShape] = [
    SampleShape(name: "6 x 16 top-2", routers: (0..<6).map { RouterID(layer: $0) }, passes: Array(repeating: 512, count: 80)),
    SampleShape(
      name: "16 x 64 top-8", routers: (0..<16).map { RouterID(layer: $0) }, expertCount: 64, topK: 8,
      passes: Array(repeating: 512, count: 40)),
    SampleShape(
      name: "16 x 64 top-8, full", routers: (0..<16).map { RouterID(layer: $0) }, expertCount: 64, topK: 8,
      recording: RecordingLevel(content: .full), passes: Array(repeating: 512, count: 10)),
    SampleShape(
      name: "16 x 64 top-8, single tokens", routers: (0..<16).map { RouterID(layer: $0) }, expertCount: 64, topK: 8,
      passes: Array(repeating: 1, count: 6000)),
  ]

  @Test func oneTokenOfAMillion() throws {
    let directory = try TemporaryDirectory()
    let file = directory.file("million.db")
    let shape = SampleShape(name: "million", routers: [RouterID(layer: 3)], expertCount: 64, topK: 8, passes: [512])
    let pass = shape.makePasses()[0]
    let writer = try TraceWriter(file: file, description: shape.run)
    for index in 0..<2048 {
      var pass = pass
      pass.tokens.firstToken = index * 512
      pass.batches[0].firstToken = index * 512
      try writer.receive(pass)
    }
    try writer.finish(.completed)
    let query = TraceQuery(trace: try TraceReader(file: file))
    for sql in ["SELECT 1 FROM runs", "SELECT expert, weight FROM routing WHERE run = 1 AND layer = 3 AND token = 700017"] {
      for _ in 0..<3 {
        let start = DispatchTime.now()
        _ = try query.all(sql)
        print("speed \(sql): \(Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e6) ms")
      }
    }
    let start = DispatchTime.now()
    _ = try query.all("SELECT sum(weight) FROM routing WHERE run = 1 AND layer = 3 AND token BETWEEN 500000 AND 509999")
    let milliseconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e6
    print("speed 10,000 tokens of routing through the view: \(milliseconds) ms")
  }

  @Test(arguments: shapes) func writing(_ shape: SampleShape) throws {
    let directory = try TemporaryDirectory()
    let passes = shape.makePasses()
    let tokens = shape.passes.reduce(0, +)
    var best = Double.infinity
    var bestProcessor = Double.infinity
    for round in 0..<3 {
      let writer = try TraceWriter(file: directory.file("\(round).db"), description: shape.run)
      let start = DispatchTime.now()
      let processor = clock()
      for pass in passes { try writer.receive(pass) }
      try writer.finish(.completed)
      best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9)
      bestProcessor = min(bestProcessor, Double(clock() - processor) / Double(CLOCKS_PER_SEC))
    }
    let decisions = Double(tokens * shape.routers.count)
    print(
      "speed \(shape.name): \(Int(Double(tokens) / best)) tokens/s, \(Int(decisions / best)) decisions/s,",
      "\(Int(decisions / bestProcessor)) decisions/s of processor time")

    let trace = try TraceReader(file: directory.file("0.db"))
    let start = DispatchTime.now()
    var read = 0
    try trace.passes(of: try trace.run(.latest)).forEach { read += $0.tokens.count }
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
    print("speed \(shape.name): reads \(Int(Double(read) / seconds)) tokens/s, \(Int(decisions / seconds)) decisions/s")
  }
}
