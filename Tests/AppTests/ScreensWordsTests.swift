// What the screens say: numbers from 0 as everywhere, routers of two stacks told apart, nothing claimed before it is so.

import Analysis
import Foundation
import Model
import Routing
import Store
import Support
import Terminal
import Testing

@testable import App

struct ScreensWordsTests {
  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  // MARK: - From 0

  @Test func tokensAndRanksCountFromZero() throws {
    var model = try SyntheticSession.model(texts: 2)
    model.press("g")
    model.play(.perform(.token, "0"))
    #expect(text(model).contains("token 0 \"") && !text(model).contains("token 1 \""))
    model.press("2")
    #expect(text(model).contains("token 0 of 0-79") && text(model).contains("margin 1 to 2") && text(model).contains("ranks 1 and 2"))
    let best = try #require(model.buffer?.selected(0, router: 0).first)
    #expect(text(model).contains(" 0 \(model.expertName(Int(best))) "))
    let table = model.room.table(of: model)
    #expect(table.rows[0].prefix(4) == ["0", "0", "0", "\(best)"] && table.rows[0].last == "ffn.0")
    model.press("3")
    model.play(.perform(.threshold, "0.5"))
    let first = try #require(model.uncertainRows.first)
    #expect(text(model).contains("▸" + String(repeating: " ", count: 7 - "\(first.token)".count) + "\(first.token) "))
  }

  @Test func whatIsNotThereIsSaid() throws {
    var model = try SyntheticSession.model(texts: 1)
    for (id, argument) in [(ActionID.layer, "99"), (.expert, "99"), (.token, "99"), (.layer, "enc.1")] {
      model.play(.perform(id, argument))
      #expect(model.message?.role == .warning && model.router == 0 && model.expert == 0, "\(id) \(argument)")
      model.message = nil
    }
    model.play(.perform(.layer, "ffn.3"))
    #expect(model.router == 3)
  }

  // MARK: - Two stacks

  /// A run with an encoder and a decoder, or with attention experts, whose layers have the same numbers.
  private func twoStacks(_ stacks: (RouterStack, RouterStack), _ size: Size = Size(width: 120, height: 40)) throws -> AppModel {
    let spec = RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2))
    let ids = [stacks.0, stacks.1].flatMap { stack in (0..<3).map { RouterID(stack: stack, layer: $0) } }
    var run = try #require(SyntheticSession.runs().first)
    run.description.routers = ids.map { RouterDescription(id: $0, spec: spec) }
    var model = AppModel(size: size, theme: Theme())
    model.play(.loading(.opened(run, file: "a.db", sequences: [SequenceDescription(name: "text")], pieces: [:])))
    var random = SeededRandom(seed: 2)
    let rule = try Router(spec)
    var row = 0
    for part in stacks.0 == .encoder ? [stacks.0, stacks.1] : [nil] {
      var tokens = TokenTable(firstToken: row)
      for position in 0..<20 { tokens.append(sequence: 0, position: position, tokenID: 1, phase: part == .encoder ? .encode : .prefill) }
      let batches = ids.filter { part == nil || $0.stack == part }.map { id in
        var batch = RoutingBatch(router: id, expertCount: 8, topK: 2, firstToken: row, count: 20)
        let logits = (0..<160).map { _ in Float(random.next() >> 40) / Float(1 << 22) }
        logits.withUnsafeBufferPointer {
          if let base = $0.baseAddress { rule.decide(base, demand: RoutingDemand(logitsEvery: 1), into: &batch) }
        }
        return batch
      }
      model.play(.loading(.pass(RoutingPass(tokens: tokens, batches: batches))))
      row += 20
    }
    model.play(.loading(.finished(note: nil)))
    model.message = nil
    return model
  }

  @Test(arguments: [(RouterStack.encoder, RouterStack.decoder), (.feedForward, .attention)], ["120x40", "80x24"])
  func rowsSayWhichRouterTheyAre(_ stacks: (RouterStack, RouterStack), _ size: String) throws {
    var model = try twoStacks(stacks, try #require(Size(size)))
    let names = [stacks.0, stacks.1].flatMap { stack in (0..<3).map { "\(stack.rawValue) L0\($0)" } }
    // Zoomed, so that every row has room.
    for keys in ["1 +", "2 +", "3 tab tab +"] {
      model.press(keys)
      for name in names { #expect(text(model).contains(name + " ") || text(model).contains(name + "│"), "\(name) on \(keys)") }
      model.press("_")
    }
    model.play(.perform(.layer, "\(stacks.1.rawValue).2"))
    model.press("1")
    #expect(model.layerWords == "\(stacks.1.rawValue) layer 2" && text(model).contains("\(stacks.1.rawValue) layer 2"))
    // A number means the stack looked at.
    model.play(.perform(.layer, "1"))
    #expect(model.layerWords == "\(stacks.1.rawValue) layer 1")
    #expect(model.layerRanges([0, 1, 2, 5]) == "\(stacks.0.rawValue) 0-2, \(stacks.1.rawValue) 2")
    #expect(Set(model.room.table(of: model).rows.compactMap(\.last)).count == 6, "the export says so too")
  }

  // MARK: - Nothing before it is so

  @Test func deletesAreLoggedWhenTheyAreDone() throws {
    var model = try SyntheticSession.model(texts: 1)
    model.press("8")
    model.play(.runs(.success(SyntheticSession.runs()), file: "/data/other.db"))
    let lines = model.log.count
    _ = model.update(.key(.char("D")))
    #expect(model.log.count == lines, "asked")
    _ = model.update(.key(.char("n")))
    _ = model.update(.key(.char("D")))
    #expect(model.update(.key(.char("y"))).isEmpty && model.runs.runs.count == 1 && model.log.count == lines, "answered: off the list")
    // Undone, it is there again, and leaving the screen deletes nothing.
    let kept = model.update(.key(.char("u")))
    guard case .listRuns(file: "/data/other.db")? = kept.first else { Issue.record("not listed again"); return }
    _ = model.update(.runs(.success(SyntheticSession.runs()), file: "/data/other.db"))
    #expect(model.runs.runs.count == 2 && model.runs.doomed.isEmpty)
    _ = model.update(.key(.ctrl("r")))
    #expect(model.runs.runs.count == 1)
    let effects = model.update(.key(.char("1")))
    guard case .deleteRun(let place)? = effects.first else { Issue.record("no delete"); return }
    #expect(place.startedAt == (try #require(SyntheticSession.runs().first { $0.id == place.run })).description.startedAt)
    _ = model.update(.done(.delete, "\(place.file)#\(place.run)", said: "run \(place.run) is deleted"))
    #expect(model.log.last?.twin == "moetop runs rm /data/other.db#2" && model.message?.text == "run 2 is deleted")
  }

  /// A delete that is not undone happens, whether the screen is left or not.
  @Test func deletesHappenInTime() throws {
    var model = try SyntheticSession.model(texts: 1)
    model.press("8")
    model.play(.runs(.success(SyntheticSession.runs()), file: "/data/other.db"))
    _ = model.update(.key(.char("D")))
    #expect(model.update(.key(.char("y"))).isEmpty)
    let due = try #require(model.nextTick)
    #expect(due == model.now + RunsScreen.grace)
    model.now = due - 0.5
    #expect(model.update(.tick).isEmpty && model.runs.doomed.count == 1)
    model.now = due
    guard case .deleteRun(let place)? = model.update(.tick).first else { Issue.record("no delete"); return }
    #expect(place.run == 2 && model.runs.doomed.isEmpty && model.nextTick ?? .infinity > due)
    _ = model.update(.key(.char("u")))
    #expect(model.runs.runs.count == 1 && model.message?.text == "run 2 is gone")
  }

  @Test func whatWasRefusedIsNotLogged() throws {
    var model = try SyntheticSession.model(texts: 1)
    let lines = model.log.count
    for (id, argument) in [
      (ActionID.threshold, "nonsense"), (.threshold, ""), (.axis, "nosuchaxis"), (.export, "view.docx"), (.open, "/no/such/model"),
      (.read, "none.txt"),
    ] { _ = model.update(.perform(id, argument)) }
    #expect(model.log.count == lines, "\(model.log.map(\.twin))")
    _ = model.update(.perform(.prompt, "hello"))
    #expect(model.log.count == lines, "not begun yet")
    _ = model.update(.engine([.began(SequenceDescription(name: "prompt"))]))
    #expect(model.log.last?.twin.hasSuffix("-p 'hello' --temperature 0.8") == true)
    _ = model.update(.perform(.threshold, "0.9"))
    #expect(model.log.last?.twin.hasSuffix("--threshold 0.9") == true)
  }

  @Test func aLiveModelThatWasAskedNothingIsNotReading() throws {
    var summary = SyntheticSession.summary()
    var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    _ = model.update(.engine([.opened(summary)]))
    _ = model.update(.key(.escape))
    #expect(text(model).contains("p types a prompt") && !text(model).contains("reading its first"))
    _ = model.update(.perform(.prompt, "hello"))
    #expect(text(model).contains("reading its first tokens"))
    _ = model.update(.engine([.refused(message: "an empty prompt"), .idle(reason: "stopped")]))
    #expect(!text(model).contains("reading its first tokens"))
    summary.readsText = false
    _ = model.update(.engine([.opened(summary)]))
    #expect(text(model).contains("no tokenizer") && !text(model).contains("reading its first tokens"))
  }

  @Test func theEndOfATextIsNotGuessed() throws {
    let base = try #require(SyntheticSession.runs().first)
    let passes = try SyntheticSession.events(texts: 1).compactMap { if case .streamed(let part) = $0 { part.pass } else { nil } }
    for (sampling, state, words) in [
      (nil, RunState.completed, "end of the text"), ("greedy", .completed, "no more recorded"), (nil, .stopped, "no more recorded"),
    ] {
      var run = base
      (run.description.sampling, run.state) = (sampling, state)
      var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
      _ = model.update(.loading(.opened(run, file: "a.db", sequences: [], pieces: [:])))
      for pass in passes { _ = model.update(.loading(.pass(pass))) }
      #expect(text(model).contains("came next        \(words)"), "\(words)")
    }
  }

  @Test func oneOfAKindIsNotMany() {
    #expect(
      Show.counted(1, "thread") == "1 thread" && Show.counted(0, "thread") == "0 threads" && Show.counted(2048, "thread") == "2,048 threads"
    )
  }

  // MARK: - The list of runs

  /// Work that is handed over runs as late as it likes and in any order, as on several threads.
  private final class LateBackground: Sendable {
    private let work = Locked<[@Sendable () -> Void]>([])
    func run(_ piece: @escaping @Sendable () -> Void) { work.withLock { $0.append(piece) } }
    func runLastFirst() { while let piece = work.withLock({ $0.popLast() }) { piece() } }
  }

  private final class Told: Sendable {
    private let list = Locked<[Action]>([])
    var actions: [Action] { list.withLock { $0 } }
    func post(_ action: Action) { list.withLock { $0.append(action) } }
  }

  @Test func aDeletedRunIsNeverListedAgain() throws {
    let folder = try TemporaryDirectory()
    let model = try #require(Fixtures.own("models/olmoe"))
    for _ in 0..<3 {
      #expect(try Binary.run(["run", model, "--tokens", model + "/input.json", "--data-dir", folder.path, "-q"]).status == 0)
    }
    let late = LateBackground()
    let told = Told()
    let settings = SessionSettings(engine: .none, traces: try TraceOptions.parse(["--data-dir", folder.path]))
    let runner = EffectRunner(
      settings, now: { 0 }, background: { late.run($0) }, post: { told.post($0) },
      startEngine: { _, _ in NoEngine() })
    let file = folder.file("traces.db")
    let startedAt = try TraceReader(file: file).run(.id(2)).description.startedAt
    _ = runner.run(.listRuns(file: nil))
    _ = runner.run(.deleteRun(RunPlace(file: file, run: 2, startedAt: startedAt)))
    // Another trace under that name: its run 3 is not the one that was looked at.
    _ = runner.run(.deleteRun(RunPlace(file: file, run: 3, startedAt: 1)))
    late.runLastFirst()
    let lists = told.actions.compactMap { action -> [Int64]? in
      if case .runs(.success(let runs), _) = action { runs.map(\.id) } else { nil }
    }
    #expect(lists == [[1, 2, 3], [1, 3], [1, 3]])
    let said = told.actions.compactMap { action in if case .said(let words, .error) = action { words } else { nil } }
    #expect(said.count == 1 && said.first?.contains("run 3 is another one than it was") == true, "\(said)")
  }
}
