// The one door for text that a user hands over: texts and their labels, token ids, session scripts. A file, a pipe, a device or standard
// input (`-`) is read to its end and checked once: UTF-8, with or without a byte-order mark. What the text means is for its readers. Content
// stays as it is, carriage returns and all, because a tokenizer sees them; only readers that go by lines ask for `lines`.

import Formats

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A whole text from outside.
struct TextInput {
  /// The path as it was given; "standard input" for `-`. Errors call it so.
  let name: String
  /// The content, without a byte-order mark.
  let text: String
  /// Whether it came from something without a name of its own to go by: a pipe, a device, standard input.
  let isStream: Bool
  private let markLength: Int

  /// Reads `path` to its end; `-` is standard input.
  ///
  /// - Throws: `FormatError` when it cannot be read; `Failure` for text that is not UTF-8 (with line and byte) or does not fit into
  ///   memory, and when a signal asks to stop while a pipe is waited for.
  init(_ path: String) throws {
    name = Self.name(of: path)
    let bytes: [UInt8]
    (bytes, isStream) = try Self.content(of: path, name: name)
    markLength = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    guard let text = String(validating: bytes.dropFirst(markLength), as: UTF8.self) else { throw Self.notUTF8(bytes, name: name) }
    self.text = text
  }

  /// What an input is called where people read of it.
  static func name(of path: String) -> String { path == "-" ? "standard input" : path }

  /// The last part of the path.
  var title: String { isStream ? name : name.split(separator: "/").last.map(String.init) ?? name }

  /// The lines, ended by LF, CRLF or CR, without these ends.
  var lines: [String] {
    var lines: [String] = []
    var rest = text.utf8[...]
    while let end = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
      lines.append(String(Substring(rest[..<end])))
      let next = rest.index(after: end)
      let isPair = rest[end] == 0x0D && next < rest.endIndex && rest[next] == 0x0A
      rest = rest[(isPair ? rest.index(after: next) : next)...]
    }
    if !rest.isEmpty { lines.append(String(Substring(rest))) }
    return lines
  }

  /// The whole text as one JSON value.
  ///
  /// - Throws: `Failure` with line and column for what is no JSON.
  func json() throws -> JSONValue {
    var text = text
    do {
      return try text.withUTF8 { try JSON.parse(UnsafeRawBufferPointer($0), name: name, offset: markLength) }
    } catch FormatError.syntax(_, let offset, let expected, let found) {
      let place = place(ofByte: offset - markLength)
      throw Failure(.damaged, "\(name): not valid JSON in line \(place.line), column \(place.column): expected \(expected), found \(found)")
    }
  }

  /// Line and column of a byte of the text, from 1 as editors count; columns are characters.
  private func place(ofByte offset: Int) -> (line: Int, column: Int) {
    let before = Array(text.utf8.prefix(max(0, offset)))
    let start = before.lastIndex { $0 == 0x0A || $0 == 0x0D }.map { $0 + 1 } ?? 0
    return (Self.lineEnds(in: before[...]) + 1, String(decoding: before[start...], as: UTF8.self).count + 1)
  }

  /// Ends by LF, CRLF or CR.
  private static func lineEnds(in bytes: ArraySlice<UInt8>) -> Int {
    bytes.indices.count { bytes[$0] == 0x0A || bytes[$0] == 0x0D && !($0 + 1 < bytes.endIndex && bytes[$0 + 1] == 0x0A) }
  }

  // MARK: Reading

  /// Far more than is run through a model in a day.
  private static let mostBytes = 1 << 30

  private static func content(of path: String, name: String) throws -> (bytes: [UInt8], isStream: Bool) {
    let descriptor = path == "-" ? STDIN_FILENO : try retrying(name, "open") { open(path, O_RDONLY | O_CLOEXEC) }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FormatError.system(file: name, operation: "examine", code: errno) }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR { throw FormatError.notAFile(file: name, found: "a directory") }
    // The text, its tokens and what a tokenizer needs on the way have to fit: up to 20 bytes for a byte of text, where each is a token. What
    // never ends (/dev/zero, a pipe from `yes`) ends here on any machine.
    let limit = min(mostBytes, FreeMemory.bytes / 32)
    var bytes: [UInt8] = []
    if kind == S_IFREG, status.st_size <= limit { bytes.reserveCapacity(Int(status.st_size) + 1) }
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { piece.deallocate() }
    while true {
      let count = try retrying(name, "read") { read(descriptor, piece.baseAddress, piece.count) }
      // /dev/stdin may well be a regular file, and still has no name that says what is in it.
      if count == 0 { return (bytes, path == "-" || path.hasPrefix("/dev/") || kind != S_IFREG) }
      bytes.append(contentsOf: piece[..<count])
      if bytes.count > limit {
        let why = limit == mostBytes ? "the most that is read at once" : "1/32 of the memory that is free here"
        throw Failure(.damaged, "\(name): more than \(Show.bytes(limit)) of text, \(why)\n  try: a part of it at a time")
      }
    }
  }

  /// A system call again while it is merely interrupted, and not because somebody asked to stop.
  private static func retrying<Count: SignedInteger>(_ name: String, _ operation: String, _ call: () -> Count) throws -> Count {
    while true {
      let result = call()
      if result >= 0 { return result }
      let code = errno
      guard code == EINTR else { throw FormatError.system(file: name, operation: operation, code: code) }
      if let status = Interruption.status { throw Failure(status, "\(name): stopped before all of it was read") }
    }
  }

  // MARK: Encoding

  private static func notUTF8(_ bytes: [UInt8], name: String) -> Failure {
    let place = UTF8Fault.first(in: bytes) ?? bytes.count
    let lines = lineEnds(in: bytes[..<place])
    let isUTF16 = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
    let byte = place < bytes.count ? "0x" + String(bytes[place], radix: 16) : "the end"
    return Failure(
      .damaged,
      "\(name): not valid UTF-8 at byte \(place), in line \(lines + 1): found \(byte)\n"
        + "  try: iconv -f \(isUTF16 ? "UTF-16" : "LATIN1") -t UTF-8, or from what it is written in")
  }
}

/// Where bytes stop being UTF-8.
enum UTF8Fault {
  /// The offset of the first byte that belongs to no well-formed sequence; nil when all do.
  static func first(in bytes: some Sequence<UInt8>) -> Int? {
    var decoder = Unicode.UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var offset = 0
    while true {
      switch decoder.parseScalar(from: &iterator) {
      case .valid(let sequence): offset += sequence.count
      case .error: return offset
      case .emptyInput: return nil
      }
    }
  }
}
