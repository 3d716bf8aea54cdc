// Options of every command that reads or writes traces, and the resolution of run names.

import ArgumentParser
import Foundation
import Store

struct TraceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Directory of the default trace.", valueName: "dir")) var dataDir: String?

  /// The trace used when none is named.
  var defaultTrace: String { TraceLocation.traceFile(inDataDirectory: dataDir ?? DataFolder.ofUser) }

  /// The trace and run a user means by `FILE.db`, `FILE.db#12`, an id, a name or `latest`.
  func reference(_ text: String) throws -> TraceReference {
    try TraceReference(parsing: text, defaultTrace: defaultTrace) { FileManager.default.fileExists(atPath: $0) }
  }

  /// The same; without a name all runs of the default trace.
  func reference(orDefault text: String?) throws -> TraceReference {
    try text.map { try reference($0) } ?? TraceReference(file: defaultTrace, namesRun: false)
  }
}
