// Into which pieces does the model see the text cut? The `pre_tokenizer` of tokenizer.json: a sequence of steps that split pieces further
// or respell them. Steps this file does not list are refused by name. How matches become pieces is TextPattern.swift's.

import Formats

/// A text and the pieces it has been cut into so far.
struct PieceList {
  /// UTF-8 (or raw bytes after a final ByteLevel step).
  var bytes: [UInt8]
  /// Ranges of `bytes`, in order, none empty.
  var pieces: [Range<Int>]
  /// Whether the first piece begins where the user's text began.
  var startsAtOrigin: Bool
}

/// The steps of a pre-tokenizer, in order.
struct PreTokenizer: Sendable {
  private enum Step: Sendable {
    case split(TextPattern, SplitBehavior, inverted: Bool)
    case metaspace(Metaspace)
    /// GPT-2's: an optional space in front; `respells`: bytes become characters of the byte alphabet.
    case byteLevel(addsPrefixSpace: Bool, splitter: TextPattern?, respells: Bool)
  }

  private struct Metaspace: Sendable {
    enum Scheme: String { case always, first, never }
    var replacement: [UInt8]
    var scheme: Scheme
    var splits: Bool
  }

  private var steps: [Step] = []

  /// Whether pieces come out as raw bytes which the model is to read in the byte alphabet: true when the last step is ByteLevel.
  private(set) var yieldsBytes = false

  /// Reads the `pre_tokenizer` member (nil or null: the text stays one piece).
  init(_ json: JSONValue?) throws(FormatError) {
    if let json, !json.isNull { try add(json) }
    if case .byteLevel(let addsPrefixSpace, let splitter, _) = steps.last {
      steps[steps.count - 1] = .byteLevel(addsPrefixSpace: addsPrefixSpace, splitter: splitter, respells: false)
      yieldsBytes = true
    }
  }

  private mutating func add(_ json: JSONValue) throws(FormatError) {
    let type = try json.string("type")
    switch type {
    case "Sequence":
      for step in try json.array("pretokenizers") { try add(step) }
    case "ByteLevel":
      let splits = try json.boolIfPresent("use_regex") ?? true
      let pattern = splits ? TextPattern.regex(try CompiledPattern(oniguruma: Self.gpt2Pattern, at: json)) : nil
      let addsSpace = try json.boolIfPresent("add_prefix_space") ?? true
      steps.append(.byteLevel(addsPrefixSpace: addsSpace, splitter: pattern, respells: true))
    case "Split":
      let pattern = try TextPattern(json.member("pattern"))
      let behavior = try SplitBehavior(json.member("behavior"))
      steps.append(.split(pattern, behavior, inverted: try json.boolIfPresent("invert") ?? false))
    case "Digits":
      let individually = try json.boolIfPresent("individual_digits") ?? false
      steps.append(.split(.scalar(isNumeric), individually ? .isolated : .contiguous, inverted: false))
    case "Punctuation":
      let behavior = try json.memberIfPresent("behavior").map { value throws(FormatError) in try SplitBehavior(value) }
      steps.append(.split(.scalar(isPunctuation), behavior ?? .isolated, inverted: false))
    case "Whitespace":
      let word = PatternTranslation.rustWord
      let pattern = try CompiledPattern(pcre: "[\(word)]+|[^\(word)\(PatternTranslation.spaces)]+", at: json)
      steps.append(.split(.regex(pattern), .removed, inverted: true))
    case "WhitespaceSplit":
      steps.append(.split(.scalar { $0.properties.isWhitespace }, .removed, inverted: false))
    case "CharDelimiterSplit":
      let delimiter = try Self.character(json, "delimiter")
      steps.append(.split(.literal(delimiter), .removed, inverted: false))
    case "Metaspace": steps.append(.metaspace(try Self.metaspace(json)))
    default: throw unsupportedType(json, type, "pre-tokenizer")
    }
  }

  /// The split of GPT-2, which ByteLevel carries inside.
  private static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private static func metaspace(_ json: JSONValue) throws(FormatError) -> Metaspace {
    var scheme = Metaspace.Scheme.always
    if let value = try json.memberIfPresent("prepend_scheme") {
      guard let known = Metaspace.Scheme(rawValue: try value.requireString()) else { throw value.unexpected("always, first or never") }
      scheme = known
    }
    if try json.boolIfPresent("add_prefix_space") == false { scheme = .never }
    return Metaspace(replacement: try character(json, "replacement"), scheme: scheme, splits: try json.boolIfPresent("split") ?? true)
  }

  /// A member that must be one character.
  static func character(_ json: JSONValue, _ key: String) throws(FormatError) -> [UInt8] {
    let text = try json.string(key)
    guard text.unicodeScalars.count == 1 else { throw try json.member(key).unexpected("one character") }
    return Array(text.utf8)
  }

  /// Cuts the pieces of `list` further, step by step.
  func apply(to list: inout PieceList, _ matcher: PatternMatcher) throws(FormatError) {
    for step in steps {
      switch step {
      case .split(let pattern, let behavior, let inverted):
        try split(&list, pattern, behavior, inverted: inverted, matcher)
      case .metaspace(let metaspace):
        respell(&list, metaspace)
        if metaspace.splits { try split(&list, .literal(metaspace.replacement), .mergedWithNext, inverted: false, matcher) }
      case .byteLevel(let addsPrefixSpace, let splitter, let respells):
        if addsPrefixSpace { prependSpaces(&list) }
        if let splitter { try split(&list, splitter, .isolated, inverted: false, matcher) }
        if respells { list.respell { $0.append(contentsOf: $1.flatMap { ByteAlphabet.spelling(of: $0) }) } }
      }
    }
  }

  private func split(
    _ list: inout PieceList, _ pattern: TextPattern, _ behavior: SplitBehavior, inverted: Bool, _ matcher: PatternMatcher
  ) throws(FormatError) {
    var pieces: [Range<Int>] = []
    pieces.reserveCapacity(list.pieces.count + list.bytes.count / 8)
    let old = list.pieces
    let outcome: Result<Void, FormatError> = list.bytes.withUnsafeBufferPointer { bytes in
      do throws(FormatError) {
        for piece in old {
          let text = UnsafeBufferPointer(rebasing: bytes[piece])
          try behavior.split(text, by: pattern, inverted: inverted, matcher, base: piece.lowerBound, into: &pieces)
        }
        return .success(())
      } catch { return .failure(error) }
    }
    try outcome.get()
    if let first = pieces.first, let oldFirst = old.first, first.lowerBound > oldFirst.lowerBound { list.startsAtOrigin = false }
    list.pieces = pieces
  }

  /// Spaces become the replacement, which is also put in front as the scheme says.
  private func respell(_ list: inout PieceList, _ metaspace: Metaspace) {
    var isAtOrigin = list.startsAtOrigin
    list.respell { result, piece in
      let begin = result.count
      let starts = piece.starts(with: metaspace.replacement) || piece.first == 0x20
      if !starts && (metaspace.scheme == .always || (metaspace.scheme == .first && isAtOrigin)) {
        result.append(contentsOf: metaspace.replacement)
      }
      for byte in piece {
        if byte == 0x20 { result.append(contentsOf: metaspace.replacement) } else { result.append(byte) }
      }
      if result.count > begin { isAtOrigin = false }
    }
  }

  private func prependSpaces(_ list: inout PieceList) {
    guard list.pieces.contains(where: { list.bytes[$0.lowerBound] != 0x20 }) else { return }
    list.respell { result, piece in
      if piece.first != 0x20 { result.append(0x20) }
      result.append(contentsOf: piece)
    }
  }
}

extension PieceList {
  /// Writes every piece anew: `body` appends the new form of a piece to the text.
  mutating func respell(_ body: (inout [UInt8], ArraySlice<UInt8>) -> Void) {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + bytes.count / 4 + 8)
    for index in pieces.indices {
      let start = result.count
      body(&result, bytes[pieces[index]])
      pieces[index] = start..<result.count
    }
    bytes = result
  }
}

/// General category N, as Rust's `is_numeric`.
@Sendable private func isNumeric(_ scalar: Unicode.Scalar) -> Bool {
  if scalar.isASCII { return (0x30...0x39).contains(scalar.value) }
  switch scalar.properties.generalCategory {
  case .decimalNumber, .letterNumber, .otherNumber: return true
  default: return false
  }
}

/// ASCII punctuation (symbols included) or general category P as of Unicode 8, whose tables the reference has.
@Sendable private func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
  if scalar.isASCII {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
    default: return false
    }
  }
  switch scalar.properties.generalCategory {
  case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
    .otherPunctuation:
    return scalar.properties.age.map { $0.major <= 8 } ?? false
  default: return scalar.value == 0x166D || scalar.value == 0x111C9  // of other categories since
  }
}
