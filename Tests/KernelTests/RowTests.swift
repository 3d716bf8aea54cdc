// Row functions in every form, against libm and double precision.

import CKernels
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite struct RowTests {
  @Test(arguments: Form.all)
  func exponentialWithinTwoUlps(form: Form) {
    var numbers = Numbers(1)
    var inputs = numbers.floats(30_000, -104...89) + numbers.floats(8000, -1...1) + numbers.floats(4000, -104 ... -80)
    inputs += [0, -0.0, 88.72283, 88.7229, -87.33655, -103.97, -104, -1e30, 1e30, .infinity, -.infinity, 1e-38]
    let out = Floats(count: inputs.count)
    form.kernels.exp(out.pointer, inputs, inputs.count)
    let values = out.values
    var worst = 0
    for (x, y) in zip(inputs, values) { worst = max(worst, ulps(y, Float(exp(Double(x))))) }
    #expect(worst <= 2)
    #expect(out.isIntact)
    let special = Floats(count: 4)
    form.kernels.exp(special.pointer, [.nan, .infinity, -.infinity, 0], 4)
    #expect(special.values[0].isNaN && special.values[1] == .infinity && special.values[2] == 0 && special.values[3] == 1)
  }

  @Test(arguments: Form.all)
  func sigmoidFollowsItsDefinition(form: Form) {
    var numbers = Numbers(2)
    let inputs = numbers.floats(10_001, -30...30)
    let out = Floats(count: inputs.count)
    form.kernels.sigmoid(out.pointer, inputs, inputs.count)
    for (x, y) in zip(inputs, out.values) { #expect(ulps(y, Float(1 / (1 + exp(-Double(x))))) <= 4, "sigmoid(\(x))") }
  }

  private func activation(_ kind: mt_activation, _ u: Double, _ v: Double, _ limit: Double) -> Double {
    switch kind {
    case MT_SILU: return u / (1 + exp(-u)) * v
    case MT_GELU_TANH: return 0.5 * u * (1 + tanh((2 / Double.pi).squareRoot() * (u + 0.044715 * u * u * u))) * v
    case MT_GELU_ERF: return 0.5 * u * (1 + erf(u / 2.0.squareRoot())) * v
    case MT_RELU: return max(u, 0) * v
    case MT_RELU_SQUARED: return max(u, 0) * max(u, 0) * v
    case MT_SILU_CLAMPED: return min(u, limit) / (1 + exp(-min(u, limit))) * min(max(v, -limit), limit)
    case MT_SILU_TOPPED: return min(u / (1 + exp(-u)), limit) * min(max(v, -limit), limit)
    default:
      let (u, v) = (min(u, limit), min(max(v, -limit), limit))
      return u / (1 + exp(-1.702 * u)) * (v + 1)
    }
  }

  @Test(
    arguments: Form.all, [MT_SILU, MT_GELU_TANH, MT_GELU_ERF, MT_RELU, MT_RELU_SQUARED, MT_SWIGLU_CLAMPED, MT_SILU_CLAMPED, MT_SILU_TOPPED])
  func activations(form: Form, kind: mt_activation) {
    var numbers = Numbers(3)
    for n in [1, 7, 8, 15, 16, 17, 40, 3001] {
      let u = numbers.floats(n, -12...12)
      let v = numbers.floats(n, -9...9)
      for gated in [true, false] {
        let out = Floats(count: n)
        v.withUnsafeBufferPointer { form.kernels.activate(out.pointer, u, gated ? $0.baseAddress : nil, n, kind, 7) }
        #expect(out.isIntact)
        let y = out.values
        for i in 0..<n {
          let (a, b) = (Double(u[i]), gated ? Double(v[i]) : 1)
          let size = kind == MT_RELU_SQUARED ? a * a * b : abs(a * b) + abs(a)
          #expect(abs(Double(y[i]) - activation(kind, a, b, 7)) <= 4e-7 * abs(size) + 1e-30, "\(a), \(b)")
        }
      }
    }
  }

  @Test(arguments: Form.all)
  func norms(form: Form) {
    var numbers = Numbers(4)
    for n in Array(1...70) + [256, 2048] {
      let (rows, stride) = (3, n + 2)
      let (x, weight, bias) = (numbers.floats(rows * stride, -3...5), numbers.floats(n), numbers.floats(n))
      let rms = Floats(count: rows * n)
      let layer = Floats(count: rows * n)
      let bare = Floats(count: rows * n)
      form.kernels.rms_norm(rms.pointer, n, x, stride, rows, n, weight, 1, 1e-5)
      weight.withUnsafeBufferPointer { weight in
        bias.withUnsafeBufferPointer { bias in
          form.kernels.layer_norm(layer.pointer, n, x, stride, rows, n, weight.baseAddress, bias.baseAddress, 1e-5)
        }
      }
      form.kernels.layer_norm(bare.pointer, n, x, stride, rows, n, nil, nil, 1e-5)
      #expect(rms.isIntact && layer.isIntact && bare.isIntact)
      let (rmsValues, layerValues, bareValues) = (rms.values, layer.values, bare.values)
      for row in 0..<rows {
        let values = x[row * stride..<row * stride + n].map(Double.init)
        let squares = values.reduce(0) { $0 + $1 * $1 } / Double(n)
        let mean = values.reduce(0, +) / Double(n)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
        for i in 0..<n {
          let wantedRMS = values[i] / (squares + 1e-5).squareRoot() * (Double(weight[i]) + 1)
          let wantedLayer = (values[i] - mean) / (variance + 1e-5).squareRoot()
          #expect(abs(Double(rmsValues[row * n + i]) - wantedRMS) < 5e-6)
          #expect(abs(Double(bareValues[row * n + i]) - wantedLayer) < 2e-5)
          #expect(abs(Double(layerValues[row * n + i]) - (wantedLayer * Double(weight[i]) + Double(bias[i]))) < 2e-5)
        }
      }
    }
  }

  @Test(arguments: Form.all)
  func softmaxSumsToOne(form: Form) {
    var numbers = Numbers(5)
    for n in Array(1...70) + [1000] {
      let x = numbers.floats(2 * n, -20...20)
      let out = Floats(x)
      form.kernels.softmax(out.pointer, n, 2, n)
      #expect(out.isIntact)
      let y = out.values
      for row in 0..<2 {
        let values = x[row * n..<row * n + n].map(Double.init)
        let max = values.max() ?? 0
        let sum = values.reduce(0) { $0 + exp($1 - max) }
        for i in 0..<n { #expect(abs(Double(y[row * n + i]) - exp(values[i] - max) / sum) < 5e-7) }
      }
    }
    let masked = Floats([-.infinity, 1, -.infinity, 1])
    form.kernels.softmax(masked.pointer, 4, 1, 4)
    #expect(masked.values == [0, 0.5, 0, 0.5])
    let poisoned = Floats([0, .nan, 1])
    form.kernels.softmax(poisoned.pointer, 3, 1, 3)
    #expect(poisoned.values.allSatisfy { $0.isNaN })
  }

  @Test(arguments: Form.all)
  func logitsSummary(form: Form) {
    var numbers = Numbers(6)
    for n in [1, 2, 7, 8, 9, 15, 16, 17, 100, 2047, 2048, 2049, 50304] {
      var logits = numbers.floats(n, -15...15)
      if n > 20 { logits[5] = -.infinity }
      let target = n / 2
      var summary = mt_logits_summary()
      form.kernels.logits_summary(&summary, logits, n, target)
      let values = logits.map(Double.init)
      let max = values.max() ?? 0
      let z = values.reduce(0) { $0 + exp($1 - max) }
      let entropy = values.reduce(0.0) { sum, x in
        let p = exp(x - max) / z
        return p > 0 ? sum - p * log(p) : sum
      }
      #expect(summary.max == Float(max))
      #expect(summary.argmax == logits.firstIndex(of: Float(max)))
      #expect(abs(Double(summary.log_sum_exp) - (max + log(z))) < 2e-6)
      #expect(abs(Double(summary.entropy) - entropy) < 2e-6)
      #expect(abs(Double(summary.surprisal) - (max + log(z) - values[target])) < 4e-6)
    }
    var summary = mt_logits_summary()
    form.kernels.logits_summary(&summary, [1, 3, 3, 0, .nan], 4, .max)
    #expect(summary.argmax == 1 && summary.surprisal.isNaN && summary.is_finite == 1)
  }

  /// Vector maxima step over a NaN, so that a row with one would look like a row without it: wherever it stands, nothing is left.
  @Test(arguments: Form.all)
  func aRowWithAValueThatIsNoneHasNoDistribution(form: Form) {
    var numbers = Numbers(8)
    for n in [1, 2, 7, 16, 33, 2050] {
      let sound = numbers.floats(n, -15...15)
      for place in Set([0, n / 2, n - 1]) {
        for value in [Float.nan, .infinity, -.infinity] {
          var logits = sound
          logits[place] = value
          var summary = mt_logits_summary()
          form.kernels.logits_summary(&summary, logits, n, (place + 1) % n)
          #expect(summary.is_finite == 0)
          // A probability of 0 is one of the others' distribution.
          if value < 0, n > 1 { #expect(summary.entropy.isFinite && summary.surprisal.isFinite) }
          if !(value < 0) {
            #expect(summary.max.isNaN && summary.log_sum_exp.isNaN && summary.entropy.isNaN && summary.surprisal.isNaN)
          }
        }
      }
    }
  }

  @Test(arguments: Form.all)
  func rotations(form: Form) {
    var numbers = Numbers(7)
    for (rotary, head) in [(2, 2), (8, 8), (32, 32), (64, 64), (16, 40), (10, 12), (128, 128)] {
      let heads = 3
      let x = numbers.floats(heads * head)
      let angles = numbers.floats(rotary / 2, -3...3)
      for interleaved in [false, true] {
        let out = Floats(x)
        form.kernels.rope(out.pointer, heads, head, rotary, angles.map { cos($0) }, angles.map { sin($0) }, interleaved)
        var wanted = x.map(Double.init)
        for h in 0..<heads {
          for i in 0..<rotary / 2 {
            let a = h * head + (interleaved ? 2 * i : i)
            let b = h * head + (interleaved ? 2 * i + 1 : i + rotary / 2)
            let (c, s) = (Double(cos(angles[i])), Double(sin(angles[i])))
            (wanted[a], wanted[b]) = (wanted[a] * c - wanted[b] * s, wanted[b] * c + wanted[a] * s)
          }
        }
        #expect(out.isIntact)
        #expect(zip(out.values, wanted).allSatisfy { abs(Double($0) - $1) < 5e-7 })
      }
    }
  }

  @Test(arguments: Form.all)
  func elementwise(form: Form) {
    var numbers = Numbers(8)
    for n in [1, 5, 16, 33, 100] {
      let (a, b, c) = (numbers.floats(n), numbers.floats(n), numbers.floats(n))
      let out = Floats(a)
      form.kernels.add(out.pointer, a, b, n)
      #expect(out.values == zip(a, b).map { $0 + $1 })
      form.kernels.multiply(out.pointer, a, b, n)
      #expect(out.values == zip(a, b).map { $0 * $1 })
      form.kernels.scale(out.pointer, a, 3, n)
      #expect(out.values == a.map { $0 * 3 })
      let sum = Floats(a)
      form.kernels.axpy(sum.pointer, b, 0.3, n)
      #expect((0..<n).allSatisfy { abs(sum.values[$0] - (a[$0] + b[$0] * 0.3)) < 2e-7 })
      form.kernels.modulate(out.pointer, a, b, c, n)
      #expect((0..<n).allSatisfy { abs(out.values[$0] - (a[$0] * (1 + b[$0]) + c[$0])) < 5e-7 })
      #expect(out.isIntact && sum.isIntact)
    }
  }
}
