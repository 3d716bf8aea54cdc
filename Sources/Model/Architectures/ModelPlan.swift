// What a checkpoint says about its own computation, as data. A family's declaration fills this value from its configuration; the
// loader binds its names to tensors; the forward pass executes it without ever asking which family it came from.

import Routing

/// A decoder-only language model, block by block.
struct ModelPlan: Sendable {
  var family: String
  var hiddenSize: Int
  var vocabularySize: Int
  /// Positions the checkpoint was made for.
  var contextLength: Int
  var normEpsilon: Float
  /// Tensor `[vocabularySize, hiddenSize]`.
  var embedding: String
  var finalNorm: String
  /// Tensor `[vocabularySize, hiddenSize]`; the embedding itself when tied.
  var outputHead: String
  var rotary: RotaryPlan
  var blocks: [BlockPlan]
}

/// Rotary position encoding, half-split layout: element i turns together with element i + rotatedSize / 2.
struct RotaryPlan: Sendable, Hashable {
  var base: Double
  /// Elements of each head that turn; the rest passes through.
  var rotatedSize: Int
}

struct BlockPlan: Sendable {
  /// RMS norm before attention.
  var attentionNorm: String
  var attention: AttentionPlan
  /// RMS norm before the feed-forward half.
  var feedForwardNorm: String
  var feedForward: FeedForwardPlan
}

/// Grouped-query attention.
struct AttentionPlan: Sendable {
  var headCount: Int
  var keyValueHeadCount: Int
  var headSize: Int
  var query: LinearPlan
  var key: LinearPlan
  var value: LinearPlan
  var output: LinearPlan
  var queryNorm: HeadNormPlan?
  var keyNorm: HeadNormPlan?
  /// Queries, keys and values are clamped to plus or minus this after their projection (and its norm).
  var clip: Float?
  /// A token sees itself and this many tokens minus one before it.
  var window: Int?
}

/// `y = W x + b`.
struct LinearPlan: Sendable {
  var weight: String
  var bias: String?
}

/// RMS norm on queries or keys.
struct HeadNormPlan: Sendable {
  enum Scope: Sendable {
    /// One weight of `headSize`, each head normalised for itself.
    case head
    /// One weight over the whole projection.
    case projection
  }
  var weight: String
  var scope: Scope
}

enum FeedForwardPlan: Sendable {
  case dense(GatedPlan)
  case experts(ExpertsPlan)
}

/// `down(silu(gate x) * up x)`.
struct GatedPlan: Sendable {
  var gate: String
  var up: String
  var down: String
  var intermediateSize: Int
}

/// A router and its experts.
struct ExpertsPlan: Sendable {
  var router: RouterSpec
  /// Tensor `[expertCount, hiddenSize]`.
  var routerWeight: String
  var expertCount: Int
  /// Names with `{expert}` where the index goes.
  var expert: GatedPlan
}

/// Tensor names of one family: templates in which `{layer}` and `{expert}` are filled in.
struct TensorName: Sendable, ExpressibleByStringLiteral {
  let template: String
  init(stringLiteral value: String) { template = value }

  func callAsFunction(layer: Int) -> String { fill("{layer}", layer) }

  private func fill(_ mark: String, _ value: Int) -> String { TensorName.fill(template, mark, value) }

  static func fill(_ template: String, _ mark: String, _ value: Int) -> String {
    guard let range = template.firstRange(of: mark) else { return template }
    return template.replacingCharacters(in: range, with: String(value))
  }
}

extension String {
  /// The name of one expert's tensor.
  func naming(expert: Int) -> String { TensorName.fill(self, "{expert}", expert) }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
