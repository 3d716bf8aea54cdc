// What a filter left of a run: how much of it the numbers are of, for their notes, and which sequences still take part.

import Routing

/// Decisions and tokens that passed, of those that were looked at.
public struct FilterTally: Sendable, Equatable {
  public private(set) var decisions = 0
  public private(set) var passing = 0
  public private(set) var tokens = 0
  /// Tokens of which one decision passed.
  public private(set) var shown = 0
  /// Sequences of these tokens, by their index in the run.
  public private(set) var sequences: Set<Int> = []

  public init() {}

  mutating func add(_ selection: FilterSelection, of pass: RoutingPass) {
    for own in selection.decisions {
      decisions += own.count
      passing += own.count { $0 }
    }
    tokens += pass.tokens.count
    for row in selection.tokens.indices where selection.tokens[row] {
      shown += 1
      sequences.insert(Int(pass.tokens.sequence[row]))
    }
  }

  mutating func merge(_ other: FilterTally) {
    decisions += other.decisions
    passing += other.passing
    tokens += other.tokens
    shown += other.shown
    sequences.formUnion(other.sequences)
  }
}

/// The normalised entropies of all decisions of a run, all routers pooled: what a quantile of the run is one of.
public struct EntropySurvey: PassFold {
  public private(set) var entropies = Histogram()
  private let form: EntropyForm
  private let layout: DenoisingLayout?
  private let branch: Int?

  /// - Parameters:
  ///   - layout: of a denoising run.
  ///   - branch: the branch of guidance that is looked at; nil for all.
  public init(form: EntropyForm = .standard, layout: DenoisingLayout? = nil, branch: Int? = nil) {
    (self.form, self.layout, self.branch) = (form, layout, branch)
  }

  public mutating func add(_ pass: RoutingPass) {
    guard let layout, let branch else { return addRows(pass) }
    for part in pass.stretches(of: branch, in: layout) { addRows(part) }
  }

  private mutating func addRows(_ pass: RoutingPass) {
    for batch in pass.batches {
      for nats in form.entropies(of: batch) {
        let share = normalizedEntropy(nats, experts: batch.expertCount)
        if share.isFinite { entropies.add(share) }
      }
    }
  }

  public mutating func merge(_ other: EntropySurvey) { entropies.merge(other.entropies) }

  public func result() -> Histogram { entropies }

  /// The share of ln E that a quantile threshold stands for (`--threshold q0.95` and `entropy>=q0.95` alike); nil without an entropy.
  public func share(ofQuantile q: Double) -> Double? { entropies.lowerEdge(ofQuantile: q) }
}

extension FilterTally: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    columns.set("counts", .numbers([decisions, passing, tokens, shown]))
    columns.set("sequence", .ids(sequences.sorted().map(Int32.init)))
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let counts = try columns.numbers("counts", 4)
    (decisions, passing, tokens, shown) = (counts[0], counts[1], counts[2], counts[3])
    sequences = Set(try columns.sequences("sequence"))
  }
}

extension EntropySurvey: ColumnFold {
  func save(_ columns: inout FoldColumns) { entropies.save("entropies", &columns) }
  mutating func load(_ columns: FoldReader) throws(FoldColumnError) { entropies = try .loaded("entropies", columns) }
}
