// Speed of the kernels beside the ceilings of the machine they run on. Minima over many repetitions.
//   KernelBench [level, as in mt_level] [all | matmul | cold | attention | experts | columns | pool]

import CKernels
import Model

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// One thread is timed by its own processor time, which other programs do not lengthen; several by the wall.
nonisolated(unsafe) var alone = true

func now() -> Double {
  var t = timespec()
  clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t)
  return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
}

/// Shortest time of `body` over about `budget` seconds.
func best(budget: Double = 0.25, _ body: () -> Void) -> Double {
  body()
  var shortest = Double.infinity
  let end = now() + budget
  var runs = 0
  while now() < end || runs < 3 {
    let start = now()
    body()
    shortest = min(shortest, now() - start)
    runs += 1
  }
  return shortest
}

func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
  let p = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64).bindMemory(to: Float.self, capacity: count)
  for i in 0..<count { p[i] = Float(i * 7919 % 1013) / 1013 - 0.5 }
  return p
}

/// bf16 or f16 bits of harmless numbers, or f32.
func weight(_ type: StoredType, rows: Int, columns: Int) -> WeightMatrix {
  let p = floats(rows * columns)
  if type != .f32 {
    let halves = UnsafeMutableRawPointer(p).assumingMemoryBound(to: UInt16.self)
    for i in 0..<rows * columns {
      let bits = p[i].bitPattern
      halves[i] = type == .bf16 ? UInt16(bits >> 16) : UInt16(0x3000 | (bits >> 13) & 0x3ff)
    }
  }
  return WeightMatrix(base: p, type: type, rows: rows, columns: columns)
}

func show(_ value: Double, _ width: Int = 8) -> String {
  let text = value < 10 ? "\((value * 100).rounded() / 100)" : "\((value * 10).rounded() / 10)"
  return String(repeating: " ", count: max(0, width - text.count)) + text
}

let arguments = CommandLine.arguments.dropFirst()
let level = mt_kernels_init(mt_level(arguments.first.flatMap { UInt32($0) } ?? 4))
print("level", String(cString: mt_simd_level_name(level)))
let wanted = arguments.dropFirst().first ?? "all"

if wanted == "all" || wanted == "matmul" {
  for threads in [1, 2] {
    let pool = WorkerPool(threads: threads)
    alone = threads == 1
    print("matmul, GFLOP/s, \(threads) thread(s); tokens 1, 4, 8, 16, 64, 512")
    for (depth, rows) in [(256, 256), (256, 1024), (1024, 1024), (2048, 1024)] {
      for type in [StoredType.f32, .bf16, .f16] {
        let w = weight(type, rows: rows, columns: depth)
        var line = "\(type) depth \(depth) rows \(rows):"
        for tokens in [1, 4, 8, 16, 64, 512] {
          let x = floats(tokens * depth)
          let out = floats(tokens * rows)
          let time = best { pool.matmul(out: out, x: x, tokens: tokens, weight: w) }
          line += show(2 * Double(tokens * depth * rows) / time / 1e9)
        }
        print(line)
      }
    }
  }
}

if wanted == "all" || wanted == "cold" {
  for threads in [1, 2] {
    let pool = WorkerPool(threads: threads)
    alone = threads == 1
    for type in [StoredType.f32, .bf16] {
      let w = weight(type, rows: 160 * 1024, columns: 1024)
      let x = floats(1024)
      let out = floats(w.rows)
      let time = best(budget: 1) { pool.matmul(out: out, x: x, tokens: 1, weight: w) }
      print("decode from memory, \(type), \(threads) thread(s): \(show(Double(w.rows * w.rowBytes) / time / 1e9)) GB/s")
    }
  }
}

if wanted == "all" || wanted == "attention" {
  for threads in [1, 2] {
    let pool = WorkerPool(threads: threads)
    alone = threads == 1
    for (heads, kvHeads, dim, count) in [(8, 8, 32, 512), (8, 4, 64, 512), (16, 16, 128, 512), (16, 4, 64, 2048), (16, 16, 128, 2048)] {
      var line = "attention \(threads)T heads \(heads)/\(kvHeads) dim \(dim) keys \(count):"
      for tokens in [count, 1] {
        let q = floats(tokens * heads * dim)
        let k = floats(count * kvHeads * dim)
        let v = floats(count * kvHeads * dim)
        let out = floats(tokens * heads * dim)
        for layout in [0, 1] {
          var attention = Attention(
            out: out, queries: q, keys: k, values: v, tokens: tokens, heads: heads, kvHeads: kvHeads, headDim: dim, keyCount: count,
            firstPosition: count - tokens, scale: 0.1)
          if layout == 1 {
            attention.keyStride = dim
            attention.keyHeadStride = dim * count
            attention.valueStride = dim
            attention.valueHeadStride = dim * count
          }
          let time = best { pool.attend(attention) }
          let pairs = tokens == 1 ? count : count * (count + 1) / 2
          line +=
            " \(tokens == 1 ? "decode" : "prefill") \(layout == 0 ? "interleaved" : "per head")"
            + show(4 * Double(pairs * heads * dim) / time / 1e9) + " GF/s" + show(time * 1e6) + " us;"
        }
      }
      print(line)
    }
  }
}

if wanted == "all" || wanted == "experts" {
  for threads in [1, 2] {
    let pool = WorkerPool(threads: threads)
    alone = threads == 1
    for (hidden, inner, count, topK) in [(256, 128, 16, 2), (256, 256, 32, 4), (1024, 512, 32, 4), (2048, 1024, 16, 4)] {
      for type in [StoredType.f32, .bf16] {
        let experts = (0..<count).map { _ in
          ExpertWeights(
            gate: weight(type, rows: inner, columns: hidden), up: weight(type, rows: inner, columns: hidden),
            down: weight(type, rows: hidden, columns: inner))
        }
        var line = "experts \(threads)T \(type) hidden \(hidden) inner \(inner) experts \(count) top \(topK):"
        for tokens in [1, 8, 64, 512] {
          let x = floats(tokens * hidden)
          let out = floats(tokens * hidden)
          let store = floats(tokens * topK * inner)
          let ids = (0..<tokens * topK).map { Int32(($0 / topK * 5 + $0 % topK * 3) % count) }
          let weights = [Float](repeating: 0.25, count: ids.count)
          var assignments = ExpertAssignments()
          let time = best {
            assignments.assign(experts: ids, weights: weights, tokens: tokens, topK: topK, expertCount: count)
            experts.withUnsafeBufferPointer {
              pool.runExperts(ExpertCall(out: out, x: x, hidden: store, activation: .silu), experts: $0, assignments: assignments)
            }
          }
          line += " \(tokens):" + show(6 * Double(tokens * topK * hidden * inner) / time / 1e9) + " (" + show(time * 1e6, 0) + " us)"
        }
        print(line)
      }
    }
  }
}

// Experts of gpt-oss' size out of memory: stored with inputs as rows, and the same numbers as rows of bf16 and of f32.
if wanted == "all" || wanted == "columns" {
  for threads in [1, 2] {
    let pool = WorkerPool(threads: threads)
    alone = threads == 1
    let (size, count) = (2880, 6)
    let files = (0..<count).map { _ in
      (gateUp: weight(.bf16, rows: size, columns: 2 * size), down: weight(.bf16, rows: size, columns: size))
    }
    let turned = files.compactMap { file -> ExpertWeights? in
      guard let gate = file.gateUp.columns(from: 0, step: 2, count: size), let up = file.gateUp.columns(from: 1, step: 2, count: size),
        let down = file.down.columns(from: 0, step: 1, count: size)
      else { return nil }
      return ExpertWeights(gate: gate, up: up, down: down)
    }
    func rows(_ type: StoredType) -> [ExpertWeights] {
      (0..<count).map { _ in
        ExpertWeights(
          gate: weight(type, rows: size, columns: size), up: weight(type, rows: size, columns: size),
          down: weight(type, rows: size, columns: size))
      }
    }
    for (name, experts) in [("inputs as rows, bf16", turned), ("outputs as rows, bf16", rows(.bf16)), ("outputs as rows, f32", rows(.f32))]
    {
      var line = "experts \(threads)T, \(name), ms an expert:"
      for tokens in [1, 4, 8, 32, 128] {
        let x = floats(tokens * size)
        let out = floats(tokens * size)
        let store = floats(tokens * count * size)
        var assignments = ExpertAssignments()
        assignments.assignAll(tokens: tokens, expertCount: count)
        let time = best(budget: 1) {
          experts.withUnsafeBufferPointer {
            pool.runExperts(
              ExpertCall(out: out, x: x, hidden: store, activation: .clampedSwiGLU(limit: 7)), experts: $0, assignments: assignments)
          }
        }
        line += " \(tokens):" + show(time * 1000 / Double(count), 0)
      }
      print(line)
    }
  }
}

if wanted == "all" || wanted == "pool" {
  let pool = WorkerPool(threads: 2)
  alone = false
  print("empty fork:", show(best { for _ in 0..<100 { pool.run(chunks: 2) { _, _ in } } } * 1e4), "us")
  let x = floats(1 << 16)
  let y = floats(1 << 16)
  let kernels: [(String, () -> Void)] = [
    ("exp", { mt_exp(y, x, 1 << 14) }), ("silu*up", { mt_activate(y, x, x, 1 << 14, MT_SILU, 0) }),
    ("rms_norm 2048", { for i in 0..<8 { mt_rms_norm(y + i * 2048, 2048, x + i * 2048, 2048, 1, 2048, x, 0, 1e-5) } }),
    (
      "logits summary 16384",
      {
        var s = mt_logits_summary(); mt_logits_summary_of(&s, x, 1 << 14, 3)
      }
    ),
  ]
  for (name, body) in kernels { print(name, show(best(body) * 1e9 / Double(1 << 14)), "ns a value") }
}
