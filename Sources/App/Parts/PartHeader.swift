// What a part says of itself beside its columns: the question that was folded, the run and its sequences. Parts of one question and one model
// are one analysis, whoever folded them and wherever.

import Analysis
import Formats
import Foundation
import Routing

/// The head of a part; JSON in the metadata of the file.
struct PartHeader: Codable, Equatable {
  static let version = "1"

  var asked: AskedQuestion
  /// Whether the columns are enough for intervals too.
  var hasIntervals: Bool
  var run: RunDescription
  /// Number of the run in its trace.
  var number: Int64
  /// The process that decided its first token; nil: not known.
  var rank: Int64?
  var rows: Int
  var sequences: [SequenceDescription]
  /// Values of the label of single tokens that is the axis, in the order of their numbers; nil: the axis is none.
  var values: [String]?
  /// `[routers]`: rows that each has decided on, where some may lack a route.
  var routedRows: [Int]?

  /// The same for every part of the same run.
  var identity: String {
    var run = run
    // A copy is the same run.
    run.recorded?.source = nil
    run.parent = nil
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return SHA256.hash((try? encoder.encode(run)) ?? Data())
  }
}

extension SHA256 {
  fileprivate static func hash(_ data: Data) -> String {
    var hash = SHA256()
    data.withUnsafeBytes { hash.update($0) }
    return hash.hexDigest()
  }
}
