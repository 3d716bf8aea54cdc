// What a filter leaves of a comparison. It is asked about A alone: whether a decision of B passed would depend on what B decided, and two runs
// that are compared only where both chose an expert agree by construction. Tokens are the same in both.

import Routing

/// Rows of a comparison whose decisions of A pass.
struct FilteredPairs: Sendable {
  /// What was left of what was compared.
  struct Tally: Sendable, Equatable {
    var decisions = 0
    var passing = 0
    var tokens = 0
    /// Tokens of which one decision passes, and the pairs of texts they stand in.
    var shown = 0
    var texts: Set<Int> = []
  }

  private(set) var tally = Tally()
  private let filter: ResolvedFilter
  private let routers: Set<RouterID>
  /// The last pass of A and what is left of it: neighbouring stretches are of one pass.
  private var known: (selection: FilterSelection, whole: RoutingPass, left: RoutingPass)?

  init(_ filter: ResolvedFilter, routers: [RouterPair]) {
    self.filter = filter
    self.routers = Set(routers.map(\.a.id))
  }

  /// The same rows with A's decisions that pass, and the stretches of tokens of which one does.
  ///
  /// - Parameter counts: whether they are of the answer.
  mutating func left(of rows: PairedRows, counts: Bool) -> (decisions: PairedRows, tokens: [PairedRows]) {
    let (selection, whole, left) = selected(rows.a)
    let first = rows.place.rowA - whole.tokens.firstToken
    let stretches = Array(selection.tokens[first..<first + rows.place.count]).stretches
    if counts { count(selection, whole, rows.place, stretches) }
    let decisions = PairedRows(a: left, b: rows.b, place: rows.place)
    return (
      decisions,
      stretches.map { stretch in
        var place = rows.place
        place.rowA += stretch.lowerBound
        place.rowB += stretch.lowerBound
        place.count = stretch.count
        return PairedRows(a: left, b: rows.b, place: place)
      }
    )
  }

  private mutating func selected(_ pass: RoutingPass) -> (FilterSelection, RoutingPass, RoutingPass) {
    if let known, known.whole.tokens.firstToken == pass.tokens.firstToken, known.whole.tokens.count == pass.tokens.count {
      return (known.selection, known.whole, known.left)
    }
    let own = RoutingPass(tokens: pass.tokens, batches: pass.batches.filter { routers.contains($0.router) })
    let selection = filter.selection(of: own)
    let left = own.selecting(selection)
    known = (selection, own, left)
    return (selection, own, left)
  }

  private mutating func count(_ selection: FilterSelection, _ pass: RoutingPass, _ place: AlignedStretch, _ stretches: [Range<Int>]) {
    for (batch, own) in zip(pass.batches, selection.decisions) {
      let first = max(0, place.rowA - batch.firstToken)
      let end = min(batch.count, place.rowA + place.count - batch.firstToken)
      guard first < end else { continue }
      tally.decisions += end - first
      tally.passing += own[first..<end].count { $0 }
    }
    tally.tokens += place.count
    tally.shown += stretches.reduce(0) { $0 + $1.count }
    if !stretches.isEmpty { tally.texts.insert(place.text) }
  }

  mutating func merge(_ other: FilteredPairs) {
    tally.decisions += other.tally.decisions
    tally.passing += other.tally.passing
    tally.tokens += other.tally.tokens
    tally.shown += other.tally.shown
    tally.texts.formUnion(other.tally.texts)
  }
}
