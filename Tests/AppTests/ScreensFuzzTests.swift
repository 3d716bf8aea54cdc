// Seeded events over all screens at all sizes, of texts, of images, live and recorded: keys, clicks, pastes, sizes, time. Nothing traps, and
// every row is exactly as wide as the terminal, whatever tokens hold. MOETOP_FUZZ=full makes a hundred thousand of them.

import Foundation
import Routing
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
  /// Lines for the palette that random letters seldom spell.
  private static let commands = [
    "bin 3", "bin auto", "token 7", "layer 1", "expert 2", "window all", "threshold q0.9", "filter entropy>0.5", "filter", "theme light",
    "mouse off", "find bank", "class 1",
  ]

  enum Kind: String, CaseIterable, CustomTestStringConvertible {
    case oneByOne, wide, deep, image, recorded, recordedImage

    var testDescription: String { rawValue }

    func session() throws -> AppModel {
      switch self {
      case .oneByOne: return try SyntheticSession.model(layers: 1, experts: 1, topK: 1, texts: 2)
      case .wide: return try SyntheticSession.model(layers: 3, experts: 170, topK: 8, texts: 2)
      case .deep: return try SyntheticSession.model(layers: 24, experts: 8, topK: 2, texts: 2)
      case .image: return try SyntheticImages.model(samples: 3)
      case .recorded: return try SyntheticSession.recorded(SyntheticSession.model(texts: 3))
      case .recordedImage: return try SyntheticSession.recorded(SyntheticImages.model(samples: 3))
      }
    }
  }

  /// Events of one kind of session.
  private static let events = ProcessInfo.processInfo.environment["MOETOP_FUZZ"] == "full" ? 100_000 / Kind.allCases.count : 4000

  private func key(_ random: inout SeededRandom) -> KeyEvent {
    if random.next() % 3 == 0, let key = KeyEvent(Self.named[Int(random.next() % UInt64(Self.named.count))]) { return key }
    return .char(Character(Unicode.Scalar(UInt8(33 + random.next() % 94))))
  }

  @Test(arguments: Kind.allCases) func eventsDrawWholeScreens(_ kind: Kind) throws {
    var random = SeededRandom(seed: UInt64(kind.rawValue.utf8.reduce(7) { $0 * 31 % 65_521 + Int($1) }))
    var model = try kind.session()
    model.buffer?.name(SyntheticSession.hostilePieces)
    for step in 0..<Self.events {
      switch random.next() % 40 {
      case 0: if let size = Size(Self.sizes[Int(random.next() % UInt64(Self.sizes.count))]) { model.play(.resize(size)) }
      case 1:
        let at = Point(x: Int(random.next() % 205), y: Int(random.next() % 65))
        let kinds: [MouseEvent.Kind] = [.press, .release, .drag, .doubleClick, .wheelUp, .wheelDown]
        model.play(.mouse(MouseEvent(kinds[Int(random.next() % 6)], at: at)), draws: 2)
      case 2: model.play(.paste("a\nb\u{1B}[2J漢\u{202E}\u{301}"), draws: 2)
      case 3:
        model.now += 3
        model.play(.tick, draws: 2)
      case 4:
        model.press("esc : ")
        model.play(.paste(Self.commands[Int(random.next() % UInt64(Self.commands.count))]), draws: 2)
        model.press("enter")
      default: model.play(.key(key(&random)), draws: 2)
      }
      if step % 10 == 0 {
        let drawn = Painter.draw(model)
        #expect(drawn.screen.size == model.size)
        let broken = Self.brokenRows(drawn.screen)
        #expect(broken.isEmpty, "step \(step): \(broken)")
      }
    }
  }

  /// Rows whose glyphs do not fill the width, or that hold what a terminal would obey.
  static func brokenRows(_ screen: CellBuffer) -> [String] {
    screen.lines.filter { line in
      var width = 0
      var isObeyed = false
      for scalar in line.unicodeScalars {
        switch ScalarWidth(scalar) {
        case .narrow: width += 1
        case .wide: width += 2
        case .combining: break
        case .escaped: isObeyed = true
        }
      }
      return width != screen.size.width || isObeyed
    }
  }

  /// Every screen of a session whose vocabulary is nothing but what breaks rows.
  @Test(arguments: sizes) func hostileTokensBreakNoRow(_ text: String) throws {
    for theme in [Theme(), Theme(depth: .mono, glyphs: .ascii)] {
      var model = try SyntheticSession.model(try #require(Size(text)), theme: theme, texts: 3)
      model.buffer?.name(SyntheticSession.hostilePieces)
      for key in ["1", "tab", "2", "tab tab", "3", "4", "a", "8", "?", "esc : t", "esc / x"] {
        model.press(key)
        #expect(Self.brokenRows(Painter.draw(model).screen).isEmpty, "\(text), \(key)")
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

extension SyntheticSession {
  /// Wide, combining, turning, controlling, unassigned and broken bytes for every token of the vocabulary.
  static var hostilePieces: [Int32: [UInt8]] {
    let texts: [[UInt8]] = [
      Array("漢字".utf8), Array("e\u{301}\u{302}\u{303}\u{304}".utf8), Array("\u{202E}abc\u{202C}".utf8), [0x1B, 0x5B, 0x32, 0x4A],
      [0xFF, 0xFE, 0x80], [0xE2, 0x82], Array("👩‍👩‍👧‍👦".utf8), Array("\u{FE0F}\u{200D}".utf8), Array("🇩🇪".utf8),
      Array("\t\r\n\u{0}\u{7F}\u{9B}".utf8),
      Array("\u{AD}\u{200B}\u{FEFF}".utf8), Array("ﷺ".utf8), Array("\u{E000}\u{F8FF}".utf8), Array("กำ".utf8),
      Array("각\u{1100}\u{1161}".utf8),
      Array(String(repeating: "漢", count: 90).utf8),
    ]
    return Dictionary(uniqueKeysWithValues: texts.enumerated().map { (Int32($0), $1) })
  }

  /// The same session as if it had been read from a trace.
  static func recorded(_ model: AppModel) -> AppModel {
    var model = model
    var run = runs()[0]
    if let buffer = model.buffer {
      run.tokenCount = buffer.end
      run.description.routers = buffer.routers
      run.description.denoising = buffer.layout
    }
    model.source = .trace(run, file: "/data/traces.db", isLoading: false)
    model.isPaused = true
    return model
  }
}
