// A session without a terminal: a script's lines become actions, the clock is moved by hand and the engine is driven token by token, so
// the same script gives the same screens. For tests, pictures and bug reports; `update` and `view` are those of the real thing.
//
//     open samples/olmoe-tiny      wait 40 tokens      key space      type the quick      resize 80x24
//     open samples/dit-moe-tiny    wait 3 steps
//     do token 18                  click 12 5          dump live.svg  # words after a hash are for people

import Foundation
import Model
import Store
import Synchronization
import Terminal

final class ScriptPlayer {
  private(set) var model: AppModel
  private let outbox = Outbox()
  private var runner: EffectRunner?
  private var driven: DrivenEngine? { runner?.engine as? DrivenEngine }
  private(set) var isDone = false
  private(set) var failure: Failure?
  /// Screens written by `dump` lines.
  private let write: (String, CellBuffer) throws -> Void

  init(size: Size, theme: Theme, settings: SessionSettings, write: @escaping (String, CellBuffer) throws -> Void) {
    self.write = write
    model = AppModel(size: size, theme: theme)
    let outbox = outbox
    runner = EffectRunner(
      settings, now: { 0 }, background: { $0() }, post: { outbox.post($0) },
      startEngine: { DrivenEngine($0, settings, $1) })
  }

  /// The screen as it is, or without colour, so that heat can be read in plain text.
  func screen(plain: Bool) -> CellBuffer {
    var model = model
    if plain { model.theme.depth = .mono }
    return Painter.draw(model).screen
  }

  private func dump(_ name: String) throws { try write(name, screen(plain: name.hasSuffix(".txt"))) }

  func open(_ what: String) {
    perform([.open(what)])
    settle()
  }

  /// - Throws: `Failure` naming the line that is not understood.
  func play(_ script: String) throws {
    for (number, line) in script.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where !isDone {
      let words = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? ""
      let text = line.hasPrefix("type ") ? String(line) : words.trimmingCharacters(in: .whitespaces)
      guard !text.isEmpty else { continue }
      guard try step(text) else { throw Failure(.usage, "script line \(number + 1): not understood: \(text)") }
    }
    if let failure { throw failure }
  }

  func finish() { runner?.closeEngine(.completed) }

  private func step(_ line: String) throws -> Bool {
    let parts = line.split(separator: " ", maxSplits: 1).map(String.init)
    let rest = parts.count > 1 ? parts[1] : ""
    switch parts[0] {
    case "key":
      for name in rest.split(separator: " ") {
        guard let key = KeyEvent(String(name)) else { return false }
        apply(.key(key))
      }
    case "type": for character in rest { apply(.key(.char(character))) }
    case "paste": apply(.paste(rest))
    case "do":
      let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
      guard let name = words.first, let id = ActionID(rawValue: name) else { return false }
      apply(.perform(id, words.count > 1 ? words[1] : ""))
    case "open": open(rest)
    case "resize":
      guard let size = Size(rest) else { return false }
      apply(.resize(size))
    case "click":
      let numbers = rest.split(separator: " ").compactMap { Int($0) }
      guard numbers.count == 2 else { return false }
      apply(.mouse(MouseEvent(.press, at: Point(x: numbers[0], y: numbers[1]))))
    case "wait":
      let words = rest.split(separator: " ").map(String.init)
      guard words.count == 2, let amount = Double(words[0]) else { return false }
      if words[1].hasPrefix("token") {
        wait(rows: Int(amount))
      } else if words[1].hasPrefix("step") {
        wait(rows: Int(amount) * (model.layout.map { $0.branchCount * $0.patchCount } ?? 1))
      } else if words[1].hasPrefix("second") {
        pass(seconds: amount)
      } else {
        return false
      }
    case "dump": try dump(rest)
    default: return false
    }
    return true
  }

  /// Lets the engine go on until so many more rows were seen.
  private func wait(rows: Int) {
    let goal = (model.buffer?.end ?? 0) + rows
    while (model.buffer?.end ?? 0) < goal, !isDone, !model.isPaused, let driven, driven.isBusy {
      driven.advance()
      pass(seconds: 1 / (model.rate ?? 200))
    }
  }

  private func pass(seconds: Double) {
    model.now += seconds
    settle()
    if let tick = model.nextTick, tick <= model.now { apply(.tick) }
  }

  private func apply(_ action: Action) {
    perform(model.update(action))
    settle()
  }

  /// Delivers answers until there are no more.
  private func settle() {
    while true {
      var actions = outbox.take()
      if let events = driven?.takeEvents(), !events.isEmpty { actions.append(.engine(events)) }
      if actions.isEmpty { return }
      for action in actions { perform(model.update(action)) }
    }
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects where runner?.run(effect) == false {
      switch effect {
      case .quit: isDone = true
      case .fail(let reason): (failure, isDone) = (reason, true)
      case .copy(let text): model.say("copied: \(Printable.cut(text.replacingOccurrences(of: "\t", with: "  "), to: 60))", .good)
      default: break
      }
    }
  }
}

/// Answers that wait to be delivered.
private final class Outbox: Sendable {
  private let actions = Mutex<[Action]>([])

  func post(_ action: Action) { actions.withLock { $0.append(action) } }

  func take() -> [Action] {
    actions.withLock { box in
      defer { box.removeAll() }
      return box
    }
  }
}

/// An engine that moves when it is told to.
private final class DrivenEngine: EngineDriver {
  private final class Events {
    var list: [EngineEvent] = []
  }
  private let events = Events()
  private var core: EngineCore?

  init(_ path: String, _ settings: SessionSettings, _ recording: SessionRecorder.Plan?) {
    let events = events
    do {
      core = try EngineCore(modelPath: path, options: settings.engine, denoising: settings.denoising, recording: recording) {
        events.list.append($0)
      }
    } catch {
      events.list.append(.failed(message: Failure.message(of: error), status: (Failure.status(of: error) ?? .failed).rawValue))
    }
  }

  var isBusy: Bool { core?.isBusy ?? false }

  func advance() {
    core?.advance()
    core?.handOver()
  }

  func send(_ request: EngineRequest) {
    core?.take(request)
    if request == .step { advance() }
  }

  var hasEvents: Bool { !events.list.isEmpty }

  func takeEvents() -> [EngineEvent] {
    defer { events.list.removeAll() }
    return events.list
  }

  func close(_ outcome: RunOutcome) {
    core?.shutDown(outcome)
    core = nil
  }
}
