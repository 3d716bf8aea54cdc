// What is to be read from the records in Tests/Fixtures/foreign? expected.json says it for each of them; here it is a value, with what tests of any
// reader do with one.

import Formats
import Routing
import Support
import Testing

@testable import Store

/// One case of expected.json.
struct ForeignCase: Sendable, CustomTestStringConvertible {
  /// A fault or warning that is to be found.
  struct Found: Hashable {
    var code: String
    var router: String?
    var count: Int
    var of: Int
  }

  let name: String
  let format: ImportFormat
  let files: [String]
  let arguments: [String]
  let sequences: Int
  let rows: Int
  /// Slots by router.
  let slots: [String: Int]
  let unknown: [String: Int]
  let audit: [Found]
  /// The model and, by sequence, how many rows from its first on are those that it chose.
  let equals: (model: String, rows: [(sequence: Int, first: Int, count: Int)])?

  var testDescription: String { name }

  /// Paths of a folder of fixtures.
  static let folder = Fixtures.own("foreign") ?? ""

  static func all(of format: ImportFormat) -> [ForeignCase] {
    do {
      let cases = try JSON.read("\(folder)/expected.json").array("cases")
      return try cases.filter { try $0.string("format") == format.rawValue }.map { try ForeignCase($0) }
    } catch {
      Issue.record(error)
      return []
    }
  }

  private init(_ json: JSONValue) throws {
    name = try json.string("name")
    format = try #require(ImportFormat(rawValue: try json.string("format")))
    files = try json.strings("files").map { "\(Self.folder)/\($0)" }
    arguments = try json.strings("arguments")
    sequences = try json.integerIfPresent("sequences") ?? 0
    rows = try json.integerIfPresent("rows") ?? 0
    slots = Dictionary(
      uniqueKeysWithValues: try (json.arrayIfPresent("routers").map(Array.init) ?? []).map { router in
        let facts = Array(router.elements)
        return (try facts[0].requireString(), try facts[2].requireInteger())
      })
    unknown = Dictionary(
      uniqueKeysWithValues: try (json.memberIfPresent("unknown").map { Array(try $0.requireObject()) } ?? []).map {
        ($0.key.string ?? "", try $0.value.requireInteger())
      })
    audit = try (json.arrayIfPresent("audit").map(Array.init) ?? []).map {
      Found(code: try $0.string("code"), router: try $0.stringIfPresent("router"), count: try $0.integer("count"), of: try $0.integer("of"))
    }
    equals = try json.memberIfPresent("equals").map { equals in
      let rows = try equals.array("rows").map { row in try row.requireArray().map { try $0.requireInteger() } }
      return (try equals.string("model"), rows.map { ($0[0], $0[1], $0[2]) })
    }
  }
}

extension ImportFinding {
  var found: ForeignCase.Found { ForeignCase.Found(code: code.rawValue, router: router?.description, count: count, of: of) }
}

/// What a model of the fixtures computed for its texts.
struct ComputedRoutes {
  private let file: SafetensorsFile
  private let firstRows: [Int]

  /// - Parameter model: a path below Tests/Fixtures.
  init(_ model: String) throws {
    file = try SafetensorsFile(path: try #require(Fixtures.own(model)) + "/expected.safetensors")
    var rows = 0
    firstRows = Self.numbers(try file.tensor("sequence_lengths"), as: Int32.self).map { length in
      defer { rows += Int(length) }
      return rows
    }
  }

  var routers: [String] {
    file.tensors.map(\.name).filter { $0.hasSuffix(".expert_ids") }.map { String($0.dropLast(".expert_ids".count)) }.sorted()
  }

  /// `[rows, width]` of some rows of a sequence.
  func ids(_ router: String, _ sequence: Int, _ rows: Range<Int>) throws -> [Int32] { try part("\(router).expert_ids", sequence, rows) }
  func tokens(_ sequence: Int, _ rows: Range<Int>) throws -> [Int32] { try part("input_ids", sequence, rows) }
  func values(_ name: String, _ sequence: Int, _ rows: Range<Int>) throws -> [Float] { try part(name, sequence, rows) }

  private func part<Number>(_ name: String, _ sequence: Int, _ rows: Range<Int>) throws -> [Number] {
    let tensor = try file.tensor(name)
    let width = tensor.shape.dropFirst().reduce(1, *)
    let first = firstRows[sequence]
    return Array(Self.numbers(tensor, as: Number.self)[(first + rows.lowerBound) * width..<(first + rows.upperBound) * width])
  }

  private static func numbers<Number>(_ tensor: TensorView, as _: Number.Type) -> [Number] {
    (0..<tensor.elementCount).map { tensor.bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.stride, as: Number.self) }
  }
}

extension ForeignRecord {
  var rowCount: Int { shape.sequences.reduce(0) { $0 + $1.rows } }

  /// All rows of a sequence.
  func all(_ sequence: Int) throws -> ForeignRows { try rows(0..<shape.sequences[sequence].rows, of: sequence) }

  /// Every row once; counts and lengths are checked on the way.
  /// - Returns: rows of each column in which every id is -1.
  @discardableResult
  func readThrough(piece: Int = .max) throws -> [Int] {
    var unknown = Array(repeating: 0, count: shape.columns.count)
    for (number, sequence) in shape.sequences.enumerated() {
      var row = 0
      while row < sequence.rows {
        let end = row + min(piece, sequence.rows - row)
        let rows = try rows(row..<end, of: number)
        #expect(rows.count == end - row && rows.columns.count == shape.columns.count)
        for (column, told) in zip(rows.columns, shape.columns) {
          #expect(column.ids.count == rows.count * told.slots)
          #expect(column.weights.map(\.count) == (told.hasWeights ? rows.count * told.slots : nil))
          #expect(column.logits.map(\.count) == (told.hasLogits ? rows.count * (told.experts ?? 0) : nil))
        }
        for (index, told) in shape.columns.enumerated() {
          for place in 0..<rows.count {
            let ids = rows.columns[index].ids[place * told.slots..<(place + 1) * told.slots]
            if ids.allSatisfy({ $0 == -1 }) { unknown[index] += 1 }
          }
        }
        row = end
      }
    }
    return unknown
  }
}
