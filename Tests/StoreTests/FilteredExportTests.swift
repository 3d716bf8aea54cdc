// Exports under a filter hold the rows that pass and no others, in their order, and say which rows of the run they are.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct FilteredExportTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func export(_ filter: String?, _ shape: SampleShape) throws -> TraceExport {
    let trace = try TraceReader(file: file)
    let run = try trace.run(.latest)
    let pieces = try trace.pieces(run: run.id)
    let context = FilterContext(
      routers: shape.run.routers, sequences: try trace.sequences(run: run.id), hasTexts: true,
      text: { id in pieces[id].map { String(decoding: $0, as: UTF8.self) } })
    return TraceExport(trace: trace, run: run, filter: try filter.map { try Filter(parsing: $0).resolved(in: context) })
  }

  private func lines(_ filter: String?, _ shape: SampleShape, _ content: TraceExport.Content, _ format: TraceExport.Format) throws
    -> [String]
  {
    var bytes: [UInt8] = []
    try export(filter, shape).write(content, as: format, to: .stream { bytes += $0 })
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private static let shape = SampleShape(
    name: "full", recording: RecordingLevel(content: .full, logitsEvery: 3), passes: [250, 1, 70], hasNaN: true, hasDrops: true,
    hasPadding: true)

  private func cells(_ line: String) -> [String] { line.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }

  /// Column by column out of the unfiltered csv.
  private func isWanted(_ line: String) -> Bool {
    let cells = cells(line)
    guard let position = Int(cells[5]), let entropy = Double(cells[11]) else { return false }
    return cells[2] != "0" && position > 20 && entropy / log(16) > 0.5
  }

  /// Router and token of a line.
  private func decision(_ line: String) -> String {
    let cells = cells(line)
    return cells[2] + " " + cells[3]
  }

  @Test func textFormsHoldTheLinesThatPass() throws {
    try Self.shape.record(in: file)
    let filter = "!layer=0 position>20 entropy>0.5"
    let all = try lines(nil, Self.shape, .routing, .csv)
    let found = try lines(filter, Self.shape, .routing, .csv)
    let wanted = all.dropFirst().filter(isWanted)
    #expect(found == [all[0]] + wanted)
    #expect(wanted.count > 100 && wanted.count < all.count / 2)
    // Whole decisions: those whose first choice is 5.
    let byChoice = try lines("expert=5 rank=0", Self.shape, .routing, .csv)
    let firsts = all.dropFirst().filter { cells($0)[7] == "0" && cells($0)[8] == "5" }
    let keys = Set(firsts.map(decision))
    #expect(byChoice == [all[0]] + all.dropFirst().filter { keys.contains(decision($0)) })
    let objects = try lines(filter, Self.shape, .routing, .jsonl)
    let allObjects = try lines(nil, Self.shape, .routing, .jsonl)
    #expect(objects.count >= Set(wanted.map(decision)).count)
    #expect(Set(objects).isSubset(of: Set(allObjects)))
    let shown = try lines(filter, Self.shape, .tokens, .csv).dropFirst().map { cells($0)[1] }
    #expect(Set(wanted.map { cells($0)[3] }).isSubset(of: Set(shown)))
    #expect(Set(shown).count == shown.count)
    let tokens = try lines(nil, Self.shape, .tokens, .csv)
    let text = try #require(tokens.map { cells($0)[8] }.first { $0.hasPrefix(" t") })
    let named = try lines("token=\"\(text)\"", Self.shape, .tokens, .csv)
    #expect(named == [tokens[0]] + tokens.filter { cells($0)[8] == text })
  }

  @Test func loadsAreThoseOfWhatPasses() throws {
    try Self.shape.record(in: file)
    let filter = "!layer=0 position>20 entropy>0.5"
    var counts: [String: Int] = [:]
    for line in try lines(filter, Self.shape, .routing, .csv).dropFirst() {
      let cells = cells(line)
      if cells[10] == "0" { counts[cells[2] + " " + cells[8], default: 0] += 1 }
    }
    let rows = try lines(filter, Self.shape, .load, .csv).dropFirst().map(cells)
    #expect(rows.count == 32)
    for row in rows {
      #expect(Int(row[3]) == counts[row[1] + " " + row[2]] ?? 0)
      // Not every decision has logits.
      #expect(row[5].isEmpty)
    }
    // Whole routers are as the view has them.
    let whole = try lines(nil, Self.shape, .load, .csv)
    #expect(try lines("layer=1", Self.shape, .load, .csv) == whole.filter { !$0.hasPrefix("1,0") && !$0.hasPrefix("1,3") })
  }

  @Test(arguments: [false, true]) func tensorsSayWhichRowsTheyHold(isInterleaved: Bool) throws {
    var passes = Self.shape.makePasses()
    if isInterleaved {
      for index in passes.indices {
        for row in 0..<passes[index].tokens.count {
          let token = passes[index].tokens.firstToken + row
          passes[index].tokens.sequence[row] = Int32(token % 7)
          passes[index].tokens.position[row] = Int32(token / 7)
        }
      }
    }
    let writer = try TraceWriter(file: file, description: Self.shape.run, pieces: { _ in nil })
    for pass in passes { try writer.receive(pass) }
    try writer.finish(.completed)
    let whole = WholeRun(passes)
    let path = directory.file("routing.safetensors")
    let text = "position>5 expert=2,3 entropy>0.4"
    let export = try export(text, Self.shape)
    try export.write(.routing, as: .safetensors, to: .file(path))
    let filter = try #require(export.filter)
    let tensors = try SafetensorsFile(path: path)
    func numbers<Number: BitwiseCopyable>(_ name: String, _ type: Number.Type) throws -> [Number] {
      let tensor = try tensors.tensor(name)
      return (0..<tensor.byteCount / MemoryLayout<Number>.size).map {
        tensor.bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: type)
      }
    }
    let pass = RoutingPass(tokens: whole.tokens, batches: whole.routers.values.sorted { $0.router < $1.router })
    let order = (0..<whole.tokens.count).filter { filter.shows($0, of: pass) }.sorted {
      (whole.tokens.sequence[$0], whole.tokens.position[$0]) < (whole.tokens.sequence[$1], whole.tokens.position[$1])
    }
    #expect(!order.isEmpty && order.count < whole.tokens.count)
    #expect(tensors.metadata.first { $0.key == "moetop.filter" }?.value == text)
    #expect(try numbers("token", Int64.self) == order.map(Int64.init))
    #expect(try numbers("position", Int32.self) == order.map { whole.tokens.position[$0] })
    #expect(try numbers("input_ids", Int32.self) == order.map { whole.tokens.tokenID[$0] })
    #expect(try numbers("sequence_lengths", Int32.self).reduce(0, +) == Int32(order.count))
    for batch in pass.batches {
      let ids = order.flatMap { row -> [Int32] in
        filter.passes(row, of: batch, tokens: pass.tokens) ? Array(batch.selectedExperts[row * 2..<row * 2 + 2]) : [-1, -1]
      }
      #expect(try numbers("\(batch.router).expert_ids", Int32.self) == ids)
      let entropies: [Float] = order.map { filter.passes($0, of: batch, tokens: pass.tokens) ? batch.routerEntropy[$0] : .nan }
      #expect(try numbers("\(batch.router).entropy", Float.self).map(\.description) == entropies.map(\.description))
      let kept = order.enumerated().filter {
        batch.logits?.rows.contains(Int32($0.element)) == true && filter.passes($0.element, of: batch, tokens: pass.tokens)
      }
      #expect(try numbers("\(batch.router).rows", Int32.self) == kept.map { Int32($0.offset) })
      #expect(try tensors.tensor("\(batch.router).router_logits").shape == [kept.count, 16])
    }
  }

  @Test func nothingLeftWritesNothing() throws {
    try Self.shape.record(in: file)
    for format in TraceExport.formats(of: .routing) {
      let path = directory.file("none.\(format)")
      #expect(throws: FilterError.self) {
        try export("position>50 position<20", Self.shape).write(.routing, as: format, to: .file(path))
      }
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }
}
