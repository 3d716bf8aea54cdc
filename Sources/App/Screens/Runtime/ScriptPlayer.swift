// A session without a terminal: a script's steps become actions, the clock is moved by hand and the engine is driven token by token, so
// the same script gives the same screens. For tests, pictures and bug reports; `update` and `view` are those of the real thing. What a
// script may say is in SessionScript.

import Foundation
import Model
import Routing
import Store
import Terminal

final class ScriptPlayer {
  private(set) var model: AppModel
  private let outbox = Outbox()
  private var runner: EffectRunner?
  private var driven: DrivenEngine? { runner?.engine as? DrivenEngine }
  private(set) var isDone = false
  private(set) var failure: Failure?
  /// What asked for something that was not done, with the reason that the screen gave.
  private var refused: [String] = []
  /// Why the present step was not done; nil while nothing was refused.
  private var refusal: String?
  /// Steps that are named, each; a long script may have many that were refused.
  private static let mostNamed = 10
  /// Screens written by `dump` lines, with the files that they must not be.
  private let write: (String, CellBuffer, [String]) throws -> Void

  init(
    size: Size, theme: Theme, _ chosen: Settings, settings: SessionSettings,
    write: @escaping (String, CellBuffer, [String]) throws -> Void
  ) {
    self.write = write
    model = AppModel(size: size, theme: theme, settings: chosen)
    let outbox = outbox
    runner = EffectRunner(
      settings, now: wallClock, background: { $0() }, post: { outbox.post($0) },
      startEngine: { DrivenEngine($0, settings, $1) })
  }

  /// The screen as a file of that kind shows it: without colour as text, so that heat can be read.
  func screen(for file: ScreenFile?) -> CellBuffer {
    var model = model
    if file == .text { model.theme.depth = .mono }
    return Painter.draw(model).screen
  }

  /// Opens what the session begins with.
  ///
  /// - Parameter tour: a walk that begins when there is something to see.
  func begin(_ what: String, tour: Tour? = nil) {
    model.tour = tour
    noting("opening \(what)") { open(what) }
  }

  private func open(_ what: String) {
    perform([.open(what)])
    settle()
  }

  /// Plays until the end, or until the session is left. A step that is refused is a message on the screen and not the end of it, as for
  /// whoever sits before one; what the script asks to be drawn afterwards shows it.
  ///
  /// - Throws: the `Failure` that the session ended with, and what writing a screen throws.
  func play(_ script: SessionScript) throws {
    for line in script.lines {
      if isDone, failure == nil {
        refused.append("line \(line.number), \(Printable.cut(line.text, to: 60)): the session was left before it")
        continue
      }
      if isDone { break }
      try noting("line \(line.number), \(Printable.cut(line.text, to: 60))") { try take(line.step) }
    }
    if let failure { throw failure }
  }

  private func noting(_ step: String, _ body: () throws -> Void) rethrows {
    refusal = nil
    try body()
    if let refusal { refused.append("\(step): \(refusal)") }
  }

  /// - Throws: `Failure` that names the lines that were not done, where there are any.
  func requireAllDone() throws {
    guard let first = refused.first else { return }
    let more = refused.count - Self.mostNamed
    let words = refused.count == 1 ? "script \(first)" : "\(refused.count) lines of the script were not done"
    let named = refused.count == 1 ? [] : Array(refused.prefix(Self.mostNamed)) + (more > 0 ? ["and \(more) more"] : [])
    throw Failure(.failed, ([words] + named).joined(separator: "\n  "))
  }

  /// The files that the session reads and records into.
  var files: [String] { runner?.files ?? [] }

  func finish() {
    perform(model.room.leave(&model))
    runner?.closeEngine(.completed)
  }

  private func take(_ step: ScriptStep) throws {
    switch step {
    case .keys(let keys): for key in keys { apply(.key(key)) }
    case .type(let text): for character in text { apply(.key(.char(character))) }
    case .paste(let text): apply(.paste(text))
    case .perform(let id, let argument): apply(.perform(id, argument))
    case .open(let what): open(what)
    case .resize(let size): apply(.resize(size))
    case .click(let place): apply(.mouse(MouseEvent(.press, at: place)))
    case .wait(.tokens(let count)): wait(rows: count)
    case .wait(.steps(let count)): wait(rows: count * (model.layout.map { $0.branchCount * $0.patchCount } ?? 1))
    case .wait(.seconds(let seconds)): pass(seconds: seconds)
    case .dump(let name): try write(name, screen(for: ScreenFile(name: name)), files)
    }
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
    let before = model.refusals
    perform(model.update(action))
    if model.refusals > before { note(model.message) }
    settle()
  }

  private func note(_ message: AppModel.Message?) { refusal = refusal ?? message?.text }

  /// Delivers answers until there are no more.
  private func settle() {
    while true {
      var actions = outbox.take()
      if let events = driven?.takeEvents(), !events.isEmpty { actions.append(.engine(events)) }
      if actions.isEmpty { return }
      for action in actions {
        let before = model.refusals
        perform(model.update(action))
        // A warning that comes with an answer is no refusal: what was asked for was done.
        if model.refusals > before, model.message?.role == .error { note(model.message) }
      }
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
  private let actions = Locked<[Action]>([])

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
