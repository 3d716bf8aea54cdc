// How does a piece become tokens by their scores? The Unigram model of tokenizer.json (SentencePiece's): of all ways to cut a piece
// into tokens, the one with the highest sum of scores, found by dynamic programming (Viterbi). T5 and Switch use it.

import Formats

/// A unigram language model over pieces of text.
struct UnigramModel: Sendable {
  let vocabulary: Vocabulary
  /// Log probability of each id.
  private let scores: [Double]
  private let trie: ByteTrie
  private let unknownToken: Int32?
  private let fallsBackToBytes: Bool
  /// Score of a character the vocabulary lacks: well below the worst token.
  private let unknownScore: Double
  private let fallbackSymbols: [Int32]
  private let place: String

  /// What a character that is in no token costs beyond the worst token (SentencePiece's kUnkPenalty).
  private static let unknownPenalty = 10.0

  /// Reads the `model` member of tokenizer.json.
  init(_ json: JSONValue) throws(FormatError) {
    let list = try json.member("vocab", expected: "an array of tokens and scores")
    let pieces = try list.requireArray()
    let count = list.count
    guard count <= Vocabulary.highestID else { throw list.unexpected("at most \(Vocabulary.highestID) tokens") }
    var scores: [Double] = []
    scores.reserveCapacity(count)
    var byteCount = 0
    for piece in pieces {
      guard piece.kind == .array, piece.count == 2 else { throw piece.unexpected("a token and its score") }
      let pair = Array(piece.elements)
      scores.append(try DecimalScore.value(of: pair[1]))
      guard let bytes = pair[0].withUTF8(\.count) else { throw pair[0].unexpected("a token") }
      byteCount += bytes
    }
    var vocabulary = Vocabulary(reserving: count, byteCount: byteCount)
    for piece in pieces { for token in piece.elements { token.withUTF8 { vocabulary.append($0) } } }
    guard vocabulary.idLimit == count, scores.count == count else { throw list.unexpected("a file that does not change while it is read") }
    let unknownToken = try json.integerIfPresent("unk_id", in: 0...max(0, scores.count - 1)).map { Int32($0) }
    let fallsBackToBytes = try json.boolIfPresent("byte_fallback") ?? false
    self.init(vocabulary, scores: scores, unknownToken: unknownToken, fallsBackToBytes: fallsBackToBytes, file: json.fileName)
  }

  /// - Parameter scores: log probability of each id.
  init(_ vocabulary: Vocabulary, scores: [Double], unknownToken: Int32?, fallsBackToBytes: Bool, file: String) {
    var trie = ByteTrie()
    vocabulary.forEach { trie.insert($0, value: $1) }
    unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
    fallbackSymbols = (0...255).map { vocabulary.id(of: ByteAlphabet.fallbackToken(UInt8($0))) ?? -1 }
    place = file
    self.unknownToken = unknownToken
    self.fallsBackToBytes = fallsBackToBytes
    self.vocabulary = vocabulary
    self.scores = scores
    self.trie = trie
  }

  /// The tokens of one piece (UTF-8 in the vocabulary's spelling), appended to `ids`.
  /// - Throws: `FormatError.unsupported` for an unknown character when the file names no unknown token.
  func tokenize(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, into ids: inout [Int32]) throws(FormatError) {
    guard !piece.isEmpty else { return }
    if scratch.words.append(piece, to: &ids) { return }
    let first = ids.count
    var failed = false
    withUnsafeTemporaryAllocation(of: Node.self, capacity: piece.count + 1) { nodes in
      nodes.initialize(repeating: Node())
      failed = !fill(nodes, for: piece)
      if !failed { failed = !backtrack(nodes, of: piece, into: &ids) }
    }
    if failed {
      throw .unsupported(file: place, place: "model", found: "a character outside the vocabulary without an unk_id", hint: nil)
    }
    scratch.words.remember(piece, ids[first...])
  }

  /// The best path that ends before a byte.
  private struct Node {
    var score = 0.0
    var start = -1
    var id: Int32 = 0
  }

  private func fill(_ nodes: UnsafeMutableBufferPointer<Node>, for piece: UnsafeBufferPointer<UInt8>) -> Bool {
    func offer(_ id: Int32, _ score: Double, from start: Int, to end: Int) {
      if nodes[end].start < 0 || score > nodes[end].score { nodes[end] = Node(score: score, start: start, id: id) }
    }
    var start = 0
    while start < piece.count {
      let length = decodeScalar(piece, at: start).length
      let score = nodes[start].score
      var coversScalar = false
      trie.forEachPrefix(of: piece, at: start) { count, id in
        offer(id, scores[Int(id)] + score, from: start, to: start + count)
        if count == length { coversScalar = true }
      }
      if !coversScalar {
        guard let unknownToken else { return false }
        offer(unknownToken, unknownScore + score, from: start, to: start + length)
      }
      start += length
    }
    return true
  }

  /// Reads the best path from the end; neighbouring unknown parts become one.
  private func backtrack(_ nodes: UnsafeMutableBufferPointer<Node>, of piece: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) -> Bool {
    let first = ids.count
    var end = piece.count
    var unknownEnd = -1
    func flushUnknown() -> Bool {
      guard unknownEnd >= 0 else { return true }
      defer { unknownEnd = -1 }
      return appendUnknown(UnsafeBufferPointer(rebasing: piece[end..<unknownEnd]), into: &ids)
    }
    while end > 0 {
      let node = nodes[end]
      if node.id == unknownToken {
        if unknownEnd < 0 { unknownEnd = end }
      } else {
        guard flushUnknown() else { return false }
        ids.append(node.id)
      }
      end = node.start
    }
    guard flushUnknown() else { return false }
    ids[first...].reverse()
    return true
  }

  /// A stretch without tokens, in reverse order as the caller turns everything round.
  private func appendUnknown(_ text: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) -> Bool {
    if let id = vocabulary.id(of: text) {
      ids.append(id)
      return true
    }
    if fallsBackToBytes && text.allSatisfy({ fallbackSymbols[Int($0)] >= 0 }) {
      ids.append(contentsOf: text.reversed().map { fallbackSymbols[Int($0)] })
      return true
    }
    guard let unknownToken else { return false }
    ids.append(unknownToken)
    return true
  }
}
