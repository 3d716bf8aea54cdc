// Matrices whose inputs are rows in the file: a product with one has the bits of a product with the same numbers turned over, in every
// form, for few and many tokens, however the work is cut; and experts stored so are the experts stored the other way.

import CKernels
import Model
import Testing

/// Numbers `[inputs, columns]` as a file has them, at an odd place, and nothing behind the last.
private final class StoredInputs {
  let type: StoredType
  let columns: Int
  private let inputs: Int
  private let memory: UnsafeMutableRawPointer
  private let stride: Int

  init(_ type: StoredType, inputs: Int, columns: Int, numbers: inout Numbers) {
    (self.type, self.inputs, self.columns) = (type, inputs, columns)
    stride = type.rowBytes(columns: columns)
    memory = .allocate(byteCount: 1 + inputs * stride, alignment: 64)
    for i in 0..<inputs * stride { memory.storeBytes(of: UInt8.random(in: 0...119, using: &numbers), toByteOffset: 1 + i, as: UInt8.self) }
  }

  deinit { memory.deallocate() }

  var stored: WeightMatrix { WeightMatrix(base: memory + 1, type: type, rows: inputs, columns: columns) }

  /// Columns `first`, `first + step`, ... as rows of f32.
  func turned(from first: Int, step: Int, count: Int) -> [Float] {
    let row = Floats(count: columns)
    var values = [Float](repeating: 0, count: count * inputs)
    for i in 0..<inputs {
      stored.read(row: i, into: row.pointer)
      let numbers = row.values
      for r in 0..<count { values[r * inputs + i] = numbers[first + r * step] }
    }
    return values
  }
}

@Suite struct ColumnTests {
  static let types: [StoredType] = [.f32, .f16, .bf16, .f64, .f8E4M3]

  private func job(_ out: Floats, _ x: Floats, tokens: Int, _ weights: mt_matrix) -> mt_matmul_job {
    mt_matmul_job(
      out: out.pointer, out_stride: weights.rows, out_index: nil, x: x.pointer, x_stride: weights.depth, x_index: nil, tokens: tokens,
      weights: weights, row_begin: 0, row_end: weights.rows, bias: nil, scale: nil, accumulate: false, sums: MT_SUMS_F32, is_laid: false,
      x_is_laid: false)
  }

  private func kernelMatrix(_ matrix: WeightMatrix) -> mt_matrix {
    mt_matrix(
      base: matrix.base, row_bytes: matrix.rowBytes, rows: matrix.rows, depth: matrix.columns,
      type: mt_element_type(matrix.type.rawValue), scales: mt_scales(), depth_bytes: matrix.inputBytes ?? 0, tables: nil)
  }

  @Test(arguments: Form.all, types)
  func productsHaveTheBitsOfRows(form: Form, type: StoredType) throws {
    for (inputs, columns, first, step) in [(1, 3, 0, 1), (53, 37, 2, 1), (70, 75, 1, 2), (256, 400, 0, 1), (33, 450, 3, 1), (20, 40, 1, 3)]
    {
      var numbers = Numbers(inputs)
      let file = StoredInputs(type, inputs: inputs, columns: columns, numbers: &numbers)
      let rows = (columns - first + step - 1) / step
      let matrix = kernelMatrix(try #require(file.stored.columns(from: first, step: step, count: rows)))
      let values = Floats(file.turned(from: first, step: step, count: rows))
      let plain = mt_matrix(
        base: values.pointer, row_bytes: 4 * inputs, rows: rows, depth: inputs, type: MT_F32, scales: mt_scales(), depth_bytes: 0,
        tables: nil)
      for tokens in [1, 2, 4, 5, 19, 70] {
        let x = Floats(numbers.floats(tokens * inputs))
        let (expected, whole, cut) = (Floats(count: tokens * rows), Floats(count: tokens * rows), Floats(count: tokens * rows))
        withScratch(mt_matmul_scratch_bytes(inputs)) { scratch in
          var product = job(expected, x, tokens: tokens, plain)
          form.kernels.matmul(&product, scratch)
          product = job(whole, x, tokens: tokens, matrix)
          form.kernels.matmul(&product, scratch)
          product = job(cut, x, tokens: tokens, matrix)
          for begin in stride(from: 0, to: rows, by: 11) {
            (product.row_begin, product.row_end) = (begin, min(rows, begin + 11))
            form.kernels.matmul(&product, scratch)
          }
        }
        #expect(whole.isIntact && cut.isIntact)
        #expect(whole.bits == expected.bits, "\(inputs) x \(columns), step \(step), \(tokens) tokens")
        #expect(cut.bits == expected.bits, "\(inputs) x \(columns), step \(step), \(tokens) tokens, cut")
      }
    }
  }

  /// Gathered tokens, scattered results, bias, scale and a sum that is there already.
  @Test(arguments: Form.all, [1, 3, 9])
  func everythingAProductCanDo(form: Form, tokens: Int) throws {
    var numbers = Numbers(tokens)
    let (inputs, rows) = (40, 21)
    let file = StoredInputs(.bf16, inputs: inputs, columns: rows, numbers: &numbers)
    let values = Floats(file.turned(from: 0, step: 1, count: rows))
    let plain = mt_matrix(
      base: values.pointer, row_bytes: 4 * inputs, rows: rows, depth: inputs, type: MT_F32, scales: mt_scales(), depth_bytes: 0, tables: nil
    )
    let matrices = [plain, kernelMatrix(try #require(file.stored.columns(from: 0, step: 1, count: rows)))]
    let x = Floats(numbers.floats(tokens * inputs))
    let (bias, scale, before) = (numbers.floats(rows), numbers.floats(tokens), numbers.floats(tokens * rows))
    let order = (0..<UInt32(tokens)).shuffled(using: &numbers)
    let results = matrices.map { matrix in
      let out = Floats(before)
      withScratch(mt_matmul_scratch_bytes(inputs)) { scratch in
        bias.withUnsafeBufferPointer { bias in
          scale.withUnsafeBufferPointer { scale in
            order.withUnsafeBufferPointer { order in
              var product = job(out, x, tokens: tokens, matrix)
              (product.bias, product.scale, product.accumulate) = (bias.baseAddress, scale.baseAddress, true)
              (product.x_index, product.out_index) = (order.baseAddress, order.baseAddress)
              form.kernels.matmul(&product, scratch)
            }
          }
        }
      }
      return out.bits
    }
    #expect(results[0] == results[1])
  }

  @Test func rowsAreReadOneByOne() throws {
    var numbers = Numbers(4)
    let file = StoredInputs(.f16, inputs: 9, columns: 14, numbers: &numbers)
    let odd = try #require(file.stored.columns(from: 1, step: 2, count: 7))
    let out = Floats(count: 9)
    for row in 0..<7 {
      odd.read(row: row, into: out.pointer)
      #expect(out.isIntact && out.values == Array(file.turned(from: 1, step: 2, count: 7)[row * 9..<(row + 1) * 9]))
    }
    #expect(odd.rows(2..<5).columns == 9 && odd.columns(from: 0, step: 1, count: 1) == nil)
  }

  @Test func onlyMatricesInTurnsAreReadTogether() throws {
    var numbers = Numbers(5)
    let file = StoredInputs(.bf16, inputs: 8, columns: 12, numbers: &numbers)
    func columns(_ first: Int, _ step: Int) throws -> WeightMatrix { try #require(file.stored.columns(from: first, step: step, count: 6)) }
    let both = try #require(WeightMatrix.interleaved(columns(0, 2), columns(1, 2)))
    #expect(both.rows == 12 && both.columns == 8 && both.base == file.stored.base)
    #expect(try WeightMatrix.interleaved(columns(1, 2), columns(0, 2)) == nil)
    #expect(try WeightMatrix.interleaved(columns(0, 1), columns(6, 1)) == nil)
    #expect(WeightMatrix.interleaved(file.stored, file.stored) == nil)
  }

  /// As gpt-oss keeps its experts (gate and up in turns) and as Llama 4 does (one behind the other, weights on the input).
  @Test(arguments: [1, 3, 40], [2, 1])
  func expertsAreThoseOfRows(tokens: Int, step: Int) throws {
    var numbers = Numbers(tokens)
    let (hidden, inner, count, topK) = (45, 30, 4, 2)
    var kept: [Any] = []
    var (inputs, rows): ([ExpertWeights], [ExpertWeights]) = ([], [])
    for _ in 0..<count {
      let gateUp = StoredInputs(.bf16, inputs: hidden, columns: 2 * inner, numbers: &numbers)
      let down = StoredInputs(.bf16, inputs: inner, columns: hidden, numbers: &numbers)
      let biases = (Floats(numbers.floats(inner)), Floats(numbers.floats(inner)), Floats(numbers.floats(hidden)))
      let firstUp = step == 2 ? 1 : inner
      func matrix(_ file: StoredInputs, _ first: Int, _ step: Int, _ rows: Int, _ columns: Int) -> WeightMatrix {
        let values = Floats(file.turned(from: first, step: step, count: rows))
        kept.append(values)
        return WeightMatrix(base: values.pointer, type: .f32, rows: rows, columns: columns)
      }
      let (gate, up) = (
        gateUp.stored.columns(from: 0, step: step, count: inner), gateUp.stored.columns(from: firstUp, step: step, count: inner)
      )
      let pointers = (UnsafePointer(biases.0.pointer), UnsafePointer(biases.1.pointer), UnsafePointer(biases.2.pointer))
      inputs.append(
        ExpertWeights(
          gate: gate, up: try #require(up),
          down: try #require(down.stored.columns(from: 0, step: 1, count: hidden)), gateBias: step == 2 ? pointers.0 : nil,
          upBias: step == 2 ? pointers.1 : nil, downBias: step == 2 ? pointers.2 : nil))
      rows.append(
        ExpertWeights(
          gate: matrix(gateUp, 0, step, inner, hidden), up: matrix(gateUp, firstUp, step, inner, hidden),
          down: matrix(down, 0, 1, hidden, inner), gateBias: step == 2 ? pointers.0 : nil, upBias: step == 2 ? pointers.1 : nil,
          downBias: step == 2 ? pointers.2 : nil))
      kept += [gateUp, down, biases.0, biases.1, biases.2]
    }
    let chosen = (0..<tokens).flatMap { _ in (0..<count).shuffled(using: &numbers).prefix(topK).map(Int32.init) }
    let weights = numbers.floats(tokens * topK)
    let x = Floats(numbers.floats(tokens * hidden))
    var assignments = ExpertAssignments()
    assignments.assign(experts: chosen, weights: weights, tokens: tokens, topK: topK, expertCount: count)
    var results: [[UInt32]] = []
    for (experts, threads) in [(rows, 1), (inputs, 1), (inputs, 3)] {
      let pool = WorkerPool(threads: threads)
      let out = Floats([Float](repeating: 0.5, count: tokens * hidden))
      experts.withUnsafeBufferPointer { experts in
        let store = Floats(count: ExpertCall.hiddenFloats(experts, assignments))
        var call = ExpertCall(out: out.pointer, x: x.pointer, hidden: store.pointer, activation: .clampedSwiGLU(limit: 7))
        call.weightsApplyToInput = step == 1
        pool.runExperts(call, experts: experts, assignments: assignments)
        #expect(store.isIntact)
      }
      #expect(out.isIntact)
      results.append(out.bits)
    }
    withExtendedLifetime(kept) {}
    #expect(results[0] == results[1] && results[1] == results[2])
    #expect(!results[0].contains { Float(bitPattern: $0).isNaN })
  }
}
