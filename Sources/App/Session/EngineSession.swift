// The engine behind the screens: a thread of its own that drives an EngineCore at the pace that was asked for and leaves events in a
// mailbox. It looks for requests between tokens, so pausing takes effect within one forward pass, and cancelling within one of its steps.

import Foundation
import Model
import Routing
import Store
import Terminal

/// Runs a model on its own thread.
///
/// Screens that are behind are waited for: at most `mostEvents` wait for them, and one piece of work.
///
/// `@unchecked Sendable`: `mailbox` is guarded by its mutex, `wakeUp` and `ended` are semaphores; everything else is touched by the
/// engine's thread only.
final class EngineSession: @unchecked Sendable {
  private struct Mailbox {
    var events: [EngineEvent] = []
    var requests: [EngineRequest] = []
  }

  private let mailbox = Locked(Mailbox())
  private let wakeUp = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let modelPath: String
  private let options: EngineOptions
  private let denoising: DenoisingSettings
  private let recording: SessionRecorder.Plan?
  private let waker: Waker

  // The engine thread's own.
  private var isPaused = false
  private var steps = 0
  private var rate: Double?
  private var outcome: RunOutcome?
  private var lastHandOver = 0.0
  private var lastShare = 0.0
  /// Events that may wait for the screens, some seconds of hand-overs, before the engine rests.
  static let mostEvents = 128
  /// Seconds between hand-overs of tokens at least.
  private static let handOverInterval = 1.0 / 30

  /// - Parameter waker: called when the mailbox gets its first event.
  init(modelPath: String, options: EngineOptions, denoising: DenoisingSettings, recording: SessionRecorder.Plan?, waker: Waker) {
    self.modelPath = modelPath
    self.options = options
    self.denoising = denoising
    self.recording = recording
    self.waker = waker
  }

  func start() {
    let thread = Thread { self.main() }
    thread.stackSize = 8 << 20
    thread.name = "engine"
    thread.start()
  }

  func send(_ request: EngineRequest) {
    mailbox.withLock { $0.requests.append(request) }
    wakeUp.signal()
  }

  var hasEvents: Bool { mailbox.withLock { !$0.events.isEmpty } }

  /// Everything that happened since the last call.
  func takeEvents() -> [EngineEvent] {
    let events = mailbox.withLock { box in
      defer { box.events.removeAll() }
      return box.events
    }
    if events.count >= Self.mostEvents { wakeUp.signal() }
    return events
  }

  /// Whether the engine waits for the screens.
  var isFarAhead: Bool { mailbox.withLock { $0.events.count >= Self.mostEvents } }

  /// Ends the engine and closes its recording; waits so long at most.
  func close(_ outcome: RunOutcome, timeout seconds: Double) {
    send(.shutDown(outcome))
    _ = ended.wait(timeout: .now() + seconds)
  }

  // MARK: - The engine's thread

  private func main() {
    defer { ended.signal() }
    let core: EngineCore
    do {
      core = try EngineCore(modelPath: modelPath, options: options, denoising: denoising, recording: recording) { [self] in post($0) }
    } catch {
      post(.failed(message: Failure.message(of: error), status: (Failure.status(of: error) ?? .failed).rawValue))
      return
    }
    core.mayGoOn = { [self] in mailbox.withLock { !$0.requests.contains(where: \.endsWork) } }
    var due = steadyClock()
    while waitForTurn(core, &due) {
      core.advance()
      handOver(core, now: steadyClock())
    }
    core.shutDown(outcome ?? .completed)
  }

  /// Tokens reach the screens and the recording at most 30 times a second, however fast they come.
  private func handOver(_ core: EngineCore, now: Double) {
    let due = lastHandOver + Self.handOverInterval
    guard now >= due else { return }
    core.handOver()
    // A step that ended late makes no other hand-over late.
    lastHandOver = now - due < Self.handOverInterval ? due : now
  }

  /// Waits for work, while paused, and for the rate limit. False: the end.
  private func waitForTurn(_ core: EngineCore, _ due: inout Double) -> Bool {
    while true {
      takeRequests(core)
      if outcome != nil { return false }
      guard core.isBusy, !isPaused || steps > 0, !isFarAhead else {
        core.handOver()
        wakeUp.wait()
        continue
      }
      if isPaused {
        steps -= 1
        return true
      }
      guard let rate else { return true }
      let now = steadyClock()
      if due > now {
        handOver(core, now: now)
        _ = wakeUp.wait(timeout: .now() + min(due - now, 1 / rate, Self.handOverInterval))
        continue
      }
      due = max(due, now - 1 / rate) + 1 / rate
      return true
    }
  }

  private func takeRequests(_ core: EngineCore) {
    let requests = mailbox.withLock { box in
      defer { box.requests.removeAll() }
      return box.requests
    }
    for request in requests {
      switch request {
      case .pause: isPaused = true
      case .resume: (isPaused, steps) = (false, 0)
      case .step: steps += 1
      case .limitRate(let limit): rate = limit
      case .shutDown(let outcome): self.outcome = outcome
      case .generate, .read, .denoise, .feed, .cancel: core.take(request)
      }
    }
  }

  private func post(_ event: EngineEvent) {
    if case .reading(let share) = event {
      // A step of a small model takes less than a frame. The last is the only one of that share.
      let now = steadyClock()
      guard share.done == share.total || now >= lastShare + Self.handOverInterval else { return }
      lastShare = now
    }
    let isFirst = mailbox.withLock { box in
      box.events.append(event)
      return box.events.count == 1
    }
    if isFirst { waker.wake() }
  }
}
