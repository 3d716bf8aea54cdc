// Widths and written forms: the hostile tokens that a vocabulary holds must neither break a row nor reach the terminal.

import Support
import Testing

@testable import Terminal

@Suite struct WidthTests {
  @Test(arguments: [
    ("a", ScalarWidth.narrow), (" ", .narrow), ("é", .narrow), ("ж", .narrow), ("│", .narrow), ("█", .narrow), ("⠿", .narrow),
    ("▸", .narrow), ("⏎", .narrow), ("⇧", .narrow), ("Ĥ", .narrow), ("−", .narrow), ("日", .wide), ("한", .wide), ("ｱ", .narrow),
    ("Ａ", .wide), ("😀", .wide), ("☕", .wide), ("𠀀", .wide), ("\u{301}", .combining), ("\u{0E31}", .combining),
    ("\u{20DD}", .combining), ("\u{7F}", .escaped), ("\u{9B}", .escaped), ("\u{A0}", .escaped), ("\u{AD}", .escaped),
    ("\u{200B}", .escaped), ("\u{200D}", .escaped), ("\u{202E}", .escaped), ("\u{2066}", .escaped), ("\u{2028}", .escaped),
    ("\u{FEFF}", .escaped), ("\u{FE0F}", .escaped), ("\u{E000}", .escaped), ("\u{FFFE}", .escaped), ("\u{1F1E6}", .escaped),
    ("\u{1F3FB}", .escaped), ("\u{1FAE0}", .escaped), ("\u{E0041}", .escaped), ("\u{1160}", .escaped), ("\u{3000}", .escaped),
  ])
  func widths(_ text: String, _ width: ScalarWidth) throws {
    let scalar = try #require(text.unicodeScalars.first)
    #expect(ScalarWidth(scalar) == width, "U+\(String(scalar.value, radix: 16))")
  }

  @Test func theTableIsSorted() {
    for (one, next) in zip(ScalarWidth.wideRanges, ScalarWidth.wideRanges.dropFirst()) { #expect(one.upperBound < next.lowerBound) }
  }

  @Test(arguments: [
    (" bank", "·bank"), ("\n\n", "\\n\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\u{1B}[31m", "\\e[31m"), ("\0", "\\0"), ("\\n", "\\\\n"),
    ("·", "\\u{b7}"), ("же", "же"), ("\u{202E}abc", "\\u{202e}abc"), ("e\u{301}", "e\u{301}"), ("\u{301}", "\\u{301}"),
    (" \u{301}", "·\\u{301}"), ("e\u{301}\u{302}\u{303}", "e\u{301}\u{302}\\u{303}"), ("👍🏽", "👍\\u{1f3fd}"),
    ("👩\u{200D}💻", "👩\\u{200d}💻"), ("\u{FEFF}", "\\u{feff}"), ("日本", "日本"), ("", ""),
  ])
  func tokens(_ token: String, _ written: String) { #expect(Printable().text(token) == written) }

  @Test(arguments: [(" a_b é", " a_b \\u{e9}"), ("日", "\\u{65e5}")])
  func asciiTokens(_ token: String, _ written: String) { #expect(GlyphSet.ascii.printable.text(token) == written) }

  @Test(
    arguments: [
      ([0xE2, 0x82], "\\xe2\\x82"), ([0x20, 0x61, 0xFF, 0x62], "·a\\xffb"), ([0xC3, 0xA9], "é"), ([0xED, 0xA0, 0x80], "\\xed\\xa0\\x80"),
      ([0xF0, 0x9F, 0x98, 0x80], "😀"), ([0xF0, 0x9F, 0x41], "\\xf0\\x9fA"), ([0xC0, 0x80], "\\xc0\\x80"), ([0xF5], "\\xf5"),
      ([0xCC, 0x81], "\\u{301}"), ([], ""),
    ] as [([UInt8], String)])
  func bytes(_ bytes: [UInt8], _ written: String) { #expect(Printable().bytes(bytes) == written) }

  @Test(arguments: [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("\n", 2), ("\u{202E}", 8), ("a日\u{301}b", 4)])
  func measures(_ text: String, _ width: Int) {
    #expect(Printable.width(of: text) == width)
    var screen = CellBuffer(size: Size(width: 20, height: 1))
    #expect(screen.draw(text, x: 0, y: 0) == width)
  }

  @Test(arguments: [("abcdef", 4, "abc…"), ("abc", 3, "abc"), ("日本語", 4, "日…"), ("日本語", 1, "…"), ("abc", 0, "")])
  func cuts(_ text: String, _ width: Int, _ kept: String) { #expect(Printable.cut(text, to: width) == kept) }

  /// Whatever a token holds, what is drawn is printable and takes the columns it says.
  @Test func randomScalarsStayHarmless() {
    var random = SeededRandom(seed: 7)
    var harmful: Set<UInt32> = []
    for _ in 0..<20_000 {
      guard let scalar = Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random)) else { continue }
      let written = Printable().text(String(Character(scalar)))
      if written.unicodeScalars.contains(where: { ScalarWidth($0) == .escaped }) { harmful.insert(scalar.value) }
    }
    #expect(harmful.isEmpty)
  }
}
