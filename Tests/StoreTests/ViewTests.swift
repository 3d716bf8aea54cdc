// Do the views say what was recorded? Compared row by row with the decisions, read by ours and by the stock sqlite3; and the question a
// trace must answer at once, whatever its size: which experts, with which weights, did this token take in this layer?

import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct ViewTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  static let shapes: [SampleShape] = [
    SampleShape(name: "plain", passes: [40, 1, 1, 30], hasNaN: true, hasDrops: true),
    SampleShape(name: "padding", topK: 5, passes: [40, 1, 1], hasDrops: true, hasPadding: true),
    SampleShape(name: "u16", expertCount: 300, topK: 3, passes: [50]),
    SampleShape(name: "u32", routers: [RouterID(layer: 2)], expertCount: 70_000, topK: 2, passes: [20]),
    SampleShape(name: "f16", recording: RecordingLevel(precision: .f16), passes: [50]),
    SampleShape(name: "ids", recording: RecordingLevel(content: .ids), passes: [50]),
    SampleShape(name: "dense", expertCount: 3, topK: 3, passes: [50]),
    SampleShape(
      name: "extras", topK: 3, recording: RecordingLevel(extras: .all), passes: [40, 1], hasNaN: true, hasDrops: true, hasPadding: true),
  ]

  private func value(_ number: Float) -> SQLValue { number.isNaN ? .null : .real(Double(number)) }

  @Test(arguments: shapes) func routingSaysWhatWasRecorded(_ shape: SampleShape) throws {
    let whole = WholeRun(try shape.record(in: file, flushEvery: 2))
    let query = TraceQuery(trace: try TraceReader(file: file), run: 1)

    var assignments: [[SQLValue]] = []
    var statistics: [[SQLValue]] = []
    for token in 0..<whole.tokens.count {
      for (id, batch) in whole.routers.sorted(by: { ($0.key.layer, $0.key.stack) < ($1.key.layer, $1.key.stack) }) {
        let place: [SQLValue] = [.integer(1), .text(id.stack.rawValue), .integer(Int64(id.layer.rawValue)), .integer(Int64(token))]
        for rank in 0..<batch.topK {
          let slot = token * batch.topK + rank
          if batch.selectedExperts[slot] < 0 { continue }
          assignments.append(
            place + [
              .integer(Int64(rank)), .integer(Int64(batch.selectedExperts[slot])), value(batch.routingWeights[slot]),
              .integer(batch.dropped?[slot] == true ? 1 : 0), .text(id.description), value(batch.expertNorms?[slot] ?? .nan),
            ])
        }
        statistics.append(
          place + [
            value(batch.routerEntropy[token]), value(batch.selectionMargin[token]), value(batch.top1Margin[token]),
            value(batch.topKMass[token]), value(batch.sharedWeight?[token] ?? .nan), value(batch.sharedNorm?[token] ?? .nan),
            .text(id.description), .null, .null,
          ])
      }
    }
    #expect(try query.all("SELECT * FROM routing ORDER BY token, layer, stack, rank").rows == assignments)
    #expect(try query.all("SELECT * FROM routing_stats ORDER BY token, layer, stack").rows == statistics)
  }

  @Test(arguments: shapes) func totalsAgreeWithTheDecisions(_ shape: SampleShape) throws {
    let whole = WholeRun(try shape.record(in: file))
    let query = TraceQuery(trace: try TraceReader(file: file))
    for (id, batch) in whole.routers {
      let answer = try query.all(
        "SELECT assignments, load, importance, mean_weight FROM layer_load WHERE run = 1 AND layer = \(id.layer) ORDER BY expert")
      #expect(answer.rows.count == shape.expertCount)
      var counts = Array(repeating: 0, count: shape.expertCount)
      for slot in batch.selectedExperts.indices where batch.selectedExperts[slot] >= 0 && batch.dropped?[slot] != true {
        counts[Int(batch.selectedExperts[slot])] += 1
      }
      let total = counts.reduce(0, +)
      #expect(total == batch.assignmentCount)
      #expect(answer.rows.map { $0[0] } == counts.map { .integer(Int64($0)) })
      #expect(answer.rows.map { $0[1] } == counts.map { .real(Double($0) / Double(total)) })
      let known = batch.routerEntropy.filter { !$0.isNaN }.count
      for (row, sum) in zip(answer.rows, batch.importanceSum) {
        guard case .real(let importance) = row[2] else { continue }
        #expect(abs(importance - sum / Double(known)) < 1e-12)
      }
      let summary = try query.all(
        "SELECT tokens, assignments, idle_experts, mean_entropy, dropped FROM layer_summary WHERE run = 1 AND layer = \(id.layer)")
      #expect(summary.rows[0][0] == .integer(Int64(batch.count)))
      #expect(summary.rows[0][1] == .integer(Int64(total)))
      #expect(summary.rows[0][2] == .integer(Int64(counts.filter { $0 == 0 }.count)))
      let mean = batch.routerEntropy.filter { !$0.isNaN }.reduce(0.0) { $0 + Double($1) } / Double(known)
      #expect(summary.rows[0][3] == .real(mean))
      #expect(summary.rows[0][4] == .integer(Int64(batch.dropped?.filter { $0 }.count ?? 0)))
    }
  }

  @Test func theOtherViews() throws {
    let whole = WholeRun(try SampleShape(name: "others", passes: [150, 1]).record(in: file))
    let query = TraceQuery(trace: try TraceReader(file: file))
    let tokens = try query.all("SELECT * FROM tokens WHERE run = 1 ORDER BY token").rows
    #expect(tokens.count == 151)
    for (index, row) in tokens.enumerated() {
      let id = whole.tokens.tokenID[index]
      #expect(
        row == [
          .integer(1), .integer(Int64(index)), .integer(Int64(index / 100)), .integer(Int64(index % 100)), .integer(Int64(id)),
          .text(index == 150 ? "decode" : "prefill"), value(whole.tokens.surprisal[index]), value(whole.tokens.nextTokenEntropy[index]),
          id < 250 ? .text(" t\(id)") : .null,
        ] + Array(repeating: .null, count: 10) + [.text("token")])
    }
    // What was recorded on request.
    let asked = WholeRun(
      try SampleShape(name: "asked", recording: RecordingLevel(extras: [.passes, .predicted]), passes: [150, 1]).record(in: file))
    func number(_ value: Int32?) -> SQLValue { value.map { $0 < 0 ? .null : .integer(Int64($0)) } ?? .null }
    #expect(
      try query.all("SELECT pass, batch, predicted_id FROM tokens WHERE run = 2 ORDER BY token").rows
        == (0..<151).map { [number(asked.tokens.pass?[$0]), number(asked.tokens.batch?[$0]), number(asked.tokens.predictedID?[$0])] })
    #expect(asked.tokens.pass?.last == 1 && asked.tokens.batch?.last == 2)
    #expect(
      try query.all("SELECT run, name, state, tokens, sequences, model, recording, tags FROM runs WHERE run = 1").rows == [
        [
          .integer(1), .text("others"), .text("completed"), .integer(151), .integer(2), .text("sample"), .text("weights"),
          .text("[\"test\"]"),
        ]
      ])
    #expect(
      try query.all("SELECT sequence, name, tokens FROM sequences WHERE run = 1").rows == [
        [.integer(0), .text("first"), .integer(100)], [.integer(1), .text("sequence 1"), .integer(51)],
      ])
    #expect(
      try query.all("SELECT * FROM sequence_labels WHERE run = 1").rows == [[.integer(1), .integer(0), .text("domain"), .text("code")]])
    #expect(try query.all("SELECT layer FROM routers WHERE run = 1").rows == [[.integer(0)], [.integer(1)], [.integer(3)]])
    #expect(try query.all("SELECT count(*) FROM capture_checks WHERE outcome <> 'failed'").rows[0][0] != .integer(0))
  }

  /// The same answers from the sqlite3 that is on every machine, without our code.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/sqlite3"), "there is no /usr/bin/sqlite3"))
  func stockSQLiteReadsTheViews() throws {
    let whole = WholeRun(try SampleShape(name: "stock", expertCount: 64, topK: 8, passes: [400, 1], hasDrops: true).record(in: file))
    let batch = try #require(whole.routers[RouterID(layer: 3)])
    let output = try stock(
      "SELECT rank, expert, printf('%!.17g', weight), dropped FROM routing WHERE run = 1 AND layer = 3 AND token = 17 ORDER BY rank")
    let lines = output.split(separator: "\n").map { $0.split(separator: "|") }
    #expect(lines.count == 8)
    for (rank, line) in lines.enumerated() {
      let slot = 17 * 8 + rank
      #expect(line[0] == "\(rank)" && line[1] == "\(batch.selectedExperts[slot])")
      #expect(Double(line[2]) == Double(batch.routingWeights[slot]))
      #expect(line[3] == (batch.dropped?[slot] == true ? "1" : "0"))
    }
    let editor = try TraceEditor(file: file)
    try editor.setLabel("commas", ofExpert: 7, at: RouterID(layer: 3), of: .id(1))
    try editor.close()
    for view in TraceSchema.views {
      let count = try stock("SELECT count(*) FROM \(view.name)")
      // A plain run of text has no denoising counts, and nothing of what other records have.
      let isOfOthers = ["denoising_counts", "experts", "token_labels", "coordinates", "import_audit"].contains(view.name)
      #expect((Int(count.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 0) != isOfOthers, "\(view.name)")
      _ = try stock(view.example)
    }
  }

  private func stock(_ sql: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    process.arguments = ["-readonly", "-bail", file, sql]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(sql)")
    return String(decoding: data, as: UTF8.self)
  }

  // MARK: Speed of the one question

  /// Every step of the plan is an index look-up; the only loop is over the slots of one token.
  @Test func onePlaceIsFoundThroughIndices() throws {
    try SampleShape(name: "plan", passes: [600]).record(in: file)
    let trace = try TraceReader(file: file)
    for view in ["routing", "routing_stats"] {
      let plan = try TraceQuery(trace: trace).all(
        "EXPLAIN QUERY PLAN SELECT * FROM \(view) WHERE run = 1 AND layer = 3 AND token = 17"
      ).rows.compactMap { row -> String? in if case .text(let text) = row[3] { text } else { nil } }
      let scans = plan.filter {
        $0.hasPrefix("SCAN") && $0 != "SCAN d" && !$0.contains("CONSTANT ROW") && !$0.contains("VIRTUAL TABLE")
          && !$0.hasPrefix("SCAN (subquery")
      }
      #expect(scans == [], "\(plan)")
      #expect(plan.contains("SEARCH t USING PRIMARY KEY (run=? AND token=?)"), "\(plan)")
      #expect(plan.contains { $0.hasPrefix("SEARCH r USING INDEX") && $0.contains("(run=? AND layer=?)") }, "\(plan)")
      #expect(plan.contains("SEARCH p USING INDEX page_by_token (router=? AND first_token>? AND first_token<?)"), "\(plan)")
    }
  }

  @Test func everyTokenOfALongTraceIsFound() throws {
    let shape = SampleShape(name: "long", routers: [RouterID(layer: 3)], expertCount: 64, topK: 8, passes: [], sequenceLength: 4096)
    let writer = try TraceWriter(file: file, description: shape.run)
    let pass = SampleShape(name: "long", routers: [RouterID(layer: 3)], expertCount: 64, topK: 8, passes: [2048]).makePasses()[0]
    for index in 0..<32 {
      var pass = pass
      pass.tokens.firstToken = index * 2048
      pass.batches[0].firstToken = index * 2048
      try writer.receive(pass)
    }
    try writer.finish(.completed)
    let trace = try TraceReader(file: file)
    let query = TraceQuery(trace: trace)
    for token in stride(from: 100, to: 65_536, by: 3277) {
      let rows = try query.all("SELECT expert, weight FROM routing WHERE run = 1 AND layer = 3 AND token = \(token)").rows
      #expect(rows.count == 8 && rows[0][0] == .integer(Int64(pass.batches[0].selectedExperts[token % 2048 * 8])))
    }
  }
}
