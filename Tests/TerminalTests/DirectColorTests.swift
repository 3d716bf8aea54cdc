// Which terminfo entry is opened for colours of 24 bits, and how pairs of colours share the numbers there are.

import Testing

@testable import Terminal

struct DirectColorTests {
  private func plan(
    _ choice: DirectColorChoice = .auto, term: String = "xterm-256color", colorterm: String? = "truecolor", color: ColorChoice? = nil,
    entries: [String: Int] = [:]
  ) -> DirectColorPlan {
    var environment = ["TERM": term]
    environment["COLORTERM"] = colorterm
    return DirectColorPlan(choice: choice, color: color, environment: environment) { entries[$0] }
  }

  private static let direct = 1 << 24

  @Test func anEntryIsTakenWhereItIsAnnouncedAndThere() {
    let entries = ["xterm-256color": 256, "xterm-direct": Self.direct, "tmux-direct": Self.direct]
    #expect(plan(entries: entries).term == "xterm-direct" && plan(entries: entries).isDirect)
    #expect(plan(colorterm: "24bit", entries: entries).isDirect)
    #expect(plan(term: "tmux-256color", entries: entries).term == "tmux-direct")
    #expect(plan(term: "xterm-ghostty", entries: entries).term == "xterm-direct")
    #expect(plan(term: "xterm-direct", colorterm: nil, entries: entries).reason.contains("TERM"))
    for (plan, reason) in [
      (plan(colorterm: nil, entries: entries), "COLORTERM is not set"), (plan(colorterm: "yes", entries: entries), "COLORTERM says yes"),
      (plan(.off, entries: entries), "truecolor is off"), (plan(color: .never, entries: entries), "no colours"),
    ] { #expect(!plan.isDirect && plan.term == "xterm-256color" && plan.reason.contains(reason) && plan.missing.isEmpty) }
    #expect(plan(.on, colorterm: nil, entries: entries).isDirect)
  }

  @Test func withoutAnEntryItStaysAsItIs() {
    let none = plan(entries: ["xterm-256color": 256])
    #expect(!none.isDirect && none.term == "xterm-256color" && none.missing == ["xterm-256color-direct", "xterm-direct"])
    #expect(none.reason == "COLORTERM says truecolor, but terminfo has no entry xterm-256color-direct or xterm-direct")
    // The keys of what is no xterm are not those of xterm.
    #expect(plan(term: "foot", entries: ["xterm-direct": Self.direct]).missing == ["foot-direct"])
    // One of that name with fewer colours is none.
    #expect(!plan(entries: ["xterm-direct": 256]).isDirect)
    #expect(TerminfoEntry.colors("no-such-terminal-entry") == nil && TerminfoEntry.colors("") == nil)
  }

  private func colors(_ number: Int) -> PairPool.Colors { PairPool.Colors(foreground: Int32(number), background: -1) }

  @Test func pairsAreNumberedOnce() {
    var pool = PairPool(count: 4)
    #expect(pool.room == 3)
    for number in 0..<3 {
      #expect(pool.number(of: colors(number))?.isNew == true)
      #expect(pool.number(of: colors(number)) ?? (0, true) == (Int32(number + 1), false))
    }
    #expect(pool.room == 0 && pool.number(of: colors(3)) == nil)
    pool.keep(only: [colors(1)])
    #expect(pool.room == 2 && pool.number(of: colors(1)) ?? (0, true) == (2, false))
    let fresh = [pool.number(of: colors(7)), pool.number(of: colors(8))].compactMap { $0 }
    #expect(Set(fresh.map(\.number)) == [1, 3] && fresh.allSatisfy(\.isNew) && pool.room == 0)
    #expect(PairPool(count: 0).room == 0 && PairPool(count: -1).room == 0)
  }
}
