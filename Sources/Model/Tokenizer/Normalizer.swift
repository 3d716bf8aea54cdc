// What happens to the text before it is cut up? The `normalizer` of tokenizer.json: Unicode forms, replacements, prefixes. Each step maps
// UTF-8 to UTF-8; a step this file does not list is refused by name. The charsmap of SentencePiece is CharacterMap.swift's.

import Formats

/// The normalising steps, in order.
struct Normalizer: Sendable {
  private enum Step: Sendable {
    case unicode(UnicodeForm, UnicodeFormTables)
    case lowercase
    case strip(left: Bool, right: Bool)
    case prepend([UInt8])
    case replace(TextPattern, with: [UInt8])
    case characterMap(CharacterMap)
    case byteAlphabet
  }

  private var steps: [Step] = []

  var isIdentity: Bool { steps.isEmpty }

  /// Reads the `normalizer` member (nil or null: no steps).
  init(_ json: JSONValue?) throws(FormatError) {
    if let json, !json.isNull { try add(json) }
  }

  /// A form alone, with tables of another version than tokenizer.json means.
  init(_ form: UnicodeForm, _ tables: UnicodeFormTables) { steps = [.unicode(form, tables)] }

  /// A charsmap, then what SentencePiece does with several spaces in a row: they become one.
  init(_ map: CharacterMap?, mergesSpaces: CompiledPattern?) {
    if let map { steps.append(.characterMap(map)) }
    if let mergesSpaces { steps.append(.replace(.regex(mergesSpaces), with: [0x20])) }
  }

  private mutating func add(_ json: JSONValue) throws(FormatError) {
    let type = try json.string("type")
    switch type {
    case "Sequence":
      for step in try json.array("normalizers") { try add(step) }
    case "NFC": steps.append(.unicode(.nfc, .version9))
    case "NFD": steps.append(.unicode(.nfd, .version9))
    case "NFKC": steps.append(.unicode(.nfkc, .version9))
    case "NFKD": steps.append(.unicode(.nfkd, .version9))
    case "Lowercase": steps.append(.lowercase)
    case "Strip": steps.append(.strip(left: try json.bool("strip_left"), right: try json.bool("strip_right")))
    case "Prepend": steps.append(.prepend(Array(try json.string("prepend").utf8)))
    case "Replace":
      steps.append(.replace(try TextPattern(json.member("pattern")), with: Array(try json.string("content").utf8)))
    case "Precompiled": steps.append(.characterMap(try CharacterMap(json.member("precompiled_charsmap"))))
    case "ByteLevel": steps.append(.byteAlphabet)
    default: throw unsupportedType(json, type, "normalizer")
    }
  }

  /// Normalises `text` in place.
  ///
  /// - Returns: whether the first character was stripped: what is left does not begin where the text began.
  @discardableResult
  func apply(to text: inout [UInt8], _ matcher: PatternMatcher) throws(FormatError) -> Bool {
    var lostStart = false
    for step in steps {
      switch step {
      case .unicode(let form, let tables): form.apply(to: &text, tables)
      case .lowercase: lowercase(&text)
      case .strip(let left, let right):
        let lead = left ? leadingSpaces(text) : 0
        lostStart = lostStart || lead > 0
        if right { text.removeLast(min(trailingSpaces(text), text.count - lead)) }
        text.removeFirst(lead)
      case .prepend(let prefix): if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
      case .replace(let pattern, let content): text = try replace(text, pattern, content, matcher)
      case .characterMap(let map): map.apply(to: &text)
      case .byteAlphabet: text = text.flatMap { ByteAlphabet.spelling(of: $0) }
      }
    }
    return lostStart
  }

  private func lowercase(_ text: inout [UInt8]) {
    if text.allSatisfy({ $0 < 0x80 }) {
      for index in text.indices where (0x41...0x5A).contains(text[index]) { text[index] += 0x20 }
      return
    }
    // Scalar by scalar, as the reference does: no final sigma.
    var result: [UInt8] = []
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
    }
    text = result
  }

  private func leadingSpaces(_ text: [UInt8]) -> Int {
    let spaces = String(decoding: text, as: UTF8.self).unicodeScalars.prefix { $0.properties.isWhitespace }
    return spaces.reduce(0) { $0 + UTF8.width($1) }
  }

  private func trailingSpaces(_ text: [UInt8]) -> Int {
    let spaces = String(decoding: text, as: UTF8.self).unicodeScalars.reversed().prefix { $0.properties.isWhitespace }
    return spaces.reduce(0) { $0 + UTF8.width($1) }
  }
}

/// `text` with every match of `pattern` replaced by `content`.
func replace(_ text: [UInt8], _ pattern: TextPattern, _ content: [UInt8], _ matcher: PatternMatcher) throws(FormatError) -> [UInt8] {
  var result: [UInt8] = []
  result.reserveCapacity(text.count + text.count / 4)
  var end = 0
  // Typed errors do not pass through `withUnsafeBufferPointer`; a result does.
  let outcome: Result<Void, FormatError> = text.withUnsafeBufferPointer { text in
    do throws(FormatError) {
      try pattern.forEachMatch(in: text, matcher) { from, to in
        result.append(contentsOf: text[end..<from])
        result.append(contentsOf: content)
        end = to
      }
      result.append(contentsOf: text[end...])
      return .success(())
    } catch { return .failure(error) }
  }
  try outcome.get()
  return result
}

/// The refusal of a step this program does not know.
func unsupportedType(_ json: JSONValue, _ type: String, _ stage: String) -> FormatError {
  .unsupported(file: json.fileName, place: json.path.isEmpty ? "type" : json.path + ".type", found: "the \(stage) \"\(type)\"", hint: nil)
}
