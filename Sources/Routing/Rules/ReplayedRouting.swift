// Which experts did another run take for the same text? Texts are told apart by a number that folds their tokens, so that a row is found
// wherever its text stands in the other run, and a text that has become another one finds nothing from there on.

/// The routes of a recorded run, to be taken again.
public struct ReplayedRouting: Sendable {
  /// What was recorded at one router.
  public struct Shape: Sendable {
    public var experts: Int
    public var slots: Int
    public var hasWeights: Bool
  }

  private struct Routes: Sendable {
    var shape: Shape
    /// `[tokens of the run, slots]`; -1 pads, `unseen` in the first slot marks a token that the router did not see.
    var ids: [Int32]
    var weights: [Float]
  }

  private var routers: [RouterID: Routes] = [:]
  /// Row of the run by the text up to its token.
  private var rows: [UInt64: Int32] = [:]
  private static let unseen: Int32 = -2

  /// - Parameter keys: `TextKey` of each token of the run.
  public init(keys: [UInt64]) {
    rows = Dictionary(keys.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
    tokenCount = keys.count
  }

  private let tokenCount: Int

  /// Takes decisions of the run; NaN weights are none.
  public mutating func add(_ batch: RoutingBatch) {
    if routers[batch.router] == nil {
      let slots = tokenCount * batch.topK
      routers[batch.router] = Routes(
        shape: Shape(experts: batch.expertCount, slots: batch.topK, hasWeights: !batch.routingWeights.contains { $0.isNaN }),
        ids: Array(repeating: Self.unseen, count: slots), weights: Array(repeating: 0, count: slots))
    }
    let first = batch.firstToken * batch.topK
    guard first + batch.selectedExperts.count <= tokenCount * batch.topK else { return }
    routers[batch.router]?.ids.replaceSubrange(first..<first + batch.selectedExperts.count, with: batch.selectedExperts)
    routers[batch.router]?.weights.replaceSubrange(first..<first + batch.routingWeights.count, with: batch.routingWeights)
  }

  /// Whether the run has a token with this text.
  public func contains(_ key: UInt64) -> Bool { rows[key] != nil }

  public func shape(of router: RouterID) -> Shape? { routers[router]?.shape }

  /// The slots of a token with this text; nil when the run has no such token, or the router did not see it.
  private func slots(of router: RouterID, key: UInt64) -> (routes: Routes, range: Range<Int>)? {
    guard let routes = routers[router], let row = rows[key] else { return nil }
    let start = Int(row) * routes.shape.slots
    return routes.ids[start] == Self.unseen ? nil : (routes, start..<start + routes.shape.slots)
  }

  /// The experts that were taken, by falling selection score.
  func experts(of router: RouterID, key: UInt64) -> [Int32]? {
    slots(of: router, key: key).map { found in found.routes.ids[found.range].filter { $0 >= 0 } }
  }

  /// The weight of an expert that was taken.
  func weight(of expert: Int32, at router: RouterID, key: UInt64) -> Float? {
    guard let (routes, range) = slots(of: router, key: key), let slot = range.first(where: { routes.ids[$0] == expert }) else { return nil }
    return routes.weights[slot]
  }
}

/// A number for the text up to and with a token.
///
/// Two texts of the same beginning have the same number there; others differ but for a chance of 2^-64.
public struct TextKey: Sendable {
  private var state: UInt64 = 0

  public init() {}

  /// The number of the text that goes on with `token`.
  public mutating func next(_ token: Int32) -> UInt64 {
    state = SplitMix64.mix(state &+ UInt64(UInt32(bitPattern: token)) &+ 0x9E37_79B9_7F4A_7C15)
    return state
  }

  /// The numbers of what an encoder reads: each of its tokens sees the whole text. What the decoder reads goes on from there.
  public mutating func encoded(_ tokens: some Collection<Int32>) -> [UInt64] {
    for token in tokens { _ = next(token) }
    return tokens.indices.enumerated().map { index, _ in SplitMix64.mix(state ^ (UInt64(index) &+ 1) << 32) }
  }

  /// The number of a row of a denoising run: no text, a place in a sample.
  public static func row(sample: Int32, position: Int32) -> UInt64 {
    SplitMix64.mix(UInt64(UInt32(bitPattern: sample)) << 32 | UInt64(UInt32(bitPattern: position)))
  }

  /// The numbers of all tokens of a run.
  ///
  /// - Parameter tokens: from the first token of the run; the tokens of a sequence in the order of their positions.
  public static func all(of tokens: TokenTable) -> [UInt64] {
    var keys = Array(repeating: UInt64(0), count: tokens.count)
    var texts: [Int32: TextKey] = [:]
    var start = 0
    while start < tokens.count {
      let (sequence, phase) = (tokens.sequence[start], tokens.phase[start])
      var end = start + 1
      while end < tokens.count, tokens.sequence[end] == sequence, tokens.phase[end] == phase { end += 1 }
      var text = texts[sequence] ?? TextKey()
      switch phase {
      case .encode: keys.replaceSubrange(start..<end, with: text.encoded(tokens.tokenID[start..<end]))
      case .denoise: for row in start..<end { keys[row] = TextKey.row(sample: sequence, position: tokens.position[row]) }
      case .prefill, .decode: for row in start..<end { keys[row] = text.next(tokens.tokenID[row]) }
      }
      texts[sequence] = text
      start = end
    }
    return keys
  }
}
