// What did Megatron's router trace write? A file a process; a line for each forward pass and layer, with the experts of all tokens of that pass.
// Logits lie beside it in a file of bfloat16. Where a record disagrees with itself, its rows are unknown and the reader says so.

import Formats
import Routing

/// `router_trace_rank{R}.jsonl`: `{"step","stage","block","layer","rank","num_tokens","topk",["mtp_idx"],["logit_offset","logit_bytes",
/// "logit_shape"],"top_indices":[tokens][topk]}` a line; `logits_rank{R}.bin` beside it.
///
/// A file is a sequence: nothing tells which of its tokens belong together. Layers that a step has no line for are unknown there.
/// - Source: megatron/core/transformer/moe/router_trace.py of github.com/NVIDIA/Megatron-LM, as of August 2026.
final class MegatronReader: ForeignRecord {
  let shape: ForeignShape

  private let ranks: [MegatronRank]
  private let columns: [MegatronSurvey.Column]
  /// The step that was decoded last: many rows are asked for piece by piece.
  private var latest: (sequence: Int, step: Int, columns: [MegatronColumn])?

  /// Routers of a file beyond which it is none.
  static let routerLimit = 4096

  static func recognises(_ path: String) -> Bool {
    JSONLines.firstKeys(path).isSuperset(of: ["step", "block", "layer", "num_tokens", "topk", "top_indices"])
  }

  /// - Parameter files: of one run, a process each.
  /// - Throws: `FormatError`
  init(files paths: [String], request: ImportRequest) throws {
    var survey = MegatronSurvey()
    for path in paths { try survey.add(path) }
    (ranks, columns) = (survey.ranks, survey.sortedColumns)
    shape = survey.shape
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let rank = ranks[sequence]
    var result = ForeignRows(
      count: range.count,
      columns: columns.map { ForeignDecisions(ids: [], logits: $0.hasLogits ? [] : nil) })
    var number = rank.step(of: range.lowerBound)
    while number < rank.steps.count, rank.steps[number].firstRow < range.upperBound {
      let step = rank.steps[number]
      let part = range.clamped(to: step.firstRow..<step.firstRow + step.rows)
      let rows = part.lowerBound - step.firstRow..<part.upperBound - step.firstRow
      for (index, decoded) in try decoded(sequence, number).enumerated() {
        let column = columns[index]
        result.columns[index].ids += decoded.ids(rows, slots: column.slots)
        if let experts = column.logitExperts { result.columns[index].logits? += rank.logits(decoded.logits, rows, experts: experts) }
      }
      number += 1
    }
    var facts = TokenFacts(count: range.count)
    for row in 0..<range.count { facts.setRank(Int64(rank.number), of: row) }
    result.facts = facts
    try rank.sidecar?.requireWhole()
    return result
  }

  private func decoded(_ sequence: Int, _ number: Int) throws(FormatError) -> [MegatronColumn] {
    if let latest, latest.sequence == sequence, latest.step == number { return latest.columns }
    let rank = ranks[sequence]
    let step = rank.steps[number]
    var result = Array(repeating: MegatronColumn(), count: columns.count)
    for line in step.lines {
      try rank.lines.read(line) { (json) throws(FormatError) in
        let record = try MegatronRecord(json)
        guard let index = columns.firstIndex(where: { $0.key == record.key }) else { throw .changed(file: rank.lines.path) }
        guard record.isWhole(rows: step.rows) else { return }
        if columns[index].hasLogits { result[index].logits = record.logits }
        guard record.takes(columns[index].slots) else { return }
        for row in try json.array("top_indices") {
          guard try row.appendIDs(to: &result[index].ids) == record.width else {
            throw row.unexpected("\(record.width) ids, as in its first row")
          }
        }
        guard result[index].ids.count == step.rows * record.width else { throw .changed(file: rank.lines.path) }
      }
    }
    latest = (sequence, number, result)
    return result
  }
}

/// One file and the logits beside it.
struct MegatronRank {
  let lines: JSONLines
  let number: Int
  let sidecar: MappedFile?
  var steps: [Step] = []

  /// Tokens that went through the model together.
  struct Step {
    var firstRow: Int
    var rows: Int
    var lines: Range<Int>
  }

  var rows: Int { steps.last.map { $0.firstRow + $0.rows } ?? 0 }

  /// The step that has a row.
  func step(of row: Int) -> Int { Sorted.first(of: steps.count) { steps[$0].firstRow + steps[$0].rows > row } }

  /// Logits of some rows of a record; NaN where the file has none.
  func logits(_ place: MegatronRecord.Logits?, _ rows: Range<Int>, experts: Int) -> [Float] {
    var values: [Float] = Array(repeating: .nan, count: rows.count * experts)
    guard let place, let sidecar, place.experts == experts else { return values }
    let whole = place.wholeRows(in: sidecar)
    for row in rows where row < whole {
      for expert in 0..<experts {
        let bits = sidecar.bytes.loadUnaligned(fromByteOffset: place.offset + (row * experts + expert) * 2, as: UInt16.self)
        values[(row - rows.lowerBound) * experts + expert] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
      }
    }
    return values
  }
}

/// What a step says of one router.
struct MegatronColumn {
  /// `[rows, slots]`; empty: nothing that can be used.
  var ids: [Int32] = []
  var logits: MegatronRecord.Logits?

  func ids(_ rows: Range<Int>, slots: Int) -> ArraySlice<Int32> {
    ids.isEmpty ? ArraySlice(repeatElement(-1, count: rows.count * slots)) : ids[rows.lowerBound * slots..<rows.upperBound * slots]
  }
}

/// A line without its ids.
struct MegatronRecord {
  /// Which router: block and layer.
  struct Key: Hashable, Comparable {
    /// Number of the block that predicts further tokens; -1: the decoder.
    var ahead: Int
    var layer: Int

    static func < (a: Key, b: Key) -> Bool { (a.ahead, a.layer) < (b.ahead, b.layer) }

    /// Layers of the blocks that look ahead stand in towers of their own: `mtp.ffn.0`, of the second such block `mtp1.ffn.0`.
    var router: RouterID {
      var router = RouterID(layer: layer)
      if ahead >= 0 { router.tower = ahead == 0 ? "mtp" : "mtp\(ahead)" }
      return router
    }
  }

  /// Where the logits of its rows are.
  struct Logits {
    var offset: Int
    var rows: Int
    var experts: Int

    /// Rows from the first on that a file has.
    func wholeRows(in file: MappedFile) -> Int { min(rows, max(0, file.byteCount - offset) / (experts * 2)) }
  }

  let key: Key
  let step: Int
  let rank: Int
  /// Rows as the record says, and as it has.
  let stated: Int
  let count: Int
  let topK: Int
  /// Ids of its first row.
  let width: Int
  let logits: Logits?

  private static let layers = 0...9_999_999
  private static let experts = 1...65536

  init(_ json: JSONValue) throws(FormatError) {
    let layer = try json.integer("layer", in: Self.layers)
    switch try json.string("block") {
    case "decoder": key = Key(ahead: -1, layer: layer)
    case "mtp": key = Key(ahead: try json.integerIfPresent("mtp_idx", in: 0...9999) ?? 0, layer: layer)
    default: throw try json.member("block").unexpected("\"decoder\" or \"mtp\"")
    }
    step = try json.integer("step")
    rank = try json.integerIfPresent("rank", in: 0...Int(Int32.max)) ?? 0
    stated = try json.integer("num_tokens", in: 0...Int(Int32.max))
    topK = try json.integer("topk", in: 1...Int(Int32.max))
    let rows = try json.member("top_indices")
    let first = try rows.requireArray().first { _ in true }
    count = rows.count
    if let first {
      guard first.kind == .array, first.count > 0 else { throw first.unexpected("the ids of a token's experts") }
      width = first.count
    } else {
      width = topK
    }
    logits = try Self.logits(json)
  }

  private static func logits(_ json: JSONValue) throws(FormatError) -> Logits? {
    guard let offset = try json.integerIfPresent("logit_offset", in: 0...Int.max / 2) else { return nil }
    let shape = try json.integers("logit_shape", in: 0...Int(Int32.max))
    guard let experts = shape.last, Self.experts.contains(experts), shape.count >= 2 else {
      throw try json.member("logit_shape").unexpected("[tokens, experts]")
    }
    var rows = 1
    for extent in shape.dropLast() {
      let (product, overflow) = rows.multipliedReportingOverflow(by: extent)
      guard !overflow, product <= Int(Int32.max) else { throw try json.member("logit_shape").unexpected("[tokens, experts]") }
      rows = product
    }
    guard try json.integer("logit_bytes") == rows * experts * 2 else {
      throw try json.member("logit_bytes").unexpected("\(rows * experts * 2) bytes, 2 for each of \(rows) x \(experts) logits")
    }
    return Logits(offset: offset, rows: rows, experts: experts)
  }

  /// Whether it has the rows that it says and its step has.
  func isWhole(rows: Int) -> Bool { stated == count && count == rows }

  /// Whether a row has as many ids as it says and its router has.
  func takes(_ slots: Int) -> Bool { width == topK && width == slots }
}
