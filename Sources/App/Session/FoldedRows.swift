// What was folded is not folded again: a frame asks several times for the same stretch of a run, and the next one for nearly the same.
// Answers are kept beside the run, by what they are about; whoever asks for something else gets it computed.

import Routing
import Synchronization

/// Numbers that are given once.
enum Versions {
  private static let last = Atomic<Int>(0)

  static func next() -> Int { last.add(1, ordering: .relaxed).newValue }
}

/// The last answer to a question, where asking twice is dear and the same question has the same answer.
final class Memo<Question: Equatable & Sendable, Answer: Sendable>: Sendable {
  private let kept = Locked<(question: Question, answer: Answer)?>(nil)

  /// The answer, computed where the last question was another one.
  func answer(_ question: Question, _ compute: (Question) -> Answer) -> Answer {
    if let known = kept.withLock({ $0 }), known.question == question { return known.answer }
    let answer = compute(question)
    kept.withLock { $0 = (question, answer) }
    return answer
  }
}

/// Tallies of the stretch that was asked for last, and of the rows at its ends.
final class FoldedRows: Sendable {
  struct Question: Equatable, Sendable {
    /// Of the buffer's decisions.
    var version: Int
    var rows: Range<Int>
    var withImportance: Bool
  }

  private let last = Memo<Question, [RouterTally]>()
  private let pieces = Pieces()

  func tallies(_ question: Question, _ compute: (Question, Pieces) -> [RouterTally]) -> [RouterTally] {
    last.answer(question) { question in
      defer { if question.withImportance { pieces.forget(but: question.rows) } }
      return compute(question, pieces)
    }
  }

  /// Sums of router probabilities by router over pieces of eight rows, and over single rows where a stretch begins or ends within one.
  /// Rows of a run never change, so a piece stays true while the run grows.
  final class Pieces: Sendable {
    private static let length = 8
    /// Doubles that are kept at most: what a window of many experts moves over, not the run.
    private static let limit = 4 << 20

    private struct Key: Hashable {
      var router: Int
      var rows: Range<Int>
    }

    private let kept = Locked<[Key: [Double]]>([:])

    /// - Parameter compute: the sum over some rows; nil where one has none.
    func sum(router: Int, rows: Range<Int>, of compute: (Range<Int>) -> [Double]?) -> [Double]? {
      var total: [Double] = []
      var start = rows.lowerBound
      while start < rows.upperBound {
        let isWhole = start % Self.length == 0 && start + Self.length <= rows.upperBound
        let key = Key(router: router, rows: start..<start + (isWhole ? Self.length : 1))
        guard let sums = value(key, compute) else { return nil }
        if total.isEmpty {
          total = sums
        } else {
          for expert in sums.indices { total[expert] += sums[expert] }
        }
        start = key.rows.upperBound
      }
      return total
    }

    private func value(_ key: Key, _ compute: (Range<Int>) -> [Double]?) -> [Double]? {
      if let known = kept.withLock({ $0[key] }) { return known }
      guard let sums = key.rows.count > 1 ? sum(ofSingles: key, compute) : compute(key.rows) else { return nil }
      kept.withLock { $0[key] = sums }
      return sums
    }

    /// Where single rows of a piece are known, the others are asked for alone; else all at once.
    private func sum(ofSingles piece: Key, _ compute: (Range<Int>) -> [Double]?) -> [Double]? {
      let singles = piece.rows.map { Key(router: piece.router, rows: $0..<$0 + 1) }
      let known = kept.withLock { kept in singles.count { kept[$0] != nil } }
      guard known > 0 else { return compute(piece.rows) }
      var total: [Double] = []
      for single in singles {
        guard let sums = value(single, compute) else { return nil }
        if total.isEmpty { total = sums } else { for expert in sums.indices { total[expert] += sums[expert] } }
      }
      return total
    }

    /// Keeps what lies in or near a stretch, and nothing where that is much.
    func forget(but rows: Range<Int>) {
      let near = rows.lowerBound - 2 * Self.length..<rows.upperBound + 2 * Self.length
      kept.withLock { kept in
        if kept.values.reduce(0, { $0 + $1.count }) > Self.limit { kept = kept.filter { near.overlaps($0.key.rows) } }
        if kept.values.reduce(0, { $0 + $1.count }) > 2 * Self.limit { kept = [:] }
      }
    }
  }
}
