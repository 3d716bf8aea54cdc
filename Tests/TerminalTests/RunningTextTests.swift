// Which scalars of a running text a terminal must not get, and which it must: words of all scripts and joined emoji stay whole.

import Testing

@testable import Terminal

struct RunningTextTests {
  @Test func whatATerminalObeysIsWrittenOut() {
    let cases: [(String, String)] = [
      ("\u{1B}[31mred", "\\e[31mred"), ("\u{9B}31m", "\\u{9b}31m"), ("\u{7}\u{8}\u{0}\u{7F}", "\\u{7}\\u{8}\\0\\u{7f}"),
      ("a\rb", "a\\rb"), ("a\r\nb", "a\\r\nb"), ("a\u{85}b\u{2028}c\u{2029}d", "a\\u{85}b\\u{2028}c\\u{2029}d"),
      ("\u{202E}abc\u{202C}", "\\u{202e}abc\\u{202c}"), ("\u{2066}a\u{2069}\u{200F}\u{61C}", "\\u{2066}a\\u{2069}\\u{200f}\\u{61c}"),
      ("\u{FEFF}a\u{2060}\u{FFFF}", "\\u{feff}a\\u{2060}\\u{ffff}"), ("a\u{E0041}", "a\\u{e0041}"),
    ]
    for (text, written) in cases { #expect(Printable.running(text, lines: true) == written) }
  }

  @Test func linesAreKeptOnlyWhereThereMayBeLines() {
    #expect(Printable.running("a\n\tb", lines: true) == "a\n\tb")
    #expect(Printable.running("a\n\tb", lines: false) == "a\\n\\tb")
    #expect(Printable.running("a\r\nb", lines: false) == "a\\r\\nb")
  }

  /// Joiners, marks, variation selectors, new emoji, private use, right-to-left letters, spaces of any kind.
  @Test(arguments: [
    "plain \\ text ~", "naïve e\u{301}", "میخواهم می\u{200C}خواهم", "שלום", "👩\u{200D}👩\u{200D}👧 ❤\u{FE0F} 🦙 🫠", "日本語 한국어",
    "a\u{A0}b\u{3000}c",
    "soft\u{AD}hyphen", "\u{E0B0}", "\u{FFFD}", "١٢٣ \u{600}",
  ])
  func wordsStayWhole(_ text: String) { #expect(Printable.running(text, lines: false) == text) }

  @Test func columnsAreThoseOfATerminal() {
    #expect(Printable.columns(of: "plain") == 5)
    #expect(Printable.columns(of: "日本 e\u{301}") == 6)
    #expect(Printable.columns(of: "🦙") == 2)
    #expect(Printable.columns(of: "a\u{200D}\u{FE0F}b") == 2)
  }
}
