// Do records of SGLang's recorder, TensorRT-LLM, transformers and llama.cpp say what they said? Every fixture of these formats: which routers and
// sequences it has, and its rows against those that the model of the fixture chose (expected.json and expected.safetensors).

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

/// A case of Tests/Fixtures/foreign/expected.json.
struct TensorCase: CustomTestStringConvertible {
  let name: String
  let format: ImportFormat
  let files: [String]
  let sequences: Int
  let rows: Int
  /// Layers that are left when dense ones are taken out.
  let routers: [RouterID]
  let counts: [RouterID: [Int]]
  let steps: Int?
  let tokens: Int?
  let mayRefuse: Bool
  /// Model, and (sequence, first position, rows) that equal its own run.
  let equals: (model: String, rows: [[Int]])?
  let audit: [(code: String, router: String?, count: Int, of: Int)]

  var testDescription: String { name }

  static let readers: Set<ImportFormat> = [.sglangDistribution, .tensorrtLLM, .imatrix, .hfLogits]

  static let all: [TensorCase] = {
    guard let path = Fixtures.own("foreign/expected.json"), let data = FileManager.default.contents(atPath: path),
      let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any], let cases = root["cases"] as? [[String: Any]]
    else { return [] }
    return cases.compactMap(TensorCase.init)
  }()

  private init?(_ object: [String: Any]) {
    guard let name = object["name"] as? String, let format = (object["format"] as? String).flatMap(ImportFormat.init),
      let files = object["files"] as? [String]
    else { return nil }
    (self.name, self.format) = (name, format)
    self.files = files.compactMap { Fixtures.own("foreign/\($0)") }
    (sequences, rows) = (object["sequences"] as? Int ?? 0, object["rows"] as? Int ?? 0)
    routers = (object["routers"] as? [[Any]] ?? []).compactMap { ($0[0] as? String).flatMap(RouterID.init(path:)) }
    counts = Dictionary(
      uniqueKeysWithValues: (object["counts"] as? [String: [Int]] ?? [:]).compactMap { key, value in RouterID(path: key).map { ($0, value) }
      })
    (steps, tokens) = (object["steps"] as? Int, object["tokens"] as? Int)
    mayRefuse = name.contains("truncated") && !files.contains { $0.hasSuffix(".npy") }
    let equal = object["equals"] as? [String: Any]
    equals = equal.flatMap { equal in
      guard let model = equal["model"] as? String, let rows = equal["rows"] as? [[Int]] else { return nil }
      return (model, rows)
    }
    audit = (object["audit"] as? [[String: Any]] ?? []).map {
      ($0["code"] as? String ?? "", $0["router"] as? String, $0["count"] as? Int ?? 0, $0["of"] as? Int ?? 0)
    }
  }

  /// - Parameter lengths: of the sequences, for logits.
  func open(lengths: [Int]? = [24, 24]) throws -> ForeignSource {
    let request = ImportRequest(files: files)
    switch format {
    case .sglangDistribution: return try SGLangDistributionReader(files: files, request: request).source
    case .tensorrtLLM: return try TensorRTReader(files: files, request: request).source
    case .imatrix: return try IMatrixReader(files: files, request: request).source
    default: return try LogitsReader(files: files, request: request, lengths: lengths).source
    }
  }
}

/// What a model of the fixtures chose.
struct ModelRun {
  let file: SafetensorsFile
  /// Rows before each sequence.
  let starts: [Int]

  init(_ name: String) throws {
    file = try SafetensorsFile(path: #require(Fixtures.own("\(name)/expected.safetensors")))
    let lengths = try NumberRows(file.tensor("sequence_lengths"))
    starts = try lengths.integers(0..<lengths.count).reduce(into: [0]) { $0.append(($0.last ?? 0) + Int($1)) }
  }

  func ids(_ router: RouterID, _ sequence: Int, _ rows: Range<Int>) throws -> [Int32] {
    try NumberRows(file.tensor("\(router).expert_ids")).integers(rows.lowerBound + starts[sequence]..<rows.upperBound + starts[sequence])
  }

  func logits(_ router: RouterID, _ sequence: Int, _ rows: Range<Int>) throws -> [Float] {
    try NumberRows(file.tensor("\(router).router_logits")).floats(rows.lowerBound + starts[sequence]..<rows.upperBound + starts[sequence])
  }

  func tokens(_ sequence: Int) throws -> [Int32] {
    try NumberRows(file.tensor("input_ids"), width: 1).integers(starts[sequence]..<starts[sequence + 1])
  }
}

@Suite struct TensorRecordTests {
  static let cases = TensorCase.all.filter { TensorCase.readers.contains($0.format) }

  @Test func thereAreCases() {
    for format in TensorCase.readers { #expect(Self.cases.count { $0.format == format } >= 9, "\(format)") }
    #expect(Self.cases.allSatisfy { !$0.files.isEmpty && $0.files.allSatisfy { FileManager.default.fileExists(atPath: $0) } })
  }

  /// Shape, and rows against the model's own.
  @Test(arguments: cases) func reads(_ this: TensorCase) throws {
    if this.mayRefuse && this.rows == 0 {
      let error = #expect(throws: FormatError.self) { try this.open() }
      #expect(error?.file == this.files[0])
      return
    }
    switch try this.open() {
    case .counts(let counts): try check(counts, this)
    case .rows(let record): try check(record, this)
    }
  }

  private func check(_ counts: ForeignCounts, _ this: TensorCase) throws {
    #expect(this.rows == 0 && counts.format == this.format && counts.counts.count == counts.columns.count)
    for (index, column) in counts.columns.enumerated() {
      #expect(column.slots == 0 && column.experts == counts.counts[index].count)
      #expect((column.router != nil) == (this.format == .imatrix))
      let router = column.router ?? RouterID(layer: index)
      if let expected = this.counts[router] { #expect(counts.counts[index] == expected, "\(router)") }
    }
    let routers = Set(counts.columns.enumerated().map { $1.router ?? RouterID(layer: $0) })
    #expect(routers.isSuperset(of: this.counts.keys))
    #expect(counts.tokens == this.tokens || this.tokens == nil)
    if this.name.hasPrefix("sglang-distribution/stat_partition") {
      #expect(counts.stepSums == [[144], [144]])
    } else if let steps = this.steps {
      #expect(counts.stepSums.allSatisfy { $0.count == steps })
      #expect(counts.stepSums.map { $0.reduce(0, +) } == counts.counts.map { $0.reduce(0, +) })
    }
    if this.name == "imatrix/shifted_layers" { #expect(counts.columns.map(\.router) == [RouterID(layer: 1), RouterID(layer: 2)]) }
    // Only the reader sees all three products of a layer.
    let expected = this.format == .imatrix ? this.audit.filter { $0.code == "length_mismatch" } : []
    #expect(
      counts.findings.map { "\($0.code.rawValue) \($0.router?.description ?? "") \($0.count) \($0.of)" }
        == expected.map { "\($0.code) \($0.router ?? "") \($0.count) \($0.of)" })
  }

  private func check(_ record: any ForeignRecord, _ this: TensorCase) throws {
    let shape = record.shape
    #expect(shape.format == this.format && shape.sequences.count { !$0.isTruncated } == this.sequences)
    #expect(shape.sequences.reduce(0) { $0 + $1.rows } == this.rows)
    #expect(shape.omitted == (this.format == .tensorrtLLM ? 1 : 0) && !shape.appendsRow && shape.mayOmit == 0)
    #expect(shape.content == (this.format == .hfLogits ? .logits : .ids))
    let found = this.audit.filter { $0.code == "truncated" || this.format == .hfLogits && $0.code == "missing_last" }
    #expect(
      shape.findings.map { "\($0.code.rawValue) \($0.router?.description ?? "") \($0.count) \($0.of)" }
        == found.map { "\($0.code) \($0.router ?? "") \($0.count) \($0.of)" })
    for (number, sequence) in shape.sequences.enumerated() {
      let whole = try record.rows(0..<sequence.rows, of: number)
      try checkRows(whole, shape, count: sequence.rows)
      // In parts, last first.
      let middle = sequence.rows / 3
      let end = try record.rows(middle..<sequence.rows, of: number)
      let begin = try record.rows(0..<middle, of: number)
      for column in shape.columns.indices {
        #expect(begin.columns[column].ids + end.columns[column].ids == whole.columns[column].ids)
        let bits = { (rows: ForeignRows) in rows.columns[column].logits?.map(\.bitPattern) ?? [] }
        #expect(bits(begin) + bits(end) == bits(whole))
      }
      #expect(try record.rows(0..<0, of: number).columns.allSatisfy { $0.ids.isEmpty })
    }
    guard let equals = this.equals else { return }
    let run = try ModelRun(equals.model)
    for span in equals.rows {
      let rows = try record.rows(span[1]..<span[1] + span[2], of: span[0])
      for (index, router) in this.routers.enumerated() {
        let column = shape.columns.count == this.routers.count ? index : router.layer.rawValue
        if this.name.contains("probabilities") { continue }
        if shape.content == .logits {
          #expect(try rows.columns[column].logits == run.logits(router, span[0], span[1]..<span[1] + span[2]), "\(router)")
        } else {
          #expect(try rows.columns[column].ids == run.ids(router, span[0], span[1]..<span[1] + span[2]), "\(router)")
        }
      }
      if let tokens = shape.sequences[span[0]].tokens { #expect(try tokens == run.tokens(span[0])) }
    }
  }

  private func checkRows(_ rows: ForeignRows, _ shape: ForeignShape, count: Int) throws {
    #expect(rows.count == count && rows.columns.count == shape.columns.count && rows.positions == nil && rows.texts.isEmpty)
    for (column, decisions) in zip(shape.columns, rows.columns) {
      #expect(decisions.ids.count == count * column.slots && decisions.weights == nil)
      if shape.content == .logits {
        #expect(column.slots == 0 && column.hasLogits && decisions.logits?.count == count * (column.experts ?? 0))
      } else {
        #expect(column.slots > 0 && decisions.logits == nil && !column.hasLogits)
      }
    }
  }

  // MARK: What only one format has

  func record(_ name: String, lengths: [Int]? = [24, 24]) throws -> any ForeignRecord {
    let this = try #require(Self.cases.first { $0.name == name })
    guard case .rows(let record) = try this.open(lengths: lengths) else { throw CocoaError(.coderInvalidValue) }
    return record
  }

  @Test func tensorrtKeepsWhatIsThere() throws {
    let list = try record("tensorrt-llm/sound_list")
    #expect(list.shape.sequences.map(\.name) == ["sound_list.pt[0]", "sound_list.pt[1]"] && list.shape.columns.count == 2)
    #expect(try record("tensorrt-llm/sound").shape.sequences.map(\.name) == ["sound.0.pt", "sound.1.pt"])
    let outside = try record("tensorrt-llm/out_of_range").rows(0..<10, of: 0).columns[0].ids
    #expect([1, 5, 9].allSatisfy { outside[$0 * 4 + 3] == 77 })
    #expect(try record("tensorrt-llm/unknown_rows").rows(6..<9, of: 0).columns[0].ids == Array(repeating: -1, count: 12))
    #expect(try record("tensorrt-llm/zero_rows").rows(0..<23, of: 1).columns[0].ids.allSatisfy { $0 == 0 })
    // Named first, read first.
    let npy = try #require(Fixtures.own("foreign/tensorrt-llm/sound_npy.1.npy"))
    let saved = try #require(Fixtures.own("foreign/tensorrt-llm/sound.0.pt"))
    for files in [[npy, saved], [saved, npy]] {
      #expect(try TensorRTReader(files: files, request: ImportRequest(files: files)).shape.sequences.map(\.name) == files.map(fileName))
    }
    let wide = try #require(Fixtures.own("foreign/tensorrt-llm/sound_list.pt"))
    #expect(throws: FormatError.self) { try TensorRTReader(files: [npy, wide], request: ImportRequest(files: [])) }
  }

  @Test func arraysThatEndEarlyKeepWholeRows() throws {
    let folder = try TemporaryDirectory()
    let path = try #require(Fixtures.own("foreign/tensorrt-llm/sound_npy.0.npy"))
    let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
    let cut = try folder.write(bytes.dropLast(17), to: "cut.npy")
    let record = try TensorRTReader(files: [cut], request: ImportRequest(files: [cut]))
    #expect(record.shape.sequences[0].rows == 20 && record.shape.findings.map(\.code) == [.truncated])
    #expect(record.shape.findings[0].count == 3 && record.shape.findings[0].of == 23)
    #expect(try record.rows(0..<20, of: 0).columns[0].ids == ModelRun("models/deepseek_v3").ids(RouterID(layer: 1), 0, 0..<20))
  }

  // MARK: Logits

  @Test func logitsAreCutByWhatIsKnown() throws {
    #expect(try record("hf-logits/sound", lengths: nil).shape.sequences.map(\.rows) == [48])
    #expect(try record("hf-logits/sound", lengths: [20, 28]).shape.sequences.map(\.rows) == [20, 28])
    #expect(try record("hf-logits/sound", lengths: [20, 20]).shape.sequences.map(\.rows) == [48])
    let named = try record("hf-logits/sound_named", lengths: [1, 47])
    #expect(try named.shape.sequences.map(\.tokens) == [ModelRun("models/olmoe").tokens(0), ModelRun("models/olmoe").tokens(1)])
    #expect(named.shape.sequences.map(\.name) == ["sound_named.pt[0]", "sound_named.pt[1]"])
    #expect(try record("hf-logits/sound").shape.columns.allSatisfy { $0.router == nil && $0.experts == 8 })
    let short = try record("hf-logits/missing_last")
    let last = try short.rows(20..<24, of: 1)
    #expect(last.columns[0].logits?.contains { $0.isNaN } == false)
    #expect(last.columns[1].logits?.map(\.isNaN) == Array(repeating: false, count: 24) + Array(repeating: true, count: 8))
  }

  @Test func logitsOfSixteenBitsAreThoseOfTheModel() throws {
    let record = try record("hf-logits/sound_bfloat16")
    let run = try ModelRun("models/olmoe")
    for sequence in 0..<2 {
      for layer in 0..<2 {
        let found = try #require(try record.rows(0..<24, of: sequence).columns[layer].logits)
        let exact = try run.logits(RouterID(layer: layer), sequence, 0..<24)
        #expect(zip(found, exact).allSatisfy { abs($0 - $1) <= abs($1) * 0x1p-8 })
      }
    }
  }

  /// Files of layers 1 and 3: the numbers are those of the model.
  @Test func namesOfArraysSayLayers() throws {
    let folder = try TemporaryDirectory()
    for (layer, source) in [(3, 0), (1, 1)] {
      let path = try #require(Fixtures.own("foreign/hf-logits/router_logits_L\(source).npy"))
      try folder.write(Data(contentsOf: URL(fileURLWithPath: path)), to: "x_L\(layer).npy")
    }
    let files = [folder.file("x_L3.npy"), folder.file("x_L1.npy")]
    let record = try LogitsReader(files: files, request: ImportRequest(files: files))
    #expect(record.shape.columns.map(\.router) == [RouterID(layer: 1), RouterID(layer: 3)])
    #expect(try record.rows(0..<24, of: 0).columns[1].logits == ModelRun("models/olmoe").logits(RouterID(layer: 0), 0, 0..<24))
    #expect(throws: FormatError.self) { try LogitsReader(files: [files[0], files[0]], request: ImportRequest(files: [])) }
    let other = try folder.write(Data(contentsOf: URL(fileURLWithPath: files[0])), to: "logits.npy")
    #expect(throws: FormatError.self) { try LogitsReader(files: [other], request: ImportRequest(files: [])) }
    // Cut short: the layer lacks rows at its end.
    try folder.write(Data(contentsOf: URL(fileURLWithPath: files[0])).dropLast(40), to: "x_L3.npy")
    let cut = try LogitsReader(files: files, request: ImportRequest(files: files))
    #expect(cut.shape.findings.map(\.code) == [.truncated] && cut.shape.findings[0].count == 2 && cut.shape.findings[0].of == 48)
    #expect(try cut.rows(46..<48, of: 0).columns[1].logits?.allSatisfy(\.isNaN) == true)
  }

  // MARK: Recognising

  /// Every fixture of every format, by content: none of ours is left out, none of others is taken.
  @Test func recognisesItsOwn() throws {
    let recognisers: [ImportFormat: (String) -> Bool] = [
      .sglangDistribution: SGLangDistributionReader.recognises, .tensorrtLLM: TensorRTReader.recognises, .imatrix: IMatrixReader.recognises,
      .hfLogits: LogitsReader.recognises,
    ]
    for this in TensorCase.all {
      for file in this.files {
        let isCut = file.contains("/truncated") || file.contains("_truncated")
        for (format, recognises) in recognisers {
          let expected = format == this.format && !isCut && !(format == .tensorrtLLM && file.hasSuffix(".npy"))
          #expect(recognises(file) == expected, "\(file) as \(format)")
        }
      }
    }
    for path in [Fixtures.own("models/olmoe"), Fixtures.own("pytorch/training.pt"), Fixtures.own("pytorch/state.pt")] {
      for recognises in recognisers.values { #expect(!recognises(try #require(path))) }
    }
  }

  @Test func refusesTheOlderImatrix() throws {
    let folder = try TemporaryDirectory()
    let name = Array("blk.0.ffn_gate_exps.weight".utf8)
    let path = try folder.write([2, 0, 0, 0, UInt8(name.count), 0, 0, 0] + name + [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], to: "imatrix.dat")
    #expect(IMatrixReader.recognises(path))
    let error = #expect(throws: FormatError.self) { try IMatrixReader(files: [path], request: ImportRequest(files: [path])) }
    #expect(error?.description.contains("before GGUF") == true && error?.description.contains("one count for all experts") == true)
    let sound = try #require(Fixtures.own("foreign/imatrix/sound.gguf"))
    let two = try IMatrixReader(files: [sound, sound], request: ImportRequest(files: [])).counts
    #expect(two.tokens == 96 && two.counts[0] == [28, 36, 40, 14, 32, 28, 72, 38])
    let dense = try #require(Fixtures.own("foreign/imatrix/sound_dense.gguf"))
    #expect(throws: FormatError.self) { try IMatrixReader(files: [sound, dense], request: ImportRequest(files: [])) }
  }

  // MARK: Damage

  /// Bits flipped and ends cut: an error of ours, or rows of the sizes that the shape says.
  @Test(
    arguments: cases.filter {
      $0.name.contains("sound") || $0.name.hasSuffix("/stat") || $0.name.contains("per_token_batch") || $0.name.contains("per_pass")
    })
  func damageIsFound(_ this: TensorCase) throws {
    let folder = try TemporaryDirectory()
    let path = try #require(this.files.last)
    let whole = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
    var random = SeededRandom(seed: UInt64(whole.count))
    for round in 0..<250 {
      var bytes = whole
      if round % 5 == 0 {
        bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
      } else {
        for _ in 0...round % 3 { bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
      }
      let files = this.files.dropLast() + [try folder.write(bytes, to: fileName(path))]
      do {
        switch try copy(this, Array(files)).open() {
        case .counts(let counts): #expect(counts.counts.count == counts.columns.count)
        case .rows(let record):
          for (number, sequence) in record.shape.sequences.enumerated() {
            try checkRows(record.rows(0..<sequence.rows, of: number), record.shape, count: sequence.rows)
          }
        }
      } catch { #expect(error is FormatError, "\(error)") }
    }
  }

  private func copy(_ this: TensorCase, _ files: [String]) -> TensorCase { TensorCase(this, files: files) }
}

extension TensorCase {
  fileprivate init(_ other: TensorCase, files: [String]) {
    (name, format, self.files, sequences, rows) = (other.name, other.format, files, other.sequences, other.rows)
    (routers, counts, steps, tokens, mayRefuse) = (other.routers, other.counts, other.steps, other.tokens, other.mayRefuse)
    (equals, audit) = (other.equals, other.audit)
  }
}
