// The program on a real terminal: waits for keys, answers and frames, and for nothing else. At most 30 frames a second, none without a
// change; the terminal is given back on every way out, and errors are told after that.

import Foundation
import Routing
import Store
import Terminal

/// Answers from other threads, for the loop to fetch.
private final class Inbox: Sendable {
  private let actions = Locked<[Action]>([])
  private let waker: Waker

  init(waker: Waker) { self.waker = waker }

  func post(_ action: Action) {
    let isFirst = actions.withLock { box in
      box.append(action)
      return box.count == 1
    }
    if isFirst { waker.wake() }
  }

  func take() -> [Action] {
    actions.withLock { box in
      defer { box.removeAll() }
      return box
    }
  }
}

final class TerminalLoop {
  private let terminal: any TerminalDevice
  private let inbox: Inbox
  private let runner: EffectRunner
  private(set) var model: AppModel
  private var pacer = FramePacer()
  private var isDone = false
  private var failure: Failure?
  /// Whether what the command named is still being opened: if that fails there is nothing to go back to.
  private var isFirst = false
  /// Characters that came at once while a line is typed into: they go into it in one piece, as a paste does.
  private var typed = ""
  /// Answers that came while others were taken: of a long trace hundreds a second.
  private var waiting: ArraySlice<Action> = []
  /// Seconds that one turn may take from what has come, so that frames are seen while more comes.
  private static let turn = 0.1

  /// - Parameter histories: lines that were typed in sessions before.
  init(_ terminal: any TerminalDevice, _ chosen: Settings, _ histories: [ActionID: [String]], settings: SessionSettings) {
    self.terminal = terminal
    let inbox = Inbox(waker: terminal.waker)
    self.inbox = inbox
    model = AppModel(size: terminal.size, theme: terminal.traits.theme(), settings: chosen, showsPictures: terminal.traits.showsPictures)
    model.histories = histories
    let waker = terminal.waker
    let queue = DispatchQueue(label: "moetop.background", qos: .userInitiated, attributes: .concurrent)
    runner = EffectRunner(
      settings, now: wallClock, background: { work in queue.async(execute: work) }, post: { inbox.post($0) },
      startEngine: { path, recording in
        let session = EngineSession(
          modelPath: path, options: settings.engine, denoising: settings.denoising, recording: recording, waker: waker)
        session.start()
        return session
      })
  }

  /// Runs until the user leaves or the terminal goes away.
  ///
  /// - Parameters:
  ///   - start: what to open first.
  ///   - tour: a walk that begins when there is something to see.
  /// - Throws: `Failure`, after the terminal was given back.
  func run(_ start: [Effect], tour: Tour? = nil) throws {
    defer { terminal.close() }
    model.tour = tour
    if case .open(let name)? = start.first { (isFirst, model.source) = (true, .opening(name)) }
    perform(start)
    while !isDone {
      var wait = pacer.wait(now: .now)
      if let tick = model.nextTick {
        let left = Duration.seconds(max(0, tick - steadyClock()))
        wait = min(wait ?? left, left)
      }
      if !waiting.isEmpty { wait = .zero }
      let event = wait == .zero ? try terminal.poll(timeout: .zero) : try terminal.poll(timeout: wait)
      model.now = steadyClock()
      if let event { take(event) }
      let end = model.now + Self.turn
      while !isDone, steadyClock() < end, let next = try terminal.poll(timeout: .zero) { take(next) }
      takeTyped()
      waiting += inbox.take()
      while !isDone, let action = waiting.popFirst() {
        apply(action)
        if pacer.wait(now: .now) == .zero || steadyClock() >= end { break }
      }
      if let tick = model.nextTick, tick <= model.now { apply(.tick) }
      if runner.engine?.hasEvents == true { pacer.invalidate() }
      if !isDone, pacer.take(now: .now) { showFrame() }
    }
    // Whoever leaves ends the session as it should end; a signal or a lost terminal cuts it short.
    runner.closeEngine(failure == nil ? .completed : .stopped)
    runner.finishEdits()
    terminal.close()
    if let failure { throw failure }
  }

  /// What the engine did since the last frame, and the frame. Fewer frames would not save the first: every decision is counted once.
  private func showFrame() {
    if let events = runner.engine?.takeEvents(), !events.isEmpty { perform(model.update(.engine(events))) }
    let start = threadTime()
    present()
    pacer.spent(threadTime() - start)
  }

  private func take(_ event: InputEvent) {
    if case .key(.char(let character)) = event, model.isTyping {
      typed.append(character)
      return
    }
    takeTyped()
    switch event {
    case .key(let key): apply(.key(key))
    case .mouse(let mouse): apply(.mouse(mouse))
    case .paste(let text): apply(.paste(text))
    case .resize(let size): apply(.resize(size))
    case .resumed:
      terminal.invalidate()
      apply(.resize(terminal.size))
    case .wake: break
    case .terminated(let signal):
      failure = Failure(ExitStatus(rawValue: 128 + signal) ?? .terminated, "stopped by a signal\(model.whatIsKept)")
      isDone = true
    case .eof:
      failure = Failure(.hangUp, "the terminal is gone\(model.whatIsKept)")
      isDone = true
    }
  }

  private func takeTyped() {
    guard let first = typed.first else { return }
    let text = typed
    typed = ""
    apply(text.dropFirst().isEmpty ? .key(.char(first)) : .paste(text))
  }

  private func apply(_ action: Action) {
    if isFirst, case .loading(.failed(let reason)) = action { return perform([.fail(reason)]) }
    if action.opens { isFirst = false }
    let effects = model.update(action)
    // Without a model at work nobody else needs the cores: a replay runs at the full rate.
    pacer.invalidate(isUrgent: action.isOfUser || runner.engine == nil && action.isTick)
    perform(effects)
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects where !runner.run(effect) {
      switch effect {
      case .copy(let text): copy(text)
      case .setMouse(let on): try? terminal.setMouse(on)
      case .redraw: terminal.invalidate()
      case .suspend: suspend()
      case .quit: isDone = true
      case .fail(let reason):
        failure = reason
        isDone = true
      default: break
      }
    }
  }

  private func present() {
    let frame = Painter.draw(model)
    do {
      try terminal.present(frame.screen, cursor: frame.cursor)
      try terminal.place(frame.pictures)
    } catch {
      failure = Failure(.hangUp, "the terminal is gone\(model.whatIsKept)")
      isDone = true
    }
  }

  /// The engine rests while the program is stopped.
  private func suspend() {
    if !model.isPaused { runner.engine?.send(.pause) }
    do { try terminal.suspend() } catch { isDone = true }
    if !model.isPaused { runner.engine?.send(.resume) }
  }

  private func copy(_ text: String) {
    #if os(macOS)
      let isMac = true
    #else
      let isMac = false
    #endif
    let environment = TerminalOptions.currentEnvironment()
    let plan = ClipboardPlan(text: text, environment: environment, isMac: isMac) { Self.find($0) != nil }
    let isCopied =
      switch plan {
      case .terminal(let sequence): (try? terminal.send(sequence)) != nil
      case .command(let words): words.first.flatMap(Self.find).map { Self.pipe(text, to: $0, Array(words.dropFirst())) } ?? false
      case .unavailable: false
      }
    if isCopied {
      model.say("copied by \(plan.description): \(Printable.cut(text.replacingOccurrences(of: "\t", with: "  "), to: 60))", .good)
    } else {
      model.say("not copied: \(plan.description)", .warning)
    }
    pacer.invalidate()
  }

  private static func find(_ tool: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(tool)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// - Returns: whether the tool has taken the text.
  private static func pipe(_ text: String, to path: String, _ arguments: [String]) -> Bool {
    let process = Process()
    let input = Pipe()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    defer { try? input.fileHandleForWriting.close() }
    return (try? input.fileHandleForWriting.write(contentsOf: Data(text.utf8))) != nil
  }
}

extension Action {
  fileprivate var isTick: Bool { if case .tick = self { true } else { false } }

  /// Something is on the screen, or will be.
  fileprivate var opens: Bool {
    switch self {
    case .modelChosen, .loading(.opened): true
    default: false
    }
  }
}

extension EngineSession: EngineDriver {
  func close(_ outcome: RunOutcome) { close(outcome, timeout: 5) }
}
