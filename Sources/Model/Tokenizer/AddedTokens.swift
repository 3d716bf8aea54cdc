// Which stretches of a text are tokens as they stand, before any model sees them? The `added_tokens` of tokenizer.json: special tokens and
// others, found longest first. Those marked `normalized` are looked for in the normalised text, the rest in the text as the user wrote it.

import Formats

/// One entry of `added_tokens`.
struct AddedToken: Sendable {
  var id: Int32
  var content: [UInt8]
  /// What is looked for, and what the decoder is given: the normalised content where the entry asks for that.
  var spelling: [UInt8]
  var isSpecial: Bool
  var isSingleWord: Bool
  var stripsLeft: Bool
  var stripsRight: Bool
}

/// The added tokens of a tokenizer.
struct AddedTokens: Sendable {
  /// A stretch of text, and the token it is when it is one.
  struct Segment {
    var range: Range<Int>
    var id: Int32?
  }

  private(set) var byID: [Int32: AddedToken] = [:]
  private var verbatim = ByteTrie()
  private var normalized = ByteTrie()

  /// Reads `added_tokens`.
  ///
  /// Ids follow the reference, which prefers the model's vocabulary and otherwise counts on from its end, whatever the entry says.
  init(_ json: JSONValue?, vocabulary: Vocabulary, normalizer: Normalizer) throws(FormatError) {
    guard let json, !json.isNull else { return }
    var idOf: [[UInt8]: Int32] = [:]
    var nextID = Int32(vocabulary.count)
    let matcher = PatternMatcher()
    for entry in try json.requireArray() {
      let content = Array(try entry.string("content").utf8)
      _ = try entry.integer("id", in: 0...Vocabulary.highestID)
      guard !content.isEmpty else { continue }
      var id = idOf[content] ?? vocabulary.id(of: content) ?? -1
      if id < 0 {
        id = nextID
        nextID += 1
      }
      idOf[content] = id
      let isNormalized = try entry.boolIfPresent("normalized") ?? true
      let token = AddedToken(
        id: id, content: content, spelling: content, isSpecial: try entry.boolIfPresent("special") ?? false,
        isSingleWord: try entry.boolIfPresent("single_word") ?? false, stripsLeft: try entry.boolIfPresent("lstrip") ?? false,
        stripsRight: try entry.boolIfPresent("rstrip") ?? false)
      try add(token, isNormalized ? normalizer : nil, matcher)
    }
  }

  /// Tokens with the ids they say; those without a normaliser are looked for in the text as the user wrote it.
  init(_ tokens: [(token: AddedToken, normalizer: Normalizer?)]) throws(FormatError) {
    let matcher = PatternMatcher()
    for (token, normalizer) in tokens where !token.content.isEmpty { try add(token, normalizer, matcher) }
  }

  private mutating func add(_ token: AddedToken, _ normalizer: Normalizer?, _ matcher: PatternMatcher) throws(FormatError) {
    var token = token
    try normalizer?.apply(to: &token.spelling, matcher)
    byID[token.id] = token
    if normalizer == nil { verbatim.insert(token.spelling, value: token.id) } else { normalized.insert(token.spelling, value: token.id) }
  }

  /// One more than the highest id, 0 without tokens.
  var idLimit: Int { byID.keys.max().map { Int($0) + 1 } ?? 0 }

  /// Cuts the user's text at the tokens that are matched before normalisation.
  func segments(ofOriginal text: UnsafeBufferPointer<UInt8>) -> [Segment] { segments(of: text, verbatim) }

  /// Cuts a normalised text at the tokens that are matched after it.
  func segments(ofNormalized text: UnsafeBufferPointer<UInt8>) -> [Segment] { segments(of: text, normalized) }

  private func segments(of text: UnsafeBufferPointer<UInt8>, _ trie: ByteTrie) -> [Segment] {
    guard !text.isEmpty else { return [] }
    guard !trie.isEmpty else { return [Segment(range: 0..<text.count)] }
    var result: [Segment] = []
    var end = 0  // of what has been given out
    var position = 0
    while position < text.count {
      guard let match = trie.longestPrefix(of: text, at: position), let token = byID[match.value] else {
        position += 1
        continue
      }
      var (from, to) = (position, position + match.length)
      position = to
      if token.isSingleWord && (endsWithWord(text, before: from) || startsWithWord(text, at: to)) { continue }
      if token.stripsLeft { from = max(end, spaceStart(text, before: from)) }
      if token.stripsRight { to = spaceEnd(text, from: to) }
      if end < from { result.append(Segment(range: end..<from)) }
      // After a token that ate the spaces to its right, the next may begin inside them.
      result.append(Segment(range: min(from, to)..<to, id: token.id))
      end = to
    }
    if end < text.count { result.append(Segment(range: end..<text.count)) }
    return result
  }

  private func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Int {
    var start = position
    while let (scalar, length) = scalar(text, before: start), scalar.properties.isWhitespace { start -= length }
    return start
  }

  private func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, from position: Int) -> Int {
    var end = position
    while end < text.count {
      let (scalar, length) = decodeScalar(text, at: end)
      guard scalar.properties.isWhitespace else { break }
      end += length
    }
    return end
  }

  private func endsWithWord(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Bool {
    scalar(text, before: position).map { isWord($0.scalar) } ?? false
  }

  private func startsWithWord(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Bool {
    position < text.count && isWord(decodeScalar(text, at: position).scalar)
  }

  private func scalar(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> (scalar: Unicode.Scalar, length: Int)? {
    guard position > 0 else { return nil }
    var start = position - 1
    while start > 0 && text[start] & 0xC0 == 0x80 { start -= 1 }
    return (decodeScalar(text, at: start).scalar, position - start)
  }

  /// `\w` of Rust's regex crate.
  private func isWord(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return false
    }
  }
}
