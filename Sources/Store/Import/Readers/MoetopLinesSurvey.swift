// Which sequences and rows are in files of our own lines, and what contradicts itself in them? Each line is read once; what is kept of the rows is
// where they stand, as runs of lines whose positions follow each other.

import Formats
import Routing

/// What a first reading of the files of one run adds up to.
struct MoetopLinesSurvey {
  /// Lines of one sequence.
  struct Sequence {
    let name: String
    let file: Int
    fileprivate(set) var runs: [Run] = []
    /// Values that every row has alike.
    fileprivate(set) var labels: [String: String] = [:]
    fileprivate(set) var hasTokens = false
    /// Positions between its rows that have none.
    fileprivate var missing = 0
    /// By router: rows at the end without it.
    fileprivate var absent: [Int]

    var rows: Int { runs.last.map { $0.firstRow + $0.count } ?? 0 }
    /// The run that has a row.
    func run(of row: Int) -> Int { Sorted.first(of: runs.count) { runs[$0].firstRow + runs[$0].count > row } }
    var start: Int { runs.first?.firstPosition ?? 0 }
    var hasGaps: Bool { missing > 0 }
    fileprivate var nextPosition: Int { runs.last.map { $0.firstPosition + $0.count } ?? 0 }
  }

  /// Rows whose lines and positions follow each other.
  struct Run {
    var firstLine: Int
    var count: Int
    var firstRow: Int
    var firstPosition: Int
  }

  private struct Column {
    var hasWeights = false
    var hasLogits = false
    /// Most ids of rows that have as many as the rule lets them, and of those that have not.
    var widest = 0
    var widestWrong = 0
    /// By sequence.
    var wrong: [Int: RowRanges] = [:]
  }

  private(set) var sequences: [Sequence] = []
  private let header: MoetopLinesHeader
  private let routers: [String: Int]
  private var columns: [Column]

  /// Slots of a router that no row has a route of, at most.
  private static let unusedSlots = 1024

  init(_ header: MoetopLinesHeader, _ routers: [String: Int]) {
    (self.header, self.routers) = (header, routers)
    columns = header.routers.map { _ in Column() }
  }

  /// Reads a file through.
  ///
  /// - Parameter stem: what a sequence without a name is called.
  mutating func add(_ file: JSONLines, _ number: Int, stem: String, isAlone: Bool) throws(FormatError) {
    var byName: [String: Int] = [:]
    for index in 1..<max(file.count, 1) {
      try file.read(index) { (json) throws(FormatError) in
        let line = try MoetopLine(json, routers: routers)
        let key = line.sequence ?? ""
        let sequence = byName[key] ?? sequences.count
        if sequence == sequences.count {
          byName[key] = sequence
          let name = line.sequence.map { isAlone ? $0 : "\(stem) \($0)" } ?? stem
          sequences.append(Sequence(name: name, file: number, absent: Array(repeating: 0, count: columns.count)))
        }
        try place(line, json, index, in: sequence)
        try note(line, in: sequence)
      }
    }
  }

  /// Puts a row behind those of its sequence.
  private mutating func place(_ line: MoetopLine, _ json: JSONValue, _ index: Int, in number: Int) throws(FormatError) {
    let next = sequences[number].nextPosition
    let position = line.position ?? next
    guard position >= next else {
      throw try json.member("position").unexpected("\(next) or more, behind the row before of its sequence")
    }
    let labels = try line.labels()
    _ = try line.coordinates()
    if let last = sequences[number].runs.last {
      sequences[number].missing += position - next
      sequences[number].labels = sequences[number].labels.filter { labels[$0.key] == $0.value }
      if position == next, last.firstLine + last.count == index {
        sequences[number].runs[sequences[number].runs.count - 1].count += 1
      } else {
        sequences[number].runs.append(Run(firstLine: index, count: 1, firstRow: sequences[number].rows, firstPosition: position))
      }
    } else {
      sequences[number].labels = labels
      sequences[number].runs.append(Run(firstLine: index, count: 1, firstRow: 0, firstPosition: position))
    }
    if line.token != nil { sequences[number].hasTokens = true }
  }

  /// Notes what a row has of each router.
  private mutating func note(_ line: MoetopLine, in number: Int) throws(FormatError) {
    let row = sequences[number].rows - 1
    for router in columns.indices {
      guard let decision = line.decisions[router] else {
        sequences[number].absent[router] += 1
        continue
      }
      sequences[number].absent[router] = 0
      if let count = try line.count("logits", of: router) {
        let experts = header.routers[router].experts
        guard count == experts else { throw try decision.member("logits").unexpected("\(experts) logits, one for each expert") }
        columns[router].hasLogits = true
      }
      guard let width = try line.count("ids", of: router) else { continue }
      if try line.count("weights", of: router) != nil { columns[router].hasWeights = true }
      if header.routers[router].allows(width) {
        columns[router].widest = max(columns[router].widest, width)
      } else {
        columns[router].widestWrong = max(columns[router].widestWrong, width)
        columns[router].wrong[number, default: RowRanges()].add(row..<row + 1)
      }
    }
  }

  /// - Parameter cut: lines that the files end within.
  /// - Returns: the record's shape, when all files were added.
  func shape(cut: ImportFinding?) -> ForeignShape {
    var firstRows: [Int] = []
    var total = 0
    for sequence in sequences {
      firstRows.append(total)
      total += sequence.rows
    }
    var findings = cut.map { [$0] } ?? []
    if let gaps = gaps(firstRows) { findings.append(gaps) }
    var shape: [ForeignColumn] = []
    for (router, column) in columns.enumerated() {
      let told = header.routers[router]
      var (short, wrong) = (RowRanges(), RowRanges())
      for (number, sequence) in sequences.enumerated() {
        if sequence.absent[router] == 1, sequence.rows > 1 {
          short.add(firstRows[number] + sequence.rows - 1..<firstRows[number] + sequence.rows)
        }
        for range in column.wrong[number]?.ranges ?? [] {
          wrong.add(firstRows[number] + range.lowerBound..<firstRows[number] + range.upperBound)
        }
      }
      if short.count > 0 {
        findings.append(
          ImportFinding(
            .missingLast, router: told.id, count: short.count, of: total, first: short.first,
            detail: "the last row of a sequence does not have it, the row before has"))
      }
      if wrong.count > 0 {
        findings.append(
          ImportFinding(
            .wrongK, router: told.id, count: wrong.count, of: total, first: wrong.first,
            detail: "rows name another number of experts than the \(told.topK) of the first line"))
      }
      short.join(wrong)
      shape.append(self.shape(of: router, explained: short.ranges))
    }
    return ForeignShape(
      format: .moetopJSONL, columns: shape,
      sequences: sequences.map { sequence in
        var one = ForeignSequence(name: sequence.name, rows: sequence.rows)
        one.labels = sequence.labels
        one.start = sequence.start
        // A row is a token: those that are missing between them are a finding of their own.
        one.tokenCount = sequence.start + sequence.rows
        return one
      }, row: header.row, mayTakeFewer: true, findings: findings)
  }

  private func shape(of router: Int, explained: [Range<Int>]) -> ForeignColumn {
    let (column, told) = (columns[router], header.routers[router])
    var spec = told.spec
    if spec?.rule != .executable, !column.hasWeights { spec?.statedWeights = WeightKind.none }
    let widest = column.widest > 0 ? column.widest : column.widestWrong
    return ForeignColumn(
      router: told.id, slots: widest > 0 ? widest : min(told.topK, Self.unusedSlots), experts: told.experts, spec: spec,
      hasWeights: column.hasWeights, hasLogits: column.hasLogits, explained: explained)
  }

  private func gaps(_ firstRows: [Int]) -> ImportFinding? {
    var (missing, positions) = (0, 0)
    var behind = RowRanges()
    for (number, sequence) in sequences.enumerated() where sequence.hasGaps {
      missing += sequence.missing
      positions += sequence.nextPosition - sequence.start
      for (before, run) in zip(sequence.runs, sequence.runs.dropFirst()) where before.firstPosition + before.count < run.firstPosition {
        behind.add(firstRows[number] + run.firstRow..<firstRows[number] + run.firstRow + 1)
      }
    }
    guard missing > 0 else { return nil }
    return ImportFinding(
      .lengthMismatch, count: missing, of: positions, first: behind.first,
      detail: "positions between rows that have no row; the first rows are those behind")
  }
}
