// Are router logits read in every form that people save them in? Files as torch.save writes them, put together here; and those that
// describe more than they hold are refused.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct LogitFormTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A file with two storages of 48 bytes, twelve floats 0…11 and 100…111, and one of token ids or a mask.
  private func write(_ body: [UInt8], numbers: [Int64] = [], to name: String = "made.pt") throws -> String {
    let bytes = TorchBytes(body).changed { zip in
      let floats = { (first: Int) in (first..<first + 12).flatMap { number in withUnsafeBytes(of: Float(number).bitPattern) { Array($0) } }
      }
      zip.entries[2].content = floats(0)
      zip.entries.append(.init(name: "made/data/1", content: floats(100)))
      zip.entries.append(.init(name: "made/data/2", content: numbers.flatMap { number in withUnsafeBytes(of: number) { Array($0) } }))
    }
    return try directory.write(bytes, to: name)
  }

  private func logits(_ key: String, _ shape: [Int32]) -> [UInt8] {
    Pickle.tensor(storage: Pickle.storage(key, count: 12), shape, strides(shape))
  }

  private func numbers(_ shape: [Int32]) -> [UInt8] {
    Pickle.tensor(storage: Pickle.storage("2", count: shape.reduce(1, *), kind: "LongStorage"), shape, strides(shape))
  }

  private func strides(_ shape: [Int32]) -> [Int32] { shape.indices.map { shape[($0 + 1)...].reduce(1, *) } }

  private func open(_ path: String) throws -> LogitsReader {
    #expect(LogitsReader.recognises(path))
    return try LogitsReader(files: [path], request: ImportRequest(files: [path]))
  }

  private let none = Array("N".utf8)

  @Test func layersInEveryForm() throws {
    let two = Pickle.tuple(logits("0", [6, 2]), logits("1", [6, 2]))
    let list = Array("](".utf8) + logits("0", [6, 2]) + logits("1", [6, 2]) + Array("e".utf8)
    for body in [two, list, Pickle.dictionary(Pickle.text("router_logits") + two)] {
      let record = try open(write(body))
      #expect(record.shape.sequences.map(\.rows) == [6] && record.shape.columns.map(\.experts) == [2, 2])
      #expect(try record.rows(1..<3, of: 0).columns.map(\.logits) == [[2, 3, 4, 5], [102, 103, 104, 105]])
    }
    // One layer; and one tensor of all layers.
    let single = try open(write(logits("0", [4, 3])))
    #expect(single.shape.columns.count == 1 && single.shape.sequences[0].rows == 4)
    let stacked = try open(write(logits("0", [3, 2, 2])))
    #expect(stacked.shape.columns.count == 3 && stacked.shape.sequences.map(\.rows) == [2])
    #expect(try stacked.rows(1..<2, of: 0).columns.map(\.logits) == [[2, 3], [6, 7], [10, 11]])
    // Numbers of layers as keys, in any order.
    let keyed = try open(write(Pickle.dictionary(Pickle.int(5) + logits("1", [6, 2]), Pickle.int(2) + logits("0", [6, 2]))))
    #expect(keyed.shape.columns.map(\.router) == [RouterID(layer: 2), RouterID(layer: 5)])
    #expect(try keyed.rows(0..<1, of: 0).columns.map(\.logits) == [[0, 1], [100, 101]])
    // A layer without experts.
    for empty in [none, logits("0", [0, 2])] {
      let dense = try open(write(Pickle.tuple(empty, logits("1", [6, 2]))))
      #expect(dense.shape.columns.map(\.experts) == [2, 2] && dense.shape.findings.isEmpty)
      #expect(try dense.rows(0..<2, of: 0).columns[0].logits?.allSatisfy(\.isNaN) == true)
    }
  }

  @Test func sequencesOfABatch() throws {
    let batch = Pickle.tuple(logits("0", [2, 3, 2]), logits("1", [2, 3, 2]))
    let plain = try open(write(batch))
    #expect(plain.shape.sequences.map(\.rows) == [3, 3] && plain.shape.sequences.allSatisfy { $0.tokens == nil })
    #expect(try plain.rows(0..<1, of: 1).columns.map(\.logits) == [[6, 7], [106, 107]])
    // Padded at the left and at the right.
    let flat = Pickle.tuple(logits("0", [6, 2]))
    let masked = Pickle.dictionary(Pickle.text("router_logits") + flat, Pickle.text("attention_mask") + numbers([2, 3]))
    let record = try open(write(masked, numbers: [0, 1, 1, 1, 0, 0]))
    #expect(record.shape.sequences.map(\.rows) == [2, 1])
    #expect(try record.rows(0..<2, of: 0).columns[0].logits == [2, 3, 4, 5] && record.rows(0..<1, of: 1).columns[0].logits == [6, 7])
    let hole = try write(masked, numbers: [1, 0, 1, 1, 1, 1])
    #expect(throws: FormatError.self) { try LogitsReader(files: [hole], request: ImportRequest(files: [])) }
    #expect(try open(write(masked, numbers: [0, 0, 0, 1, 1, 1])).shape.sequences.map(\.rows) == [0, 3])
  }

  @Test func tokensThatAreNotAsMany() throws {
    let flat = Pickle.tuple(logits("0", [6, 2]))
    let ids = { (shape: [Int32]) in Pickle.dictionary(Pickle.text("input_ids") + self.numbers(shape), Pickle.text("router_logits") + flat) }
    let short = try open(write(ids([7]), numbers: [1, 2, 3, 4, 5, 6, 7]))
    #expect(short.shape.sequences.map(\.rows) == [6] && short.shape.sequences[0].tokens == [1, 2, 3, 4, 5, 6, 7])
    let many = try open(write(ids([2, 4]), numbers: Array(1...8)))
    #expect(many.shape.sequences.map(\.rows) == [6] && many.shape.sequences[0].tokens == nil && many.shape.sequences[0].tokenCount == 8)
    let whole = try open(write(ids([2, 3]), numbers: Array(1...6)))
    #expect(whole.shape.sequences.map(\.tokens) == [[1, 2, 3], [4, 5, 6]])
  }

  @Test func refusesWhatIsNone() throws {
    let recalled = logits("0", [6, 2]) + Array("q".utf8) + [200] + (0..<400).flatMap { _ in Array("h".utf8) + [200] }
    let bodies: [([UInt8], String)] = [
      (Array(")".utf8), "logits of at least one layer"), (Pickle.tuple(none), "logits of at least one layer"),
      (Pickle.int(3), "an integer"),
      (Pickle.tuple(logits("0", [6, 2]), Pickle.text("x")), "[1]: expected a tensor [rows, experts]"),
      (Pickle.dictionary(Pickle.text("a") + logits("0", [6, 2])), "numbers of layers as keys"),
      (Pickle.tuple(logits("0", [12])), "floats [rows, experts]"),
      (Pickle.tuple(numbers([2, 3])), "floats [rows, experts]"),
      (Pickle.tuple(logits("0", [2, 3, 2]), logits("1", [3, 2, 2])), "as many sequences and tokens"),
      // One tensor as many layers: more than the file holds.
      (Pickle.tuple(recalled), "more bytes than the file has"),
    ]
    for (body, found) in bodies {
      let path = try write(body, numbers: [1, 2, 3, 4, 5, 6])
      let error = #expect(throws: FormatError.self) { try LogitsReader(files: [path], request: ImportRequest(files: [])) }
      #expect(error?.description.contains(found) == true, "\(error?.description ?? "none")")
    }
    // Files of one call have the same layers.
    let paths = [try write(Pickle.tuple(logits("0", [6, 2]))), try write(Pickle.tuple(logits("0", [4, 3])), to: "other.pt")]
    #expect(throws: FormatError.self) { try LogitsReader(files: paths, request: ImportRequest(files: paths)) }
  }

  /// The router of a short layer is named by what is known of the model.
  @Test func namesShortLayers() throws {
    let path = try write(Pickle.tuple(logits("0", [6, 2]), Pickle.tensor(storage: Pickle.storage("1", count: 12), [3, 2], [2, 1])))
    var request = ImportRequest(files: [path])
    request.layers = [3, 4]
    let findings = try LogitsReader(files: [path], request: request).shape.findings
    #expect(
      findings.map(\.code) == [.lengthMismatch] && findings[0].router == RouterID(layer: 4) && findings[0].count == 3 && findings[0].of == 6
    )
  }
}
