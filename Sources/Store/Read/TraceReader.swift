// A trace opened for reading: which runs it has, and what each of them holds. Every call is its own short transaction, so a reader never
// keeps a writer from folding its log; a run that is still being written simply has more tokens at the next call.

import Foundation
import GRDB
import Routing

/// Reads a trace file; may be used from several threads, which then take turns.
public final class TraceReader: Sendable {
  public struct Options: Sendable {
    /// Seconds to wait for a process that holds the trace.
    public var busyTimeout = 5.0
    /// Whether the process that writes a run still lives: given its identity and its last sign of life (seconds since 1970).
    public var isAlive: @Sendable (ProcessIdentity, Double) -> Bool = { process, heartbeat in
      process.isAlive ?? (Date().timeIntervalSince1970 - heartbeat < 60)
    }

    public init() {}
  }

  public let file: String
  let database: DatabaseQueue
  private let options: Options

  /// - Throws: `StoreError`: missing file, not a trace, damaged, newer or older schema, locked, no permission.
  public init(file: String, options: Options = Options()) throws {
    self.file = file
    self.options = options
    database = try TraceFile.openForReading(file, busyTimeout: options.busyTimeout)
  }

  /// Opens the trace and finds the run of a reference.
  public static func open(_ reference: TraceReference, options: Options = Options()) throws -> (trace: TraceReader, run: RunSummary) {
    let trace = try TraceReader(file: reference.file, options: options)
    return (trace, try trace.run(reference.run))
  }

  /// Closes the file; also done when the reader goes away.
  public func close() { try? database.close() }

  func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
    try StoreError.translating(file) { try database.read(body) }
  }

  // MARK: Runs

  /// All runs, oldest first.
  public func runs() throws -> [RunSummary] {
    try read { try RunSummary.fetch($0, file: file, isAlive: options.isAlive) }
  }

  /// - Throws: `StoreError.noSuchRun`, which says what runs there are.
  public func run(_ selector: RunSelector) throws -> RunSummary {
    try read { db in
      let id = try RunLookup.id(db, selector, file: file)
      guard let run = try RunSummary.fetch(db, id: id, file: file, isAlive: options.isAlive).first else {
        throw StoreError.noSuchRun(file: file, run: "\(selector)", known: try RunLookup.known(db))
      }
      return run
    }
  }

  // MARK: Contents

  /// Sequences a run can have: what the writer takes and the reader believes.
  static let sequenceLimit = 1 << 24

  /// The sequences of a run in the order of their numbers.
  public func sequences(run: Int64) throws -> [SequenceDescription] {
    try read { db in
      var sequences: [SequenceDescription] = []
      let sql = "SELECT sequence, name, labels FROM sequence WHERE run = ? ORDER BY sequence"
      for row in try Row.fetchAll(db, sql: sql, arguments: [run]) {
        let number = try row.count("sequence")
        guard number < Self.sequenceLimit else {
          throw StoreError.damaged(file: file, place: "sequences of run \(run)", problem: "sequence \(number)")
        }
        // Numbers without a row were never described and have no token yet.
        while sequences.count < number {
          sequences.append(SequenceDescription(name: "sequence \(sequences.count)"))
        }
        let labels = try RunSummary.decoded([String: String].self, row.value("labels"), place: "labels of sequence \(number)", file: file)
        sequences.append(SequenceDescription(name: try row.value("name"), labels: labels))
      }
      return sequences
    }
  }

  /// The tokens of a run in `range`, as far as they exist.
  public func tokens(run: Int64, in range: Range<Int>) throws -> TokenTable {
    try read { try TokenRows.fetch($0, run: run, in: range, file: file) }
  }

  /// Whether a run says what any of its tokens is: false where ids were left out, or a record never had them.
  public func keepsTokenIDs(_ run: RunSummary) throws -> Bool {
    let origin = run.description.origin
    if origin.withoutIDs == true { return false }
    if origin.kind == .engine { return true }
    return try read { db in
      try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM token WHERE run = ? AND token_id >= 0)", arguments: [run.id]) ?? false
    }
  }

  /// What experts of a run are called, by router and expert. A trace that no moetop with such names has written to has none.
  public func expertLabels(run: Int64) throws -> [RouterID: [Int: String]] {
    try read { db in
      var labels: [RouterID: [Int: String]] = [:]
      guard try db.tableExists("expert_label") else { return labels }
      let sql = "SELECT r.stack, r.layer, l.expert, l.label FROM expert_label AS l JOIN router AS r ON r.id = l.router WHERE r.run = ?"
      for row in try Row.fetchAll(db, sql: sql, arguments: [run]) {
        guard let router = RouterID(lane: try row.value("stack"), layer: try row.count("layer")) else { continue }
        labels[router, default: [:]][try row.count("expert")] = try row.value("label")
      }
      return labels
    }
  }

  /// What was found out about the record that a run was imported from; nothing of other runs.
  public func importFindings(run: Int64) throws -> [ImportFinding] {
    try read { try ImportAuditRows.fetch($0, run: run, file: file) }
  }

  /// The bytes of vocabulary entries that occur in a run, as far as they are known.
  public func pieces(run: Int64) throws -> [Int32: [UInt8]] {
    try read { db in
      var pieces: [Int32: [UInt8]] = [:]
      let rows = try Row.fetchCursor(db, sql: "SELECT token_id, piece FROM piece WHERE run = ?", arguments: [run])
      while let row = try rows.next() { pieces[try row.value(0)] = [UInt8](try row.value(1) as Data) }
      return pieces
    }
  }

  /// The passes of a run again, in order of tokens.
  ///
  /// They are cut where pages end, not where the engine's passes did; the columns put end to end are the same. `importanceSum` is
  /// empty and `squaredLogSumExpSum` NaN in a batch that is only a part of a page, as they are known only for whole pages. Weights are
  /// NaN when only ids were recorded. A run that keeps counts only has no passes.
  ///
  /// - Parameters:
  ///   - routers: those wanted; nil for all.
  ///   - tokens: rows of the run's token table; nil for all that are on disk now.
  ///   - withLogits: whether to read raw logits, where they were recorded.
  public func passes(
    of run: RunSummary, routers: Set<RouterID>? = nil, tokens: Range<Int>? = nil, withLogits: Bool = true
  ) -> PassCursor {
    // A run of counts has decided on its tokens and keeps none.
    let kept = run.description.recording.content == .counts ? 0 : run.tokenCount
    let span = (tokens ?? 0..<kept).clamped(to: 0..<kept)
    return PassCursor(trace: self, run: run.id, routers: routers, tokens: span, withLogits: withLogits)
  }
}

/// Finds a run by what the user called it.
enum RunLookup {
  static func id(_ db: Database, _ selector: RunSelector, file: String) throws -> Int64 {
    let found: Int64? =
      switch selector {
      case .latest: try Int64.fetchOne(db, sql: "SELECT max(id) FROM run")
      case .id(let id): try Int64.fetchOne(db, sql: "SELECT id FROM run WHERE id = ?", arguments: [id])
      case .name(let name): try Int64.fetchOne(db, sql: "SELECT max(id) FROM run WHERE name = ?", arguments: [name])
      }
    if let found { return found }
    throw StoreError.noSuchRun(file: file, run: "\(selector)", known: try known(db))
  }

  /// Which runs there are, in a few words: `runs 1-4, 9`.
  static func known(_ db: Database) throws -> String {
    let ids = try Int64.fetchAll(db, sql: "SELECT id FROM run ORDER BY id")
    if ids.isEmpty { return "no run" }
    var ranges: [(first: Int64, last: Int64)] = []
    for id in ids {
      if let end = ranges.last?.last, end + 1 == id {
        ranges[ranges.count - 1].last = id
      } else {
        ranges.append((id, id))
      }
    }
    let shown = ranges.suffix(8).map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
    return (ids.count == 1 ? "run " : "runs ") + (ranges.count > 8 ? "… " : "") + shown.joined(separator: ", ")
  }
}

/// Rows of the router table.
enum RouterRows {
  static func fetch(_ db: Database, run: Int64, file: String) throws -> [StoredRouter] {
    let sql = """
      SELECT id, stack, layer, expert_count, top_k, id_bytes, weight_bytes, logit_bytes, page_tokens FROM router WHERE run = ?
      """
    let routers = try Row.fetchAll(db.cachedStatement(sql: sql), arguments: [run]).map { row in
      let layout = PageLayout(
        expertCount: try row.count(3), topK: try row.count(4), idBytes: try row.count(5), weightBytes: try row.count(6),
        logitBytes: try row.count(7))
      guard let id = RouterID(lane: try row.value(1), layer: try row.count(2)), (1...1 << 24).contains(layout.expertCount),
        (1...layout.expertCount).contains(layout.topK), [1, 2, 4].contains(layout.idBytes),
        [0, 2, 4].contains(layout.weightBytes), [0, 2, 4].contains(layout.logitBytes)
      else { throw StoreError.damaged(file: file, place: "routers of run \(run)", problem: "shape or width out of range") }
      return StoredRouter(run: run, row: try row.value(0), id: id, layout: layout, pageTokens: try row.count(8))
    }
    return routers.sorted { $0.id < $1.id }
  }
}

/// Rows of the token table.
enum TokenRows {
  static func fetch(_ db: Database, run: Int64, in range: Range<Int>, file: String) throws -> TokenTable {
    var table = TokenTable(firstToken: range.lowerBound)
    let sql = """
      SELECT token, sequence, position, token_id, phase, surprisal, next_token_entropy FROM token
      WHERE run = ? AND token >= ? AND token < ? ORDER BY token
      """
    let row = try RowSteps(db, sql, run, Int64(range.lowerBound), Int64(range.upperBound))
    defer { row.end() }
    // What a file says of its size is not believed before it is read.
    table.reserve(min(range.count, 4096))
    while try row.next() {
      let token = range.lowerBound + table.count
      func damaged(_ problem: String) -> StoreError { .damaged(file: file, place: "run \(run), token \(token)", problem: problem) }
      guard try row.count(0) == token else { throw damaged("its row is missing") }
      func number(_ column: Int, _ name: String) throws -> Int32 {
        let wide = try row.integer(column)
        guard let number = Int32(exactly: wide) else { throw damaged("\(name) is \(wide)") }
        return number
      }
      let phaseNumber = try number(4, "its phase")
      guard let phase = UInt8(exactly: phaseNumber).flatMap(TokenPhase.init) else { throw damaged("its phase is \(phaseNumber)") }
      table.append(
        sequence: Int(try number(1, "its sequence")), position: Int(try number(2, "its position")), tokenID: try number(3, "its id"),
        phase: phase,
        surprisal: Float(try row.real(5) ?? .nan), nextTokenEntropy: Float(try row.real(6) ?? .nan))
    }
    try addExtras(db, to: &table, run: run, file: file)
    table.facts = try TokenMore.fetch(db, run: run, of: table)
    return table
  }

  /// What the run keeps of its tokens beside them.
  private static func addExtras(_ db: Database, to table: inout TokenTable, run: Int64, file: String) throws {
    let statement = try db.cachedStatement(
      sql: "SELECT token, pass, batch, predicted_id FROM token_extra WHERE run = ? AND token >= ? AND token < ? ORDER BY token")
    let rows = try Row.fetchCursor(statement, arguments: [run, table.firstToken, table.firstToken + table.count])
    var columns: [[Int32]] = [[], [], []]
    var count = 0
    while let row = try rows.next() {
      for index in columns.indices {
        guard let number = try row.value(index + 1) as Int64? else { continue }
        guard let narrow = Int32(exactly: number) else {
          throw StoreError.damaged(
            file: file, place: "run \(run), token \(table.firstToken + count)", problem: "one of its numbers is \(number)")
        }
        columns[index].append(narrow)
      }
      count += 1
    }
    guard count == 0 || count == table.count, columns.allSatisfy({ $0.isEmpty || $0.count == count }) else {
      throw StoreError.damaged(
        file: file, place: "run \(run), tokens from \(table.firstToken)", problem: "pass, batch or predicted id of some of them is missing")
    }
    func known(_ column: [Int32]) -> [Int32]? { column.isEmpty ? nil : column }
    (table.pass, table.batch, table.predictedID) = (known(columns[0]), known(columns[1]), known(columns[2]))
  }
}
