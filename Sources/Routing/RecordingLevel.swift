// How much of each decision is stored: a level, and what is kept beside it only when it is asked for. Both as the user writes them and as the
// run's description keeps them.

/// What a run keeps on request, beside its level.
public struct RecordingExtras: OptionSet, Sendable, Hashable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// L2 norms of what experts compute.
  public static let norms = RecordingExtras(rawValue: 1)
  /// The weight of the shared expert; with `norms` its norm too.
  public static let shared = RecordingExtras(rawValue: 2)
  /// Numbers of pass and batch of each token.
  public static let passes = RecordingExtras(rawValue: 4)
  /// The id of the largest logit behind each token.
  public static let predicted = RecordingExtras(rawValue: 8)

  public static let all: RecordingExtras = [.norms, .shared, .passes, .predicted]

  static let named: [(name: String, extra: RecordingExtras)] = [
    ("norms", .norms), ("shared", .shared), ("passes", .passes), ("predicted", .predicted),
  ]

  /// In the order of the reference.
  public var names: [String] { Self.named.filter { contains($0.extra) }.map(\.name) }
}

/// How much of each decision is stored.
public struct RecordingLevel: Sendable, Equatable, CustomStringConvertible {
  public enum Content: String, Sendable, Codable, Comparable {
    /// No decision, only how often each expert was chosen by step, patch and sample: for denoising runs.
    case counts
    /// Ids and statistics.
    case ids
    /// Ids, weights, statistics.
    case weights
    /// All of it and the raw router logits of every n-th token.
    case full

    public static func < (a: Content, b: Content) -> Bool { a.order < b.order }
    private var order: Int {
      switch self {
      case .counts: 0
      case .ids: 1
      case .weights: 2
      case .full: 3
      }
    }
  }

  public enum Precision: String, Sendable, Codable { case f32, f16 }

  public var content: Content
  /// Raw logits of each token whose row in the run is a multiple of this; only read when `content` is `.full`.
  public var logitsEvery: Int
  /// Of weights and logits; statistics and norms are always f32.
  public var precision: Precision
  public var extras: RecordingExtras

  public init(content: Content = .weights, logitsEvery: Int = 1, precision: Precision = .f32, extras: RecordingExtras = []) {
    self.content = content
    self.logitsEvery = logitsEvery
    self.precision = precision
    self.extras = extras
  }

  /// Reads `LEVEL[:every=N][+EXTRA…]`: a level (`counts`, `ids`, `weights`, `full`), N of `full`, extras in any order.
  ///
  /// - Throws: `RoutingError.badRecording`.
  public init(parsing text: String, precision: Precision = .f32) throws {
    let parts = text.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
    func refused(_ expected: String, _ found: String) -> RoutingError { .badRecording(expected: expected, found: found) }
    let level = parts[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let content = Content(rawValue: level[0]) else {
      throw refused("counts, ids, weights, full or full:every=N, then +EXTRA", text)
    }
    self.init(content: content, precision: precision)
    if level.count == 2 {
      guard content == .full else { throw refused("every=N behind full only", text) }
      let option = level[1].split(separator: "=", omittingEmptySubsequences: false)
      guard option.count == 2, option[0] == "every", let every = Int(option[1]), every > 0 else {
        throw refused("full or full:every=N, N 1 or more", text)
      }
      logitsEvery = every
    }
    for name in parts.dropFirst() {
      let known = RecordingExtras.named.map(\.name)
      guard let extra = RecordingExtras.named.first(where: { $0.name == name })?.extra else {
        throw refused("+" + known.joined(separator: ", +"), "+\(name)")
      }
      guard !extras.contains(extra) else { throw refused("each extra once", "+\(name) twice") }
      extras.insert(extra)
    }
    guard content > .counts || extras.isEmpty else {
      throw refused("ids, weights or full before +\(extras.names[0]): counts keeps no decision and no token that it could be said of", text)
    }
  }

  /// The level with what it lacks of another; nil when it lacks nothing.
  public func completed(for needed: RecordingLevel) -> RecordingLevel? {
    var level = self
    level.content = max(content, needed.content)
    level.extras.formUnion(needed.extras)
    return level == self ? nil : level
  }

  public var description: String {
    ([content == .full && logitsEvery > 1 ? "full:every=\(logitsEvery)" : content.rawValue] + extras.names).joined(separator: "+")
  }
}

/// As descriptions of runs keep it: `extras` is a list of names, and absent where there is none.
extension RecordingLevel: Codable {
  private enum CodingKeys: String, CodingKey { case content, logitsEvery, precision, extras }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      content: try values.decode(Content.self, forKey: .content), logitsEvery: try values.decode(Int.self, forKey: .logitsEvery),
      precision: try values.decode(Precision.self, forKey: .precision))
    for name in try values.decodeIfPresent([String].self, forKey: .extras) ?? [] {
      guard let extra = RecordingExtras.named.first(where: { $0.name == name })?.extra else {
        throw DecodingError.dataCorruptedError(forKey: .extras, in: values, debugDescription: "no extra is called \(name)")
      }
      extras.insert(extra)
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(content, forKey: .content)
    try values.encode(logitsEvery, forKey: .logitsEvery)
    try values.encode(precision, forKey: .precision)
    if !extras.isEmpty { try values.encode(extras.names, forKey: .extras) }
  }
}
