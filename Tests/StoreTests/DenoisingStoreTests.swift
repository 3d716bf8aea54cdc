// What a trace keeps of a denoising run: the same counts whether decisions are kept or not, readable by stock SQLite, whole samples only
// when the writer is killed; the place of a row in the view of tokens and in exports.

import Formats
import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct DenoisingStoreTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  static let layout = DenoisingLayout(
    sampler: "rectified flow", timesteps: [1, 0.75, 0.5, 0.25], branchCount: 2, patchRows: 2, patchColumns: 3, guidanceScale: 1.5)
  static let samples = 70
  static let sequences = (0..<samples).map { SequenceDescription(name: "sample \($0)", labels: ["class": String($0 % 11)]) }

  private func shape(_ content: RecordingLevel.Content) -> (description: RunDescription, passes: [RoutingPass]) {
    let shape = SampleShape(
      name: "images", routers: [RouterID(layer: 0), RouterID(layer: 2)], expertCount: 5, topK: 2,
      recording: RecordingLevel(content: content), passes: Array(repeating: 10 * 12, count: 7 * 4))
    var description = shape.run
    description.denoising = Self.layout
    var passes = shape.makePasses(seed: 5)
    // Ten samples at a time, step by step, the conditional branch of all of them first.
    for (index, pass) in passes.enumerated() {
      let (block, step) = index.quotientAndRemainder(dividingBy: 4)
      var tokens = TokenTable(firstToken: pass.tokens.firstToken)
      for branch in 0..<2 {
        for sample in block * 10..<(block + 1) * 10 {
          for patch in 0..<6 {
            tokens.append(
              sequence: sample, position: Self.layout.position(step: step, branch: branch) + patch, tokenID: -1, phase: .denoise)
          }
        }
      }
      passes[index].tokens = tokens
    }
    return (description, passes)
  }

  @discardableResult
  private func record(_ content: RecordingLevel.Content, _ decisions: [RoutingPass]? = nil) throws -> [RoutingPass] {
    let (description, made) = shape(content)
    let passes = decisions ?? made
    let writer = try TraceWriter(file: file, description: description, sequences: Self.sequences)
    for (index, pass) in passes.enumerated() {
      try writer.receive(pass)
      if index % 5 == 0 { try writer.flush() }
    }
    try writer.finish(.completed)
    return passes
  }

  private func folded(_ passes: [RoutingPass], branch: Int) throws -> DenoisingCounts {
    var counts = try DenoisingCounts(layout: Self.layout, routers: shape(.full).description.routers, branch: branch)
    for pass in passes { counts.add(pass) }
    return counts
  }

  /// The run with its decisions, the run without, and the decisions of the first folded again.
  @Test func everyLevelKeepsTheSameCounts() throws {
    let passes = try record(.full)
    try record(.counts, passes)
    let trace = try TraceReader(file: file)
    let full = try trace.run(.id(1))
    let counted = try trace.run(.id(2))
    for branch in 0..<2 {
      let expected = try folded(passes, branch: branch)
      #expect(expected.samples.count == Self.samples)
      #expect(try trace.denoisingCounts(of: counted, branch: branch) == expected)
      #expect(try trace.denoisingCounts(of: full, branch: branch) == expected)
      #expect(try folded(trace.allPasses(.id(1)), branch: branch) == expected)
    }
    #expect(try trace.checkIntegrity() == [])
    #expect(counted.tokenCount == full.tokenCount && counted.sequenceCount == Self.samples)
    #expect(counted.description.recording.content == .counts)

    // Nothing else is kept, and what a router did over the run is known all the same.
    #expect(try trace.allPasses(.id(2)).isEmpty)
    #expect(try shell("SELECT count(*) FROM token WHERE run = 2") == "0\n")
    #expect(try shell("SELECT count(*) FROM page WHERE router IN (SELECT id FROM router WHERE run = 2)") == "0\n")
    let load = "SELECT layer, expert, assignments, load FROM layer_load WHERE run = "
    #expect(try shell(load + "1") == shell(load + "2"))
  }

  @Test func stockSQLiteAnswers() throws {
    let passes = try record(.counts)
    let counts = try folded(passes, branch: 0)
    let router = RouterID(layer: 2)
    let sql = "SELECT axis, cell, expert, count FROM denoising_counts WHERE run = 1 AND layer = 2 AND branch = 0"
    let rows = try shell(sql + " ORDER BY axis, CAST(cell AS INTEGER), expert").split(separator: "\n").map(String.init)
    var byClass = Array(repeating: 0, count: 11 * 5)
    let tables = try #require(counts.routers[router])
    for (sample, own) in tables.samples { for expert in 0..<5 { byClass[sample % 11 * 5 + expert] += Int(own.counts[expert]) } }
    func lines(_ axis: String, _ values: [Int]) -> [String] {
      values.indices.map { "\(axis)|\($0 / 5)|\($0 % 5)|\(values[$0])" }
    }
    let expected =
      lines("class", byClass) + lines("patch", counts.patchCounts(of: router)) + lines("step", counts.stepCounts(of: router))
    #expect(rows == expected)
    #expect(try shell("SELECT count(*) FROM denoising_counts WHERE branch = 1 AND axis = 'step'") == "\(2 * 4 * 5)\n")
  }

  /// Output of the stock sqlite3.
  private func shell(_ sql: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    process.arguments = [file, sql]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return text
  }

  @Test func rowsKnowTheirPlace() throws {
    let passes = try record(.weights)
    try SampleShape(name: "text", passes: [3]).record(in: file)
    let trace = try TraceReader(file: file)
    let columns = "step, timestep, branch, patch_row, patch_column"
    let rows = try TraceQuery(trace: trace).all("SELECT \(columns) FROM tokens WHERE run = 1 ORDER BY token").rows
    let positions = passes.flatMap(\.tokens.position)
    #expect(rows.count == positions.count)
    for (row, position) in zip(rows, positions) {
      let place = Self.layout.place(at: Int(position))
      #expect(
        row == [
          .integer(Int64(place.step)), .real(Double(Self.layout.timesteps[place.step])), .integer(Int64(place.branch)),
          .integer(Int64(place.patchRow)), .integer(Int64(place.patchColumn)),
        ])
    }
    let text = try TraceQuery(trace: trace).all("SELECT \(columns) FROM tokens WHERE run = 2").rows
    #expect(text == Array(repeating: Array(repeating: .null, count: 5), count: 3))
  }

  private func export() throws -> SafetensorsFile {
    let output = directory.file("export.safetensors")
    let trace = try TraceReader(file: file)
    try TraceExport(trace: trace, run: try trace.run(.latest)).write(.routing, as: .safetensors, to: .file(output))
    return try SafetensorsFile(path: output)
  }

  private func numbers<Number: BitwiseCopyable>(_ file: SafetensorsFile, _ name: String, _ type: Number.Type) throws -> [Number] {
    let tensor = try file.tensor(name)
    return (0..<tensor.byteCount / MemoryLayout<Number>.size).map {
      tensor.bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: type)
    }
  }

  @Test func exportsOfDecisionsSayTheirPlace() throws {
    let passes = try record(.ids)
    let tokens = passes.reduce(into: TokenTable()) { $0.append(contentsOf: $1.tokens) }
    let order = (0..<tokens.count).sorted { (tokens.sequence[$0], tokens.position[$0]) < (tokens.sequence[$1], tokens.position[$1]) }
    let places = order.map { Self.layout.place(at: Int(tokens.position[$0])) }
    let export = try export()
    #expect(try numbers(export, "sample", Int32.self) == order.map { tokens.sequence[$0] })
    #expect(try numbers(export, "step", Int32.self) == places.map { Int32($0.step) })
    #expect(try numbers(export, "branch", Int32.self) == places.map { Int32($0.branch) })
    #expect(try numbers(export, "patch", Int32.self) == places.map { Int32($0.patchRow * 3 + $0.patchColumn) })
    #expect(try numbers(export, "timestep", Float.self) == places.map { Self.layout.timesteps[$0.step] })
    #expect(try export.tensor("ffn.2.expert_ids").shape == [tokens.count, 2])
  }

  @Test func tokensAreExportedWithTheirPlace() throws {
    try record(.ids)
    let trace = try TraceReader(file: file)
    var text: [UInt8] = []
    try TraceExport(trace: trace, run: try trace.run(.latest)).write(.tokens, as: .csv, to: .stream { text += $0 })
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
    #expect(lines[0].hasSuffix(",text,step,timestep,branch,patch_row,patch_column"))
    // The last row of the first sample: the last patch of the unconditional branch at the last step.
    #expect(lines[4 * 12].hasSuffix(",denoise,,,,3,0.25,1,1,2"), "\(lines[4 * 12])")
  }

  @Test func linesOfDecisionsSayTheirPlace() throws {
    try record(.ids)
    let trace = try TraceReader(file: file)
    func lines(_ format: TraceExport.Format) throws -> [Substring] {
      var text: [UInt8] = []
      try TraceExport(trace: trace, run: try trace.run(.latest)).write(.routing, as: format, to: .stream { text += $0 })
      return String(decoding: text, as: UTF8.self).split(separator: "\n")
    }
    let rows = try lines(.csv)
    #expect(rows[0].hasSuffix(",top_k_mass,step,timestep,branch,patch_row,patch_column"))
    // Two routers with two experts each: four lines a row.
    #expect(rows[4 * 4 * 12].hasSuffix(",3,0.25,1,1,2"), "\(rows[4 * 4 * 12])")
    let last = try lines(.jsonl)[2 * 4 * 12 - 1]
    #expect(last.contains(#""step":3,"timestep":0.25,"branch":1,"patch_row":1,"patch_column":2,"experts":"#), "\(last)")
    #expect(try trace.run(.latest).storedBytes > 0)
  }

  @Test func exportsOfCounts() throws {
    let counts = try folded(try record(.counts), branch: 0)
    // By router and branch: 64 groups of (4 steps + 6 patches) of 5 experts, their weights, and 70 samples.
    #expect(try TraceReader(file: file).run(.latest).storedBytes == 2 * 2 * (64 * 10 * 5 * 4 + 10 * 5 * 8 + 70 * 5 * 8))
    let export = try export()
    #expect(
      Set(export.tensors.map(\.name)) == Set([0, 2].flatMap { layer in ["step", "patch", "class"].map { "counts.\(layer).\($0)" } }))
    #expect(try export.tensor("counts.2.class").shape == [11, 5])
    let steps = try numbers(export, "counts.2.step", Int64.self)
    #expect(steps == counts.stepCounts(of: RouterID(layer: 2)).map(Int64.init))
    let patches = try numbers(export, "counts.0.patch", Int64.self)
    #expect(patches == counts.patchCounts(of: RouterID(layer: 0)).map(Int64.init))
    let total = try numbers(export, "counts.0.class", Int64.self).reduce(0, +)
    #expect(total == patches.reduce(0, +))
    let classes = export.metadata.first { $0.key == "moetop.classes" }?.value
    #expect(classes == "[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\"]")
    let trace = try TraceReader(file: file)
    for format in [TraceExport.Format.csv, .jsonl] {
      #expect(throws: StoreError.self) {
        try TraceExport(trace: trace, run: try trace.run(.latest)).write(.routing, as: format, to: .stream { _ in })
      }
    }
  }

  /// Looked at in the middle of a sample, as after a kill: whole samples and nothing of the others.
  @Test(arguments: [RecordingLevel.Content.counts, .weights]) func wholeSamplesSurvive(_ content: RecordingLevel.Content) throws {
    let (description, passes) = shape(content)
    let writer = try TraceWriter(file: file, description: description, sequences: Self.sequences)
    for pass in passes.prefix(4 + 4 + 2) { try writer.receive(pass) }
    try writer.flush()
    let trace = try TraceReader(file: file)
    #expect(try trace.denoisingCounts(of: trace.run(.latest)) == folded(Array(passes.prefix(8)), branch: 0))
    #expect(try trace.checkIntegrity() == [])
    for pass in passes.dropFirst(10) { try writer.receive(pass) }
    try writer.finish(.completed)
    #expect(try trace.denoisingCounts(of: trace.run(.latest)) == folded(passes, branch: 0))
  }

  @Test func countsOfTextAreRefused() throws {
    let shape = SampleShape(name: "text", recording: RecordingLevel(content: .counts), passes: [3])
    #expect(throws: StoreError.impossibleRecording(problem: "counts alone can be kept of denoising runs, and this is a run of text")) {
      try TraceWriter(file: file, description: shape.run)
    }
    try SampleShape(name: "text", passes: [3]).record(in: file)
    let trace = try TraceReader(file: file)
    #expect(try trace.denoisingCounts(of: trace.run(.latest)) == nil)
    #expect(try RecordingLevel(parsing: "counts").content == .counts && RecordingLevel.Content.counts < .ids)
  }

  /// A layout that no run can have: said, never a crash.
  @Test(arguments: ["branchCount", "patchRows", "patchColumns"], [-1, 0, 1 << 50]) func impossibleLayoutsAreSaid(
    _ field: String, _ value: Int
  )
    throws
  {
    try record(.counts)
    let sql = "UPDATE run SET description = json_set(description, '$.denoising.\(field)', \(value))"
    try DatabaseQueue(path: file).write { try $0.execute(sql: sql) }
    let trace = try TraceReader(file: file)
    #expect(throws: StoreError.self) { _ = try trace.denoisingCounts(of: trace.run(.latest)) }
    #expect(throws: StoreError.self) { try export() }
    _ = try trace.checkIntegrity()
  }

  @Test func damagedCountsAreSaid() throws {
    try record(.counts)
    try DatabaseQueue(path: file).write {
      try $0.execute(sql: "UPDATE denoising_group SET steps = x'00' WHERE branch = 0 AND sample_group = 3")
    }
    let trace = try TraceReader(file: file)
    #expect(throws: StoreError.self) { _ = try trace.denoisingCounts(of: trace.run(.latest)) }
    #expect(try trace.checkIntegrity().count == 1)
    try TraceEditor(file: file).delete(.latest)
    for table in ["denoising", "denoising_step", "denoising_group", "denoising_weight", "denoising_sample"] {
      #expect(try shell("SELECT count(*) FROM \(table)") == "0\n", "\(table)")
    }
  }
}
