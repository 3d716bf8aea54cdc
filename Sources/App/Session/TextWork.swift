// A language model at work: it continues a text token by token, or reads given texts one after the other.

import Model
import Routing

final class TextWork: EngineWork {
  private enum Job {
    case generation(Generator, left: Int)
    case reading(Texts)
  }

  /// Texts that are read one after the other, and how far they are.
  private struct Texts {
    var left: ArraySlice<TokenSequence>
    var current: SequenceReading?
    /// Tokens of the texts that were read whole, and of all.
    var done = 0
    let total: Int
    /// Row of the present text's first token.
    var firstToken = 0
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
    // Passes as long as a step: what is read comes to the screens that often.
    forward = ForwardPass(model, threads: options.threads, passLimit: min(512, model.passRoom))
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

  func advance(_ announce: Announce, _ tell: TellShare) throws -> String? {
    switch job {
    case .generation(let generator, _) where generator.isReading: try readPrompt(generator, tell)
    case .generation(let generator, let left): try generate(generator, left: left)
    case .reading(let texts): try read(texts, announce, tell)
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
      forward, unread: prompt, sampling: request.sampling, maxTokens: request.maxTokens, sink: stream, sequence: sequenceCount - 1,
      firstToken: tokenCount)
    job = .generation(generator, left: request.maxTokens)
  }

  private func readPrompt(_ generator: Generator, _ tell: TellShare) throws -> String? {
    let total = generator.promptLength
    try generator.readPass { done in try tell(ReadingShare(done: done, total: total)) }
    tokenCount = generator.tokenCount
    try tell(ReadingShare(done: generator.promptScore.tokens, total: total))
    if let draw = generator.next { stream.note(draw) }
    return nil
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
    let sequences = try texts.map { try sequence($0) }.filter { !$0.tokens.isEmpty }
    job = .reading(Texts(left: sequences[...], total: sequences.reduce(0) { $0 + $1.count }))
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

  private func read(_ given: Texts, _ announce: Announce, _ tell: TellShare) throws -> String? {
    var texts = given
    if texts.current == nil {
      guard let sequence = texts.left.popFirst() else {
        job = nil
        return "all texts are read"
      }
      announce(sequence.description)
      texts.current = try SequenceReading(forward, sequence, index: sequenceCount, firstToken: tokenCount)
      texts.firstToken = tokenCount
      sequenceCount += 1
    }
    guard var reading = texts.current else { return nil }
    try reading.advance(sink: stream) { [texts] in try tell(ReadingShare(done: texts.done + $0, total: texts.total)) }
    tokenCount = texts.firstToken + reading.score.tokens
    let share = ReadingShare(done: texts.done + reading.score.tokens, total: texts.total)
    if reading.isWhole { texts.done = share.done }
    texts.current = reading.isWhole ? nil : reading
    job = .reading(texts)
    try tell(share)
    return nil
  }
}
