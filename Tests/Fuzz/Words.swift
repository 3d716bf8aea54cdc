// What do the small languages of the command line make of damaged words? A file holds what people write, a line each: thresholds,
// conditions, layers, axes, metrics, runs, filters. Each line of the damaged file is read by the parser of its kind.

import Analysis
import Foundation
import Routing
import Store

/// One small language.
enum Grammar: String, CaseIterable {
  case thresholds, conditions, layers, axes, metrics, runs, terms

  /// Reads one line; what is understood is said again, so that also the way out is walked.
  func read(_ line: String) throws -> String {
    switch self {
    case .thresholds: try EntropyThreshold(parsing: line).description
    case .conditions: try FailCondition(parsing: line).description
    case .layers: try LayerSelection(parsing: line).description
    case .axes: try AnalysisGrouping(parsing: line).description
    case .metrics: try MetricKey.list(parsing: line).map(\.rawValue).joined(separator: ",")
    case .terms: try Filter(parsing: line).clauses.map { "\($0.text) \($0.term)" }.joined(separator: " ")
    case .runs: try TraceReference(parsing: line, defaultTrace: "traces.db", fileExists: { _ in false }).description
    }
  }

  /// Reads every line of a file.
  ///
  /// - Throws: the last refusal, after all lines were read.
  func readAll(_ path: String) throws {
    var refusal: (any Error)?
    // Not UTF-8 is what a shell passes on as replacement characters.
    let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    for line in text.split(separator: "\n") {
      do { _ = try read(String(line)) } catch { refusal = error }
    }
    if let refusal { throw refusal }
  }
}
