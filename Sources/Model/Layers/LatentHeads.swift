// How the heads of latent attention meet what is cached, one vector a token. Many tokens unfold the vectors into keys and values, a few
// heads at a time. A single token would unfold its whole past: its queries are folded into the latent space instead, where all heads
// share the vectors as keys and values, and only the mixtures are unfolded. Both are the same sum in another order.
// Source: DeepSeek-AI 2024, arXiv:2405.04434, section 2.1.2 (the absorbed matrices).

/// The call of one layer for the tokens at hand.
struct LatentHeads {
  let plan: LatentAttentionPlan
  /// `[headCount * (plainSize + valueSize), latentSize]`
  let unfold: BoundMatrix
  /// The same as a file may have it: keys `[headCount * latentSize, plainSize]`, values `[headCount * valueSize, latentSize]`.
  let apart: (keys: WeightMatrix, values: WeightMatrix)?
  /// `[positions, latentSize + rotatedSize]`: latents, normalised, and the rotated key behind each.
  let latents: UnsafePointer<Float>
  /// `[count, headCount, plainSize + rotatedSize]`
  let queries: UnsafePointer<Float>
  /// `[headCount]`
  let sinks: UnsafePointer<Float>?

  private var width: Int { plan.latentSize + plan.rotatedSize }
  private var keySize: Int { plan.plainSize + plan.rotatedSize }

  /// Numbers that are unfolded at a time: 16 MiB.
  private static let mostFloats = 1 << 22

  private func keyRows(_ head: Int) -> WeightMatrix {
    unfold.matrix.rows(from: head * (plan.plainSize + plan.valueSize), step: 1, count: plan.plainSize)
  }

  private func valueRows(_ head: Int) -> WeightMatrix {
    unfold.matrix.rows(from: head * (plan.plainSize + plan.valueSize) + plan.plainSize, step: 1, count: plan.valueSize)
  }

  /// `[count, headCount, valueSize]` by keys and values of all positions so far.
  func unfolded(_ pass: Pass, into out: UnsafeMutablePointer<Float>) {
    let positions = pass.position + pass.count
    let some = max(1, min(plan.headCount, Self.mostFloats / (positions * (keySize + plan.valueSize))))
    let keys = pass.arena.floats(some * positions * keySize), values = pass.arena.floats(some * positions * plan.valueSize)
    for first in stride(from: 0, to: plan.headCount, by: some) {
      let count = min(some, plan.headCount - first)
      let products = (0..<count).flatMap { head in
        [
          Product(
            out: keys + head * positions * keySize, outStride: keySize, x: latents, xStride: width, tokens: positions,
            weight: keyRows(first + head)),
          Product(
            out: values + head * positions * plan.valueSize, x: latents, xStride: width, tokens: positions,
            weight: valueRows(first + head)),
        ]
      }
      products.withUnsafeBufferPointer { pass.pool.multiply($0) }
      pass.pool.forEachRow(of: count * positions, cost: plan.rotatedSize) { rows in
        for row in rows {
          let rotated = latents + row % positions * width + plan.latentSize
          (keys + row * keySize + plan.plainSize).update(from: rotated, count: plan.rotatedSize)
        }
      }
      var attention = Attention(
        out: out + first * plan.valueSize, queries: queries + first * keySize, keys: keys, values: values, tokens: pass.count,
        heads: count, kvHeads: count, headDim: keySize, valueDim: plan.valueSize, keyCount: positions, firstPosition: pass.position,
        scale: plan.scale, capacity: positions)
      attention.rowHeads = plan.headCount
      attention.sinks = sinks.map { $0 + first }
      pass.pool.attend(attention)
    }
  }

  /// The same by the latents as they are, with the choice of earlier tokens where there is one.
  func folded(_ pass: Pass, into out: UnsafeMutablePointer<Float>) {
    let (count, heads) = (pass.count, plan.headCount)
    let folded = pass.arena.floats(count * heads * width), mixtures = pass.arena.floats(count * heads * plan.latentSize)
    fold(pass, into: folded)
    for row in 0..<count * heads {
      (folded + row * width + plan.latentSize).update(from: queries + row * keySize + plan.plainSize, count: plan.rotatedSize)
    }
    var attention = Attention(
      out: mixtures, queries: folded, keys: latents, values: latents, tokens: count, heads: heads, kvHeads: 1, headDim: width,
      valueDim: plan.latentSize, keyCount: pass.position + count, firstPosition: pass.position, scale: plan.scale)
    attention.valueStride = width
    attention.sinks = sinks
    if let topK = plan.index?.topK {
      attention.run(on: pass, whole: topK) { token, _ in pass.seenPositions[pass.position + token] ?? [] }
    } else {
      pass.pool.attend(attention)
    }
    let products = (0..<heads).map { head in
      Product(
        out: out + head * plan.valueSize, outStride: heads * plan.valueSize, x: mixtures + head * plan.latentSize,
        xStride: heads * plan.latentSize, tokens: count,
        weight: apart?.values.rows(from: head * plan.valueSize, step: 1, count: plan.valueSize) ?? valueRows(head))
    }
    products.withUnsafeBufferPointer { pass.pool.multiply($0) }
  }

  /// The plain parts of the queries times the rows that make keys, transposed.
  private func fold(_ pass: Pass, into folded: UnsafeMutablePointer<Float>) {
    func multiply(_ heads: Range<Int>, _ turned: (Int) -> WeightMatrix?) {
      let products = heads.compactMap { head in
        turned(head).map {
          Product(
            out: folded + head * width, outStride: plan.headCount * width, x: queries + head * keySize,
            xStride: plan.headCount * keySize, tokens: pass.count, weight: $0)
        }
      }
      products.withUnsafeBufferPointer { pass.pool.multiply($0) }
    }
    let (heads, latent, plain) = (0..<plan.headCount, plan.latentSize, plan.plainSize)
    if let apart { return multiply(heads) { apart.keys.rows(from: $0 * latent, step: 1, count: latent) } }
    if keyRows(0).columns(from: 0, step: 1, count: latent) != nil {
      return multiply(heads) { keyRows($0).columns(from: 0, step: 1, count: latent) }
    }
    // Rows in blocks cannot be read across, and are widened first.
    let size = plain * latent, some = max(1, min(heads.count, Self.mostFloats / size))
    let room = pass.arena.floats(some * size)
    for first in stride(from: 0, to: heads.count, by: some) {
      let range = first..<min(first + some, heads.count)
      pass.pool.forEachRow(of: range.count * plain, cost: latent) { rows in
        for row in rows { keyRows(first + row / plain).read(row: row % plain, into: room + row * latent) }
      }
      multiply(range) {
        WeightMatrix(base: room + ($0 - first) * size, type: .f32, rows: plain, columns: latent).columns(from: 0, step: 1, count: latent)
      }
    }
  }
}
