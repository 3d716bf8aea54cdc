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

  /// Surprisal of each token that the decoder was fed, nats; NaN for the first.
  public var surprisals: [Float] { passes.last?.tokens.surprisal ?? [] }
}

/// Reads texts with and without rules. Not thread-safe: one value belongs to one thread at a time.
public final class VariantReader {
  public let model: LanguageModel
  private let forward: ForwardPass
  /// Row of the text's first token, and number of the text, in the run it belongs to.
  public var firstToken = 0
  public var sequence = 0
  /// Called with progress; return false to stop.
  public var onProgress: ((ReadingProgress) -> Bool)?

  /// - Parameter threads: nil takes every core.
  public init(_ model: LanguageModel, threads: Int? = nil) {
    self.model = model
    // A text is one pass, so that it has one stream at each block; its steps stay as small as ever.
    forward = ForwardPass(model, threads: threads, passLimit: model.contextLength)
  }

  public var threadCount: Int { forward.threadCount }

  /// The blocks at which the streams must be kept so that variants with these rules can begin as late as possible.
  public func places(for variants: [Intervention]) -> StreamPlaces {
    var places = StreamPlaces(encoded: model.hasEncoder)
    for variant in variants {
      if let block = variant.firstBlock(among: [.encoder]), block > 0 { places.encoder.insert(block) }
      // What an encoder makes of a text enters every block of the decoder.
      if variant.firstBlock(among: [.encoder]) == nil, let block = variant.firstBlock(among: Self.decoding), block > 0 {
        places.decoder.insert(model.lastStart(upTo: block))
      }
    }
    return places
  }

  private static let decoding: Set<RouterStack> = [.feedForward, .attention, .decoder]

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
    (forward.intervention, forward.origin, forward.keeping, forward.knownSurprisals) = (nil, nil, places, [])
    guard var reading = try read(text, demand: demand, scores: scores) else { return nil }
    if scores { reading.states = forward.finalStates }
    return reading
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
    let encoder = intervention.firstBlock(among: [.encoder])
    let decoder = intervention.firstBlock(among: Self.decoding)
    var origin = StreamOrigin(streams: baseline.streams)
    if let encoder {
      origin.encoder = baseline.streams.encoder.keys.filter { $0 <= encoder }.max()
    } else {
      origin.skipsEncoder = !baseline.streams.encoded.isEmpty
      if !model.hasEncoder || origin.skipsEncoder, let decoder {
        origin.decoder = baseline.streams.decoder.keys.filter { $0 <= decoder }.max()
      }
    }
    (forward.intervention, forward.origin, forward.keeping) = (intervention, origin, StreamPlaces())
    forward.knownSurprisals = baseline.surprisals
    defer { (forward.intervention, forward.origin) = (nil, nil) }
    guard var reading = try read(text, demand: demand, reference: baseline.states) else { return nil }
    // Blocks that were not gone through decided as they did.
    for index in reading.passes.indices where baseline.passes.indices.contains(index) {
      let mine = Dictionary(reading.passes[index].batches.map { ($0.router, $0) }, uniquingKeysWith: { first, _ in first })
      reading.passes[index].batches = baseline.passes[index].batches.map { mine[$0.router] ?? $0 }
    }
    return reading
  }

  private func read(
    _ text: TokenSequence, demand: RoutingDemand, scores: Bool = true, reference: [Float] = []
  ) throws -> TextReading? {
    let collector = PassCollector(demand)
    var reader = Reader(forward)
    (reader.scoresTokens, reader.reference) = (scores, reference)
    (reader.firstToken, reader.firstSequence, reader.onProgress) = (firstToken, sequence, onProgress)
    guard let score = try reader.read([text], sink: collector).first, score.tokens == text.count else { return nil }
    return TextReading(passes: collector.passes, score: score, streams: forward.streams)
  }
}

/// Keeps what it receives.
private final class PassCollector: RoutingSink {
  let demand: RoutingDemand
  private(set) var passes: [RoutingPass] = []

  init(_ demand: RoutingDemand) { self.demand = demand }

  func receive(_ pass: RoutingPass) { passes.append(pass) }
}

extension LanguageModel {
  /// The last block of the decoder, up to this one, that a sequence can begin with: all it needs of earlier blocks is the stream.
  fileprivate func lastStart(upTo block: Int) -> Int {
    (0...block).last { !weights.decoder.blocks[$0].contains { $0.operation.readsEarlierBlocks } } ?? 0
  }
}
