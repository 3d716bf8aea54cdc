// Which token has which id? The two-way table every tokenizer model is built on, whether it came from tokenizer.json or, later, from
// GGUF metadata. Tokens are the bytes of their spelling in the file (byte-level alphabets and ▁ included), not yet readable text.

import Formats

/// Tokens by id and ids by token.
struct Vocabulary: Sendable {
  /// String number `id` is its token; nothing where an id has none.
  private var table: ByteStringTable

  /// The number of distinct tokens.
  private(set) var count = 0
  /// Whether some ids have no token.
  private var hasGaps = false

  /// One more than the highest id.
  var idLimit: Int { table.count }

  /// Ids beyond this are refused: no vocabulary comes near it.
  static let highestID = 1 << 24

  /// The highest id of a vocabulary of so many tokens. There may be gaps, but the tables are as long as the highest id: a short file
  /// must not ask for long ones.
  static func highestID(of count: Int) -> Int { min(highestID, 2 * count + 1 << 12) }

  /// Room for `count` tokens of `byteCount` bytes together.
  init(reserving count: Int, byteCount: Int) {
    table = ByteStringTable(reserving: count, byteCount: byteCount)
  }

  /// Adds a token with the next id; of a token given twice the later id holds.
  mutating func append(_ token: UnsafeBufferPointer<UInt8>) {
    if table.append(token) == nil { count += 1 }
  }

  /// The id of `token`, or nil.
  func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
    table.find(token).map { Int32(truncatingIfNeeded: $0) }
  }

  func id(of token: some Sequence<UInt8>) -> Int32? {
    table.find(token).map { Int32(truncatingIfNeeded: $0) }
  }

  func id(of token: String) -> Int32? { id(of: token.utf8) }

  /// The bytes of the token with `id`, or nil.
  func token(_ id: Int32) -> ArraySlice<UInt8>? {
    guard id >= 0, Int(id) < table.count else { return nil }
    let token = table[Int(id)]
    return hasGaps && token.isEmpty && self.id(of: token) != id ? nil : token
  }

  /// Calls `body` with every token and its id, by id.
  func forEach(_ body: (UnsafeBufferPointer<UInt8>, Int32) -> Void) {
    for id in 0..<table.count {
      table.withBytes(of: id) { if table.find($0) == id { body($0, Int32(truncatingIfNeeded: id)) } }
    }
  }

  /// Reads an object of token: id.
  init(object json: JSONValue) throws(FormatError) {
    var tokens: [(id: Int32, token: JSONValue)] = []
    let highest = Self.highestID(of: json.count)
    tokens.reserveCapacity(json.count)
    var byteCount = 0
    var isOrdered = true
    for (key, value) in try json.requireObject() {
      guard let id = value.int64, (0...Int64(highest)).contains(id) else {
        throw value.unexpected("a token id in 0...\(highest), as there are \(json.count) tokens")
      }
      isOrdered = isOrdered && (tokens.last.map { $0.id < id } ?? true)
      byteCount += key.withUTF8(\.count) ?? 0
      tokens.append((Int32(id), key))
    }
    if !isOrdered { tokens.sort { $0.id < $1.id } }
    self.init(reserving: Int(tokens.last?.id ?? -1) + 1, byteCount: byteCount)
    for (known, (id, token)) in tokens.enumerated() {
      guard idLimit <= id else { throw token.unexpected("an id of its own, not \(id), which another token has") }
      while idLimit < id {
        table.appendNothing()
        hasGaps = true
      }
      token.withUTF8 { append($0) }
      guard count == known + 1 else { throw token.unexpected("each token once") }
    }
  }
}
