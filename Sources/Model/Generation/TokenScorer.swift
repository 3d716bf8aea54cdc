// What the model thought of given tokens: surprisal of each and entropy of what may follow, computed from the output head in blocks
// so that memory stays small for large vocabularies.

import CKernels

/// Scores the rows of the last pass.
struct TokenScorer {
  /// Surprisal of the token after the last row scored, nats: it belongs to the first token of the next pass.
  private(set) var pending = Float.nan
  private var summaries: [mt_logits_summary] = []

  /// Fills surprisal and next-token entropy of a pass.
  ///
  /// - Parameters:
  ///   - tokens: the pass's tokens.
  ///   - following: the token after them; nil at the end of the sequence.
  mutating func score(
    _ forward: ForwardPass, tokens: ArraySlice<Int32>, following: Int32?, surprisal: inout [Float], nextTokenEntropy: inout [Float]
  ) {
    let count = tokens.count
    let vocabulary = forward.model.vocabularySize
    let block = max(1, min(count, (8 << 20) / vocabulary))
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
    }
    surprisal.append(pending)
    surprisal.append(contentsOf: summaries.dropLast().map(\.surprisal))
    nextTokenEntropy.append(contentsOf: summaries.map(\.entropy))
    pending = following == nil ? .nan : summaries[count - 1].surprisal
  }

  /// Forgets the sequence.
  mutating func reset() { pending = .nan }
}
