// Which routers, steps and rows are in the files of a router trace? Each line is read once, nothing of it is kept but where its step begins, and
// what contradicts itself is put down as a finding.

import Formats
import Routing

/// What a first reading of the files of one run adds up to.
struct MegatronSurvey {
  /// One router.
  struct Column {
    let key: MegatronRecord.Key
    /// Ids of the first row that has as many as its record says.
    fileprivate var stated: Int?
    /// Ids of the first row.
    fileprivate var seen: Int?
    /// Experts that it has logits of.
    fileprivate(set) var logitExperts: Int?
    /// Rows of the run.
    fileprivate var unequal = RowRanges()
    fileprivate var wrongWidth = RowRanges()
    fileprivate var short = RowRanges()
    fileprivate var cut = RowRanges()
    /// The row after the last of the file that it has a record of; 0: it has none.
    fileprivate var recorded = 0

    var slots: Int { stated ?? seen ?? 1 }
    var hasLogits: Bool { logitExperts != nil }
  }

  private(set) var ranks: [MegatronRank] = []
  private var columns: [MegatronRecord.Key: Column] = [:]
  private var total = 0
  private var logitRows = 0
  private var lostLogitRows = 0
  private var shortSidecars: [String] = []

  /// In the order of their routers.
  var sortedColumns: [Column] { columns.values.sorted { $0.key < $1.key } }

  /// Reads a file through.
  mutating func add(_ path: String) throws(FormatError) {
    let lines = try JSONLines(path)
    let number = try lines.read(0) { (line) throws(FormatError) in try MegatronRecord(line).rank }
    if let other = ranks.first(where: { $0.number == number }) {
      throw .malformed(
        file: path, place: "line 1", problem: "its rank \(number) is that of \(other.lines.path) too", hint: "give the file of a rank once")
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let sidecar = "\(folder)logits_rank\(number).bin"
    var rank = MegatronRank(lines: lines, number: number, sidecar: MappedFile.exists(sidecar) ? try MappedFile(path: sidecar) : nil)
    for key in columns.keys { columns[key]?.recorded = 0 }
    var open: [MegatronRecord] = []
    var lostLogits = 0
    for line in 0..<lines.count {
      let record = try lines.read(line) { (json) throws(FormatError) in
        let record = try MegatronRecord(json)
        guard record.rank == number else { throw try json.member("rank").unexpected("\(number), the rank of line 1") }
        lostLogits += try note(record, json, rank)
        return record
      }
      if let first = open.first, first.step != record.step || open.contains(where: { $0.key == record.key }) {
        close(open, before: line, &rank)
        open = []
      }
      open.append(record)
    }
    close(open, before: lines.count, &rank)
    if lostLogits > 0 { shortSidecars.append(sidecar) }
    findShort(rank)
    total += rank.rows
    ranks.append(rank)
  }

  /// - Returns: rows of logits that the file beside it lacks.
  private mutating func note(_ record: MegatronRecord, _ json: JSONValue, _ rank: MegatronRank) throws(FormatError) -> Int {
    var column = columns[record.key] ?? Column(key: record.key)
    if record.count > 0 {
      if column.seen == nil { column.seen = record.width }
      if column.stated == nil, record.width == record.topK { column.stated = record.width }
    }
    var lost = 0
    if let logits = record.logits, let sidecar = rank.sidecar {
      let whole = logits.wholeRows(in: sidecar)
      lost = logits.rows - whole
      logitRows += logits.rows
      lostLogitRows += lost
      if let known = column.logitExperts, known != logits.experts {
        throw try json.member("logit_shape").unexpected("logits of \(known) experts, as before")
      }
      if whole > 0 { column.logitExperts = logits.experts }
    }
    guard columns[record.key] != nil || columns.count < MegatronReader.routerLimit else {
      throw try json.member("layer").unexpected("at most \(MegatronReader.routerLimit) routers")
    }
    columns[record.key] = column
    return lost
  }

  /// Ends a step. It has as many rows as most of the records that agree with themselves.
  private mutating func close(_ records: [MegatronRecord], before line: Int, _ rank: inout MegatronRank) {
    guard !records.isEmpty else { return }
    let sound = records.filter { $0.stated == $0.count }
    let counts = Dictionary((sound.isEmpty ? records : sound).map { ($0.count, 1) }, uniquingKeysWith: +)
    let rows = counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? 0
    let step = MegatronRank.Step(firstRow: rank.rows, rows: rows, lines: line - records.count..<line)
    rank.steps.append(step)
    let ofRun = total + step.firstRow..<total + step.firstRow + rows
    for record in records {
      columns[record.key]?.recorded = step.firstRow + rows
      if !record.isWhole(rows: rows) {
        columns[record.key]?.unequal.add(ofRun)
      } else if let slots = columns[record.key]?.slots, !record.takes(slots) {
        columns[record.key]?.wrongWidth.add(ofRun)
      }
    }
  }

  /// Finds routers that have a record of every row of a file but the last, or that its last line would have been of.
  private mutating func findShort(_ rank: MegatronRank) {
    guard let last = rank.steps.last else { return }
    for key in columns.keys {
      guard let recorded = columns[key]?.recorded, recorded < rank.rows else { continue }
      if rank.lines.isCut {
        if recorded == last.firstRow { columns[key]?.cut.add(total + recorded..<total + rank.rows) }
      } else if recorded > 0, recorded == rank.rows - 1 {
        columns[key]?.short.add(total + recorded..<total + rank.rows)
      }
    }
  }

  /// - Returns: the record's shape, when all files were added.
  var shape: ForeignShape {
    var findings = ImportFinding.cutLines(ranks.map(\.lines)).map { [$0] } ?? []
    if lostLogitRows > 0 {
      findings.append(
        ImportFinding(
          .truncated, count: lostLogitRows, of: logitRows,
          detail: "rows of logits that are not in their file: \(shortSidecars.joined(separator: ", "))"))
    }
    let sorted = sortedColumns
    for column in sorted {
      let faults: [(ImportFinding.Code, RowRanges, String)] = [
        (.missingLast, column.short, "it has no record of the last row of a file, the other routers have one"),
        (.lengthMismatch, column.unequal, "records that do not have as many rows as they say, or as their step has"),
        (.wrongK, column.wrongWidth, "rows do not have as many ids as their record says, or as its router's others"),
      ]
      for (code, rows, detail) in faults where rows.count > 0 {
        findings.append(ImportFinding(code, router: column.key.router, count: rows.count, of: total, first: rows.first, detail: detail))
      }
    }
    return ForeignShape(
      format: .megatron,
      columns: sorted.map { column in
        var explained = column.short
        for rows in [column.unequal, column.wrongWidth, column.cut] { explained.join(rows) }
        return ForeignColumn(
          router: column.key.router, slots: column.slots, experts: column.logitExperts, hasLogits: column.hasLogits,
          explained: explained.ranges)
      },
      sequences: ranks.map { ForeignSequence(name: "rank \($0.number)", rows: $0.rows) }, mayOmit: 1, countsLayers: true,
      // Its logits are bf16 numbers, made of what the router computed in f32.
      logitError: sorted.contains(where: \.hasLogits) ? 1.0 / 256 : nil, findings: findings)
  }
}
