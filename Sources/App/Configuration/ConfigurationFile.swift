// What does a configuration file say? Lines of `key = value`, with comments after a hash; what a key means is not known here. A file is read
// whole and within bounds, and whatever it is instead of a configuration is said with file and line.

import Formats
import Foundation
import Terminal

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct ConfigurationFile: Sendable {
  /// A line that settles something.
  struct Entry: Equatable, Sendable {
    var key: String
    var value: String
    /// From 1, as editors count.
    var line: Int
  }

  /// As messages call it.
  let path: String
  private(set) var entries: [Entry] = []

  /// Far more than all settings there are.
  static let mostBytes = 1 << 16

  /// Reads the file; nil where there is none and none has to be.
  ///
  /// - Throws: `Failure` for what cannot be read and for what is no configuration, `FormatError` of the system.
  init?(path: String, mustExist: Bool) throws {
    guard let bytes = try Self.content(of: path, mustExist: mustExist) else { return nil }
    try self.init(bytes: bytes, path: path)
  }

  /// - Throws: `Failure` that names file and line.
  init(bytes: [UInt8], path: String) throws {
    self.path = path
    let body = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
    var seen: [String: Int] = [:]
    for (index, line) in Self.lines(of: body).enumerated() {
      let number = index + 1
      guard let text = String(validating: line, as: UTF8.self) else {
        throw Self.problem(path, number, "expected text in UTF-8, found bytes that are none")
      }
      if let control = text.unicodeScalars.first(where: { $0.value < 0x20 && $0 != "\t" || $0.value == 0x7F }) {
        let code = String(control.value, radix: 16, uppercase: true)
        throw Self.problem(
          path, number, "expected text, found the control character U+\(String(repeating: "0", count: 4 - code.count))\(code)")
      }
      guard let parts = try Self.parts(of: text, path, number) else { continue }
      let (key, value) = parts
      if let first = seen.updateValue(number, forKey: key) {
        throw Self.problem(path, number, "\(Self.short(key)) is settled in line \(first) already; expected one line for it")
      }
      entries.append(Entry(key: key, value: value, line: number))
    }
  }

  /// A mistake in a line, in the words of all of them.
  static func problem(_ path: String, _ line: Int, _ text: String) -> Failure { Failure(.configuration, "\(path), line \(line): \(text)") }

  /// A word of a file for a message: not longer than a line of a terminal.
  static func short(_ text: String) -> String { text.isEmpty ? "nothing" : Printable.cut(text, to: 60) }

  // MARK: Reading

  /// The bytes; never waits, whatever lies there.
  private static func content(of path: String, mustExist: Bool) throws -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 {
      let code = errno
      if !mustExist, code == ENOENT || code == ENOTDIR { return nil }
      throw FormatError.system(file: path, operation: "open", code: code)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FormatError.system(file: path, operation: "examine", code: errno) }
    // A device is /dev/null, for none at all; one that does not end is refused for its length.
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFCHR else {
      throw Failure(.configuration, "\(path): expected a file, found a \(kind == S_IFDIR ? "folder" : "pipe or device")")
    }
    var bytes = [UInt8](repeating: 0, count: mostBytes + 1)
    var length = 0
    while length < bytes.count {
      let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: length), $0.count - length) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw FormatError.system(file: path, operation: "read", code: errno) }
      if count == 0 { break }
      length += count
    }
    guard length <= mostBytes else {
      throw Failure(.configuration, "\(path): expected a configuration of at most \(Show.bytes(mostBytes)), found more")
    }
    return Array(bytes[..<length])
  }

  /// Lines ended by LF, CRLF or CR.
  private static func lines(of bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    var lines: [ArraySlice<UInt8>] = []
    var rest = bytes
    while let end = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
      lines.append(rest[..<end])
      let isPair = rest[end] == 0x0D && rest[(end + 1)...].first == 0x0A
      rest = rest[(end + (isPair ? 2 : 1))...]
    }
    return rest.isEmpty ? lines : lines + [rest]
  }

  /// Key and value of a line; nil for a blank one and for a comment. A hash begins a comment at the start of a line and after a blank, but
  /// not between quotes: what stands there is taken as it stands.
  private static func parts(of line: String, _ path: String, _ number: Int) throws -> (key: String, value: String)? {
    let blanks = CharacterSet(charactersIn: " \t")
    let line = line.trimmingCharacters(in: blanks)
    if line.isEmpty || line.hasPrefix("#") { return nil }
    guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
      throw problem(path, number, "expected key = value, found \(short(line))")
    }
    let key = line[..<equals].trimmingCharacters(in: blanks)
    let rest = line[line.index(after: equals)...].trimmingCharacters(in: blanks)
    if rest.hasPrefix("\""), rest.dropFirst().contains(where: { $0 != " " }) {
      let inside = rest.dropFirst()
      guard let end = inside.firstIndex(of: "\"") else {
        throw problem(path, number, "expected a second \" after the value of \(short(key))")
      }
      let after = withoutComment(inside[inside.index(after: end)...])
      guard after.isEmpty else {
        throw problem(path, number, "expected nothing after the quoted value of \(short(key)), found \(short(after))")
      }
      return (key, String(inside[..<end]))
    }
    return (key, withoutComment(rest[...]))
  }

  private static func withoutComment(_ text: Substring) -> String {
    var isAfterBlank = true
    let end = text.firstIndex { character in
      defer { isAfterBlank = character == " " || character == "\t" }
      return character == "#" && isAfterBlank
    }
    return text[..<(end ?? text.endIndex)].trimmingCharacters(in: .whitespaces)
  }
}
