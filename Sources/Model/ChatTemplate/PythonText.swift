// How does a template print a value? As Python's `str`, `repr` and `json.dumps` would: templates are written and tested against those,
// and a prompt that differs in one space is another prompt.

/// Python's ways of writing values.
enum PythonText {
  /// `str(value)`; what `{{ value }}` prints. Nil for what has no text of its own (functions).
  static func text(of value: TemplateValue) -> String? {
    switch value {
    case .undefined: return ""
    case .string(let text), .markup(let text): return text
    default: return representation(of: value)
    }
  }

  /// `repr(value)`.
  static func representation(of value: TemplateValue) -> String? {
    switch value {
    case .none: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .integer(let value): return String(value)
    case .number(let value): return number(value)
    case .string(let text): return quoted(text)
    case .markup(let text): return "Markup(\(quoted(text)))"
    case .list(let values):
      var parts: [String] = []
      for value in values {
        guard let part = representation(of: value) else { return nil }
        parts.append(part)
      }
      return "[\(parts.joined(separator: ", "))]"
    case .tuple(let values):
      guard let text = representation(of: .list(values)) else { return nil }
      return "(\(text.dropFirst().dropLast())\(values.count == 1 ? "," : ""))"
    case .map(let map):
      var parts: [String] = []
      for entry in map.entries {
        guard let key = representation(of: entry.key), let part = representation(of: entry.value) else { return nil }
        parts.append("\(key): \(part)")
      }
      return "{\(parts.joined(separator: ", "))}"
    case .undefined, .generator, .namespace, .macro, .method, .function, .loop: return nil
    }
  }

  static func number(_ value: Double) -> String {
    value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : value.description
  }

  /// Single quotes, unless only the other kind needs no escape.
  private static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar = text.utf8.contains(0x27) && !text.utf8.contains(0x22) ? "\"" : "'"
    var result = String(quote)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case quote: result += "\\" + String(quote)
      default:
        if isPrintable(scalar) {
          result.unicodeScalars.append(scalar)
        } else {
          let (mark, digits) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          result += "\\" + mark + hexadecimal(scalar.value, digits: digits)
        }
      }
    }
    return result + String(quote)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return (0x20...0x7E).contains(scalar.value) }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return false
    default: return true
    }
  }

  private static func hexadecimal(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  // MARK: JSON

  /// How `json.dumps` is asked to write.
  struct JSONStyle {
    /// Spaces a level is indented by; nil: one line.
    var indent: Int?
    var asciiOnly = false
    var sortsKeys = false
    var itemSeparator: String?
    var keySeparator = ": "
  }

  /// `json.dumps(value)`; nil for what JSON has no form for.
  static func json(_ value: TemplateValue, _ style: JSONStyle) -> String? {
    var text = ""
    return write(value, style, level: 0, to: &text) ? text : nil
  }

  private static func write(_ value: TemplateValue, _ style: JSONStyle, level: Int, to text: inout String) -> Bool {
    switch value {
    case .none: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value): text += value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.description
    case .string(let string), .markup(let string): write(string, asciiOnly: style.asciiOnly, to: &text)
    case .list(let values), .tuple(let values):
      return write(values.map { (nil, $0) }, "[", "]", style, level, to: &text)
    case .map(let map):
      var entries = map.entries
      if style.sortsKeys {
        guard let first = entries.first?.key, entries.allSatisfy({ $0.key.isLess(than: first) != nil }) else { return entries.isEmpty }
        entries.sort { $0.key.isLess(than: $1.key) ?? false }
      }
      var members: [(String?, TemplateValue)] = []
      for entry in entries {
        guard let key = jsonKey(entry.key) else { return false }
        members.append((key, entry.value))
      }
      return write(members, "{", "}", style, level, to: &text)
    case .undefined, .generator, .namespace, .macro, .method, .function, .loop: return false
    }
    return true
  }

  /// What `json.dumps` makes of a key; nil for one that it refuses.
  private static func jsonKey(_ key: TemplateValue) -> String? {
    switch key {
    case .string(let text): return text
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer, .number: return representation(of: key)
    default: return nil
    }
  }

  private static func write(
    _ entries: [(String?, TemplateValue)], _ open: String, _ close: String, _ style: JSONStyle, _ level: Int, to text: inout String
  ) -> Bool {
    text += open
    func newLine(_ level: Int) -> String { style.indent.map { "\n" + String(repeating: " ", count: $0 * level) } ?? "" }
    for (index, (key, value)) in entries.enumerated() {
      if index > 0 { text += style.itemSeparator ?? (style.indent == nil ? ", " : ",") }
      text += newLine(level + 1)
      if let key {
        write(key, asciiOnly: style.asciiOnly, to: &text)
        text += style.keySeparator
      }
      guard write(value, style, level: level + 1, to: &text) else { return false }
    }
    if !entries.isEmpty { text += newLine(level) }
    text += close
    return true
  }

  private static func write(_ string: String, asciiOnly: Bool, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{C}": text += "\\f"
      case _ where scalar.value < 0x20: text += "\\u" + hexadecimal(scalar.value, digits: 4)
      case _ where asciiOnly && !(0x20...0x7E).contains(scalar.value):
        for unit in String(scalar).utf16 { text += "\\u" + hexadecimal(UInt32(unit), digits: 4) }
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

extension Unicode.Scalar {
  /// What Python's `str.strip` and `\s` take for a space.
  var isPythonSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }
}
