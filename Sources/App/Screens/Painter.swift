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

  private init(_ model: AppModel) {
    self.model = model
    theme = model.theme
    screen = model.theme.buffer(model.size)
  }

  /// The whole screen, and where its text cursor is.
  static func draw(_ model: AppModel) -> (screen: CellBuffer, cursor: Point?) {
    var painter = Painter(model)
    painter.draw()
    return (painter.screen, painter.cursor)
  }

  private mutating func draw() {
    guard model.size.holds(Frame.smallest) else {
      TooSmallNotice(needed: Frame.smallest).draw(into: &screen, screen.bounds, theme: theme)
      return
    }
    let frame = Frame(model.size)
    model.tabsLine.draw(into: &screen, frame.tabs, theme: theme)
    switch model.screen {
    case .live: drawLive()
    case .token: drawToken()
    case .uncertainty: drawUncertainty()
    case .specialization: drawSpecialization()
    case .runs: drawRuns()
    }
    if case .entry = model.overlay {
    } else {
      model.keyBar.draw(into: &screen, frame.keys, theme: theme)
    }
    StatusLine(model.statusParts, message: model.message.map { StyledText($0.text.replacing("\n", with: " "), $0.role) })
      .draw(into: &screen, frame.status, theme: theme)
    drawOverlay(frame)
  }

  /// Draws a panel's frame, if the panel has room, and hands its inside to `body`.
  mutating func panel(
    _ number: Int, _ title: StyledText, footer: StyledText = "", _ body: (inout Painter, Rect) -> Void
  ) {
    guard let area = model.panelAreas[number] else { return }
    let inner = Panel(title, footer: footer, isFocused: model.focused == number).draw(into: &screen, area, theme: theme)
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
    if isTrace, let row, size.width >= 100 {
      trailing += StyledText(
        look.map { "  sample \($0.sample) step \($0.step)" } ?? "  token \(row) of \(rowRange)")
    }
    return TabsLine(
      Screen.allCases.map { TabsLine.Tab($0.title, short: $0.short) }, active: screen.rawValue - 1, trailing: trailing + " ")
  }

  var keyBar: KeyBar {
    func item(_ id: ActionID) -> KeyBar.Item {
      KeyBar.Item(
        key: ActionTable.barKey(id, on: screen, glyphs: theme.glyphs), label: label(id), isEnabled: whyNot(id) == nil)
    }
    return KeyBar(ActionTable.bar(screen, images: layout != nil).map(item), fixed: ActionTable.fixedBar.map(item))
  }

  private func label(_ id: ActionID) -> String {
    if id == .pause, isLive { return isPaused ? "resume" : "pause" }
    if id == .pause, isTrace, layout != nil || playhead != nil { return isPaused ? "play" : "stop" }
    return ActionTable.title(id, on: screen, isLive: isLive, images: layout != nil)
  }

  /// The action under a column of the key bar.
  func barAction(at x: Int) -> ActionID? {
    guard let item = keyBar.item(at: x, width: size.width) else { return nil }
    return (ActionTable.bar(screen, images: layout != nil) + ActionTable.fixedBar).first {
      ActionTable.barKey($0, on: screen, glyphs: theme.glyphs) == item.key
    }
  }

  /// What is going on, and what is under the cursor.
  var statusParts: [StyledText] {
    guard buffer != nil || screen == .runs else {
      if case .opening(let name) = source { return [StyledText("opening \(name)")] }
      return [StyledText("nothing is open: O for the models of this machine, 5 for recorded runs")]
    }
    var parts: [StyledText] = []
    if screen == .runs { return runsStatus }
    parts.append(screenStatus)
    // Where no panel says it.
    if let look, screen == .specialization || screen == .uncertainty {
      parts.append(StyledText("\(stepName(look.step)), \(timeName(look.step))  sample \(look.sample)"))
    }
    if let filter { parts.append(StyledText("filter: \(filter.text)", .accent)) }
    if isLive {
      let done = layout.map { (buffer?.end ?? 0) / ($0.branchCount * $0.patchCount) } ?? buffer?.end ?? 0
      var text = Show.counted(done, layout == nil ? "token" : "step")
      if isPaused {
        text += "  paused"
      } else if let speed = pace.tokensPerSecond(now: now) {
        text += "  \(Show.fixed(speed, 1)) \(rateUnit)"
      }
      parts.append(StyledText(text, isPaused ? .warning : nil))
      if case .active(_, _, _, let bytes) = recording, bytes > 0 { parts.append(StyledText("trace \(Show.bytes(bytes))", .dim)) }
    } else if playhead != nil || isPlayingSteps {
      parts.append(StyledText(isPaused ? "replay stopped" : "replay at \(rate.map { Show.fixed($0, 0) } ?? "200") \(rateUnit)", .accent))
    }
    return parts
  }

  /// What is counted a second.
  var rateUnit: String { layout == nil ? "tok/s" : "steps/s" }

  var statusText: String { statusParts.map(\.plain).joined(separator: "   ") }

  private var screenStatus: StyledText {
    switch screen {
    case .live: liveStatus
    case .token: tokenStatus
    case .uncertainty: uncertaintyStatus
    case .specialization: specializationStatus
    case .runs: ""
    }
  }
}
