// Ten thousand random keys over all screens at all sizes: nothing traps, and the program is left only by the keys that leave it.

import Support
import Terminal
import Testing

@testable import App

struct ScreensFuzzTests {
  private static let named = [
    "up", "down", "left", "right", "shift-left", "shift-right", "pgup", "pgdn", "home", "end", "enter", "tab", "backtab", "esc", "space",
    "backspace", "ctrl-d", "ctrl-u", "ctrl-l", "f1", "f3",
  ]
  private static let sizes = ["120x40", "80x24", "60x16", "60x20", "200x60", "30x8", "1x1", "0x0", "100x30", "61x17"]

  private func key(_ random: inout SeededRandom) -> KeyEvent {
    if random.next() % 3 == 0, let key = KeyEvent(Self.named[Int(random.next() % UInt64(Self.named.count))]) { return key }
    return .char(Character(Unicode.Scalar(UInt8(33 + random.next() % 94))))
  }

  @Test(arguments: [(6, 16, 2), (1, 1, 1), (3, 70, 8), (12, 8, 2)]) func randomKeys(_ shape: (Int, Int, Int)) throws {
    var random = SeededRandom(seed: UInt64(shape.1))
    var model = try SyntheticSession.model(layers: shape.0, experts: shape.1, topK: shape.2, texts: 2)
    for step in 0..<2500 {
      switch random.next() % 40 {
      case 0: if let size = Size(Self.sizes[Int(random.next() % UInt64(Self.sizes.count))]) { model.play(.resize(size)) }
      case 1:
        let at = Point(x: Int(random.next() % 125), y: Int(random.next() % 45))
        let kinds: [MouseEvent.Kind] = [.press, .release, .drag, .doubleClick, .wheelUp, .wheelDown]
        model.play(.mouse(MouseEvent(kinds[Int(random.next() % 6)], at: at)))
      case 2: model.play(.paste("a\nb\u{1B}[2J"))
      case 3:
        model.now += 3
        model.play(.tick)
      default: model.play(.key(key(&random)), draws: 2)
      }
      if step % 10 == 0 {
        let drawn = Painter.draw(model)
        #expect(drawn.screen.size == model.size)
      }
    }
  }

  @Test(arguments: sizes) func emptySessionIsDrawn(_ text: String) throws {
    let size = try #require(Size(text))
    for depth in ColorDepth.allCases {
      var model = AppModel(size: size, theme: Theme(depth: depth, glyphs: depth == .mono ? .ascii : .utf8))
      for key in ["1", "2", "3", "4", "5", "6", "7", "8", "?", "esc", ":", "esc", "space", "s", "e", "esc", "!", "/"] { model.press(key) }
      #expect(Painter.draw(model).screen.size == size)
    }
  }
}
