// Routing with a known truth, for tests of metrics: documents that cluster, domains and places that matter or do not. Choices go
// through the product's own Router, so batches carry all statistics.

import Routing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A generator of runs. All effects 0 is the uniform null: every token draws its experts for itself.
struct SyntheticRouting {
  var documents = 32
  var length = 60...60
  var experts = 8
  var topK = 2
  var layers = 1
  var domains = ["code", "law", "news", "poems"]
  /// Documents prefer experts: log-weights of a symmetric Dirichlet of this concentration; nil for none. Small is strongly clustered.
  var dirichlet: Double?
  /// Spread of a domain's own preferences (logits).
  var domainEffect = 0.0
  /// Added to the logits of the first quarter of the experts in the first 16 positions.
  var positionEffect = 0.0
  /// Probability that a token repeats the noise of the token before it: likeness of neighbours.
  var stickiness = 0.0
  /// Tokens of each document in random order after they were drawn.
  var shufflesWithinDocuments = false
  var seed: UInt64 = 1

  struct Run {
    var passes: [RoutingPass]
    var sequences: [SequenceDescription]

    /// The same as if norms and a shared expert had been recorded.
    func withExtras() -> Run {
      var run = self
      for pass in passes.indices {
        for (index, batch) in passes[pass].batches.enumerated() {
          run.passes[pass].batches[index].expertNorms = batch.carriedOut.map { $0 < 0 ? .nan : Float($0) + 0.5 }
          run.passes[pass].batches[index].sharedWeight = batch.topKMass
          run.passes[pass].batches[index].sharedNorm = batch.routerEntropy
        }
      }
      return run
    }
  }

  func run(tokensPerPass: Int = 64) throws -> Run {
    var random = SplitMix64(seed: seed)
    let router = try Router(RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    let domainLogits = domains.map { _ in (0..<layers * experts).map { _ in domainEffect * normal(&random) } }
    var tokens = TokenTable()
    var logits = Array(repeating: [Float](), count: layers)
    var sequences: [SequenceDescription] = []
    for document in 0..<documents {
      let domain = document % domains.count
      sequences.append(SequenceDescription(name: "document \(document)", labels: ["domain": domains[domain]]))
      let count = length.lowerBound + random.below(length.count)
      for position in 0..<count {
        tokens.append(sequence: document, position: position, tokenID: Int32(random.below(1000)), phase: .prefill)
      }
      for layer in 0..<layers {
        let preference = (0..<experts).map { expert -> Double in
          let own = dirichlet.map { log(max(1e-12, gamma(shape: $0, &random))) } ?? 0
          return own + domainLogits[domain][layer * experts + expert]
        }
        var noise = Array(repeating: 0.0, count: experts)
        var rows: [[Float]] = []
        for position in 0..<count {
          if position == 0 || random.unit() >= stickiness { noise = noise.map { _ in -log(-log(random.unit() * 0.999_999 + 1e-9)) } }
          rows.append(
            (0..<experts).map { expert in
              let place = position < 16 && expert < experts / 4 ? positionEffect : 0
              return Float(preference[expert] + place + noise[expert])
            })
        }
        if shufflesWithinDocuments { random.shuffle(&rows) }
        logits[layer] += rows.flatMap { $0 }
      }
    }
    return Run(passes: passes(tokens, logits, router, size: tokensPerPass), sequences: sequences)
  }

  private func passes(_ tokens: TokenTable, _ logits: [[Float]], _ router: Router, size: Int) -> [RoutingPass] {
    stride(from: 0, to: tokens.count, by: size).map { start in
      let range = start..<min(tokens.count, start + size)
      let batches = (0..<layers).map { layer in
        var batch = RoutingBatch(
          router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: start, count: range.count)
        logits[layer].withUnsafeBufferPointer {
          if let base = $0.baseAddress {
            router.decide(base + start * experts, demand: RoutingDemand(statistics: true, logitsEvery: 1), into: &batch)
          }
        }
        return batch
      }
      return RoutingPass(tokens: tokens.slice(range), batches: batches)
    }
  }

  private func normal(_ random: inout SplitMix64) -> Double {
    (-2 * log(random.unit() + 1e-18)).squareRoot() * cos(2 * .pi * random.unit())
  }

  /// Marsaglia and Tsang.
  private func gamma(shape: Double, _ random: inout SplitMix64) -> Double {
    if shape < 1 { return gamma(shape: shape + 1, &random) * pow(random.unit() + 1e-18, 1 / shape) }
    let d = shape - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = normal(&random)
      let v = pow(1 + c * x, 3)
      if v > 0, log(random.unit() + 1e-18) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
    }
  }
}

extension TokenTable {
  /// Rows `range` as a table of their own.
  func slice(_ range: Range<Int>) -> TokenTable {
    var table = TokenTable(firstToken: firstToken + range.lowerBound)
    for row in range {
      table.append(
        sequence: Int(sequence[row]), position: Int(position[row]), tokenID: tokenID[row], phase: phase[row], surprisal: surprisal[row],
        nextTokenEntropy: nextTokenEntropy[row])
    }
    return table
  }
}

extension RoutingPass {
  /// The same tokens as passes of their own, `sizes` tokens each in turn.
  func split(at cut: Int) -> [RoutingPass] {
    [0..<cut, cut..<tokens.count].filter { !$0.isEmpty }.map { range in
      RoutingPass(tokens: tokens.slice(range), batches: batches.map { $0.slice(range) })
    }
  }
}

extension RoutingBatch {
  /// Rows `range` as a batch of their own. The batch's sums cannot be shared out by token; they go to the part that begins it.
  func slice(_ range: Range<Int>) -> RoutingBatch {
    var part = RoutingBatch(
      router: router, expertCount: expertCount, topK: topK, firstToken: firstToken + range.lowerBound, count: range.count)
    part.selectedExperts = Array(selectedExperts[range.lowerBound * topK..<range.upperBound * topK])
    part.routingWeights = Array(routingWeights[range.lowerBound * topK..<range.upperBound * topK])
    part.routerEntropy = Array(routerEntropy[range])
    part.selectionMargin = Array(selectionMargin[range])
    part.top1Margin = Array(top1Margin[range])
    part.topKMass = Array(topKMass[range])
    if let logits {
      let rows = logits.rows.indices.filter { range.contains(Int(logits.rows[$0])) }
      part.logits = RouterLogits(
        rows: rows.map { logits.rows[$0] - Int32(range.lowerBound) },
        values: rows.flatMap { logits.values[$0 * expertCount..<($0 + 1) * expertCount] })
    }
    part.importanceSum = range.lowerBound == 0 ? importanceSum : Array(repeating: 0, count: importanceSum.count)
    part.squaredLogSumExpSum = range.lowerBound == 0 ? squaredLogSumExpSum : 0
    return part
  }
}

/// One sequence of given choices at one router, without statistics.
func handMade(experts: Int, _ choices: [[Int32]], sequence: Int = 0, position: Int = 0, firstToken: Int = 0, layer: Int = 0) -> RoutingPass
{
  var tokens = TokenTable(firstToken: firstToken)
  for offset in choices.indices { tokens.append(sequence: sequence, position: position + offset, tokenID: 0, phase: .prefill) }
  let topK = choices.map(\.count).max() ?? 1
  var batch = RoutingBatch(router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: firstToken, count: choices.count)
  batch.selectedExperts = choices.flatMap { $0 + Array(repeating: -1, count: topK - $0.count) }
  batch.routingWeights = batch.selectedExperts.map { $0 < 0 ? 0 : 1 / Float(topK) }
  return RoutingPass(tokens: tokens, batches: [batch])
}

/// Batches with all statistics from given logits, one sequence.
func routed(logits: [[Float]], topK: Int, scoring: RouterSpec.Scoring = .softmax, layer: Int = 0) throws -> RoutingPass {
  let experts = logits.first?.count ?? 0
  let router = try Router(RouterSpec(expertCount: experts, scoring: scoring, selection: .tokenChoice(topK: topK)))
  var tokens = TokenTable()
  for position in logits.indices { tokens.append(sequence: 0, position: position, tokenID: Int32(position), phase: .prefill) }
  var batch = RoutingBatch(router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: 0, count: logits.count)
  logits.flatMap { $0 }.withUnsafeBufferPointer {
    if let base = $0.baseAddress { router.decide(base, demand: RoutingDemand(statistics: true, logitsEvery: 1), into: &batch) }
  }
  return RoutingPass(tokens: tokens, batches: [batch])
}

/// Whether two numbers agree within a tolerance relative to 1 or their size.
func near(_ a: Double?, _ b: Double?, _ tolerance: Double = 1e-9) -> Bool {
  guard let a, let b else { return a == nil && b == nil }
  return abs(a - b) <= tolerance * max(1, abs(a), abs(b))
}

/// Probability that the Kolmogorov-Smirnov distance of `values` from the uniform distribution on 0...1 is exceeded by chance.
func uniformityP(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let n = Double(sorted.count)
  var distance = 0.0
  for (rank, value) in sorted.enumerated() { distance = max(distance, abs(Double(rank + 1) / n - value), abs(value - Double(rank) / n)) }
  let x = (n.squareRoot() + 0.12 + 0.11 / n.squareRoot()) * distance
  var tail = 0.0
  for term in 1...100 {
    let sign = term % 2 == 1 ? 1.0 : -1.0
    tail += sign * exp(-2 * Double(term * term) * x * x)
  }
  return min(1, max(0, 2 * tail))
}
