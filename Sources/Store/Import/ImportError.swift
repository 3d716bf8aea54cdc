// What makes a record impossible to read as it was asked for.

import Formats
import Routing

public enum ImportError: Error, CustomStringConvertible {
  /// No reader knows it.
  case unrecognized(file: String)
  /// Several readers take it for theirs.
  case ambiguous(file: String, formats: [ImportFormat])
  /// Files of one call are of several formats.
  case mixed(files: [String], formats: [ImportFormat])
  /// `--layers` names another number of layers than the record has.
  case layers(named: Int, found: Int)
  /// `--layers` names one layer for two of the record's.
  case layerTwice(Int)
  /// `--tokens` has another number of sequences than the record.
  case sequences(named: Int, found: Int)
  /// What only the user can say, and why.
  case needed(String, file: String, why: String)
  /// `--strict`, and a fault was found.
  case faults([ImportFinding])
  /// More experts than routers can have together.
  case experts(Int, file: String)
  /// There is not one row in it.
  case empty(file: String)

  public enum Kind { case usage, damaged }

  public var kind: Kind {
    switch self {
    case .ambiguous, .mixed, .layers, .layerTwice, .sequences, .needed: .usage
    case .unrecognized, .faults, .empty, .experts: .damaged
    }
  }

  public var description: String {
    switch self {
    case .unrecognized(let file):
      "\(file): expected a routing record that is known (\(ImportFormat.allCases.map(\.rawValue).joined(separator: ", "))), found none"
        + "\n  try: --as FORMAT, where you know what it is"
    case .ambiguous(let file, let formats):
      "\(file): this may be \(formats.map(\.rawValue).joined(separator: " or "))\n  try: --as \(formats[0].rawValue)"
    case .mixed(let files, let formats):
      "all files of a call are one run: found \(zip(files, formats).map { "\($0) (\($1.rawValue))" }.joined(separator: ", "))"
    case .layers(let named, let found): "--layers: expected \(found) layers, as many as the record has, found \(named)"
    case .layerTwice(let layer): "--layers: expected each layer once, found layer \(layer) twice"
    case .sequences(let named, let found): "--tokens: expected \(found) sequences, as many as the record has, found \(named)"
    case .needed(let option, let file, let why): "\(file): \(option) is needed: \(why)"
    case .faults(let findings):
      "nothing was kept, as --strict asks: "
        + ImportFindingGroup.groups(findings).map { "\($0.code.rawValue)\($0.place), \($0.size): \($0.detail)" }.joined(separator: "; ")
    case .experts(let found, let file):
      "\(file): expected at most \(ForeignShape.expertSumLimit) experts in all routers together, found \(found)"
    case .empty(let file): "\(file): there is not one row in it"
    }
  }
}
