// One line of typed text: editing keys, history, completion. A value; the caller keeps it and decides what a submit means.

public struct TextField: Hashable, Sendable {
  /// What a key did.
  public enum Outcome: Hashable, Sendable {
    case changed, submitted, cancelled
    /// Not a key of a text field.
    case ignored
  }

  /// What stands before the cursor.
  private var head: String
  /// What stands behind it, nearest last: a key changes the two ends that meet at the cursor and copies nothing.
  private var tail: [Character] = []
  /// Earlier entries, oldest first.
  public var history: [String]
  /// What Tab found the last time, when it was more than one.
  public private(set) var candidates: [String] = []
  private var historyPlace: Int?
  private var draft = ""
  /// What stands in it was put there by the program: it gives way to the first character typed.
  public private(set) var isSuggestion: Bool

  /// Whether what stands in it is an earlier entry, as it was.
  public var isRecalled: Bool { historyPlace != nil }

  public init(_ text: String = "", history: [String] = [], isSuggestion: Bool = false) {
    head = text
    self.history = history
    self.isSuggestion = isSuggestion && !text.isEmpty
  }

  /// - Complexity: O(length); keys need none of it.
  public var text: String { tail.isEmpty ? head : head + String(tail.reversed()) }
  public var isEmpty: Bool { head.isEmpty && tail.isEmpty }
  /// Characters before the cursor.
  public var cursor: Int { head.count }

  public mutating func set(_ text: String) {
    put(text)
    candidates = []
    historyPlace = nil
  }

  private mutating func put(_ text: String) { (head, tail) = (text, []) }

  /// Puts text in at the cursor; line ends and other controls become blanks.
  public mutating func insert(_ pasted: String) {
    giveWay()
    // A combining mark joins the character before it.
    head.unicodeScalars.append(contentsOf: pasted.unicodeScalars.lazy.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 })
    historyPlace = nil
  }

  /// - Parameter complete: for Tab: whole texts the present one could become. One is taken; of several, what they share.
  public mutating func handle(_ key: KeyEvent, complete: (String) -> [String] = { _ in [] }) -> Outcome {
    if key != .tab { candidates = [] }
    // Whoever moves the cursor means to change what is there.
    defer { isSuggestion = false }
    switch key {
    case .enter: return .submitted
    case .escape, .ctrl("c"): return .cancelled
    case .char(let character):
      giveWay()
      edit { $0.head.append(character) }
    case .backspace:
      if head.isEmpty { return .ignored }
      if isSuggestion { giveWay() } else { edit { $0.head.removeLast() } }
    case .delete, .ctrl("d"): if !tail.isEmpty { edit { $0.tail.removeLast() } }
    case .left, .ctrl("b"): if let character = head.popLast() { tail.append(character) }
    case .right, .ctrl("f"): if let character = tail.popLast() { head.append(character) }
    case .home, .ctrl("a"):
      tail.append(contentsOf: head.reversed())
      head = ""
    case .end, .ctrl("e"): put(text)
    case .ctrl("u"): edit { $0.head = "" }
    case .ctrl("k"): edit { $0.tail = [] }
    case .ctrl("w"): edit { $0.removeWord() }
    case .up, .ctrl("p"): recall(-1)
    case .down, .ctrl("n"): recall(1)
    case .tab: take(complete(text))
    default: return .ignored
    }
    return .changed
  }

  /// Adds the text, or what it stands for, to the history, unless it is empty or the last one again.
  public mutating func remember(_ meaning: String? = nil, limit: Int = 200) {
    let text = meaning ?? text
    guard !text.isEmpty, history.last != text else { return }
    history.append(text)
    if history.count > limit { history.removeFirst(history.count - limit) }
  }

  /// A suggestion goes.
  private mutating func giveWay() {
    if isSuggestion { put("") }
    isSuggestion = false
  }

  private mutating func edit(_ change: (inout TextField) -> Void) {
    change(&self)
    historyPlace = nil
  }

  private mutating func removeWord() {
    while head.last == " " { head.removeLast() }
    while let last = head.last, last != " " { head.removeLast() }
  }

  private mutating func recall(_ step: Int) {
    guard !history.isEmpty else { return }
    let place = (historyPlace ?? history.count) + step
    guard place >= 0 else { return }
    if historyPlace == nil { draft = text }
    let isPast = place >= history.count
    put(isPast ? draft : history[place])
    historyPlace = isPast ? nil : place
  }

  private mutating func take(_ found: [String]) {
    guard var shared = found.first else { return }
    for other in found.dropFirst() { shared = String(zip(shared, other).prefix { $0 == $1 }.map(\.0)) }
    if shared.count > text.count || found.count == 1 { put(shared) }
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
    if isEmpty { screen.draw(placeholder, x: room.x + 1, y: room.y, style: theme[.placeholder], clip: room) }
    // From the cursor outwards, so that a long text costs no more than what is seen of it.
    var shown = ""
    var before = 0
    for character in head.reversed() {
      let wide = Printable.width(of: String(character))
      guard before + wide < room.width else { break }
      shown.insert(character, at: shown.startIndex)
      before += wide
    }
    shown += String(tail.suffix(room.width).reversed())
    screen.draw(shown, x: room.x, y: room.y, style: theme[isSuggestion ? .selection : .text], clip: room)
    return Point(x: room.x + before, y: room.y)
  }
}
