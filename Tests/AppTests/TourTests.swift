// The tour: it begins when there is something to see, goes on by itself and by keys, and is left where it is.

import Analysis
import Routing
import Support
import Terminal
import Testing

@testable import App

struct TourTests {
  private func begun(_ size: Size = Size(width: 120, height: 40), images: String? = "/data/dit") throws -> AppModel {
    var model = AppModel(size: size, theme: Theme())
    model.now = 100
    model.tour = Tour(text: "/data/olmoe", images: images)
    for event in try SyntheticSession.events(texts: 4) { model.play(.engine([event])) }
    model.overlay = nil
    return model
  }

  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  @Test func goesOnByItselfForAMinute() throws {
    var model = try begun()
    #expect(model.tour?.place == 0 && text(model).contains("1 of 8 · What a router is"))
    var screens: [ScreenID] = []
    let start = model.now
    while let due = model.tour?.due, model.now < start + 200 {
      screens.append(model.screen)
      model.now = due
      let effects = model.update(.tick)
      for case .open(let path) in effects { #expect(path == "/data/dit") }
    }
    #expect(model.tour == nil && model.now - start == 60, "sixty seconds: \(model.now - start)")
    #expect(screens.prefix(6) == [.live, .live, .token, .uncertainty, .specialization, .experts])
    #expect(model.message?.text.contains("the tour is over") == true)
  }

  @Test func keysGoOnAndLeave() throws {
    var model = try begun()
    model.press("space space")
    #expect(model.screen == .token && model.selected != nil)
    model.press("left")
    #expect(model.tour?.place == 1)
    model.press("esc")
    #expect(model.tour == nil && !text(model).contains("leaves the tour"))
    // Any other key ends it and does what it does.
    var other = try begun(images: nil)
    #expect(other.tour?.stops.count == 7)
    other.press("3")
    #expect(other.tour == nil && other.screen == .uncertainty)
  }

  @Test(arguments: ["60x16", "80x24", "200x60", "30x8"]) func isDrawnAtEverySize(_ name: String) throws {
    let size = try #require(Size(name))
    var model = try begun(size)
    for _ in 0..<9 {
      #expect(Painter.draw(model).screen.size == size)
      model.press("space")
    }
  }
}
