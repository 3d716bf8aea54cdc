// Makes any text safe and unambiguous to show: a token is arbitrary bytes, and a screen must not obey them.
// Spaces, controls, line ends, bidi marks, invalid bytes and scalars beyond our width table get a visible written form.

/// Rules for writing a text visibly.
public struct Printable: Hashable, Sendable {
  /// Show a space as `·`, so that leading spaces of tokens are seen, and escape a text's own such signs. ASCII has no sign to spare: there a
  /// space is a space.
  public var marksSpaces: Bool
  /// Write everything outside ASCII as `\u{…}`.
  public var asciiOnly: Bool

  public init(marksSpaces: Bool = true, asciiOnly: Bool = false) {
    self.marksSpaces = marksSpaces
    self.asciiOnly = asciiOnly
  }

  /// The written form of a text. Distinct texts have distinct forms when `marksSpaces` is set.
  public func text(_ text: String) -> String {
    var written = ""
    var marks = -1
    for scalar in text.unicodeScalars { append(scalar, to: &written, marks: &marks) }
    return written
  }

  /// The written form of bytes that should be UTF-8: valid parts as text, every other byte as `\xHH`.
  public func bytes(_ bytes: [UInt8]) -> String {
    var written = ""
    var marks = -1
    var place = 0
    while place < bytes.count {
      let first = bytes[place]
      if first < 0x80 {
        append(Unicode.Scalar(first), to: &written, marks: &marks)
        place += 1
        continue
      }
      let length = Printable.sequenceLength(first)
      let end = min(bytes.count, place + max(1, length))
      if length > 0, let decoded = String(validating: bytes[place..<end], as: UTF8.self) {
        for scalar in decoded.unicodeScalars { append(scalar, to: &written, marks: &marks) }
        place = end
      } else {
        written += "\\x" + Printable.hex(UInt32(first), digits: 2)
        marks = -1
        place += 1
      }
    }
    return written
  }

  /// `marks`: combining marks on the glyph being written, -1 when there is none to sit on.
  private func append(_ scalar: Unicode.Scalar, to written: inout String, marks: inout Int) {
    let plain: Bool
    switch scalar {
    case " " where marksSpaces:
      written += asciiOnly ? " " : "·"
      marks = -1
      return
    case "\\" where marksSpaces:
      written += "\\\\"
      marks = -1
      return
    case "·" where marksSpaces:
      plain = false
    default:
      switch asciiOnly && !scalar.isASCII ? .escaped : ScalarWidth(scalar) {
      case .narrow, .wide:
        marks = scalar == " " ? -1 : 0
        written.unicodeScalars.append(scalar)
        return
      case .combining where marks >= 0 && marks < 2:
        marks += 1
        written.unicodeScalars.append(scalar)
        return
      case .combining, .escaped:
        plain = false
      }
    }
    if !plain {
      written += Printable.escape(scalar)
      marks = -1
    }
  }

  /// `\n`, `\r`, `\t`, `\e`, `\0`, otherwise `\u{…}`.
  public static func escape(_ scalar: Unicode.Scalar) -> String {
    switch scalar.value {
    case 0: "\\0"
    case 9: "\\t"
    case 10: "\\n"
    case 13: "\\r"
    case 27: "\\e"
    default: "\\u{" + hex(scalar.value, digits: 1) + "}"
    }
  }

  /// Columns a text takes when drawn: what `CellBuffer.draw` will use, escapes included.
  public static func width(of text: some StringProtocol) -> Int {
    var width = 0
    var marks = -1
    for scalar in text.unicodeScalars {
      if scalar.value >= 0x20, scalar.value < 0x7F {
        width += 1
        marks = scalar == " " ? -1 : 0
        continue
      }
      switch ScalarWidth(scalar) {
      case .narrow:
        width += 1
        marks = 0
      case .wide:
        width += 2
        marks = 0
      case .combining where marks >= 0 && marks < 2:
        marks += 1
      case .combining, .escaped:
        width += escape(scalar).utf8.count
        marks = -1
      }
    }
    return width
  }

  /// The longest start of a text that fits; with `ellipsis`, a text that does not fit ends in it.
  public static func cut(_ text: String, to width: Int, ellipsis: String = "…") -> String {
    guard self.width(of: text) > width else { return text }
    let tail = self.width(of: ellipsis) <= width ? ellipsis : ""
    let room = width - self.width(of: tail)
    var kept = ""
    var used = 0
    for character in text {
      let wide = self.width(of: String(character))
      if used + wide > room { break }
      used += wide
      kept.append(character)
    }
    return kept + tail
  }

  static func hex(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }

  /// Length that a UTF-8 lead byte promises; 0 when it cannot lead.
  private static func sequenceLength(_ lead: UInt8) -> Int {
    switch lead {
    case 0..<0x80: 1
    case 0xC2...0xDF: 2
    case 0xE0...0xEF: 3
    case 0xF0...0xF4: 4
    default: 0
    }
  }
}
