// What can a template ask of a text, a list or a mapping? Python's methods, on code points. Methods that Python has and this file has not
// are refused by name; those that would change a value are refused by transformers, too.

/// Finding texts in texts, byte by byte: no match can begin inside a character of UTF-8.
enum TextSearch {
  /// The byte where `part` first stands in `text` from `start`, or nil.
  static func first(of part: String, in text: String) -> Int? {
    first(of: Array(part.utf8)[...], in: Array(text.utf8)[...])
  }

  static func first(of part: ArraySlice<UInt8>, in text: ArraySlice<UInt8>) -> Int? {
    guard let head = part.first else { return text.startIndex }
    var position = text.startIndex
    while position + part.count <= text.endIndex {
      if text[position] == head && text[position..<position + part.count] == part { return position }
      position += 1
    }
    return nil
  }

  /// `text` cut at every `separator` (not empty), at most `limit` times.
  static func split(_ text: String, by separator: String, limit: Int = .max) -> [String] {
    let separator = Array(separator.utf8)[...]
    var rest = Array(text.utf8)[...]
    var parts: [String] = []
    while parts.count < limit, let place = first(of: separator, in: rest) {
      parts.append(String(decoding: rest[..<place], as: UTF8.self))
      rest = rest[(place + separator.count)...]
    }
    parts.append(String(decoding: rest, as: UTF8.self))
    return parts
  }

  static func replace(_ text: String, _ old: String, _ new: String, limit: Int) -> String {
    if old.isEmpty {
      // Python puts the new text before every character and at the end.
      var result = ""
      var left = limit
      for scalar in text.unicodeScalars {
        if left > 0 { result += new }
        left -= 1
        result.unicodeScalars.append(scalar)
      }
      return left > 0 ? result + new : result
    }
    return split(text, by: old, limit: limit).joined(separator: new)
  }

  /// `text` without the scalars of `set` (nil: white space) at its ends.
  static func strip(_ text: String, _ set: String?, left: Bool = true, right: Bool = true) -> String {
    let characters = set.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { characters?.contains(scalar) ?? scalar.isPythonSpace }
    var scalars = Array(text.unicodeScalars)[...]
    if left { scalars = scalars.drop(while: goes) }
    if right { while let last = scalars.last, goes(last) { scalars.removeLast() } }
    return String(String.UnicodeScalarView(scalars))
  }

  /// The words of a text between white space.
  static func words(_ text: String, limit: Int) -> [String] {
    var words: [String] = []
    var rest = Array(text.unicodeScalars)[...].drop(while: \.isPythonSpace)
    while !rest.isEmpty {
      if words.count == limit {
        while let last = rest.last, last.isPythonSpace { rest.removeLast() }
        words.append(String(String.UnicodeScalarView(rest)))
        break
      }
      let word = rest.prefix { !$0.isPythonSpace }
      words.append(String(String.UnicodeScalarView(word)))
      rest = rest[word.endIndex...].drop(while: \.isPythonSpace)
    }
    return words
  }

  /// Python's `splitlines`.
  static func lines(_ text: String) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var previous: Unicode.Scalar?
    var isOpen = false
    for scalar in text.unicodeScalars {
      let followsReturn = previous == "\r"
      previous = scalar
      if scalar == "\n" && followsReturn { continue }
      switch scalar {
      case "\n", "\r", "\u{B}", "\u{C}", "\u{1C}", "\u{1D}", "\u{1E}", "\u{85}", "\u{2028}", "\u{2029}":
        lines.append(String(line))
        line = String.UnicodeScalarView()
        isOpen = false
      default:
        line.append(scalar)
        isOpen = true
      }
    }
    if isOpen { lines.append(String(line)) }
    return lines
  }

  static func title(_ text: String) -> String {
    var result = ""
    var followsLetter = false
    for scalar in text.unicodeScalars {
      result += followsLetter ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      followsLetter = scalar.properties.isCased
    }
    return result
  }

  /// As markupsafe writes what could be markup.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&#39;"
      case "\"": result += "&#34;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  static func lower(_ text: String) -> String { text.unicodeScalars.map(\.properties.lowercaseMapping).joined() }
  static func upper(_ text: String) -> String { text.unicodeScalars.map(\.properties.uppercaseMapping).joined() }

  static func capitalize(_ text: String) -> String {
    let scalars = text.unicodeScalars
    return (scalars.first?.properties.titlecaseMapping ?? "") + scalars.dropFirst().map(\.properties.lowercaseMapping).joined()
  }
}

extension TemplateRenderer {
  /// Every method Python's `dict` has: a member of that name is the method, never the entry.
  static let mapMethods: Set<String> = [
    "clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
  ]
  static let listMethods: Set<String> = [
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
  ]
  static let textMethods: Set<String> = [
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map", "index", "isalnum",
    "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper",
    "join", "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill",
  ]

  func method(_ name: String, of value: TemplateValue, _ arguments: TemplateCall) throws(TemplateError) -> TemplateValue {
    var arguments = arguments
    let result: TemplateValue?
    switch value {
    case .string(let text): result = try self.method(name, of: text, &arguments)
    case .map(let map): result = try self.method(name, of: map, &arguments)
    case .loop(let index, _):
      guard !arguments.positional.isEmpty else { throw failure(.value, arguments.line, "loop.cycle of nothing") }
      result = arguments.positional[arguments.positional.startIndex + index % arguments.positional.count]
      arguments.positional = []
    default: result = nil
    }
    guard let result else { throw failure(.unsupported, arguments.line, "the method \(name) of \(value.kindName)") }
    try arguments.finish("the method \(name)", self)
    return result
  }

  private func method(_ name: String, of map: TemplateMap, _ arguments: inout TemplateCall) throws(TemplateError) -> TemplateValue? {
    switch name {
    case "get":
      let key = arguments.take("key")
      let fallback = arguments.take("default") ?? .none
      return key.flatMap { map[$0] } ?? fallback
    case "items": return .list(map.entries.map { .tuple([$0.key, $0.value]) })
    case "keys": return .list(map.entries.map(\.key))
    case "values": return .list(map.entries.map(\.value))
    default: return nil
    }
  }

  private func method(_ name: String, of text: String, _ arguments: inout TemplateCall) throws(TemplateError) -> TemplateValue? {
    let line = arguments.line
    func string(_ value: TemplateValue?) throws(TemplateError) -> String {
      guard case .string(let text) = value else { throw failure(.value, line, "\(name) of \(value?.kindName ?? "nothing")") }
      return text
    }
    func optional(_ value: TemplateValue?) throws(TemplateError) -> String? {
      switch value {
      case nil, .some(.none): return nil
      default: return try string(value)
      }
    }
    func count(_ value: TemplateValue?) throws(TemplateError) -> Int {
      guard let value else { return .max }
      guard let number = value.asInteger else { throw failure(.value, line, "\(name) with \(value.kindName)") }
      return number < 0 ? .max : number
    }
    switch name {
    case "strip": return .string(TextSearch.strip(text, try optional(arguments.take("chars"))))
    case "lstrip": return .string(TextSearch.strip(text, try optional(arguments.take("chars")), right: false))
    case "rstrip": return .string(TextSearch.strip(text, try optional(arguments.take("chars")), left: false))
    case "upper": return .string(TextSearch.upper(text))
    case "lower": return .string(try lowered(text, line))
    case "title": return .string(TextSearch.title(text))
    case "capitalize": return .string(TextSearch.capitalize(text))
    case "startswith", "endswith":
      let given = arguments.take("prefix")
      let wanted: [TemplateValue]
      if case .tuple(let several) = given { wanted = several } else { wanted = [given].compactMap { $0 } }
      for part in wanted {
        let part = Array(try string(part).utf8)
        if name == "startswith" ? text.utf8.starts(with: part) : text.utf8.reversed().starts(with: part.reversed()) { return .bool(true) }
      }
      return .bool(false)
    case "removeprefix", "removesuffix":
      let part = Array(try string(arguments.take("prefix")).utf8)
      let whole = Array(text.utf8)
      if name == "removeprefix" {
        return .string(whole.starts(with: part) ? String(decoding: whole[part.count...], as: UTF8.self) : text)
      }
      let ends = whole.reversed().starts(with: part.reversed())
      return .string(ends ? String(decoding: whole[..<(whole.count - part.count)], as: UTF8.self) : text)
    case "split":
      let separator = try optional(arguments.take("sep"))
      let limit = try count(arguments.take("maxsplit"))
      guard let separator else { return .list(TextSearch.words(text, limit: limit).map { .string($0) }) }
      guard !separator.isEmpty else { throw failure(.value, line, "split at an empty text") }
      return .list(TextSearch.split(text, by: separator, limit: limit).map { .string($0) })
    case "splitlines": return .list(TextSearch.lines(text).map { .string($0) })
    case "replace":
      let (old, new) = (try string(arguments.take("old")), try string(arguments.take("new")))
      return .string(try replaced(text, old, new, limit: try count(arguments.take("count")), line))
    case "find":
      let bytes = Array(text.utf8)
      guard let place = TextSearch.first(of: try string(arguments.take("sub")), in: text) else { return .integer(-1) }
      return .integer(String(decoding: bytes[..<place], as: UTF8.self).unicodeScalars.count)
    case "count":
      let part = try string(arguments.take("sub"))
      return .integer(part.isEmpty ? text.unicodeScalars.count + 1 : TextSearch.split(text, by: part).count - 1)
    case "join":
      guard let parts = arguments.take("iterable")?.iterated else { throw failure(.value, line, "join of something that is no list") }
      var strings: [String] = []
      for part in parts { strings.append(try string(part)) }
      return .string(strings.joined(separator: text))
    case "format": return .string(try formatted(text, &arguments))
    case "isdigit", "isdecimal": return .bool(!text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) })
    case "isspace": return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(\.isPythonSpace))
    default: return nil
    }
  }

  /// Python's `format` with plain fields: `{}`, `{0}`, `{name}`.
  private func formatted(_ text: String, _ arguments: inout TemplateCall) throws(TemplateError) -> String {
    let line = arguments.line
    let (positional, named) = (Array(arguments.positional), arguments.named)
    (arguments.positional, arguments.named) = ([], [])
    let scalars = Array(text.unicodeScalars)
    var result = String.UnicodeScalarView()
    var (place, next, counts, numbers) = (0, 0, false, false)
    while place < scalars.count {
      let scalar = scalars[place]
      place += 1
      guard scalar == "{" || scalar == "}" else {
        result.append(scalar)
        continue
      }
      if place < scalars.count, scalars[place] == scalar {
        result.append(scalar)
        place += 1
        continue
      }
      guard scalar == "{", let end = scalars[place...].firstIndex(of: "}") else { throw failure(.value, line, "a lone brace in a format") }
      let field = String(String.UnicodeScalarView(scalars[place..<end]))
      place = end + 1
      guard field.unicodeScalars.allSatisfy(\.properties.isXIDContinue) else {
        throw failure(.unsupported, line, "the field {\(field)} of a format")
      }
      let value: TemplateValue?
      if field.isEmpty {
        value = next < positional.count ? positional[next] : nil
        (next, counts) = (next + 1, true)
      } else if let number = Int(field) {
        value = positional.indices.contains(number) ? positional[number] : nil
        numbers = true
      } else {
        value = named.first { isSame($0.name, field) }?.value
      }
      guard let value, !(counts && numbers) else { throw failure(.value, line, "the field {\(field)} of a format") }
      result.append(contentsOf: try self.text(of: value, line).unicodeScalars)
      guard result.count <= Self.textLimit else { throw failure(.value, line, "a text beyond \(Self.textLimit >> 20) MiB") }
    }
    return String(result)
  }

  /// Python's `lower`; its rule for a final sigma is refused instead of guessed.
  func lowered(_ text: String, _ line: Int) throws(TemplateError) -> String {
    if text.unicodeScalars.contains("\u{3A3}") { throw failure(.unsupported, line, "lower of a capital sigma") }
    return TextSearch.lower(text)
  }

  func replaced(_ text: String, _ old: String, _ new: String, limit: Int, _ line: Int) throws(TemplateError) -> String {
    let places = old.isEmpty ? text.unicodeScalars.count + 1 : text.utf8.count / old.utf8.count
    let growth = max(0, new.utf8.count - old.utf8.count)
    guard growth == 0 || min(places, limit) <= (Self.textLimit - min(text.utf8.count, Self.textLimit)) / growth else {
      throw failure(.value, line, "a text beyond \(Self.textLimit >> 20) MiB")
    }
    return TextSearch.replace(text, old, new, limit: limit)
  }
}
