// Runs of a series as one run: read pass by pass in the order of the whole, numbered anew, and recorded as any run is, so that totals and checks are
// those of the whole.

import GRDB
import Routing

extension TraceMerge {
  /// Makes one run of the runs of each series.
  ///
  /// - Parameters: as of `copy`.
  /// - Throws: `MergeError` and `StoreError`; a run that did not come to its end is taken out of the output again.
  public mutating func join(to output: String, appending: Bool) throws {
    let alone = parts.filter { $0.series == nil }.map(\.label)
    if !alone.isEmpty { throw MergeError.noSeries(runs: alone) }
    let names = parts.compactMap(\.series).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    // All are looked at before anything is written.
    let unions = try names.map { series in
      try RunUnion(series: series, parts: try parts.filter { $0.series == series }.map(Self.part))
    }
    let hashes = try unions.map(Self.survey)
    let total = parts.reduce(0) { $0 + max($1.tokens, 1) }
    try withOutput(output, appending: appending) { merge in
      var before = 0
      for (union, hash) in zip(unions, hashes) {
        for part in union.parts where part.part.parent != nil {
          merge.notes.append("\(part.label) is a variant of run \(part.part.parent ?? 0) of that trace: the joined run names no parent")
        }
        let written = try merge.write(union, inputHash: hash, to: output) { merge.progress(before + $0, total) }
        merge.notes += written.notes
        merge.done.append(written.run)
        before += written.run.tokens
      }
    }
  }

  private static func part(_ part: MergePart) throws -> UnionPart {
    let trace = try TraceReader(file: part.file)
    defer { trace.close() }
    let run = try trace.run(.id(part.run))
    if run.state == .running { throw StoreError.locked(file: part.label) }
    if run.description.recording.content == .counts && run.description.denoising != nil { throw MergeError.countsOnly(run: part.label) }
    let first = try trace.tokens(run: run.id, in: 0..<min(run.tokenCount, 1))
    let rank = first.facts?.rank?.first.flatMap { $0 < 0 ? nil : $0 }
    let highest = try trace.read { db in try Int.fetchOne(db, sql: "SELECT max(sequence) FROM token WHERE run = ?", arguments: [run.id]) }
    let described = try trace.sequences(run: run.id).count
    guard (highest ?? 0) < TraceReader.sequenceLimit else {
      throw StoreError.damaged(file: part.file, place: "tokens of run \(run.id)", problem: "sequence \(highest ?? 0)")
    }
    return UnionPart(part: part, run: run, rank: rank, sequences: max(described, (highest ?? -1) + 1))
  }

  /// - Returns: the hash of all that was given.
  private static func survey(_ union: RunUnion) throws -> String {
    var survey = SequenceSurvey()
    for part in union.parts {
      let trace = try TraceReader(file: part.part.file)
      defer { trace.close() }
      try survey.add(part, sequences: try trace.sequences(run: part.run.id), in: trace)
    }
    return survey.inputHash
  }

  // MARK: Writing

  private func write(
    _ union: RunUnion, inputHash: String, to output: String, progress: (Int) -> Void
  ) throws -> (run: MergedRun, notes: [String]) {
    guard let description = union.description(inputHash: inputHash) else { throw MergeError.nothing(files: [output]) }
    var sequences: [SequenceDescription] = []
    var pieces: [Int32: [UInt8]] = [:]
    var labels: [RouterID: [Int: String]] = [:]
    var findings: [[ImportFinding]] = []
    var notes: [String] = []
    for part in union.parts {
      let trace = try TraceReader(file: part.part.file)
      defer { trace.close() }
      var own = try trace.sequences(run: part.run.id)
      while own.count < part.sequences { own.append(SequenceDescription(name: "sequence \(own.count)")) }
      sequences += own
      if description.origin.withoutIDs != true { pieces.merge(try trace.pieces(run: part.run.id)) { first, _ in first } }
      for (router, names) in try trace.expertLabels(run: part.run.id) {
        for (expert, label) in names {
          if let other = labels[router]?[expert], other != label {
            notes.append("\(part.label) calls expert \(router):\(expert) \"\(label)\", which stays \"\(other)\"")
          } else {
            labels[router, default: [:]][expert] = label
          }
        }
      }
      findings.append(try trace.importFindings(run: part.run.id))
    }
    let known = pieces
    let writer = try TraceWriter(file: output, description: description, sequences: sequences, pieces: { known[$0] })
    do {
      try writer.inherit(
        InheritedChecks(parts: union.parts.map { ($0.label, $0.run.checks) }, isIntervened: description.intervention != nil))
      try fill(writer, with: union, progress: progress)
      try writer.note(union.findings(findings))
      try writer.finish(union.outcome)
      let editor = try TraceEditor(file: output)
      for (router, names) in labels {
        for (expert, label) in names { try editor.setLabel(label, ofExpert: expert, at: router, of: .id(writer.run)) }
      }
      try editor.close()
    } catch {
      try? writer.finish(.failed(reason: "\(error)"))
      try? TraceEditor(file: output).delete(.id(writer.run))
      throw error
    }
    let run = MergedRun(
      id: writer.run, name: description.name, tokens: union.parts.reduce(0) { $0 + $1.run.tokenCount }, sequences: sequences.count,
      parts: union.parts.map(\.part))
    return (run, notes)
  }

  private func fill(_ writer: TraceWriter, with union: RunUnion, progress: (Int) -> Void) throws {
    var numbers = PartNumbers()
    for (place, part) in union.parts.enumerated() {
      let trace = try TraceReader(file: part.part.file)
      defer { trace.close() }
      if part.run.description.recording.content == .counts {
        try writer.count(try trace.loads(run: part.run.id), tokens: part.run.tokenCount)
        continue
      }
      numbers.begin(firstRow: union.firstRows[place], firstSequence: union.firstSequences[place])
      try trace.passes(of: part.run).forEach { pass in
        if isStopped() { throw MergeError.stopped }
        let renumbered = numbers.renumbered(pass)
        try writer.receive(renumbered)
        progress(renumbered.tokens.firstToken + renumbered.tokens.count)
      }
    }
  }
}

/// Numbers of rows, sequences, passes and batches of a part, as those of the whole.
private struct PartNumbers {
  private var firstRow = 0
  private var firstSequence: Int32 = 0
  /// Numbers of passes and batches that the parts before have used.
  private var usedPasses: Int32 = 0
  private var usedBatches: Int32 = 0
  private var nextPass: Int32 = 0
  private var nextBatch: Int32 = 0

  mutating func begin(firstRow: Int, firstSequence: Int) {
    (self.firstRow, self.firstSequence) = (firstRow, Int32(firstSequence))
    (usedPasses, usedBatches) = (nextPass, nextBatch)
  }

  mutating func renumbered(_ pass: RoutingPass) -> RoutingPass {
    var pass = pass
    pass.tokens.firstToken += firstRow
    for index in pass.tokens.sequence.indices { pass.tokens.sequence[index] += firstSequence }
    pass.tokens.pass = Self.shifted(pass.tokens.pass, by: usedPasses, next: &nextPass)
    pass.tokens.batch = Self.shifted(pass.tokens.batch, by: usedBatches, next: &nextBatch)
    for index in pass.batches.indices { pass.batches[index].firstToken += firstRow }
    return pass
  }

  /// A number that is too large for the column stays at its largest.
  private static func shifted(_ column: [Int32]?, by used: Int32, next: inout Int32) -> [Int32]? {
    column?.map { number in
      let (sum, overflow) = number.addingReportingOverflow(used)
      let value = overflow ? Int32.max - 1 : min(sum, Int32.max - 1)
      next = max(next, value + 1)
      return value
    }
  }
}

extension TraceReader {
  /// Assignments of each router by expert: totals of the whole run.
  ///
  /// - Throws: `StoreError.damaged` for an expert that its router does not have.
  func loads(run: Int64) throws -> [RouterID: [Int]] {
    try read { db in
      var loads: [RouterID: [Int]] = [:]
      for router in try RouterRows.fetch(db, run: run, file: file) {
        var own = Array(repeating: 0, count: router.layout.expertCount)
        let rows = try Row.fetchCursor(db, sql: "SELECT expert, assignments FROM expert_total WHERE router = ?", arguments: [router.row])
        while let row = try rows.next() {
          let expert = try row.count(0)
          guard own.indices.contains(expert) else {
            throw StoreError.damaged(file: file, place: "totals of router \(router.id) of run \(run)", problem: "expert \(expert)")
          }
          own[expert] = try row.count(1)
        }
        loads[router.id] = own
      }
      return loads
    }
  }
}
