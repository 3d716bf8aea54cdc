// Screens of runs of images: what keys do there, what the panels say, and what they look like.

import Analysis
import Model
import Routing
import SnapshotSupport
import Support
import Terminal
import Testing

@testable import App

struct DenoisingScreensTests {
  private static let full = Size(width: 120, height: 40)

  private func effects(_ model: inout AppModel, _ keys: String) -> [Effect] {
    keys.split(separator: " ").compactMap { KeyEvent(String($0)) }.flatMap { model.update(.key($0)) }
  }

  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  // MARK: - Pictures of the screens

  @Test(arguments: [
    ("live", ""), ("live-scrubbed", "left left left b [ tab tab tab tab right"), ("token", "left 2 right right j j"), ("uncertainty", "3"),
    ("specialization", "left left 4 j j"), ("specialization-class", "4 a a a a m"), ("experts", "5"), ("expert", "5 enter"),
  ]) func full(_ name: String, _ keys: String) throws {
    var model = try SyntheticImages.model(Self.full)
    model.press(keys)
    expectSnapshot(Painter.draw(model).screen.snapshot, "Screens/images-\(name)-120x40")
  }

  @Test func traceInFull() throws {
    var model = try SyntheticImages.trace()
    model.press("g")
    expectSnapshot(Painter.draw(model).screen.snapshot, "Screens/images-trace-120x40")
  }

  /// Keys to each screen, and to its further panels.
  private static let all = [
    "", "left tab tab tab tab", "2", "3", "4", "4 tab tab", "4 backtab", "5", "5 enter", "6", "7", "8",
  ]

  /// On a large terminal: text only, one file for all.
  @Test func large() throws {
    let size = Size(width: 200, height: 60)
    let pictures = try Self.all.map { keys in
      var model = try SyntheticImages.model(size)
      model.press(keys)
      return Painter.draw(model).screen
    }
    expectSnapshot(
      pictures.map { $0.plainText }.joined(separator: String(repeating: "=", count: size.width) + "\n"), "Screens/images-large-200x60")
  }

  @Test(arguments: ["80x24", "60x20"]) func reduced(_ name: String) throws {
    let size = try #require(Size(name))
    let pictures = try Self.all.map { keys in
      var model = try SyntheticImages.model(size, theme: Theme(depth: .mono, glyphs: .ascii))
      model.press(keys)
      return Painter.draw(model).screen
    }
    for picture in pictures { #expect(!picture.plainText.unicodeScalars.contains { !$0.isASCII }) }
    expectSnapshot(
      pictures.map { $0.plainText }.joined(separator: String(repeating: "=", count: size.width) + "\n"), "Screens/images-mono-ascii-\(name)"
    )
  }

  /// A terminal that shows pictures gets the cells below them blank, but for those that something lies over.
  @Test func picturesAreLeftToATerminalThatShowsThem() throws {
    var model = try SyntheticImages.model(Self.full)
    #expect(Painter.draw(model).pictures.isEmpty)
    model.pictures = .kitty
    let frame = Painter.draw(model)
    #expect(frame.pictures.count == 2 && !frame.screen.plainText.contains("▀"))
    for placed in frame.pictures {
      #expect(placed.picture.width == 32 && !placed.area.isEmpty)
      for y in placed.area.rows { for x in placed.area.columns { #expect(frame.screen[x, y] == .blank) } }
    }
    // Step by step: other pixels, the same place.
    model.press("left")
    let before = Painter.draw(model)
    #expect(before.pictures.map(\.area) == frame.pictures.map(\.area) && before.pictures != frame.pictures)
    model.press("?")
    #expect(Painter.draw(model).pictures.isEmpty && text(model).contains("▀"))
    model.press("esc 3")
    #expect(Painter.draw(model).pictures.isEmpty)
    model.press("1")
    model.size = Size(width: 40, height: 10)
    #expect(Painter.draw(model).pictures.isEmpty)
    (model.size, model.pictures) = (Self.full, .off)
    #expect(!text(model).contains("▀") && text(model).contains("Pictures are off"))
  }

  @Test func halfBlocksWhereThereAreColours() throws {
    var model = try SyntheticImages.model(Self.full)
    #expect(text(model).contains("▀▀▀▀"))
    for theme in [Theme(depth: .ansi16), Theme(glyphs: .ascii), Theme(depth: .mono)] {
      model.theme = theme
      #expect(!text(model).contains("▀▀▀▀"))
    }
  }

  // MARK: - Steps, branches, samples

  @Test func scrubsThroughSteps() throws {
    var model = try SyntheticImages.model()
    #expect(model.look?.step == 4 && model.look?.sample == 5 && model.selected == nil)
    #expect(model.windowRows.count == 64 && model.windowRows == model.look?.rows)
    _ = effects(&model, "left left")
    #expect(model.look?.step == 2 && model.look?.branch == 0)
    #expect(model.buffer?.picture(model.look?.first ?? 0) != nil)
    _ = effects(&model, "right right right")
    #expect(model.selected == nil && model.look?.step == 4)
    _ = effects(&model, "home left")
    #expect(model.look?.sample == 4 && model.look?.step == 9)
    _ = effects(&model, "up up")
    #expect(model.look?.sample == 2 && model.look?.step == 9)
    _ = effects(&model, "shift-left")
    #expect(model.look?.step == 8)
    _ = effects(&model, "end")
    #expect(model.selected == nil)
  }

  @Test func newStepsAreFollowed() throws {
    let events = try SyntheticImages.events()
    var model = AppModel(size: Self.full, theme: Theme())
    for event in events.dropLast(2) { _ = model.update(.engine([event])) }
    #expect(model.look?.step == 2)
    for event in events.suffix(2) { _ = model.update(.engine([event])) }
    #expect(model.look?.step == 4)
    _ = effects(&model, "left")
    #expect(model.look?.step == 3)
  }

  @Test func branchIsSwitchedEverywhere() throws {
    var model = try SyntheticImages.model()
    let conditional = try #require(model.look)
    model.press("4 1 b")
    let free = try #require(model.look)
    #expect(free.branch == 1 && free.first == conditional.first && free.rows.lowerBound == conditional.rows.upperBound)
    #expect(text(model).contains("unconditional") && model.special.results.isEmpty)
    #expect(model.branchCounts?.branch == 1)
    model.press("b")
    #expect(model.look == conditional)
    let alone = try SyntheticImages.model(layout: SyntheticImages.layout(branches: 1))
    #expect(alone.whyNot(.branch)?.contains("no guidance") == true)
  }

  @Test func classIsChosenByNameOrNumber() throws {
    var model = try SyntheticImages.model()
    func classes(_ name: String) -> SampleRequest? {
      for case .engine(.feed(.classes(var feed))) in model.update(.perform(.imageClass, name)) { return feed.next() }
      return nil
    }
    #expect(classes("square")?.classIndex == 1 && classes("2")?.classIndex == 2 && classes("str")?.classIndex == 2)
    #expect(classes("all")?.classIndex == 0)
    // Six images were begun: the next seed has not been used.
    #expect(classes("circle")?.seed == 6)
    #expect(model.log.last?.twin == "moetop run MODEL --class 'circle' --images 1 --seed 6 --steps 10 --cfg 1.5")
    #expect(classes("dragon") == nil && model.message?.role == .warning)
    _ = effects(&model, "c")
    #expect(model.overlay != nil)
    #expect(effects(&model, "s q tab enter").contains { if case .engine(.feed) = $0 { true } else { false } })
    #expect(model.whyNot(.prompt)?.contains("makes images") == true && model.whyNot(.window) != nil)
  }

  @Test func pausingAndSteppingReachTheEngine() throws {
    var model = try SyntheticImages.model()
    guard case .engine(.pause)? = effects(&model, "space").first else { Issue.record("no pause"); return }
    guard case .engine(.step)? = effects(&model, "s").first else { Issue.record("no step"); return }
    guard case .engine(.resume)? = effects(&model, "space").first else { Issue.record("no resume"); return }
    guard case .engine(.limitRate(20))? = effects(&model, ".").first else { Issue.record("no rate"); return }
    #expect(model.message?.text.contains("steps/s") == true)
  }

  @Test func recordedRunIsPlayedStepByStep() throws {
    var model = try SyntheticImages.trace()
    #expect(text(model).contains("A trace holds routing, not pictures"))
    #expect(model.whyNot(.imageClass) != nil)
    model.now = 10
    _ = effects(&model, "space")
    #expect(model.look?.sample == 0 && model.look?.step == 0 && model.isPlayingSteps)
    model.rate = 2
    for _ in 0..<3 {
      model.now += 0.5
      _ = model.update(.tick)
    }
    #expect(model.look?.step == 3 && model.nextTick != nil)
    _ = effects(&model, "space s")
    #expect(model.look?.step == 4 && !model.isPlayingSteps)
    _ = effects(&model, "space")
    for _ in 0..<80 {
      model.now += 0.5
      _ = model.update(.tick)
    }
    #expect(model.look?.sample == 5 && model.look?.step == 4 && !model.isPlayingSteps && model.nextTick == model.message?.until)
  }

  @Test func findsStepsSamplesAndClasses() throws {
    var model = try SyntheticImages.model()
    model.play(.perform(.find, "step 2"))
    #expect(model.look?.step == 2)
    model.play(.perform(.find, "sample 1"))
    #expect(model.look?.sample == 1)
    model.play(.perform(.find, "stripes"))
    #expect(model.look?.sample == 2)
    model.play(.perform(.find, "e5"))
    #expect(model.expert == 5)
    model.play(.perform(.find, "dragon"))
    #expect(model.message?.role == .warning)
  }

  @Test func patchesAreChosenByMouseAndArrows() throws {
    var model = try SyntheticImages.model()
    let area = try #require(model.panelAreas[.patches])
    let grid = try #require(model.patchGrid(in: Panel.inner(area)))
    let cell = grid.rect(row: 3, column: 5)
    model.play(.mouse(MouseEvent(.press, at: Point(x: cell.x, y: cell.y))))
    #expect(model.patch == 29 && model.expert == model.firstExpert(model.row ?? 0))
    model.press("up right")
    #expect(model.patch == 22)
    #expect(model.row.map { model.tokenText($0) } == "patch (2,6) step 4")
  }

  // MARK: - Specialization

  @Test func axesOfImagesAndTheirReasons() throws {
    var model = try SyntheticImages.model()
    model.press("4")
    #expect(model.facets == [.step, .patch, .patchRow, .patchColumn, .label("class")] && model.special.facet == .step)
    let result = try #require(model.study)
    #expect(result.effect ?? 0 > 0.02 && result.sequences == 5 && result.cells.count == 10)
    // The cell under the cursor is the step looked at.
    #expect(model.cell == 4)
    model.press("left left")
    #expect(model.cell == 2 && model.look?.step == 2)
    model.play(.perform(.axis, "position"))
    #expect(model.message?.text.contains("denoising run") == true && model.special.facet == .step)
    model.play(.perform(.axis, "class"))
    #expect(model.special.resultFacet == .label("class"))
    var words = try SyntheticSession.model(texts: 2)
    words.play(.perform(ScreenID.specialization.action, ""))
    words.play(.perform(.axis, "step"))
    #expect(words.message?.text.contains("no timestep: not a denoising run") == true)
    #expect(words.whyNot(.branch)?.contains("not a denoising run") == true)
  }

  /// Samples end while figures are shown: a class that is new stands among the columns by its name, and the figures stay with theirs.
  @Test func figuresStayWithTheirClassWhenAnotherOneEnds() throws {
    var model = try SyntheticImages.model(samples: 3)  // circle and square are whole, stripes is not
    model.press("4")
    model.play(.perform(.axis, "class"))
    let study = try #require(model.study)
    #expect(study.cells.map(\.name) == ["circle", "square"] && model.cellTable?.names == ["circle", "square"])
    let before = model.lift(in: try #require(model.cellTable))
    let table = CellTable(names: ["blob", "circle", "oval", "square"], counts: Array(repeating: [1, 1, 1, 1], count: 8))
    let after = model.lift(in: table)
    for expert in 0..<8 {
      #expect(after[4 * expert + 1] == before[2 * expert] && after[4 * expert + 3] == before[2 * expert + 1])
      #expect(after[4 * expert] == nil && after[4 * expert + 2] == nil)
    }
  }

  @Test func theLogNamesTheAxisAndClassThatWereChosen() throws {
    var model = try SyntheticImages.model()
    #expect(model.twin(ScreenID.specialization.action)?.hasSuffix("--by step") == true)
    model.press("4")
    model.press("a")
    #expect(model.log.last?.twin.hasSuffix("--by patch") == true)
    model.play(.perform(.axis, "class"))
    #expect(model.log.last?.twin.hasSuffix("--by class") == true)
    model.play(.perform(.axis, "position"))
    #expect(model.log.last?.twin.hasSuffix("--by class") == true, "there is no such axis here")
    #expect(model.twin(.imageClass, "Circ")?.contains("--class 'circle' ") == true && model.twin(.imageClass, "blob") == nil)
  }

  @Test func expertCardCountsByStepAndPlace() throws {
    var model = try SyntheticImages.model()
    let counts = try #require(model.branchCounts)
    // Even experts were drawn to the disc in the middle, low ones to early steps.
    let early = try #require(ExpertWork(0, of: model.routers[0], in: counts))
    let late = try #require(ExpertWork(7, of: model.routers[0], in: counts))
    #expect((early.byStep[0] ?? 0) > (early.byStep[9] ?? 1) && (late.byStep[9] ?? 0) > (late.byStep[0] ?? 1))
    #expect((early.byPatch[27] ?? 0) > (early.byPatch[0] ?? 1))
    #expect(try #require(early.center(columns: 8)).spread < (try #require(late.center(columns: 8))).spread)
    #expect(early.steps(columns: 5).count == 5 && early.steps(columns: 80) == early.byStep)
    let total = try (0..<8).map { try #require(ExpertWork($0, of: model.routers[0], in: counts)?.byStep[3]) }.reduce(0, +)
    #expect(abs(total - 2) < 1e-9)
    // An even choice is what the numbers stand beside.
    var even = early
    even.byPatch = even.byPatch.map { _ in 0.25 }
    let (found, expected) = (try #require(even.center(columns: 8)), ExpertWork.evenCenter(rows: even.byPatch.count / 8, columns: 8))
    #expect(
      abs(found.row - expected.row) < 1e-9 && abs(found.column - expected.column) < 1e-9 && abs(found.spread - expected.spread) < 1e-9)
    model.press("5")
    let card = text(model)
    #expect(card.contains("even (3.5,3.5)  spread 3.2") && card.contains("even 25 %") && card.contains("whole samples"), "\(card)")
    #expect(card.contains("if masked  not tried") && card.contains("label (t)"), "\(card)")
  }

  @Test func aModelThatDecidesOnceAStepSaysSo() throws {
    var model = try SyntheticImages.model(layout: SyntheticImages.layout(grid: 1))
    #expect(text(model).contains("decides once a step"))
    model.press("4")
    #expect(model.facets == [.step, .label("class")])
    #expect(text(model).contains("There are no patches"))
    for key in ["2", "3", "b", "right", "left", "1", "tab", "up"] { model.press(key) }
    #expect(Painter.draw(model).screen.size == model.size)
  }

  /// A run of thousands of samples may hold nothing but its counts.
  @Test func countsAloneAreEnoughForSpecialization() throws {
    let live = try SyntheticImages.model()
    var run = try #require(SyntheticSession.runs().first)
    run.description.routers = live.routers
    run.description.denoising = live.layout
    let counts = try #require(live.buffer?.counts)
    var model = AppModel(size: Self.full, theme: Theme())
    model.play(
      .loading(.opened(run, file: "a.db", sequences: live.buffer?.sequences ?? [], pieces: [:], counts: counts.map { $0.finished })))
    model.play(.loading(.finished(note: nil)))
    #expect(text(model).contains("keeps counts of its samples"))
    model.press("4")
    #expect(model.study?.sequences == 5 && model.cellTable?.names.count == 10)
    model.press("right right a down b")
    #expect(text(model).contains("% of choices") && text(model).contains("keeps counts of its"))
    for key in ["1", "2", "3", "space", "s", "left", "down", "/", "e"] { model.press(key) }
    #expect(Painter.draw(model).screen.size == model.size)
  }

  /// Counts that a trace holds are not counted again from its passes.
  @Test func keptCountsAreCountedOnce() throws {
    let live = try #require(try SyntheticImages.trace().buffer)
    var buffer = RoutingBuffer(routers: live.routers, denoising: live.layout)
    buffer.know(live.counts.map { $0.finished })
    for case .streamed(let part) in try SyntheticImages.events() {
      let isTaken = buffer.append(part.pass)
      #expect(isTaken)
    }
    for branch in 0..<2 {
      #expect(buffer.counts[branch].samples == live.counts[branch].samples)
      let router = live.routers[2].id
      #expect(
        buffer.counts[branch].stepCounts(of: router, unfinished: true) == live.counts[branch].stepCounts(of: router, unfinished: true))
    }
  }

  // MARK: - Bounds

  @Test func picturesAreBoundedByRows() throws {
    let layout = SyntheticImages.layout()
    let summary = SyntheticImages.summary(layers: 1, experts: 8, topK: 2, layout: layout)
    var buffer = RoutingBuffer(routers: summary.routers, denoising: layout, memory: 0)
    for event in try SyntheticImages.events(layers: 1, samples: 4) {
      guard case .streamed(let part) = event else { continue }
      let isTaken = buffer.append(part.pass)
      #expect(isTaken)
      for picture in part.pictures { buffer.note(picture) }
    }
    #expect(buffer.isTruncated && buffer.pictures.count <= buffer.capacity * 5 / 4 / 128 + 1)
    #expect(buffer.pictures.allSatisfy { $0.row >= buffer.first } && buffer.firstRow(sample: 0, step: 0) == nil)
    #expect(buffer.counts.first?.samples.count == 3)
    #expect(buffer.firstRow(sample: 3, step: 4).map { buffer.place($0)?.step } == 4)
  }

  @Test(arguments: [(6, 8, 2, 8), (1, 1, 1, 1), (3, 40, 4, 16)]) func randomKeys(_ shape: (Int, Int, Int, Int)) throws {
    var random = SeededRandom(seed: UInt64(shape.1))
    let layout = SyntheticImages.layout(grid: shape.3, steps: 4)
    var model = try SyntheticImages.model(layers: shape.0, experts: shape.1, topK: shape.2, samples: 2, layout: layout)
    let named = [
      "up", "down", "left", "right", "shift-left", "shift-right", "pgup", "pgdn", "home", "end", "enter", "tab", "backtab", "esc",
    ]
    let sizes = ["120x40", "80x24", "60x16", "200x60", "30x8", "61x17", "100x30"].compactMap { Size($0) }
    for step in 0..<600 {
      switch random.next() % 20 {
      case 0: model.play(.resize(sizes[Int(random.next() % UInt64(sizes.count))]))
      case 1:
        let at = Point(x: Int(random.next() % 125), y: Int(random.next() % 45))
        model.play(.mouse(MouseEvent([.press, .doubleClick, .wheelUp, .wheelDown][Int(random.next() % 4)], at: at)))
      case 2...9: if let key = KeyEvent(named[Int(random.next() % UInt64(named.count))]) { model.play(.key(key), draws: 2) }
      default: model.play(.key(.char(Character(Unicode.Scalar(UInt8(33 + random.next() % 94))))), draws: 2)
      }
      if step % 5 == 0 { #expect(Painter.draw(model).screen.size == model.size) }
    }
  }
}

extension DenoisingCounts {
  /// As a trace keeps them: whole samples only.
  fileprivate var finished: DenoisingCounts {
    (try? DenoisingCounts(layout: layout, branch: branch, tables: routers)) ?? self
  }
}
