// Heads may meet latents in two ways, which are one sum in two orders. Do they agree for every way a matrix may lie in its file, and does
// neither know how a sequence was cut?

import Support
import Testing

@testable import Model

struct LatentHeadsTests {
  private let sizes = (heads: 5, plain: 12, rotated: 6, value: 10, latent: 64)

  private var plan: LatentAttentionPlan {
    LatentAttentionPlan(
      headCount: sizes.heads, plainSize: sizes.plain, rotatedSize: sizes.rotated, valueSize: sizes.value, latentSize: sizes.latent,
      query: LinearPlan("q"), latent: LinearPlan("l"), latentNorm: NormPlan(weight: nil, epsilon: 1e-6), unfold: "u",
      output: LinearPlan("o"), scale: 0.3)
  }

  /// Numbers in memory that lives as long as `room`.
  private func numbers(_ count: Int, _ seed: UInt64, in room: Arena) -> UnsafeMutablePointer<Float> {
    var random = SeededRandom(seed: seed)
    let memory = room.floats(count)
    for i in 0..<count { memory[i] = Float.random(in: -1...1, using: &random) }
    return memory
  }

  /// The rows that unfold, as f32, as halves of it, or in blocks of 32 with a scale of 1/64.
  private func unfold(_ type: StoredType, in room: Arena) -> WeightMatrix {
    let rows = sizes.heads * (sizes.plain + sizes.value)
    let count = rows * sizes.latent
    let values = numbers(count, 3, in: room)
    let memory = UnsafeMutableRawPointer(type == .f32 ? values : room.floats(count))
    switch type {
    case .bf16:
      for i in 0..<count { memory.storeBytes(of: UInt16(values[i].bitPattern >> 16), toByteOffset: 2 * i, as: UInt16.self) }
    case .q80:
      for i in 0..<count {
        if i % 32 == 0 { memory.storeBytes(of: Float16(1.0 / 64).bitPattern, toByteOffset: i / 32 * 34, as: UInt16.self) }
        memory.storeBytes(of: Int8(values[i] * 64), toByteOffset: i / 32 * 34 + 2 + i % 32, as: Int8.self)
      }
    default: break
    }
    return WeightMatrix(base: memory, type: type, rows: rows, columns: sizes.latent)
  }

  /// As a GGUF file has it: keys turned over, values by themselves, both f32.
  private func apart(_ unfold: WeightMatrix, in room: Arena) -> (keys: WeightMatrix, values: WeightMatrix) {
    let (keys, values) = (room.floats(sizes.heads * sizes.latent * sizes.plain), room.floats(sizes.heads * sizes.value * sizes.latent))
    let row = room.floats(sizes.latent)
    for head in 0..<sizes.heads {
      for r in 0..<sizes.plain + sizes.value {
        unfold.read(row: head * (sizes.plain + sizes.value) + r, into: row)
        for l in 0..<sizes.latent {
          if r < sizes.plain {
            keys[(head * sizes.latent + l) * sizes.plain + r] = row[l]
          } else {
            values[(head * sizes.value + r - sizes.plain) * sizes.latent + l] = row[l]
          }
        }
      }
    }
    return (
      WeightMatrix(base: keys, type: .f32, rows: sizes.heads * sizes.latent, columns: sizes.plain),
      WeightMatrix(base: values, type: .f32, rows: sizes.heads * sizes.value, columns: sizes.latent)
    )
  }

  /// `[count, heads, value]` of the last `count` of `positions` tokens, in steps.
  private func run(_ type: StoredType, positions: Int, last count: Int, step: Int, threads: Int = 2, isFolded: Bool, isApart: Bool = false)
    -> [Float]
  {
    let (room, pass) = (Arena(), Pass(pool: WorkerPool(threads: threads), hiddenSize: 8))
    let width = sizes.heads * (sizes.plain + sizes.rotated)
    let latents = numbers(positions * (sizes.latent + sizes.rotated), 1, in: room)
    let (queries, sinks) = (numbers(positions * width, 2, in: room), numbers(sizes.heads, 4, in: room))
    let unfold = unfold(type, in: room)
    let out = room.floats(count * sizes.heads * sizes.value)
    for first in stride(from: positions - count, to: positions, by: step) {
      (pass.position, pass.count) = (first, min(step, positions - first))
      pass.arena.reset()
      let heads = LatentHeads(
        plan: plan, unfold: .inPlace(unfold), apart: isApart ? self.apart(unfold, in: room) : nil, latents: latents,
        queries: queries + first * width, sinks: sinks)
      let place = out + (first - positions + count) * sizes.heads * sizes.value
      if isFolded { heads.folded(pass, into: place) } else { heads.unfolded(pass, into: place) }
    }
    return withExtendedLifetime(room) { Array(UnsafeBufferPointer(start: out, count: count * sizes.heads * sizes.value)) }
  }

  @Test(arguments: [.f32, .bf16, .q80] as [StoredType], [1, 9, 70])
  func bothWaysAgree(_ type: StoredType, count: Int) {
    let folded = run(type, positions: 70, last: count, step: count, isFolded: true)
    let unfolded = run(type, positions: 70, last: count, step: count, isFolded: false)
    let distance = zip(folded, unfolded).map { abs($0 - $1) }.max() ?? .infinity
    #expect(distance < 2e-5 && folded.contains { abs($0) > 0.05 })
    #expect(folded != unfolded, "two orders of one sum")
  }

  @Test func aFileMayHaveItApart() {
    let whole = run(.f32, positions: 30, last: 3, step: 3, isFolded: true)
    let apart = run(.f32, positions: 30, last: 3, step: 3, isFolded: true, isApart: true)
    #expect((zip(whole, apart).map { abs($0 - $1) }.max() ?? .infinity) < 2e-5)
  }

  @Test(arguments: [.f32, .bf16, .q80] as [StoredType], [false, true])
  func cutsAndThreadsDoNotMatter(_ type: StoredType, isFolded: Bool) {
    let whole = run(type, positions: 40, last: 40, step: 40, threads: 1, isFolded: isFolded)
    for (step, threads) in [(1, 1), (1, 3), (7, 2)] {
      #expect(run(type, positions: 40, last: 40, step: step, threads: threads, isFolded: isFolded) == whole)
    }
  }
}
