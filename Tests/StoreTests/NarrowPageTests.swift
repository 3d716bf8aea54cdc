// Pages of routers whose rows take different numbers of experts: as wide as one of their rows, and the same decisions again.

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct NarrowPageTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  /// Rows of 0 to 3 of 40 slots, weights and norms by place.
  private func pass(_ taken: [Int], from first: Int = 0) -> RoutingPass {
    var tokens = TokenTable(firstToken: first)
    for token in taken.indices { tokens.append(sequence: 0, position: first + token, tokenID: Int32(token), phase: .prefill) }
    var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: 300, topK: 40, firstToken: first, count: taken.count)
    batch.expertNorms = Array(repeating: .nan, count: taken.count * 40)
    for (token, count) in taken.enumerated() {
      for slot in 0..<count {
        batch.selectedExperts[token * 40 + slot] = Int32(299 - 7 * slot - token % 5)
        batch.routingWeights[token * 40 + slot] = 1 / Float(slot + token + 2)
        batch.expertNorms?[token * 40 + slot] = Float(slot + token)
      }
    }
    return RoutingPass(tokens: tokens, batches: [batch])
  }

  private func record(_ passes: [RoutingPass], commits: Bool) throws {
    let spec = RouterSpec(
      expertCount: 300, scoring: .stated(.softmax), selection: .stated(.threshold, slots: 40), statedWeights: .unnormalized)
    var description = SampleShape(name: "narrow", routers: [RouterID(layer: 0)], passes: []).run
    description.routers = [RouterDescription(id: RouterID(layer: 0), spec: spec)]
    description.recording = RecordingLevel(content: .weights, extras: .norms)
    var options = TraceWriter.Options()
    options.commitInterval = commits ? 0.01 : 60
    let writer = try TraceWriter(file: file, description: description, options: options)
    var received = 0
    for pass in passes {
      try writer.receive(pass)
      received += pass.tokens.count
      while commits && writer.committedTokens < received { usleep(2000) }
    }
    try writer.finish(.completed)
  }

  @Test(arguments: [false, true]) func decisionsComeBack(_ commits: Bool) throws {
    let counts = [[3, 0, 1, 2], [1], [0], [5, 5, 1], [40, 2], [1, 1, 1, 1, 1, 1, 1]]
    var first = 0
    let passes = counts.map { taken in
      defer { first += taken.count }
      return pass(taken, from: first)
    }
    try record(passes, commits: commits)
    let trace = try TraceReader(file: file)
    var whole = try #require(passes.first)
    for more in passes.dropFirst() { whole.append(more) }
    let back = try trace.wholeRun()
    #expect(back.differences(from: WholeRun(passes)) == [])
    #expect(try trace.checkIntegrity().isEmpty)
    let sql = "SELECT count(*), sum(expert), max(rank) FROM routing"
    let wanted = whole.batches[0].selectedExperts.filter { $0 >= 0 }
    #expect(
      try TraceQuery(trace: trace).all(sql).rows == [
        [.integer(Int64(wanted.count)), .integer(Int64(wanted.reduce(0) { $0 + Int($1) })), .integer(39)]
      ])
  }

  @Test func aPageIsAsWideAsItsWidestRow() throws {
    try record([pass([3, 0, 1, 2, 3, 1])], commits: false)
    let widths = try DatabaseQueue(path: file).read { db in
      try Row.fetchAll(db, sql: "SELECT length(ids), length(weights), length(norms) FROM page JOIN page_extra ON page = page.id").map {
        [$0[0] as Int, $0[1] as Int, $0[2] as Int]
      }
    }
    #expect(widths == [[6 * 3 * 2, 6 * 3 * 4, 6 * 3 * 4]])
  }

  /// Another length is damage, and nothing is read past a column's end.
  @Test(arguments: [0, 1, 35, 37, 40, 6 * 41 * 2]) func aLengthOfNoWidthIsDamage(_ length: Int) throws {
    try record([pass([3, 0, 1, 2, 3, 1])], commits: false)
    try DatabaseQueue(path: file).write { try $0.execute(sql: "UPDATE page SET ids = zeroblob(\(length))") }
    #expect { _ = try TraceReader(file: file).wholeRun() } throws: { ($0 as? StoreError)?.kind == .damaged }
  }
}
