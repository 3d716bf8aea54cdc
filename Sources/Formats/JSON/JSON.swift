// How is a JSON text opened? `JSON.read` and `JSON.parse` check the whole text once, strictly (RFC 8259: UTF-8, no comments, no
// trailing commas), and give its root as a `JSONValue`. Foundation reads 6 to 9 MB/s, too slow for a 7 MB tokenizer.json; this one
// keeps the bytes and a flat table of where each value lies, so that nothing is decoded until somebody asks for it.

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

  /// Reads the JSON file at `path`; errors name it as given.
  public static func read(_ path: String, options: Options = .strict) throws(FormatError) -> JSONValue {
    let file = try MappedFile(path: path)
    return try parse(file.bytes, name: path, options: options)
  }

  /// Parses `bytes`, which are copied.
  ///
  /// - Parameters:
  ///   - name: the file errors are about.
  ///   - offset: where `bytes` begin in that file; added to the offsets in errors.
  /// - Throws: `FormatError.syntax` with the byte at which the text stops being JSON.
  /// - Complexity: O(bytes); about 24 bytes of table a value.
  public static func parse(
    _ bytes: UnsafeRawBufferPointer, name: String, offset: Int = 0, options: Options = .strict
  ) throws(FormatError) -> JSONValue {
    let document = try JSONDocument(bytes, name: name, offset: offset, options: options)
    return JSONValue(document: document, index: 0)
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

/// A checked text and the table of its values.
///
/// `@unchecked Sendable`: nothing changes after `init`; the copy of the text is freed in `deinit`.
final class JSONDocument: @unchecked Sendable {
  /// One value, in the order of the text; a container is followed by its children (a member: its key, then its value).
  struct Entry {
    /// First byte of the value's content (strings: after the quote), and the byte after it.
    var start: UInt32
    var end: UInt32
    /// Index of the entry after this one and all its children.
    var next: UInt32
    /// Arrays: elements; objects: members.
    var count: UInt32
    var kind: Kind
  }

  enum Kind: UInt8 {
    case null, yes, no, number, nonFinite, string, escapedString, array, object
  }

  let name: String
  let text: UnsafePointer<UInt8>
  let count: Int
  let offset: Int
  let entries: ContiguousArray<Entry>

  /// Zero bytes after the text: the parser may look ahead without asking where the end is.
  static let padding = 16

  init(_ bytes: UnsafeRawBufferPointer, name: String, offset: Int, options: JSON.Options) throws(FormatError) {
    guard bytes.count < Int(UInt32.max) - Self.padding else {
      throw .syntax(file: name, offset: 0, expected: "less than 4 GiB of text", found: "\(bytes.count) bytes")
    }
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count + Self.padding)
    if let start = bytes.baseAddress { UnsafeMutableRawPointer(copy).copyMemory(from: start, byteCount: bytes.count) }
    (copy + bytes.count).initialize(repeating: 0, count: Self.padding)
    do throws(FormatError) {
      var parser = JSONParser(text: copy, count: bytes.count, name: name, offset: offset, options: options)
      entries = try parser.parse()
    } catch {
      copy.deallocate()
      throw error
    }
    self.name = name
    text = UnsafePointer(copy)
    count = bytes.count
    self.offset = offset
  }

  deinit { text.deallocate() }
}
