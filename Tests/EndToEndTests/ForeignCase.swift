// One case of Tests/Fixtures/foreign/expected.json: what the command is given, what it must answer, and what may be read back afterwards.

import Formats
import Foundation
import Store
import Support

struct ForeignCase: Sendable {
  /// A finding as the fixture names it.
  struct Found: Hashable, Comparable, CustomStringConvertible {
    var code: String
    var severity: String
    var router: String
    var count: Int
    var of: Int

    init(_ json: JSONValue) throws {
      code = try json.string("code")
      severity = try json.string("severity")
      router = try json.stringIfPresent("router") ?? ""
      count = try json.integer("count")
      of = try json.integer("of")
    }

    var description: String { "\(severity) \(code) \(router) \(count)/\(of)" }
    static func < (a: Found, b: Found) -> Bool { a.description < b.description }
  }

  /// Rows of the model's own routes that the record has: a sequence of the model, its first position there and how many.
  struct Stretch {
    var sequence: Int
    var first: Int
    var count: Int
  }

  private struct Place: Hashable {
    var sequence: Int
    var row: Int
  }

  let name: String
  let format: String
  /// Of `import`, without options of output.
  let arguments: [String]
  private let json: JSONValue

  static let root = Fixtures.root + "/Tests/Fixtures/"

  static func all() throws -> [ForeignCase] {
    try JSON.read(root + "foreign/expected.json").array("cases").map { try ForeignCase($0) }
  }

  private init(_ json: JSONValue) throws {
    self.json = json
    name = try json.string("name")
    format = try json.string("format")
    // What has a slash is a fixture: a model or its tokens.
    var arguments = try json.strings("files").map { Self.root + "foreign/" + $0 }
    arguments += try json.strings("arguments").map { $0.contains("/") ? Self.root + $0 : $0 }
    if json["as"]?.bool == true, !arguments.contains("--as") { arguments += ["--as", format] }
    self.arguments = arguments
  }

  var refused: Int32? { json["refused"]?.int64.map(Int32.init) }
  /// Where refusing all of it is as good an answer.
  var mayBeRefused: Bool { json["because"]?.string?.contains("refusing") == true }
  var hasFault: Bool { json["audit"]?.elements.contains { $0["severity"]?.string == "fault" } == true }
  /// Whether ids need not stand in the model's order.
  var isUnsorted: Bool { json["audit"]?.elements.contains { $0["code"]?.string == "unsorted" } == true }

  /// What an answer of `import --json` has that it should not, or lacks.
  func complaints(about answer: JSONValue) throws -> [String] {
    var complaints: [String] = []
    func expect<Value: Equatable>(_ what: String, _ found: Value, _ wanted: Value) {
      if found != wanted { complaints.append("\(name): \(what): found \(found), wanted \(wanted)") }
    }
    expect("schema", try answer.string("schema"), "moetop.import/1")
    expect("format", try answer.string("format"), format)
    expect("rows", try answer.integer("rows"), try json.integer("rows"))
    let routers = Array(try answer.array("routers"))
    let wanted = try json.array("routers").map { Array(try $0.requireArray()) }
    expect("routers", try routers.map { try $0.string("router") }, try wanted.map { try $0[0].requireString() })
    expect("experts", try routers.map { try $0.integer("experts") }, try wanted.map { try $0[1].requireInteger() })
    for (router, wanted) in zip(routers, wanted) where !wanted[2].isNull {
      expect("top_k", try router.integer("top_k"), try wanted[2].requireInteger())
    }
    let unknown = try routers.compactMap { router in
      try router.integerIfPresent("unknown_rows").flatMap { $0 > 0 ? (try router.string("router"), $0) : nil }
    }
    let unknownWanted = try json.member("unknown").requireObject().map { ($0.key.string ?? "", try $0.value.requireInteger()) }
    expect("unknown", Dictionary(uniqueKeysWithValues: unknown), Dictionary(uniqueKeysWithValues: unknownWanted))
    let audit = try answer.array("audit").map { try Found($0) }
    expect("audit", audit.filter { $0.severity != "note" }.sorted(), try json.array("audit").map { try Found($0) }.sorted())
    expect("notes", Set(audit.filter { $0.severity == "note" }.map(\.code)), Set(try json.strings("notes")))
    return complaints
  }

  // MARK: What is read back

  /// The model's folder and the rows of it that the record has; nil where the fixture promises none.
  func equals() throws -> (model: String, rows: [Stretch])? {
    guard let equals = try json.memberIfPresent("equals") else { return nil }
    let rows = try equals.array("rows").map { stretch in
      let numbers = try stretch.requireArray().map { try $0.requireInteger() }
      return Stretch(sequence: numbers[0], first: numbers[1], count: numbers[2])
    }
    return (Self.root + (try equals.string("model")), rows)
  }

  /// Where the decisions of a run are not those of the model, row by row in the record's order.
  func complaints(aboutRun trace: String) throws -> [String] {
    guard let (model, stretches) = try equals() else { return [] }
    let reference = try SafetensorsFile(path: model + "/expected.safetensors")
    let lengths = NumberRows(try reference.tensor("sequence_lengths")).all().map(Int.init)
    let starts = lengths.indices.map { lengths[..<$0].reduce(0, +) }
    let reader = try TraceReader(file: trace)
    defer { reader.close() }
    let run = try reader.run(.latest)
    // A record that does not tell its sequences apart has their rows one after the other.
    let areApart = try reader.sequences(run: run.id).count == stretches.count
    var found: [String: [Place: [Int32]]] = [:]
    try reader.passes(of: run, withLogits: false).forEach { pass in
      for batch in pass.batches {
        for row in 0..<batch.count {
          let ids = Array(batch.selectedExperts[row * batch.topK..<(row + 1) * batch.topK])
          let token = batch.firstToken + row - pass.tokens.firstToken
          let place =
            areApart
            ? Place(sequence: Int(pass.tokens.sequence[token]), row: Int(pass.tokens.position[token]))
            : Place(sequence: 0, row: batch.firstToken + row)
          found[batch.router.description, default: [:]][place] = ids
        }
      }
    }
    var complaints: [String] = []
    for router in run.description.routers {
      let tensor = NumberRows(try reference.tensor("\(router.id).expert_ids"))
      var before = 0
      for (number, stretch) in stretches.enumerated() {
        for position in stretch.first..<stretch.first + stretch.count {
          let row = starts[stretch.sequence] + position
          let place = areApart ? Place(sequence: number, row: position) : Place(sequence: 0, row: before + position - stretch.first)
          var own = try tensor.integers(row..<row + 1)
          guard var other = found[router.id.description]?[place] else {
            complaints.append("\(name): \(router.id) \(place): not stored")
            continue
          }
          if isUnsorted { (own, other) = (own.sorted(), other.sorted()) }
          if own != other { complaints.append("\(name): \(router.id) \(place): stored \(other), the model takes \(own)") }
        }
        before += stretch.count
      }
    }
    return complaints
  }
}

extension NumberRows {
  fileprivate func all() -> [Int32] { (try? integers(0..<count)) ?? [] }
}
