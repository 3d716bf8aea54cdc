// The lines around a screen: tabs on top, status and key bar below. All are cut at whole items, never in the middle.

/// Screens by their keys, the shown one in brackets, and what is loaded at the right end.
public struct TabsLine: Hashable, Sendable {
  public struct Tab: Hashable, Sendable {
    public var title: String
    public var short: String
    /// The key that goes there; nil: its number.
    public var key: String?
    public init(_ title: String, short: String, key: String? = nil) {
      self.title = title
      self.short = short
      self.key = key
    }
  }

  public var tabs: [Tab]
  public var active: Int
  public var trailing: StyledText

  public init(_ tabs: [Tab], active: Int, trailing: StyledText = "") {
    self.tabs = tabs
    self.active = active
    self.trailing = trailing
  }

  /// The tabs as drawn, each with its column: long titles where they fit beside the trailing text, else short ones, else
  /// numbers and the title of the active one. Long ones keep their places when another is active; short ones give up the blanks for that.
  func items(_ width: Int) -> [(x: Int, text: String)] {
    let room = width - (trailing.isEmpty ? 0 : min(trailing.width, width / 4) + 1)
    let forms: [(titles: [String], isSpaced: Bool)] = [
      (tabs.map { " " + $0.title }, true), (tabs.indices.map { " " + ($0 == active ? tabs[$0].title : tabs[$0].short) }, false),
      (tabs.indices.map { $0 == active ? " " + tabs[$0].title : "" }, false), (tabs.map { _ in "" }, false),
    ]
    var placed: [(x: Int, text: String)] = []
    for form in forms {
      var x = 0
      placed = []
      for (index, title) in form.titles.enumerated() {
        let name = "\(tabs[index].key ?? String(index + 1))\(title)"
        let text = index == active ? "[\(name)]" : form.isSpaced ? " \(name) " : name
        placed.append((x, text))
        x += Printable.width(of: text) + (form.isSpaced ? 0 : 1)
      }
      if x <= room { break }
    }
    return placed
  }

  /// The tab at a column of the line; nil where there is none.
  public func tab(at x: Int, width: Int) -> Int? {
    items(width).firstIndex { ($0.x..<$0.x + Printable.width(of: $0.text)).contains(x) }
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let row = area.row(0)
    var end = row.x
    for (index, item) in items(row.width).enumerated() {
      let style = theme[index == active ? .tabActive : .tab]
      end = row.x + item.x + screen.draw(item.text, x: row.x + item.x, y: row.y, style: style, clip: row)
    }
    let rest = row.dropping(left: end - row.x + 1)
    if rest.width >= 4 { screen.draw(trailing, in: rest, theme: theme, base: theme[.text], alignment: .right) }
  }
}

/// What is under the cursor, in words and numbers, and what is going on; parts are dropped from the right, whole.
public struct StatusLine: Hashable, Sendable {
  public var parts: [StyledText]
  /// Replaces the parts: an answer to the last key, an error.
  public var message: StyledText?

  public init(_ parts: [StyledText], message: StyledText? = nil) {
    self.parts = parts
    self.message = message
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    let row = area.row(0).dropping(left: 1)
    if let message {
      screen.draw(message, in: row, theme: theme, base: theme[.status])
      return
    }
    var line = StyledText()
    for part in parts where !part.isEmpty {
      let next = line.isEmpty ? part : line + "   " + part
      if next.width > row.width, !line.isEmpty { break }
      line = next
    }
    screen.draw(line, in: row, theme: theme, base: theme[.status])
  }
}

/// One line of keys and what they do.
public struct KeyBar: Hashable, Sendable {
  public struct Item: Hashable, Sendable {
    public var key: String
    public var label: String
    public var isEnabled: Bool

    public init(key: String, label: String, isEnabled: Bool = true) {
      self.key = key
      self.label = label
      self.isEnabled = isEnabled
    }

    public init(_ key: KeyEvent, _ label: String, glyphs: GlyphSet, isEnabled: Bool = true) {
      self.init(key: key.label(glyphs), label: label, isEnabled: isEnabled)
    }

    var width: Int { Printable.width(of: key) + 1 + Printable.width(of: label) }
  }

  public var items: [Item]
  /// Always shown, at the end: help and quit must not fall off.
  public var fixed: [Item]

  public init(_ items: [Item], fixed: [Item] = []) {
    self.items = items
    self.fixed = fixed
  }

  /// The items that fit, in order.
  func shown(_ width: Int) -> [Item] {
    let tail = fixed.reduce(0) { $0 + $1.width + 2 }
    var left = width - 1 - tail
    let head = items.prefix { item in
      left -= item.width + 2
      return left >= -2
    }
    left = width + 1
    return (head + fixed).filter { item in
      left -= item.width + 2
      return left >= 0
    }
  }

  /// The item at a column; nil between them.
  public func item(at x: Int, width: Int) -> Item? {
    var left = 1
    for item in shown(width) {
      if (left..<left + item.width).contains(x) { return item }
      left += item.width + 2
    }
    return nil
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    var line = StyledText()
    for item in shown(area.width) {
      if !line.isEmpty { line += "  " }
      line += StyledText(item.key, item.isEnabled ? .key : .disabled) + " " + StyledText(item.label, item.isEnabled ? .keyLabel : .disabled)
    }
    screen.draw(line, in: area.row(0).dropping(left: 1), theme: theme)
  }
}
