// Is a trace whole? SQLite's own check first, then ours: every page has the length its shape says, pages of a router do not overlap,
// and counts agree with what is there.

import GRDB
import Routing

/// Something that is not as it should be in a trace.
public struct IntegrityFinding: Sendable, Equatable, CustomStringConvertible {
  /// nil when it concerns the whole file.
  public var run: Int64?
  public var problem: String

  public var description: String { run.map { "run \($0): \(problem)" } ?? problem }
}

extension TraceReader {
  /// Looks at every byte of the trace (of one run, when given) and returns what is wrong; empty when all is well.
  ///
  /// - Throws: `StoreError` only when the file cannot be read on; damage that still lets us read is a finding.
  public func checkIntegrity(run only: Int64? = nil) throws -> [IntegrityFinding] {
    var findings = try read { db in
      try String.fetchAll(db, sql: "PRAGMA integrity_check(100)").filter { $0 != "ok" }.map { IntegrityFinding(run: nil, problem: $0) }
    }
    if !findings.isEmpty { return findings }
    findings += try read { db in
      try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").map { row in
        IntegrityFinding(run: nil, problem: "a row of \(row[0] as String) belongs to no \(row[2] as String)")
      }
    }
    let ids = try read { try Int64.fetchAll($0, sql: "SELECT id FROM run ORDER BY id") }
    for id in ids where only == nil || only == id {
      do {
        findings += try check(run: id).map { IntegrityFinding(run: id, problem: $0) }
      } catch StoreError.damaged(_, let place, let problem) {
        findings.append(IntegrityFinding(run: id, problem: "\(place): \(problem)"))
      }
    }
    return findings
  }

  private func check(run id: Int64) throws -> [String] {
    let run = try run(.id(id))
    var problems: [String] = []
    func require(_ what: String, _ found: Int, _ expected: Int) {
      if found != expected { problems.append("\(what): found \(found), expected \(expected)") }
    }
    let counted = try read { db in
      try Int.fetchOne(db, sql: "SELECT count(*) FROM token WHERE run = ?", arguments: [id]) ?? 0
    }
    require("rows of the token table", counted, run.tokenCount)
    let inSequences = try read { db in
      try Int.fetchOne(db, sql: "SELECT coalesce(sum(token_count), 0) FROM sequence WHERE run = ?", arguments: [id]) ?? 0
    }
    require("tokens of all sequences", inSequences, run.tokenCount)

    for router in try read({ try RouterRows.fetch($0, run: id, file: file) }) {
      var tokens = 0
      var end = 0
      let spans = try read { db in
        try Row.fetchAll(
          db, sql: "SELECT id, first_token, token_count FROM page WHERE router = ? ORDER BY first_token", arguments: [router.row])
      }
      for row in spans {
        let first: Int = row[1]
        let count: Int = row[2]
        guard first >= end, count > 0, count <= router.pageTokens, first <= run.tokenCount - count else {
          problems.append("router \(router.id): page \(row[0] as Int64) holds \(count) tokens at \(first), expected some at \(end) or later")
          break
        }
        let span = PageSpan(row: row[0], tokens: first..<first + count)
        _ = try read { try PageRow.batch($0, span, of: router, withLogits: true, file: file) }
        tokens += count
        end = first + count
      }
      let stored = try read { db in
        try Int.fetchOne(db, sql: "SELECT token_count FROM router WHERE id = ?", arguments: [router.row]) ?? 0
      }
      require("router \(router.id): tokens in pages", tokens, stored)
    }
    return problems
  }
}
