// A language model at work: it continues a text token by token, or reads given texts one after the other.

import Model
import Routing

final class TextWork: EngineWork {
  private enum Job {
    case generation(Generator, left: Int)
    case reading([TokenSequence])
  }

  let summary: EngineSummary
  private let model: LanguageModel
  private let tokenizer: Tokenizer?
  private let forward: ForwardPass
  private let bos: BOSChoice
  private let stream: StreamJoiner
  private var job: Job?
  private var tokenCount = 0
  private var sequenceCount = 0

  /// - Throws: what opening a model throws.
  init(path: String, options: EngineOptions) throws {
    model = try options.open(path)
    do { tokenizer = try model.openTokenizer() } catch ModelError.noTokenizer { tokenizer = nil }
    bos = options.bos
    forward = ForwardPass(model, threads: options.threads)
    forward.isReproducible = options.reproducible
    stream = StreamJoiner(tokenizer, vocabularySize: model.vocabularySize)
    summary = EngineSummary(
      modelName: model.name, family: model.family, layerCount: model.layerCount, quantization: model.facts().quantization,
      simd: Engine.simdLevel, threads: forward.threadCount, routers: model.routers, contextLength: model.contextLength,
      readsText: tokenizer != nil, beginningToken: tokenizer?.bosToken, bos: options.bos.recorded,
      reproducible: options.reproducible ? true : nil)
  }

  var identified: any IdentifiedModel { model }

  var pieces: @Sendable (Int32) -> [UInt8]? {
    let tokenizer = tokenizer
    return { tokenizer?.tokenBytes($0) }
  }

  func begin(_ request: EngineRequest, _ announce: Announce) throws {
    job = nil
    switch request {
    case .generate(let request): try begin(request, announce)
    case .read(let texts): try begin(texts)
    default: throw Failure(.usage, "\(model.name) continues texts: it makes no images")
    }
  }

  func advance(_ announce: Announce) throws -> String? {
    switch job {
    case .generation(let generator, let left): try generate(generator, left: left)
    case .reading(let sequences): try read(sequences, announce)
    case nil: "done"
    }
  }

  func abandon() { job = nil }
  func takePart() -> StreamPart? { stream.take() }

  private func begin(_ request: GenerationRequest, _ announce: Announce) throws {
    let prompt = try sequence(LabelledText(description: request.description, text: request.text), limit: request.promptLimit)
    announce(request.description)
    // What was announced has a number, also when nothing comes of it.
    sequenceCount += 1
    let generator = try Generator(
      forward, prompt: prompt, sampling: request.sampling, maxTokens: request.maxTokens, sink: stream, sequence: sequenceCount - 1,
      firstToken: tokenCount)
    tokenCount = generator.tokenCount
    if let draw = generator.next { stream.note(draw) }
    job = .generation(generator, left: request.maxTokens)
  }

  private func generate(_ generator: Generator, left: Int) throws -> String? {
    let ended = generator.next.map { model.endTokens.contains($0.token) } ?? true
    guard left > 0, generator.canAdvance, !ended, let draw = try generator.advance() else {
      job = nil
      return generator.isBroken ? "the output logits are not finite" : ended ? "the text ended" : left > 0 ? "the context is full" : "done"
    }
    tokenCount = generator.tokenCount
    job = .generation(generator, left: left - 1)
    stream.note(draw)
    return nil
  }

  /// All texts, before the first of them is read: one that the model cannot take is told at once, as `moetop run` tells it.
  private func begin(_ texts: [LabelledText]) throws {
    job = .reading(try texts.map { try sequence($0) }.filter { !$0.tokens.isEmpty })
  }

  /// - Parameter limit: tokens that are kept, where only the beginning of a text was asked for.
  /// - Throws: `ModelError` for a text that is longer than the context: nothing is cut that nobody asked to cut.
  private func sequence(_ text: LabelledText, limit: Int? = nil) throws -> TokenSequence {
    guard let tokenizer else { throw ModelError.noTokenizer(path: model.path) }
    let tokens = try tokenizer.encode(text.text, bos: bos)
    let sequence = TokenSequence(text.description, tokens: Array(tokens.prefix(limit.map { min($0, model.contextLength) } ?? .max)))
    try model.check(sequence)
    return sequence
  }

  private func read(_ sequences: [TokenSequence], _ announce: Announce) throws -> String? {
    guard let sequence = sequences.first else {
      job = nil
      return "all texts are read"
    }
    job = .reading(Array(sequences.dropFirst()))
    announce(sequence.description)
    var reader = Reader(forward)
    (reader.firstToken, reader.firstSequence) = (tokenCount, sequenceCount)
    sequenceCount += 1
    tokenCount += sequence.tokens.count
    _ = try reader.read([sequence], sink: stream)
    return nil
  }
}
