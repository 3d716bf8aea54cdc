// Which blocks a scorer keeps, by hand; FamilyParityTests holds the attention beside it to the reference.

import Testing

@testable import Model

struct BlockIndexTests {
  private func plan(topK: Int, local: Int) -> BlockIndexPlan {
    BlockIndexPlan(
      headCount: 1, headSize: 2, blockSize: 4, topK: topK, localBlocks: local, query: LinearPlan("q"), key: LinearPlan("k"),
      queryNorm: .rms(nil, 1e-6), keyNorm: .rms(nil, 1e-6), rotary: RotaryPlan(base: 10_000, rotatedSize: 2))
  }

  @Test(arguments: [
    // The own block counts among the kept ones, however bad it is.
    (topK: 2, local: 1, best: [1, 5, 3, -9] as [Float], kept: [1, 3]), (topK: 3, local: 2, best: [1, 5, 3, -9], kept: [1, 2, 3]),
    // All are local.
    (topK: 2, local: 2, best: [7, 5, 3, -9], kept: [2, 3]),
    // No more blocks than are kept.
    (topK: 4, local: 1, best: [1, 5, 3], kept: [0, 1, 2]), (topK: 2, local: 2, best: [1], kept: [0]),
    // Of equals the earlier one.
    (topK: 2, local: 1, best: [0, 4, 4, 0], kept: [1, 3]),
  ])
  func keepsTheLocalBlocksAndTheBest(_ example: (topK: Int, local: Int, best: [Float], kept: [Int])) {
    #expect(plan(topK: example.topK, local: example.local).kept(example.best) == example.kept)
  }
}
