// A row of the page table back to a RoutingBatch. The file is not trusted: the length of every column is checked against the shape
// that the router's row declares before a byte of it is read, every id against the expert count, and all bytes against the checksum.

import Formats
import Foundation
import GRDB
import Routing

/// A router as the trace stores it: what is needed to read its pages.
struct StoredRouter: Sendable, Equatable {
  let run: Int64
  let row: Int64
  let id: RouterID
  let layout: PageLayout
  /// Tokens of the longest page.
  let pageTokens: Int
}

/// Place and extent of one row of the page table.
struct PageSpan: Equatable {
  let row: Int64
  let tokens: Range<Int>
}

enum PageRow {
  static let insertSQL = """
    INSERT INTO page (router, first_token, token_count, squared_lse, absent, dropped, ids, weights,
      entropy, selection_margin, top1_margin, top_k_mass, importance, logit_rows, logits, checksum, decision_checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """

  static let insertExtraSQL = "INSERT INTO page_extra (page, norms, shared_weight, shared_norm) VALUES (?, ?, ?, ?)"

  /// Blobs without logits, in the order of the columns.
  fileprivate static let decisionColumns = [
    "absent", "dropped", "ids", "weights", "entropy", "selection_margin", "top1_margin", "top_k_mass", "importance",
  ]
  fileprivate static let logitColumns = ["logit_rows", "logits"]
  /// What few pages have, in a table of its own.
  fileprivate static let extraColumns = ["norms", "shared_weight", "shared_norm"]

  private static let selectDecisions = select(decisionColumns)
  private static let selectAll = select(decisionColumns + logitColumns)

  private static func select(_ columns: [String]) -> String {
    """
    SELECT squared_lse, \((columns + extraColumns).joined(separator: ", ")), checksum, decision_checksum
    FROM page LEFT JOIN page_extra ON page_extra.page = page.id WHERE page.id = ?
    """
  }

  /// The decisions of one row, whole.
  ///
  /// - Throws: `StoreError.damaged`.
  static func batch(_ db: Database, _ span: PageSpan, of router: StoredRouter, withLogits: Bool, file: String) throws -> RoutingBatch {
    let withLogits = withLogits && router.layout.logitBytes > 0
    let statement = try db.cachedStatement(sql: withLogits ? selectAll : selectDecisions)
    guard let row = try Row.fetchOne(statement, arguments: [span.row]) else { throw damaged(span, of: router, file: file, "it vanished") }
    let reader = PageReader(row: row, span: span, router: router, file: file)
    let batch = try reader.batch(withLogits: withLogits)
    try reader.verify(withLogits: withLogits)
    return batch
  }

  /// Damage of a page, by run, router and first token.
  static func damaged(_ span: PageSpan, of router: StoredRouter, file: String, _ problem: String) -> StoreError {
    .damaged(
      file: file, place: "run \(router.run), router \(router.id), page of \(span.tokens.count) tokens at \(span.tokens.lowerBound)",
      problem: problem)
  }
}

private struct PageReader {
  let row: Row
  let span: PageSpan
  let router: StoredRouter
  let file: String

  func damaged(_ problem: String) -> StoreError { PageRow.damaged(span, of: router, file: file, problem) }

  /// Compares the bytes that were read with the checksum that was stored with them; pages of an older moetop have none.
  func verify(withLogits: Bool) throws {
    let expected: (page: Int64?, decisions: Int64?) = (try row.value("checksum"), try row.value("decision_checksum"))
    if expected.page == nil && expected.decisions == nil { return }
    var sum = CRC32()
    func add(_ columns: [String]) throws { for name in columns { try row.withUnsafeData(named: name) { sum.add($0) } } }
    try add(PageRow.decisionColumns)
    if let stored = expected.decisions {
      let squares: Double = try row.value("squared_lse") ?? .nan
      let plain = sum
      try add(PageRow.extraColumns)
      try require(stored, PageChecksum.decisions(after: sum, tokens: span.tokens, squaredLogSumExp: squares))
      sum = plain
    }
    // Without the logits' bytes the rest cannot be told.
    guard let stored = expected.page, withLogits || router.layout.logitBytes == 0 else { return }
    if withLogits { try add(PageRow.logitColumns) }
    try add(PageRow.extraColumns)
    try require(stored, sum.value)
  }

  private func require(_ stored: Int64, _ found: UInt32) throws {
    guard stored != Int64(found) else { return }
    throw damaged("its checksum is \(found), expected \(stored): these are not the bytes that were recorded")
  }

  /// Floats of a column that is f32, or f16 with single pages of f32.
  private func floats(_ name: String, count: Int, byteCount: Int) throws -> [Float]? {
    try row.withUnsafeData(named: name) { data in
      guard let data else { return nil }
      let isWide = data.count == 4 * count
      guard isWide || data.count == byteCount * count else {
        throw damaged("column \(name) has \(data.count) bytes, expected \(byteCount * count)")
      }
      return data.withUnsafeBytes { PackedColumns.floats($0, as: isWide ? 4 : byteCount) }
    }
  }

  /// Hands the bytes of column `name` to `body` when it is there and has the right length.
  private func column<Result>(_ name: String, bytes expected: Int, _ body: (UnsafeRawBufferPointer) -> Result) throws -> Result? {
    try row.withUnsafeData(named: name) { data in
      guard let data else { return nil }
      guard data.count == expected else { throw damaged("column \(name) has \(data.count) bytes, expected \(expected)") }
      return data.withUnsafeBytes(body)
    }
  }

  func batch(withLogits: Bool) throws -> RoutingBatch {
    let layout = router.layout
    let count = span.tokens.count
    // Nothing is allocated before the first column has proven the shape.
    let (most, overflow) = count.multipliedReportingOverflow(by: layout.topK)
    guard !overflow, most <= 1 << 32 else { throw damaged("\(count) tokens of \(layout.topK) experts") }
    let width = try width(count)
    let slots = count * width
    guard let ids = try column("ids", bytes: slots * layout.idBytes, { PackedColumns.integers($0, as: layout.idBytes) }) else {
      throw damaged("column ids is missing")
    }
    if let wrong = ids.first(where: { $0 < 0 || Int($0) >= layout.expertCount }) {
      throw damaged("expert \(wrong), expected 0..<\(layout.expertCount)")
    }
    var batch = RoutingBatch(
      router: router.id, expertCount: layout.expertCount, topK: width, firstToken: span.tokens.lowerBound, count: count)
    batch.selectedExperts = ids
    let weights =
      layout.weightBytes == 0 ? nil : try floats("weights", count: slots, byteCount: layout.weightBytes)
    batch.routingWeights = weights ?? Array(repeating: .nan, count: slots)
    if let absent = try column("absent", bytes: (slots + 7) / 8, { PackedColumns.flags($0, count: slots) }) {
      for slot in 0..<slots where absent[slot] {
        batch.selectedExperts[slot] = -1
        if weights == nil { batch.routingWeights[slot] = 0 }
      }
    }
    batch.dropped = try column("dropped", bytes: (slots + 7) / 8) { PackedColumns.flags($0, count: slots) }

    func statistic(_ name: String) throws -> [Float] {
      try column(name, bytes: 4 * count) { PackedColumns.floats($0, as: 4) } ?? Array(repeating: .nan, count: count)
    }
    batch.routerEntropy = try statistic("entropy")
    batch.selectionMargin = try statistic("selection_margin")
    batch.top1Margin = try statistic("top1_margin")
    batch.topKMass = try statistic("top_k_mass")
    batch.importanceSum = try column("importance", bytes: 8 * layout.expertCount, PackedColumns.doubles) ?? []
    batch.squaredLogSumExpSum = try row.value("squared_lse") ?? .nan
    batch.expertNorms = try column("norms", bytes: 4 * slots) { PackedColumns.floats($0, as: 4) }
    batch.sharedWeight = try column("shared_weight", bytes: 4 * count) { PackedColumns.floats($0, as: 4) }
    batch.sharedNorm = try column("shared_norm", bytes: 4 * count) { PackedColumns.floats($0, as: 4) }
    if withLogits { batch.logits = try logits() }
    return batch.widened(to: layout.topK)
  }

  /// Slots of a token on this page: the router's, or fewer where none of its tokens fills them.
  private func width(_ count: Int) throws -> Int {
    let layout = router.layout
    let bytes = try row.withUnsafeData(named: "ids") { $0?.count ?? 0 }
    let (width, rest) = bytes.quotientAndRemainder(dividingBy: max(1, count * layout.idBytes))
    guard rest == 0, (1...layout.topK).contains(width) else {
      throw damaged("column ids has \(bytes) bytes, expected \(count * layout.topK * layout.idBytes), or fewer for each of \(count) tokens")
    }
    return width
  }

  private func logits() throws -> RouterLogits? {
    let layout = router.layout
    if layout.logitBytes == 0 { return nil }
    let count = span.tokens.count
    let rows: [Int32] = try row.withUnsafeData(named: "logit_rows") { data in
      guard let data else { return (0..<Int32(count)).map { $0 } }
      guard data.count % 4 == 0, data.count / 4 <= count else { throw damaged("column logit_rows has \(data.count) bytes") }
      return data.withUnsafeBytes { PackedColumns.integers($0, as: 4) }
    }
    guard rows.isRising(within: count) else {
      throw damaged("column logit_rows is not rising within 0..<\(count)")
    }
    guard let values = try floats("logits", count: rows.count * layout.expertCount, byteCount: layout.logitBytes) else { return nil }
    return RouterLogits(rows: rows, values: values)
  }
}

extension [Int32] {
  /// Whether the numbers rise strictly and lie in `0..<count`.
  func isRising(within count: Int) -> Bool {
    var previous: Int32 = -1
    for number in self {
      if number <= previous || Int(number) >= count { return false }
      previous = number
    }
    return true
  }
}
