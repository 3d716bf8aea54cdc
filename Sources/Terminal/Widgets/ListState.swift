// Movement in lists and grids: the same keys everywhere, as one table. Selection and scroll are plain state of the caller.

/// A step in a list.
public enum ListMotion: Hashable, Sendable {
  case up, down, pageUp, pageDown, halfUp, halfDown, first, last

  /// The keys of every list.
  public init?(_ key: KeyEvent) {
    switch key {
    case .up, .char("k"): self = .up
    case .down, .char("j"): self = .down
    case .pageUp: self = .pageUp
    case .pageDown: self = .pageDown
    case .ctrl("u"): self = .halfUp
    case .ctrl("d"): self = .halfDown
    case .home, .char("g"): self = .first
    case .end, .char("G"): self = .last
    default: return nil
    }
  }
}

/// Which row is selected, which is the first shown, and which are marked.
public struct ListState: Hashable, Sendable {
  public var selected: Int
  public var offset: Int
  public var marked: Set<Int>

  public init(selected: Int = 0, offset: Int = 0, marked: Set<Int> = []) {
    self.selected = selected
    self.offset = offset
    self.marked = marked
  }

  /// Moves the selection; stops at the ends. An empty list keeps row 0.
  public mutating func move(_ motion: ListMotion, count: Int, page: Int) {
    let page = max(1, page)
    switch motion {
    case .up: selected -= 1
    case .down: selected += 1
    case .pageUp: selected -= page
    case .pageDown: selected += page
    case .halfUp: selected -= max(1, page / 2)
    case .halfDown: selected += max(1, page / 2)
    case .first: selected = 0
    case .last: selected = count - 1
    }
    settle(count: count, page: page)
  }

  /// Keeps the selection inside the list and on the page: after the list or the screen changed.
  public mutating func settle(count: Int, page: Int) {
    selected = max(0, min(selected, count - 1))
    offset = ListState.offset(offset, showing: selected, count: count, page: page)
  }

  /// Marks the selected row, or takes its mark away.
  public mutating func toggleMark() {
    if marked.remove(selected) == nil { marked.insert(selected) }
  }

  /// The first row to show so that one is visible and no page is half empty without need.
  public static func offset(_ offset: Int, showing selected: Int, count: Int, page: Int) -> Int {
    let page = max(1, page)
    let lowest = max(0, min(offset, count - page))
    if selected < lowest { return max(0, selected) }
    if selected >= lowest + page { return selected - page + 1 }
    return lowest
  }
}
