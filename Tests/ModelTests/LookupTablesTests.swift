// Types whose numbers are entries of tables: a model of them decides as the reference does with the tables, is described without them, and
// is computed with no others. tools/make_iq_models.py makes what is read here.

import Formats
import Foundation
import Support
import Testing

@testable import Model

struct LookupTablesTests {
  private let folder: String
  private var tables: String { folder + "/iq-tables.bin" }
  private var model: String { folder + "/mixtral.gguf" }

  init() throws { folder = try #require(Fixtures.own("lookup")) }

  private func sequences() throws -> [TokenSequence] {
    try ModelFixture(name: "lookup", folder: folder, modelType: "mixtral").sequences()
  }

  private func report(_ model: LanguageModel, threads: Int, pass: Int = 512) throws -> VerificationReport {
    let expected = try SafetensorsFile(path: folder + "/expected.safetensors")
    return try Verifier(model, threads: threads, passLimit: pass).verify(sequences(), against: expected)
  }

  /// Every type, also in rows of query and key heads that are put in another order, and in an embedding.
  @Test(arguments: [(1, 512), (2, 5)])
  func decidesAsTheReference(_ threads: Int, _ pass: Int) throws {
    let model = try LanguageModel(path: model, tables: tables)
    let report = try report(model, threads: threads, pass: pass)
    for entry in report.entries { #expect(entry.outcome == .equal || entry.outcome == .within, "\(entry)") }
    #expect(report.holds && report.decisions == 48 && report.equalDecisions == report.decisions)
    let facts = model.facts()
    let stored = Set(facts.stored.map(\.type))
    #expect(stored.isSuperset(of: ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]), "\(stored)")
    #expect(facts.unusedTensors.isEmpty && model.notes.isEmpty, "\(facts.unusedTensors) \(model.notes)")
  }

  /// Rows of query heads are copied in the published order, and the tables reach the copy.
  @Test func rowsInAnotherOrderAreTheSameRows() throws {
    let checkpoint = Checkpoint(try GGUFModel(path: model), tables: tables)
    let whole = try checkpoint.matrix(MatrixPlan("model.layers.0.self_attn.q_proj.weight"), rows: 256, columns: 256, because: "").matrix
    let base = try #require(checkpoint.tensor("blk.0.attn_q.weight").bytes.baseAddress)
    let stored = WeightMatrix(base: base, type: .iq2XXS, rows: 256, columns: 256, tables: whole.tables)
    #expect(whole.type == .iq2XXS && whole.tables != nil && whole.base != base)
    var (row, other) = ([Float](repeating: 0, count: 256), [Float](repeating: 0, count: 256))
    // Pair 5 of head 1: rows 64 + 5 and 64 + 32 + 5 as published, 64 + 10 and 64 + 11 in the file.
    for (published, place) in [(69, 74), (101, 75), (0, 0), (32, 1)] {
      withExtendedLifetime(checkpoint) {
        whole.read(row: published, into: &row)
        stored.read(row: place, into: &other)
      }
      #expect(row == other && row.contains { $0 != 0 }, "\(published)")
    }
  }

  /// Why a model is not run, and that it is described all the same.
  private func refusal(_ path: String?) throws -> String {
    let model = try LanguageModel(path: model, tables: path)
    #expect(model.routers.count == 2 && model.facts().quantization.hasPrefix("iq"))
    let error = try #require(throws: ModelError.self) { try model.requireNumbers() }
    guard case .lookupTables(let file, let name, let found, let tables, _) = error else { throw error }
    #expect(file == self.model && name == "token_embd.weight" && found == "IQ2_S" && tables == path ?? "iq-tables.bin")
    #expect(error.kind == .unsupported && model.notes.contains { $0.contains("described and not run") && $0.contains("IQ2_S") })
    #expect(throws: error) { try model.check(sequences()[0]) }
    let said = "\(error)"
    #expect(said.contains("try: tools/make_iq_tables.py") && said.contains(file) && said.contains(name), "\(said)")
    return said
  }

  @Test func withoutTablesItIsDescribed() throws {
    let directory = try TemporaryDirectory()
    let nowhere = directory.file("iq-tables.bin")
    #expect(try refusal(nowhere).contains("\(nowhere): cannot open: No such file"))
    #expect(try refusal(directory.path).contains("expected a regular file"))
    #expect(try refusal(nil).contains("iq-tables.bin"))
  }

  /// One changed byte anywhere, a cut anywhere, a byte more: none of it is taken for the tables.
  @Test func otherTablesAreRefused() throws {
    let sound = Array(try Data(contentsOf: URL(fileURLWithPath: tables)))
    #expect(sound.count == 64 + LookupTables.sizes.reduce(0, +) && sound.starts(with: LookupTables.header))
    let directory = try TemporaryDirectory()
    var random = SeededRandom(seed: 3)
    let places = Array(0..<64) + (0..<100).map { _ in Int.random(in: 64..<sound.count, using: &random) } + [sound.count - 1]
    for place in places {
      var bytes = sound
      bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let path = try directory.write(bytes, to: "tables")
      let absence = try #require(throws: LookupTables.Absence.self) { try LookupTables(path: path) }
      #expect(absence.why.hasPrefix(path) && absence.why.contains("expected"), "byte \(place): \(absence.why)")
    }
    for bytes in [[], Array(sound.prefix(7)), Array(sound.prefix(63)), Array(sound.prefix(64)), Array(sound.dropLast()), sound + [0]] {
      let path = try directory.write(bytes, to: "tables")
      let absence = try #require(throws: LookupTables.Absence.self) { try LookupTables(path: path) }
      #expect(absence.why.contains("size: expected \(sound.count) bytes, found \(bytes.count)"), "\(absence.why)")
    }
    var bytes = sound
    bytes[1000] ^= 1
    #expect(try refusal(directory.write(bytes, to: "damaged")).contains("SHA-256 of the tables: expected \(LookupTables.digest), found "))
    bytes = sound
    bytes[8] = 2
    #expect(try refusal(directory.write(bytes, to: "newer")).contains("version: expected 1, found 2"))
  }

  /// What is read when a model is described is refused by itself: a norm of such a type.
  @Test func vectorsNeedTheirTables() throws {
    let plan = VectorPlan("model.embed_tokens.weight", storedShape: [64, 256], first: 0, step: 1)
    let without = Checkpoint(try GGUFModel(path: model), tables: nil)
    #expect(throws: ModelError.self) { try without.vector(plan, count: 256, because: "") }
    let with = Checkpoint(try GGUFModel(path: model), tables: tables)
    #expect(try with.vector(plan, count: 256, because: "").array.contains { $0 != 0 })
  }

  @Test func theToolKnowsTheSameTables() throws {
    let tool = try String(contentsOfFile: Fixtures.root + "/tools/make_iq_tables.py", encoding: .utf8)
    #expect(tool.contains("SHA256 = \"\(LookupTables.digest)\"") && tool.contains("\"\(LookupTables.fileName)\""))
  }
}
