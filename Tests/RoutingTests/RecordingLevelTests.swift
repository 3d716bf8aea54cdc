// What `--record` means, and how passes and batches are numbered.

import Foundation
import Routing
import Testing

struct RecordingLevelTests {
  @Test func extrasStandInAnyOrder() throws {
    let one = try RecordingLevel(parsing: "full:every=4+shared+norms")
    let other = try RecordingLevel(parsing: "full:every=4+norms+shared")
    #expect(one == other && one.description == "full:every=4+norms+shared" && one.logitsEvery == 4 && one.extras == [.norms, .shared])
    #expect(try RecordingLevel(parsing: "ids+predicted+passes").description == "ids+passes+predicted")
    for plain in ["counts", "ids", "weights", "full", "full:every=7"] {
      let level = try RecordingLevel(parsing: plain)
      #expect(level.description == plain && level.extras.isEmpty)
    }
  }

  @Test(arguments: [
    ("most", "counts, ids, weights, full"), ("weights+", "+norms, +shared, +passes, +predicted; found +"), ("weights+norm", "found +norm"),
    ("weights+norms+norms", "each extra once"), ("counts+passes", "counts keeps no decision"), ("ids:every=2", "behind full only"),
    ("full:every=0", "N 1 or more"), ("full:each=2", "N 1 or more"), ("+norms", "counts, ids"), ("", "counts, ids"),
  ])
  func whatItCannotBeIsSaid(_ text: String, _ words: String) {
    #expect { try RecordingLevel(parsing: text) } throws: { "\($0)".contains(words) }
  }

  /// Descriptions of runs that keep nothing on request are written as they always were, and old ones are read.
  @Test func plainLevelsAreStoredAsTheyWere() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    func json(_ level: RecordingLevel) throws -> String { String(decoding: try encoder.encode(level), as: UTF8.self) }
    #expect(try json(RecordingLevel()) == #"{"content":"weights","logitsEvery":1,"precision":"f32"}"#)
    let asked = RecordingLevel(content: .ids, extras: [.predicted, .norms])
    #expect(try json(asked) == #"{"content":"ids","extras":["norms","predicted"],"logitsEvery":1,"precision":"f32"}"#)
    for level in [RecordingLevel(), asked] {
      #expect(try JSONDecoder().decode(RecordingLevel.self, from: Data(json(level).utf8)) == level)
    }
    let unknown = #"{"content":"ids","extras":["colour"],"logitsEvery":1,"precision":"f32"}"#
    #expect(throws: DecodingError.self) { try JSONDecoder().decode(RecordingLevel.self, from: Data(unknown.utf8)) }
  }

  /// A prompt in two passes, two generated tokens, another prompt; an image of two samples and two steps.
  @Test func passesAndBatchesAreNumbered() {
    func table(_ rows: [(Int, Int, TokenPhase)]) -> TokenTable {
      var table = TokenTable()
      for (sequence, position, phase) in rows { table.append(sequence: sequence, position: position, tokenID: 1, phase: phase) }
      return table
    }
    func numbers(_ tables: [TokenTable], _ layout: DenoisingLayout? = nil, texts: Int = 1) -> (passes: [Int32], batches: [Int32]) {
      var numbering = PassNumbering(texts: texts)
      var whole = TokenTable()
      for var table in tables {
        numbering.number(&table, layout: layout)
        whole.append(contentsOf: table)
      }
      return (whole.pass ?? [], whole.batch ?? [])
    }
    let text = numbers([
      table([(0, 0, .prefill), (0, 1, .prefill)]), table([(0, 2, .prefill)]), table([(0, 3, .decode)]), table([(0, 4, .decode)]),
      table([(1, 0, .encode), (1, 1, .encode)]), table([(1, 0, .prefill)]),
    ])
    #expect(text.passes == [0, 0, 1, 2, 3, 4, 4, 5] && text.batches == [0, 0, 0, 1, 2, 3, 3, 3])
    let three = (0..<3).map { table([($0, 0, .prefill), ($0, 1, .prefill)]) }
    #expect(numbers(three, texts: 2).batches == [0, 0, 0, 0, 1, 1] && numbers(three, texts: 2).passes == [0, 0, 1, 1, 2, 2])
    let layout = DenoisingLayout(sampler: "x", timesteps: [1, 0], branchCount: 2, patchRows: 1, patchColumns: 1, guidanceScale: 2)
    func step(_ step: Int) -> TokenTable {
      table((0..<2).flatMap { sample in (0..<2).map { (sample, 2 * step + $0, TokenPhase.denoise) } })
    }
    let image = numbers([step(0), step(1)], layout)
    #expect(image.passes == [0, 0, 0, 0, 1, 1, 1, 1] && image.batches == [0, 0, 1, 1, 2, 2, 3, 3])
  }
}
