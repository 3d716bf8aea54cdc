// The grid keeps wide glyphs whole, and a diff applied to the old screen gives the new one.

import Support
import Testing

@testable import Terminal

@Suite struct CellBufferTests {
  private func buffer(_ text: String, width: Int = 6) -> CellBuffer {
    var screen = CellBuffer(size: Size(width: width, height: 1))
    screen.draw(text, x: 0, y: 0)
    return screen
  }

  @Test func overwritingHalfOfAWideGlyphBlanksTheOther() {
    var screen = buffer("日本")
    screen.draw("x", x: 1, y: 0)
    #expect(screen.lines == [" x本  "])
    screen.draw("y", x: 2, y: 0)
    #expect(screen.lines == [" xy   "])
    screen = buffer("a日b")
    screen.draw("本", x: 2, y: 0)
    #expect(screen.lines == ["a 本  "])
    screen = buffer("日本")
    screen.draw("語", x: 1, y: 0)
    #expect(screen.lines == [" 語   "])
  }

  @Test func wideGlyphsAreCutAtEdges() {
    #expect(buffer("aaaaa日").lines == ["aaaaa "])
    var screen = CellBuffer(size: Size(width: 6, height: 1))
    screen.fill(screen.bounds, with: Glyph("."))
    screen.draw("日本語", x: 1, y: 0, clip: Rect(x: 2, y: 0, width: 3, height: 1))
    #expect(screen.lines == [".. 本."])
  }

  @Test func drawingOutsideIsNothing() {
    var screen = CellBuffer(size: Size(width: 3, height: 2))
    let blank = screen
    screen.draw("abc", x: 0, y: 2)
    screen.draw("abc", x: 3, y: 0)
    screen.draw("abc", x: -9, y: -1)
    screen.fill(Rect(x: -5, y: -5, width: 5, height: 20), with: Glyph("x"))
    #expect(screen == blank)
    #expect(screen[99, 99] == .blank)
  }

  @Test func asciiBuffersHoldAscii() {
    var screen = CellBuffer(size: Size(width: 30, height: 1), glyphs: .ascii)
    screen.draw("┌─é日×…·Ĥ−▸█e\u{301}😀ж┐", x: 0, y: 0)
    #expect(screen.lines[0].allSatisfy { $0.isASCII })
    #expect(screen.lines[0].hasPrefix("+-???x~.H->#e??"))
  }

  @Test func styleChangesKeepBothHalvesAlike() {
    var screen = buffer("日本")
    screen.restyle(Rect(x: 1, y: 0, width: 2, height: 1)) { $0.adding(.bold) }
    #expect(screen[0, 0].style == .plain && screen[1, 0].style == .plain)
    #expect(screen[2, 0].style.attributes == .bold && screen[3, 0].style.attributes == .bold)
  }

  @Test func runsAreMinimalAndReaddressedAfterUnsteadyText() {
    let old = CellBuffer(size: Size(width: 20, height: 2))
    var new = old
    new.draw("ab日c│e", x: 2, y: 1)
    #expect(
      new.runs(from: old) == [
        CellRun(row: 1, columns: 2..<4, isSteady: true), CellRun(row: 1, columns: 4..<6, isSteady: false),
        CellRun(row: 1, columns: 6..<9, isSteady: true),
      ])
    #expect(new.runs(from: new).isEmpty)
    #expect(new.runs(from: CellBuffer(size: Size(width: 3, height: 1))).map(\.columns.count).reduce(0, +) == 40)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func applyingADiffGivesTheNewScreen(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let size = Size(width: Int.random(in: 1...17, using: &random), height: Int.random(in: 1...5, using: &random))
    var old = CellBuffer(size: size)
    scribble(on: &old, using: &random)
    var new = seed % 2 == 0 ? old : CellBuffer(size: size)
    scribble(on: &new, using: &random)
    var replayed = old
    let runs = new.runs(from: old)
    for run in runs { replayed.apply(run, from: new) }
    #expect(replayed == new)
    for run in runs {
      for x in run.columns where new[x, run.row] == old[x, run.row] {
        // Only the other half of a wide glyph may ride along.
        #expect(new[x, run.row].glyph.width != 1)
      }
      #expect(!new[run.columns.lowerBound, run.row].glyph.isTrailing)
    }
  }

  private func scribble(on screen: inout CellBuffer, using random: inout SeededRandom) {
    let texts = ["a", "日", "x日y", "e\u{301}", "本語", "│─", "\n", "ж", " ", "😀"]
    for _ in 0..<Int.random(in: 0...30, using: &random) {
      let style = Style(
        foreground: .indexed(UInt8.random(in: 0...3, using: &random)), attributes: Bool.random(using: &random) ? .bold : [])
      let x = Int.random(in: -2...screen.size.width, using: &random)
      let y = Int.random(in: 0..<screen.size.height, using: &random)
      screen.draw(texts[Int.random(in: 0..<texts.count, using: &random)], x: x, y: y, style: style)
      if Int.random(in: 0..<6, using: &random) == 0 {
        screen.restyle(Rect(x: x, y: y, width: 3, height: 2)) { $0.adding(.underline) }
      }
    }
  }
}
