// Do dumps of SGLang's recorder say tokens and ranks, are equal ranks taken once, and are twins told from two sequences?

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

extension TensorRecordTests {
  @Test func sglangSaysTokensAndRanks() throws {
    let two = try record("sglang-distribution/per_token")
    #expect(two.shape.sequences.map(\.name) == ["rank 0, sequence 0", "rank 1, sequence 0"])
    #expect(two.shape.sequences.allSatisfy { $0.tokens?.count == 24 && $0.start == 0 && $0.generatedFrom == 20 && $0.labels.isEmpty })
    #expect(two.shape.columns.allSatisfy { $0.slots == 3 && $0.experts == 8 && $0.router == nil })
    #expect(try two.rows(3..<6, of: 1).facts?.rank == [1, 1, 1] && two.rows(3..<6, of: 0).facts?.rank == [0, 0, 0])
    // Both at the same positions: only their order in the batch tells them apart.
    let batch = try record("sglang-distribution/per_token_batch")
    #expect(batch.shape.sequences.allSatisfy { $0.labels == ["linked": "by order in the batch"] && $0.generatedFrom == 20 })
    let slot = try record("sglang-distribution/per_token_shared_slot")
    #expect(slot.shape.columns.allSatisfy { $0.slots == 4 && $0.experts == 8 })
    #expect(try slot.rows(0..<24, of: 0).columns[1].ids.enumerated().allSatisfy { $0 % 4 != 3 || $1 == 8 })
    #expect(try record("sglang-distribution/per_token_wrong_k").shape.columns.allSatisfy { $0.slots == 2 })
    let unknown = try record("sglang-distribution/per_token_unknown_rows").rows(5..<10, of: 0).columns
    #expect(unknown.allSatisfy { $0.ids[3..<12].allSatisfy { $0 == -1 } && $0.ids[0] >= 0 && $0.ids[12] >= 0 })
    #expect(try record("sglang-distribution/per_token_physical_ids").rows(0..<24, of: 0).columns[0].ids.contains { $0 >= 8 })
    let dense = try record("sglang-distribution/per_token_dense")
    #expect(try dense.rows(0..<24, of: 0).columns[0].ids == Array(repeating: -1, count: 24 * 4))
  }

  /// Ranks that read the same tokens count once, in rows as in sums.
  @Test func sglangTakesEqualRanksOnce() throws {
    let file = try #require(Fixtures.own("foreign/sglang-distribution/per_token_0.pt"))
    let other = try #require(Fixtures.own("foreign/sglang-distribution/per_token_1.pt"))
    #expect(throws: FormatError.self) { try SGLangDistributionReader(files: [file, file], request: ImportRequest(files: [file, file])) }
    let swapped = try SGLangDistributionReader(files: [other, file], request: ImportRequest(files: [other, file]))
    guard case .rows(let record) = swapped.source else { throw CocoaError(.coderInvalidValue) }
    #expect(record.shape.sequences.map(\.name) == ["rank 0, sequence 0", "rank 1, sequence 0"])
    let stat = try #require(Fixtures.own("foreign/sglang-distribution/stat.pt"))
    #expect(throws: FormatError.self) { try SGLangDistributionReader(files: [stat, file], request: ImportRequest(files: [stat, file])) }
    guard case .counts(let twice) = try SGLangDistributionReader(files: [stat, stat], request: ImportRequest(files: [])).source else {
      return
    }
    #expect(twice.counts[0] == [28, 36, 40, 14, 32, 28, 72, 38] && twice.stepSums[0].count == 10)
  }

  /// Rank 1's file with the number of the rank changed: the same tokens in two ranks.
  @Test func sglangTellsTwinsFromSequences() throws {
    let folder = try TemporaryDirectory()
    for name in ["per_token_0", "per_pass_0"] {
      let path = try #require(Fixtures.own("foreign/sglang-distribution/\(name).pt"))
      var bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
      // "rank", remembered or recalled, then the number 0 in one byte.
      let text = Array("rank".utf8)
      let place = try #require(bytes.indices.first { bytes[$0...].starts(with: text) })
      let key = bytes[place + 5]
      for index in bytes.indices.dropLast(5)
      where bytes[index...].starts(with: [key == 0 ? 0 : UInt8(ascii: "h"), key, UInt8(ascii: "K"), 0]) {
        bytes[index + 3] = 1
      }
      bytes[place + 7] = 1
      let twin = try folder.write(bytes, to: "\(name)_twin.pt")
      let source = try SGLangDistributionReader(files: [path, twin], request: ImportRequest(files: [])).source
      let alone = try SGLangDistributionReader(files: [path], request: ImportRequest(files: [])).source
      switch (source, alone) {
      case (.rows(let two), .rows(let one)): #expect(two.shape.sequences.map(\.rows) == one.shape.sequences.map(\.rows))
      case (.counts(let two), .counts(let one)): #expect(two.counts == one.counts && two.stepSums == one.stepSums)
      default: Issue.record("other kinds")
      }
    }
  }
}
