// What may be sent to a terminal that is not one of our screens: a table, a message, a text that a model wrote. A screen lays out cells and
// therefore escapes every scalar of uncertain width; running text needs less. Escaped is what a terminal would obey instead of showing, and
// what would hide or reorder the words beside it. The written forms are those of the screens.

extension Printable {
  /// A text for a terminal, with `\e`, `\r`, `\u{9b}`, `\u{202e}` where the scalars themselves would be obeyed.
  ///
  /// Escaped are C0 and C1 controls and DEL, line and paragraph separators, what turns the direction of writing, other invisible
  /// formatting but joiners and the soft hyphen (parts of words), and noncharacters. Everything else stays as it is, emoji too.
  ///
  /// - Parameter lines: whether line feeds and tabs stay: for a text that has lines. Without them the result is one line, which a name has
  ///   to be.
  /// - Complexity: O(scalars); a text of printable ASCII is returned as it is.
  public static func running(_ text: String, lines: Bool) -> String {
    func stays(_ byte: UInt8) -> Bool { byte >= 0x20 && byte < 0x7F || lines && (byte == 0x0A || byte == 0x09) }
    if text.utf8.allSatisfy(stays) { return text }
    var written = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if lines && (scalar == "\n" || scalar == "\t") || !isObeyed(scalar) {
        written.append(scalar)
      } else {
        written.append(contentsOf: escape(scalar).unicodeScalars)
      }
    }
    return String(written)
  }

  /// Whether a terminal acts on a scalar, or shows others otherwise because of it.
  private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0: return true
    case 0xA0..<0x300: return false
    // Zero-width joiner and non-joiner: letters of several scripts and joined emoji need them.
    case 0x200C, 0x200D: return false
    default:
      let properties = scalar.properties
      switch properties.generalCategory {
      case .lineSeparator, .paragraphSeparator: return true
      case .format: return properties.isDefaultIgnorableCodePoint || properties.isBidiControl
      case .unassigned: return properties.isNoncharacterCodePoint
      default: return false
      }
    }
  }

  /// Columns that a terminal most likely gives to running text: exact for what screens show, a guess where terminals disagree (two for
  /// pictographs, none for what joins or varies the scalar before).
  public static func columns(of text: String) -> Int {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.unicodeScalars.reduce(0) { columns, scalar in
      switch ScalarWidth(scalar) {
      case .narrow: columns + 1
      case .wide: columns + 2
      case .combining: columns
      case .escaped:
        switch scalar.properties.generalCategory {
        case .format, .nonspacingMark, .enclosingMark: columns
        default: columns + (scalar.value >= 0x1F000 ? 2 : 1)
        }
      }
    }
  }
}
