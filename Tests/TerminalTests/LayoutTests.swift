// Rectangles and how they are cut.

import Testing

@testable import Terminal

@Suite struct LayoutTests {
  @Test(
    arguments: [
      ([.fixed(3), .flex(), .fixed(1)], 10, 0, [3, 6, 1]), ([.flex(), .flex()], 9, 0, [5, 4]), ([.flex(2), .flex(1)], 9, 0, [6, 3]),
      ([.fixed(8), .fixed(8)], 10, 0, [8, 2]), ([.min(4), .flex()], 10, 0, [7, 3]), ([.max(3), .flex()], 10, 0, [3, 7]),
      ([.max(3), .max(3)], 10, 0, [3, 3]), ([.flex(), .flex()], 10, 2, [4, 4]), ([.flex()], 0, 0, [0]), ([], 5, 0, []),
      ([.fixed(-3), .flex(0)], 5, 0, [0, 0]),
    ] as [([Constraint], Int, Int, [Int])])
  func lengths(_ constraints: [Constraint], _ total: Int, _ spacing: Int, _ lengths: [Int]) {
    #expect(Rect.lengths(constraints, total: total, spacing: spacing) == lengths)
  }

  @Test func partsTile() {
    let area = Rect(x: 2, y: 1, width: 20, height: 10)
    let rows = area.split(rows: [.fixed(1), .flex(), .fixed(2)])
    #expect(rows.map(\.y) == [1, 2, 9] && rows.map(\.height) == [1, 7, 2] && rows.allSatisfy { $0.width == 20 && $0.x == 2 })
    let columns = area.split(columns: [.flex(), .fixed(5)], spacing: 1)
    #expect(columns.map(\.x) == [2, 17] && columns.map(\.width) == [14, 5])
  }

  @Test func rectangles() {
    let area = Rect(x: 0, y: 0, width: 10, height: 4)
    #expect(area.inset(dx: 6, dy: 1).isEmpty)
    #expect(area.centered(Size(width: 4, height: 2)) == Rect(x: 3, y: 1, width: 4, height: 2))
    #expect(area.centered(Size(width: 99, height: 99)) == area)
    #expect(area.row(4).isEmpty && area.row(3).y == 3)
    #expect(area.intersection(Rect(x: 20, y: 0, width: 5, height: 5)).isEmpty)
    #expect(Size("120x40") == Size(width: 120, height: 40))
    #expect(Size("120") == nil && Size("-1x4") == nil && Size("axb") == nil && Size("1x2x3") == nil)
  }

  @Test func lists() {
    var state = ListState()
    state.move(.down, count: 3, page: 10)
    state.move(.last, count: 100, page: 10)
    #expect(state.selected == 99 && state.offset == 90)
    state.move(.pageUp, count: 100, page: 10)
    #expect(state.selected == 89 && state.offset == 89)
    state.move(.halfDown, count: 100, page: 10)
    #expect(state.selected == 94 && state.offset == 89)
    state.settle(count: 5, page: 10)
    #expect(state.selected == 4 && state.offset == 0)
    state.move(.up, count: 0, page: 0)
    #expect(state.selected == 0 && state.offset == 0)
    state.toggleMark()
    #expect(state.marked == [0])
  }

  @Test(arguments: [
    (KeyEvent.up, ListMotion.up), (.char("k"), .up), (.char("j"), .down), (.pageDown, .pageDown), (.ctrl("u"), .halfUp), (.home, .first),
    (.char("G"), .last),
  ])
  func motions(_ key: KeyEvent, _ motion: ListMotion) {
    #expect(ListMotion(key) == motion)
    #expect(ListMotion(.char("x")) == nil)
  }
}
