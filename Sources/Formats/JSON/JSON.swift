// How is a JSON text opened? `JSON.read` and `JSON.parse` check the whole text once, strictly (RFC 8259: UTF-8, no comments, no
// trailing commas), and give its root as a `JSONValue`. Foundation reads 6 to 9 MB/s, too slow for a 7 MB tokenizer.json; this one
// keeps the bytes and where its long arrays and objects end; a value is a place in the text, read when somebody asks for it.

/// Entrance to the JSON reader.
public enum JSON {
  /// What to accept beyond the standard, and how deep to follow.
  public struct Options: Sendable {
    /// Whether an object may name a member twice; when it may, the last one counts.
    public var allowsDuplicateKeys = false
    /// Whether `NaN`, `Infinity` and `-Infinity` are numbers, as Python's writer makes them.
    public var allowsNonFinite = false
    /// Arrays and objects inside each other; deeper is refused.
    public var depthLimit = 256

    public init(allowsDuplicateKeys: Bool = false, allowsNonFinite: Bool = false, depthLimit: Int = 256) {
      self.allowsDuplicateKeys = allowsDuplicateKeys
      self.allowsNonFinite = allowsNonFinite
      self.depthLimit = depthLimit
    }

    public static let strict = Options()
    /// What Python's `json` reads: for files that Python programs wrote (config.json).
    public static let python = Options(allowsDuplicateKeys: true, allowsNonFinite: true)
  }

  /// Reads the JSON file at `path` into memory; errors name it as given. A byte-order mark, which editors put there, is passed over.
  public static func read(_ path: String, options: Options = .strict) throws(FormatError) -> JSONValue {
    let file = try MappedFile(path: path)
    let mark = markLength(of: file.bytes)
    return try parse(UnsafeRawBufferPointer(rebasing: file.bytes[mark...]), name: path, offset: mark, options: options)
  }

  /// Bytes of the UTF-8 byte-order mark that a file begins with: 3 or 0.
  static func markLength(of bytes: UnsafeRawBufferPointer) -> Int { bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0 }

  /// Parses the text of a file where it lies, for large files whose values are read at once: its values keep the file mapped, and are
  /// wrong when it changes meanwhile.
  public static func parse(_ file: MappedFile, options: Options = .strict) throws(FormatError) -> JSONValue {
    JSONValue(document: try JSONDocument(file, options: options))
  }

  /// Parses `bytes`, which are copied.
  ///
  /// - Parameters:
  ///   - name: the file errors are about.
  ///   - offset: where `bytes` begin in that file; added to the offsets in errors.
  /// - Throws: `FormatError.syntax` with the byte at which the text stops being JSON.
  /// - Complexity: O(bytes).
  public static func parse(
    _ bytes: UnsafeRawBufferPointer, name: String, offset: Int = 0, options: Options = .strict
  ) throws(FormatError) -> JSONValue {
    JSONValue(document: try JSONDocument(bytes, name: name, offset: offset, options: options))
  }

  /// Parses a text held as a string (arguments, tests).
  public static func parse(text: String, name: String, options: Options = .strict) throws(FormatError) -> JSONValue {
    let bytes = Array(text.utf8)
    // A `rethrows` closure cannot carry the typed error through; the result does.
    let outcome: Result<JSONValue, FormatError> = bytes.withUnsafeBytes { buffer in
      do throws(FormatError) { return .success(try parse(buffer, name: name, options: options)) } catch { return .failure(error) }
    }
    return try outcome.get()
  }
}

/// A checked text.
///
/// `@unchecked Sendable`: nothing changes after `init`; a copy of the text is freed in `deinit`.
final class JSONDocument: @unchecked Sendable {
  let name: String
  let text: JSONText
  let offset: Int
  let spans: JSONSpans

  /// Whose bytes they are.
  private enum Storage {
    case copy(UnsafeMutablePointer<UInt8>)
    case file(MappedFile)
  }
  private let storage: Storage

  /// A copy of `bytes`.
  init(_ bytes: UnsafeRawBufferPointer, name: String, offset: Int, options: JSON.Options) throws(FormatError) {
    try Self.checkLength(bytes.count, name)
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    if let start = bytes.baseAddress { UnsafeMutableRawPointer(copy).copyMemory(from: start, byteCount: bytes.count) }
    text = JSONText(bytes: copy, count: bytes.count)
    (self.name, self.offset) = (name, offset)
    do throws(FormatError) { spans = try Self.checked(text, name: name, offset: offset, options) } catch {
      copy.deallocate()
      throw error
    }
    storage = .copy(copy)
  }

  /// The text of a file where it lies.
  init(_ file: MappedFile, options: JSON.Options) throws(FormatError) {
    guard let start = file.bytes.baseAddress else {
      throw .syntax(file: file.path, offset: 0, expected: "a value", found: "the end of the text")
    }
    try Self.checkLength(file.byteCount, file.path)
    let mark = JSON.markLength(of: file.bytes)
    text = JSONText(bytes: start.assumingMemoryBound(to: UInt8.self) + mark, count: file.byteCount - mark)
    (name, offset) = (file.path, mark)
    spans = try Self.checked(text, name: name, offset: mark, options)
    storage = .file(file)
  }

  private static func checkLength(_ count: Int, _ name: String) throws(FormatError) {
    guard count < Int(UInt32.max) else {
      throw .syntax(file: name, offset: 0, expected: "less than 4 GiB of text", found: "\(count) bytes")
    }
  }

  private static func checked(_ text: JSONText, name: String, offset: Int, _ options: JSON.Options) throws(FormatError) -> JSONSpans {
    var parser = JSONParser(text: text, name: name, offset: offset, options: options)
    do throws(FormatError) { return try parser.parse() } catch {
      if let impostor = Impostor(UnsafeRawBufferPointer(start: text.bytes, count: text.count)) {
        throw impostor.error(name, place: "content")
      }
      throw error
    }
  }

  deinit { if case .copy(let bytes) = storage { bytes.deallocate() } }

  /// The byte after the value that begins at `start`.
  func afterValue(at start: Int) -> Int { spans[at: start]?.end ?? text.afterValue(at: start) }
}

/// Where the long arrays and objects of a text end, and what they hold: what a walk need not find again. Of short ones nothing is kept, so
/// the table takes less than the text, however deep it nests.
struct JSONSpans {
  struct Span {
    private var first: UInt32
    private var last: UInt32 = 0
    private var children: UInt32 = 0

    var start: Int { Int(first) }
    /// The byte after it.
    var end: Int { Int(last) }
    /// Arrays: elements; objects: members.
    var count: Int { Int(children) }

    // Offsets fit: texts of 4 GiB are refused, and a text has fewer values than bytes.
    fileprivate init(start: Int) { first = UInt32(truncatingIfNeeded: start) }
    fileprivate mutating func end(at position: Int) { last = UInt32(truncatingIfNeeded: position) }
    fileprivate mutating func countChild() { children += 1 }
  }

  /// Bytes of a container that is worth an entry: 256 levels of nesting can begin there.
  private static let shortest = 4096

  /// By start.
  private var spans: [Span] = []

  subscript(index: Int) -> Span { spans[index] }

  /// The span of the container that begins at `start`, if it is a long one.
  subscript(at start: Int) -> Span? {
    var (low, high) = (0, spans.count)
    while low < high {
      let middle = (low + high) / 2
      if spans[middle].start < start { low = middle + 1 } else { high = middle }
    }
    return low < spans.count && spans[low].start == start ? spans[low] : nil
  }

  /// The place of a container that begins at `position`.
  mutating func open(at position: Int) -> Int {
    spans.append(Span(start: position))
    return spans.count - 1
  }

  mutating func countChild(of index: Int) { spans[index].countChild() }

  /// The span of a container that ends before `end`. What began after it and was kept lies within it, so a short one is the last.
  mutating func close(_ index: Int, end: Int) {
    spans[index].end(at: end)
    if end - spans[index].start < Self.shortest { spans.removeLast() }
  }
}
