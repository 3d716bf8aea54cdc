// Attention in every form against a naive one in double precision, and bit for bit against itself token by token.

import CKernels
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// One KV head's problem with its buffers.
private struct Problem: Sendable, CustomTestStringConvertible {
  var tokens = 5
  var group = 1
  var keys = 5
  var first = 0
  var headDim = 16
  var valueDim = 16
  var causal = true
  var window = 0
  var softcap: Float = 0
  var sinks = false
  var bias = false
  /// More than any distance from a key to a token.
  static let reach = 1024

  var testDescription: String {
    "\(tokens)x\(group) on \(keys) from \(first), \(headDim)/\(valueDim), causal \(causal), window \(window), cap \(softcap), sinks \(sinks), bias \(bias)"
  }

  static let all = [
    Problem(), Problem(tokens: 1, keys: 1), Problem(tokens: 1, group: 4, keys: 77, first: 76, headDim: 64, valueDim: 64),
    Problem(tokens: 40, group: 3, keys: 40, headDim: 32, valueDim: 32),
    Problem(tokens: 13, group: 2, keys: 50, first: 37, headDim: 80, valueDim: 80),
    Problem(tokens: 9, keys: 30, first: 3, headDim: 24, valueDim: 7, causal: false),
    Problem(tokens: 33, group: 2, keys: 60, first: 27, headDim: 128, valueDim: 128, window: 9),
    Problem(tokens: 20, group: 2, keys: 20, headDim: 72, valueDim: 40, window: 1, sinks: true),
    Problem(tokens: 20, keys: 40, first: 20, headDim: 16, valueDim: 100, softcap: 2, sinks: true),
    Problem(tokens: 7, keys: 23, first: 16, headDim: 19, valueDim: 33, window: 18, softcap: 5),
    Problem(tokens: 3, keys: 700, first: 697, headDim: 64, valueDim: 64),
    Problem(tokens: 21, group: 2, keys: 21, headDim: 16, valueDim: 16, causal: false, bias: true),
    Problem(tokens: 13, group: 3, keys: 50, first: 37, headDim: 24, valueDim: 24, window: 11, sinks: true, bias: true),
  ]
}

@Suite struct AttentionTests {
  private func run(
    _ form: Form, _ p: Problem, tokens: Range<Int>, out: Floats, q: Floats, k: Floats, v: Floats, sinks: [Float], bias: [Float] = []
  ) {
    sinks.withUnsafeBufferPointer { sinks in
      bias.withUnsafeBufferPointer { bias in
        var job = mt_attention_job(
          out: out.pointer + tokens.lowerBound * p.group * p.valueDim, out_token_stride: p.group * p.valueDim, out_head_stride: p.valueDim,
          q: q.pointer + tokens.lowerBound * p.group * p.headDim, q_token_stride: p.group * p.headDim, q_head_stride: p.headDim,
          k: k.pointer, k_stride: p.headDim + 1, v: v.pointer, v_stride: p.valueDim + 2, head_dim: p.headDim, value_dim: p.valueDim,
          tokens: tokens.count, group: p.group, keys: p.keys, first_position: p.first + tokens.lowerBound, causal: p.causal,
          window: p.window, scale: 0.3, softcap: p.softcap, sinks: p.sinks ? sinks.baseAddress : nil,
          distance_bias: p.bias ? bias.baseAddress.map { $0 + Problem.reach } : nil, bias_head_stride: 2 * Problem.reach)
        withScratch(mt_attention_scratch_bytes(p.keys)) { form.kernels.attention(&job, $0) }
      }
    }
  }

  @Test(arguments: Form.all, Problem.all)
  private func matchesTheDefinition(form: Form, p: Problem) {
    var numbers = Numbers(p.keys)
    let q = Floats(numbers.floats(p.tokens * p.group * p.headDim, -2...2))
    let k = Floats(numbers.floats(p.keys * (p.headDim + 1), -2...2))
    let v = Floats(numbers.floats(p.keys * (p.valueDim + 2), -2...2))
    let sinks = numbers.floats(p.group, -2...2)
    let bias = numbers.floats(p.group * 2 * Problem.reach, -2...2)
    let out = Floats(count: p.tokens * p.group * p.valueDim)
    run(form, p, tokens: 0..<p.tokens, out: out, q: q, k: k, v: v, sinks: sinks, bias: bias)
    #expect(out.isIntact)
    let (y, qs, ks, vs) = (out.values, q.values, k.values, v.values)
    var worst = 0.0
    for t in 0..<p.tokens {
      let end = p.causal ? min(p.keys, p.first + t + 1) : p.keys
      let begin = p.window > 0 ? max(0, p.first + t + 1 - p.window) : 0
      for h in 0..<p.group {
        let row = t * p.group + h
        let scores = (begin..<end).map { j in
          let s = (0..<p.headDim).reduce(0.0) { $0 + Double(qs[row * p.headDim + $1]) * Double(ks[j * (p.headDim + 1) + $1]) } * 0.3
          let capped = p.softcap > 0 ? Double(p.softcap) * tanh(s / Double(p.softcap)) : s
          return p.bias ? capped + Double(bias[(2 * h + 1) * Problem.reach + j - p.first - t]) : capped
        }
        let max = Swift.max(scores.max() ?? 0, p.sinks ? Double(sinks[h]) : -.infinity)
        let z = scores.reduce(0) { $0 + exp($1 - max) } + (p.sinks ? exp(Double(sinks[h]) - max) : 0)
        for d in 0..<p.valueDim {
          let wanted = (begin..<end).reduce(0.0) { $0 + exp(scores[$1 - begin] - max) / z * Double(vs[$1 * (p.valueDim + 2) + d]) }
          worst = Swift.max(worst, abs(Double(y[row * p.valueDim + d]) - wanted))
        }
      }
    }
    #expect(worst < 2e-6)
  }

  /// Prefill in one call, in pieces and token by token: the same bits.
  @Test(arguments: Form.all, Problem.all)
  private func prefillIsDecode(form: Form, p: Problem) {
    var numbers = Numbers(p.keys)
    let q = Floats(numbers.floats(p.tokens * p.group * p.headDim, -2...2))
    let k = Floats(numbers.floats(p.keys * (p.headDim + 1), -2...2))
    let v = Floats(numbers.floats(p.keys * (p.valueDim + 2), -2...2))
    let sinks = numbers.floats(p.group, -2...2)
    let bias = numbers.floats(p.group * 2 * Problem.reach, -2...2)
    let together = Floats(count: p.tokens * p.group * p.valueDim)
    let apart = Floats(count: p.tokens * p.group * p.valueDim)
    run(form, p, tokens: 0..<p.tokens, out: together, q: q, k: k, v: v, sinks: sinks, bias: bias)
    for t in 0..<p.tokens {
      var p = p
      if p.causal { p.keys = min(p.keys, p.first + t + 1) }  // decode has not seen what comes later
      run(form, p, tokens: t..<t + 1, out: apart, q: q, k: k, v: v, sinks: sinks, bias: bias)
    }
    #expect(together.bits == apart.bits)
  }

  @Test(arguments: Form.all)
  func noVisibleKeyGivesZeros(form: Form) {
    let p = Problem(tokens: 2, keys: 3, first: 9, headDim: 8, valueDim: 8, causal: false, window: 2)
    let (q, k, v) = (
      Floats([Float](repeating: 1, count: 16)), Floats([Float](repeating: 1, count: 27)), Floats([Float](repeating: 1, count: 30))
    )
    let out = Floats(count: 16)
    run(form, p, tokens: 0..<2, out: out, q: q, k: k, v: v, sinks: [])
    #expect(out.values.allSatisfy { $0 == 0 })
  }
}
