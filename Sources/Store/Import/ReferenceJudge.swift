// Do the routes of a record fit the model that it is said to be of? The model reads the same tokens again; where a layer's routes are those of
// another layer, or of experts that were renumbered, no file shows it.

import Routing

/// What a model decides on some tokens: experts by router, sequence of the record and position.
public struct ReferenceDecisions: Sendable {
  struct Place: Hashable {
    var sequence: Int
    var position: Int
  }

  private(set) var experts: [RouterID: [Place: [Int32]]] = [:]

  private let sequences: [Int]

  /// - Parameter sequences: numbers in the record of the sequences that the model reads.
  public init(sequences: [Int]) { self.sequences = sequences }

  public mutating func add(_ batch: RoutingBatch, of tokens: TokenTable) {
    for row in 0..<batch.count {
      let place = row + batch.firstToken - tokens.firstToken
      let here = Place(sequence: sequences[Int(tokens.sequence[place])], position: Int(tokens.position[place]))
      experts[batch.router, default: [:]][here] =
        Array(batch.selectedExperts[row * batch.topK..<(row + 1) * batch.topK])
    }
  }

  var tokenCount: Int { experts.values.map(\.count).max() ?? 0 }
}

/// Holds the rows of a record against what its model decides.
struct ReferenceJudge {
  let record: any ForeignRecord
  let judgement: RecordJudgement
  let decided: ReferenceDecisions

  /// At least this share of experts in common is the same router.
  private static let same = 0.95
  /// Rows that say something.
  private static let enoughRows = 16

  /// Rows that are known of both, for one router of the record and one of the model.
  private typealias Pairs = [(record: [Int32], model: [Int32])]

  func findings() throws -> [ImportFinding] {
    let total = judgement.rowCount
    var rows: [[ReferenceDecisions.Place: [Int32]]] = judgement.routers.map { _ in [:] }
    for sequence in judgement.sequences where !sequence.isLost {
      let length = min(sequence.rows, decided.tokenCount)
      guard length > 0 else { continue }
      let block = try record.rows(0..<length, of: sequence.index)
      for (place, router) in judgement.routers.enumerated() where !router.isUnknown {
        guard let column = router.column else { continue }
        let slots = record.shape.columns[column].slots
        for row in 0..<length {
          let ids = block.columns[column].ids[row * slots..<row * slots + router.slots]
          guard !ids.contains(where: { $0 < 0 || Int($0) >= router.experts }), Set(ids).count == router.slots else { continue }
          let position = block.positions.map { Int($0[row]) } ?? sequence.start + row
          rows[place][.init(sequence: sequence.index, position: position)] = Array(ids)
        }
      }
    }
    var findings: [ImportFinding] = []
    for (place, router) in judgement.routers.enumerated() where !router.isUnknown && router.column != nil {
      let own = pairs(rows[place], router.id)
      // Another router is one that has no more in common than half way from chance to all.
      let foreign = (1 + Double(router.slots) / Double(router.experts)) / 2
      guard own.count >= Self.enoughRows, case let shared = Self.share(own), shared < foreign else { continue }
      if let other = decided.experts.keys.sorted().first(where: { $0 != router.id && Self.share(pairs(rows[place], $0)) >= Self.same }) {
        findings.append(
          ImportFinding(
            .shiftedLayers, router: router.id, count: total, of: total,
            detail:
              "its routes are those of \(other): \(Self.percent(shared)) of its experts are those that the model takes at \(router.id)"))
      } else if Self.isRenumbered(own) {
        findings.append(
          ImportFinding(
            .physicalIDs, router: router.id, count: total, of: total,
            detail: "its experts are those of the model by other numbers: slots of experts that were moved, not experts"))
      } else {
        findings.append(
          ImportFinding(
            .notRecomputable, router: router.id, count: own.count, of: own.count,
            detail: "the model decides otherwise: \(Self.percent(shared)) of the experts are the same; other weights, precision or tokens?")
        )
      }
    }
    return findings
  }

  private func pairs(_ rows: [ReferenceDecisions.Place: [Int32]], _ router: RouterID) -> Pairs {
    guard let other = decided.experts[router] else { return [] }
    return rows.keys.sorted { ($0.sequence, $0.position) < ($1.sequence, $1.position) }.compactMap { place in
      guard let own = rows[place], let model = other[place] else { return nil }
      return (own, model)
    }
  }

  /// Mean share of a row's experts that both take; 0 without a row.
  private static func share(_ pairs: Pairs) -> Double {
    guard !pairs.isEmpty else { return 0 }
    return pairs.reduce(0) { $0 + Double(Set($1.record).intersection($1.model).count) / Double(max($1.record.count, 1)) }
      / Double(pairs.count)
  }

  private static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

  /// Whether one renaming of experts, found on every other row, mends the rows between them.
  private static func isRenumbered(_ pairs: Pairs) -> Bool {
    var together: [Int64: Int] = [:]
    for (index, pair) in pairs.enumerated() where index % 2 == 0 {
      for a in pair.record { for b in pair.model { together[Int64(a) << 32 | Int64(b), default: 0] += 1 } }
    }
    var (names, taken) = ([Int32: Int32](), Set<Int32>())
    for (key, _) in together.sorted(by: { ($0.value, $1.key) > ($1.value, $0.key) }) {
      let (a, b) = (Int32(truncatingIfNeeded: key >> 32), Int32(truncatingIfNeeded: key))
      if names[a] == nil, taken.insert(b).inserted { names[a] = b }
    }
    let others = pairs.enumerated().filter { $0.offset % 2 == 1 }.map { ($0.element.record.map { names[$0] ?? -1 }, $0.element.model) }
    return others.count >= enoughRows / 2 && share(others.map { (record: $0.0, model: $0.1) }) >= same
  }
}
