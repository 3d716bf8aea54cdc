// How do programs hand over routing that no engine's format fits? By lines of our own: the first names the routers, every other is a row with the
// decisions of each, its token, its labels and its coordinates. Rows of a sequence follow each other by position, not by line.

import Formats
import Routing

/// A line a row: `{"sequence","position","token_id","text","labels","coordinates","request","rank","ffn.0":{"ids","weights","logits"}}`.
///
/// `ids` that are null, and a router that a row does not have, are routes that are not known; rows may take fewer experts than there are slots
/// where their rule lets them. A label that all rows of a sequence have alike is one of the sequence.
final class MoetopLinesReader: ForeignRecord {
  let shape: ForeignShape

  private let files: [JSONLines]
  private let header: MoetopLinesHeader
  private let routers: [String: Int]
  private let sequences: [MoetopLinesSurvey.Sequence]

  static func recognises(_ path: String) -> Bool { JSONLines.firstKeys(path).isSuperset(of: ["moetop", "routers"]) }

  /// - Parameter files: with the same first line; sequences of different files are different ones.
  /// - Throws: `FormatError`
  init(files paths: [String], request: ImportRequest) throws {
    files = try paths.map { try JSONLines($0) }
    header = try files[0].read(0) { (line) throws(FormatError) in try MoetopLinesHeader(line) }
    routers = Dictionary(uniqueKeysWithValues: header.routers.enumerated().map { ($1.id.description, $0) })
    var survey = MoetopLinesSurvey(header, routers)
    for (number, file) in files.enumerated() {
      guard try file.read(0, { (line) throws(FormatError) in try MoetopLinesHeader(line) }) == header else {
        throw FormatError.malformed(
          file: file.path, place: "line 1", problem: "expected the row and routers of \(files[0].path), found others",
          hint: "all files of a call are one run")
      }
      try survey.add(file, number, stem: ForeignName.stem(paths[number]), isAlone: paths.count == 1)
    }
    sequences = survey.sequences
    shape = survey.shape(cut: ImportFinding.cutLines(files))
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let known = sequences[sequence]
    var rows = ForeignRows(
      count: range.count,
      columns: shape.columns.map { ForeignDecisions(ids: [], weights: $0.hasWeights ? [] : nil, logits: $0.hasLogits ? [] : nil) })
    var (tokens, positions): ([Int32], [Int32]) = ([], [])
    var facts = TokenFacts(count: range.count)
    for run in known.runs[known.run(of: range.lowerBound)...].prefix(while: { $0.firstRow < range.upperBound }) {
      for row in range.clamped(to: run.firstRow..<run.firstRow + run.count) {
        let offset = row - run.firstRow
        positions.append(Int32(clamping: run.firstPosition + offset))
        try files[known.file].read(run.firstLine + offset) { (json) throws(FormatError) in
          let line = try MoetopLine(json, routers: routers)
          tokens.append(line.token ?? -1)
          if let text = line.text, let token = line.token { rows.texts[token] = Array(text.utf8) }
          for (label, value) in try line.labels() where known.labels[label] == nil {
            facts.setLabel(label, value, of: row - range.lowerBound)
          }
          for (name, value) in try line.coordinates() { facts.setCoordinate(name, value, of: row - range.lowerBound) }
          if let request = line.request { facts.setRequest(request, of: row - range.lowerBound) }
          if let rank = line.rank { facts.setRank(rank, of: row - range.lowerBound) }
          for column in shape.columns.indices { try append(line, column, to: &rows.columns[column]) }
        }
      }
    }
    guard tokens.count == range.count else { throw FormatError.changed(file: files[known.file].path) }
    if known.hasGaps { rows.positions = positions }
    if known.hasTokens { rows.tokens = tokens }
    if !facts.isEmpty { rows.facts = facts }
    return rows
  }

  /// Appends one row of a router.
  private func append(_ line: MoetopLine, _ router: Int, to decisions: inout ForeignDecisions) throws(FormatError) {
    let slots = shape.columns[router].slots
    let width = try line.count("ids", of: router)
    let isTaken = width.map { header.routers[router].allows($0) && $0 <= slots } ?? false
    let taken = isTaken ? width ?? 0 : 0
    if isTaken { try line.appendIDs(of: router, to: &decisions.ids) }
    if isTaken, taken == 0 { decisions.ids.append(ForeignDecisions.none) }
    decisions.ids.append(contentsOf: repeatElement(-1, count: slots - taken - (isTaken && taken == 0 ? 1 : 0)))
    if decisions.weights != nil {
      let weights = try width.flatMap { (count) throws(FormatError) in
        try line.numbers("weights", of: router, count: count, "weights, one for each id")
      }
      if isTaken, let weights {
        decisions.weights? += weights
        decisions.weights?.append(contentsOf: repeatElement(0, count: slots - taken))
      } else {
        decisions.weights?.append(contentsOf: repeatElement(.nan, count: slots))
      }
    }
    if decisions.logits != nil {
      let experts = header.routers[router].experts
      let logits = try line.numbers("logits", of: router, count: experts, "logits, one for each expert", mayBeInfinite: true)
      decisions.logits?.append(contentsOf: logits ?? Array(repeating: .nan, count: experts))
    }
  }
}

extension MoetopLinesHeader.Router {
  /// Whether a row may take so many experts.
  func allows(_ width: Int) -> Bool { fillsSlots == true ? width == topK : width <= topK }
}
