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

  private static let selectDecisions = select(PageBlob.decisions + PageBlob.extras)
  private static let selectAll = select(PageBlob.allCases)

  private static func select(_ blobs: [PageBlob]) -> String {
    """
    SELECT squared_lse, checksum, decision_checksum, \(blobs.map(\.name).joined(separator: ", "))
    FROM page LEFT JOIN page_extra ON page_extra.page = page.id WHERE page.id = ?
    """
  }

  /// The decisions of one row, whole.
  ///
  /// - Throws: `StoreError.damaged`.
  static func batch(_ db: Database, _ span: PageSpan, of router: StoredRouter, withLogits: Bool, file: String) throws -> RoutingBatch {
    let withLogits = withLogits && router.layout.logitBytes > 0
    let row = try RowSteps(db, withLogits ? selectAll : selectDecisions, span.row)
    defer { row.end() }
    guard try row.next() else { throw damaged(span, of: router, file: file, "it vanished") }
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

/// Blobs of a page, in the order in which they are read.
private enum PageBlob: Int, CaseIterable {
  case absent, dropped, ids, weights, entropy, selectionMargin, top1Margin, topKMass, importance
  /// What few pages have, in a table of its own.
  case norms, sharedWeight, sharedNorm
  case logitRows, logits

  static let decisions = [absent, dropped, ids, weights, entropy, selectionMargin, top1Margin, topKMass, importance]
  static let extras = [norms, sharedWeight, sharedNorm]
  static let ofLogits = [logitRows, logits]

  /// In the tables.
  var name: String {
    switch self {
    case .selectionMargin: "selection_margin"
    case .top1Margin: "top1_margin"
    case .topKMass: "top_k_mass"
    case .sharedWeight: "shared_weight"
    case .sharedNorm: "shared_norm"
    case .logitRows: "logit_rows"
    default: "\(self)"
    }
  }

  /// In a row, behind the numbers.
  var column: Int { 3 + rawValue }
}

private struct PageReader {
  let row: RowSteps
  let span: PageSpan
  let router: StoredRouter
  let file: String

  func damaged(_ problem: String) -> StoreError { PageRow.damaged(span, of: router, file: file, problem) }

  /// Compares the bytes that were read with the checksum that was stored with them; pages of an older moetop have none.
  func verify(withLogits: Bool) throws {
    let expected = (page: try row.integerIfAny(1), decisions: try row.integerIfAny(2))
    if expected.page == nil && expected.decisions == nil { return }
    var sum = CRC32()
    func add(_ blobs: [PageBlob]) { for blob in blobs { if let bytes = row.bytes(blob.column) { sum.add(bytes) } } }
    add(PageBlob.decisions)
    if let stored = expected.decisions {
      let plain = sum
      add(PageBlob.extras)
      try require(stored, PageChecksum.decisions(after: sum, tokens: span.tokens, squaredLogSumExp: try squaredLogSumExp()))
      sum = plain
    }
    // Without the logits' bytes the rest cannot be told.
    guard let stored = expected.page, withLogits || router.layout.logitBytes == 0 else { return }
    if withLogits { add(PageBlob.ofLogits) }
    add(PageBlob.extras)
    try require(stored, sum.value)
  }

  private func require(_ stored: Int64, _ found: UInt32) throws {
    guard stored != Int64(found) else { return }
    throw damaged("its checksum is \(found), expected \(stored): these are not the bytes that were recorded")
  }

  private func squaredLogSumExp() throws -> Double { try row.real(0) ?? .nan }

  /// Floats of a column that is f32, or f16 with single pages of f32.
  private func floats(_ blob: PageBlob, count: Int, byteCount: Int) throws -> [Float]? {
    guard let bytes = row.bytes(blob.column) else { return nil }
    let isWide = bytes.count == 4 * count
    guard isWide || bytes.count == byteCount * count else {
      throw damaged("column \(blob.name) has \(bytes.count) bytes, expected \(byteCount * count)")
    }
    return PackedColumns.floats(bytes, as: isWide ? 4 : byteCount)
  }

  /// The bytes of a column where it is there.
  ///
  /// - Throws: `StoreError.damaged` where it has another length than it should.
  private func bytes(_ blob: PageBlob, _ expected: Int) throws -> UnsafeRawBufferPointer? {
    guard let bytes = row.bytes(blob.column) else { return nil }
    guard bytes.count == expected else { throw damaged("column \(blob.name) has \(bytes.count) bytes, expected \(expected)") }
    return bytes
  }

  /// f32 of a column where it is there.
  private func singles(_ blob: PageBlob, _ count: Int) throws -> [Float]? {
    try bytes(blob, 4 * count).map { PackedColumns.floats($0, as: 4) }
  }

  func batch(withLogits: Bool) throws -> RoutingBatch {
    let layout = router.layout
    let count = span.tokens.count
    // Nothing is allocated before the first column has proven the shape.
    let (most, overflow) = count.multipliedReportingOverflow(by: layout.topK)
    guard !overflow, most <= 1 << 32 else { throw damaged("\(count) tokens of \(layout.topK) experts") }
    let width = try width(count)
    let slots = count * width
    guard let ids = try bytes(.ids, slots * layout.idBytes).map({ PackedColumns.integers($0, as: layout.idBytes) }) else {
      throw damaged("column ids is missing")
    }
    if let wrong = ids.first(outside: layout.expertCount) { throw damaged("expert \(wrong), expected 0..<\(layout.expertCount)") }
    // Without rows first: every column is given below.
    var batch = RoutingBatch(
      router: router.id, expertCount: layout.expertCount, topK: width, firstToken: span.tokens.lowerBound, count: 0)
    batch.count = count
    batch.selectedExperts = ids
    let weights = layout.weightBytes == 0 ? nil : try floats(.weights, count: slots, byteCount: layout.weightBytes)
    batch.routingWeights = weights ?? Array(repeating: .nan, count: slots)
    if let absent = try bytes(.absent, (slots + 7) / 8).map({ PackedColumns.flags($0, count: slots) }) {
      for slot in 0..<slots where absent[slot] {
        batch.selectedExperts[slot] = -1
        if weights == nil { batch.routingWeights[slot] = 0 }
      }
    }
    batch.dropped = try bytes(.dropped, (slots + 7) / 8).map { PackedColumns.flags($0, count: slots) }

    func statistic(_ blob: PageBlob) throws -> [Float] { try singles(blob, count) ?? Array(repeating: .nan, count: count) }
    batch.routerEntropy = try statistic(.entropy)
    batch.selectionMargin = try statistic(.selectionMargin)
    batch.top1Margin = try statistic(.top1Margin)
    batch.topKMass = try statistic(.topKMass)
    batch.importanceSum = try bytes(.importance, 8 * layout.expertCount).map(PackedColumns.doubles) ?? []
    batch.squaredLogSumExpSum = try squaredLogSumExp()
    batch.expertNorms = try singles(.norms, slots)
    batch.sharedWeight = try singles(.sharedWeight, count)
    batch.sharedNorm = try singles(.sharedNorm, count)
    if withLogits { batch.logits = try logits() }
    return batch.widened(to: layout.topK)
  }

  /// Slots of a token on this page: the router's, or fewer where none of its tokens fills them.
  private func width(_ count: Int) throws -> Int {
    let layout = router.layout
    let bytes = row.bytes(PageBlob.ids.column)?.count ?? 0
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
    var rows = (0..<Int32(count)).map { $0 }
    if let bytes = row.bytes(PageBlob.logitRows.column) {
      guard bytes.count % 4 == 0, bytes.count / 4 <= count else { throw damaged("column logit_rows has \(bytes.count) bytes") }
      rows = PackedColumns.integers(bytes, as: 4)
    }
    guard rows.isRising(within: count) else {
      throw damaged("column logit_rows is not rising within 0..<\(count)")
    }
    guard let values = try floats(.logits, count: rows.count * layout.expertCount, byteCount: layout.logitBytes) else { return nil }
    return RouterLogits(rows: rows, values: values)
  }
}

extension [Int32] {
  /// The first number that is not in `0..<count`; nil where all are, which is found out without a branch a number.
  func first(outside count: Int) -> Int32? {
    var most: UInt32 = 0
    for number in self { most = Swift.max(most, UInt32(bitPattern: number)) }
    return Int(most) < count || isEmpty ? nil : first { $0 < 0 || Int($0) >= count }
  }

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
