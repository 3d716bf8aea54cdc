// Every kind of router, row and run that a trace can hold: stored, read back equal, audited without a complaint, shown by views and exports.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

struct RecordKindsTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  /// A kind: its routers, what their rows take, and what the run says of itself.
  struct Kind: Sendable, CustomStringConvertible {
    var name: String
    var routers: [RouterDescription]
    var origin: RunOrigin
    /// Experts of a row; nil: its route is not known.
    var route: @Sendable (_ router: Int, _ row: Int) -> [Int32]?
    var weight: @Sendable (Int32) -> Float = { 1 / Float($0 + 2) }
    var hasFacts = false

    var description: String { name }
  }

  private static func stated(
    _ path: String, _ selection: StatedSelection, experts: Int = 8, slots: Int = 3, scoring: StatedScoring = .unknown,
    weights: WeightKind = .unnormalized, more: RouterFacts? = nil
  ) throws -> RouterDescription {
    RouterDescription(
      id: try #require(RouterID(path: path)),
      spec: RouterSpec(
        expertCount: experts, scoring: .stated(scoring), selection: .stated(selection, slots: slots), statedWeights: weights), more: more)
  }

  /// Experts that a row takes in kinds whose rows take different numbers of them.
  @Sendable private static func some(_ router: Int, _ row: Int) -> [Int32]? { (0..<(row + router) % 4).map { Int32(($0 + row) % 8) } }
  @Sendable private static func three(_ router: Int, _ row: Int) -> [Int32]? { (0..<3).map { Int32(($0 * 3 + row + router) % 8) } }

  static func kinds() throws -> [Kind] {
    let bySelection: [Kind] = try StatedSelection.allCases.map { (selection: StatedSelection) -> Kind in
      let fills = [.topK, .hash, .dense, .unknown].contains(selection)
      let route: @Sendable (Int, Int) -> [Int32]? = fills ? three : some
      return Kind(
        name: "selection \(selection.rawValue)", routers: [try stated("ffn.0", selection), try stated("ffn.2", selection)],
        origin: RunOrigin(kind: .recorder),
        route: route)
    }
    let byScoring: [Kind] = try StatedScoring.allCases.map { (scoring: StatedScoring) -> Kind in
      Kind(
        name: "scoring \(scoring.rawValue)", routers: [try stated("ffn.0", .topK, scoring: scoring)], origin: RunOrigin(kind: .recorder),
        route: three)
    }
    let byRow: [Kind] = try RowKind.allCases.map { (row: RowKind) -> Kind in
      Kind(
        name: "rows are \(row.words)", routers: [try stated("route.0", .topK)],
        origin: RunOrigin(kind: .import, row: row, format: "moetop-jsonl"),
        route: three, hasFacts: true)
    }
    let paths = ["vision.ffn.1", "attn.3.q.h2", "attn.3.k.h0.r1.t4", "ffn.7.r2", "audio_1.attn.0.down"]
    let facts = RouterFacts(
      bank: "shared bank", sharedExperts: 2, parent: "route.0", holdsFor: [0, 1, 5],
      states: [
        RouterState(firstToken: 10, spec: .unknown(experts: 8, slots: 3)),
        RouterState(firstToken: 20, spec: .unknown(experts: 8, slots: 3)),
      ],
      experts: [
        ExpertFacts(expert: 0, name: "commas", width: 64, bytes: 4096, rank: 1, physical: 9, pruned: false),
        ExpertFacts(expert: 5, pruned: true),
      ])
    let pairs = RouterFacts(factors: [512, 512])
    let others: [Kind] = [
      Kind(
        name: "paths", routers: try paths.map { try stated($0, .topK) }, origin: RunOrigin(kind: .recorder), route: three),
      Kind(
        name: "facts", routers: [try stated("ffn.0", .topK, more: facts), try stated("ffn.1", .topK, more: facts)],
        origin: RunOrigin(kind: .merged, source: "a.db#1 b.db#2"), route: three),
      Kind(
        name: "pairs of two lists",
        routers: [try stated("ffn.0.h0", .threshold, experts: 1024, slots: 6, scoring: .productKey, more: pairs)],
        origin: RunOrigin(kind: .recorder), route: { _, row in [Int32(row % 512), Int32((row * 7 + 1) % 512), Int32(512 + row % 512)] }),
      Kind(
        name: "signed weights", routers: [try stated("ffn.0", .dense, slots: 8, weights: .signed)], origin: RunOrigin(kind: .recorder),
        route: { _, _ in (0..<8).map(Int32.init) }, weight: { Float($0) - 3.5 }),
      Kind(
        name: "unknown routes", routers: [try stated("ffn.0", .unknown), try stated("ffn.1", .unknown)],
        origin: RunOrigin(kind: .import, format: "vllm", source: "routes.npy"),
        route: { router, row in (row / 5 + router) % 3 == 0 ? nil : three(router, row) }),
      Kind(
        name: "none taken beside unknown", routers: [try stated("ffn.0", .threshold)], origin: RunOrigin(kind: .recorder),
        route: { _, row in row % 3 == 0 ? nil : row % 3 == 1 ? [] : [Int32(row % 8)] }),
    ]
    return bySelection + byScoring + byRow + others
  }

  private func pass(_ kind: Kind, rows: Int) -> RoutingPass {
    var tokens = TokenTable()
    for row in 0..<rows { tokens.append(sequence: row / 20, position: row % 20, tokenID: Int32(row * 7 % 90), phase: .prefill) }
    if kind.hasFacts {
      var facts = TokenFacts(count: rows)
      for row in 0..<rows where row % 2 == 0 {
        facts.setLabel("modality", row % 4 == 0 ? "image" : "text", of: row)
        facts.setCoordinate("seconds", Double(row) / 8, of: row)
        facts.setRequest(Int64(row / 10), of: row)
        facts.setRank(Int64(row % 3), of: row)
      }
      tokens.facts = facts
    }
    var pass = RoutingPass(tokens: tokens, batches: [])
    for (place, router) in kind.routers.enumerated() {
      var row = 0
      while row < rows {
        guard kind.route(place, row) != nil else {
          row += 1
          continue
        }
        var end = row
        while end < rows, kind.route(place, end) != nil { end += 1 }
        var batch = RoutingBatch(
          router: router.id, expertCount: router.spec.expertCount, topK: router.slots, firstToken: row, count: end - row)
        for index in row..<end {
          for (slot, expert) in (kind.route(place, index) ?? []).enumerated() {
            batch.selectedExperts[(index - row) * router.slots + slot] = expert
            batch.routingWeights[(index - row) * router.slots + slot] = kind.weight(expert)
          }
        }
        pass.batches.append(batch)
        row = end
      }
    }
    return pass
  }

  @discardableResult
  private func record(_ kind: Kind, rows: Int = 40) throws -> RoutingPass {
    let written = pass(kind, rows: rows)
    let description = RunDescription(
      name: "kind",
      model: ModelIdentity(
        name: "m", family: "", path: "", filesHash: "", quantization: "", routerPrecision: "", tokenizerHash: "", layerCount: 0,
        vocabularySize: 0),
      routers: kind.routers, input: InputIdentity(source: "test", hash: ""), recording: RecordingLevel(),
      engine: EngineIdentity(version: "0", simd: "", threads: 0), startedAt: 1_700_000_000, recorded: kind.origin)
    let writer = try TraceWriter(file: file, description: description, sequences: [SequenceDescription(name: "a")])
    for start in stride(from: 0, to: rows, by: 13) {
      let span = start..<min(start + 13, rows)
      try writer.receive(
        RoutingPass(
          tokens: written.tokens.slice(span),
          batches: written.batches.compactMap { $0.cut(to: span) }))
      if start == 13 { try writer.flush() }
    }
    try writer.finish(.completed)
    return written
  }

  /// What was decided: experts and weights by router and row.
  private func decisions(_ passes: [RoutingPass]) -> [RouterID: [Int: [String]]] {
    var found: [RouterID: [Int: [String]]] = [:]
    for batch in passes.flatMap(\.batches) {
      for row in 0..<batch.count {
        let slots = row * batch.topK..<(row + 1) * batch.topK
        found[batch.router, default: [:]][batch.firstToken + row] = slots.filter { batch.selectedExperts[$0] >= 0 }
          .map { "\(batch.selectedExperts[$0]) \(batch.routingWeights[$0])" }
      }
    }
    return found
  }

  @Test(arguments: try kinds()) func isKept(_ kind: Kind) throws {
    let written = try record(kind)
    let trace = try TraceReader(file: file)
    let run = try trace.run(.latest)
    #expect(run.description.routers == kind.routers && run.description.origin == kind.origin)
    var passes: [RoutingPass] = []
    try trace.passes(of: run).forEach { passes.append($0) }
    #expect(decisions(passes) == decisions([written]))
    var tokens = TokenTable()
    for pass in passes { tokens.append(contentsOf: pass.tokens) }
    #expect(tokens.tokenID == written.tokens.tokenID && tokens.facts == written.tokens.facts)
    #expect(run.failedChecks.isEmpty, "\(run.failedChecks)")
    let findings = try trace.checkIntegrity().map(\.problem)
    #expect(findings.isEmpty, "\(findings)")
  }

  /// The views say of each router what the program says.
  @Test(arguments: try kinds()) func isShownByViews(_ kind: Kind) throws {
    let written = try record(kind)
    let query = TraceQuery(trace: try TraceReader(file: file))
    let rows = try query.all("SELECT router, bank, selection, scoring, rule, weight_kind, shared_experts FROM routers WHERE run = 1").rows
    func text(_ value: SQLValue) -> String { if case .text(let text) = value { text } else { "\(value)" } }
    let known = Dictionary(uniqueKeysWithValues: rows.map { (text($0[0]), $0) })
    for router in kind.routers {
      let row = try #require(known["\(router.id)"])
      guard case .stated(let scoring) = router.spec.scoring else { continue }
      #expect(
        row.dropFirst().map(text).prefix(5)
          == [router.bank, router.spec.selectionName, scoring.rawValue, router.spec.rule.rawValue, router.spec.weightKind.rawValue])
    }
    let count = written.batches.reduce(0) { $0 + $1.selectedExperts.count { $0 >= 0 } }
    #expect(try query.all("SELECT count(*) FROM routing WHERE run = 1").rows[0][0] == .integer(Int64(count)))
    #expect(
      try query.all("SELECT count(DISTINCT router) FROM routing_stats WHERE run = 1").rows[0][0]
        == .integer(Int64(Set(written.batches.map(\.router)).count)))
    let origin = try query.all("SELECT kind, row, source_format, origin FROM runs").rows[0]
    #expect(text(origin[0]) == kind.origin.kind.rawValue && text(origin[1]) == kind.origin.row.rawValue)
    if kind.hasFacts {
      #expect(try query.all("SELECT count(*) FROM token_labels WHERE value = 'image'").rows[0][0] == .integer(10))
      #expect(try query.all("SELECT value FROM coordinates WHERE token = 6").rows[0][0] == .real(0.75))
      #expect(try query.all("SELECT request, rank FROM tokens WHERE token = 14").rows[0] == [.integer(1), .integer(2)])
    }
    if kind.name == "facts" {
      #expect(try query.all("SELECT name, width, bytes, pruned FROM experts WHERE router = 'ffn.1' ORDER BY expert").rows.count == 2)
      #expect(
        try query.all("SELECT state, parent FROM routing_stats WHERE router = 'ffn.1' AND token IN (9, 10, 39) ORDER BY token").rows
          == [[.integer(0), .text("route.0")], [.integer(1), .text("route.0")], [.integer(2), .text("route.0")]])
    }
  }

  @Test(arguments: try kinds(), TraceExport.Format.allCases.filter { [.csv, .jsonl, .safetensors].contains($0) })
  func isExported(_ kind: Kind, _ format: TraceExport.Format) throws {
    try record(kind)
    let trace = try TraceReader(file: file)
    let output = directory.file("out")
    try TraceExport(trace: trace, run: try trace.run(.latest)).write(.routing, as: format, to: .file(output))
    if format == .safetensors {
      let names = try SafetensorsFile(path: output).tensors.map(\.name)
      for router in kind.routers { #expect(names.contains("\(router.id).expert_ids")) }
    } else {
      let text = try String(contentsOfFile: output, encoding: .utf8)
      for router in kind.routers { #expect(text.contains(router.id.lane)) }
    }
  }

  /// Of a rule as JSON SQL says what Swift says, whatever the rule.
  @Test func expressionsOfRulesAreThoseOfTheProgram() throws {
    let scorings: [RouterSpec.Scoring] = [
      .softmax, .sigmoid, .sqrtSoftplus, .logits, .sparsemixer(epsilon: 0.01), .stated(.cosine), .stated(.unknown),
    ]
    let normalizations: [RouterSpec.Normalization] = [.none, .sum(epsilon: 0), .sumClamped(minimum: 1), .pNorm(1), .pNorm(2)]
    let weightings: [RouterSpec.Weighting] = [.scores, .softmaxOfSelectedLogits, .sigmoidOfSelectedLogits, .ones]
    var routers: [RouterDescription] = []
    for scoring in scorings {
      for normalization in normalizations {
        for weighting in weightings {
          for scale: Float in [1, 2.5, -1] {
            for selection: RouterSpec.Selection in [.tokenChoice(topK: 2), .stated(.topP, slots: 2), .stated(.unknown, slots: 2)] {
              routers.append(
                RouterDescription(
                  id: RouterID(layer: routers.count),
                  spec: RouterSpec(
                    expertCount: 4, scoring: scoring, selection: selection, weighting: weighting, normalization: normalization,
                    routedScale: scale)))
            }
          }
        }
      }
    }
    try record(Kind(name: "rules", routers: routers, origin: RunOrigin(), route: { _, _ in nil }), rows: 1)
    let rows = try TraceQuery(trace: TraceReader(file: file)).all("SELECT selection, rule, weight_kind FROM routers ORDER BY layer").rows
    #expect(rows.count == routers.count)
    for (row, router) in zip(rows, routers) {
      #expect(
        row == [.text(router.spec.selectionName), .text(router.spec.rule.rawValue), .text(router.spec.weightKind.rawValue)],
        "\(router.spec)")
    }
  }

  /// A plain run has no row in the tables of the other kinds, and its pages are those of before.
  @Test func plainRunsPayNothing() throws {
    try SampleShape(name: "plain", passes: [300]).record(in: file)
    let query = TraceQuery(trace: try TraceReader(file: file))
    for view in ["experts", "token_labels", "coordinates", "import_audit"] {
      #expect(try query.all("SELECT count(*) FROM \(view)").rows[0][0] == .integer(0))
    }
    #expect(
      try query.all("SELECT router, kind FROM routers JOIN runs USING (run) ORDER BY layer").rows[2] == [.text("ffn.3"), .text("engine")])
  }

  /// Facts of a router are of its checksum.
  @Test func editedFactsAreFound() throws {
    try record(try #require(try Self.kinds().first { $0.name == "facts" }))
    try SQLite.run("UPDATE router_more SET facts = replace(facts, 'shared bank', 'other bank')", on: file)
    let findings = try TraceReader(file: file).checkIntegrity().map(\.problem)
    #expect(findings.contains { $0.hasPrefix("routers: their checksum") }, "\(findings)")
  }
}
