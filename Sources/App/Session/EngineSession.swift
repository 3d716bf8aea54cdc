// The engine behind the screens: a thread of its own that opens a model, generates or reads as it is asked, and leaves events in a
// mailbox. It checks for requests between tokens, so pausing and cancelling take effect within one forward pass.

import Foundation
import Model
import Routing
import Synchronization

/// Runs a model on its own thread.
///
/// `@unchecked Sendable`: `mailbox` is guarded by its mutex, `wakeUp` is a semaphore; everything else is touched by the engine's
/// thread only.
final class EngineSession: @unchecked Sendable {
  private struct Mailbox {
    var events: [EngineEvent] = []
    var requests: [EngineRequest] = []
  }

  private let mailbox = Mutex(Mailbox())
  private let wakeUp = DispatchSemaphore(value: 0)
  private let modelPath: String
  private let options: EngineOptions
  private let recorder: (any RoutingSink)?

  // The engine thread's own.
  private var isPaused = false
  private var steps = 0
  private var rate: Double?
  private var isCancelled = false
  private var isShutDown = false
  private var queue: [EngineRequest] = []
  private var tokenCount = 0
  private var sequenceCount = 0

  /// - Parameter recorder: a further listener to every pass, called on the engine's thread: the trace.
  init(modelPath: String, options: EngineOptions, recorder: (any RoutingSink)? = nil) {
    self.modelPath = modelPath
    self.options = options
    self.recorder = recorder
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

  /// Everything that happened since the last call.
  func takeEvents() -> [EngineEvent] {
    mailbox.withLock { box in
      defer { box.events.removeAll() }
      return box.events
    }
  }

  // MARK: - The engine's thread

  private func main() {
    do {
      let model = try options.open(modelPath)
      let tokenizer = try model.openTokenizer()
      let forward = ForwardPass(model, threads: options.threads)
      let facts = model.facts()
      post(
        .opened(
          EngineSummary(
            modelName: model.name, family: model.family, layerCount: model.layerCount, quantization: facts.quantization,
            simd: Engine.simdLevel, threads: forward.threadCount, routers: model.routers, contextLength: model.contextLength)))
      while !isShutDown {
        takeRequests()
        guard !queue.isEmpty else {
          wakeUp.wait()
          continue
        }
        isCancelled = false
        switch queue.removeFirst() {
        case .generate(let text, let sampling, let maxTokens): try generate(text, sampling, maxTokens, forward, tokenizer)
        case .read(let texts): try read(texts, forward, tokenizer)
        default: break
        }
      }
    } catch {
      post(.failed(message: Failure.message(of: error)))
    }
  }

  private func generate(
    _ text: LabelledText, _ sampling: SamplingSettings, _ maxTokens: Int, _ forward: ForwardPass, _ tokenizer: Tokenizer
  ) throws {
    let prompt = TokenSequence(text.description, tokens: Array(try tokenizer.encode(text.text, addSpecialTokens: true).prefix(forward.model.contextLength)))
    post(.began(text.description))
    let generator = try Generator(
      forward, prompt: prompt, sampling: sampling, sink: listener(tokenizer), sequence: sequenceCount, firstToken: tokenCount)
    sequenceCount += 1
    tokenCount = generator.tokenCount
    var due = steadyClock()
    if let draw = generator.next { post(draw, tokenizer) }
    for _ in 0..<maxTokens {
      guard waitForTurn(&due), generator.canAdvance, let draw = try generator.advance() else { break }
      tokenCount = generator.tokenCount
      post(draw, tokenizer)
    }
    if !isShutDown { post(.idle(reason: generator.canAdvance ? "done" : "the context is full")) }
  }

  private func read(_ texts: [LabelledText], _ forward: ForwardPass, _ tokenizer: Tokenizer) throws {
    for text in texts {
      var due = steadyClock()
      guard waitForTurn(&due) else { break }
      let tokens = Array(try tokenizer.encode(text.text, addSpecialTokens: true).prefix(forward.model.contextLength))
      post(.began(text.description))
      var reader = Reader(forward)
      (reader.firstToken, reader.firstSequence) = (tokenCount, sequenceCount)
      _ = try reader.read([TokenSequence(text.description, tokens: tokens)], sink: listener(tokenizer))
      tokenCount += tokens.count
      sequenceCount += 1
    }
    if !isShutDown { post(.idle(reason: isCancelled ? "cancelled" : "all texts are read")) }
  }

  /// Waits while paused and for the rate limit. False: stop what is going on.
  private func waitForTurn(_ due: inout Double) -> Bool {
    while true {
      takeRequests()
      if isShutDown || isCancelled { return false }
      if isPaused {
        if steps > 0 {
          steps -= 1
          return true
        }
        wakeUp.wait()
        continue
      }
      guard let rate else { return true }
      let now = steadyClock()
      due = max(due + 1 / rate, now - 1 / rate)
      if due > now { _ = wakeUp.wait(timeout: .now() + (due - now)) }
      return true
    }
  }

  private func takeRequests() {
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
      case .cancel: (isCancelled, steps) = (true, 0)
      case .shutDown: isShutDown = true
      case .generate, .read: queue.append(request)
      }
    }
  }

  private func listener(_ tokenizer: Tokenizer) -> RoutingFanOut {
    let poster = PassPoster { [self] pass in post(.pass(pass, texts: pass.tokens.tokenID.map { tokenizer.tokenBytes($0) ?? [] })) }
    return RoutingFanOut([poster] + (recorder.map { [$0] } ?? []))
  }

  private func post(_ draw: TokenDraw, _ tokenizer: Tokenizer) {
    post(.drew(draw, texts: draw.candidates.map { tokenizer.tokenBytes($0.token) ?? [] }))
  }

  private func post(_ event: EngineEvent) {
    mailbox.withLock { $0.events.append(event) }
  }
}

/// Hands passes to a closure, all logits included: the token inspector draws every expert's probability.
private final class PassPoster: RoutingSink {
  let demand = RoutingDemand(logitsEvery: 1)
  private let deliver: (RoutingPass) -> Void

  init(_ deliver: @escaping (RoutingPass) -> Void) { self.deliver = deliver }
  func receive(_ pass: RoutingPass) { deliver(pass) }
}
