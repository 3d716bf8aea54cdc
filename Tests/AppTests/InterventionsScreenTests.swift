// Rules on a screen: typed, picked, undone, tried on real weights with the numbers of the command.

import Analysis
import Model
import Routing
import Support
import Terminal
import Testing

@testable import App

struct InterventionsScreenTests {
  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  @Test func rulesAreAddedChangedTurnedOffAndUndone() throws {
    var model = try SyntheticSession.model(texts: 2)
    model.press("7")
    model.play(.perform(.addRule, "mask 1:3; swap 0-2 if entropy>0.9"))
    #expect(model.interventions.rules.map(\.text) == ["mask 1:3", "swap 0-2 if entropy>0.9"])
    model.press("space")
    #expect(model.interventions.rules.map(\.isOn) == [true, false] && text(model).contains("[ ]"))
    model.play(.perform(.editRule, "topk all=1"))
    model.press("k d")
    #expect(model.interventions.rules.map(\.text) == ["topk all=1"])
    model.press("u u u u")
    #expect(model.interventions.rules.isEmpty)
    model.press("ctrl-r ctrl-r")
    #expect(model.interventions.rules.map(\.isOn) == [true, false])
    for (wrong, words) in [("mask", "expected"), ("nosuch 1:2", "expected"), ("  ", "no rule")] {
      model.play(.perform(.addRule, wrong))
      #expect(model.message?.text.contains(words) == true && model.interventions.rules.count == 2, "\(model.message?.text ?? "")")
    }
    let saved = model.update(.perform(.saveRules, "rules.txt"))
    guard case .write(let file, path: "rules.txt", replaces: false)? = saved.first else { Issue.record("not saved"); return }
    #expect(RuleText.joined(file.split(separator: "\n").map(String.init)) == "mask 1:3")
  }

  @Test func everyScreenProposesARule() throws {
    var model = try SyntheticSession.model()
    model.press("j l l x")
    #expect(model.interventions.rules.last?.text == "mask 1:2")
    model.press("3 x")
    #expect(model.interventions.rules.last?.text.hasPrefix("swap all if entropy>0.") == true)
    model.press("3 b")
    #expect(model.screen == .interventions && model.interventions.rules.last?.text.hasPrefix("broadcast all if entropy>") == true)
    #expect(model.message?.text.contains("O opens one") == true, "there is no model behind this session")
    #expect(model.interventions.rules.map(\.isOn) == [false, false, true])
  }

  /// A trial says what the command says: the same plan on the same texts.
  @Test func aTrialIsWhatTheCommandWouldSay() throws {
    let path = Fixtures.root + "/Tests/Fixtures/models/olmoe"
    let model = try EngineOptions.none.open(path)
    let texts = (0..<6).map { text in
      TokenSequence(SequenceDescription(name: "\(text)"), tokens: (0..<24).map { Int32((text * 31 + $0 * 7) % model.vocabularySize) })
    }
    var question = TrialQuestion(model: path, rules: "mask 0:1", texts: texts, prompt: texts[0])
    question.continuation = 4
    var steps = 0
    let answer = try #require(
      try InterventionTrial(engine: .none, question: question) { _, _, _ in
        steps += 1
        return true
      }.answer())
    let subject = TextSubject(
      model, texts: texts,
      context: FilterContext(routers: model.routers, sequences: texts.map(\.description), hasTexts: false, text: { _ in nil }),
      input: InputIdentity(source: "", hash: ""), threads: 1)
    let run = WhatIfRun(subject, showsProgress: false)
    let plan = try run.plan(.rules([RuleSet(parsing: "mask 0:1")]), draws: 5, seed: 0)
    let effect = try #require(try run.measure(try run.bind(plan), recorder: nil).effects().first)
    #expect(answer.effect.change == effect.change && answer.effect.difference == effect.difference && answer.effect.p == effect.p)
    #expect(1...4 ~= answer.before.count && 1...4 ~= answer.after.count && steps > 10)
    #expect(answer.candidates.count >= 8 && (answer.divergence ?? -1) >= 0)
    // Rules that change nothing change nothing.
    question.rules = "scale 0:1=1"
    let same = try #require(try InterventionTrial(engine: .none, question: question) { _, _, _ in true }.answer())
    #expect(same.before == same.after && abs(same.divergence ?? 1) < 1e-9)
    question.rules = "mask 99:1"
    #expect(throws: (any Error).self) { try InterventionTrial(engine: .none, question: question) { _, _, _ in true }.answer() }
    question.rules = "mask 0:1"
    #expect(try InterventionTrial(engine: .none, question: question) { _, _, _ in false }.answer() == nil, "stopped")
  }

  @Test func whatWasTriedStandsOnTheCardOfTheExpert() throws {
    var model = try SyntheticSession.model()
    model.press("5")
    let rule = try #require(ExpertsScreen.rule(in: model))
    #expect(text(model).contains("not tried"))
    model[InterventionsScreen.self].effects[rule] = nil
    #expect(model.whyNoTrial?.contains("no rule is on") == true)
  }
}
