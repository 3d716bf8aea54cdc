// The engine without a clock and without a thread: it does one piece of work at a time (a prompt, a token, a text) and says what
// happened. EngineSession drives it from a thread of its own; session scripts drive it by hand, which makes them deterministic.

import Foundation
import Model
import Routing

final class EngineCore {
  private enum Job {
    case generation(Generator, left: Int)
    case reading([LabelledText])
  }

  let summary: EngineSummary
  private let model: LanguageModel
  private let tokenizer: Tokenizer?
  private let forward: ForwardPass
  private let recorder: SessionRecorder?
  private let emit: (EngineEvent) -> Void
  private var job: Job?
  private var waiting: [EngineRequest] = []
  private var feed: PromptFeed?
  private var tokenCount = 0
  /// What tokens spell, by id: asked for again at every draw.
  private let pieces: TokenPieces
  private var sequenceCount = 0

  /// Opens the model; says so by `.opened` and the state of the recording.
  ///
  /// - Throws: what opening a model throws. A recording that cannot begin is reported, not thrown.
  init(modelPath: String, options: EngineOptions, recording: SessionRecorder.Plan?, emit: @escaping (EngineEvent) -> Void) throws {
    model = try options.open(modelPath)
    do { tokenizer = try model.openTokenizer() } catch ModelError.noTokenizer { tokenizer = nil }
    forward = ForwardPass(model, threads: options.threads)
    pieces = TokenPieces(tokenizer)
    self.emit = emit
    summary = EngineSummary(
      modelName: model.name, family: model.family, layerCount: model.layerCount, quantization: model.facts().quantization,
      simd: Engine.simdLevel, threads: forward.threadCount, routers: model.routers, contextLength: model.contextLength,
      readsText: tokenizer != nil)
    emit(.opened(summary))
    let (model, tokenizer, threads) = (model, tokenizer, forward.threadCount)
    recorder = recording.map { plan in
      SessionRecorder(plan, model: model, threads: threads) { tokenizer?.tokenBytes($0) }
    }
    emit(.recording(recorder == nil ? .off : .starting))
  }

  /// Whether `advance` has something to do.
  var isBusy: Bool { job != nil || !waiting.isEmpty || feed != nil }

  /// Puts work in line, or gives it up; pace and pausing are the driver's business.
  func take(_ request: EngineRequest) {
    switch request {
    case .generate, .read: waiting.append(request)
    case .feed(let texts): feed = texts
    case .cancel:
      let wasBusy = isBusy
      (job, waiting, feed) = (nil, [], nil)
      if wasBusy { emit(.idle(reason: "cancelled")) }
    case .pause, .resume, .step, .limitRate, .shutDown: break
    }
  }

  /// One piece of work.
  func advance() {
    if job == nil {
      if !waiting.isEmpty { begin(waiting.removeFirst()) } else if let request = feed?.next() { begin(.generate(request)) }
    }
    guard let current = job else { return }
    do {
      switch current {
      case .generation(let generator, let left): try generate(generator, left: left)
      case .reading(let texts): try read(texts)
      }
    } catch { refuse(error) }
    if let status = recorder?.changedStatus { emit(.recording(status)) }
  }

  /// Closes the recording.
  func shutDown() {
    recorder?.finish(timeout: 3)
  }

  private func begin(_ request: EngineRequest) {
    do {
      switch request {
      case .generate(let request): try begin(request)
      case .read(let texts): job = .reading(texts)
      default: break
      }
    } catch { refuse(error) }
  }

  /// Says what failed and rests: a feed whose text failed is not tried again.
  private func refuse(_ error: any Error) {
    (job, feed) = (nil, nil)
    emit(.refused(message: Failure.message(of: error)))
    emit(.idle(reason: "stopped"))
  }

  private func begin(_ request: GenerationRequest) throws {
    guard let tokenizer else { throw ModelError.noTokenizer(path: model.path) }
    let limit = min(request.promptLimit ?? model.contextLength, model.contextLength)
    let tokens = Array(try tokenizer.encode(request.text, addSpecialTokens: true).prefix(limit))
    announce(request.description)
    let generator = try Generator(
      forward, prompt: TokenSequence(request.description, tokens: tokens), sampling: request.sampling, sink: listener,
      sequence: sequenceCount, firstToken: tokenCount)
    sequenceCount += 1
    tokenCount = generator.tokenCount
    if let draw = generator.next { post(draw) }
    job = .generation(generator, left: request.maxTokens)
  }

  private func generate(_ generator: Generator, left: Int) throws {
    let ended = generator.next.map { model.endTokens.contains($0.token) } ?? true
    guard left > 0, generator.canAdvance, !ended, let draw = try generator.advance() else {
      job = nil
      emit(.idle(reason: ended ? "the text ended" : left > 0 ? "the context is full" : "done"))
      return
    }
    tokenCount = generator.tokenCount
    job = .generation(generator, left: left - 1)
    post(draw)
  }

  private func read(_ texts: [LabelledText]) throws {
    guard let tokenizer else { throw ModelError.noTokenizer(path: model.path) }
    guard let text = texts.first else {
      job = nil
      emit(.idle(reason: "all texts are read"))
      return
    }
    job = .reading(Array(texts.dropFirst()))
    let tokens = Array(try tokenizer.encode(text.text, addSpecialTokens: true).prefix(model.contextLength))
    guard !tokens.isEmpty else { return }
    announce(text.description)
    var reader = Reader(forward)
    (reader.firstToken, reader.firstSequence) = (tokenCount, sequenceCount)
    sequenceCount += 1
    tokenCount += tokens.count
    _ = try reader.read([TokenSequence(text.description, tokens: tokens)], sink: listener)
  }

  private func announce(_ description: SequenceDescription) {
    recorder?.begin(description)
    emit(.began(description))
  }

  private var listener: RoutingFanOut {
    let poster = PassPoster { [pieces, emit] pass in emit(.pass(pass, texts: pass.tokens.tokenID.map { pieces[$0] })) }
    return RoutingFanOut([poster] + (recorder.map { [$0] } ?? []))
  }

  private func post(_ draw: TokenDraw) {
    emit(.drew(draw, texts: draw.candidates.map { pieces[$0.token] }))
  }
}

/// What tokens spell; empty without a tokenizer. Each id is decoded once.
private final class TokenPieces {
  private let tokenizer: Tokenizer?
  private var known: [Int32: [UInt8]] = [:]

  init(_ tokenizer: Tokenizer?) { self.tokenizer = tokenizer }

  subscript(id: Int32) -> [UInt8] {
    if let bytes = known[id] { return bytes }
    let bytes = tokenizer?.tokenBytes(id) ?? []
    known[id] = bytes
    return bytes
  }
}

/// Hands passes to a closure, all logits included: the token inspector draws every expert's probability.
private final class PassPoster: RoutingSink {
  let demand = RoutingDemand(logitsEvery: 1)
  private let deliver: (RoutingPass) -> Void

  init(_ deliver: @escaping (RoutingPass) -> Void) { self.deliver = deliver }
  func receive(_ pass: RoutingPass) { deliver(pass) }
}
