// The engine without a clock and without a thread: it does one piece of work at a time (a prompt, a token, a text) and says what
// happened. EngineSession drives it from a thread of its own; session scripts drive it by hand, which makes them deterministic.

import Foundation
import Model
import Routing
import Store

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
  private let stream: StreamJoiner
  private var sequenceCount = 0

  /// Opens the model; says so by `.opened` and the state of the recording.
  ///
  /// - Throws: what opening a model throws. A recording that cannot begin is reported, not thrown.
  init(modelPath: String, options: EngineOptions, recording: SessionRecorder.Plan?, emit: @escaping (EngineEvent) -> Void) throws {
    model = try options.open(modelPath)
    do { tokenizer = try model.openTokenizer() } catch ModelError.noTokenizer { tokenizer = nil }
    forward = ForwardPass(model, threads: options.threads)
    stream = StreamJoiner(tokenizer, vocabularySize: model.vocabularySize)
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
      if wasBusy { tell(.idle(reason: "cancelled")) }
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
  }

  /// Hands what streamed since the last time to the recording and to the screens.
  func handOver() {
    if let part = stream.take() {
      recorder?.receive(part.pass)
      emit(.streamed(part))
    }
    if let status = recorder?.changedStatus { emit(.recording(status)) }
  }

  /// Closes the recording.
  func shutDown(_ outcome: RunOutcome) {
    handOver()
    recorder?.finish(outcome, timeout: 3)
  }

  /// An event in its place among the tokens.
  private func tell(_ event: EngineEvent) {
    handOver()
    emit(event)
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
    tell(.refused(message: Failure.message(of: error)))
    tell(.idle(reason: "stopped"))
  }

  private func begin(_ request: GenerationRequest) throws {
    guard let tokenizer else { throw ModelError.noTokenizer(path: model.path) }
    let limit = min(request.promptLimit ?? model.contextLength, model.contextLength)
    let tokens = Array(try tokenizer.encode(request.text, addSpecialTokens: true).prefix(limit))
    announce(request.description)
    let generator = try Generator(
      forward, prompt: TokenSequence(request.description, tokens: tokens), sampling: request.sampling, sink: stream,
      sequence: sequenceCount, firstToken: tokenCount)
    sequenceCount += 1
    tokenCount = generator.tokenCount
    if let draw = generator.next { stream.note(draw) }
    job = .generation(generator, left: request.maxTokens)
  }

  private func generate(_ generator: Generator, left: Int) throws {
    let ended = generator.next.map { model.endTokens.contains($0.token) } ?? true
    guard left > 0, generator.canAdvance, !ended, let draw = try generator.advance() else {
      job = nil
      tell(.idle(reason: ended ? "the text ended" : left > 0 ? "the context is full" : "done"))
      return
    }
    tokenCount = generator.tokenCount
    job = .generation(generator, left: left - 1)
    stream.note(draw)
  }

  private func read(_ texts: [LabelledText]) throws {
    guard let tokenizer else { throw ModelError.noTokenizer(path: model.path) }
    guard let text = texts.first else {
      job = nil
      tell(.idle(reason: "all texts are read"))
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
    _ = try reader.read([TokenSequence(text.description, tokens: tokens)], sink: stream)
  }

  private func announce(_ description: SequenceDescription) {
    tell(.began(description))
    recorder?.begin(description)
  }
}
