// How is a file of JSON lines read that may be larger than memory? Where its lines begin is kept, 8 bytes a line; a line is parsed when it is asked
// for, and pages that were read are given back. What stands in a line is the business of the readers of formats.

import Formats
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The lines of one file that are not blank.
final class JSONLines {
  let path: String
  /// Whether the file ends within its last line, which is none of `count` then.
  private(set) var isCut = false

  private let file: MappedFile
  /// Bytes at which lines begin.
  private var starts: [Int] = []
  /// The byte after the last line.
  private var end: Int
  /// Bytes that were read since pages were given back.
  private var held = 0

  private static let heldBytes = 16 << 20
  /// Bytes of a first line in which `firstKeys` looks.
  private static let keyBytes = 1 << 20
  private static let newline: UInt8 = 0x0A
  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  var count: Int { starts.count }

  /// Lines of the file, one that is cut off among them.
  var countWithCut: Int { count + (isCut ? 1 : 0) }

  /// Finds the lines. A last line that ends without a newline and is no JSON was cut off; every other is parsed when it is asked for.
  ///
  /// - Throws: `FormatError` where the file cannot be opened, or not one whole line is in it.
  init(_ path: String) throws(FormatError) {
    self.path = path
    file = try MappedFile(path: path)
    end = file.byteCount
    var position = file.bytes.starts(with: Self.mark) ? Self.mark.count : 0
    while position < end {
      let next = Self.lineEnd(file.bytes, from: position)
      if !file.bytes[position..<next].allSatisfy(Self.isSpace) { starts.append(position) }
      note(next + 1 - position)
      position = next + 1
    }
    if let last = starts.last, file.bytes[end - 1] != Self.newline, (try? value(count - 1)) == nil {
      isCut = true
      end = last
      starts.removeLast()
    }
    guard count > 0 else {
      throw .malformed(
        file: path, place: "line 1", problem: isCut ? "the file ends within it" : "expected a JSON object, found the end of the file",
        hint: "it was copied or written in part only: nothing can be read")
    }
  }

  /// Reads one line.
  ///
  /// - Parameter index: 0-based, blank lines not counted.
  /// - Throws: what `body` throws, and an error where the line is no JSON; both name the number of the line as editors count.
  func read<Value>(_ index: Int, _ body: (JSONValue) throws(FormatError) -> Value) throws(FormatError) -> Value {
    do throws(FormatError) {
      let line = try value(index)
      guard line.kind == .object else { throw line.unexpected("an object") }
      return try body(line)
    } catch {
      throw placed(error, index)
    }
  }

  /// The number of a line in an editor.
  func number(of index: Int) -> Int {
    var number = 1
    var next = Self.lineEnd(file.bytes, from: 0)
    while next < starts[index] {
      next = Self.lineEnd(file.bytes, from: next + 1)
      number += 1
    }
    return number
  }

  /// The values of a text, which is copied: what changes in the file later does not reach them.
  private func value(_ index: Int) throws(FormatError) -> JSONValue {
    let range = starts[index]..<(index + 1 < count ? starts[index + 1] : end)
    // What is no object is not copied to find it out.
    let begin = file.bytes[range].first { !Self.isSpace($0) }
    if begin != UInt8(ascii: "{"), range.count > Self.keyBytes {
      throw .malformed(file: path, place: "top level", problem: "expected an object, found other bytes", hint: nil)
    }
    let line = try JSON.parse(
      UnsafeRawBufferPointer(rebasing: file.bytes[range]), name: path, offset: range.lowerBound, options: .python)
    try file.requireWhole()
    note(range.count)
    return line
  }

  /// Gives back pages once enough of them were read.
  private func note(_ bytes: Int) {
    held += bytes
    guard held >= Self.heldBytes else { return }
    file.release(0..<file.byteCount)
    held = 0
  }

  private func placed(_ error: FormatError, _ index: Int) -> FormatError {
    func place(_ path: String) -> String { path == "top level" ? "line \(number(of: index))" : "line \(number(of: index)), \(path)" }
    switch error {
    case .syntax(let file, let offset, let expected, let found):
      return .malformed(
        file: file, place: place("top level"), problem: "not valid JSON at byte \(offset): expected \(expected), found \(found)",
        hint: "each line is one JSON object")
    case .value(let file, let path, let expected, let found):
      return .value(file: file, path: place(path), expected: expected, found: found)
    case .missing(let file, let path, let expected):
      return .missing(file: file, path: place(path), expected: expected)
    case .malformed(let file, let path, let problem, let hint):
      return .malformed(file: file, place: place(path), problem: problem, hint: hint)
    case .unsupported(let file, let path, let found, let hint):
      return .unsupported(file: file, place: place(path), found: found, hint: hint)
    case .system, .isRead, .notAFile, .changed: return error
    }
  }

  /// Names of the members of the object that the first line of a file is, as far as they stand in its first MiB; none where it is no object.
  ///
  /// Nothing is parsed: this tells formats apart, also where the line was cut off.
  static func firstKeys(_ path: String) -> Set<String> {
    guard let file = try? MappedFile(path: path) else { return [] }
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes.prefix(keyBytes))
    var position = bytes.starts(with: mark) ? mark.count : 0
    while position < bytes.count, isSpace(bytes[position]) || bytes[position] == newline { position += 1 }
    guard position < bytes.count, bytes[position] == UInt8(ascii: "{") else { return [] }
    var keys: Set<String> = []
    var depth = 0
    var word: Range<Int>?
    while position < bytes.count, bytes[position] != newline {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        let start = position + 1
        position = start
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") { position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1 }
        word = start..<min(position, bytes.count)
      case UInt8(ascii: ":"):
        if depth == 1, let word { keys.insert(String(decoding: bytes[word], as: UTF8.self)) }
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      default: break
      }
      position += 1
    }
    return keys
  }

  /// The next newline from `position` on, or the end.
  static func lineEnd(_ bytes: UnsafeRawBufferPointer, from position: Int) -> Int {
    guard let start = bytes.baseAddress, position < bytes.count,
      let found = memchr(start + position, Int32(newline), bytes.count - position)
    else { return bytes.count }
    return UnsafeRawPointer(found) - start
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
}

extension JSONValue {
  /// An id of an expert or a token: any number that fits, as what is wrong with it is not the reader's to say.
  func requireID() throws(FormatError) -> Int32 {
    guard let value = int64, let id = Int32(exactly: value) else { throw unexpected("an integer of 32 bits") }
    return id
  }

  /// Appends the ids of a list.
  ///
  /// - Returns: how many there are.
  func appendIDs(to ids: inout [Int32]) throws(FormatError) -> Int {
    let before = ids.count
    for element in try requireArray() { ids.append(try element.requireID()) }
    return ids.count - before
  }
}

extension ImportFinding {
  /// Lines that files end within; nil where none does.
  static func cutLines(_ files: [JSONLines]) -> ImportFinding? {
    let cut = files.filter(\.isCut)
    guard !cut.isEmpty else { return nil }
    return ImportFinding(
      .truncated, count: cut.count, of: files.reduce(0) { $0 + $1.countWithCut },
      detail: "lines that the file ends within were left out: \(cut.map(\.path).joined(separator: ", "))")
  }
}

/// Ordered things that are looked for by where they end.
enum Sorted {
  /// The first of `count` things from which on `holds` is true; `count` where it never is.
  static func first(of count: Int, where holds: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(middle) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// Rows, in order, that something was found at.
struct RowRanges {
  private(set) var ranges: [Range<Int>] = []

  var count: Int { ranges.reduce(0) { $0 + $1.count } }

  /// The first rows, as many as findings keep.
  var first: [Int] { Array(ranges.lazy.flatMap { $0 }.prefix(ImportFinding.firstKept)) }

  /// - Parameter rows: none of them before the last that was added.
  mutating func add(_ rows: Range<Int>) {
    guard !rows.isEmpty else { return }
    if let last = ranges.last, last.upperBound == rows.lowerBound {
      ranges[ranges.count - 1] = last.lowerBound..<rows.upperBound
    } else {
      ranges.append(rows)
    }
  }

  /// Joins with rows that lie anywhere.
  mutating func join(_ other: RowRanges) {
    let all = (ranges + other.ranges).sorted { $0.lowerBound < $1.lowerBound }
    ranges = []
    for range in all { add(range) }
  }
}
