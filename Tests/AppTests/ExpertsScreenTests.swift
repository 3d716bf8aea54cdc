// The screen of experts: the list and the card follow the cursor and the run, labels are kept and undone, and what it says is what its
// folds say.

import Analysis
import Routing
import Store
import Support
import Terminal
import Testing

@testable import App

struct ExpertsScreenTests {
  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  private func model(_ size: Size = Size(width: 120, height: 40)) throws -> AppModel {
    var model = try SyntheticSession.model(size)
    model.press("5")
    return model
  }

  @Test func listAndCardAreOfTheLayerAndExpertLookedAt() throws {
    var model = try model()
    let use = try #require(model.expertUse)
    #expect(use.decisions == 320 && use.rows.reduce(0) { $0 + $1.chosen } == 640)
    #expect(model.expertRows.map(\.chosen) == model.expertRows.map(\.chosen).sorted(by: >))
    model.press("j j ]")
    #expect(model.router == 1 && model.expertCardOfRun?.expert == model.expert && model.expertCardOfRun?.router == RouterID(layer: 1))
    #expect(text(model).contains("Card · layer 1 expert \(model.expert)"))
    model.press("o o o")
    #expect(model.expertRows.map(\.expert) == Array(0..<16))
    // Enter turns to the card and back; where there is room for one only, it is the card.
    model.size = Size(width: 80, height: 24)
    model.press("enter")
    #expect(text(model).contains("tokens it takes") && !text(model).contains("Experts of layer"))
    model.press("esc")
    #expect(text(model).contains("Experts of layer 1") && model.screen == .experts)
  }

  @Test func marksAndWhatIsChosenTogether() throws {
    var model = try model()
    let first = model.expert
    model.press("space j space a")
    let marked = try #require(model[ExpertsScreen.self].marked[RouterID(layer: 0)])
    #expect(marked.count == 2 && marked.contains(first) && text(model).contains("2 marked"))
    model.press("esc")
    #expect(model.screen == .experts && text(model).contains("Card"))
    var single = try SyntheticSession.model(topK: 1, texts: 1)
    single.press("5 a")
    #expect(single.message?.text.contains("takes one expert") == true)
  }

  @Test func labelsAreKeptUndoneAndFound() throws {
    var model = try model()
    let effects = model.update(.perform(.label, "water edges"))
    guard case .work(let work as LabelWork)? = effects.first(where: { if case .work(is LabelWork) = $0 { true } else { false } }) else {
      Issue.record("nothing is written")
      return
    }
    #expect(work.file == "/data/traces.db" && work.run == 12 && work.label.words == "water edges")
    _ = model.update(.report(LabelReport(label: work.label, before: "", work: work, problem: nil)))
    #expect(model.expertLabel == "water edges" && text(model).contains("water edges"))
    #expect(model.log.last?.twin == "moetop runs label /data/traces.db#12 ffn.0:\(model.expert) 'water edges'")
    let labelled = model.expert
    model.press("j j")
    model.play(.perform(.find, "edges"))
    #expect(model.expert == labelled)
    let back = model.update(.key(.char("u")))
    guard case .work(let undo as LabelWork)? = back.first else { Issue.record("not undone"); return }
    #expect(undo.label.words.isEmpty && undo.before == "water edges" && undo.isWayBack && undo.startedAt == work.startedAt)
  }

  @Test func labelsAreWrittenToTheTrace() throws {
    let folder = try TemporaryDirectory()
    let file = folder.file("t.db")
    let writer = try TraceWriter(file: file, description: try #require(SyntheticSession.runs().first).description)
    try writer.finish(.completed)
    let label = ExpertLabel(router: RouterID(layer: 2), expert: 5, words: "commas")
    let answers = Reports()
    let desk = WorkDesk(settings: SyntheticSession.settings, isWanted: { true }) { answers.post($0) }
    LabelWork(label: label, before: "", file: file, run: 1).run(desk)
    LabelWork(label: ExpertLabel(router: RouterID(layer: 9), expert: 5, words: "x"), before: "", file: file, run: 1).run(desk)
    #expect(answers.problems == [nil, "\(file)#1: no expert 5 at ffn.9\n  try: its routers and experts: moetop runs show \(file)#1"])
    #expect(try TraceReader(file: file).expertLabels(run: 1) == [RouterID(layer: 2): [5: "commas"]])
  }

  /// Two people may label one trace, and a trace may be replaced by another while it is looked at.
  @Test func whatOthersWroteIsLeftAlone() throws {
    let folder = try TemporaryDirectory()
    let file = folder.file("t.db")
    let writer = try TraceWriter(file: file, description: try #require(SyntheticSession.runs().first).description)
    try writer.finish(.completed)
    let router = RouterID(layer: 2)
    let answers = Reports()
    let desk = WorkDesk(settings: SyntheticSession.settings, isWanted: { true }) { answers.post($0) }
    func write(_ words: String, over before: String, startedAt: Double? = nil) {
      LabelWork(label: ExpertLabel(router: router, expert: 5, words: words), before: before, file: file, run: 1, startedAt: startedAt).run(
        desk)
    }
    write("commas", over: "")
    write("mine", over: "")
    write("", over: "water edges")
    write("dots", over: "commas", startedAt: 1)
    let now = "\(file)#1: expert ffn.2:5 is called \"commas\" by now; nothing was changed"
    let other = "\(file): run 1 is another one than it was: another trace lies there now; nothing was changed\n  try: open it again"
    #expect(answers.problems == [nil, now, now, other])
    #expect(try TraceReader(file: file).expertLabels(run: 1) == [router: [5: "commas"]])
  }

  @Test func maskingProposesARule() throws {
    var model = try model()
    model.press("j x")
    #expect(model.screen == .interventions && model.interventions.rules.map(\.text) == ["mask 0:\(model.expert)"])
    model.press("esc")
    #expect(model.screen == .experts)
  }
}

private final class Reports: @unchecked Sendable {
  // Used by one thread only: work is done at once.
  var problems: [String?] = []
  func post(_ report: any ScreenReport) { if let report = report as? LabelReport { problems.append(report.problem) } }
}
