// The façade: products, attention and experts are right, and the same bits for any number of threads and any batching.

import CKernels
import Model
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Weights that live as long as the test.
private final class Bank {
  private var stored: [Stored] = []
  private var numbers: Numbers

  init(_ seed: Int) { numbers = Numbers(seed) }

  func matrix(_ rows: Int, _ columns: Int, _ type: StoredType) -> WeightMatrix {
    let weight = Stored(numbers.floats(rows * columns), rows: rows, depth: columns, type: mt_element_type(type.rawValue), offset: 2)
    stored.append(weight)
    return WeightMatrix(base: weight.base, type: type, rows: rows, columns: columns)
  }

  func floats(_ count: Int) -> [Float] { numbers.floats(count) }
}

@Suite struct FacadeTests {
  @Test(arguments: [1, 2, 7, 300], [.f32, .f16, .bf16] as [StoredType])
  func productsDoNotKnowOfThreads(tokens: Int, type: StoredType) {
    let bank = Bank(tokens)
    let (wide, narrow) = (bank.matrix(301, 130, type), bank.matrix(5, 130, type))
    let x = Floats(bank.floats(tokens * 130))
    let bias = bank.floats(5)
    var results: [[UInt32]] = []
    for threads in [1, 2, 3] {
      let pool = WorkerPool(threads: threads)
      let (a, b) = (Floats(count: tokens * 301), Floats(count: tokens * 5))
      bias.withUnsafeBufferPointer {
        pool.multiply(
          Product(out: a.pointer, x: x.pointer, tokens: tokens, weight: wide),
          Product(out: b.pointer, x: x.pointer, tokens: tokens, weight: narrow, bias: $0.baseAddress))
      }
      #expect(a.isIntact && b.isIntact)
      results.append(a.bits + b.bits)
      let alone = Floats(count: 301)
      pool.matmul(out: alone.pointer, x: x.pointer + (tokens - 1) * 130, tokens: 1, weight: wide)
      #expect(alone.bits == Array(a.bits.suffix(301)), "one token alone has the bits of the batch")
    }
    #expect(results.allSatisfy { $0 == results[0] })
  }

  /// Many tokens, and one whose heads all share their keys: these are divided among the threads.
  @Test(arguments: [(70, 6, 2, 90), (1, 40, 1, 300)])
  func attentionDoesNotKnowOfThreads(tokens: Int, heads: Int, kvHeads: Int, keys: Int) {
    let bank = Bank(1)
    let dim = 24
    let (q, k, v) = (
      Floats(bank.floats(tokens * heads * dim)), Floats(bank.floats(keys * kvHeads * dim)), Floats(bank.floats(keys * kvHeads * dim))
    )
    let results = [1, 2, 3].map { threads in
      let pool = WorkerPool(threads: threads)
      let out = Floats(count: tokens * heads * dim)
      pool.attend(
        Attention(
          out: out.pointer, queries: q.pointer, keys: k.pointer, values: v.pointer, tokens: tokens, heads: heads, kvHeads: kvHeads,
          headDim: dim, keyCount: keys, firstPosition: keys - tokens, scale: 0.2))
      #expect(out.isIntact)
      return out.bits
    }
    #expect(results.allSatisfy { $0 == results[0] && !$0.contains(Float(777).bitPattern) })
  }

  private func gelu(_ x: Double) -> Double { 0.5 * x * (1 + tanhOf((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }

  /// Experts of different size, one without tokens, a dropped assignment, a shared expert, an out that already holds something.
  @Test(arguments: [1, 3, 40], [.f32, .f16, .bf16] as [StoredType])
  func expertsAreTheirDefinition(tokens: Int, type: StoredType) {
    let bank = Bank(tokens + 9)
    let (hidden, count, topK) = (45, 6, 2)
    let sizes = [16, 30, 8, 16, 61, 16, 33]
    let biases = sizes.map { (bank.floats($0), bank.floats($0), bank.floats(hidden)) }
    let matrices = sizes.map { (bank.matrix($0, hidden, type), bank.matrix($0, hidden, type), bank.matrix(hidden, $0, type)) }
    var numbers = Numbers(5)
    var chosen: [Int32] = []
    for t in 0..<tokens {
      let picks = (0..<5).shuffled(using: &numbers).prefix(topK)  // expert 5 stays idle
      chosen += picks.map(Int32.init)
      if t == 2 { chosen[chosen.count - 1] = -1 }
    }
    let routed = bank.floats(tokens * topK)
    let x = Floats(bank.floats(tokens * hidden))
    let before = bank.floats(tokens * hidden)
    let kept = biases.map { (Floats($0.0), Floats($0.1), Floats($0.2)) }
    let experts = zip(matrices, kept).map { m, b in
      ExpertWeights(
        gate: m.0, up: m.1, down: m.2, gateBias: UnsafePointer(b.0.pointer), upBias: UnsafePointer(b.1.pointer),
        downBias: UnsafePointer(b.2.pointer))
    }
    var assignments = ExpertAssignments()
    assignments.assign(experts: chosen, weights: routed, tokens: tokens, topK: topK, expertCount: count, always: 1)
    #expect(assignments.slotCount == chosen.filter { $0 >= 0 }.count + tokens)
    var results: [[UInt32]] = []
    for threads in [1, 2, 3] {
      let pool = WorkerPool(threads: threads)
      let out = Floats(before)
      experts.withUnsafeBufferPointer { experts in
        let store = Floats(count: ExpertCall.hiddenFloats(experts, assignments))
        pool.runExperts(
          ExpertCall(out: out.pointer, x: x.pointer, hidden: store.pointer, activation: .geluTanh), experts: experts,
          assignments: assignments)
        #expect(store.isIntact)
      }
      #expect(out.isIntact)
      results.append(out.bits)
    }
    #expect(results.allSatisfy { $0 == results[0] })

    let input = x.values
    for t in 0..<tokens {
      var wanted = before[t * hidden..<(t + 1) * hidden].map(Double.init)
      var parts = (0..<topK).map { (Int(chosen[t * topK + $0]), Double(routed[t * topK + $0])) }.filter { $0.0 >= 0 }
      parts.append((count, 1))
      for (e, factor) in parts {
        let inner = (0..<sizes[e]).map { r in
          gelu(dot(matrices[e].0, r, input, t * hidden) + Double(biases[e].0[r]))
            * (dot(matrices[e].1, r, input, t * hidden) + Double(biases[e].1[r]))
        }
        for c in 0..<hidden {
          let row = values(matrices[e].2, c)
          wanted[c] += factor * (zip(row, inner).reduce(Double(biases[e].2[c])) { $0 + Double($1.0) * $1.1 })
        }
      }
      for c in 0..<hidden { #expect(abs(Double(Float(bitPattern: results[0][t * hidden + c])) - wanted[c]) < 3e-3) }
    }
    withExtendedLifetime((bank, kept)) {}
  }

  /// A token's expert sum has the same bits alone and in any batch: routing further up never depends on chunking.
  @Test func expertsOfATokenDoNotKnowOfTheBatch() {
    let bank = Bank(3)
    let (hidden, inner, count, topK, tokens) = (256, 128, 16, 3, 50)
    let experts = (0..<count).map { _ in
      ExpertWeights(gate: bank.matrix(inner, hidden, .bf16), up: bank.matrix(inner, hidden, .bf16), down: bank.matrix(hidden, inner, .bf16))
    }
    var numbers = Numbers(1)
    let chosen = (0..<tokens).flatMap { _ in (0..<count).shuffled(using: &numbers).prefix(topK).map(Int32.init) }
    let routed = bank.floats(tokens * topK)
    let x = Floats(bank.floats(tokens * hidden))
    let pool = WorkerPool(threads: 2)
    let together = Floats([Float](repeating: 0, count: tokens * hidden))
    let apart = Floats([Float](repeating: 0, count: tokens * hidden))
    let store = Floats(count: tokens * topK * inner)
    var assignments = ExpertAssignments()
    experts.withUnsafeBufferPointer { experts in
      assignments.assign(experts: chosen, weights: routed, tokens: tokens, topK: topK, expertCount: count)
      pool.runExperts(
        ExpertCall(out: together.pointer, x: x.pointer, hidden: store.pointer, activation: .silu), experts: experts,
        assignments: assignments)
      for t in 0..<tokens {
        chosen.withUnsafeBufferPointer { chosen in
          routed.withUnsafeBufferPointer { routed in
            guard let chosen = chosen.baseAddress, let routed = routed.baseAddress else { return }
            assignments.assign(experts: chosen + t * topK, weights: routed + t * topK, tokens: 1, topK: topK, expertCount: count)
          }
        }
        pool.runExperts(
          ExpertCall(out: apart.pointer + t * hidden, x: x.pointer + t * hidden, hidden: store.pointer, activation: .silu),
          experts: experts, assignments: assignments)
      }
    }
    #expect(together.bits == apart.bits)
  }

  @Test func assignmentsAreSortedByExpertThenToken() {
    var assignments = ExpertAssignments()
    assignments.assign(experts: [2, 0, 2, 1, 0, -1], weights: [1, 2, 3, 4, 5, 6], tokens: 3, topK: 2, expertCount: 4)
    #expect(assignments.offsets == [0, 2, 3, 5, 5])
    #expect(assignments.tokens == [0, 2, 1, 0, 1])
    #expect(assignments.weights == [2, 5, 4, 1, 3])
    #expect(assignments.activeExperts == [0, 1, 2])
    assignments.assignAll(tokens: 2, expertCount: 2, weights: [1, 2, 3, 4])
    #expect(assignments.offsets == [0, 2, 4] && assignments.tokens == [0, 1, 0, 1] && assignments.weights == [1, 3, 2, 4])
    assignments.setWeights(of: 1, from: [7, 8])
    #expect(assignments.weights == [1, 3, 7, 8])
  }

  private func values(_ matrix: WeightMatrix, _ row: Int) -> [Float] {
    let out = Floats(count: matrix.columns)
    matrix.read(row: row, into: out.pointer)
    return out.values
  }

  private func dot(_ matrix: WeightMatrix, _ row: Int, _ x: [Float], _ start: Int) -> Double {
    zip(values(matrix, row), x[start...]).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  private func tanhOf(_ x: Double) -> Double { tanh(x) }
}
