// Which blocks of earlier tokens does a token look at? A small scorer beside grouped attention scores every key, a block counts by its best
// one, and each key-value head keeps the blocks right behind the token and the best of the others. A sequence of no more blocks than are
// kept is seen whole.
// Source: MiniMax 2026, MiniMax-M3, by the modelling code of its release.

import CKernels
import Routing

struct BlockIndexPlan: Sendable {
  /// One for each key-value head of the attention beside it.
  var headCount: Int
  var headSize: Int
  /// Positions of a block.
  var blockSize: Int
  /// Blocks that are kept, the local ones among them.
  var topK: Int
  /// The token's own block and those right before it, which are always kept: at least 1.
  var localBlocks: Int
  /// `[headCount * headSize, hidden]` and `[headSize, hidden]`, and the norms over each head.
  var query: LinearPlan
  var key: LinearPlan
  var queryNorm: NormPlan
  var keyNorm: NormPlan
  /// Of the first elements of queries and keys.
  var rotary: RotaryPlan

  func bind(_ binder: WeightBinder) throws -> BoundBlockIndex {
    let because = "the index sizes in config.json"
    return BoundBlockIndex(
      plan: self, query: try binder.linear(query, rows: headCount * headSize, columns: binder.hiddenSize, because: because),
      key: try binder.linear(key, rows: headSize, columns: binder.hiddenSize, because: because),
      queryNorm: try binder.norm(queryNorm, size: headSize), keyNorm: try binder.norm(keyNorm, size: headSize))
  }

  /// Blocks that a token keeps.
  ///
  /// - Parameters:
  ///   - best: by block the best score of its keys, the token's own block last.
  /// - Returns: `topK` blocks, or all where there are not so many, rising; of equals the earlier one.
  func kept(_ best: [Float]) -> [Int] {
    let others = best.indices.dropLast(min(localBlocks, best.count))
    return Self.largest(topK - min(localBlocks, best.count), of: best[others]) + best.indices.suffix(localBlocks)
  }
}

extension BlockIndexPlan {
  /// Places of the largest scores, rising; of equals the earlier one.
  static func largest(_ count: Int, of scores: ArraySlice<Float>) -> [Int] {
    scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }.prefix(count).sorted()
  }
}

struct BoundBlockIndex: Sendable {
  let plan: BlockIndexPlan
  let query: Linear
  let key: Linear
  let queryNorm: Norm
  let keyNorm: Norm
}

/// The scorer's keys of one sequence.
final class RunningBlockIndex {
  private let bound: BoundBlockIndex
  /// `[positions, headSize]`
  private var keys: [Float] = []

  init(_ bound: BoundBlockIndex) { self.bound = bound }

  func reset() { keys = [] }

  /// Tokens of a sequence that see all before them.
  var whole: Int { bound.plan.topK * bound.plan.blockSize }

  /// Takes the tokens of a step in.
  ///
  /// - Returns: by token of the step, and by key-value head, the positions it looks at, rising; nothing for tokens that see all.
  func choose(_ pass: Pass) -> [[[Int32]]] {
    let plan = bound.plan
    let (size, heads, count) = (plan.headSize, plan.headCount, pass.count)
    let table = pass.rotary.table(plan.rotary, positions: pass.position + count)
    let fresh = pass.project(bound.key, from: pass.x)
    bound.keyNorm.apply(pass.pool, out: fresh, x: fresh, rows: count)
    table.turn(pass.pool, fresh, tokenStride: size, heads: 1, headStride: size, position: pass.position, count: count)
    keys += UnsafeBufferPointer(start: fresh, count: count * size)
    var chosen = [[[Int32]]](repeating: [], count: count)
    guard pass.position + count > whole else { return chosen }
    let queries = pass.project(bound.query, from: pass.x)
    bound.queryNorm.apply(pass.pool, out: queries, x: queries, rows: count * heads)
    table.turn(pass.pool, queries, tokenStride: heads * size, heads: heads, headStride: size, position: pass.position, count: count)
    let products = pass.arena.floats(heads * (pass.position + count))
    keys.withUnsafeBytes { keys in
      guard let base = keys.baseAddress else { return }
      for t in max(0, whole - pass.position)..<count {
        let seen = pass.position + t + 1
        let known = WeightMatrix(base: base, type: .f32, rows: seen, columns: size)
        pass.pool.multiply(Product(out: products, x: queries + t * heads * size, tokens: heads, weight: known, bias: nil))
        chosen[t] = (0..<heads).map { positions(UnsafeBufferPointer(start: products + $0 * seen, count: seen)) }
      }
    }
    return chosen
  }

  /// The positions of the blocks that these scores keep.
  private func positions(_ scores: UnsafeBufferPointer<Float>) -> [Int32] {
    let size = bound.plan.blockSize
    func block(_ index: Int) -> Range<Int> { index * size..<min((index + 1) * size, scores.count) }
    let best = (0..<(scores.count + size - 1) / size).map { index in
      block(index).reduce(-Float.infinity) { max($0, scores[$1]) }
    }
    return bound.plan.kept(best).flatMap { block($0).map { Int32($0) } }
  }
}
