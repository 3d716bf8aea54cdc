// Routers of more experts than a screen has columns, runs of more layers than it has lines, and screens with more room than both need: all
// is drawn or said to be left out, and what is computed is computed once.

import Routing
import Support
import Terminal
import Testing

@testable import App

struct LargeShapesTests {
  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  /// Columns of the first row of the heat map that are drawn as heat.
  private func heatColumns(_ model: AppModel) throws -> Int {
    let area = try #require(model.panelAreas[.heat])
    let map = model.heatMap(model.windowTallies(), width: Panel.inner(area).width)
    return map.geometry(in: Panel.inner(area).dropping(bottom: 1), theme: model.theme).columns.count
  }

  @Test(arguments: ["200x60", "120x40", "80x24", "60x16"]) func moreExpertsThanColumnsShareThem(_ text: String) throws {
    let size = try #require(Size(text))
    var model = try SyntheticSession.model(size, layers: 2, experts: 512, topK: 8, texts: 2)
    let bin = model.heatBin
    #expect(bin > 1 && self.text(model).contains("mean of \(bin) experts"), "\(self.text(model))")
    #expect(try heatColumns(model) == (511 + bin) / bin, "every expert is in a column")
    // To the right a column at a time, to the last one and no further.
    for _ in 0..<600 { model.press("l") }
    #expect(model.expert == 511 / bin * bin)
    model.press("h")
    #expect(model.expert == (511 / bin - 1) * bin)
    model.play(.perform(.bin, "1"))
    #expect(model.heatBin == 1 && self.text(model).contains("columns "), "\(self.text(model))")
    model.play(.perform(.bin, "256"))
    #expect(try heatColumns(model) == 2)
    model.play(.perform(.bin, "auto"))
    #expect(model.heatBin == bin)
    model.play(.perform(.bin, "many"))
    #expect(model.message?.role == .warning)
  }

  /// A column's value is the mean of its experts', by index and by load.
  @Test func aColumnIsTheMeanOfItsExperts() throws {
    var model = try SyntheticSession.model(layers: 1, experts: 64, topK: 4, texts: 2)
    let tallies = model.windowTallies()
    let load = try #require(tallies[0].shape.load)
    for order in ["index", "load"] {
      let face = model.liveFace(tallies, bin: 8)
      let placed = order == "index" ? load : load.sorted(by: >)
      for column in 0..<8 {
        let mean = placed[column * 8..<column * 8 + 8].reduce(0, +) / 8
        #expect(abs(try #require(face.value(0, column)) - mean) < 1e-12)
      }
      #expect(face.value(0, 8) == nil)
      model.press("o")
    }
  }

  @Test func aQuarterOfAMillionExpertsAreDrawn() throws {
    var model = AppModel(size: Size(width: 200, height: 60), theme: Theme())
    let experts = 262_144
    _ = model.update(.engine([.opened(SyntheticSession.summary(layers: 1, experts: experts, topK: 8))]))
    var tokens = TokenTable(firstToken: 0)
    var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: experts, topK: 8, firstToken: 0, count: 4)
    for token in 0..<4 {
      tokens.append(sequence: 0, position: token, tokenID: 1, phase: .prefill)
      for slot in 0..<8 {
        batch.selectedExperts[token * 8 + slot] = Int32(experts - 1 - slot * 1000 - token)
        batch.routingWeights[token * 8 + slot] = 0.125
      }
    }
    _ = model.update(.engine([.streamed(StreamPart(pass: RoutingPass(tokens: tokens, batches: [batch]), draws: [], pieces: [:]))]))
    #expect(text(model).contains("mean of \(Show.grouped(model.heatBin)) experts"), "\(text(model))")
    #expect(try heatColumns(model) > 100)
    model.press("o $ l l l m m 2 3 1")
    #expect(Painter.draw(model).screen.size == model.size)
  }

  /// Wherever layers are left out, the panel says which are shown.
  @Test(arguments: ["200x60", "120x40", "100x30", "80x24", "60x16"]) func layersBeyondTheHeightLeaveASign(_ text: String) throws {
    let size = try #require(Size(text))
    var model = try SyntheticSession.model(size, layers: 130, experts: 8, topK: 2, texts: 1)
    for key in ["1", "2", "3 tab tab", "1 G", "2 G"] {
      model.press(key)
      let drawn = self.text(model)
      #expect(drawn.contains(/rows \d+-\d+ of 130/), "\(text), \(key): \(drawn)")
    }
    // Six layers at the smallest size there is.
    var small = try SyntheticSession.model(size)
    for key in ["1", "2", "3"] {
      small.press(key)
      let drawn = self.text(small)
      let areas = small.panelAreas
      guard let area = areas[.heat] ?? areas[.probabilities], Panel.inner(area).height < 8 else { continue }
      let isWhole = (0..<6).allSatisfy { drawn.contains("L0\($0)") }
      #expect(isWhole || drawn.contains(/rows \d+-\d+ of 6/), "\(text), \(key): \(drawn)")
    }
  }

  /// Where there is room, rows of maps are several lines high: less than half of the panel stays empty.
  @Test func roomIsUsed() throws {
    var model = try SyntheticSession.model(Size(width: 200, height: 60))
    for (key, panel) in [("1", PanelID.heat), ("2", .probabilities), ("4", .cells)] {
      model.press(key)
      let inside = Panel.inner(try #require(model.panelAreas[panel]))
      let screen = Painter.draw(model).screen
      let used = inside.rows.count { y in inside.columns.contains { screen[$0, y].style.background != .default } }
      #expect(used * 2 > inside.height, "\(panel): \(used) of \(inside.height) lines hold cells")
    }
  }

  /// What is shown is folded once: another frame of the same stretch asks for nothing.
  @Test func talliesAreKept() {
    let memo = Memo<Int, Int>()
    var computed = 0
    func answer(_ question: Int) -> Int {
      memo.answer(question) {
        computed += 1
        return $0 * 2
      }
    }
    #expect([answer(1), answer(1), answer(2), answer(2), answer(1)] == [2, 2, 4, 4, 2] && computed == 3)
  }

  /// Sums over any stretch are those over its rows one by one, whatever was asked before.
  @Test func piecesSumToTheirRows() {
    let pieces = FoldedRows.Pieces()
    var asked = 0
    func row(_ row: Int) -> [Double] { [Double(row), Double(row * row)] }
    var random = SeededRandom(seed: 3)
    for _ in 0..<300 {
      let start = Int(random.next() % 200)
      let rows = start..<start + 1 + Int(random.next() % 60)
      let sums = pieces.sum(router: 0, rows: rows) { part in
        asked += part.count
        return part.reduce(into: [0, 0]) { sums, next in for place in 0..<2 { sums[place] += row(next)[place] } }
      }
      #expect(sums == rows.reduce(into: [0, 0]) { sums, next in for place in 0..<2 { sums[place] += row(next)[place] } })
    }
    #expect(asked < 1000, "each row is asked for twice at most: alone and with its neighbours")
    #expect(pieces.sum(router: 1, rows: 0..<9) { $0.contains(8) ? nil : [1] } == nil)
  }

  /// Importance of a stretch does not depend on what was looked at before, nor on copies that grew otherwise.
  @Test func importanceDoesNotDependOnThePast() throws {
    var walked = try SyntheticSession.model(texts: 8)
    walked.press("m")
    for step in 0..<40 {
      walked.play(.perform(.token, "\(310 - step * 7)"))
      _ = Painter.draw(walked)
    }
    var fresh = try SyntheticSession.model(texts: 8)
    fresh.press("m")
    fresh.play(.perform(.token, "\(310 - 39 * 7)"))
    for (one, other) in zip(walked.windowTallies(), fresh.windowTallies()) {
      let shares = try zip(#require(one.importance), #require(other.importance))
      #expect(shares.allSatisfy { abs($0 - $1) < 1e-12 })
    }
    var copy = walked.buffer
    let before = copy?.version
    func grow(_ buffer: inout RoutingBuffer?) throws {
      let part = try SyntheticSession.events(texts: 9).compactMap { if case .streamed(let part) = $0 { part } else { nil } }
      let next = try #require(part.first { $0.pass.tokens.firstToken == buffer?.end })
      #expect(buffer?.append(next.pass) == true)
    }
    try grow(&copy)
    #expect(copy?.version != before && walked.buffer?.version == before)
  }
}
