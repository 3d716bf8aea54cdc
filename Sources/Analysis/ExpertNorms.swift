// How large is what each expert adds? Sums of output norms over the tokens that took it, kept apart by sequence for labels and intervals.

import Routing

/// Norms of one router's experts.
///
/// - Memory: 40 bytes and some for each expert that a sequence took.
struct ExpertNorms: RouterFold {
  struct Sums: Sendable, Equatable {
    /// Of the output, and of the output times its weight.
    var norm = MeanSum()
    var weighted = MeanSum()

    static func += (a: inout Sums, b: Sums) {
      a.norm += b.norm
      a.weighted += b.weighted
    }
  }

  private(set) var experts = 0
  /// By sequence, then expert.
  private(set) var sequences: [Int: [Int32: Sums]] = [:]
  /// Routers whose weight is on the input: what their experts compute has it in it already.
  private let weightsInput: Set<RouterID>

  init(weightsInput: Set<RouterID> = []) { self.weightsInput = weightsInput }

  mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    experts = max(experts, batch.expertCount)
    guard let norms = batch.expertNorms else { return }
    let offset = batch.rows(in: table).lowerBound
    let isWeighted = weightsInput.contains(batch.router)
    for token in 0..<batch.count {
      let sequence = Int(table.sequence[offset + token])
      for slot in token * batch.topK..<(token + 1) * batch.topK where norms[slot].isFinite && batch.selectedExperts[slot] >= 0 {
        var own = Sums()
        own.norm.add(norms[slot])
        own.weighted.add(isWeighted ? norms[slot] : norms[slot] * batch.routingWeights[slot])
        sequences[sequence, default: [:]][batch.selectedExperts[slot], default: Sums()] += own
      }
    }
  }

  mutating func merge(_ other: ExpertNorms) {
    experts = max(experts, other.experts)
    for (sequence, own) in other.sequences { sequences[sequence, default: [:]].merge(own) { $0.adding($1) } }
  }

  func result() -> [Int: [Int32: Sums]] { sequences }
}

extension ExpertNorms.Sums {
  fileprivate func adding(_ other: Self) -> Self {
    var sum = self
    sum += other
    return sum
  }
}

extension ExpertNorms: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    let all = sequences.sorted { $0.key < $1.key }.flatMap { sequence, own in
      own.sorted { $0.key < $1.key }.map { (sequence: Int32(sequence), expert: $0.key, sums: $0.value) }
    }
    columns.set("shape", .numbers([experts]))
    columns.set("sequence", .ids(all.map(\.sequence)))
    columns.set("expert", .ids(all.map(\.expert)))
    all.map(\.sums.norm).save("norm", &columns)
    all.map(\.sums.weighted).save("weighted", &columns)
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    experts = try columns.numbers("shape", 1)[0]
    try columns.shape(experts, 0)
    let own = try columns.sequences("sequence")
    let ids = try columns.ids("expert", own.count, in: 0...Int32(max(0, experts - 1)))
    let norms = try [MeanSum].loaded("norm", own.count, columns)
    let weighted = try [MeanSum].loaded("weighted", own.count, columns)
    for (place, sequence) in own.enumerated() {
      sequences[sequence, default: [:]][ids[place], default: Sums()] += Sums(norm: norms[place], weighted: weighted[place])
    }
  }
}
