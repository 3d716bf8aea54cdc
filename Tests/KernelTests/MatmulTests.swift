// The product in every form: against a sum in double precision, over odd sizes, and bit for bit against itself however
// the work is cut.

import CKernels
import Testing

@Suite struct MatmulTests {
  /// Largest |difference| / (sum of |products|) over the outputs.
  private func error(form: Form, tokens: Int, weight: Stored, seed: Int) -> Double {
    var numbers = Numbers(seed)
    let x = Floats(numbers.floats(tokens * weight.depth))
    let out = Floats(count: tokens * weight.rows)
    var job = plain(out: out, x: x, tokens: tokens, weight: weight)
    withScratch(mt_matmul_scratch_bytes(weight.depth)) { form.kernels.matmul(&job, $0) }
    guard out.isIntact else { return .infinity }
    let (y, input) = (out.values, x.values)
    var worst = 0.0
    for t in 0..<tokens {
      for r in 0..<weight.rows {
        var (sum, size) = (0.0, 1e-30)
        for i in 0..<weight.depth {
          let product = Double(input[t * weight.depth + i]) * Double(weight.values[r * weight.depth + i])
          sum += product
          size += abs(product)
        }
        let difference = abs(Double(y[t * weight.rows + r]) - sum) / size
        worst = difference > worst || difference.isNaN ? difference : worst
      }
    }
    return worst
  }

  private func plain(out: Floats, x: Floats, tokens: Int, weight: Stored) -> mt_matmul_job {
    mt_matmul_job(
      out: out.pointer, out_stride: weight.rows, out_index: nil, x: x.pointer, x_stride: weight.depth, x_index: nil, tokens: tokens,
      weights: weight.matrix, row_begin: 0, row_end: weight.rows, bias: nil, scale: nil, accumulate: false,
      sums: MT_SUMS_F32, is_laid: false, x_is_laid: false)
  }

  private func weight(_ rows: Int, _ depth: Int, _ type: mt_element_type, seed: Int, offset: Int = 0, padding: Int = 0) -> Stored {
    var numbers = Numbers(seed)
    return Stored(numbers.floats(rows * depth), rows: rows, depth: depth, type: type, offset: offset, padding: padding)
  }

  @Test(arguments: Form.all, [MT_F32, MT_F16, MT_BF16])
  func everyDepth(form: Form, type: mt_element_type) {
    for depth in 1...70 {
      let rows = 1 + depth * 7 % 13
      for tokens in [1, 2, 3, 5, 7, 13] {
        let weight = weight(rows, depth, type, seed: depth, offset: depth % 3, padding: depth % 5)
        #expect(error(form: form, tokens: tokens, weight: weight, seed: depth) < 1e-6, "depth \(depth), rows \(rows), tokens \(tokens)")
      }
    }
  }

  @Test(arguments: Form.all, [MT_F32, MT_F16, MT_BF16])
  func everyHeightAndWidth(form: Form, type: mt_element_type) {
    for rows in 1...40 {
      let weight = weight(rows, 19, type, seed: rows)
      for tokens in 1...20 {
        #expect(error(form: form, tokens: tokens, weight: weight, seed: rows) < 1e-6, "rows \(rows), tokens \(tokens)")
      }
    }
  }

  @Test(arguments: Form.all, [MT_F32, MT_BF16])
  func severalPanels(form: Form, type: mt_element_type) {
    let weight = weight(61, 1024, type, seed: 1)
    for tokens in [14, 37] { #expect(error(form: form, tokens: tokens, weight: weight, seed: 2) < 1e-6) }
  }

  /// Prefill is decode: an output has the same bits alone, in a batch, in a row range, gathered and scattered.
  @Test(arguments: Form.all, [MT_F32, MT_F16, MT_BF16])
  func anElementDependsOnItsRowsOnly(form: Form, type: mt_element_type) {
    for (rows, depth, tokens) in [(37, 53, 19), (24, 256, 31), (9, 1030, 8), (70, 64, 2), (67, 301, 61), (5, 70, 25), (33, 7000, 53)] {
      let weight = weight(rows, depth, type, seed: rows)
      var numbers = Numbers(depth)
      let x = Floats(numbers.floats(tokens * depth))
      let together = Floats(count: tokens * rows)
      let apart = Floats(count: tokens * rows)
      let scattered = Floats(count: tokens * rows)
      withScratch(mt_matmul_scratch_bytes(depth)) { scratch in
        var job = plain(out: together, x: x, tokens: tokens, weight: weight)
        form.kernels.matmul(&job, scratch)
        for t in 0..<tokens {
          job = plain(out: apart, x: x, tokens: 1, weight: weight)
          job.x += t * depth
          job.out += t * rows
          var begin = 0
          while begin < rows {
            job.row_begin = begin
            begin = min(rows, begin + 1 + Int(numbers.next() % 11))
            job.row_end = begin
            form.kernels.matmul(&job, scratch)
          }
        }
        let order = (0..<UInt32(tokens)).shuffled(using: &numbers)
        order.withUnsafeBufferPointer { order in
          job = plain(out: scattered, x: x, tokens: tokens, weight: weight)
          job.x_index = order.baseAddress
          job.out_index = order.baseAddress
          form.kernels.matmul(&job, scratch)
        }
      }
      #expect(together.bits == apart.bits)
      #expect(together.bits == scattered.bits)
    }
  }

  @Test(arguments: Form.all)
  func biasScaleAndSum(form: Form) {
    let (rows, depth, tokens) = (11, 21, 9)
    let weight = weight(rows, depth, MT_BF16, seed: 4)
    var numbers = Numbers(5)
    let x = Floats(numbers.floats(tokens * depth))
    let (bias, scale, before) = (numbers.floats(rows), numbers.floats(tokens), numbers.floats(tokens * rows))
    let bare = Floats(count: tokens * rows)
    let out = Floats(before)
    withScratch(mt_matmul_scratch_bytes(depth)) { scratch in
      var job = plain(out: bare, x: x, tokens: tokens, weight: weight)
      form.kernels.matmul(&job, scratch)
      bias.withUnsafeBufferPointer { bias in
        scale.withUnsafeBufferPointer { scale in
          job = plain(out: out, x: x, tokens: tokens, weight: weight)
          job.bias = bias.baseAddress
          job.scale = scale.baseAddress
          job.accumulate = true
          form.kernels.matmul(&job, scratch)
        }
      }
    }
    let (y, sums) = (out.values, bare.values)
    for t in 0..<tokens {
      for r in 0..<rows {
        let wanted = before[t * rows + r] + (sums[t * rows + r] + bias[r]) * scale[t]
        #expect(abs(y[t * rows + r] - wanted) < 1e-5)
      }
    }
  }

  /// A NaN or infinity of one token or one weight row stays in its own outputs.
  @Test(arguments: Form.all)
  func badNumbersStayWhereTheyAre(form: Form) {
    for tokens in [8, 31] { badNumbersStay(form, tokens: tokens) }
  }

  private func badNumbersStay(_ form: Form, tokens: Int) {
    let (rows, depth) = (10, 35)
    var numbers = Numbers(6)
    var wanted = numbers.floats(rows * depth)
    wanted[3 * depth + 34] = .infinity
    let weight = Stored(wanted, rows: rows, depth: depth, type: MT_BF16)
    var input = numbers.floats(tokens * depth, 0.5...1)
    input[5 * depth + 33] = .nan
    let x = Floats(input)
    let out = Floats(count: tokens * rows)
    var job = plain(out: out, x: x, tokens: tokens, weight: weight)
    withScratch(mt_matmul_scratch_bytes(depth)) { form.kernels.matmul(&job, $0) }
    for t in 0..<tokens {
      for r in 0..<rows {
        let y = out.values[t * rows + r]
        if t == 5 { #expect(y.isNaN) } else if r == 3 { #expect(y == .infinity) } else { #expect(y.isFinite) }
      }
    }
  }

  @Test(arguments: Form.all)
  func conversionsAreExact(form: Form) {
    let halves = (0...UInt16.max).map { $0 }
    for (type, meaning) in [
      (MT_BF16, { (bits: UInt16) in Float(bitPattern: UInt32(bits) << 16) }), (MT_F16, { Float16Bits(bits: $0).value }),
    ] {
      for count in [halves.count, 1, 5, 17] {
        let out = Floats(count: count)
        form.kernels.convert(out.pointer, halves, type, nil, count)
        #expect(out.isIntact)
        let wrong = zip(out.values, halves).filter { ulps($0, meaning($1)) != 0 }
        #expect(wrong.isEmpty)
      }
    }
  }
}
