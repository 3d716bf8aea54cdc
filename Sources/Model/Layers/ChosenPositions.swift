// Attention of tokens that look at chosen positions only, whoever chose them: their keys and values are laid side by side first.

import CKernels

extension Attention {
  /// This call where some tokens do not see all before them: first the tokens that do, then the others one after the other.
  ///
  /// - Parameters:
  ///   - whole: so many first tokens of a sequence see all, and as many positions are the most that a later one sees.
  ///   - chosen: by token of this call and key-value head the positions, rising; for every head of a token equally many.
  func run(on pass: Pass, whole: Int, _ chosen: (_ token: Int, _ head: Int) -> [Int32]) {
    let plain = min(tokens, max(0, whole - firstPosition))
    if plain > 0 {
      var first = self
      (first.tokens, first.keyCount) = (plain, firstPosition + plain)
      pass.pool.attend(first)
    }
    guard plain < tokens else { return }
    let group = heads / kvHeads
    // Few heads at a time: the keys and values of all can be more than there is memory for.
    let block = max(1, min(kvHeads, (1 << 22) / (whole * (headDim + valueDim))))
    let (someKeys, someValues) = (pass.arena.floats(block * whole * headDim), pass.arena.floats(block * whole * valueDim))
    for t in plain..<tokens {
      for start in stride(from: 0, to: kvHeads, by: block) {
        let some = min(block, kvHeads - start)
        let seen = (start..<start + some).map { chosen(t, $0) }
        pass.pool.forEachRow(of: some, cost: whole * (headDim + valueDim)) { rows in
          for row in rows {
            for (place, position) in seen[row].enumerated() {
              let (head, position, to) = (start + row, Int(position), row * whole + place)
              (someKeys + to * headDim).update(from: keys + head * keyHeadStride + position * keyStride, count: headDim)
              (someValues + to * valueDim).update(from: values + head * valueHeadStride + position * valueStride, count: valueDim)
            }
          }
        }
        let first = t * heads + start * group
        var part = Attention(
          out: out + first * valueDim, queries: queries + first * headDim, keys: someKeys, values: someValues, tokens: 1,
          heads: some * group, kvHeads: some, headDim: headDim, valueDim: valueDim, keyCount: seen[0].count,
          firstPosition: seen[0].count - 1, scale: scale, capacity: whole)
        part.sinks = sinks.map { $0 + start * group }
        pass.pool.attend(part)
      }
    }
  }
}
