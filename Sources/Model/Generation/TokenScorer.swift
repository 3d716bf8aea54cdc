// What the model thought of given tokens: surprisal of each and entropy of what may follow, computed from the output head in blocks
// so that memory stays small for large vocabularies.

import CKernels
import Routing

/// Scores the rows of the last pass of one sequence.
struct TokenScorer {
  /// What was computed so far.
  private(set) var outputs = OutputTally()
  /// Surprisal of the token after the last row scored, nats: it belongs to the first token of the next pass. nil: that begins the sequence.
  private var pending: Float?
  private var summaries: [mt_logits_summary] = []
  /// The most probable next token behind each row of the last pass, of equals the lowest id.
  var best: [Int32] { summaries.map { Int32($0.argmax) } }
  /// `[tokens, hiddenSize]`: final states of another reading of the same tokens, which was one pass as this one is; empty: none.
  private let reference: [Float]
  /// How far the outputs are from those of the reference.
  private(set) var divergence = OutputDivergence()

  init(reference: [Float] = []) { self.reference = reference }

  /// Fills surprisal, next-token entropy and the tally of a pass.
  ///
  /// - Parameters:
  ///   - tokens: the pass's tokens.
  ///   - following: the token after them; nil at the end of the sequence.
  ///   - predicts: whether the id of the largest logit is wanted too.
  mutating func score(
    _ forward: ForwardPass, tokens: ArraySlice<Int32>, following: Int32?, predicts: Bool = false, into table: inout TokenTable
  ) {
    let count = tokens.count
    let vocabulary = forward.model.vocabularySize
    // Even blocks: the head's weights are read, and widened, once for each.
    let most = max(1, (8 << 20) / vocabulary)
    let blocks = max(1, (count + most - 1) / most)
    let block = max(1, (count + blocks - 1) / blocks)
    summaries.removeAll(keepingCapacity: true)
    summaries.append(contentsOf: repeatElement(mt_logits_summary(), count: count))
    let targets = Array(tokens.dropFirst()) + [following ?? -1]
    for start in stride(from: 0, to: count, by: block) {
      let rows = start..<min(count, start + block)
      let logits = forward.logits(rows)
      guard let base = logits.baseAddress else { continue }
      summaries.withUnsafeMutableBufferPointer { out in
        guard let out = out.baseAddress else { return }
        forward.pool.forEachRow(of: rows.count, cost: 8 * vocabulary) { part in
          for row in part {
            let target = targets[start + row]
            mt_logits_summary_of(out + start + row, base + row * vocabulary, vocabulary, target < 0 ? .max : Int(target))
          }
        }
      }
      // The last row is scored by nothing.
      let scored = rows.clamped(to: 0..<count - 1)
      if !reference.isEmpty, !scored.isEmpty {
        divergence.add(
          OutputRows(logits: base, first: start, summaries: summaries), from: forward.logits(scored, of: reference), of: scored,
          forward.pool)
      }
    }
    let surprisal = (pending.map { [$0] } ?? []) + summaries.dropLast().map(\.surprisal)
    if pending == nil { table.surprisal.append(.nan) }
    table.surprisal += surprisal
    table.nextTokenEntropy += summaries.map(\.entropy)
    if predicts { table.predictedID = summaries.map(\.predicted) }
    var tally = OutputTally()
    (tally.rows, tally.notFiniteRows) = (count, summaries.count { $0.is_finite == 0 })
    (tally.scores, tally.notFiniteScores) = (surprisal.count, surprisal.count { !$0.isFinite })
    table.outputs += tally
    outputs += tally
    pending = following == nil ? nil : summaries[count - 1].surprisal
  }
}

extension mt_logits_summary {
  /// The id of the largest logit; -1 where no logit is a number.
  var predicted: Int32 { max.isNaN ? -1 : Int32(argmax) }
}
