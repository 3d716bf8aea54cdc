// Answers of servers as people save them: one JSON value, an array of them, or one a line. What several formats share of them.

import Formats
import Foundation
import Routing

/// The answers in some files.
struct Answers {
  private(set) var values: [(file: String, place: String, value: JSONValue)] = []
  /// Lines that stop before they are whole, by file; of how many.
  private(set) var cut = 0
  private(set) var all = 0

  /// - Throws: `FormatError.syntax`.
  init(files: [String]) throws {
    for file in files {
      let mapped = try MappedFile(path: file)
      if let whole = try? JSON.parse(mapped, options: .python) {
        append(whole, file: file)
        continue
      }
      try appendLines(of: mapped)
    }
    if values.isEmpty { throw ImportError.empty(file: files.first ?? "") }
  }

  private mutating func append(_ value: JSONValue, file: String) {
    if value.kind == .array {
      for (index, element) in value.elements.enumerated() { add(file, "answer \(index)", element) }
    } else {
      add(file, "answer", value)
    }
  }

  private mutating func add(_ file: String, _ place: String, _ value: JSONValue) {
    values.append((file, place, value))
    all += 1
  }

  private mutating func appendLines(of file: MappedFile) throws {
    var start = 0
    var number = 0
    while start < file.byteCount {
      number += 1
      let end = JSONLines.lineEnd(file.bytes, from: start)
      let line = UnsafeRawBufferPointer(rebasing: file.bytes[start..<end])
      defer { start = end + 1 }
      if line.allSatisfy({ [9, 13, 32].contains($0) }) { continue }
      do {
        add(file.path, "line \(number)", try JSON.parse(line, name: file.path, offset: start, options: .python))
      } catch {
        // A line that was written whole ends in a newline.
        guard end == file.byteCount, number > 1 else { throw error }
        cut += 1
        all += 1
      }
    }
  }

  var findings: [ImportFinding] {
    cut == 0 ? [] : [ImportFinding(.truncated, count: cut, of: all, detail: "the last line stops before it is whole: it was left out")]
  }

  /// The answers or choices by whom they are called in findings and runs.
  static func name(_ value: JSONValue, _ fallback: String) -> String {
    for key in ["request_id", "id"] { if let text = value[key]?.string, !text.isEmpty, text.utf8.count <= 200 { return text } }
    return fallback
  }

  /// A list of token ids; nil where there is none.
  static func tokens(_ value: JSONValue?) throws -> [Int32]? {
    guard let value, value.kind == .array else { return nil }
    var list = value
    // A list a choice, of the first.
    if let inner = value.elements.first(where: { _ in true }), inner.kind == .array { list = inner }
    return try list.elements.map { Int32(try $0.requireInteger(in: -1...Int(Int32.max))) }
  }

  /// Nested lists `[rows][layers][k]` of ids.
  static func array(_ value: JSONValue) throws -> ForeignArray {
    var (rows, layers, slots, values) = (0, 0, 0, [Int32]())
    for row in try value.requireArray() {
      let inner = Array(try row.requireArray())
      if rows == 0 { layers = inner.count }
      guard inner.count == layers else { throw row.unexpected("\(layers) layers as in the first row") }
      for cell in inner {
        let ids = Array(try cell.requireArray())
        if slots == 0 { slots = ids.count }
        guard ids.count == slots, slots > 0 else { throw cell.unexpected("\(max(slots, 1)) ids as in the first row") }
        for id in ids { values.append(Int32(clamping: try id.requireInteger())) }
      }
      rows += 1
    }
    let all = values
    return ForeignArray(rows: rows, layers: layers, slots: slots) { range in
      Array(all[range.lowerBound * layers * slots..<range.upperBound * layers * slots])
    }
  }
}

extension JSONValue {
  /// The first answer of a file, for recognising what it is; nil where the file is no JSON.
  static func first(of path: String) -> JSONValue? {
    guard let file = try? MappedFile(path: path), let begin = file.bytes.first(where: { ![9, 10, 13, 32].contains($0) }),
      begin == UInt8(ascii: "{") || begin == UInt8(ascii: "[")
    else { return nil }
    let end = JSONLines.lineEnd(file.bytes, from: 0)
    if end < file.byteCount,
      let line = try? JSON.parse(UnsafeRawBufferPointer(rebasing: file.bytes[..<end]), name: path, options: .python)
    {
      return line.kind == .array ? line.elements.first { _ in true } : line
    }
    guard let whole = try? JSON.parse(file, options: .python) else { return nil }
    return whole.kind == .array ? whole.elements.first { _ in true } : whole
  }
}
