// Parts as one analysis: what they must have in common, in which order their sequences stand, and the same numbers as if one process had
// folded one trace of all of them. Order and number of the parts change nothing: they are sorted before anything is added.

import Analysis
import Formats
import Routing

struct PartUnion {
  private let parts: [PartFile]
  /// `[parts]`: of their runs.
  private let identities: [String]

  /// - Parameter parts: in any order.
  /// - Throws: `Failure` for parts of different questions (64), or models, or for sequences that are there twice (65).
  init(_ parts: [PartFile]) throws {
    let known = parts.map { (part: $0, identity: $0.header.identity) }.sorted { a, b in
      let (x, y) = (a.part.header, b.part.header)
      if x.rank != y.rank { return (x.rank ?? .max) < (y.rank ?? .max) }
      if x.number != y.number { return x.number < y.number }
      return (x.run.startedAt, a.identity) < (y.run.startedAt, b.identity)
    }
    (self.parts, identities) = (known.map(\.part), known.map(\.identity))
    guard let first = self.parts.first else { throw Failure(.usage, "expected one part or more, found none") }
    for part in self.parts.dropFirst() { try Self.require(part, first) }
    var seen: [String: String] = [:]
    for (part, identity) in zip(self.parts, identities) {
      if let other = seen.updateValue(part.path, forKey: identity) {
        throw Failure(
          .damaged,
          "\(part.path): run \(part.header.number) \"\(Show.line(part.header.run.name))\" is in \(other) too: its sequences would count twice"
            + "\n  try: leave one of the two parts out")
      }
    }
  }

  private static func require(_ part: PartFile, _ first: PartFile) throws {
    let (a, b) = (first.header, part.header)
    if a.asked != b.asked {
      let differing = zip(a.asked.words, b.asked.words).first { $0 != $1 } ?? ((name: "question", value: ""), (name: "question", value: ""))
      throw Failure(
        .usage,
        "\(part.path): folded with \(differing.1.name) \(differing.1.value), and \(first.path) with \(differing.0.value)"
          + "\n  try: `fold` both with the same options")
    }
    func differ(_ what: String, _ found: String, _ expected: String) -> Failure {
      Failure(.damaged, "\(part.path): expected the \(what) of \(first.path), \(expected), found \(found)\n  try: analyze them apart")
    }
    if a.run.model.filesHash != b.run.model.filesHash {
      throw differ("model", Self.name(b.run.model), Self.name(a.run.model))
    }
    if a.run.routers != b.run.routers { throw differ("routers", "\(b.run.routers.count) others", "\(a.run.routers.count)") }
    if a.run.recording != b.run.recording { throw differ("recording level", "\(b.run.recording)", "\(a.run.recording)") }
    if (a.run.intervention ?? "") != (b.run.intervention ?? "") {
      throw differ("rules", b.run.intervention.map(Show.line) ?? "none", a.run.intervention.map(Show.line) ?? "none")
    }
    if a.run.origin.row != b.run.origin.row { throw differ("rows", b.run.origin.row.words, a.run.origin.row.words) }
  }

  private static func name(_ model: ModelIdentity) -> String {
    "\(Show.line(model.name.isEmpty ? "a model without a name" : model.name)) (\(model.filesHash.prefix(12)))"
  }

  /// Sequences of all parts, in their order.
  var sequences: [SequenceDescription] { parts.flatMap(\.header.sequences) }
  /// Runs, for what is said of them.
  var headers: [PartHeader] { parts.map(\.header) }

  /// The plan of the whole.
  ///
  /// - Parameters:
  ///   - sequences: of all parts, with the labels that count.
  ///   - intervals: whether intervals are asked for.
  /// - Throws: `AnalysisError`; `Failure` for intervals that the parts were not folded for.
  func plan(sequences: [SequenceDescription], null: NullSettings, intervals: Bool) throws -> AnalysisPlan {
    let header = parts[0].header
    var plan = try header.asked.plan(for: header.run, sequences: sequences, null: null)
    plan.intervals = intervals
    if intervals, let lacking = parts.first(where: { !$0.header.hasIntervals }) {
      throw Failure(
        .usage,
        "--ci: \(lacking.path) was folded with --threshold \(header.asked.threshold), a quantile that is known when all parts are, so that no decision "
          + "was judged by it\n  try: `fold` with --threshold 0.92 (a share of ln E) or 1.6nat")
    }
    plan.filter = try header.asked.filter.map {
      ResolvedFilter(asked: try Filter(parsing: $0), of: FilterContext(routers: plan.routers, sequences: sequences))
    }
    let routed = parts.compactMap(\.header.routedRows)
    if routed.count == parts.count {
      plan.routedRows = Dictionary(
        uniqueKeysWithValues: plan.routers.enumerated().map { place, router in
          (router.id, routed.reduce(0) { $0 + ($1.indices.contains(place) ? $1[place] : 0) })
        })
      plan.rowCount = parts.reduce(0) { $0 + $1.header.rows }
    }
    if case .label(let key) = plan.grouping.facet, parts.contains(where: { $0.header.values != nil }) {
      plan.tokenLabels = [key: values]
      plan.takeTokenLabel()
    }
    if plan.grouping.facet?.isOfTokenIDs == true {
      let words = try parts.reduce(into: [Int32: String]()) { words, part in words.merge(try part.words()) { first, _ in first } }
      plan.words = { words[$0] }
    }
    return plan
  }

  /// Values of the label of single tokens that is the axis, over all parts.
  private var values: [String] { Set(parts.flatMap { $0.header.values ?? [] }).sorted() }

  /// All parts, added up.
  ///
  /// - Throws: `FormatError` for columns that `fold` did not leave.
  func analysis(_ plan: AnalysisPlan) throws -> RunAnalysis {
    var analysis = try RunAnalysis(plan)
    let numbers = Dictionary(uniqueKeysWithValues: values.enumerated().map { ($1, Int32($0)) })
    var first = 0
    for part in parts {
      let header = part.header
      let place = PartPlace(
        sequences: Array(first..<first + header.sequences.count), labels: (header.values ?? []).map { numbers[$0] ?? -1 })
      do { try analysis.add(part.columns, routers: header.run.routers.map(\.id), at: place) } catch {
        throw FormatError.value(file: part.path, path: error.column, expected: error.expected, found: error.found)
      }
      first += header.sequences.count
    }
    return analysis
  }
}

extension AskedQuestion {
  /// Options and what they were, for what is said of two that differ.
  fileprivate var words: [(name: String, value: String)] {
    [
      ("--metric", metrics.joined(separator: ",")), ("--by", by), ("--layer", layers ?? "all"), ("--filter", filter ?? "none"),
      ("--threshold", threshold), ("--as", form), ("--noise", "\(noise)"),
    ]
  }
}

extension PartFile {
  private static let wordColumns = ("words.ids", "words.lengths", "words.bytes")

  /// Keeps what entries of the vocabulary stand for.
  mutating func keep(_ words: [Int32: String]) {
    let all = words.sorted { $0.key < $1.key }
    var columns = columns.columns
    columns[Self.wordColumns.0] = .ids(all.map(\.key))
    columns[Self.wordColumns.1] = .counts(all.map { UInt32($0.value.utf8.count) })
    columns[Self.wordColumns.2] = .bytes(all.flatMap { Array($0.value.utf8) })
    self.columns = FoldColumns(columns)
  }

  /// - Throws: `FormatError`.
  fileprivate func words() throws -> [Int32: String] {
    guard case .ids(let ids)? = columns.columns[Self.wordColumns.0], case .counts(let lengths)? = columns.columns[Self.wordColumns.1],
      case .bytes(let bytes)? = columns.columns[Self.wordColumns.2], ids.count == lengths.count,
      lengths.reduce(0, { $0 + Int($1) }) == bytes.count
    else { throw FormatError.value(file: path, path: "words", expected: "an entry, a length and so many bytes each", found: "others") }
    var start = 0
    return zip(ids, lengths).reduce(into: [:]) { words, entry in
      words[entry.0] = Show.line(String(decoding: bytes[start..<start + Int(entry.1)], as: UTF8.self))
      start += Int(entry.1)
    }
  }
}
