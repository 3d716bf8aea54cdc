// The run being written: packs passes into pages, keeps totals and audit, and commits. Knows nothing of threads and time: `TraceWriter`
// confines it to one queue and decides when to commit. Memory changes only after a commit has succeeded, so a failed one can be
// repeated.

import Formats
import Foundation
import GRDB
import Routing

final class RunRecorder {
  private(set) var file: String
  let run: Int64
  private var database: DatabaseQueue
  private var description: RunDescription
  private var isRevised = false
  private let pieces: (Int32) -> [UInt8]?
  private let pageTokens: Int

  private var audit: CaptureAudit
  private var routers: [RouterID: RouterRecord] = [:]
  private let routerOrder: [RouterID]
  private var sequences: [SequenceDescription]
  /// Tokens per sequence, and which of them the disk does not know yet.
  private var sequenceTokens: [Int: Int] = [:]
  private var dirtySequences: Set<Int> = []
  private var seenTokenIDs: Set<Int32> = []
  private var freshTokenIDs: [Int32] = []

  private(set) var tokenCount = 0
  private var tokensInPage = 0
  private var fresh = TokenTable()
  private var storedBytes = 0
  /// Of the tokens on disk.
  private var tokenChecksum = CRC32()
  /// Of names, labels and pieces on disk, with the part of each sequence in it: a sequence is written again as it grows.
  private var words = RowChecksum()
  private var sequenceWords: [Int: UInt32] = [:]
  /// Counts of a denoising run.
  private var denoising: DenoisingRecord?
  /// Whether decisions and tokens are stored, not counts only.
  private let keepsDecisions: Bool
  private let extras: RecordingExtras
  private var numbering: PassNumbering
  private var findings: [ImportFinding] = []
  private var inherited: InheritedChecks?
  /// Whether ids of tokens are left out of the trace; checks are made with them.
  private let hidesIDs: Bool

  /// Tokens received and not yet committed.
  private(set) var uncommittedTokens = 0

  /// Begins a run in the trace: run, routers and known sequences are on disk when this returns.
  init(
    database: DatabaseQueue, file: String, description: RunDescription, sequences: [SequenceDescription],
    intervention: Intervention? = nil, process: ProcessIdentity, now: Double, pieces: @escaping (Int32) -> [UInt8]?
  ) throws {
    self.database = database
    self.file = file
    self.description = description
    self.sequences = sequences
    self.pieces = pieces
    numbering = PassNumbering(texts: description.batch ?? 1)
    audit = try CaptureAudit(routers: description.routers, intervention: intervention, origin: description.origin)
    let recording = description.recording
    keepsDecisions = recording.content > .counts
    extras = recording.extras
    hidesIDs = description.origin.withoutIDs == true
    let denoising = try description.denoising.map { try DenoisingRecord($0, routers: description.routers) }
    if !keepsDecisions && denoising == nil && description.origin.kind == .engine {
      throw StoreError.impossibleRecording(problem: "counts alone can be kept of denoising runs, and this is a run of text")
    }
    if hidesIDs && extras.contains(.predicted) {
      throw StoreError.impossibleRecording(problem: "predicted ids say what a text is, and this run keeps no token ids")
    }
    self.denoising = denoising
    let layouts = description.routers.map {
      PageLayout(expertCount: $0.spec.expertCount, topK: $0.slots, recording: recording)
    }
    pageTokens = PageLayout.pageTokens(for: layouts, logitsEvery: recording.content == .full ? recording.logitsEvery : nil)
    routerOrder = description.routers.map(\.id).sorted()
    var routers: [RouterID: RouterRecord] = [:]
    run = try StoreError.translating(file) {
      try database.write { db in
        let run = try RunRecorder.insertRun(db, description, process: process, now: now)
        var sum = RowChecksum()
        for (ordinal, (router, layout)) in zip(description.routers, layouts).enumerated() {
          let spec = try TraceCoding.json(router.spec)
          let row = try RunRecorder.insertRouter(db, router, spec: spec, layout: layout, run: run)
          routers[router.id] = RouterRecord(row: row, layout: layout)
          let more = try RouterMore(router)
          try more?.insert(db, router: row)
          sum.add(
            RowChecksum.router(
              ordinal: ordinal, layer: router.id.layer.rawValue, stack: router.id.lane, expertCount: layout.expertCount, topK: layout.topK,
              spec: spec, more: more))
        }
        try db.execute(sql: "UPDATE run SET router_checksum = ? WHERE id = ?", arguments: [Int64(sum.value), run])
        try denoising?.storeLayout(db, run: run)
        return run
      }
    }
    self.routers = routers
    dirtySequences = Set(sequences.indices)
    try commit(now: now)
  }

  /// Goes on in a copy of the trace, which has all that was committed.
  func move(to copy: DatabaseQueue, file: String) {
    database = copy
    self.file = file
  }

  /// Sequences that will come, in the order of their numbers; may be called while the run goes on.
  func append(sequences more: [SequenceDescription]) {
    dirtySequences.formUnion(sequences.count..<sequences.count + more.count)
    sequences += more
  }

  /// Takes assignments by expert where nobody knows the decisions.
  ///
  /// - Parameter tokens: that were counted.
  func count(_ loads: [RouterID: [Int]], tokens: Int) {
    for (id, load) in loads { routers[id]?.count(load, tokens: tokens) }
    tokenCount += tokens
  }

  /// What was found out about the record that the run is made of; replaces what was said before.
  func note(_ findings: [ImportFinding]) { self.findings = findings }

  /// What was found out about the runs that this one is joined of.
  func inherit(_ checks: InheritedChecks) { inherited = checks }

  /// Changes what is said about the run.
  func revise(_ change: (inout RunDescription) -> Void) {
    change(&description)
    isRevised = true
  }

  // MARK: Receiving

  /// Takes a pass into memory.
  ///
  /// - Throws: `StoreError.malformedPass`, before anything of the pass was taken.
  func add(_ pass: RoutingPass) throws {
    try check(pass)
    let tokens = pass.tokens
    for index in 0..<tokens.count {
      let sequence = Int(tokens.sequence[index])
      sequenceTokens[sequence, default: 0] += 1
      dirtySequences.insert(sequence)
      if !hidesIDs, tokens.tokenID[index] >= 0, seenTokenIDs.insert(tokens.tokenID[index]).inserted {
        freshTokenIDs.append(tokens.tokenID[index])
      }
    }
    denoising?.add(pass)
    tokenCount += tokens.count
    uncommittedTokens += tokens.count
    // Decisions that rules changed are judged where the rules are known.
    if inherited?.isIntervened != true { audit.add(pass) }
    guard keepsDecisions else {
      for batch in pass.batches where batch.count > 0 { routers[batch.router]?.count(batch) }
      return
    }
    if fresh.count == 0 { fresh.firstToken = tokens.firstToken }
    fresh.append(contentsOf: kept(tokens))
    tokensInPage += tokens.count
    let pageIsFull = tokensInPage >= pageTokens
    for batch in pass.batches where batch.count > 0 { routers[batch.router]?.add(batch) }
    if pageIsFull {
      for id in routerOrder { routers[id]?.closePage() }
      tokensInPage = 0
    }
  }

  /// Tokens with the columns that the run keeps, and no others.
  private func kept(_ tokens: TokenTable) -> TokenTable {
    var tokens = tokens
    if !extras.contains(.passes) {
      (tokens.pass, tokens.batch) = (nil, nil)
    } else if tokens.pass == nil || tokens.batch == nil {
      numbering.number(&tokens, layout: description.denoising)
    }
    if hidesIDs { tokens.tokenID = Array(repeating: -1, count: tokens.count) }
    tokens.predictedID = extras.contains(.predicted) ? tokens.predictedID ?? Array(repeating: -1, count: tokens.count) : nil
    return tokens
  }

  private func check(_ pass: RoutingPass) throws {
    func require(_ what: String, _ found: Int, _ expected: Int) throws {
      if found == expected { return }
      throw StoreError.malformedPass(file: file, problem: what, expected: "\(expected)", found: "\(found)")
    }
    let tokens = pass.tokens
    try require("first token of the pass", tokens.firstToken, tokenCount)
    for (name, found) in [
      ("sequence", tokens.sequence.count), ("position", tokens.position.count), ("phase", tokens.phase.count),
      ("surprisal", tokens.surprisal.count), ("nextTokenEntropy", tokens.nextTokenEntropy.count),
    ] { try require("length of the token column \(name)", found, tokens.count) }
    for (name, column) in [("pass", tokens.pass), ("batch", tokens.batch), ("predictedID", tokens.predictedID)] {
      if let column { try require("length of the token column \(name)", column.count, tokens.count) }
    }
    let span = tokens.firstToken..<tokens.firstToken + tokens.count
    if let wrong = tokens.sequence.first(where: { $0 < 0 || Int($0) >= TraceReader.sequenceLimit }) {
      throw StoreError.malformedPass(
        file: file, problem: "sequence of a token", expected: "0..<\(TraceReader.sequenceLimit)", found: "\(wrong)")
    }
    if let facts = tokens.facts { try require("length of the facts of tokens", facts.count, tokens.count) }
    var ends: [RouterID: Int] = [:]
    for batch in pass.batches {
      guard let record = routers[batch.router] else {
        throw StoreError.malformedPass(
          file: file, problem: "router of a batch", expected: "one of the run's \(routers.count)", found: "\(batch.router)")
      }
      if let end = ends[batch.router], batch.firstToken < end {
        throw StoreError.malformedPass(
          file: file, problem: "batches of router \(batch.router)", expected: "one that begins at token \(end) or behind it",
          found: "\(batch.firstToken)")
      }
      ends[batch.router] = batch.firstToken + batch.count
      try require("experts of router \(batch.router)", batch.expertCount, record.layout.expertCount)
      try require("topK of router \(batch.router)", batch.topK, record.layout.topK)
      if batch.firstToken < span.lowerBound || batch.firstToken + batch.count > span.upperBound {
        throw StoreError.malformedPass(
          file: file, problem: "tokens of router \(batch.router)", expected: "tokens within \(span)",
          found: "\(batch.firstToken)..<\(batch.firstToken + batch.count)")
      }
      if let rows = batch.logits?.rows, !rows.isRising(within: batch.count) {
        throw StoreError.malformedPass(
          file: file, problem: "logit rows of router \(batch.router)", expected: "rising within 0..<\(batch.count)",
          found: "\(rows.prefix(8))")
      }
      do { try batch.validate() } catch {
        throw StoreError.malformedPass(file: file, problem: "batch", expected: "columns of one shape", found: "\(error)")
      }
    }
  }

  // MARK: Committing

  /// Puts everything received on disk, in one transaction.
  ///
  /// - Parameter outcome: how the run ended, when it did: all pages are then made whole.
  func commit(now: Double, outcome: RunOutcome? = nil) throws {
    if outcome != nil { for id in routerOrder { routers[id]?.closePage() } }
    var written: [RouterID: [PageWrite]] = [:]
    var bytes = storedBytes
    var samples: [Set<Int>]?
    let rows = routers.mapValues(\.row)
    var checksum = tokenChecksum
    checksum.add(fresh)
    var (words, sequenceWords) = (words, sequenceWords)
    try StoreError.translating(file) {
      try database.write { db in
        if isRevised {
          try db.execute(sql: "UPDATE run SET description = ? WHERE id = ?", arguments: [try Self.stored(description), run])
        }
        try insertTokens(db)
        try insertWords(db, &words, &sequenceWords)
        for id in routerOrder {
          guard let record = routers[id] else { continue }
          let writes = try record.storePages(db)
          for write in writes { bytes += write.bytes - write.replacedBytes }
          try record.storeTotals(db)
          written[id] = writes
        }
        samples = try denoising?.store(db, routers: rows)
        try ImportAuditRows.store(db, findings, run: run)
        let checks = audit.result()
        for check in (inherited?.applied(to: checks) ?? checks) + ImportAuditRows.check(findings) {
          try db.cachedStatement(sql: "INSERT OR REPLACE INTO capture_check VALUES (?, ?, ?, ?)")
            .execute(arguments: [run, check.name, check.outcome.rawValue, check.detail])
        }
        try db.cachedStatement(
          sql: """
            UPDATE run SET token_count = ?, token_checksum = ?, word_checksum = ?, stored_bytes = ?, heartbeat = ?, state = ?, reason = ?,
              ended_at = ? WHERE id = ?
            """
        ).execute(arguments: [
          tokenCount, keepsDecisions ? Int64(checksum.value) : nil, Int64(words.value), bytes + (denoising?.byteCount ?? 0), now,
          outcome?.state ?? "running", outcome?.reason, outcome == nil ? nil : now, run,
        ])
      }
    }
    for (id, writes) in written { routers[id]?.committed(writes) }
    if let samples { denoising?.committed(samples) }
    storedBytes = bytes
    tokenChecksum = checksum
    (self.words, self.sequenceWords) = (words, sequenceWords)
    uncommittedTokens = 0
    isRevised = false
    fresh = TokenTable(firstToken: tokenCount)
    dirtySequences.removeAll(keepingCapacity: true)
    freshTokenIDs.removeAll(keepingCapacity: true)
  }

  /// Tells readers that the process is alive, when there is nothing else to write.
  func beat(now: Double) throws {
    try StoreError.translating(file) {
      try database.write { try $0.execute(sql: "UPDATE run SET heartbeat = ? WHERE id = ?", arguments: [now, run]) }
    }
  }

  private func insertTokens(_ db: Database) throws {
    var rows = try RowInserter(db, "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
    for index in 0..<fresh.count {
      rows.add(run)
      rows.add(fresh.firstToken + index)
      rows.add(fresh.sequence[index])
      rows.add(fresh.position[index])
      rows.add(fresh.tokenID[index])
      rows.add(fresh.phase[index].rawValue)
      rows.add(fresh.surprisal[index])
      rows.add(fresh.nextTokenEntropy[index])
      try rows.insert()
    }
    if let facts = fresh.facts { try TokenMore.insert(db, facts, run: run, firstToken: fresh.firstToken) }
    guard extras.contains(.passes) || extras.contains(.predicted) else { return }
    rows = try RowInserter(db, "INSERT INTO token_extra VALUES (?, ?, ?, ?, ?)")
    for index in 0..<fresh.count {
      rows.add(run)
      rows.add(fresh.firstToken + index)
      rows.add(fresh.pass?[index])
      rows.add(fresh.batch?[index])
      rows.add(fresh.predictedID?[index])
      try rows.insert()
    }
  }

  private func insertWords(_ db: Database, _ sum: inout RowChecksum, _ sums: inout [Int: UInt32]) throws {
    for sequence in dirtySequences {
      let known = sequence < sequences.count ? sequences[sequence] : SequenceDescription(name: "sequence \(sequence)")
      let labels = try TraceCoding.json(known.labels)
      try db.cachedStatement(sql: "INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?, ?)")
        .execute(arguments: [run, sequence, known.name, labels, sequenceTokens[sequence] ?? 0])
      let row = RowChecksum.sequence(sequence, name: known.name, labels: labels)
      if let before = sums.updateValue(row, forKey: sequence) { sum.remove(before) }
      sum.add(row)
    }
    let insertPiece = try db.cachedStatement(sql: "INSERT OR IGNORE INTO piece VALUES (?, ?, ?)")
    for id in freshTokenIDs {
      guard let piece = pieces(id).map({ Data($0) }) else { continue }
      try insertPiece.execute(arguments: [run, id, piece])
      sum.add(RowChecksum.piece(Int(id), piece))
    }
  }

  // MARK: Beginning

  private static func stored(_ description: RunDescription) throws -> String {
    var stored = description
    stored.routers = []  // each has its own row
    return try TraceCoding.json(stored)
  }

  private static func insertRun(_ db: Database, _ description: RunDescription, process: ProcessIdentity, now: Double) throws -> Int64 {
    try db.execute(
      sql: """
        INSERT INTO run (name, tags, description, state, started_at, heartbeat, process, host) VALUES (?, ?, ?, 'running', ?, ?, ?, ?)
        """,
      arguments: [
        description.name, try TraceCoding.json(description.tags), try stored(description), description.startedAt, now,
        process.id, process.host,
      ])
    return db.lastInsertedRowID
  }

  private static func insertRouter(
    _ db: Database, _ router: RouterDescription, spec: String, layout: PageLayout, run: Int64
  ) throws -> Int64 {
    try db.execute(
      sql: """
        INSERT INTO router (run, layer, stack, expert_count, top_k, id_bytes, weight_bytes, logit_bytes, log_expert_count,
          selection_unit, policy, spec)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        run, router.id.layer.rawValue, router.id.lane, layout.expertCount, layout.topK, layout.idBytes, layout.weightBytes,
        layout.logitBytes, log(Double(layout.expertCount)), router.spec.selectionScoreUnit, router.spec.summary, spec,
      ])
    let row = db.lastInsertedRowID
    // One row of `number` for every slot a token can have: the views count with it.
    try CountingRows.provide(db, upTo: layout.topK)
    return row
  }
}
