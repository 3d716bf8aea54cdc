// The chosen experts themselves, in order of position: what a null that shifts an axis inside a sequence needs, and nothing less
// would do. Kept as narrow as the expert count allows.

import Routing

/// Expert ids in the narrowest unsigned integers that leave one value over for "no expert".
///
/// - Memory: 1 byte an id below 256 experts, 2 below 65,536, else 4.
struct PackedIDs: Sendable {
  private var bytes: [UInt8] = []
  private var words: [UInt16] = []
  private var longs: [UInt32] = []
  private let experts: Int

  init(experts: Int) { self.experts = experts }

  mutating func append(_ id: Int32) {
    if experts < 256 {
      bytes.append(id < 0 ? .max : UInt8(truncatingIfNeeded: id))
    } else if experts < 65_536 {
      words.append(id < 0 ? .max : UInt16(truncatingIfNeeded: id))
    } else {
      longs.append(id < 0 ? .max : UInt32(id))
    }
  }

  /// -1 for no expert.
  subscript(index: Int) -> Int {
    if experts < 256 { return bytes[index] == .max ? -1 : Int(bytes[index]) }
    if experts < 65_536 { return words[index] == .max ? -1 : Int(words[index]) }
    return longs[index] == .max ? -1 : Int(longs[index])
  }

  mutating func append(contentsOf other: PackedIDs) {
    if experts == other.experts {
      bytes += other.bytes
      words += other.words
      longs += other.longs
    } else {
      for index in 0..<other.count { append(Int32(other[index])) }
    }
  }

  var count: Int { bytes.count + words.count + longs.count }
}

/// The choices of one router with their places, dropped choices included.
///
/// - Memory: T k ids of 1, 2 or 4 bytes, and 32 bytes for each stretch of neighbouring tokens that arrived together: 102,400 tokens,
///   top-8 of 64: 0.8 MiB a router.
/// - Precondition: a router's `expertCount` and `topK` do not change within a run.
public struct RouteStore: RouterFold {
  private struct Stretch: Sendable {
    var sequence: Int32
    var firstPosition: Int32
    /// First token in `ids`.
    var start: Int
    var count: Int
  }

  public private(set) var experts = 0
  public private(set) var topK = 0
  private var ids = PackedIDs(experts: 0)
  private var stretches: [Stretch] = []
  /// `[tokens]`: entries of the vocabulary; empty unless they are kept.
  private var tokenIDs: [Int32] = []
  private var keepsTokens: Bool
  /// Kept in place of the entry of the vocabulary; nil: that is.
  private let labelled: (@Sendable (TokenTable, Int) -> Int32)?

  public init() { self.init(keepsTokens: false) }

  /// - Parameters:
  ///   - keepsTokens: also which entry of the vocabulary each token is, 4 bytes a token.
  ///   - labelled: a number of a token, by its row of the table, that is kept in place of its entry.
  public init(keepsTokens: Bool, labelled: (@Sendable (TokenTable, Int) -> Int32)? = nil) {
    (self.keepsTokens, self.labelled) = (keepsTokens, labelled)
  }

  public mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    guard begin(experts: batch.expertCount, topK: batch.topK) else { return }
    let offset = batch.rows(in: table).lowerBound
    for token in 0..<batch.count {
      let sequence = table.sequence[offset + token]
      let position = table.position[offset + token]
      if let last = stretches.last, last.sequence == sequence, Int(position) == Int(last.firstPosition) + last.count {
        stretches[stretches.count - 1].count += 1
      } else {
        stretches.append(Stretch(sequence: sequence, firstPosition: position, start: ids.count / topK, count: 1))
      }
      for slot in token * topK..<(token + 1) * topK { ids.append(batch.selectedExperts[slot]) }
      if keepsTokens { tokenIDs.append(labelled.map { $0(table, offset + token) } ?? table.tokenID[offset + token]) }
    }
  }

  public mutating func merge(_ other: RouteStore) {
    guard other.topK > 0, begin(experts: other.experts, topK: other.topK) else { return }
    let start = ids.count / topK
    ids.append(contentsOf: other.ids)
    tokenIDs += other.tokenIDs
    stretches += other.stretches.map {
      Stretch(sequence: $0.sequence, firstPosition: $0.firstPosition, start: start + $0.start, count: $0.count)
    }
  }

  /// False for a batch that cannot belong to this router.
  private mutating func begin(experts: Int, topK: Int) -> Bool {
    if self.topK == 0 {
      self.experts = experts
      self.topK = topK
      ids = PackedIDs(experts: experts)
    }
    return topK > 0 && self.experts == experts && self.topK == topK
  }

  public func result() -> RouteStore { self }

  /// The same choices with something else kept in place of each token's entry of the vocabulary.
  ///
  /// - Parameter label: a number, by sequence and position.
  public func labelled(_ label: (_ sequence: Int, _ position: Int) -> Int32) -> RouteStore {
    var other = self
    other.keepsTokens = true
    other.tokenIDs = stretches.flatMap { stretch in
      (0..<stretch.count).map { label(Int(stretch.sequence), Int(stretch.firstPosition) + $0) }
    }
    return other
  }

  /// How often each entry of the vocabulary occurs; empty where tokens are not kept.
  var tokenCounts: [Int32: Int] { tokenIDs.reduce(into: [:]) { $0[$1, default: 0] += 1 } }

  /// A sequence's tokens by rising position.
  struct SequenceRoutes: Sendable {
    var sequence: Int
    /// `[count]`
    var positions: [Int]
    /// `[count, topK]`; -1 pads.
    var experts: [Int32]
    /// `[count]`; empty where they are not kept.
    var tokens: [Int32] = []
  }

  /// Sequences by rising index, each by rising position, however they arrived.
  func sequences() -> [SequenceRoutes] {
    var bySequence: [Int32: [Stretch]] = [:]
    for stretch in stretches { bySequence[stretch.sequence, default: []].append(stretch) }
    return bySequence.sorted { $0.key < $1.key }.map { sequence, stretches in
      var routes = SequenceRoutes(sequence: Int(sequence), positions: [], experts: [])
      for stretch in stretches.sorted(by: { $0.firstPosition < $1.firstPosition }) {
        for token in 0..<stretch.count {
          routes.positions.append(Int(stretch.firstPosition) + token)
          for slot in 0..<topK { routes.experts.append(Int32(ids[(stretch.start + token) * topK + slot])) }
          if keepsTokens { routes.tokens.append(tokenIDs[stretch.start + token]) }
        }
      }
      return routes
    }
  }
}

extension RouteStore: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    columns.set("shape", .numbers([experts, topK]))
    columns.set("sequence", .ids(stretches.map(\.sequence)))
    columns.set("position", .ids(stretches.map(\.firstPosition)))
    columns.set("count", .numbers(stretches.map(\.count)))
    ids.save(&columns)
    columns.set("entry", .ids(tokenIDs))
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 2)
    try columns.shape(shape[0], shape[1])
    let own = try columns.sequences("sequence")
    let positions = try columns.ids("position", own.count, in: 0...Int32.max)
    let counts = try columns.numbers("count", own.count)
    let tokens = counts.reduce(0, +)
    (experts, topK) = (shape[0], shape[1])
    ids = try PackedIDs.loaded(columns, tokens * topK, experts: experts)
    let entries = try columns.ids("entry", keepsTokens ? tokens : 0, in: -1...Int32.max)
    tokenIDs =
      labelled == nil
      ? entries
      : try entries.map { (entry) throws(FoldColumnError) in
        guard entry >= 0 else { return entry }
        guard columns.place.labels.indices.contains(Int(entry)) else {
          throw columns.error("entry", expected: "one of \(columns.place.labels.count) values", found: "\(entry)")
        }
        return columns.place.labels[Int(entry)]
      }
    var start = 0
    stretches = zip(own, zip(positions, counts)).map { sequence, place in
      defer { start += place.1 }
      return Stretch(sequence: Int32(sequence), firstPosition: place.0, start: start, count: place.1)
    }
  }
}

extension PackedIDs {
  func save(_ columns: inout FoldColumns) {
    columns.set("bytes", .bytes(bytes))
    columns.set("words", .words(words))
    columns.set("longs", .counts(longs))
  }

  /// - Parameter count: of ids, in the width that so many experts ask for.
  static func loaded(_ columns: FoldReader, _ count: Int, experts: Int) throws(FoldColumnError) -> PackedIDs {
    var packed = PackedIDs(experts: experts)
    packed.bytes = try columns.bytes("bytes", experts < 256 ? count : 0)
    packed.words = try columns.words("words", (256..<65_536).contains(experts) ? count : 0)
    packed.longs = try columns.counts("longs", experts >= 65_536 ? count : 0)
    for place in 0..<count where packed[place] >= experts {
      throw columns.error("bytes", expected: "one of \(experts) experts", found: "\(packed[place])")
    }
    return packed
  }
}
