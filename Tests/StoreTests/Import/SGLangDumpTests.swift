// Is what SGLang's recorder saves understood as it means it, and refused where it says what it cannot mean? Files of one or two passes, put
// together here, with one thing changed in each.

import Formats
import Foundation
import Support
import Testing

@testable import Store

@Suite struct SGLangDumpTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A record of passes as torch.save writes it; every tensor has a storage of its own.
  private struct Dump {
    struct Pass {
      var id: Int32 = 0
      var rank: Int32 = 0
      var part = "primary"
      var mode: Int32 = 1
      var tokens: [Int32] = [5, 6, 7]
      var positions: [Int32] = [0, 1, 2]
      var lengths: [Int32]? = [3]
      /// `[layers, tokens, slots]`
      var ids: [Int32] = [0, 1, -1, 2, 3, -1, 3, 0, -1, 1, 2, -1, -1, -1, -1, 0, 3, -1]
      var shape: [Int32] = [2, 3, 3]
      /// `[layers, places]`
      var counts: [Int32] = [2, 1, 1, 2, 1, 1, 1, 1]
    }

    var passes = [Pass()]
    var map: [Int64] = [0, 1, 2, 3, 0, 1, 2, 3]
    var places: Int32 = 4
    var hasTokens = true

    var bytes: [UInt8] {
      var storages: [[UInt8]] = []
      func tensor<Number: FixedWidthInteger>(_ numbers: [Number], _ shape: [Int32]) -> [UInt8] {
        let kind = Number.self == Int64.self ? "LongStorage" : "IntStorage"
        storages.append(numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } })
        return Pickle.tensor(
          storage: Pickle.storage("\(storages.count - 1)", count: Int32(numbers.count), kind: kind), shape,
          shape.indices.map { shape[($0 + 1)...].reduce(1, *) })
      }
      func list(_ numbers: [Int32]) -> [UInt8] { Array("](".utf8) + numbers.flatMap(Pickle.int) + Array("e".utf8) }
      let records = passes.flatMap { pass in
        var members = [
          Pickle.text("forward_pass_id") + Pickle.int(pass.id), Pickle.text("rank") + Pickle.int(pass.rank),
          Pickle.text("gatherer_key") + Pickle.text(pass.part),
          Pickle.text("global_physical_count") + tensor(pass.counts, [Int32(pass.counts.count) / places, places]),
        ]
        if hasTokens {
          members += [
            Pickle.text("forward_mode") + Pickle.int(pass.mode), Pickle.text("input_ids") + list(pass.tokens),
            Pickle.text("positions") + list(pass.positions),
            Pickle.text("extend_seq_lens") + (pass.lengths.map(list) ?? Array("N".utf8)),
            Pickle.text("topk_ids_of_layer") + tensor(pass.ids, pass.shape),
          ]
        }
        return Pickle.dictionary(members.flatMap(\.self))
      }
      let root = Pickle.dictionary(
        Pickle.text("records") + Array("](".utf8) + records + Array("e".utf8),
        Pickle.text("last_physical_to_logical_map") + tensor(map, [2, Int32(map.count / 2)]))
      return TorchBytes(root).changed { zip in
        zip.entries.removeAll { $0.name.hasPrefix("made/data/") }
        for (number, bytes) in storages.enumerated() { zip.entries.append(.init(name: "made/data/\(number)", content: bytes)) }
      }
    }
  }

  private func open(_ dumps: Dump...) throws -> ForeignSource {
    let files = try dumps.enumerated().map { try directory.write($1.bytes, to: "made\($0).pt") }
    return try SGLangDistributionReader(files: files, request: ImportRequest(files: files)).source
  }

  private func rows(_ dumps: Dump...) throws -> any ForeignRecord {
    let files = try dumps.enumerated().map { try directory.write($1.bytes, to: "made\($0).pt") }
    guard case .rows(let record) = try SGLangDistributionReader(files: files, request: ImportRequest(files: files)).source else {
      throw CocoaError(.coderInvalidValue)
    }
    return record
  }

  @Test func readsWhatItIsMadeOf() throws {
    let record = try rows(Dump())
    #expect(record.shape.columns.map(\.slots) == [2, 2] && record.shape.columns.map(\.experts) == [4, 4])
    #expect(record.shape.sequences[0].tokens == [5, 6, 7] && record.shape.sequences[0].generatedFrom == nil)
    #expect(try record.rows(0..<3, of: 0).columns.map(\.ids) == [[0, 1, 2, 3, 3, 0], [1, 2, -1, -1, 0, 3]])
  }

  /// Places 4 and 5 hold a second expert 1, and nobody.
  @Test func turnsPlacesIntoExperts() throws {
    var dump = Dump()
    (dump.map, dump.places) = ([0, 1, 2, 3, 1, -1, 3, 2, 1, 0, 0, 0], 6)
    dump.passes[0].ids[0] = 4
    dump.passes[0].ids[3] = 77
    dump.passes[0].counts = [1, 1, 0, 3, 1, 0, 1, 1, 1, 1, 0, 0]
    #expect(try rows(dump).rows(0..<3, of: 0).columns.map(\.ids) == [[1, 1, 77, 3, 3, 0], [2, 1, -1, -1, 3, 0]])
    dump.hasTokens = false
    guard case .counts(let counts) = try open(dump) else { throw CocoaError(.coderInvalidValue) }
    #expect(counts.counts == [[1, 2, 0, 3], [1, 1, 1, 1]] && counts.stepSums == [[6], [4]] && counts.columns[0].experts == 4)
    dump.passes[0].counts[5] = 1
    #expect(throws: FormatError.self) { try open(dump) }
  }

  /// A sequence that began before the recording: its rows say its tokens.
  @Test func beginsInTheMiddle() throws {
    var dump = Dump()
    dump.passes[0].positions = [4, 5, 6]
    let record = try rows(dump)
    #expect(record.shape.sequences[0].start == 4 && record.shape.sequences[0].tokens == nil)
    #expect(try record.rows(1..<3, of: 0).tokens == [6, 7])
  }

  @Test func passesOverIdleOnes() throws {
    var dump = Dump()
    dump.passes.append(.init(id: 1, mode: 4))
    dump.passes.append(.init(id: 2, mode: 1, tokens: [], positions: [], lengths: [], ids: [], shape: [2, 0, 3]))
    #expect(try rows(dump).shape.sequences.map(\.rows) == [3])
  }

  /// Ranks with the same tokens count once, if they say the same experts.
  @Test func comparesRanks() throws {
    var other = Dump()
    other.passes[0].rank = 3
    #expect(try rows(Dump(), other).shape.sequences.map(\.name) == ["rank 0, sequence 0"])
    other.passes[0].ids[0] = 2
    let error = #expect(throws: FormatError.self) { try rows(Dump(), other) }
    #expect(error?.description.contains("import one rank at a time") == true)
    other.passes[0].tokens[0] = 9
    #expect(try rows(Dump(), other).shape.sequences.map(\.name) == ["rank 0, sequence 0", "rank 3, sequence 0"])
    // Sums: the same are counted once, others are added.
    var (one, two) = (Dump(), other)
    (one.hasTokens, two.hasTokens) = (false, false)
    guard case .counts(let same) = try open(one, two) else { return }
    #expect(same.counts == [[2, 1, 1, 2], [1, 1, 1, 1]])
    two.passes[0].counts[0] = 0
    two.passes.append(.init(id: 1, rank: 3))
    guard case .counts(let sums) = try open(one, two) else { return }
    #expect(sums.counts == [[4, 3, 3, 6], [3, 3, 3, 3]] && sums.stepSums == [[10, 6], [8, 4]])
  }

  @Test func refuses() throws {
    let changes: [(change: (inout Dump) -> Void, found: String)] = [
      ({ $0.passes[0].mode = 5 }, "without speculation"), ({ $0.passes[0].mode = 11 }, "1 to 9"),
      ({ $0.passes[0].part = "child_a" }, "two batches"), ({ $0.passes[0].rank = -1 }, "a number of a process"),
      ({ $0.passes[0].id = -1 }, "a number of a pass"), ({ $0.passes[0].positions = [0, 1] }, "3 positions"),
      ({ $0.passes[0].positions = [0, 1, -2] }, "none negative"), ({ $0.passes[0].positions = [0, 1, 3] }, "follow each other"),
      ({ $0.passes[0].lengths = [2] }, "3 tokens together"), ({ $0.passes[0].lengths = [4, -1] }, "3 tokens together"),
      ({ $0.passes[0].shape = [3, 2, 3] }, "places of 2 layers and 3 tokens"), ({ $0.passes.append(.init()) }, "pass 0 of rank 0 once"),
      ({ $0.map = [0, 1, 2, 4, 0, 1, 2, 3] }, "a place for each expert"), ({ $0.map = [0, 1, 2, -2, 0, 1, 2, 3] }, "numbers of experts"),
      ({ $0.passes = [] }, "at least one pass"), ({ $0.map = [] }, "a place in every layer"),
      ({ $0.passes[0].mode = 4 }, "a pass with tokens"),
    ]
    for (change, found) in changes {
      var dump = Dump()
      change(&dump)
      let error = #expect(throws: FormatError.self) { try open(dump) }
      #expect(error?.description.contains(found) == true, "\(error?.description ?? "none")")
      #expect(error?.file == directory.file("made0.pt"))
    }
    for counts in [[-1, 1, 1, 2, 1, 1, 1, 1], [1, 1, 1, 1]] as [[Int32]] {
      var dump = Dump()
      dump.hasTokens = false
      dump.passes[0].counts = counts
      #expect(throws: FormatError.self) { try open(dump) }
    }
  }
}
