// What did the tokens cost either model? Surprisals of the same tokens in both runs, by text, because the tokens of one text are not
// independent and the difference is judged by leaving texts out.

import Routing

/// Surprisals of tokens that have one in both runs.
///
/// - Memory: 40 bytes a text.
struct PairedLosses: Sendable {
  /// Sums in nats; equal counts.
  private struct Sums: Sendable {
    var a = MeanSum()
    var b = MeanSum()
    var change = MeanSum()
  }
  private var texts: [Int: Sums] = [:]

  mutating func add(_ rows: PairedRows) {
    let (startA, startB) = (rows.place.rowA - rows.a.tokens.firstToken, rows.place.rowB - rows.b.tokens.firstToken)
    for index in 0..<rows.place.count {
      let (a, b) = (rows.a.tokens.surprisal[startA + index], rows.b.tokens.surprisal[startB + index])
      guard a.isFinite, b.isFinite else { continue }
      add(Double(a), Double(b), text: rows.place.text)
    }
  }

  private mutating func add(_ a: Double, _ b: Double, text: Int) {
    texts[text, default: Sums()].a.addOne(a)
    texts[text, default: Sums()].b.addOne(b)
    texts[text, default: Sums()].change.addOne(b - a)
  }

  mutating func merge(_ other: PairedLosses) {
    for (text, sums) in other.texts {
      texts[text, default: Sums()].a += sums.a
      texts[text, default: Sums()].b += sums.b
      texts[text, default: Sums()].change += sums.change
    }
  }

  /// Tokens scored in both runs.
  var tokens: Int { texts.values.reduce(0) { $0 + $1.change.count } }
  /// Nats a token; nil without a scored token.
  var a: Double? { mean(\.a) }
  var b: Double? { mean(\.b) }
  /// B's minus A's.
  var change: Double? { mean(\.change) }
  /// Of the change, by leaving out one text at a time.
  var interval: Interval? { Jackknife.interval(sums: inOrder.map(\.change)) }

  private var inOrder: [Sums] { texts.sorted { $0.key < $1.key }.map(\.value) }
  private func mean(_ part: KeyPath<Sums, MeanSum>) -> Double? {
    inOrder.reduce(into: MeanSum()) { $0 += $1[keyPath: part] }.mean
  }
}
