// The characters widgets draw with, for terminals with and without UTF-8. Every pair has the same widths.

/// Which characters the terminal can show.
public enum GlyphSet: String, Hashable, Sendable, CaseIterable {
  case utf8
  case ascii

  /// UTF-8 when the locale's character set says so and nobody asked for ASCII.
  public init(codeset: String, forceASCII: Bool) {
    let name = codeset.uppercased().filter { $0.isLetter || $0.isNumber }
    self = name == "UTF8" && !forceASCII ? .utf8 : .ascii
  }

  private func pick(_ utf8: Character, _ ascii: Character) -> Character { self == .utf8 ? utf8 : ascii }

  public var horizontal: Character { pick("─", "-") }
  public var vertical: Character { pick("│", "|") }
  public var topLeft: Character { pick("┌", "+") }
  public var topRight: Character { pick("┐", "+") }
  public var bottomLeft: Character { pick("└", "+") }
  public var bottomRight: Character { pick("┘", "+") }
  public var selectionMark: Character { pick("▸", ">") }
  public var ascending: Character { pick("▴", "^") }
  public var descending: Character { pick("▾", "v") }
  public var caret: Character { pick("▮", "_") }
  public var ellipsis: Character { pick("…", "~") }
  public var cursorMark: Character { pick("▣", "X") }
  public var fullBlock: Character { pick("█", "#") }
  public var shadedBlock: Character { pick("▓", "%") }
  public var emptyBlock: Character { pick("░", ".") }
  public var upperHalf: Character { pick("▀", "=") }
  public var recording: Character { pick("●", "*") }
  public var separator: Character { pick("·", "-") }

  /// Rising columns, lowest first; in ASCII signs of rising ink, those of the ramp.
  public var columns: [Character] { self == .utf8 ? Array("▁▂▃▄▅▆▇█") : Array(".:-=+*#@") }
  /// Rising parts of a horizontal bar, an eighth first; ASCII has only whole ones.
  public var eighths: [Character] { self == .utf8 ? Array("▏▎▍▌▋▊▉") : [] }
  /// Rising heat without colour, nothing first.
  public var ramp: [Character] { self == .utf8 ? Array(" ░▒▓█") : Array(" .:-=+*#%@") }
  /// Falling to rising difference without colour, no change in the middle.
  public var divergingRamp: [Character] { self == .utf8 ? Array("=-·+#") : Array("=-.+#") }

  /// Rules that make a token readable with these characters.
  public var printable: Printable { Printable(marksSpaces: true, asciiOnly: self == .ascii) }
}
