// The state machine of the screens: what keys do, what they may never do, and that every action can be found.

import Analysis
import Model
import Routing
import Support
import Terminal
import Testing

@testable import App

struct ScreensUpdateTests {
  private func effects(_ model: inout AppModel, _ keys: String) -> [Effect] {
    keys.split(separator: " ").compactMap { KeyEvent(String($0)) }.flatMap { model.update(.key($0)) }
  }

  private func quits(_ effects: [Effect]) -> Bool { effects.contains { if case .quit = $0 { true } else { false } } }

  private static let table = ActionTable.standard
  private static let screens = Screens.all.map { screen in screen.id }

  @Test func everyActionIsDescribedAndReachable() {
    for entry in Self.table.entries {
      #expect(!entry.help.isEmpty && !entry.title.isEmpty && !entry.keyLabel(.utf8).isEmpty, "\(entry.id)")
      #expect(Self.table.named(entry.id.rawValue) == entry.id)
      #expect(!entry.isChosen || !entry.screens.isEmpty, "\(entry.id) is on no screen")
      for key in entry.keys {
        for screen in Self.screens where entry.applies(to: screen) { #expect(Self.table.action(key, on: screen) == entry.id) }
      }
    }
    #expect(Set(Self.table.entries.map(\.id)).count == Self.table.entries.count)
    for screen in Screens.all { for id in screen.uses { #expect(Self.table[id]?.isChosen == true, "\(screen.id) uses \(id)") } }
  }

  @Test(arguments: screens) func oneMeaningAKey(_ screen: ScreenID) {
    let keys = Self.table.entries.filter { $0.applies(to: screen) }.flatMap(\.keys)
    #expect(Set(keys).count == keys.count)
  }

  @Test func decisionsOfALayer() throws {
    var model = try SyntheticSession.model()
    model.press("3 = q 0 . 9 enter t t ] [")
    let list = try #require(model.uncertain.list)
    #expect(model.uncertain.listing == .decisions && list.router == 0)
    let router = model.routers[0].id
    let buffer = try #require(model.buffer)
    let over = buffer.rows.count { row in
      list.threshold.isUncertain(nats: buffer.entropyNats(row, router: 0), normalized: buffer.entropy(row, router: 0))
    }
    #expect(list.uncertainTokens == over && over > 0)
    #expect(list.tokens.allSatisfy { $0.maxEntropyRouter == router && $0.routersOver == 1 })
    model.press("t")
    #expect(model.uncertain.list?.router == nil)
  }

  @Test func opensAModelFromTheList() throws {
    var model = try SyntheticSession.model()
    #expect(effects(&model, "O").contains { if case .findModels = $0 { true } else { false } })
    #expect(Painter.draw(model).screen.plainText.contains("looking through"))
    _ = model.update(.models(try SyntheticSession.shelf()))
    // What does not run is not opened, and says why.
    #expect(effects(&model, "down enter").isEmpty)
    #expect(model.overlay != nil && model.message?.text.contains("names no model") == true)
    let opened = effects(&model, "G y enter")
    #expect(opened.contains { if case .copy("/data/models/mixtral") = $0 { true } else { false } })
    #expect(opened.contains { if case .open("/data/models/mixtral") = $0 { true } else { false } })
    #expect(model.overlay == nil && model.log.last?.twin == "moetop models")
    _ = model.update(.modelChosen("/data/models/mixtral", nil, source: "prompt", seed: 1))
    #expect(model.log.last?.twin == "moetop ui /data/models/mixtral")
    _ = effects(&model, "O esc")
    #expect(model.overlay == nil)
  }

  @Test func nothingToShowBeginsWithTheList() throws {
    var model = AppModel(size: Size(width: 80, height: 24), theme: Theme())
    _ = model.update(.models(ModelShelf(listing: ModelListing(rows: []), places: ["/home/me/.ollama/models"])))
    let text = Painter.draw(model).screen.plainText
    #expect(text.contains("There are none") && text.contains("/home/me/.ollama/models") && text.contains("MOETOP_MODELS"))
    #expect(effects(&model, "enter j y").isEmpty && model.overlay != nil)
  }

  /// A hand-over of many tokens is shown as as many hand-overs of one.
  @Test func joinedPartsShowTheSame() throws {
    let events = try SyntheticSession.events(texts: 1)
    var single = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    var joined = single
    var whole: StreamPart?
    for event in events {
      _ = single.update(.engine([event]))
      guard case .streamed(let part) = event else {
        _ = joined.update(.engine([event]))
        continue
      }
      if whole == nil {
        whole = part
      } else {
        whole?.pass.append(part.pass)
        whole?.draws += part.draws
      }
    }
    _ = joined.update(.engine([.streamed(try #require(whole))]))
    #expect(single.buffer?.pass.tokens.tokenID == joined.buffer?.pass.tokens.tokenID)
    #expect(single.buffer?.draws.keys.sorted() == joined.buffer?.draws.keys.sorted())
    #expect(Painter.draw(single).screen.plainText == Painter.draw(joined).screen.plainText)
  }

  @Test(arguments: screens) func barActionsApply(_ screen: ScreenID) throws {
    var model = try SyntheticSession.model(texts: 1)
    _ = model.go(screen)
    for item in model.room.bar(in: model) + ActionTable.fixedBar {
      #expect(model.actions[item.id]?.applies(to: screen) == true, "\(item.id)")
    }
  }

  @Test(arguments: Screens.all.indices) func escapeNeverQuits(_ place: Int) throws {
    var model = try SyntheticSession.model(texts: 2)
    let key = try #require(Screens.all[place].keys.first?.name)
    #expect(!quits(effects(&model, "\(key) + ? esc : esc / esc f esc")))
    for _ in 0..<20 { #expect(!quits(effects(&model, "esc"))) }
    #expect(model.screen == .live && model.selected == nil && !model.isZoomed && model.overlay == nil)
    #expect(quits(effects(&model, "q")))
  }

  /// Esc leads back the way one came, not to the first screen.
  @Test func escapeGoesBackTheWayOneCame() throws {
    var model = try SyntheticSession.model()
    model.press("3")
    model.play(.perform(.threshold, "0.5"))
    model.press("down down enter")
    #expect(model.screen == .token)
    model.press("esc")
    #expect(model.screen == .uncertainty && model.uncertain.rows.selected == 2)
    model.press("1 3 2 1 3 esc")
    #expect(model.screen == .live && model.trail.isEmpty, "a screen on the way is gone back to, not added")
  }

  @Test func interruptClosesFirstAndQuitsSecond() throws {
    var model = try SyntheticSession.model(texts: 1)
    _ = effects(&model, ":")
    #expect(!quits(effects(&model, "ctrl-c")) && model.overlay == nil)
    model.now += 0.5
    #expect(quits(effects(&model, "ctrl-c")))
  }

  @Test func lettersAreTextWhileTyping() throws {
    var model = try SyntheticSession.model(texts: 1)
    #expect(!quits(effects(&model, "/ q q")))
    guard case .entry(.find, let field, _)? = model.overlay else { Issue.record("no field"); return }
    #expect(field.text == "qq")
  }

  @Test func pausingReachesTheEngine() throws {
    var model = try SyntheticSession.model(texts: 1)
    guard case .engine(.pause)? = effects(&model, "space").first else { Issue.record("no pause"); return }
    guard case .engine(.step)? = effects(&model, "s").first else { Issue.record("no step"); return }
    guard case .engine(.resume)? = effects(&model, "space").first else { Issue.record("no resume"); return }
    #expect(effects(&model, "s").isEmpty && model.message?.role == .warning)
  }

  @Test func scrubbingStopsFollowing() throws {
    var model = try SyntheticSession.model(texts: 2)
    _ = effects(&model, "shift-left shift-left")
    #expect(model.row == 77 && model.selected == 77)
    _ = model.update(.engine(try SyntheticSession.events(texts: 1).suffix(0)))
    _ = effects(&model, "shift-right shift-right")
    #expect(model.selected == nil && model.row == 79)
  }

  @Test func paletteTakesArguments() throws {
    var model = try SyntheticSession.model(texts: 2)
    func run(_ text: String) {
      model.play(.key(.char(":")))
      for character in text { model.play(.key(.char(character))) }
      model.play(.key(.enter))
    }
    run("token 18")
    #expect(model.selected == 18)
    run("layer 3")
    #expect(model.router == 3)
    run("window 32")
    #expect(model.windowRows.count == 19)
    run("threshold 0.9")
    #expect(model.threshold == .share(0.9))
    run("threshold nonsense")
    #expect(model.threshold == .share(0.9) && model.message?.role == .error)
    run("nosuchthing")
    #expect(model.message?.role == .warning)
    run("uncert")
    #expect(model.screen == .uncertainty)
  }

  @Test func findAndFilter() throws {
    var model = try SyntheticSession.model(texts: 2)
    model.play(.perform(.find, "paris"))
    #expect(model.row.map { model.tokenText($0) } == "·Paris")
    model.play(.perform(.filter, "domain=law expert=1,5"))
    #expect(model.filter != nil)
    #expect(model.shownRows.filter { model.isAdmitted($0) }.allSatisfy { $0 >= 40 })
  }

  @Test func recordedRunIsReplayed() throws {
    var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    let run = try #require(SyntheticSession.runs().first)
    let passes = try SyntheticSession.events(texts: 2).compactMap { if case .streamed(let part) = $0 { part.pass } else { nil } }
    _ = model.update(.loading(.opened(run, file: "a.db", sequences: [], pieces: [:])))
    for pass in passes { _ = model.update(.loading(.pass(pass))) }
    _ = model.update(.loading(.finished(note: nil)))
    #expect(model.isTrace && model.shownRows.count == 80)
    #expect(model.whyNot(.prompt) != nil)
    _ = effects(&model, "space")
    #expect(model.shownRows.count == 1)
    model.now += 1
    _ = model.update(.tick)
    #expect(model.shownRows.count == 13)
    for _ in 0..<10 {
      model.now += 1
      _ = model.update(.tick)
    }
    #expect(model.shownRows.count == 80 && model.playhead == nil && model.isPaused)
  }

  @Test func studyRunsInTheBackgroundAndIsCancelled() throws {
    var model = try SyntheticSession.model()
    let started = effects(&model, "4")
    guard case .work(let query as StudyQuery)? = started.last else { Issue.record("no study"); return }
    _ = model.update(.report(StudyProgress.drawn(20, of: 200, number: query.number)))
    #expect(model.special.progress?.done == 20)
    guard case .cancelWork(StudyQuery.lane)? = effects(&model, "esc").first else { Issue.record("not cancelled"); return }
    _ = model.update(.report(StudyProgress.drawn(40, of: 200, number: query.number)))
    #expect(model.special.progress == nil && model.screen == .specialization)
  }

  /// The figures of one axis never stand under the name of another.
  @Test func aCancelledAxisShowsNoFiguresOfTheOneBefore() throws {
    var model = try SyntheticSession.model()
    model.press("4")
    let end = model.special.end
    guard case .work(is StudyQuery)? = effects(&model, "a").last else { Issue.record("no study"); return }
    #expect(model.special.facet == .position && model.special.resultFacet == .label("domain") && model.study != nil)
    _ = effects(&model, "esc")
    #expect(model.special.results.isEmpty && model.special.resultFacet == .position && model.special.problem != nil)
    // Asked for again, and given up again: the figures there are stay, and stay figures of what they were made from.
    model.press("z")
    #expect(model.special.resultFacet == .position && model.study != nil && model.special.end == end)
    _ = effects(&model, "z")
    _ = effects(&model, "esc")
    #expect(model.study != nil && model.special.end == end && model.special.progress == nil)
    #expect(!effects(&model, "j").contains { if case .work(is StudyQuery) = $0 { true } else { false } }, "not begun again by itself")
  }

  /// Other axes are looked at only where they are shown, and never twice at a time.
  @Test func otherAxesAreStudiedWhereTheyAreShown() throws {
    func studies(_ effects: [Effect]) -> [StudyQuery] {
      effects.compactMap { if case .work(let query as StudyQuery) = $0 { query } else { nil } }
    }
    for (size, isShown) in [(Size(width: 120, height: 40), true), (Size(width: 80, height: 24), false)] {
      var model = try SyntheticSession.model(size)
      let first = try #require(studies(effects(&model, "4")).first)
      _ = model.update(.report(StudyProgress.done([], facet: first.facet, unlabelled: 0, draws: 1, end: first.end, number: first.number)))
      #expect(model.showsAxes == isShown && (model.special.aside != nil) == isShown)
      // The axis looked at already: nothing changes and nothing is given up.
      _ = model.update(.perform(.axis, first.facet.name))
      #expect((model.special.aside != nil) == isShown)
      let cancelled = effects(&model, "esc").contains { if case .cancelWork = $0 { true } else { false } }
      #expect(model.screen == .live && model.special.aside == nil && cancelled == isShown)
    }
  }

  @Test func specializationFindsThePlantedDomain() throws {
    var model = try SyntheticSession.model()
    model.press("4")
    let result = try #require(model.study)
    #expect(result.cells.map(\.name) == SyntheticSession.domains && result.effect ?? 0 > 0.02)
    model.press("a")
    #expect(model.special.resultFacet == .position)
  }

  @Test func uncertainListFollowsTheThreshold() throws {
    var model = try SyntheticSession.model()
    model.press("3")
    let before = try #require(model.uncertain.list).uncertainTokens
    model.play(.perform(.threshold, "0.99"))
    #expect(try #require(model.uncertain.list).uncertainTokens < before)
    model.play(.perform(.threshold, "0.5"))
    #expect(!model.uncertainRows.isEmpty)
    model.press("down down enter")
    #expect(model.screen == .token && model.selected != nil)
  }

  @Test func failedRecordingIsAWarning() throws {
    var model = try SyntheticSession.model(texts: 1)
    _ = model.update(.engine([.recording(.failed(message: "disk full\n  try: less"))]))
    #expect(model.message?.role == .warning)
    #expect(!Painter.draw(model).screen.plainText.contains("● rec"))
  }

  @Test func mouseClicksAndWheel() throws {
    var model = try SyntheticSession.model()
    // Two lines a layer here: both are its.
    for line in [6, 7] {
      model.router = 0
      model.play(.mouse(MouseEvent(.press, at: Point(x: 12, y: line))))
      #expect(model.router == 2 && model.expert == 1)
    }
    model.play(.mouse(MouseEvent(.wheelDown, at: Point(x: 12, y: 7))))
    #expect(model.router == 3)
    model.play(.mouse(MouseEvent(.press, at: Point(x: 12, y: 0))))
    #expect(model.screen == .token)
    model.play(.mouse(MouseEvent(.press, at: Point(x: 20, y: 0))))
    #expect(model.screen == .uncertainty)
  }

  @Test func bufferIsBounded() throws {
    let summary = SyntheticSession.summary()
    var buffer = RoutingBuffer(routers: summary.routers, memory: 0)
    var count = 0
    for event in try SyntheticSession.events(texts: 40) {
      if case .streamed(let part) = event {
        let isTaken = buffer.append(part.pass)
        #expect(isTaken)
        count += 1
      }
    }
    #expect(count == 1600 && buffer.end == 1600 && buffer.pass.tokens.count <= buffer.capacity * 5 / 4 && buffer.isTruncated)
    #expect(buffer.folds.total[0].load.tokens == 1600)
  }
}
