// Where may a sequence begin again? At a block whose incoming stream an earlier reading of the same sequence kept: what lies before it is
// the same for every variant that changes nothing before it. The values here say what to keep and where to begin; `ForwardPass` does it.

/// The residual stream of one sequence as it entered some blocks.
public struct ResidualStreams: Sendable {
  /// `[tokens, hiddenSize]` by block, of the encoder and of the decoder.
  var encoder: [Int: [Float]] = [:]
  var decoder: [Int: [Float]] = [:]
  /// `[encoder tokens, hiddenSize]`: what the encoder made of the sequence; empty without one.
  var encoded: [Float] = []

  init() {}

  /// Memory it takes.
  public var bytes: Int { 4 * (encoder.values.reduce(0) { $0 + $1.count } + decoder.values.reduce(encoded.count) { $0 + $1.count }) }
}

/// The blocks whose incoming stream is to be kept.
public struct StreamPlaces: Sendable {
  public var encoder: Set<Int>
  public var decoder: Set<Int>
  /// Whether what the encoder made of the sequence is kept too.
  public var encoded: Bool

  public init(encoder: Set<Int> = [], decoder: Set<Int> = [], encoded: Bool = false) {
    self.encoder = encoder
    self.decoder = decoder
    self.encoded = encoded
  }

  func blocks(of stack: KeyPath<ResidualStreams, [Int: [Float]]>) -> Set<Int> { stack == \.encoder ? encoder : decoder }
}

/// Where a sequence begins: in each stack at the block of this number, with the stream that was kept there; nil: from the beginning.
struct StreamOrigin {
  var streams: ResidualStreams
  var encoder: Int?
  var decoder: Int?
  /// Whether the encoder's answer is taken as it was kept.
  var skipsEncoder = false

  func block(of stack: KeyPath<ResidualStreams, [Int: [Float]]>) -> Int? { stack == \.encoder ? encoder : decoder }

  func stream(of stack: KeyPath<ResidualStreams, [Int: [Float]]>) -> [Float]? {
    block(of: stack).flatMap { streams[keyPath: stack][$0] }
  }
}
