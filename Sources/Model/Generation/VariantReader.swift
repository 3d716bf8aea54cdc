// What would the model have made of a text under other rules? A text is read once as it is, keeping its stream at some blocks, and then as
// often as one likes under rules, each time from the last kept block before which nothing changes.

import Routing

/// What came of reading one text.
public struct TextReading: Sendable {
  /// Tokens with their surprisals, and one batch per router: of the encoder first, where there is one.
  public var passes: [RoutingPass]
  public var score: SequenceScore
  /// As far as they were kept.
  public var streams: ResidualStreams
  /// `[tokens, hiddenSize]`: final states of the decoder, when they were kept.
  var states: [Float] = []

  /// Tokens that the model was fed, the encoder's included.
  public var tokens: Int { score.tokens }

  /// Surprisal of each token that the decoder was fed, nats; NaN for the first.
  public var surprisals: [Float] { passes.last?.tokens.surprisal ?? [] }
}

/// Reads texts with and without rules. Not thread-safe: one value belongs to one thread at a time.
public final class VariantReader {
  public let model: LanguageModel
  private let pool: WorkerPool
  /// One for each text of a batch, made when it is first needed.
  private var lanes: [ForwardPass] = []
  /// Where each router is in its stack.
  private let blocks: [RouterID: Int]
  /// Row of the first token, and number of the first text, in the run they belong to.
  public var firstToken = 0
  public var sequence = 0
  /// Called with progress; return false to stop.
  public var onProgress: ((ReadingProgress) -> Bool)?

  /// - Parameter threads: nil takes every core.
  public init(_ model: LanguageModel, threads: Int? = nil) {
    self.model = model
    pool = WorkerPool(threads: threads)
    blocks = model.blocks
  }

  public var threadCount: Int { pool.threadCount }

  private func lane(_ number: Int) -> ForwardPass {
    // A text is one pass, so that it has one stream at each block; its steps stay as small as ever.
    while lanes.count <= number { lanes.append(ForwardPass(model, pool: pool, passLimit: model.contextLength)) }
    return lanes[number]
  }

  /// The blocks at which the streams must be kept so that variants with these rules can begin as late as possible.
  public func places(for variants: [Intervention]) -> StreamPlaces {
    var places = StreamPlaces(encoded: model.hasEncoder)
    for variant in variants {
      if let block = firstBlock(of: variant, among: [.encoder]), block > 0 { places.encoder.insert(block) }
      // What an encoder makes of a text enters every block of the decoder.
      if firstBlock(of: variant, among: [.encoder]) == nil, let block = firstBlock(of: variant, among: Self.decoding), block > 0 {
        places.decoder.insert(model.lastStart(upTo: block))
      }
    }
    return places
  }

  private static let decoding: Set<RouterStack> = [.feedForward, .attention, .decoder]

  /// The first block of a stack whose computation differs under rules; nil: none does.
  private func firstBlock(of rules: Intervention, among stacks: Set<RouterStack>) -> Int? {
    rules.routers(among: stacks).compactMap { blocks[$0] }.min()
  }

  /// Reads a text as it is.
  ///
  /// - Parameters:
  ///   - demand: what to record of its decisions.
  ///   - places: streams to keep, hiddenSize floats a token and block.
  ///   - scores: whether the output head is computed; then variants can be held against this reading's outputs, for hiddenSize floats a
  ///     token more.
  /// - Returns: nil when stopped by `onProgress`.
  /// - Throws: `ModelError` for a bad text, `FormatError.changed` when a file of the model lost pages meanwhile.
  public func baseline(
    _ text: TokenSequence, demand: RoutingDemand, keeping places: StreamPlaces = StreamPlaces(), scores: Bool = true
  ) throws -> TextReading? {
    let forward = lane(0)
    (forward.intervention, forward.origin, forward.keeping, forward.knownSurprisals) = (nil, nil, places, [])
    return try read(text, forward, Request(demand: demand, scores: scores, keepsStates: scores), sequence: sequence, firstToken: firstToken)
  }

  /// Reads the same text under rules, from the last block that `baseline` has kept before anything changes. The result is, bit for bit,
  /// that of reading it from the beginning; its score says how far its outputs are from the baseline's.
  ///
  /// - Parameters:
  ///   - baseline: of the same text by the same model.
  ///   - demand: as of the baseline.
  public func variant(
    _ intervention: Intervention, of text: TokenSequence, baseline: TextReading, demand: RoutingDemand
  ) throws -> TextReading? {
    try batch([text], under: intervention, baselines: [baseline], references: [baseline], demand: demand)?.first
  }

  /// Reads texts side by side under rules, as one batch: rules of capacity count over the rows of all of them, text by text.
  ///
  /// - Parameters:
  ///   - baselines: of the same texts, in their order; nil: they are read from the beginning.
  ///   - references: readings of the same texts whose states were kept: the scores say how far the outputs are from theirs.
  /// - Returns: nil when stopped by `onProgress`.
  public func batch(
    _ texts: [TokenSequence], under intervention: Intervention?, baselines: [TextReading]? = nil, references: [TextReading]? = nil,
    demand: RoutingDemand, scores: Bool = true
  ) throws -> [TextReading]? {
    for text in texts { try model.check(text) }
    var rows = firstToken
    let first = texts.map { text in
      defer { rows += text.count }
      return rows
    }
    let used = texts.indices.map { lane($0) }
    defer { for forward in used { (forward.intervention, forward.origin, forward.seat) = (nil, nil, nil) } }
    var readings: [TextReading?] = Array(repeating: nil, count: texts.count)
    func read(_ number: Int, _ seat: SharedBatch.Seat?) throws {
      let (forward, baseline) = (used[number], baselines?[number])
      let origin = baseline.flatMap { baseline in intervention.map { self.origin(of: $0, in: baseline) } }
      (forward.intervention, forward.origin, forward.keeping) = (intervention, origin, StreamPlaces())
      (forward.knownSurprisals, forward.seat) = (baseline?.surprisals ?? [], seat)
      let request = Request(demand: demand, scores: scores, reference: references?[number].states ?? [])
      readings[number] = try self.read(texts[number], forward, request, sequence: sequence + number, firstToken: first[number])
      if let baseline { readings[number]?.complete(from: baseline) }
    }
    if texts.count == 1 { try read(0, nil) } else { try SharedBatch.run(texts.count) { try read($0.number, $0) } }
    let whole = readings.compactMap(\.self)
    return whole.count == texts.count ? whole : nil
  }

  /// Where a text begins under rules, given what was kept of it.
  private func origin(of intervention: Intervention, in baseline: TextReading) -> StreamOrigin {
    let encoder = firstBlock(of: intervention, among: [.encoder])
    let decoder = firstBlock(of: intervention, among: Self.decoding)
    var origin = StreamOrigin(streams: baseline.streams)
    if let encoder {
      origin.encoder = baseline.streams.encoder.keys.filter { $0 <= encoder }.max()
    } else {
      origin.skipsEncoder = !baseline.streams.encoded.isEmpty
      if !model.hasEncoder || origin.skipsEncoder, let decoder {
        origin.decoder = baseline.streams.decoder.keys.filter { $0 <= decoder }.max()
      }
    }
    return origin
  }

  /// What is wanted of a reading.
  private struct Request {
    var demand: RoutingDemand
    var scores = true
    var reference: [Float] = []
    var keepsStates = false
  }

  private func read(
    _ text: TokenSequence, _ forward: ForwardPass, _ request: Request, sequence: Int, firstToken: Int
  ) throws -> TextReading? {
    let collector = PassCollector(request.demand)
    var reader = Reader(forward)
    (reader.scoresTokens, reader.reference, reader.keepsBest) = (request.scores, request.reference, request.scores)
    (reader.firstToken, reader.firstSequence, reader.onProgress) = (firstToken, sequence, onProgress)
    guard let score = try reader.read([text], sink: collector).first, score.tokens == text.count else { return nil }
    var reading = TextReading(passes: collector.passes, score: score, streams: forward.streams)
    if request.keepsStates { reading.states = forward.finalStates }
    return reading
  }
}

extension TextReading {
  /// Blocks that were not gone through decided as they did in another reading.
  fileprivate mutating func complete(from baseline: TextReading) {
    for index in passes.indices where baseline.passes.indices.contains(index) {
      let mine = Dictionary(passes[index].batches.map { ($0.router, $0) }, uniquingKeysWith: { first, _ in first })
      passes[index].batches = baseline.passes[index].batches.map { mine[$0.router] ?? $0 }
    }
  }
}

/// Keeps what it receives.
final class PassCollector: RoutingSink {
  let demand: RoutingDemand
  private(set) var passes: [RoutingPass] = []

  init(_ demand: RoutingDemand) { self.demand = demand }

  func receive(_ pass: RoutingPass) { passes.append(pass) }
}

extension LanguageModel {
  /// Of each router its block's place in its stack.
  fileprivate var blocks: [RouterID: Int] {
    [weights.encoder?.stack, weights.decoder].compactMap(\.self).reduce(into: [:]) { places, stack in
      for (place, block) in stack.blocks.enumerated() {
        for router in block.flatMap(\.operation.routers) { places[router.id] = place }
      }
    }
  }

  /// The last block of the decoder, up to this one, that a sequence can begin with: all it needs of earlier blocks is the stream.
  fileprivate func lastStart(upTo block: Int) -> Int {
    (0...block).last { !weights.decoder.blocks[$0].contains { $0.operation.readsEarlierBlocks } } ?? 0
  }
}
