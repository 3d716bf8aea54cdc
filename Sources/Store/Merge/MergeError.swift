// Why runs of traces cannot be brought together as they were asked for: the facts, and which exit code they deserve.

/// Runs that cannot be copied, or be one run.
public enum MergeError: Error, Sendable, Equatable {
  /// The output is there, and nobody said that it may be added to.
  case outputExists(file: String)
  /// A run is named twice.
  case twice(run: String)
  /// Not one run was found.
  case nothing(files: [String])
  /// Runs that belong to no series, where runs of a series are to be one.
  case noSeries(runs: [String])
  /// Two runs of a series differ in what one run has once.
  case different(what: String, first: String, expected: String, other: String, found: String)
  /// Two runs of a series have the same text.
  case sameSequence(name: String, first: String, other: String)
  /// Decisions that are not there cannot be put in a row.
  case countsOnly(run: String)
  /// Somebody asked to stop.
  case stopped

  public enum Kind: Sendable { case usage, damaged, missing, cannotCreate, stopped }

  public var kind: Kind {
    switch self {
    case .outputExists: .cannotCreate
    case .twice, .noSeries, .countsOnly: .usage
    case .nothing: .missing
    case .different, .sameSequence: .damaged
    case .stopped: .stopped
    }
  }
}

extension MergeError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .outputExists(let file): "\(file): expected no file, found one\n  try: --append adds runs to it, and changes none that it has"
    case .twice(let run): "\(run) is given twice: every run is copied once\n  try: name it once"
    case .nothing(let files): "\(files.joined(separator: ", ")): not one run is there\n  try: moetop runs list \(files.first ?? "FILE")"
    case .noSeries(let runs):
      "--one joins runs of a series: expected every run to name one, found none in \(runs.joined(separator: ", "))"
        + "\n  try: without --one, which copies runs as they are, or FILE#RUN for the runs of the series alone"
    case .different(let what, let first, let expected, let other, let found):
      "runs of one series differ in their \(what): \(first) has \(expected), \(other) has \(found)"
        + "\n  try: without --one, which copies runs as they are"
    case .sameSequence(let name, let first, let other):
      "sequence \"\(name)\" is in \(first) and, with the same token ids, in \(other): joined, it would count twice"
        + "\n  try: leave one of the two runs out"
    case .countsOnly(let run):
      "\(run) keeps counts of images only, and no decisions that could be joined\n  try: without --one, which copies runs as they are"
    case .stopped: "stopped"
    }
  }
}
