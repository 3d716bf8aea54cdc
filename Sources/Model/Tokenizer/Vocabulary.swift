// Which token has which id? The two-way table every tokenizer model is built on, whether it came from tokenizer.json or, later, from
// GGUF metadata. Tokens are the bytes of their spelling in the file (byte-level alphabets and ▁ included), not yet readable text.

import Formats

/// Tokens by id and ids by token.
struct Vocabulary: Sendable {
  private var table: ByteStringTable
  /// Id of table entry `i`.
  private var ids: ContiguousArray<Int32>
  /// Table entry of id `i`, -1 where an id has no token.
  private var entries: ContiguousArray<Int32>

  /// The number of distinct tokens.
  var count: Int { table.count }

  /// One more than the highest id.
  var idLimit: Int { entries.count }

  /// Ids beyond this are refused: no vocabulary comes near it.
  static let highestID = 1 << 24

  /// The highest id of a vocabulary of so many tokens. There may be gaps, but the tables are as long as the highest id: a short file
  /// must not ask for long ones.
  static func highestID(of count: Int) -> Int { min(highestID, 2 * count + 1 << 12) }

  init(reserving count: Int) {
    table = ByteStringTable(reserving: count)
    ids = []
    ids.reserveCapacity(count)
    entries = []
    entries.reserveCapacity(count)
  }

  /// Adds a token; of a token given twice the later id holds.
  /// - Precondition: 0 <= id <= `highestID`.
  mutating func add(_ token: UnsafeBufferPointer<UInt8>, id: Int) {
    let entry = table.insert(token)
    if entry == ids.count { ids.append(Int32(id)) } else { ids[entry] = Int32(id) }
    while entries.count <= id { entries.append(-1) }
    entries[id] = Int32(entry)
  }

  /// The id of `token`, or nil.
  func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
    table.find(token).map { ids[$0] }
  }

  func id(of token: some Sequence<UInt8>) -> Int32? {
    table.find(token).map { ids[$0] }
  }

  func id(of token: String) -> Int32? { id(of: token.utf8) }

  /// The bytes of the token with `id`, or nil.
  func token(_ id: Int32) -> ArraySlice<UInt8>? {
    guard id >= 0, Int(id) < entries.count, entries[Int(id)] >= 0 else { return nil }
    return table[Int(entries[Int(id)])]
  }

  /// Calls `body` with every token and its id, in order of insertion.
  func forEach(_ body: (UnsafeBufferPointer<UInt8>, Int32) -> Void) {
    for entry in 0..<table.count { table.withBytes(of: entry) { body($0, ids[entry]) } }
  }

  /// Reads an object of token: id.
  init(object json: JSONValue) throws(FormatError) {
    let members = try json.requireObject()
    self.init(reserving: json.count)
    let highest = Self.highestID(of: json.count)
    for (key, value) in members {
      guard let id = value.int64, (0...Int64(highest)).contains(id) else {
        throw value.unexpected("a token id in 0...\(highest), as there are \(json.count) tokens")
      }
      key.withUTF8 { add($0, id: Int(id)) }
    }
  }
}
