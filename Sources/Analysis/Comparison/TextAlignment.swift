// Which token of B is which token of A? Texts pair by their place in both runs where they begin alike, by their content or their name where
// B has them in another order; inside a pair, tokens are compared as long as their ids are equal. What comes of it is a list of stretches of
// rows that stand side by side, in the order of A's rows: decisions can then be streamed from both runs at once.

import Routing

/// Rows of two runs that stand side by side.
public struct AlignedStretch: Sendable, Hashable {
  /// Number of the pair of texts, from 0 in the order of A's texts.
  public var text: Int
  /// First row in either run's token table.
  public var rowA: Int
  public var rowB: Int
  public var count: Int

  public init(text: Int, rowA: Int, rowB: Int, count: Int) {
    self.text = text
    self.rowA = rowA
    self.rowB = rowB
    self.count = count
  }
}

/// Two runs' texts side by side.
public struct TextAlignment: Sendable {
  /// How a pair of texts was found.
  public enum Ground: String, Sendable, Comparable {
    /// At the same place in both runs.
    case order
    /// All ids equal, at different places.
    case content
    /// A name that no other text of either run has.
    case name

    public static func < (a: Ground, b: Ground) -> Bool { a.rank < b.rank }
    private var rank: Int {
      switch self {
      case .order: 0
      case .content: 1
      case .name: 2
      }
    }
  }

  public struct Pair: Sendable, Hashable {
    /// Sequences of the runs.
    public var a: Int
    public var b: Int
    public var ground: Ground
    /// Tokens compared.
    public var tokens: Int
    /// Position of the first token at which the ids differ; nil where they never do. A text that is longer in one run parts nowhere.
    public var partedAt: Int?
    /// `[sides]`: end of the compared positions of the encoder's and of the other rows.
    fileprivate var ends: [Int]
  }

  /// In the order of A's texts.
  public private(set) var pairs: [Pair] = []
  /// By rising row of A.
  public private(set) var stretches: [AlignedStretch] = []
  /// Whether texts were set side by side without a look at ids.
  public let isByPlace: Bool
  /// A's texts against other texts of B at equal positions: the text that stands half the number of texts further on, so that each meets
  /// another and texts of one kind that stand together mostly meet another kind. Empty with one text. By rising row of A.
  public private(set) var turned: [AlignedStretch] = []

  /// - Parameters:
  ///   - different: ids that stand for other text in either run's vocabulary; they equal nothing.
  ///   - byPlace: the texts are known to be the same, in the same order, and ids are not: tokens pair by position, as far as they were given.
  /// - Complexity: O(tokens), and O(texts log texts).
  public init(_ a: RunTexts, _ b: RunTexts, different: Set<Int32> = [], byPlace: Bool = false) {
    isByPlace = byPlace
    let (textsA, textsB) = (a.ordered(), b.ordered())
    var matching = TextMatching(a, textsA, b, textsB, different: different, byPlace: byPlace)
    for match in matching.found() {
      let pair = Pair(
        a: match.a, b: match.b, ground: match.ground, tokens: match.side.tokens, partedAt: match.side.partedAt, ends: match.side.ends)
      stretches += match.side.stretches.map { AlignedStretch(text: pairs.count, rowA: $0.rowA, rowB: $0.rowB, count: $0.count) }
      pairs.append(pair)
    }
    stretches.sort { $0.rowA < $1.rowA }
    turn(textsA, textsB)
  }

  /// Tokens compared.
  public var tokens: Int { pairs.reduce(0) { $0 + $1.tokens } }
  /// How texts were found: the furthest that had to be gone for one.
  public var ground: Ground { pairs.map(\.ground).max() ?? .order }
  /// The earliest position at which two texts part; nil where none does.
  public var partedAt: Int? { pairs.compactMap(\.partedAt).min() }
  public var partedTexts: Int { pairs.count { $0.partedAt != nil } }

  private mutating func turn(_ textsA: [Int: RunText], _ textsB: [Int: RunText]) {
    guard pairs.count > 1 else { return }
    for (index, pair) in pairs.enumerated() {
      let other = pairs[(index + pairs.count / 2) % pairs.count]
      guard let textA = textsA[pair.a], let textB = textsB[other.b] else { continue }
      let sides = zip(zip(textA.sides, textB.sides), zip(pair.ends, other.ends))
      for ((sideA, sideB), (endA, endB)) in sides {
        let walk = SideBySide(sideA, sideB, until: min(endA, endB)) { _, _ in true }
        turned += walk.stretches.map { AlignedStretch(text: index, rowA: $0.rowA, rowB: $0.rowB, count: $0.count) }
      }
    }
    turned.sort { $0.rowA < $1.rowA }
  }
}

/// Two texts, position by position.
private struct SideBySide {
  private(set) var stretches: [(rowA: Int, rowB: Int, count: Int)] = []
  private(set) var tokens = 0
  private(set) var partedAt: Int?
  /// Position behind the last one compared.
  private(set) var end = 0

  /// Behind every position.
  static let everything = Int(Int32.max) + 1

  /// - Parameters:
  ///   - until: positions from here on are not looked at.
  ///   - areEqual: whether two ids are the same token; the walk ends where they are not.
  init(_ a: TextRows, _ b: TextRows, until: Int = everything, areEqual: (Int32, Int32) -> Bool) {
    var (placeA, placeB) = (0, 0)
    var (offsetA, offsetB) = (0, 0)
    while placeA < a.stretches.count, placeB < b.stretches.count {
      let (partA, partB) = (a.stretches[placeA], b.stretches[placeB])
      let position = max(partA.position + offsetA, partB.position + offsetB)
      if position >= until { return }
      // A position that only one of them has is passed over.
      offsetA = min(position - partA.position, partA.ids.count)
      offsetB = min(position - partB.position, partB.ids.count)
      let common = min(partA.ids.count - offsetA, partB.ids.count - offsetB, until - position)
      var equal = 0
      while equal < common, areEqual(partA.ids[offsetA + equal], partB.ids[offsetB + equal]) { equal += 1 }
      if equal > 0 {
        stretches.append((partA.row + offsetA, partB.row + offsetB, equal))
        tokens += equal
        end = position + equal
      }
      if equal < common {
        partedAt = position + equal
        return
      }
      offsetA += equal
      offsetB += equal
      if offsetA == partA.ids.count { (placeA, offsetA) = (placeA + 1, 0) }
      if offsetB == partB.ids.count { (placeB, offsetB) = (placeB + 1, 0) }
    }
  }
}

/// Finds each text of A one of B.
private struct TextMatching {
  struct Side {
    var stretches: [(rowA: Int, rowB: Int, count: Int)] = []
    var tokens = 0
    var partedAt: Int?
    var ends: [Int] = []
  }
  struct Match {
    var a: Int
    var b: Int
    var ground: TextAlignment.Ground
    var side: Side
  }

  private let a: RunTexts
  private let b: RunTexts
  private let textsA: [Int: RunText]
  private let textsB: [Int: RunText]
  private let different: Set<Int32>
  private let byPlace: Bool
  private var taken: Set<Int> = []
  private var matches: [Int: Match] = [:]

  init(_ a: RunTexts, _ textsA: [Int: RunText], _ b: RunTexts, _ textsB: [Int: RunText], different: Set<Int32>, byPlace: Bool) {
    self.a = a
    self.b = b
    self.textsA = textsA
    self.textsB = textsB
    self.different = different
    self.byPlace = byPlace
  }

  /// In the order of A's texts.
  mutating func found() -> [Match] {
    if byPlace {
      for text in rest { take(text, text, .order) }
      return matches.values.sorted { $0.a < $1.a }
    }
    for text in rest where isSame(text, text) { take(text, text, .order) }
    takeSameContent()
    takeSameNames()
    for text in rest where !taken.contains(text) { take(text, text, .order) }
    return matches.values.sorted { $0.a < $1.a }
  }

  /// Texts without a match yet, by rising number.
  private var rest: [Int] { textsA.keys.filter { matches[$0] == nil }.sorted() }
  private var restOfB: [Int] { textsB.keys.filter { !taken.contains($0) }.sorted() }

  private mutating func takeSameContent() {
    func hash(_ text: RunText?, _ labels: [String: String]) -> Int {
      var hasher = Hasher()
      hasher.combine(text?.contentHash)
      if a.isDenoising { hasher.combine(labels) }
      return hasher.finalize()
    }
    let candidates = Dictionary(grouping: restOfB) { hash(textsB[$0], b.labels(of: $0)) }
    guard !candidates.isEmpty else { return }
    for text in rest {
      if let other = candidates[hash(textsA[text], a.labels(of: text))]?.first(where: { !taken.contains($0) && isSame(text, $0) }) {
        take(text, other, .content)
      }
    }
  }

  private mutating func takeSameNames() {
    func unique(_ texts: [Int], _ run: RunTexts) -> [String: Int] {
      Dictionary(grouping: texts) { run.name(of: $0) }.compactMapValues { $0.count == 1 ? $0[0] : nil }
    }
    let candidates = unique(restOfB, b)
    let names = unique(rest, a)
    for (name, text) in names.sorted(by: { $0.value < $1.value }) {
      if let other = candidates[name], !name.isEmpty { take(text, other, text == other ? .order : .name) }
    }
  }

  /// Whether nothing of the two texts differs.
  private func isSame(_ text: Int, _ other: Int) -> Bool {
    guard let mine = textsA[text], let theirs = textsB[other], areAlike(text, other), mine.hasContent(of: theirs) else { return false }
    return different.isEmpty || sideBySide(text, other).tokens == mine.count
  }

  /// Images have no ids; what they are made of is said by their labels.
  private func areAlike(_ text: Int, _ other: Int) -> Bool {
    !a.isDenoising || a.labels(of: text) == b.labels(of: other)
  }

  /// Pairs two texts, if they have a token in common.
  private mutating func take(_ text: Int, _ other: Int, _ ground: TextAlignment.Ground) {
    let side = sideBySide(text, other)
    guard side.tokens > 0 else { return }
    matches[text] = Match(a: text, b: other, ground: ground, side: side)
    taken.insert(other)
  }

  /// An encoder sees all of its text at once: nothing is comparable where that is not the same from end to end.
  private func sideBySide(_ text: Int, _ other: Int) -> Side {
    guard let mine = textsA[text], let theirs = textsB[other] else { return Side() }
    let (different, byPlace) = (different, byPlace)
    let areEqual = { (x: Int32, y: Int32) in byPlace || x == y && (different.isEmpty || !different.contains(x)) }
    // What models wrote may be something else at each position.
    let until =
      byPlace ? min(mine.generatedFrom ?? SideBySide.everything, theirs.generatedFrom ?? SideBySide.everything) : SideBySide.everything
    let encoder = SideBySide(mine.encoder, theirs.encoder, areEqual: areEqual)
    guard areAlike(text, other), encoder.tokens == mine.encoder.count, encoder.tokens == theirs.encoder.count else {
      return Side(partedAt: encoder.partedAt, ends: [0, 0])
    }
    let decoder = SideBySide(mine.decoder, theirs.decoder, until: until, areEqual: areEqual)
    return Side(
      stretches: encoder.stretches + decoder.stretches, tokens: encoder.tokens + decoder.tokens, partedAt: decoder.partedAt,
      ends: [encoder.end, decoder.end])
  }
}
