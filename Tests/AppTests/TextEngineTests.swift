// The engine of a live session on a language model: long texts come pass by pass, tell how far they are and can be given up in between.

import Foundation
import Model
import Routing
import Support
import Terminal
import Testing

@testable import App

struct TextEngineTests {
  private static let path = Fixtures.root + "/samples/olmoe-tiny"
  /// Some passes of 512 tokens.
  private static let long = String(repeating: "The river runs past the bank and the mill. ", count: 64)

  private final class Told {
    var events: [EngineEvent] = []
    var parts: [StreamPart] { events.compactMap { if case .streamed(let part) = $0 { part } else { nil } } }
    var shares: [ReadingShare] { events.compactMap { if case .reading(let share) = $0 { share } else { nil } } }
    var idle: [String] { events.compactMap { if case .idle(let reason) = $0 { reason } else { nil } } }
    var refusals: [String] { events.compactMap { if case .refused(let message) = $0 { message } else { nil } } }
  }

  private func core(_ told: Told) throws -> EngineCore {
    try EngineCore(
      modelPath: Self.path, options: .none, denoising: DenoisingSettings(steps: nil, guidance: nil), recording: nil
    ) { told.events.append($0) }
  }

  private func run(_ core: EngineCore, while isWanted: () -> Bool = { true }) {
    while core.isBusy, isWanted() {
      core.advance()
      core.handOver()
    }
  }

  private func texts(_ count: Int) -> [LabelledText] {
    (0..<count).map { LabelledText(description: SequenceDescription(name: "text \($0)"), text: Self.long) }
  }

  private func prompt(_ tokens: Int) -> EngineRequest {
    .generate(
      GenerationRequest(
        description: SequenceDescription(name: "prompt"), text: Self.long, promptLimit: nil, maxTokens: tokens,
        sampling: SamplingSettings(temperature: 0)))
  }

  @Test func aLongPromptComesPassByPass() throws {
    let told = Told()
    let core = try core(told)
    core.take(prompt(3))
    run(core)
    let total = try #require(told.shares.last?.total)
    #expect(total > 600 && told.shares.last?.done == total)
    #expect(told.shares.map(\.done) == told.shares.map(\.done).sorted(), "it never goes back")
    #expect(told.parts.map(\.pass.tokens.count).first == 512)
    #expect(told.parts.map(\.pass.tokens.count).reduce(0, +) == total + 3)
    #expect(told.parts.flatMap(\.draws).map(\.row) == (0..<4).map { total - 1 + $0 })
    #expect(told.idle == ["done"])
  }

  /// In passes or at once, the same is decided, and the same is drawn.
  @Test func passesChangeNothing() throws {
    let told = Told()
    let core = try core(told)
    core.take(prompt(2))
    core.take(.read(texts(1)))
    run(core)
    let whole = Told()
    let other = try self.core(whole)
    other.take(.read(texts(1)))
    run(other)
    let first = told.parts.map(\.pass).filter { $0.tokens.phase.first == .prefill && $0.tokens.sequence.first == 0 }
    let second = told.parts.map(\.pass).filter { $0.tokens.sequence.first == 1 }
    let alone = whole.parts.map(\.pass)
    #expect(first.count == alone.count && second.count == alone.count && alone.count > 1)
    for (number, pass) in alone.enumerated() {
      #expect(first[number].batches.map(\.selectedExperts) == pass.batches.map(\.selectedExperts))
      #expect(second[number].batches.map(\.selectedExperts) == pass.batches.map(\.selectedExperts))
      #expect(second[number].tokens.surprisal.map(\.bitPattern) == pass.tokens.surprisal.map(\.bitPattern))
    }
  }

  @Test func severalTextsAreOneReading() throws {
    let told = Told()
    let core = try core(told)
    core.take(.read(texts(3)))
    run(core)
    let total = told.parts.map(\.pass.tokens.count).reduce(0, +)
    #expect(told.shares.allSatisfy { $0.total == total } && told.shares.last?.done == total)
    #expect(told.shares.map(\.done) == told.shares.map(\.done).sorted())
    #expect(Set(told.parts.flatMap(\.pass.tokens.sequence)) == [0, 1, 2])
    #expect(told.idle == ["all texts are read"])
  }

  /// What was handed over stays, the rest is gone, and the next text continues the rows of the run.
  @Test(arguments: [true, false]) func isGivenUpInTheMiddleOfAPass(_ generates: Bool) throws {
    let told = Told()
    let core = try core(told)
    core.mayGoOn = { !(told.shares.last.map { $0.done > 512 } ?? false) }
    core.take(generates ? prompt(5) : .read(texts(2)))
    run(core)
    #expect(told.idle == ["cancelled"] && told.refusals.isEmpty && !core.isBusy)
    #expect(told.parts.map(\.pass.tokens.count) == [512])
    core.mayGoOn = { true }
    core.take(.read([LabelledText(description: SequenceDescription(name: "next"), text: "A short one.")]))
    run(core)
    #expect(told.parts.last?.pass.tokens.firstToken == 512 && told.parts.last?.pass.tokens.sequence.first == 1)
  }

  /// Who leaves does not wait for the end of a text.
  @Test func theSessionEndsInTheMiddle() throws {
    let session = EngineSession(
      modelPath: Self.path, options: .none, denoising: DenoisingSettings(steps: nil, guidance: nil), recording: nil, waker: .silent)
    session.start()
    session.send(.read(texts(60)))
    var events: [EngineEvent] = []
    let limit = Date().addingTimeInterval(60)
    while !events.contains(where: { if case .reading = $0 { true } else { false } }), Date() < limit {
      events += session.takeEvents()
      usleep(2000)
    }
    session.send(.cancel)
    while !events.contains(where: { if case .idle = $0 { true } else { false } }), Date() < limit {
      events += session.takeEvents()
      usleep(2000)
    }
    guard case .idle(let reason)? = events.last(where: { if case .idle = $0 { true } else { false } }) else {
      Issue.record("it went on")
      return
    }
    #expect(reason == "cancelled")
    session.close(.stopped, timeout: 30)
  }

  @Test func theScreenSaysHowFarAndEscapeGivesItUp() throws {
    var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    _ = model.update(.engine([.opened(SyntheticSession.summary())]))
    model.press("esc")
    _ = model.update(.perform(.prompt, "a long text"))
    _ = model.update(.engine([.began(SequenceDescription(name: "prompt"))]))
    model.now = 10
    _ = model.update(.engine([.reading(ReadingShare(done: 100, total: 4000))]))
    #expect(model.readingWords == nil, "a moment needs no words")
    model.now = 20
    _ = model.update(.engine([.reading(ReadingShare(done: 1000, total: 4000))]))
    #expect(model.readingWords == "reading 1,000 of 4,000 tokens, 0:30 left, esc gives it up")
    let screen = Painter.draw(model).screen.plainText
    #expect(
      screen.contains("The model is reading 1,000 of 4,000 tokens")
        && screen.split(separator: "\n").contains { $0.hasPrefix(" reading 1,000") })
    let effects = model.update(.key(try #require(KeyEvent("esc"))))
    #expect(effects.contains { if case .engine(.cancel) = $0 { true } else { false } } && model.readingWords == nil)
    _ = model.update(.engine([.reading(ReadingShare(done: 4000, total: 4000))]))
    #expect(model.reading == nil)
  }
}
