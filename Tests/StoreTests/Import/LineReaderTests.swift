// Do readers of records in lines find what expected.json says, read back what the models chose, and refuse what is damaged? Every fixture, every
// fixture cut at 200 places, and what only small files of a test's own can show.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct LineReaderTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  static let formats: [ImportFormat] = [.olmoe, .megatron, .moetopJSONL]
  static let cases = formats.flatMap(ForeignCase.all)

  static func open(_ format: ImportFormat, _ files: [String]) throws -> any ForeignRecord {
    let request = ImportRequest(files: files)
    switch format {
    case .olmoe: return try OLMoEReader(files: files, request: request)
    case .megatron: return try MegatronReader(files: files, request: request)
    default: return try MoetopLinesReader(files: files, request: request)
    }
  }

  static func recognised(_ path: String) -> [ImportFormat] {
    (OLMoEReader.recognises(path) ? [.olmoe] : []) + (MegatronReader.recognises(path) ? [.megatron] : [])
      + (MoetopLinesReader.recognises(path) ? [.moetopJSONL] : [])
  }

  func open(_ format: ImportFormat, _ text: String) throws -> any ForeignRecord {
    try Self.open(format, [try directory.write(text.utf8, to: "record.jsonl")])
  }

  // MARK: Fixtures

  @Test(arguments: cases) func fixture(_ told: ForeignCase) throws {
    let record = try Self.open(told.format, told.files)
    #expect(record.shape.format == told.format)
    #expect(record.shape.sequences.count == told.sequences)
    #expect(record.rowCount == told.rows)
    for (index, column) in record.shape.columns.enumerated() {
      // A record that names no layers has those of its model.
      let name = column.router?.description ?? told.slots.keys.sorted()[index]
      if let slots = told.slots[name] { #expect(column.slots == slots) }
    }
    // What shows by the format alone; the rest is for who knows the model and the tokens.
    let own = told.audit.filter { found in
      switch found.code {
      case "truncated": true
      case "missing_last": found.router != nil
      case "length_mismatch": found.router != nil || told.format == .moetopJSONL
      case "wrong_k": told.format == .moetopJSONL
      default: false
      }
    }
    #expect(Set(record.shape.findings.map(\.found)) == Set(own))
    let unknown = try record.readThrough()
    #expect(try record.readThrough(piece: 5) == unknown)
    let explained = record.shape.columns.map { $0.explained.reduce(0) { $0 + $1.count } }
    for (index, column) in record.shape.columns.enumerated() {
      let stored = told.audit.contains { $0.code == "unknown_rows" } ? told.unknown[column.router?.description ?? ""] ?? 0 : 0
      #expect(unknown[index] == explained[index] + stored)
      if !own.isEmpty { #expect(explained[index] == told.unknown[column.router?.description ?? ""] ?? 0) }
    }
  }

  @Test(arguments: cases.filter { $0.equals != nil }) func routesAreThoseOfTheModel(_ told: ForeignCase) throws {
    let equals = try #require(told.equals)
    let computed = try ComputedRoutes(equals.model)
    let record = try Self.open(told.format, told.files)
    #expect(record.shape.columns.count == computed.routers.count)
    for (sequence, first, count) in equals.rows {
      let rows = try record.rows(first..<first + count, of: sequence)
      for (router, column) in zip(computed.routers, rows.columns) {
        #expect(column.ids == (try computed.ids(router, sequence, first..<first + count)))
      }
      let tokens = rows.tokens ?? record.shape.sequences[sequence].tokens.map { Array($0[first..<first + count]) }
      #expect(try tokens == nil || tokens == computed.tokens(sequence, first..<first + count))
    }
  }

  @Test func recognisesItsOwnAndNothingElse() throws {
    let files = try #require(FileManager.default.enumerator(atPath: ForeignCase.folder)).compactMap { $0 as? String }
    var counts: [ImportFormat: Int] = [:]
    for file in files where file.contains(".") && file.contains("/") {
      let isTrace = file.hasPrefix("megatron/") && file.hasSuffix(".jsonl")
      let own: ImportFormat? = isTrace ? .megatron : [ImportFormat.olmoe, .moetopJSONL].first { file.hasPrefix("\($0.rawValue)/") }
      #expect(Self.recognised("\(ForeignCase.folder)/\(file)") == (own.map { [$0] } ?? []), "\(file)")
      if let own { counts[own, default: 0] += 1 }
    }
    #expect(counts == [.olmoe: 14, .megatron: 40, .moetopJSONL: 17])
    for name in ["nowhere", "models/olmoe/config.json", "models/olmoe/model.safetensors"] {
      #expect(Self.recognised(Fixtures.own(name) ?? name).isEmpty)
    }
    // A first line that was cut off is known by what is left of it; what stands within it is no name.
    let cut = try directory.write("\n {\"input_ids\":[1,2],\"exp_ids\":[[[1".utf8, to: "cut")
    #expect(Self.recognised(cut) == [.olmoe])
    let inner = try directory.write("{\"a\":{\"moetop\":1,\"routers\":[]},\"b\":\"moetop\"}\n".utf8, to: "inner")
    #expect(Self.recognised(inner).isEmpty)
  }

  @Test(arguments: formats) func cutAnywhere(_ format: ImportFormat) throws {
    let files = Set(ForeignCase.all(of: format).flatMap(\.files)).sorted()
    for (number, file) in files.enumerated() {
      let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
      let folder = "cut\(number)"
      try FileManager.default.createDirectory(atPath: directory.file(folder), withIntermediateDirectories: true)
      let name = file.split(separator: "/").last.map(String.init) ?? ""
      for place in Set((0..<200).map { $0 * bytes.count / 200 }) {
        let path = try directory.write(bytes.prefix(place), to: "\(folder)/\(name)")
        // Between lines nothing is cut off.
        let last = bytes.prefix(place).split(separator: 0x0A, omittingEmptySubsequences: false).last ?? Data()
        let isWhole = last.isEmpty || (try? JSONSerialization.jsonObject(with: last)) != nil
        do {
          let record = try Self.open(format, [path])
          try record.readThrough()
          #expect(isWhole || record.shape.findings.contains { $0.code == .truncated }, "\(file) at \(place)")
        } catch let error as FormatError {
          #expect(error.file == path, "\(file) at \(place): \(error)")
        }
      }
    }
  }

  @Test func logitsCutAnywhere() throws {
    let told = try #require(ForeignCase.all(of: .megatron).first { $0.name == "megatron/sound" })
    let bytes = try Data(contentsOf: URL(fileURLWithPath: told.files[0]))
    let path = try directory.write(bytes, to: "router_trace_rank0.jsonl")
    let logits = try Data(
      contentsOf: URL(fileURLWithPath: told.files[0].replacingOccurrences(of: "router_trace_rank0.jsonl", with: "logits_rank0.bin")))
    for place in Set((0..<200).map { $0 * logits.count / 200 }) {
      try directory.write(logits.prefix(place), to: "logits_rank0.bin")
      let record = try Self.open(.megatron, [path])
      try record.readThrough()
      #expect(record.shape.findings.map(\.found) == [.init(code: "truncated", router: nil, count: 48 - place / 16, of: 48)])
    }
  }

  /// Whatever is changed in a record, it is read or refused.
  @Test(arguments: formats) func changedAnywhere(_ format: ImportFormat) throws {
    let file = try #require(ForeignCase.all(of: format).first).files[0]
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    var random = SeededRandom(seed: 11)
    let digits = Array("0123456789-,[]{}\":n".utf8)
    for _ in 0..<400 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: 0..<changed.count, using: &random)
        changed[place] =
          Bool.random(using: &random) ? digits[Int.random(in: 0..<digits.count, using: &random)] : UInt8.random(in: 0...255, using: &random)
      }
      let path = try directory.write(changed, to: "changed.jsonl")
      do { try Self.open(format, [path]).readThrough() } catch let error as FormatError { #expect(error.file == path) }
    }
  }

  // MARK: Lines

  @Test func lines() throws {
    let path = try directory.write("\u{FEFF}{\"a\":1}\r\n\n   \n{\"a\":[NaN]}\n\n{\"a\":3}".utf8, to: "lines")
    let lines = try JSONLines(path)
    #expect(lines.count == 3 && !lines.isCut)
    #expect(try lines.read(2) { (line) throws(FormatError) in try line.integer("a") } == 3)
    #expect((0..<3).map(lines.number) == [1, 4, 6])
    #expect(throws: FormatError.missing(file: path, path: "line 4, b", expected: "an integer")) {
      try lines.read(1) { (line) throws(FormatError) in try line.integer("b") }
    }
    // A last line that stops is no line; one that is ended is one, and so is an earlier one.
    let cut = try JSONLines(try directory.write("{\"a\":1}\n{\"a\":".utf8, to: "cut"))
    #expect(cut.count == 1 && cut.isCut && cut.countWithCut == 2)
    for text in ["{\"a\":1}\n{\"a\":\n", "{\"a\":1}\n{\"a\":\n{\"a\":2}"] {
      let path = try directory.write(text.utf8, to: "broken")
      let broken = try JSONLines(path)
      #expect(!broken.isCut)
      #expect { try broken.read(1) { (line) throws(FormatError) in line.count } } throws: { error in
        "\(error)".hasPrefix("\(path): line 2: not valid JSON at byte ")
      }
    }
    for text in ["", "\n \n", "{\"a\"", "[1]"] {
      let path = try directory.write(text.utf8, to: "none")
      #expect(throws: FormatError.self) {
        _ = try JSONLines(path).read(0) { (line) throws(FormatError) in line.count }
      }
    }
  }

  // MARK: OLMoE

  @Test func tokensOfOLMoE() throws {
    let told = try #require(ForeignCase.all(of: .olmoe).first { $0.name == "olmoe/sound" })
    let both = try Self.open(
      .olmoe, [told.files[0], try directory.write(Data(contentsOf: URL(fileURLWithPath: told.files[0])), to: "b.jsonl")])
    #expect(both.shape.sequences.map(\.name) == ["sound 1", "sound 2", "b 1", "b 2"])
    #expect(try both.all(3).columns.map(\.ids) == both.all(1).columns.map(\.ids))
    #expect(both.shape.omitted == 0 && both.shape.columns.allSatisfy { $0.router == nil && $0.experts == nil })
    let short = try open(.olmoe, #"{"input_ids":[5],"exp_ids":[]}"# + "\n" + #"{"exp_ids":[[[1,2,3],[4,5,6]]]}"#)
    #expect(short.shape.sequences.map(\.rows) == [0, 1] && short.shape.sequences.map(\.tokens) == [[5], nil])
    #expect(try short.all(1).columns.map(\.ids) == [[1, 4], [2, 5], [3, 6]])
  }

  @Test(arguments: [
    (
      #"{"exp_ids":[[[1],[2]]]}"# + "\n" + #"{"exp_ids":[[[1]]]}"#, "line 2, exp_ids[0]: expected 2 lists of 1 ids, as before, found 1 of 1"
    ),
    (#"{"exp_ids":[[[1],[2]],[[1]]]}"#, "line 1, exp_ids[1]: expected 2 experts, as in the first row, found an array of 1"),
    (#"{"exp_ids":[[[1],[2,3]]]}"#, "line 1, exp_ids[0][1]: expected ids of 1 layers, found an array of 2"),
    (#"{"exp_ids":[[[1],[9876543210]]]}"#, "line 1, exp_ids[0][1][0]: expected an integer of 32 bits, found 9876543210"),
    (#"{"exp_ids":[[]]}"#, "line 1, exp_ids[0]: expected the experts of a token, found an array of 0"),
    (#"{"exp_ids":[[[]]]}"#, "line 1, exp_ids[0][0]: expected an expert of each layer, found an array of 0"),
    (#"{"input_ids":[1.5],"exp_ids":[[[1]]]}"#, "line 1, input_ids[0]: expected an integer of 32 bits, found 1.5"),
    (#"{"input_ids":[1]}"#, "line 1, exp_ids: missing; expected an array"),
    (#"{"exp_ids":[]}"#, "exp_ids: there is not one row in it"),
  ]) func refusedOLMoE(_ text: String, _ words: String) throws { refused(.olmoe, text, words) }

  func refused(_ format: ImportFormat, _ text: String, _ words: String) {
    #expect {
      try open(format, text).readThrough()
    } throws: { error in
      #expect("\(error)" == "\(directory.file("record.jsonl")): \(words)")
      return error is FormatError
    }
  }

  // MARK: Megatron

  @Test func logitsOfMegatron() throws {
    let computed = try ComputedRoutes("models/olmoe")
    for (name, lost) in [("sound", [Int: [Int]]()), ("truncated_logits", [0: [23], 1: [22, 23]])] {
      let told = try #require(ForeignCase.all(of: .megatron).first { $0.name == "megatron/\(name)" })
      let record = try Self.open(.megatron, told.files)
      #expect(record.shape.columns.allSatisfy { $0.hasLogits && $0.experts == 8 && $0.router != nil })
      #expect(record.shape.sequences.map(\.name) == ["rank 0", "rank 1"])
      #expect(record.shape.mayOmit == 1 && record.shape.omitted == 0)
      for sequence in 0..<2 {
        let rows = try record.all(sequence)
        #expect(rows.facts?.rank == Array(repeating: Int64(sequence), count: 24))
        for (column, router) in computed.routers.enumerated() {
          let exact = try computed.values("\(router).router_logits", sequence, 0..<24)
          let read = try #require(rows.columns[column].logits)
          for row in 0..<24 {
            let isLost = sequence == 0 && lost[column]?.contains(row) == true
            for place in row * 8..<row * 8 + 8 {
              if isLost { #expect(read[place].isNaN) } else { #expect(abs(read[place] - exact[place]) <= abs(exact[place]) / 256) }
            }
          }
        }
      }
    }
  }

  private func trace(_ step: Int, _ layer: Int, _ ids: String, tokens: Int, topK: Int = 2, more: String = "") -> String {
    #"{"step": \#(step), "stage": "pre_dispatch", "block": "\#(more.isEmpty ? "decoder" : "mtp")", "layer": \#(layer), "rank": 3, "#
      + #""num_tokens": \#(tokens), "topk": \#(topK)\#(more), "top_indices": \#(ids)}"# + "\n"
  }

  @Test func stepsOfMegatron() throws {
    // A layer of a step may be missing; one that comes again begins a step; blocks that look ahead are towers.
    let record = try open(
      .megatron,
      trace(7, 1, "[[1, 2], [3, 4]]", tokens: 2) + trace(7, 0, "[[5, 6], [7, 8]]", tokens: 2)
        + trace(7, 0, "[[0, 9], [2, 3]]", tokens: 2, more: #", "mtp_idx": 1"#)
        + trace(8, 1, "[[1, 0]]", tokens: 1) + trace(8, 1, "[[2, 0]]", tokens: 1) + trace(8, 0, "[[4, 0]]", tokens: 1)
        + trace(9, 1, "[]", tokens: 0))
    #expect(record.shape.columns.compactMap { $0.router?.description } == ["ffn.0", "ffn.1", "mtp1.ffn.0"])
    #expect(record.shape.sequences.map(\.rows) == [4] && record.shape.findings.isEmpty)
    #expect(
      try record.all(0).columns.map(\.ids) == [
        [5, 6, 7, 8, -1, -1, 4, 0], [1, 2, 3, 4, 1, 0, 2, 0], [0, 9, 2, 3, -1, -1, -1, -1],
      ])
    #expect(try record.rows(1..<3, of: 0).columns.map(\.ids) == [[7, 8, -1, -1], [3, 4, 1, 0], [2, 3, -1, -1]])
    #expect(RouterID(path: "mtp1.ffn.0") == record.shape.columns[2].router)
  }

  @Test func contradictionsOfMegatron() throws {
    // Two layers of three agree about the rows of the step; ids of another number than the record says are no row.
    let record = try open(
      .megatron,
      trace(0, 0, "[[1, 2], [3, 4], [5, 6]]", tokens: 3) + trace(0, 1, "[[1, 2], [3, 4]]", tokens: 2)
        + trace(0, 2, "[[1, 2], [3, 4]]", tokens: 2) + trace(1, 0, "[[1]]", tokens: 1) + trace(1, 1, "[[7, 8]]", tokens: 1)
        + trace(1, 2, "[[7, 8, 9]]", tokens: 1, topK: 3))
    #expect(record.rowCount == 3)
    #expect(
      record.shape.findings.map(\.found) == [
        .init(code: "length_mismatch", router: "ffn.0", count: 2, of: 3), .init(code: "wrong_k", router: "ffn.0", count: 1, of: 3),
        .init(code: "wrong_k", router: "ffn.2", count: 1, of: 3),
      ])
    #expect(record.shape.findings.map(\.first) == [[0, 1], [2], [2]])
    #expect(try record.readThrough() == [3, 0, 1])
    #expect(record.shape.columns.map(\.explained) == [[0..<3], [], [2..<3]])
  }

  @Test func refusedMegatron() throws {
    refused(
      .megatron, trace(0, 0, "[[1, 2], [3]]", tokens: 2), "line 1, top_indices[1]: expected 2 ids, as in its first row, found an array of 1"
    )
    refused(.megatron, trace(0, 0, "[1]", tokens: 1), "line 1, top_indices[0]: expected the ids of a token's experts, found 1")
    refused(.megatron, trace(0, -1, "[]", tokens: 1), "line 1, layer: expected an integer in 0...9999999, found -1")
    refused(
      .megatron, trace(0, 0, "[]", tokens: 0) + trace(0, 0, "[]", tokens: 0).replacingOccurrences(of: "\"rank\": 3", with: "\"rank\": 4"),
      "line 2, rank: expected 3, the rank of line 1, found 4")
    refused(
      .megatron, trace(0, 0, "[[1, 2]]", tokens: 1, more: #", "logit_offset": 0, "logit_bytes": 15, "logit_shape": [1, 8]"#),
      "line 1, logit_bytes: expected 16 bytes, 2 for each of 1 x 8 logits, found 15")
    refused(
      .megatron, trace(0, 0, "[[1, 2]]", tokens: 1, more: #", "logit_offset": 0, "logit_bytes": 16, "logit_shape": [8]"#),
      "line 1, logit_shape: expected [tokens, experts], found an array of 1")
    let twice = try directory.write(trace(0, 0, "[[1, 2]]", tokens: 1).utf8, to: "a.jsonl")
    #expect {
      try Self.open(.megatron, [twice, twice])
    } throws: { error in
      "\(error)" == "\(twice): line 1: its rank 3 is that of \(twice) too; give the file of a rank once"
    }
    // Logits that lie nowhere are none.
    let far = try open(
      .megatron,
      trace(0, 0, "[[1, 2]]", tokens: 1, more: #", "logit_offset": 4611686018427387903, "logit_bytes": 16, "logit_shape": [1, 8]"#))
    #expect(far.shape.columns[0].hasLogits == false && far.shape.findings.isEmpty)
    try directory.write(Array(repeating: UInt8(0), count: 15), to: "logits_rank3.bin")
    let short = try open(
      .megatron, trace(0, 0, "[[1, 2]]", tokens: 1, more: #", "logit_offset": 0, "logit_bytes": 16, "logit_shape": [1, 8]"#))
    #expect(short.shape.columns[0].hasLogits == false)
    #expect(short.shape.findings.map(\.found) == [.init(code: "truncated", router: nil, count: 1, of: 1)])
  }
}
