// The values of a label as cells of an axis: each its own, up to a number beyond which nothing could be read off them and tables would grow
// without bound; the rarest share the last cell then.

/// Which cell each sequence lies in.
struct LabelCells: Sendable {
  /// In the order given; the shared cell last.
  let names: [String]
  let cells: [Int: Int32]
  /// Values in the shared cell; 0 when there is none.
  let pooled: Int

  /// - Parameters:
  ///   - sequences: those that carry the label, with its value and their size.
  ///   - order: which of two values comes first.
  ///   - most: values that get a cell of their own; those with more sequences first, then with more tokens.
  init(_ sequences: [(sequence: Int, value: String, size: Int)], most: Int, by order: (String, String) -> Bool = { $0 < $1 }) {
    var sizes: [String: (sequences: Int, tokens: Int)] = [:]
    for one in sequences {
      sizes[one.value, default: (0, 0)].sequences += 1
      sizes[one.value, default: (0, 0)].tokens += one.size
    }
    var kept = Array(sizes.keys)
    if kept.count > most {
      kept = Array(
        sizes.sorted { ($1.value.sequences, $1.value.tokens, $0.key) < ($0.value.sequences, $0.value.tokens, $1.key) }
          .prefix(most).map(\.key))
    }
    pooled = sizes.count - kept.count
    kept.sort(by: order)
    let cellOf = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, Int32($0)) })
    let shared = Int32(kept.count)
    names = kept + (pooled > 0 ? ["\(pooled) other values"] : [])
    cells = Dictionary(uniqueKeysWithValues: sequences.map { ($0.sequence, cellOf[$0.value] ?? shared) })
  }
}
