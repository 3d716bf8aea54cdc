// Metrics of records that are not of this engine's tokens: labels of single rows as an axis, loads of which nothing else is known, routes that
// are not known, and what is refused because a row or a weight is not of the kind that a metric is about.

import Routing
import Testing

@testable import Analysis

struct OtherRecordTests {
  private static let routers = [
    RouterDescription(id: RouterID(layer: 0), spec: .unknown(experts: 4, slots: 1)),
    RouterDescription(id: RouterID(layer: 1), spec: .unknown(experts: 4, slots: 1)),
  ]

  /// 20 sequences of 32 rows in stretches of images and texts. Layer 0 takes experts 0 or 1 by what a row is; layer 1 looks at nothing.
  private func passes(_ seed: UInt64 = 5) -> [RoutingPass] {
    var random = SplitMix64(seed: seed)
    return (0..<20).map { sequence in
      var tokens = TokenTable(firstToken: sequence * 32)
      var facts = TokenFacts(count: 32)
      var batches = Self.routers.map { RoutingBatch(router: $0.id, expertCount: 4, topK: 1, firstToken: sequence * 32, count: 32) }
      var isImage = false
      for row in 0..<32 {
        if random.below(4) == 0 { isImage.toggle() }
        tokens.append(sequence: sequence, position: row, tokenID: -1, phase: .prefill)
        facts.setLabel("modality", isImage ? "image" : "text", of: row)
        batches[0].selectedExperts[row] = isImage ? 0 : 1
        batches[1].selectedExperts[row] = Int32(random.below(4))
      }
      tokens.facts = facts
      return RoutingPass(tokens: tokens, batches: batches)
    }
  }

  private func plan(_ metrics: [MetricKey], _ by: AnalysisGrouping = .layer, origin: RunOrigin = RunOrigin(kind: .import)) -> AnalysisPlan {
    var plan = AnalysisPlan(
      metrics: metrics, grouping: by, null: NullSettings(draws: 199, seed: 1), routers: Self.routers,
      recording: RecordingLevel(content: .ids))
    plan.tokenLabels = ["modality": ["image", "text"]]
    plan.origin = origin
    return plan
  }

  @Test func labelsOfRowsAreAnAxis() async throws {
    var analysis = try RunAnalysis(plan([.specialization], AnalysisGrouping(facet: .tokenLabel("modality"))))
    for pass in passes() { analysis.add(pass) }
    let report = try await analysis.report(workers: 1)
    guard case .specialization(let rows) = try #require(report.documents.first).rows else { return #expect(Bool(false), "rows of an axis") }
    #expect(rows.count == 2)
    #expect(rows[0].p < 0.01 && rows[1].p > 0.05)
  }

  @Test func loadsAreEnoughForLoads() async throws {
    var counted = plan([.loadCV, .idle])
    counted.recording = RecordingLevel(content: .counts)
    var analysis = try RunAnalysis(counted)
    #expect(!analysis.needsPasses)
    analysis.adopt([RouterID(layer: 0): RouterLoad(counts: [6, 2, 0, 0], topK: 1, tokens: 0)])
    #expect(analysis.tokens == 8)
    let documents = try await analysis.report(workers: 1).documents
    guard case .metric(let idle) = try #require(documents.last).rows else { return #expect(Bool(false), "rows of a metric") }
    #expect(idle.first?.value == 2)
    counted.metrics = [.entropy]
    #expect(throws: AnalysisError.self) { try counted.validate() }
  }

  @Test func rowsOfUnknownRouteAreSaid() async throws {
    var lacking = plan([.loadCV])
    lacking.routedRows = [RouterID(layer: 0): 600, RouterID(layer: 1): 640]
    lacking.rowCount = 640
    var analysis = try RunAnalysis(lacking)
    for pass in passes() { analysis.add(pass) }
    let notes = try #require(try await analysis.report(workers: 1).documents.first).notes
    #expect(notes.contains { $0.hasPrefix("the route of up to 40 of 640 rows is not known at 1 of 2 routers") }, "\(notes)")
  }

  @Test func rulesThatChangeAreSaid() async throws {
    var changing = plan([.loadCV])
    changing.routers[0].more = RouterFacts(states: [RouterState(firstToken: 9, spec: .unknown(experts: 4, slots: 1))])
    var analysis = try RunAnalysis(changing)
    for pass in passes() { analysis.add(pass) }
    let notes = try #require(try await analysis.report(workers: 1).documents.first).notes
    #expect(notes.contains { $0.contains("pools up to 2 rules") }, "\(notes)")
  }

  @Test func whatHasNoMeaningIsRefused() throws {
    func refusal(_ metric: MetricKey, _ by: AnalysisGrouping = .layer, row: RowKind = .token, weights: WeightKind = .none) -> String? {
      var asked = plan([metric], by, origin: RunOrigin(kind: .recorder, row: row))
      asked.recording = RecordingLevel(content: .full)
      asked.routers[0].spec.statedWeights = weights
      do {
        try asked.validate()
        return nil
      } catch { return "\(error)" }
    }
    let expert = AnalysisGrouping(byExpert: true)
    #expect(refusal(.weightedLoad, expert, weights: .signed)?.contains("may be below 0") == true)
    #expect(refusal(.entropy, weights: .signed)?.contains("may be below 0") == true)
    #expect(refusal(.importance, expert, weights: .signed)?.contains("may be below 0") == true)
    #expect(refusal(.weightedLoad, expert)?.contains("no weight of ffn.0 is known") == true)
    #expect(refusal(.repeatFirst, row: .task)?.contains("rows of this run are tasks") == true)
    #expect(refusal(.load, expert, row: .user) == nil && refusal(.loadCV, weights: .signed) == nil)
  }
}
