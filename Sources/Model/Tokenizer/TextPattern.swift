// Where does a text part, and what happens to what matched? `TextPattern` finds the matches of a Split, Replace or character rule;
// `SplitBehavior` says which side keeps them. The names are those of tokenizer.json.

import Formats

/// What a normaliser, pre-tokeniser or decoder looks for.
enum TextPattern: Sendable {
  /// Exactly these bytes, never empty.
  case literal([UInt8])
  case regex(CompiledPattern)
  /// Every single scalar that fulfils the condition.
  case scalar(@Sendable (Unicode.Scalar) -> Bool)

  /// Reads `{"String": …}` or `{"Regex": …}`.
  init(_ json: JSONValue) throws(FormatError) {
    if let regex = try json.stringIfPresent("Regex") {
      self = .regex(try CompiledPattern(oniguruma: regex, at: try json.member("Regex")))
    } else {
      let value = try json.member("String", expected: "a String or Regex pattern")
      let text = try value.requireString()
      guard !text.isEmpty else { throw value.unexpected("a pattern that is not empty") }
      self = .literal(Array(text.utf8))
    }
  }

  /// Calls `body` with first byte and byte after of every match in `text`, which must be valid UTF-8.
  func forEachMatch(
    in text: UnsafeBufferPointer<UInt8>, _ matcher: PatternMatcher, _ body: (Int, Int) -> Void
  ) throws(FormatError) {
    switch self {
    case .regex(let pattern):
      try pattern.forEachMatch(in: text, matcher, body)
    case .literal(let wanted):
      var position = 0
      let last = text.count - wanted.count
      while position <= last {
        if text[position] == wanted[0], (1..<wanted.count).allSatisfy({ text[position + $0] == wanted[$0] }) {
          body(position, position + wanted.count)
          position += wanted.count
        } else {
          position += 1
        }
      }
    case .scalar(let condition):
      var position = 0
      while position < text.count {
        let (scalar, length) = decodeScalar(text, at: position)
        if condition(scalar) { body(position, position + length) }
        position += length
      }
    }
  }
}

/// What becomes of the matches of a split.
enum SplitBehavior: String, Sendable {
  case isolated = "Isolated"
  case removed = "Removed"
  case contiguous = "Contiguous"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"

  init(_ json: JSONValue) throws(FormatError) {
    let name = try json.requireString()
    guard let behavior = Self(rawValue: name) else {
      throw json.unexpected("one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous")
    }
    self = behavior
  }

  /// The pieces `text` falls into, as ranges relative to it, appended to `pieces` in order with `base` added; empty ones are left out.
  func split(
    _ text: UnsafeBufferPointer<UInt8>, by pattern: TextPattern, inverted: Bool, _ matcher: PatternMatcher,
    base: Int, into pieces: inout [Range<Int>]
  ) throws(FormatError) {
    if self == .isolated {
      // The common case, without a list of its own: inverting makes no difference.
      var end = 0
      try pattern.forEachMatch(in: text, matcher) { from, to in
        if end < from { pieces.append(base + end..<base + from) }
        if from < to { pieces.append(base + from..<base + to) }
        end = to
      }
      if end < text.count { pieces.append(base + end..<base + text.count) }
      return
    }
    var parts: [(range: Range<Int>, isMatch: Bool)] = []
    var end = 0
    try pattern.forEachMatch(in: text, matcher) { from, to in
      if end < from { parts.append((end..<from, inverted)) }
      parts.append((from..<to, !inverted))
      end = to
    }
    if end < text.count { parts.append((end..<text.count, inverted)) }
    for range in apply(parts) where !range.isEmpty { pieces.append(base + range.lowerBound..<base + range.upperBound) }
  }

  private func apply(_ parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
    var result: [Range<Int>] = []
    var previousMatched = false
    switch self {
    case .isolated: return parts.map(\.range)
    case .removed: return parts.filter { !$0.isMatch }.map(\.range)
    case .contiguous, .mergedWithPrevious:
      for part in parts {
        let joins = self == .contiguous ? part.isMatch == previousMatched : part.isMatch && !previousMatched
        if joins, let last = result.last {
          result[result.count - 1] = last.lowerBound..<part.range.upperBound
        } else {
          result.append(part.range)
        }
        previousMatched = part.isMatch
      }
      return result
    case .mergedWithNext:
      for part in parts.reversed() {
        if part.isMatch && !previousMatched, let last = result.last {
          result[result.count - 1] = part.range.lowerBound..<last.upperBound
        } else {
          result.append(part.range)
        }
        previousMatched = part.isMatch
      }
      return result.reversed()
    }
  }
}

/// The scalar that begins at `position` of valid UTF-8, and its length in bytes.
@inline(__always)
func decodeScalar(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> (scalar: Unicode.Scalar, length: Int) {
  let first = UInt32(text[position])
  if first < 0x80 { return (Unicode.Scalar(UInt8(first)), 1) }
  func tail(_ index: Int) -> UInt32 { UInt32(text[position + index]) & 0x3F }
  let value: UInt32
  let length: Int
  if first < 0xE0 {
    (value, length) = ((first & 0x1F) << 6 | tail(1), 2)
  } else if first < 0xF0 {
    (value, length) = ((first & 0x0F) << 12 | tail(1) << 6 | tail(2), 3)
  } else {
    (value, length) = ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
  }
  return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
}
