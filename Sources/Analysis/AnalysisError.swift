// What a user can ask of this room that it cannot answer. Cases carry what was expected and what was found; nothing else throws here.

import Routing

public enum AnalysisError: Error, Hashable, Sendable, CustomStringConvertible {
  case badThreshold(found: String)
  case badCondition(found: String, expected: String)
  case badLayers(found: String)
  case badGrouping(found: String, expected: String)
  case unknownMetric(found: String, nearest: String?)
  /// The metric exists, but not along this axis.
  case cannotGroup(metric: String, by: String, instead: String)
  /// A condition names a metric the report does not hold.
  case metricNotReported(metric: String)
  /// An axis or metric that only denoising runs have.
  case notDenoising(asked: String)
  /// The run keeps counts only, and this needs single decisions.
  case needsDecisions(metric: String, instead: String)
  /// What the metric is taken over is not of such a kind.
  case meaningless(metric: String, reason: String)
  /// A metric or an axis of text, asked of a denoising run.
  case notOfImages(asked: String, instead: String)
  /// A figure of an encoder or of the decoder beside it.
  case noEncoder(asked: String)
  /// A formula over raw router logits, which the run does not keep.
  case needsLogits(metric: String)
  /// What the metric is taken over was not recorded.
  case notRecorded(metric: String, recording: String, needed: String, missing: String?)
  /// An axis that sorts by what a token is, of a run that does not say.
  case noTokenIDs(asked: String)
  /// No router of the run chooses with a correction bias.
  case noCorrectionBias(metric: String)
  /// What was summed over both branches of a denoising run cannot be told apart.
  case notByBranch(metric: String)
  /// What a filter leaves does not have the metric.
  case notUnderFilter(metric: String, filter: String, reason: String)
  /// Layers without a router.
  case noSuchLayer(found: String, known: String)
  case invalidPlan(field: String, expected: String, found: String)
  case badPairing(found: String)
  /// Two runs whose routers do not stand side by side.
  case unpairedRouters(problem: String, a: [RouterID], b: [RouterID])

  public var description: String {
    switch self {
    case .badThreshold(let found):
      "threshold '\(found)': expected nats (1.6nat), a share of ln E above 0 and at most 1 (0.92), or a quantile of the run (q0.95)"
    case .badCondition(let found, let expected): "condition '\(found)': expected \(expected)"
    case .badLayers(let found): "layers '\(found)': expected numbers and rising ranges, e.g. 0-3,7"
    case .badGrouping(let found, let expected): "--by \(found): expected \(expected)"
    case .unknownMetric(let found, let nearest):
      "there is no metric '\(found)'" + (nearest.map { "; the nearest is '\($0)'" } ?? "") + " (all of them: moetop docs metrics)"
    case .cannotGroup(let metric, let by, let instead): "\(metric) cannot be shown by \(by); try \(instead)"
    case .metricNotReported(let metric): "the report does not hold '\(metric)'"
    case .notDenoising(let asked): "\(asked): this is not a denoising run (it has no steps, branches or patches)"
    case .needsDecisions(let metric, let instead):
      "\(metric): this run was recorded with --record counts and keeps no decisions; try \(instead)"
    case .meaningless(let metric, let reason): "\(metric): \(reason)"
    case .notOfImages(let asked, let instead):
      "\(asked): the rows of a denoising run are patches of images, not tokens one after the other; try \(instead)"
    case .noEncoder(let asked): "\(asked): this run has no encoder; try entropy_nats or uncertain, which every run has"
    case .needsLogits(let metric):
      "\(metric) --as gw-moe is taken over the raw router logits, and this run was recorded without them; record with --record full, or leave "
        + "--as gw-moe out"
    case .notRecorded(let metric, let recording, let needed, let missing):
      "\(metric) cannot be had of --record \(recording); record the run again with --record \(needed)"
        + (missing.map { " (there is none \($0))" } ?? "")
    case .noTokenIDs(let asked):
      "\(asked): this run keeps no token ids (--no-ids, or a record without them), so nobody knows what its tokens are; try --by position, "
        + "or a label"
    case .noCorrectionBias(let metric): "\(metric): no router of this run chooses with a correction bias"
    case .notByBranch(let metric):
      "\(metric): it was summed over both branches of guidance together while the images were made; runs without guidance (--cfg 1) have it"
    case .notUnderFilter(let metric, let filter, let reason): "\(metric) cannot be had under the filter '\(filter)': \(reason)"
    case .noSuchLayer(let found, let known): "--layer \(found): no router there; this run has routers at layers \(known)"
    case .invalidPlan(let field, let expected, let found): "\(field): expected \(expected), found \(found)"
    case .badPairing(let found): "--layers \(found): expected layers of A and of B, e.g. 3=4,5-7=8-10 or enc.1=enc.3"
    case .unpairedRouters(let problem, let a, let b):
      "\(problem): A has \(a.inWords), B has \(b.inWords); say which stand side by side, e.g. --layers 3=4,5=5"
    }
  }
}
