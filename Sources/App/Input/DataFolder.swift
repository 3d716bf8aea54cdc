// Where does moetop keep what is its user's: traces, tables that do not come with it, and what was found of large
// files?

import Formats
import Foundation
import Model

enum DataFolder {
  /// As it was settled, else the place that the system has for data; `--data-dir` names another for traces.
  static var ofUser: String { Configuration.standing.dataDir ?? Places.ofUser.data }

  /// The file that tools/make_iq_tables.py makes, there or not.
  static var lookupTables: String { (ofUser as NSString).appendingPathComponent(LookupTables.fileName) }

  /// What files of weights were found to hold.
  static var knownHashes: KnownHashes { KnownHashes(folder: Places.hashes(inData: ofUser)) }
}
