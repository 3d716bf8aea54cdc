// One line of typed text: editing keys, history, completion. A value; the caller keeps it and decides what a submit means.

public struct TextField: Hashable, Sendable {
  /// What a key did.
  public enum Outcome: Hashable, Sendable {
    case changed, submitted, cancelled
    /// Not a key of a text field.
    case ignored
  }

  public private(set) var text: String
  /// Characters before the cursor.
  public private(set) var cursor: Int
  /// Earlier entries, oldest first.
  public var history: [String]
  /// What Tab found the last time, when it was more than one.
  public private(set) var candidates: [String] = []
  private var historyPlace: Int?
  private var draft = ""

  public init(_ text: String = "", history: [String] = []) {
    self.text = text
    self.history = history
    cursor = text.count
  }

  public mutating func set(_ text: String) {
    self.text = text
    cursor = text.count
    candidates = []
    historyPlace = nil
  }

  /// Puts text in at the cursor; line ends and other controls become blanks.
  public mutating func insert(_ pasted: String) {
    let clean = String(pasted.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) })
    replace(cursor..<cursor, with: clean)
  }

  /// - Parameter complete: for Tab: whole texts the present one could become. One is taken; of several, what they share.
  public mutating func handle(_ key: KeyEvent, complete: (String) -> [String] = { _ in [] }) -> Outcome {
    if key != .tab { candidates = [] }
    switch key {
    case .enter: return .submitted
    case .escape, .ctrl("c"): return .cancelled
    case .char(let character): replace(cursor..<cursor, with: String(character))
    case .backspace:
      if cursor == 0 { return .ignored }
      replace(cursor - 1..<cursor, with: "")
    case .delete, .ctrl("d"):
      if cursor < text.count { replace(cursor..<cursor + 1, with: "") }
    case .left, .ctrl("b"): cursor = max(0, cursor - 1)
    case .right, .ctrl("f"): cursor = min(text.count, cursor + 1)
    case .home, .ctrl("a"): cursor = 0
    case .end, .ctrl("e"): cursor = text.count
    case .ctrl("u"): replace(0..<cursor, with: "")
    case .ctrl("k"): replace(cursor..<text.count, with: "")
    case .ctrl("w"): replace(wordStart..<cursor, with: "")
    case .up, .ctrl("p"): recall(-1)
    case .down, .ctrl("n"): recall(1)
    case .tab: take(complete(text))
    default: return .ignored
    }
    return .changed
  }

  /// Adds the text to the history, unless it is empty or the last one again.
  public mutating func remember(limit: Int = 200) {
    guard !text.isEmpty, history.last != text else { return }
    history.append(text)
    if history.count > limit { history.removeFirst(history.count - limit) }
  }

  private mutating func replace(_ range: Range<Int>, with new: String) {
    let start = text.index(text.startIndex, offsetBy: range.lowerBound)
    let end = text.index(text.startIndex, offsetBy: range.upperBound)
    let head = text[..<start] + new
    text = String(head + text[end...])
    // A combining mark joins the character before it, so the cursor is counted, not added up.
    cursor = head.count
    historyPlace = nil
  }

  private var wordStart: Int {
    let before = Array(text.prefix(cursor))
    var place = before.count
    while place > 0, before[place - 1] == " " { place -= 1 }
    while place > 0, before[place - 1] != " " { place -= 1 }
    return place
  }

  private mutating func recall(_ step: Int) {
    guard !history.isEmpty else { return }
    let place = (historyPlace ?? history.count) + step
    guard place >= 0 else { return }
    if historyPlace == nil { draft = text }
    let isPast = place >= history.count
    text = isPast ? draft : history[place]
    cursor = text.count
    historyPlace = isPast ? nil : place
  }

  private mutating func take(_ found: [String]) {
    guard var shared = found.first else { return }
    for other in found.dropFirst() { shared = String(zip(shared, other).prefix { $0 == $1 }.map(\.0)) }
    if shared.count > text.count || found.count == 1 {
      text = shared
      cursor = text.count
    }
    candidates = found.count > 1 ? found : []
  }

  /// Draws a label and the text, scrolled so that the cursor is in view.
  /// - Returns: where the terminal's cursor belongs.
  @discardableResult
  public func draw(into screen: inout CellBuffer, _ area: Rect, label: StyledText = "", placeholder: String = "", theme: Theme) -> Point? {
    guard !area.isEmpty else { return nil }
    let row = area.row(0)
    let used = min(screen.draw(label, in: row, theme: theme, base: theme[.accent]), max(0, row.width - 1))
    let room = row.dropping(left: used)
    if text.isEmpty { screen.draw(placeholder, x: room.x + 1, y: room.y, style: theme[.placeholder], clip: room) }
    let before = Printable.width(of: String(text.prefix(cursor)))
    let shift = max(0, before - room.width + 1)
    screen.draw(text, x: room.x - shift, y: room.y, style: theme[.text], clip: room)
    return Point(x: room.x + before - shift, y: room.y)
  }
}
