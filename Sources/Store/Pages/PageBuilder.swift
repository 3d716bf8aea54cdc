// A page in the making: decisions of one router over consecutive tokens, packed as they arrive. The builder also remembers which of
// its tokens are already on disk, in rows ("parts") that shrink like the digits of a binary counter: a slow stream that commits every
// second rewrites each token only log2(page) times and never leaves more than log2(page) rows behind, and the finished page is one row.
// A page whose weights or logits do not fit the f16 that was asked for keeps them as f32: no number becomes infinite here.

import Routing

/// Tokens of a page that already have a row.
struct StoredPart: Equatable {
  var row: Int64
  /// Counted from the page's first token.
  var tokens: Range<Int>
  /// Payload bytes of the row.
  var bytes: Int
  var sums: TokenSums
}

/// What a page knows of its tokens only together.
struct TokenSums: Equatable {
  /// `[expertCount]`: summed router distribution; empty when unknown.
  var importance: [Double] = []
  /// Summed squared log-sum-exp of the logits; NaN when unknown.
  var squaredLogSumExp = 0.0

  mutating func add(_ other: TokenSums) {
    squaredLogSumExp += other.squaredLogSumExp
    if importance.isEmpty {
      importance = other.importance
    } else if importance.count == other.importance.count {
      for expert in importance.indices { importance[expert] += other.importance[expert] }
    }
  }
}

/// A row that a page needs now: its tokens, and how many of the page's last parts it replaces.
struct PendingRow: Equatable {
  var tokens: Range<Int>
  var replaces: Int
}

struct PageBuilder {
  let layout: PageLayout
  let firstToken: Int
  private(set) var count = 0
  private(set) var parts: [StoredPart] = []
  /// Over the tokens that have no row yet; rows begin and end where commits do, so nothing finer is needed.
  private var freshSums = TokenSums()

  private var ids: [UInt8] = []
  private var weights: PackedFloats
  private var entropy: [Float] = []
  private var selectionMargin: [Float] = []
  private var top1Margin: [Float] = []
  private var topKMass: [Float] = []
  /// `[count * topK]` and `[count]`; empty where they are not kept.
  private var norms: [Float] = []
  private var sharedWeight: [Float] = []
  private var sharedNorm: [Float] = []
  /// `[count * topK]`, or empty when no slot was absent (dropped) so far.
  private var absent: [Bool] = []
  private var dropped: [Bool] = []
  /// Counted from the page's first token.
  private var logitRows: [Int32] = []
  private var logits: PackedFloats
  private let knowsImportance: Bool
  private let knowsSquares: Bool

  init(layout: PageLayout, first batch: RoutingBatch) {
    self.layout = layout
    firstToken = batch.firstToken
    weights = PackedFloats(byteCount: layout.weightBytes)
    logits = PackedFloats(byteCount: layout.logitBytes)
    knowsImportance = !batch.importanceSum.isEmpty
    knowsSquares = !batch.squaredLogSumExpSum.isNaN
    append(batch)
  }

  /// Whether `batch` continues this page: the next token, and sums known for both or for neither.
  func continues(with batch: RoutingBatch) -> Bool {
    batch.firstToken == firstToken + count && knowsImportance == !batch.importanceSum.isEmpty
      && knowsSquares == !batch.squaredLogSumExpSum.isNaN
  }

  mutating func append(_ batch: RoutingBatch) {
    let slots = count * layout.topK
    PackedColumns.append(ids: batch.selectedExperts, as: layout.idBytes, to: &ids)
    if layout.weightBytes > 0 { weights.append(batch.routingWeights) }
    entropy += batch.routerEntropy
    selectionMargin += batch.selectionMargin
    top1Margin += batch.top1Margin
    topKMass += batch.topKMass
    if layout.extras.contains(.norms) { norms += batch.expertNorms ?? Array(repeating: .nan, count: batch.count * layout.topK) }
    if layout.extras.contains(.shared) {
      sharedWeight += batch.sharedWeight ?? Array(repeating: .nan, count: batch.count)
      if layout.extras.contains(.norms) { sharedNorm += batch.sharedNorm ?? Array(repeating: .nan, count: batch.count) }
    }
    // The sign is left where one is negative.
    let hasAbsent = batch.selectedExperts.reduce(0, |) < 0
    if hasAbsent || !absent.isEmpty {
      if absent.isEmpty { absent = Array(repeating: false, count: slots) }
      absent += batch.selectedExperts.map { $0 < 0 }
    }
    if batch.dropped != nil || !dropped.isEmpty {
      if dropped.isEmpty { dropped = Array(repeating: false, count: slots) }
      dropped += batch.dropped ?? Array(repeating: false, count: batch.count * layout.topK)
    }
    if layout.logitBytes > 0, let some = batch.logits {
      logitRows += some.rows.map { $0 + Int32(count) }
      logits.append(some.values)
    }
    count += batch.count
    freshSums.add(TokenSums(importance: batch.importanceSum, squaredLogSumExp: batch.squaredLogSumExpSum))
  }

  // MARK: Rows

  /// The row that is due now; nil when all tokens have one.
  ///
  /// - Parameter whole: the page is complete: one row for all of it.
  func pendingRow(whole: Bool) -> PendingRow? {
    let stored = parts.last?.tokens.upperBound ?? 0
    if whole && (stored < count || parts.count > 1) { return PendingRow(tokens: 0..<count, replaces: parts.count) }
    if stored == count { return nil }
    var row = PendingRow(tokens: stored..<count, replaces: 0)
    while row.replaces < parts.count {
      let part = parts[parts.count - 1 - row.replaces]
      if part.tokens.count > row.tokens.count { break }
      row.tokens = part.tokens.lowerBound..<count
      row.replaces += 1
    }
    return row
  }

  /// Rows of the parts that `pending` replaces.
  func replacedRows(_ pending: PendingRow) -> ArraySlice<StoredPart> { parts.suffix(pending.replaces) }

  /// Notes that `pending` is on disk.
  mutating func stored(_ pending: PendingRow, row: Int64, bytes: Int) {
    let sums = sums(of: pending)
    parts.removeLast(pending.replaces)
    parts.append(StoredPart(row: row, tokens: pending.tokens, bytes: bytes, sums: sums))
    freshSums = TokenSums()
  }

  /// Slots that the row of some tokens has for each of them: as many as one of them fills, one at least. Absent slots stand behind the others.
  private func width(of tokens: Range<Int>) -> Int {
    if absent.isEmpty { return layout.topK }
    return absent.withUnsafeBufferPointer { absent in
      var width = 1
      for token in tokens where width < layout.topK {
        let first = token * layout.topK
        while width < layout.topK && !absent[first + width] { width += 1 }
      }
      return width
    }
  }

  private func sums(of pending: PendingRow) -> TokenSums {
    var total = TokenSums()
    for part in replacedRows(pending) { total.add(part.sums) }
    total.add(freshSums)
    return total
  }

  /// A row as it is stored.
  func packed(_ pending: PendingRow) -> PackedPage {
    let tokens = pending.tokens
    let slots = SlotRuns(tokens: tokens, topK: layout.topK, width: width(of: tokens))
    let sums = sums(of: pending)
    let firstRow = logitRows.firstIndex { $0 >= Int32(tokens.lowerBound) } ?? logitRows.count
    let endRow = logitRows[firstRow...].firstIndex { $0 >= Int32(tokens.upperBound) } ?? logitRows.count
    let first = firstToken + tokens.lowerBound
    var page = PackedPage(
      tokens: first..<first + tokens.count, squaredLogSumExp: knowsSquares ? sums.squaredLogSumExp : .nan,
      room: tokens.count * layout.decisionBytes + (endRow - firstRow) * layout.logitRowBytes + sums.importance.count * 8)
    page.add(flags: slots.cut(absent))
    page.add(flags: slots.cut(dropped))
    page.add(slots.cut(ids, each: layout.idBytes), keepsEmpty: true)
    page.add(slots.cut(weights.bytes, each: weights.byteCount))
    for statistic in [entropy, selectionMargin, top1Margin, topKMass] { page.add(statistic: statistic[tokens]) }
    page.add(sums.importance)
    page.endDecisions()
    page.add(statistic: slots.cut(norms))
    for shared in [sharedWeight, sharedNorm] { page.add(statistic: shared.isEmpty ? [] : shared[tokens]) }
    page.endExtras()
    let everyRow = endRow - firstRow == tokens.count
    page.add(rows: everyRow ? [] : logitRows[firstRow..<endRow].map { $0 - Int32(tokens.lowerBound) })
    page.add(logits.bytes(of: firstRow * layout.expertCount..<endRow * layout.expertCount))
    return page
  }
}

/// The slots of some tokens that a row keeps: the first `width` of each.
private struct SlotRuns {
  let tokens: Range<Int>
  let topK: Int
  let width: Int

  /// Of a column of `each` values a slot; an empty one stays empty.
  func cut<Value>(_ values: [Value], each: Int = 1) -> ArraySlice<Value> {
    if values.isEmpty { return [] }
    let stride = topK * each
    if width == topK { return values[tokens.lowerBound * stride..<tokens.upperBound * stride] }
    var cut: [Value] = []
    cut.reserveCapacity(tokens.count * width * each)
    for token in tokens { cut += values[token * stride..<token * stride + width * each] }
    return cut[...]
  }
}
