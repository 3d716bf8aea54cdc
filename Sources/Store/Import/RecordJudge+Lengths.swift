// Does the record have as many rows as its tokens ask for, and are the last of them routes?

import Routing

extension RecordJudge {
  mutating func judgeLengths() throws {
    let shape = record.shape
    if let tokens = request.tokens, tokens.count != shape.sequences.count {
      throw ImportError.sequences(named: tokens.count, found: shape.sequences.count)
    }
    var (padded, paddedOf, short, lost, lostOf, unchecked) = (0, 0, 0, 0, 0, 0)
    for (index, sequence) in shape.sequences.enumerated() {
      var judged = JudgedSequence(index: index, rows: sequence.rows, start: sequence.start ?? 0)
      defer { judgement.sequences.append(judged) }
      if sequence.isTruncated { continue }
      guard let length = request.tokens?[index].count ?? sequence.tokens?.count ?? sequence.tokenCount else {
        unchecked += 1
        continue
      }
      let expected = length - judged.start - shape.omitted
      let surplus = try surplusRows(index, beyond: expected)
      if judged.rows == expected + 1, shape.omitted == 1, surplus >= 1 {
        judged.rows -= 1
        if !shape.appendsRow { (padded, paddedOf) = (padded + 1, paddedOf + sequence.rows) }
      } else if shape.mayOmit > 0, judged.rows < expected, judged.rows >= expected - shape.mayOmit {
        continue
      } else if judged.rows == expected - shape.mayOmit - 1 {
        short += 1
      } else if judged.rows > expected, surplus == judged.rows - expected, shape.omitted == 1 {
        (padded, paddedOf) = (padded + surplus - (shape.appendsRow ? 1 : 0), paddedOf + sequence.rows)
        judged.rows = max(expected, 0)
      } else if judged.rows != expected && judged.rows != expected + shape.omitted {
        (lost, lostOf) = (lost + judged.rows, lostOf + judged.rows)
        judged.isLost = true
      }
    }
    if padded > 0 { say(.padded, nil, padded, of: paddedOf, "rows were appended for tokens that no router saw: they were left out") }
    if short > 0 {
      say(.missingLast, nil, short, of: shape.sequences.count, "sequences lack the row of their last token that the format has")
    }
    if lost > 0 {
      say(.lengthMismatch, nil, lost, of: lostOf, "rows of sequences that are not as long as their tokens: where they belong is not known")
    }
    if unchecked > 0 {
      note(
        .lengthUnchecked,
        "the tokens of \(unchecked) of \(shape.sequences.count) sequences are not known, so that their rows were not counted")
    }
    if shape.omitted == 1 || lacksLast { note(.noLastToken, "the format has no row for the last token of a sequence") }
  }

  /// Whether a sequence ends before its last token, which its format may do.
  private var lacksLast: Bool {
    guard record.shape.mayOmit > 0 else { return false }
    return zip(judgement.sequences, record.shape.sequences).contains { judged, sequence in
      guard let length = request.tokens?[judged.index].count ?? sequence.tokens?.count ?? sequence.tokenCount else { return false }
      let expected = length - judged.start - record.shape.omitted
      return judged.rows < expected && judged.rows >= expected - record.shape.mayOmit
    }
  }

  /// How many of the rows behind `expected` are of those that trainers append: all of them 0…k-1, or the one of them zeros, a copy of the row
  /// before, or a count through all cells.
  private func surplusRows(_ index: Int, beyond expected: Int) throws -> Int {
    let rows = record.shape.sequences[index].rows
    guard record.shape.content == .ids, expected >= 0, rows > expected, rows - expected <= 1 << 20 else { return 0 }
    let from = max(expected - 1, 0)
    let block = try record.rows(from..<rows, of: index)
    let widths = columns.widths
    let slots = record.shape.columns.map(\.slots)
    func row(_ place: Int, _ column: Int) -> ArraySlice<Int32> {
      let start = (place - from) * slots[column]
      return block.columns[column].ids[start..<start + widths[column]]
    }
    func isCount(_ place: Int) -> Bool { widths.indices.allSatisfy { row(place, $0).elementsEqual((0..<widths[$0]).map(Int32.init)) } }
    if (expected..<rows).allSatisfy(isCount) { return rows - expected }
    guard rows == expected + 1 else { return 0 }
    if widths.indices.allSatisfy({ row(expected, $0).allSatisfy { $0 == 0 } }) { return 1 }
    if expected > 0, widths.indices.allSatisfy({ row(expected, $0).elementsEqual(row(expected - 1, $0)) }) { return 1 }
    if let experts = experts(of: nil) {
      var cell = 0
      var isRunning = true
      for column in widths.indices {
        for id in row(expected, column) {
          if Int(id) != cell % experts { isRunning = false }
          cell += 1
        }
      }
      if isRunning { return 1 }
    }
    return 0
  }
}
