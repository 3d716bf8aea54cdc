// What a specialization study finds out about one router. How it is found out is in SpecializationStudy.

import Routing

/// One cell of an axis: a label or a bin of positions.
public struct SpecializationCell: Sendable, Equatable, Encodable {
  public var name: String
  public var sequences: Int
  public var tokens: Int
  /// Choices that fell into the cell.
  public var assignments: Int

  /// Tokens of a sequence in this cell; cells that differ much here may differ by length instead of by kind.
  public var meanTokens: Double { sequences > 0 ? Double(tokens) / Double(sequences) : 0 }
}

/// One expert in one cell.
public struct Enrichment: Sendable, Equatable {
  public var expert: ExpertIndex
  /// Index into `SpecializationResult.cells`.
  public var cell: Int
  public var observed: Int
  /// Mean under the null.
  public var expected: Double
  /// observed / expected; 1: as chance has it. Also called lift.
  public var ratio: Double
  /// (observed - expected) in units of its spread under the null; 0 where the null leaves no freedom.
  public var z: Double
  /// Share of draws whose largest |z| over all routers, experts and cells reaches this one's, as (1 + b) / (1 + N): controls the
  /// chance of even one false find. Nil for a faint cell, which is not ranked.
  public var adjustedP: Double?
  /// Fewer than 20 expected choices: too few to trust.
  public var isFaint: Bool
}

/// Specialization after all sequences were cut to one length, where lengths differ.
public struct MatchedSpecialization: Sendable, Equatable, Encodable {
  /// Positions kept of each sequence: the largest power of two that no sequence of 16 tokens or more falls short of.
  public var positions: Int
  /// Sequences shorter than 16 tokens; they take no part.
  public var leftOut: Int
  public var mutualInformation: Double
  public var nullMean: Double
  public var nullSD: Double
  /// As in `SpecializationResult`.
  public var effect: Double?
  public var interval: Interval?
  public var fewest: Int
  public var p: Double

  private enum CodingKeys: String, CodingKey {
    case positions
    case leftOut = "left_out"
    case mutualInformation = "mutual_information"
    case nullMean = "null_mean"
    case nullSD = "null_sd"
    case effect, low, high, p
    case hasFewTexts = "few_texts"
  }

  /// Whether the effect is too uncertain to be ranked.
  public var hasFewTexts: Bool { fewest < Jackknife.minimumSequences }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(positions, forKey: .positions)
    try container.encode(leftOut, forKey: .leftOut)
    try container.encode(mutualInformation, forKey: .mutualInformation)
    try container.encode(nullMean, forKey: .nullMean)
    try container.encode(nullSD, forKey: .nullSD)
    try container.encode(effect, forKey: .effect)
    try container.encode(interval?.low, forKey: .low)
    try container.encode(interval?.high, forKey: .high)
    try container.encode(p, forKey: .p)
    try container.encode(hasFewTexts, forKey: .hasFewTexts)
  }
}

/// How much an axis tells about the experts of one router.
public struct SpecializationResult: Sendable, Equatable {
  public var router: RouterID
  public var cells: [SpecializationCell]
  public var sequences: Int
  public var assignments: Int
  /// Plug-in mutual information between expert and cell, nats; biased upwards, read it beside the null.
  public var mutualInformation: Double
  public var nullMean: Double
  public var nullSD: Double
  /// Draws of the null.
  public var nullCount: Int
  /// (1 + draws that reach the observed value) / (1 + N); never below 1 / (1 + N).
  public var p: Double
  /// The same for the largest of all routers: share of draws that exceed the null's mean by as many of its spreads at some router. Controls
  /// the chance of even one false find among the routers of the study; equal to `p` with one router, never below it.
  public var adjustedP: Double
  /// Mutual information without the bias that few sequences cause: the jackknife-centred value I - (S - 1) (mean over sequences of I without
  /// that sequence - I). 0 within its spread when the axis says nothing, and below 0 by chance. Nil with one sequence.
  public var effect: Double?
  /// Delete-one-sequence jackknife around the effect, 95 %; nil with fewer than five sequences, and with fewer than two a label value on
  /// average.
  public var interval: Interval?
  /// Sequences of the label value that has fewest; of the whole axis where its cells lie inside sequences.
  public var fewest: Int
  /// Whether there are so few sequences, fewer than five to a label value, that the effect is shown but not ranked.
  public var hasFewTexts: Bool { fewest < Jackknife.minimumSequences }
  /// Entropy of the cells over assignments, nats: what complete specialization would reach (or ln E, if that is less).
  public var cellEntropy: Double
  /// `effect` / `cellEntropy`; at most ln E / `cellEntropy` but for chance, which is below 1 where ln E is less than `cellEntropy`.
  public var normalizedEffect: Double? { cellEntropy > 0 ? effect.map { $0 / cellEntropy } : nil }
  /// By falling |z|, faint cells last; at most 65,536.
  public var enrichment: [Enrichment]
  /// Kullback-Leibler divergence of the expert's cells from all cells, nats, plug-in, with the expert's choices: which expert is most
  /// particular. Biased upwards by about (C-1)/(2n): compare experts of like load. Experts never chosen are left out.
  public var expertDivergence: [(expert: ExpertIndex, nats: Double, assignments: Int)]
  /// Nil when all sequences are equally long, when fewer than two label values have sequences of 16 tokens, or for axes inside sequences
  /// (whose null already keeps each sequence's length).
  public var matched: MatchedSpecialization?
  /// Sequences differ in length, and fewer than two label values have sequences of 16 tokens.
  public var lacksLengthControl: Bool
  /// What the sequences are.
  public var counted = Counted.texts

  public static func == (a: SpecializationResult, b: SpecializationResult) -> Bool {
    a.router == b.router && a.cells == b.cells && a.mutualInformation == b.mutualInformation && a.nullMean == b.nullMean
      && a.nullSD == b.nullSD && a.p == b.p && a.adjustedP == b.adjustedP && a.effect == b.effect && a.interval == b.interval
      && a.enrichment == b.enrichment && a.matched == b.matched
  }
}

/// How many draws, from which seed.
public struct NullSettings: Sendable, Hashable {
  public var draws: Int
  public var seed: UInt64

  public init(draws: Int = 1000, seed: UInt64 = 0) {
    self.draws = draws
    self.seed = seed
  }
}
