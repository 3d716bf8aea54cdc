// Pictures of every screen, text and styles, from a session that is the same everywhere.

import SnapshotSupport
import Support
import Terminal
import Testing

@testable import App

struct ScreensSnapshotTests {
  private static let full = Size(width: 120, height: 40)

  private func model(_ size: Size, _ theme: Theme, _ keys: String) throws -> AppModel {
    if keys.hasPrefix("6") {
      var (model, folder) = try ComparedFixture.model(size, theme: theme)
      withExtendedLifetime(folder) {}
      model.press(String(keys.dropFirst()))
      return model
    }
    if keys.hasPrefix("7") {
      var model = try TriedFixture.model(size, theme: theme)
      model.press(String(keys.dropFirst()))
      return model
    }
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
    ("experts", "5 j"), ("experts-together", "5 space j space a"), ("uncertain-words", "3 t"), ("compare", "6"), ("interventions", "7"),
    ("runs", "8"), ("help", "?"), ("palette", ": t o k"), ("live-importance", "m o"), ("models", "O j"),
  ]) func full(_ name: String, _ keys: String) throws {
    expectSnapshot(Painter.draw(try model(Self.full, Theme(), keys)).screen.snapshot, "Screens/\(name)-120x40")
  }

  /// Smaller, in ASCII and without colour: text only, one file a size.
  @Test(arguments: ["80x24", "60x20"]) func reduced(_ text: String) throws {
    let size = try #require(Size(text))
    let theme = Theme(depth: .mono, glyphs: .ascii)
    let pictures = try ["1", "2", "3", "4", "5", "5 enter", "6", "6 tab tab", "7", "7 tab tab", "8", "?", "O"].map {
      Painter.draw(try model(size, theme, $0)).screen
    }
    for picture in pictures { #expect(!picture.plainText.unicodeScalars.contains { !$0.isASCII }) }
    expectSnapshot(
      pictures.map { $0.plainText }.joined(separator: String(repeating: "=", count: size.width) + "\n"), "Screens/mono-ascii-\(text)")
  }

  @Test func tooSmallSaysBothSizes() throws {
    let text = Painter.draw(try model(Size(width: 40, height: 10), Theme(), "1")).screen.plainText
    #expect(text.contains("60x16") && text.contains("40x10"))
  }

  /// On a large terminal: text only, one file for all.
  @Test func large() throws {
    let size = Size(width: 200, height: 60)
    let pictures = try ["1", "2", "3", "4", "5", "6", "7", "8", "?"].map { Painter.draw(try model(size, Theme(), $0)).screen }
    expectSnapshot(
      pictures.map { $0.plainText }.joined(separator: String(repeating: "=", count: size.width) + "\n"), "Screens/large-200x60")
  }

  /// Each depth of colour on both backgrounds, with styles: the screen with most heat, and the one with a scale of two ends.
  @Test(arguments: ColorDepth.allCases, Appearance.allCases) func depths(_ depth: ColorDepth, _ appearance: Appearance) throws {
    for (name, keys) in [("live", "1"), ("compare", "6")] {
      let theme = Theme(depth: depth, appearance: appearance)
      let drawn = Painter.draw(try model(Size(width: 100, height: 30), theme, keys)).screen
      expectSnapshot(drawn.snapshot, "Screens/depth-\(name)-\(depth)-\(appearance)")
    }
  }

  @Test func scriptsAreRepeatable() throws {
    let screens = try (0..<2).map { _ in Painter.draw(try model(Self.full, Theme(), "3 j j enter")).screen.snapshot }
    #expect(screens[0] == screens[1])
  }
}
