// What can be wrong with counts of experts, where no row is known: layers that the model does not have, sums that no k makes, experts that all
// have the same count.

import Foundation
import Routing

struct CountsJudgement {
  var findings: [ImportFinding]
  var routers: [RouterDescription] = []
  /// Assignments by expert, of each router.
  var loads: [RouterID: [Int]] = [:]
  var tokens: Int?

  /// Relative difference of assignments from tokens times k that is rounding of batches, not another k.
  private static let tolerance = 0.01

  /// - Throws: `ImportError`.
  init(_ counted: ForeignCounts, request: ImportRequest) throws {
    findings = counted.findings
    let model = request.model?.routers
    let shape = ForeignShape(format: counted.format, columns: counted.columns, sequences: [])
    let names = try RecordColumns(shape, request: request)
    if names.isGuessed { add(.layersGuessed, nil, 1, 1, "layers are counted from 0: the record does not name them") }
    var strangers: [RouterID] = []
    var dense: [RouterID] = []
    var live: [Int] = []
    for (column, id) in names.routers.enumerated() {
      let isEmpty = counted.counts[column].allSatisfy { $0 == 0 }
      if let model, !model.contains(where: { $0.id == id }) {
        if isEmpty { dense.append(id) } else { strangers.append(id) }
      } else if isEmpty, model == nil {
        dense.append(id)
      } else {
        live.append(column)
      }
    }
    if !dense.isEmpty {
      add(.denseLayers, nil, 1, 1, "layers without a count are taken for dense: \(dense.map { "\($0)" }.joined(separator: ", "))")
    }
    let topK = model?.first?.spec.topK ?? request.topK
    let sums = live.map { counted.counts[$0].reduce(0, +) }
    tokens = counted.tokens ?? topK.flatMap { k in (sums.max() ?? 0) % k == 0 ? (sums.max() ?? 0) / k : nil }
    let size = tokens ?? topK.map { (sums.max() ?? 0) / $0 } ?? 0
    if !strangers.isEmpty, let model {
      for id in strangers { add(.shiftedLayers, id, size, size, "it has counts, and the model has no router there") }
      routers = model.map { Self.router($0.id, $0.spec, slots: $0.spec.topK, experts: $0.spec.expertCount) }
      finish(counted)
      return
    }
    for column in live {
      let id = names.routers[column]
      let spec = model?.first { $0.id == id }?.spec
      let experts = counted.counts[column].count
      let slots = spec?.topK ?? request.topK ?? Self.slots(counted, column)
      routers.append(Self.router(id, spec, slots: slots, experts: experts))
      loads[id] = counted.counts[column]
      judge(counted, column, id, experts: spec?.expertCount ?? request.experts, topK: spec?.topK ?? request.topK, size: size)
    }
    judgeEvenness(counted, live, names.routers, size: size)
    finish(counted)
  }

  private static func router(_ id: RouterID, _ spec: RouterSpec?, slots: Int, experts: Int) -> RouterDescription {
    if var spec, spec.expertCount == experts {
      spec.statedWeights = WeightKind.none
      return RouterDescription(id: id, spec: spec)
    }
    return RouterDescription(id: id, spec: .unknown(experts: experts, slots: min(max(slots, 1), experts)))
  }

  /// Experts of a token, as the record says it or as its sums do; 1 where nothing says it.
  private static func slots(_ counted: ForeignCounts, _ column: Int) -> Int {
    let stated = counted.columns[column].slots
    guard stated == 0, let tokens = counted.tokens, tokens > 0 else { return max(stated, 1) }
    let ratio = Double(counted.counts[column].reduce(0, +)) / Double(tokens)
    return abs(ratio - ratio.rounded()) <= tolerance * ratio ? max(Int(ratio.rounded()), 1) : 1
  }

  private mutating func add(_ code: ImportFinding.Code, _ router: RouterID?, _ count: Int, _ of: Int, _ detail: String) {
    findings.append(ImportFinding(code, router: router, count: count, of: of, detail: detail))
  }

  private mutating func judge(_ counted: ForeignCounts, _ column: Int, _ id: RouterID, experts: Int?, topK: Int?, size: Int) {
    let own = counted.counts[column]
    let sum = own.reduce(0, +)
    if let experts, own.count != experts {
      add(
        own.count > experts ? .physicalIDs : .outOfRange, id, size, size,
        "it has counts of \(own.count) experts, the router chooses among \(experts)")
      return
    }
    if sum == 0 {
      add(.zeroRows, id, size, size, "nothing was counted at this router, and the model routes there")
      return
    }
    guard let topK else { return }
    if !counted.stepSums.isEmpty {
      let wrong = counted.stepSums[column].count { $0 % topK != 0 }
      if wrong > 0 { add(.wrongK, id, wrong, counted.stepSums[column].count, "steps whose counts are no multiple of \(topK)") }
    } else if let tokens = counted.tokens, tokens > 0, abs(Double(sum) / Double(tokens * topK) - 1) > Self.tolerance {
      add(.wrongK, id, size, size, "\(sum) assignments of \(tokens) tokens, and a token takes \(topK) experts")
    }
  }

  /// All experts of all routers with one count: that of a file of another kind, or of memory that was filled.
  private mutating func judgeEvenness(_ counted: ForeignCounts, _ live: [Int], _ names: [RouterID], size: Int) {
    var evidence = 0.0
    for column in live {
      let own = counted.counts[column]
      guard let first = own.first, own.count > 1, own.allSatisfy({ $0 == first }), first >= 2 else { return }
      let sum = Double(own.reduce(0, +))
      evidence -= lgamma(sum + 1) - own.reduce(0.0) { $0 + lgamma(Double($1) + 1) } - sum * log(Double(own.count))
    }
    guard evidence >= RecordJudge.evidence else { return }
    for column in live {
      add(
        .partition, names[column], size, size,
        "all experts have the same count, \(counted.counts[column][0]): no router is as even; a file of another kind was converted, or none was counted"
      )
    }
  }

  private mutating func finish(_ counted: ForeignCounts) {
    // Each router sees every token.
    let steps = counted.stepSums.first?.count ?? 0
    let uneven = (0..<steps).count { step in Set(counted.stepSums.compactMap { $0[step] == 0 ? nil : $0[step] }).count > 1 }
    if uneven > 0 { add(.lengthMismatch, nil, uneven, steps, "steps in which routers counted different numbers of assignments") }
    add(.noWeights, nil, 1, 1, "the record has no routing weights")
    add(.notRecomputable, nil, 1, 1, "the record has no logits, so that no decision can be repeated")
    add(.noIDs, nil, 1, 1, "the record has counts only: no row, no token")
    findings.sort()
  }
}
