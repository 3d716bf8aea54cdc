// Is a trace whole? SQLite's own check first, then ours: every page has the length its shape says and the checksum it was written with,
// pages of a router do not overlap, every number lies where its meaning allows, and totals agree with what is there.

import Formats
import Foundation
import GRDB
import Routing

/// Something that is not as it should be in a trace.
public struct IntegrityFinding: Sendable, Equatable, CustomStringConvertible {
  /// nil when it concerns the whole file.
  public var run: Int64?
  public var problem: String

  public var description: String { run.map { problem.hasPrefix("run \($0),") ? problem : "run \($0): \(problem)" } ?? problem }
}

extension TraceReader {
  /// Pages of a run that were written by a moetop without checksums: of these only shape, ranges and totals can be checked.
  public func pagesWithoutChecksum(run: Int64) throws -> Int {
    try number("SELECT count(*) FROM page AS p JOIN router AS r ON r.id = p.router WHERE r.run = ? AND p.checksum IS NULL", run)
  }

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
        IntegrityFinding(run: nil, problem: "a row of \(try row.value(0) as String) belongs to no \(try row.value(2) as String)")
      }
    }
    findings += try (viewProblems() + helperProblems()).map { IntegrityFinding(run: nil, problem: $0) }
    let ids = try read { try Int64.fetchAll($0, sql: "SELECT id FROM run ORDER BY id") }
    for id in ids where only == nil || only == id {
      var problems: [String] = []
      try noting(&problems) { try checkCounts(of: id, &$0) }
      var routers: [StoredRouter] = []
      try noting(&problems) { _ in routers = try read { try RouterRows.fetch($0, run: id, file: file) } }
      try noting(&problems) { try checkRouters(of: id, &$0) }
      try noting(&problems) { try checkRouterRows(of: id, &$0) }
      try noting(&problems) { try checkWords(of: id, &$0) }
      let rules = try rules(of: id, &problems)
      if try keepsDecisions(id) {
        try noting(&problems) { try checkTokens(of: id, &$0) }
        try noting(&problems) { try checkTokenExtras(of: id, rules.extras, &$0) }
        for router in routers { try noting(&problems) { try check(router, rules, &$0) } }
      }
      try noting(&problems) { try checkDenoising(try run(.id(id)), &$0) }
      findings += problems.map { IntegrityFinding(run: id, problem: $0) }
    }
    return findings
  }

  /// Turns damage into a finding, and lets every other error through.
  private func noting(_ problems: inout [String], _ body: (inout [String]) throws -> Void) throws {
    do { try StoreError.translating(file) { try body(&problems) } } catch StoreError.damaged(_, let place, let problem) {
      problems.append("\(place): \(problem)")
    }
  }

  private func require(_ what: String, _ found: Int, _ expected: Int, _ problems: inout [String]) {
    if found != expected { problems.append("\(what): found \(found), expected \(expected)") }
  }

  private func number(_ sql: String, _ id: Int64) throws -> Int {
    try read { try Int.fetchOne($0, sql: sql, arguments: [id]) ?? 0 }
  }

  private func keepsDecisions(_ run: Int64) throws -> Bool {
    try number("SELECT json_extract(description, '$.recording.content') <> 'counts' FROM run WHERE id = ?", run) != 0
  }

  private func checkCounts(of run: Int64, _ problems: inout [String]) throws {
    let tokens = try number("SELECT token_count FROM run WHERE id = ?", run)
    let rows = try number("SELECT count(*) FROM token WHERE run = ?", run)
    require("rows of the token table", rows, try keepsDecisions(run) ? tokens : 0, &problems)
    let inSequences = try number("SELECT coalesce(sum(token_count), 0) FROM sequence WHERE run = ?", run)
    // Of counts that another program made no sequence is known.
    let isCounted = try number("SELECT json_extract(description, '$.recorded.kind') IS NOT NULL FROM run WHERE id = ?", run) != 0
    if try keepsDecisions(run) || !isCounted { require("tokens of all sequences", inSequences, tokens, &problems) }
    _ = try self.run(.id(run))
    _ = try sequences(run: run)
  }

  /// The rules of a run's routers, where they can be read, whether an intervention changed what they did, and what is recorded on request.
  private struct RunRules {
    var specs: [RouterID: RouterSpec] = [:]
    var isIntervened = false
    var extras: RecordingExtras = []
  }

  private func rules(of id: Int64, _ problems: inout [String]) throws -> RunRules {
    var rules = RunRules()
    try noting(&problems) { _ in
      let description = try run(.id(id)).description
      (rules.isIntervened, rules.extras) = (description.intervention != nil, description.recording.extras)
      for router in description.routers { rules.specs[router.id] = router.spec }
    }
    return rules
  }

  private func check(_ router: StoredRouter, _ rules: RunRules, _ problems: inout [String]) throws {
    guard let spec = rules.specs[router.id], spec.expertCount == router.layout.expertCount,
      rules.isIntervened || spec.topK == router.layout.topK
    else {
      problems.append("router \(router.id): its rule is not one of \(router.layout.topK) of \(router.layout.expertCount) experts")
      return
    }
    var audit = PageAudit(router, spec: spec, isIntervened: rules.isIntervened, extras: rules.extras)
    let spans = try read { db in
      try Row.fetchAll(
        db, sql: "SELECT id, first_token, token_count FROM page WHERE router = ? ORDER BY first_token", arguments: [router.row])
    }
    var tokens = 0
    var end = 0
    for row in spans {
      let first = try row.count(1)
      let count = try row.count(2)
      guard first >= end, (1...max(router.pageTokens, 1)).contains(count) else {
        problems.append("router \(router.id): page \(try row.value(0) as Int64) holds \(count) tokens at \(first), expected some at \(end)")
        break
      }
      let span = PageSpan(row: try row.value(0), tokens: first..<first + count)
      audit.add(try read { try PageRow.batch($0, span, of: router, withLogits: true, file: file) })
      tokens += count
      end = first + count
    }
    let expected = try number("SELECT token_count FROM router WHERE id = ?", router.row)
    require("router \(router.id): tokens in pages", tokens, expected, &problems)
    try read { try audit.compareTotals($0) }
    problems += audit.problems
  }
}
