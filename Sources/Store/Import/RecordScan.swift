// Every row of a record once, piece by piece, and what the rows of each router add up to. Memory is that of one piece.

import Routing

enum RecordScan {
  /// Bytes of ids that are held at once.
  private static let pieceBytes = 8 << 20

  /// - Parameter body: number of the sequence in `sequences`, its first row, and the rows.
  static func forEach(
    _ record: any ForeignRecord, _ sequences: [JudgedSequence], _ body: (Int, Int, ForeignRows) throws -> Void
  ) throws {
    let width = record.shape.columns.reduce(1) { $0 + 4 * ($1.slots + ($1.hasLogits ? $1.experts ?? 0 : 0)) }
    let step = min(max(1, pieceBytes / width), 4096)
    for (number, sequence) in sequences.enumerated() {
      var row = 0
      while row < sequence.rows {
        let end = min(sequence.rows, row + step)
        try body(number, row, try record.rows(row..<end, of: sequence.index))
        row = end
      }
    }
  }
}

/// Rows that something was found at: how many, and the first.
struct FoundRows {
  private(set) var count = 0
  private(set) var first: [Int] = []

  mutating func add(_ row: Int) {
    count += 1
    if first.count < ImportFinding.firstKept { first.append(row) }
  }
}
