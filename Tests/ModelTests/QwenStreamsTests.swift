// Tables of n-grams and the scorer of groups, by hand and by numbers of transformers 5.23; FamilyParityTests holds the layers to the reference.

import Testing

@testable import Model

struct NGramMemoryTests {
  private static let end: Int32 = 18
  private static let hash = NGramHash(orders: 3, headsPerOrder: 2, end: end, vocabulary: 64, layer: 1, base: 40, multiple: 8, seed: 1234)

  @Test func numbersFollowFromTheSeed() {
    #expect(Self.hash.multipliers == [125_324_136_723_312_099, 74_677_362_759_709_025, 33_105_235_034_841_755])
    #expect(Self.hash.sizes == [59, 61, 67, 71] && Self.hash.offsets == [0, 59, 120, 187] && Self.hash.rows == 264)
    let large = NGramHash(orders: 4, headsPerOrder: 1, end: 2, vocabulary: 248_320, layer: 0, base: 20_000_000, multiple: 128, seed: 7)
    #expect(large.multipliers == [17_724_271_126_009, 21_128_222_888_389, 54_189_222_871, 18_032_115_500_277])
    #expect(large.sizes == [20_000_003, 20_000_023, 20_000_033] && large.rows % 128 == 0)
  }

  /// Before a text stand ends; nothing before an end counts, and the end itself counts as what it is.
  @Test func rowsAreThoseOfTheReference() {
    let text: [Int32] = [Self.end, Self.end, 25, 10, Self.end, 40, 21, 54]
    let wanted = [
      [16, 114, 142, 235], [9, 118, 177, 212], [45, 97, 164, 253], [56, 119, 136, 228], [34, 59, 163, 218], [58, 74, 139, 207],
    ]
    for (t, rows) in wanted.enumerated() { #expect(Self.hash.rows(of: text[t...t + 2]) == rows, "token \(t)") }
    // What lies before an end is never seen.
    #expect(Self.hash.rows(of: [9, Self.end, 40]) == wanted[3])
  }

  @Test(arguments: [
    (scores: [1, 5, 3] as [Float], kept: [1, 2]), (scores: [4, 4, 4], kept: [0, 1]), (scores: [2], kept: [0]), (scores: [], kept: []),
  ])
  func theBestGroupsAreKept(_ example: (scores: [Float], kept: [Int])) {
    let plan = PooledIndexPlan(
      headCount: 1, headSize: 2, groupSize: 3, topK: 2, projection: LinearPlan("p"), queryNorm: .rms(nil, 1e-6),
      keyNorm: .rms(nil, 1e-6), rotary: RotaryPlan(base: 10_000, rotatedSize: 2))
    #expect(plan.kept(example.scores) == example.kept)
  }
}

/// Gates between streams: what a half's output does to them.
struct GatedStreamsTests {
  @Test func everyStreamGetsItsShareOfTheOutput() throws {
    let fixture = try #require(ModelFixture.named("qwen4_exp").first)
    let model = try LanguageModel(path: fixture.folder)
    // The first block begins with a table of n-grams.
    let connection = try #require(model.weights.decoder.blocks[0][1].connection)
    let (n, hidden, count) = (3, model.hiddenSize, 4)
    let (pool, arena) = (WorkerPool(threads: 2), Arena())
    let stream = arena.floats(count * n * hidden), output = arena.floats(count * hidden), read = arena.floats(count * hidden)
    for i in 0..<count * n * hidden { stream[i] = Float(i % 17) - 8 }
    for i in 0..<count * hidden { output[i] = Float(i % 5) - 2 }
    let before = Array(UnsafeBufferPointer(start: stream, count: count * n * hidden))
    let weights = connection.weights(stream, count: count, pool, arena)
    connection.collapse(stream, weights, count: count, hidden: hidden, into: read, pool)
    connection.spread(output, weights, count: count, hidden: hidden, over: stream, pool)
    for t in 0..<count {
      for k in 0..<n {
        let factor = weights[t * (hidden + n) + hidden + k]
        #expect(factor > 0 && factor < 2)
        for i in 0..<hidden {
          let place = (t * n + k) * hidden + i
          #expect(abs(stream[place] - before[place] - factor * output[t * hidden + i]) < 1e-5)
        }
      }
      // A mean of gated numbers is no larger than the largest of them.
      let largest = (0..<hidden).map { abs(read[t * hidden + $0]) }.max() ?? 0
      #expect(largest > 0 && largest.isFinite)
    }
  }
}

/// Whole models that say what does not fit.
struct NGramModelTests {
  @Test(arguments: [
    ("ple_layer_ids", "[5]"), ("ple_embed_dim", "33"), ("ngram_size", "1"), ("split_ngram_parts", "5"),
    ("indexer_budget", "7"), ("indexer_head_dim", "2"), ("indexer_kv_heads", "2"), ("hc_count", "1"), ("output_gate_type", "\"tanh\""),
    ("ngram_vocab_size_base", "60"), ("eos_token_id", "null"),
  ])
  func refuses(_ key: String, _ value: String) throws {
    let fixture = try #require(ModelFixture.named("qwen4_exp").first)
    #expect(throws: ModelError.self) { try LanguageModel(path: fixture.folder, overrides: [key: value]) }
  }

  /// The numbers in the file are those of its own seed: known when a token needs them.
  @Test func refusesToReadByOtherNumbers() throws {
    let fixture = try #require(ModelFixture.named("qwen4_exp").first)
    let model = try LanguageModel(path: fixture.folder, overrides: ["seed": "9"])
    #expect(throws: ModelError.self) { try fixture.report(model) }
  }

  /// A token meets a row of each head, not the table.
  @Test func tablesAreNotMet() throws {
    let fixture = try #require(ModelFixture.named("qwen4_exp").first)
    let facts = try LanguageModel(path: fixture.folder).facts()
    let rows = [(41 + 43 + 47 + 53 + 7) / 8 * 8, 264].reduce(0, +)
    let experts = 4 * 5 * 3 * 16 * 32
    let embedding = 64 * 32
    #expect(facts.parameters - facts.activeParameters == (rows - 8) * 8 + experts + embedding)
  }
}
