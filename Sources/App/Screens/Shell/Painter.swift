// Draws the model: the lines around every screen here, the panels of each screen in a file of its own, overlays last. Pure: the same
// model gives the same cells, in a terminal, in a test and in a picture.

import Routing
import Terminal

/// A screen being drawn.
struct Painter {
  let model: AppModel
  let theme: Theme
  var screen: CellBuffer
  /// Where the text cursor belongs.
  var cursor: Point?
  /// Pictures that were drawn in cells.
  private var pictures: [PlacedPicture] = []
  /// Where the panels of the screen stand, and which of them has the keys.
  let areas: [PanelID: Rect]
  let focused: PanelID

  private init(_ model: AppModel) {
    self.model = model
    (areas, focused) = (model.panelAreas, model.focused)
    theme = model.theme
    screen = model.theme.buffer(model.size)
  }

  /// The whole screen, where its text cursor is, and the pictures that the terminal is to show over it.
  static func draw(_ model: AppModel) -> (screen: CellBuffer, cursor: Point?, pictures: [PlacedPicture]) {
    var painter = Painter(model)
    painter.draw()
    let pictures = model.pictures == .kitty ? painter.takePictures() : []
    return (painter.screen, painter.cursor, pictures)
  }

  /// A picture, in cells.
  mutating func draw(_ picture: PixelView, in area: Rect) {
    pictures.append(PlacedPicture(picture, in: picture.draw(into: &screen, area, theme: theme)))
  }

  /// Those that nothing lies over leave their cells to the terminal.
  private mutating func takePictures() -> [PlacedPicture] {
    var alone = theme.buffer(model.size)
    let free = pictures.filter { placed in
      placed.picture.draw(into: &alone, placed.area, theme: theme)
      return placed.area.rows.allSatisfy { y in placed.area.columns.allSatisfy { screen[$0, y] == alone[$0, y] } }
    }
    for placed in free { screen.fill(placed.area) }
    return free
  }

  private mutating func draw() {
    guard model.size.holds(Frame.smallest) else {
      TooSmallNotice(needed: Frame.smallest).draw(into: &screen, screen.bounds, theme: theme)
      return
    }
    let frame = Frame(model.size)
    model.tabsLine.draw(into: &screen, frame.tabs, theme: theme)
    model.room.draw(&self)
    if case .entry = model.overlay {
    } else {
      model.keyBar.draw(into: &screen, frame.keys, theme: theme)
    }
    StatusLine(model.statusParts, message: model.message.map { StyledText($0.text.replacing("\n", with: " "), $0.role) })
      .draw(into: &screen, frame.status, theme: theme)
    drawTour(in: frame.body)
    drawOverlay(frame)
  }

  /// Draws a panel's frame, if the panel has room, and hands its inside to `body`.
  mutating func panel(
    _ id: PanelID, _ title: StyledText, footer: StyledText = "", _ body: (inout Painter, Rect) -> Void
  ) {
    guard let area = areas[id] else { return }
    let inner = Panel(title, footer: footer, isFocused: focused == id).draw(into: &screen, area, theme: theme)
    body(&self, inner)
  }

  /// A line in a row of an area; nothing where the area has no such row.
  @discardableResult
  mutating func line(_ row: Int, _ text: StyledText, in area: Rect, _ alignment: Alignment = .left) -> Int {
    screen.draw(text, in: area.row(row), theme: theme, alignment: alignment)
  }

  /// Words instead of numbers there are none of.
  mutating func explain(_ text: String, in area: Rect) {
    for (index, part) in wrapped(text, area.width - 2).enumerated() { line(index, StyledText(part, .dim), in: area.dropping(left: 1)) }
  }

  func wrapped(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, Printable.width(of: last) + 1 + Printable.width(of: String(word)) <= width {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  /// `label   value` rows.
  mutating func facts(_ rows: [(String, StyledText)], in area: Rect, label: Int) {
    for (index, row) in rows.enumerated() {
      line(index, StyledText(row.0, .dim), in: Rect(x: area.x, y: area.y, width: min(label, area.width), height: area.height))
      line(index, row.1, in: area.dropping(left: label + 1))
    }
  }
}

// MARK: - The lines around

extension AppModel {
  var tabsLine: TabsLine {
    var trailing = sourceName
    if isTrace, let row, size.width >= 140 {
      trailing += StyledText(
        look.map { "  sample \($0.sample) step \($0.step)" } ?? "  token \(row) of \(rowRange)")
    }
    return TabsLine(
      screens.map { TabsLine.Tab($0.title, short: $0.short, key: actions[$0.id.action]?.keys.first?.label(theme.glyphs)) },
      active: screens.firstIndex { $0.id == screen } ?? 0,
      trailing: trailing + " ")
  }

  private var barItems: [BarItem] { room.bar(in: self) + ActionTable.fixedBar }

  var keyBar: KeyBar {
    func item(_ item: BarItem) -> KeyBar.Item {
      KeyBar.Item(key: item.keyLabel(actions, theme.glyphs), label: label(item), isEnabled: whyNot(item.id) == nil)
    }
    return KeyBar(room.bar(in: self).map(item), fixed: ActionTable.fixedBar.map(item))
  }

  private func label(_ item: BarItem) -> String {
    if let title = item.title { return title }
    if item.id == .pause, isLive { return isPaused ? "resume" : "pause" }
    if item.id == .pause, isTrace { return isPaused || playhead == nil && !playsSteps ? "play" : "stop" }
    if item.id == .tokenRight { return kind.words.moment }
    return actions[item.id]?.title ?? ""
  }

  /// The action under a column of the key bar.
  func barAction(at x: Int) -> ActionID? {
    guard let item = keyBar.item(at: x, width: size.width) else { return nil }
    return barItems.first { $0.keyLabel(actions, theme.glyphs) == item.key }?.id
  }

  /// What is going on, and what is under the cursor.
  var statusParts: [StyledText] {
    guard room.isOfTheRun else { return room.status(in: self) }
    guard buffer != nil else {
      if case .opening(let name) = source { return [StyledText("opening \(name)")] }
      return [StyledText("nothing is open: \(key(.open)) for the models of this machine, \(key(RunsScreen.id.action)) for recorded runs")]
    }
    var parts = room.status(in: self)
    if let filter { parts.append(StyledText("filter: \(filter.text)", .accent) + StyledText(" (\(room.filterReach))", .dim)) }
    if isLive {
      let done = layout.map { (buffer?.end ?? 0) / ($0.branchCount * $0.patchCount) } ?? buffer?.end ?? 0
      var text = Show.counted(done, kind.words.moment)
      if isPaused {
        text += "  paused"
      } else if let speed = pace.tokensPerSecond(now: now) {
        text += "  \(Show.fixed(speed, 1)) \(kind.words.rate)"
      }
      parts.append(StyledText(text, isPaused ? .warning : nil))
      if case .active(_, _, _, let bytes) = recording, bytes > 0 { parts.append(StyledText("trace \(Show.bytes(bytes))", .dim)) }
    } else if playhead != nil || isPlayingSteps {
      parts.append(
        StyledText(isPaused ? "replay stopped" : "replay at \(rate.map { Show.fixed($0, 0) } ?? "200") \(kind.words.rate)", .accent))
    }
    return parts
  }

  /// Which step of a run of images this is, for screens where no panel says it.
  var stepWords: [StyledText] {
    look.map { [StyledText("\(stepName($0.step)), \(timeName($0.step))  sample \($0.sample)")] } ?? []
  }

  var statusText: String { statusParts.map(\.plain).joined(separator: "   ") }
}
