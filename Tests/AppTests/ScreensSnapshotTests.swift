// Pictures of every screen, text and styles, from a session that is the same everywhere.

import SnapshotSupport
import Support
import Terminal
import Testing

@testable import App

struct ScreensSnapshotTests {
  private static let full = Size(width: 120, height: 40)

  private func model(_ size: Size, _ theme: Theme, _ keys: String) throws -> AppModel {
    var model = try SyntheticSession.model(size, theme: theme)
    model.window = 128
    model.press(keys)
    if keys.hasPrefix("8") {
      model.play(
        .runs(
          .success(
            SyntheticSession.runs().map { run in
              var run = run
              run.description.startedAt = 0
              return run
            }), file: "/data/traces.db"))
    }
    if keys.hasPrefix("O") {
      model.play(.models(try SyntheticSession.shelf()))
      model.press(String(keys.dropFirst()))
    }
    return model
  }

  /// Each screen in full, with styles.
  @Test(arguments: [
    ("live", "1"), ("live-selected", "shift-left shift-left j j l l l"), ("token", "2 j j"), ("uncertainty", "3"),
    ("specialization", "4 j"),
    ("runs", "8"), ("help", "?"), ("palette", ": t o k"), ("live-importance", "m o"), ("models", "O j"),
  ]) func full(_ name: String, _ keys: String) throws {
    expectSnapshot(Painter.draw(try model(Self.full, Theme(), keys)).screen.snapshot, "Screens/\(name)-120x40")
  }

  /// Smaller, in ASCII and without colour: text only, one file a size.
  @Test(arguments: ["80x24", "60x20"]) func reduced(_ text: String) throws {
    let size = try #require(Size(text))
    let theme = Theme(depth: .mono, glyphs: .ascii)
    let pictures = try ["1", "2", "3", "4", "8", "?", "O"].map { Painter.draw(try model(size, theme, $0)).screen }
    for picture in pictures { #expect(!picture.plainText.unicodeScalars.contains { !$0.isASCII }) }
    expectSnapshot(
      pictures.map { $0.plainText }.joined(separator: String(repeating: "=", count: size.width) + "\n"), "Screens/mono-ascii-\(text)")
  }

  @Test func tooSmallSaysBothSizes() throws {
    let text = Painter.draw(try model(Size(width: 40, height: 10), Theme(), "1")).screen.plainText
    #expect(text.contains("60x16") && text.contains("40x10"))
  }

  @Test func sixteenColoursAndLight() throws {
    for theme in [Theme(depth: .ansi16), Theme(depth: .direct), Theme(depth: .indexed256, appearance: .light)] {
      let drawn = Painter.draw(try model(Self.full, theme, "1")).screen
      #expect(drawn.plainText.contains("Next token"))
    }
  }

  @Test func scriptsAreRepeatable() throws {
    let screens = try (0..<2).map { _ in Painter.draw(try model(Self.full, Theme(), "3 j j enter")).screen.snapshot }
    #expect(screens[0] == screens[1])
  }
}
