// The parts of a trace that are rows instead of pages: tokens, whose places and numbers have ranges, the counts of denoising runs, which
// are added up in three ways, and the tables by which the views decode packed columns.

import Formats
import Foundation
import GRDB
import Routing

extension TraceReader {
  /// Every token where it can stand and with numbers it can have; all of them against their checksum.
  func checkTokens(of run: Int64, _ problems: inout [String]) throws {
    let before = problems.count
    for (what, condition) in Self.tokenRules {
      let sql = "SELECT token FROM token WHERE run = ? AND NOT coalesce(\(condition), 0) ORDER BY token LIMIT 1"
      if let token = try read({ try Int64.fetchOne($0, sql: sql, arguments: [run]) }) { problems.append("token \(token): \(what)") }
    }
    // What another program recorded may begin late and have gaps.
    let own = "SELECT json_extract(description, '$.recorded.kind') IS NULL FROM run WHERE id = ?"
    let isOwn = try read { try Bool.fetchOne($0, sql: own, arguments: [run]) } ?? true
    let gaps = """
      SELECT sequence FROM token WHERE run = ? GROUP BY sequence, phase = \(TokenPhase.encode.rawValue)
      HAVING count(DISTINCT position) <> count(*)\(isOwn ? " OR min(position) <> 0 OR max(position) <> count(*) - 1" : "")
      ORDER BY sequence LIMIT 1
      """
    if let sequence = try read({ try Int64.fetchOne($0, sql: gaps, arguments: [run]) }) {
      problems.append("sequence \(sequence): its tokens do not stand at \(isOwn ? "0, 1, 2, …" : "places of their own,") once each")
    }
    if let sequence = try read({ try Int64.fetchOne($0, sql: Self.sequenceCounts, arguments: [run, run]) }) {
      problems.append("sequence \(sequence): its number of tokens is not that of its rows")
    }
    if problems.count == before { try checkTokenChecksum(of: run, &problems) }
  }

  /// Numbers of pass, batch and predicted id of every token where the run records them, and nowhere else.
  func checkTokenExtras(of run: Int64, _ extras: RecordingExtras, _ problems: inout [String]) throws {
    func require(_ condition: String, _ problem: String) throws {
      let sql = "SELECT token FROM token_extra WHERE run = ? AND NOT coalesce(\(condition), 0) ORDER BY token LIMIT 1"
      if let token = try read({ try Int64.fetchOne($0, sql: sql, arguments: [run]) }) { problems.append("token \(token): \(problem)") }
    }
    let (rows, tokens) = try read { db in
      (
        try Int.fetchOne(db, sql: "SELECT count(*) FROM token_extra WHERE run = ?", arguments: [run]) ?? 0,
        try Int.fetchOne(db, sql: "SELECT count(*) FROM token WHERE run = ?", arguments: [run]) ?? 0
      )
    }
    let expected = extras.isDisjoint(with: [.passes, .predicted]) ? 0 : tokens
    if rows != expected { problems.append("pass, batch or predicted id of \(rows) tokens, expected of \(expected)") }
    let whole = { (column: String, low: Int) in "typeof(\(column)) = 'integer' AND \(column) BETWEEN \(low) AND 2147483647" }
    let numbered = extras.contains(.passes)
    try require(
      numbered ? "\(whole("pass", 0)) AND \(whole("batch", 0))" : "pass IS NULL AND batch IS NULL",
      "its pass and batch are not \(numbered ? "numbers from 0" : "recorded by its run")")
    let predicts = extras.contains(.predicted)
    try require(
      predicts ? whole("predicted_id", -1) : "predicted_id IS NULL",
      "its predicted id is not \(predicts ? "a number from -1" : "recorded by its run")")
  }

  /// What must hold of every row, and what is said when it does not.
  private static let tokenRules = [
    ("its position is not a number from 0 to 2147483647", "typeof(position) = 'integer' AND position BETWEEN 0 AND 2147483647"),
    ("its sequence is not a number from 0", "typeof(sequence) = 'integer' AND sequence BETWEEN 0 AND \(sequenceLimit - 1)"),
    ("its id is not a number from -1", "typeof(token_id) = 'integer' AND token_id BETWEEN -1 AND 2147483647"),
    ("its phase is none of the four", "typeof(phase) = 'integer' AND phase BETWEEN 0 AND \(TokenPhase.allCases.count - 1)"),
    ("its surprisal is below 0 or no number", "surprisal IS NULL OR typeof(surprisal) = 'real' AND surprisal >= -0.001"),
    (
      "its entropy is below 0 or no number",
      "next_token_entropy IS NULL OR typeof(next_token_entropy) = 'real' AND next_token_entropy BETWEEN -0.001 AND 100"
    ),
  ]

  private static let sequenceCounts = """
    SELECT s.sequence FROM sequence AS s
    LEFT JOIN (SELECT sequence, count(*) AS tokens FROM token WHERE run = ? GROUP BY sequence) AS t ON t.sequence = s.sequence
    WHERE s.run = ? AND s.token_count <> coalesce(t.tokens, 0) ORDER BY s.sequence LIMIT 1
    """

  private func checkTokenChecksum(of run: Int64, _ problems: inout [String]) throws {
    let (stored, tokens) = try read { db in
      (
        try Int64.fetchOne(db, sql: "SELECT token_checksum FROM run WHERE id = ?", arguments: [run]),
        try Int.fetchOne(db, sql: "SELECT count(*) FROM token WHERE run = ?", arguments: [run]) ?? 0
      )
    }
    guard let stored else { return }
    var sum = CRC32()
    for start in stride(from: 0, to: tokens, by: 4096) { sum.add(try self.tokens(run: run, in: start..<min(start + 4096, tokens))) }
    if stored != Int64(sum.value) {
      problems.append("tokens: their checksum is \(sum.value), expected \(stored): these are not the tokens that were recorded")
    }
  }

  /// Choices by step, by patch and by sample are the same choices.
  func checkDenoising(_ run: RunSummary, _ problems: inout [String]) throws {
    for branch in 0..<max(0, min(run.description.denoising?.branchCount ?? 0, 2)) {
      guard let counts = try denoisingCounts(of: run, branch: branch) else { return }
      for router in counts.routerIDs {
        guard let tables = counts.routers[router] else { continue }
        for group in 0..<DenoisingCounts.groupCount {
          var samples = Array(repeating: 0, count: tables.expertCount)
          for (sample, own) in tables.samples where sample % DenoisingCounts.groupCount == group {
            for expert in own.counts.indices { samples[expert] += Int(own.counts[expert]) }
          }
          if tables.byExpert(tables.steps[group]) != samples || tables.byExpert(tables.patches[group]) != samples {
            problems.append("router \(router): counts of branch \(branch), group \(group) by step, patch and sample are not of one run")
            break
          }
        }
        let weights = tables.stepWeights + tables.patchWeights + tables.samples.values.flatMap { $0.weights.map(Double.init) }
        if !weights.allSatisfy(\.isFinite) { problems.append("router \(router): a sum of weights of branch \(branch) is not finite") }
      }
    }
  }

  /// Tables that are the same in every trace, without which the views would decode other numbers than were stored.
  func helperProblems() throws -> [String] {
    try read { db in
      var problems: [String] = []
      let bytes = try Data.fetchAll(db, sql: "SELECT bytes FROM decoder")
      if bytes != [Data((0...255).map { UInt8($0) })] { problems.append("table decoder: not the 256 bytes in order") }
      let wrong = """
        SELECT count(*) <> 256 OR min(exponent) <> 0 OR max(exponent) <> 255
          OR total(leading <> CASE exponent WHEN 0 THEN 0 ELSE 1 << 23 END) > 0 FROM float_scale
        """
      var isWrong = try Bool.fetchOne(db, sql: wrong) ?? true
      let rows = try Row.fetchCursor(db, sql: "SELECT exponent, scale FROM float_scale")
      while let row = try rows.next() {
        let exponent: Int = try row.value(0)
        if try row.value(1) as Double != TraceMigrations.floatScale(exponent) { isWrong = true }
      }
      if isWrong { problems.append("table float_scale: not the powers of two of f32") }
      if try Bool.fetchOne(db, sql: "SELECT count(*) > 0 AND (min(number) <> 0 OR max(number) <> count(*) - 1) FROM number") ?? true {
        problems.append("table number: not 0, 1, 2, …")
      }
      let present = try Int.fetchOne(db, sql: "SELECT count(*) FROM number") ?? 0
      let needed = try Int.fetchOne(db, sql: Self.numbersNeeded) ?? 0
      if present < needed { problems.append("table number: found \(present) numbers, but views count up to \(needed)") }
      return problems
    }
  }

  /// Slots of a token, experts of a sample and entries of a table: whatever has no number of its own is missing from the views.
  private static let numbersNeeded = """
    SELECT max(coalesce((SELECT max(top_k) FROM router), 0),
      coalesce((SELECT max(max(length(steps), length(patches)) / 4) FROM denoising_group), 0),
      coalesce((SELECT max(length(counts) / 4) FROM denoising_sample), 0))
    """

  /// The documented views, each as this moetop makes it.
  func viewProblems() throws -> [String] {
    try read { db in
      try TraceSchema.views.compactMap { view in
        let present = try TraceSchema.sql(of: view, in: db)
        if present == view.sql { return nil }
        return
          "view \(view.name): \(present == nil ? "missing" : "not as this version makes it"); writing to the trace, a tag or a new run, makes it anew"
      }
    }
  }
}

extension DenoisingTables {
  /// `[experts]` of a table `[cells, experts]`; zeros of an empty one.
  fileprivate func byExpert(_ table: [UInt32]) -> [Int] {
    var sums = Array(repeating: 0, count: expertCount)
    for entry in table.indices { sums[entry % expertCount] += Int(table[entry]) }
    return sums
  }
}
