// Which earlier tokens does a token look at? A small scorer beside grouped attention averages the keys of so many tokens next to each other; a
// token scores these groups and looks at those of the best, and at all that come behind the last whole group. A sequence of no more tokens than
// that is seen whole.
// Source: Qwen team 2026, Qwen4-Exp, by its modelling code (Qwen sparse attention).

import CKernels
import Routing

struct PooledIndexPlan: Sendable {
  var headCount: Int
  var headSize: Int
  /// Tokens of a group.
  var groupSize: Int
  /// Groups that are kept.
  var topK: Int
  /// `[(headCount + 1) * headSize, hidden]`: queries of all heads, then the key.
  var projection: LinearPlan
  /// Over each query, and over each averaged key.
  var queryNorm: NormPlan
  var keyNorm: NormPlan
  /// Of the first elements of queries and averaged keys; a group stands where its first token does.
  var rotary: RotaryPlan

  func bind(_ binder: WeightBinder) throws -> BoundPooledIndex {
    let because = "the indexer's sizes in config.json"
    return BoundPooledIndex(
      plan: self,
      projection: try binder.linear(projection, rows: (headCount + 1) * headSize, columns: binder.hiddenSize, because: because),
      queryNorm: try binder.norm(queryNorm, size: headSize), keyNorm: try binder.norm(keyNorm, size: headSize))
  }

  /// Groups that a token keeps.
  ///
  /// - Parameter scores: of all whole groups before it.
  /// - Returns: `topK` groups, or all where there are not so many, rising; of equals the earlier one.
  func kept(_ scores: [Float]) -> [Int] {
    BlockIndexPlan.largest(topK, of: scores[...])
  }
}

struct BoundPooledIndex: Sendable {
  let plan: PooledIndexPlan
  let projection: Linear
  let queryNorm: Norm
  let keyNorm: Norm
}

/// The scorer's keys of one sequence.
final class RunningPooledIndex {
  private let bound: BoundPooledIndex
  /// `[whole groups, headSize]`: averaged, normalised and turned.
  private var groups: [Float] = []
  /// `[tokens behind them, headSize]`: as projected.
  private var rest: [Float] = []

  init(_ bound: BoundPooledIndex) { self.bound = bound }

  func reset() { (groups, rest) = ([], []) }

  /// Tokens of a sequence that see all before them, and the most that a later one sees.
  var whole: Int { (bound.plan.topK + 1) * bound.plan.groupSize - 1 }

  /// Takes the tokens of a step in.
  ///
  /// - Returns: by token of the step the positions it looks at, rising; nothing for tokens that see all.
  func choose(_ pass: Pass) -> [[Int32]] {
    let plan = bound.plan
    let (size, heads, count) = (plan.headSize, plan.headCount, pass.count)
    let width = (heads + 1) * size
    let table = pass.rotary.table(plan.rotary, positions: pass.position + count)
    let projected = pass.project(bound.projection, from: pass.x)
    for t in 0..<count { rest += UnsafeBufferPointer(start: projected + t * width + heads * size, count: size) }
    gather(pass, table)
    var chosen = [[Int32]](repeating: [], count: count)
    guard pass.position + count > whole else { return chosen }
    let queries = pass.arena.floats(count * heads * size)
    for t in 0..<count { (queries + t * heads * size).update(from: projected + t * width, count: heads * size) }
    bound.queryNorm.apply(pass.pool, out: queries, x: queries, rows: count * heads)
    table.turn(pass.pool, queries, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position, count: count)
    let products = pass.arena.floats(heads * (groups.count / size))
    groups.withUnsafeBytes { keys in
      guard let base = keys.baseAddress else { return }
      for t in max(0, whole - pass.position)..<count {
        let seen = pass.position + t + 1
        let known = WeightMatrix(base: base, type: .f32, rows: seen / plan.groupSize, columns: size)
        pass.pool.multiply(Product(out: products, x: queries + t * heads * size, tokens: heads, weight: known, bias: nil))
        chosen[t] = positions(products, groups: known.rows, seen: seen)
      }
    }
    return chosen
  }

  /// Makes whole groups of the tokens at hand.
  private func gather(_ pass: Pass, _ table: RotaryTable) {
    let (size, length) = (bound.plan.headSize, bound.plan.groupSize)
    let pooled = pass.arena.floats(size)
    var first = 0
    while rest.count - first >= length * size {
      for i in 0..<size {
        var sum: Float = 0
        for token in 0..<length { sum += rest[first + token * size + i] }
        pooled[i] = sum / Float(length)
      }
      bound.keyNorm.apply(pass.pool, out: pooled, x: pooled, rows: 1)
      table.turn(
        pass.pool, pooled, tokenStride: size, heads: 1, headStride: size, position: groups.count / size * length, count: 1)
      groups += UnsafeBufferPointer(start: pooled, count: size)
      first += length * size
    }
    rest.removeFirst(first)
  }

  /// Where a token looks that sees `seen` tokens, itself included.
  ///
  /// - Parameter products: `[heads, groups]`.
  private func positions(_ products: UnsafePointer<Float>, groups: Int, seen: Int) -> [Int32] {
    let plan = bound.plan
    let scores = (0..<groups).map { group in
      (0..<plan.headCount).reduce(Float(0)) { $0 + max(0, products[$1 * groups + group]) } / Float(plan.headSize).squareRoot()
    }
    let length = plan.groupSize
    return plan.kept(scores).flatMap { Int32($0 * length)..<Int32(($0 + 1) * length) } + Array(Int32(groups * length)..<Int32(seen))
  }
}
