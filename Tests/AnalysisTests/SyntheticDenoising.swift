// Denoising runs with a known truth: experts that prefer places, steps or classes by a chosen amount, layer by layer. Rows come as an
// engine sends them: step by step, several samples at once, both branches.

import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A generator of denoising runs; all effects 0 is the uniform null.
struct SyntheticDenoising {
  var samples = 192
  var steps = 10
  var rows = 4
  var columns = 4
  var experts = 8
  var topK = 2
  var classes = 4
  /// Spread of the preference of a patch for experts (logits), by layer.
  var place = [0.0, 0, 0, 0, 0]
  /// Logits by which the first experts are preferred at the first step; falls to 0 at the last.
  var concentration = 0.0
  /// Spread of the preference of a class.
  var kind = 0.0
  /// Experts that are never chosen.
  var idle: Set<Int> = []
  /// Samples denoised at the same time.
  var together = 16
  var seed: UInt64 = 1

  /// Everything that the authors of DiT-MoE say.
  static var planted: SyntheticDenoising {
    var run = SyntheticDenoising()
    run.place = [1.6, 1.3, 1.0, 0.7, 0.4]
    run.concentration = 3
    return run
  }

  var layout: DenoisingLayout {
    DenoisingLayout(
      sampler: "rectified flow", timesteps: (0..<steps).map { 1 - Float($0) / Float(steps) }, branchCount: 2, patchRows: rows,
      patchColumns: columns, guidanceScale: 1.5)
  }

  var routers: [RouterDescription] {
    place.indices.map {
      RouterDescription(
        id: RouterID(layer: $0), spec: RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    }
  }

  var sequences: [SequenceDescription] {
    (0..<samples).map { SequenceDescription(name: "sample \($0)", labels: ["class": String($0 % classes)]) }
  }

  func passes() -> [RoutingPass] {
    var random = SplitMix64(seed: seed)
    let places = place.map { spread in (0..<rows * columns * experts).map { _ in spread * normal(&random) } }
    let kinds = place.map { _ in (0..<classes * experts).map { _ in kind * normal(&random) } }
    var passes: [RoutingPass] = []
    var first = 0
    for start in stride(from: 0, to: samples, by: together) {
      let batch = start..<min(samples, start + together)
      for step in 0..<steps {
        var tokens = TokenTable(firstToken: first)
        for branch in 0..<2 {
          for sample in batch {
            for patch in 0..<rows * columns {
              tokens.append(
                sequence: sample, position: layout.position(step: step, branch: branch) + patch, tokenID: -1, phase: .denoise)
            }
          }
        }
        let early = 1 - Double(step) / Double(max(1, steps - 1))
        let batches = place.indices.map { layer -> RoutingBatch in
          var own = RoutingBatch(
            router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: first, count: tokens.count)
          for row in 0..<tokens.count {
            let patch = Int(tokens.position[row]) % (rows * columns)
            let isConditional = Int(tokens.position[row]) / (rows * columns) % 2 == 0
            let kind = Int(tokens.sequence[row]) % classes
            // The other branch must leave no mark: it always takes the same experts.
            var scores = (0..<experts).map { Double(-$0) }
            if isConditional {
              for expert in 0..<experts {
                scores[expert] = places[layer][patch * experts + expert] + kinds[layer][kind * experts + expert]
                scores[expert] -= log(-log(random.unit() * 0.999_999 + 1e-9))
                if expert < topK { scores[expert] += concentration * early }
              }
            }
            for expert in idle { scores[expert] = -.infinity }
            for slot in 0..<topK {
              var best = 0
              for expert in 1..<experts where scores[expert] > scores[best] { best = expert }
              own.selectedExperts[row * topK + slot] = Int32(best)
              own.routingWeights[row * topK + slot] = 1 / Float(slot + 2)
              scores[best] = -.infinity
            }
          }
          return own
        }
        passes.append(RoutingPass(tokens: tokens, batches: batches))
        first += tokens.count
      }
    }
    return passes
  }

  private func normal(_ random: inout SplitMix64) -> Double {
    (-2 * log(random.unit() + 1e-18)).squareRoot() * cos(2 * .pi * random.unit())
  }
}

extension DenoisingLayout {
  /// The same decisions with the steps of each sample moved around a circle by a number of its own.
  func shiftingSteps(_ passes: [RoutingPass], seed: UInt64) -> [RoutingPass] {
    passes.map { pass in
      var pass = pass
      for row in 0..<pass.tokens.count {
        var random = SplitMix64(seed: seed, stream: UInt64(pass.tokens.sequence[row]))
        let (run, patch) = Int(pass.tokens.position[row]).quotientAndRemainder(dividingBy: patchCount)
        let step = (run / branchCount + random.below(stepCount)) % stepCount
        pass.tokens.position[row] = Int32(position(step: step, branch: run % branchCount) + patch)
      }
      return pass
    }
  }
}
