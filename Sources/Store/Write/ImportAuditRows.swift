// What an import found, as rows of the trace, and as one more capture check, so that all who warn of failed checks warn of it.

import Foundation
import GRDB
import Routing

enum ImportAuditRows {
  static func store(_ db: Database, _ findings: [ImportFinding], run: Int64) throws {
    if findings.isEmpty { return }
    try db.execute(sql: "DELETE FROM import_finding WHERE run = ?", arguments: [run])
    for (number, finding) in findings.enumerated() {
      try db.execute(
        sql: "INSERT INTO import_finding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        arguments: [
          run, number, finding.code.rawValue, finding.severity.rawValue, finding.router?.description, finding.count, finding.of,
          try TraceCoding.json(finding.first), finding.detail,
        ])
    }
  }

  /// Nothing of a run without findings.
  static func check(_ findings: [ImportFinding]) -> [CaptureCheck] {
    if findings.isEmpty { return [] }
    let faults = findings.filter { $0.severity == .fault }
    let words = ImportFindingGroup.groups(faults).map { "\($0.code.rawValue)\($0.place), \($0.size): \($0.detail)" }
    return [
      CaptureCheck(
        name: "import", outcome: faults.isEmpty ? .held : .failed,
        detail: faults.isEmpty ? "no fault was found in what another program recorded" : words.joined(separator: "; "))
    ]
  }

  /// What was found when a run was imported, in its order.
  static func fetch(_ db: Database, run: Int64, file: String) throws -> [ImportFinding] {
    guard try db.tableExists("import_finding") else { return [] }
    return try Row.fetchAll(db, sql: "SELECT * FROM import_finding WHERE run = ? ORDER BY number", arguments: [run]).map { row in
      guard let code = ImportFinding.Code(rawValue: try row.value("code")) else {
        throw StoreError.damaged(
          file: file, place: "import_finding of run \(run)", problem: "unknown code \(try row.value("code") as String)")
      }
      return ImportFinding(
        code, router: (try row.value("router") as String?).flatMap(RouterID.init(path:)), count: try row.count("count"),
        of: try row.count("of"),
        first: try RunSummary.decoded([Int].self, row.value("first"), place: "import_finding of run \(run)", file: file),
        detail: try row.value("detail"))
    }
  }
}
