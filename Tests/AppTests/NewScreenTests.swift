// A screen that the program does not have, whole: a folder would hold it, and a line would bring it in.

import Analysis
import Support
import Terminal
import Testing

@testable import App

private struct BusiestScreen: Screen {
  var list = ListState()

  static let id = ScreenID("busiest")
  static let title = "Busiest"
  static let keys: [KeyEvent] = [.char("9")]
  static let actions = [ActionEntry(ActionID("top"), "top", "to the busiest layer", keys: [.char("T")])]
  static let panel = PanelID("busiest")

  static func panels(in model: AppModel) -> [PanelID] { [panel] }
  static func bar(in model: AppModel) -> [BarItem] { [BarItem(.down), BarItem(ActionID("top"))] }
  static func status(in model: AppModel) -> [StyledText] { [StyledText("row \(model[BusiestScreen.self].list.selected)")] }

  static func draw(_ painter: inout Painter) {
    let (model, tallies) = (painter.model, painter.model.windowTallies())
    painter.panel(panel, "The busiest expert of each layer") { painter, area in
      let columns = [TableColumn("layer", width: .fixed(6)), TableColumn("expert", width: .flex(8))]
      Table(columns: columns, rowCount: tallies.count, state: model[BusiestScreen.self].list) { row, column in
        let counts = tallies[row].counts
        let most = counts.indices.max { counts[$0] < counts[$1] } ?? 0
        return column == 0 ? StyledText(model.layerName(row)) : StyledText(model.expertName(most))
      }.draw(into: &painter.screen, area, theme: painter.theme)
    }
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    guard id == ActionID("top") else { return nil }
    model[BusiestScreen.self].list = ListState()
    return []
  }

  static func move(_ motion: ActionID, in model: inout AppModel) {
    guard motion == .down else { return }
    model[BusiestScreen.self].list.move(.down, count: model.routers.count, page: 8)
  }
}

struct NewScreenTests {
  /// Tabs, keys, help, palette, bar, mouse and Esc follow by themselves.
  @Test func aScreenIsAFolderAndALine() throws {
    var model = AppModel(size: Size(width: 160, height: 40), theme: Theme(), screens: Screens.all + [BusiestScreen.self])
    for event in try SyntheticSession.events(texts: 2) { _ = model.update(.engine([event])) }
    model.overlay = nil
    model.press("9 j j")
    let text = Painter.draw(model).screen.plainText
    #expect(model.screen == BusiestScreen.id && text.contains("The busiest expert of each layer") && text.contains("row 2"))
    #expect(text.contains("Busiest") && text.contains("T top"))
    model.press("T")
    #expect(model[BusiestScreen.self].list.selected == 0)
    model.press("?")
    #expect(Painter.draw(model).screen.plainText.contains("to the busiest layer"))
    model.press("esc : b u s i")
    #expect(Painter.draw(model).screen.plainText.contains("go to Busiest"))
    model.press("esc esc")
    #expect(model.screen == .live)
    let tab = try #require(Painter.draw(model).screen.plainText.split(separator: "\n").first?.firstRange(of: "Busiest"))
    let line = Painter.draw(model).screen.plainText.split(separator: "\n")[0]
    model.play(.mouse(MouseEvent(.press, at: Point(x: line.distance(from: line.startIndex, to: tab.lowerBound), y: 0))))
    #expect(model.screen == BusiestScreen.id)
    #expect(model.actions.named("busiest") != nil && ActionTable.standard.named("busiest") == nil)
  }
}
