// Which earlier tokens does a token look at? A small scorer beside latent attention keeps the best few thousand; a sequence no longer than
// that is seen whole. Layers may take over the choice of an earlier one.
// Source: DeepSeek-AI 2025, DeepSeek-V3.2, arXiv:2512.02556, section 2.1.

import CKernels
import Routing

struct TokenIndexPlan: Sendable {
  var headCount: Int
  var headSize: Int
  /// Tokens that are kept.
  var topK: Int
  /// `[headCount * headSize, narrow query]`
  var query: LinearPlan
  /// `[headSize, hidden]`, and the norm behind it.
  var key: LinearPlan
  var keyNorm: NormPlan
  /// `[headCount, hidden]`: how much each head counts.
  var weights: LinearPlan
  /// Of the first elements of queries and keys, or of the last.
  var rotary: RotaryPlan
  var turnsLast = false

  func bind(_ binder: WeightBinder, narrow: Int) throws -> BoundTokenIndex {
    let because = "the index sizes in config.json"
    return BoundTokenIndex(
      plan: self, query: try binder.linear(query, rows: headCount * headSize, columns: narrow, because: because),
      key: try binder.linear(key, rows: headSize, columns: binder.hiddenSize, because: because),
      keyNorm: try binder.norm(keyNorm, size: headSize),
      weights: try binder.linear(weights, rows: headCount, columns: binder.hiddenSize, because: because))
  }
}

struct BoundTokenIndex: Sendable {
  let plan: TokenIndexPlan
  let query: Linear
  let key: Linear
  let keyNorm: Norm
  let weights: Linear
}

/// The keys of one sequence, and the choices for the tokens at hand.
final class RunningTokenIndex {
  private let bound: BoundTokenIndex
  /// `[positions, headSize]`
  private var keys: [Float] = []

  init(_ bound: BoundTokenIndex) { self.bound = bound }

  func reset() { keys = [] }

  /// Takes the tokens of a step in, and says in `pass.seenPositions` which positions each of them looks at that does not see all.
  ///
  /// - Parameter narrow: `[count, narrow query]`: what queries are made from.
  func choose(_ pass: Pass, narrow: UnsafePointer<Float>) {
    let plan = bound.plan
    let (size, heads, count) = (plan.headSize, plan.headCount, pass.count)
    let table = pass.rotary.table(plan.rotary, positions: pass.position + count)
    let turned = plan.turnsLast ? size - plan.rotary.rotatedSize : 0
    let fresh = pass.project(bound.key, from: pass.x)
    bound.keyNorm.apply(pass.pool, out: fresh, x: fresh, rows: count)
    table.turn(pass.pool, fresh + turned, tokenStride: size, heads: 1, headStride: size, position: pass.position, count: count)
    keys += UnsafeBufferPointer(start: fresh, count: count * size)
    guard pass.position + count > plan.topK else { return }
    let queries = pass.project(bound.query, from: narrow)
    table.turn(
      pass.pool, queries + turned, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position, count: count)
    let scores = TokenIndexScores(
      heads: heads, size: size, queries: queries, weights: pass.project(bound.weights, from: pass.x),
      products: pass.arena.floats(heads * (pass.position + count)), prefersLater: true)
    for t in max(0, plan.topK - pass.position)..<count {
      pass.seenPositions[pass.position + t] = scores.best(plan.topK, of: pass.position + t + 1, keys: keys, for: t, pass.pool)
    }
  }
}

/// How the scorers of a step's tokens rank keys: what each head finds alike, by how much the head counts.
struct TokenIndexScores {
  let heads: Int
  let size: Int
  /// `[tokens, heads, size]` and `[tokens, heads]`
  let queries: UnsafePointer<Float>
  let weights: UnsafePointer<Float>
  /// Room for `[heads, keys]`.
  let products: UnsafeMutablePointer<Float>
  /// Which of equals is better. Scores of exactly 0 are common where all heads are silent; the reference leaves it to its sort.
  let prefersLater: Bool

  /// The best keys for the token at row `t` among the first `count` of `[_, size]`, by their numbers, rising.
  func best(_ topK: Int, of count: Int, keys: [Float], for t: Int, _ pool: WorkerPool) -> [Int32] {
    let scale = 1 / Float(size).squareRoot()
    let headScale = 1 / Float(heads).squareRoot()
    var scores = [Float](repeating: 0, count: count)
    keys.withUnsafeBytes { keys in
      guard let base = keys.baseAddress else { return }
      let known = WeightMatrix(base: base, type: .f32, rows: count, columns: size)
      pool.multiply(Product(out: products, x: queries + t * heads * size, tokens: heads, weight: known, bias: nil))
      for head in 0..<heads {
        let weight = weights[t * heads + head] * headScale
        for key in 0..<count { scores[key] += weight * max(0, products[head * count + key] * scale) }
      }
    }
    func isBefore(_ one: Int32, _ other: Int32) -> Bool {
      let (a, b) = (scores[Int(one)], scores[Int(other)])
      return a != b ? a > b : (one > other) == prefersLater
    }
    return (0..<Int32(count)).sorted(by: isBefore).prefix(topK).sorted()
  }
}
