// What lies over a screen: help with its filter and glossary, the command palette, a line being typed, the log, a question.

import Analysis
import Routing
import Terminal

extension Painter {
  mutating func drawOverlay(_ frame: Frame) {
    switch model.overlay {
    case nil: break
    case .help(let field, let selected): drawHelp(field, selected: selected, in: frame.body)
    case .entry(let kind, let field, let selected): drawEntry(kind, field, selected: selected, frame)
    case .log(let list): drawLog(list, in: frame.body)
    case .models(let list): drawModels(list, in: frame.body)
    case .confirm(let question, _):
      let area = Modal(Panel("Sure?", isFocused: true), size: Size(width: min(70, model.size.width - 4), height: 5)).draw(
        into: &screen, frame.body, theme: theme)
      line(1, StyledText(question, .warning), in: area.dropping(left: 1))
    }
  }

  private mutating func drawHelp(_ field: TextField, selected: Int, in body: Rect) {
    let all = model.actions.entries.count { $0.applies(to: model.screen) }
    let found = model.helpLines(field.text)
    let size = Size(width: min(112, body.width), height: body.height)
    let footer = "\(all) actions here · type to filter, @ then a key to search by key · enter does it · moetop docs keys"
    let inner = Modal(Panel(StyledText("Help · \(model.room.title)"), footer: StyledText(footer), isFocused: true), size: size)
      .draw(into: &screen, body, theme: theme).inset(dx: 1)
    cursor = field.draw(into: &screen, inner.row(0), label: "filter: ", placeholder: "words, or @ and a key", theme: theme)
    func entries(_ lines: [AppModel.HelpLine]) -> [HelpList.Entry] {
      lines.map { HelpList.Entry(keys: $0.keys, text: $0.help, isEnabled: model.whyNot($0.id) == nil) }
    }
    var sections: [HelpList.Section] = []
    let here = found.filter(\.isHere)
    let everywhere = found.filter { !$0.isHere }
    if inner.width >= 90, !here.isEmpty, everywhere.count > here.count + 2 {
      // This screen's actions at the left with the first half of the others below them.
      let left = max(0, (everywhere.count - here.count) / 2)
      sections.append(HelpList.Section("this screen", entries(here + everywhere.prefix(left))))
      sections.append(HelpList.Section("everywhere", entries(Array(everywhere.dropFirst(left)))))
    } else {
      if !here.isEmpty { sections.append(HelpList.Section("this screen", entries(here), isWide: true)) }
      if !everywhere.isEmpty { sections.append(HelpList.Section("everywhere", entries(everywhere), isWide: true)) }
    }
    let words = glossary(field.text)
    if !words.isEmpty, !field.text.hasPrefix("@") { sections.append(HelpList.Section("what the words mean", words, isWide: true)) }
    let disabled = found.compactMap { line in model.whyNot(line.id).map { HelpList.Entry(keys: line.keys, text: $0, isEnabled: false) } }
    if !disabled.isEmpty { sections.append(HelpList.Section("cannot be done now, because", disabled, isWide: true)) }
    HelpList(sections, selected: selected).draw(into: &screen, inner.dropping(top: 2), theme: theme)
  }

  /// The words of the screens; with a filter, all metrics it matches.
  private func glossary(_ filter: String) -> [HelpList.Entry] {
    let shown: [(MetricKey, String)] = [
      (.load, "load"), (.importance, "importance"), (.entropy, "Ĥ"), (.selectionMargin, "margin"), (.uncertain, "uncertain"),
      (.topKMass, "selected mass"), (.loadCV, "load CV"), (.maxOverMean, "max / uniform"), (.idle, "idle experts"), (.overlap, "repeats"),
      (.specialization, "I, effect"),
    ]
    guard !filter.isEmpty else { return shown.map { HelpList.Entry(keys: $0.1, text: MetricCatalog.entry($0.0).glossary) } }
    return MetricCatalog.glossary.filter { $0.term.contains(filter) || $0.text.contains(filter) }.map {
      HelpList.Entry(keys: $0.term, text: $0.text)
    }
  }

  private mutating func drawEntry(_ kind: ActionID, _ field: TextField, selected: Int, _ frame: Frame) {
    let line = model.actions[kind]?.line
    let hint =
      switch kind {
      case .find: model.kind.words.finding
      case .imageClass: model.images.map { $0.classNames.prefix(4).joined(separator: ", ") + " … or all; tab completes" } ?? ""
      default: line?.hint ?? ""
      }
    screen.fill(frame.keys)
    cursor = field.draw(
      into: &screen, frame.keys.dropping(left: 1), label: StyledText(line?.label ?? "", .key), placeholder: hint, theme: theme)
    if kind == .filter { drawTerms(model.filterTerms(field.text), frame) }
    guard kind == .palette else { return }
    let entries = model.paletteEntries(field.text)
    let height = min(entries.count, 16, frame.body.height - 2)
    guard height > 0 else { return }
    let area = Rect(x: 0, y: frame.body.maxY - height - 2, width: min(96, model.size.width), height: height + 2)
    let inner = Panel(
      "Commands", footer: StyledText("\(entries.count) · ↓↑ choose · ^P ^N history · tab completes · enter does it · esc"), isFocused: true
    )
    .draw(into: &screen, area, theme: theme)
    let first = ListState.offset(0, showing: selected, count: entries.count, page: height)
    for (place, index) in entries.indices.dropFirst(first).prefix(height).enumerated() {
      let entry = entries[index]
      let row = inner.row(place)
      let isSelected = index == selected
      let base = isSelected ? theme[.selection] : .plain
      if isSelected { screen.fill(row, style: base) }
      let parts = row.dropping(left: 1).split(columns: [.fixed(26), .fixed(9), .flex()], spacing: 1)
      let name = entry.id.rawValue + (entry.argument.isEmpty ? "" : " " + entry.argument)
      let reason = model.whyNot(entry.id)
      screen.draw(StyledText(name, isSelected ? nil : reason == nil ? .key : .disabled), in: parts[0], theme: theme, base: base)
      screen.draw(
        StyledText(entry.keys.prefix(2).map { $0.label(theme.glyphs) }.joined(separator: " ")), in: parts[1], theme: theme, base: base)
      screen.draw(StyledText(reason ?? entry.help, isSelected || reason == nil ? nil : .disabled), in: parts[2], theme: theme, base: base)
    }
  }

  /// The terms that a filter being typed could go on with.
  private mutating func drawTerms(_ terms: [Filter.TermHelp], _ frame: Frame) {
    let height = min(terms.count, 20, frame.body.height - 2)
    guard height > 0 else { return }
    let area = Rect(x: 0, y: frame.body.maxY - height - 2, width: min(96, model.size.width), height: height + 2)
    let inner = Panel("Terms", footer: "= > < >= <= · ! turns one round · tab completes · ⏎ filters · empty clears · esc", isFocused: true)
      .draw(into: &screen, area, theme: theme)
    for (place, term) in terms.prefix(height).enumerated() {
      let parts = inner.row(place).dropping(left: 1).split(columns: [.fixed(22), .flex()], spacing: 1)
      screen.draw(StyledText(term.form, .key), in: parts[0], theme: theme)
      screen.draw(StyledText(term.words), in: parts[1], theme: theme)
    }
  }

  private mutating func drawLog(_ list: ListState, in body: Rect) {
    let model = model
    let inner = Modal(
      Panel("Log · what was done, as shell commands", footer: "y copies · esc closes", isFocused: true),
      size: Size(width: min(110, body.width), height: min(max(8, model.log.count + 3), body.height))
    ).draw(into: &screen, body, theme: theme)
    Table(
      columns: [TableColumn("action", width: .fixed(34)), TableColumn("from the shell", width: .flex(20))], rowCount: model.log.count,
      state: list, emptyText: "nothing was done yet"
    ) { row, column in column == 0 ? StyledText(model.log[row].action, .dim) : StyledText(model.log[row].twin) }
    .draw(into: &screen, inner, theme: theme)
  }
}
