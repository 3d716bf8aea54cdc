// Do the verdicts say what was planted? And does every question about a denoising run get its answer, every other its reason?

import Foundation
import Routing
import Testing

@testable import Analysis

@Suite struct DenoisingClaimTests {
  private func judge(
    _ run: SyntheticDenoising, _ passes: [RoutingPass], sequences: [SequenceDescription]? = nil
  ) throws -> DenoisingClaims {
    var counts = try DenoisingCounts(layout: run.layout, routers: run.routers)
    for pass in passes { counts.add(pass) }
    return ClaimJudge(counts: counts, sequences: sequences ?? run.sequences, settings: NullSettings(draws: 199)).judge()
  }

  @Test func plantedStructureHolds() throws {
    let run = SyntheticDenoising.planted
    let passes = run.passes()
    let claims = try judge(run, passes)
    for claim in DenoisingClaim.allCases { #expect(claims[claim]?.verdict == .holds, "\(claim): \(claims[claim]?.reason ?? "")") }
    #expect(claims.samples == 192 && claims.steps == 10 && claims.patches == 16 && claims.classes == 4)

    // The same decisions, each sample's steps moved around the circle: the step claims fall, the others stand.
    let shifted = try judge(run, run.layout.shiftingSteps(passes, seed: 3))
    #expect(shifted[.positionAndStepPreferred]?.verdict == .doesNotHold)
    #expect(shifted[.positionAndStepPreferred]?.evidence.map(\.verdict) == [.holds, .doesNotHold])
    #expect(shifted[.earlyConcentrated]?.verdict == .doesNotHold, "\(shifted[.earlyConcentrated]?.reason ?? "")")
    #expect(shifted[.noExpertIdle]?.verdict == .holds && shifted[.deeperMoreDispersed]?.verdict == .holds)
  }

  @Test func aPlantedClassIsFoundAndItsPermutationIsNot() throws {
    var run = SyntheticDenoising.planted
    run.kind = 1
    let passes = run.passes()
    let found = try #require(try judge(run, passes)[.classIgnored])
    #expect(found.verdict == .doesNotHold)
    #expect(found.evidence.last?.name == "class preferred" && found.evidence.last?.verdict == .holds)

    var sequences = run.sequences
    var labels = sequences.map(\.labels)
    var random = SplitMix64(seed: 5)
    random.shuffle(&labels)
    for index in sequences.indices { sequences[index].labels = labels[index] }
    let permuted = try #require(try judge(run, passes, sequences: sequences)[.classIgnored])
    #expect(permuted.verdict != .doesNotHold)
    #expect(permuted.evidence.last?.verdict == .doesNotHold, "the class is not preferred")
    #expect((permuted.evidence.last?.p ?? 0) > 0.05)
  }

  @Test func uniformRoutingHasNoPreference() throws {
    var run = SyntheticDenoising()
    (run.samples, run.idle) = (64, [3])
    let claims = try judge(run, run.passes())
    #expect(claims[.noExpertIdle]?.verdict == .doesNotHold)
    #expect(claims[.noExpertIdle]?.reason.contains("ffn.0 expert 3") == true)
    #expect(claims[.positionAndStepPreferred]?.verdict == .doesNotHold)
    #expect(claims[.earlyConcentrated]?.verdict == .doesNotHold)
    #expect(claims[.deeperMoreDispersed]?.verdict != .holds)
  }

  /// Depth the other way round: the claim does not hold, and not for want of data.
  @Test func deeperAndMorePositionalDoesNotHold() throws {
    var run = SyntheticDenoising.planted
    (run.samples, run.place) = (64, [0.4, 0.7, 1.0, 1.3, 1.6])
    let claim = try #require(try judge(run, run.passes())[.deeperMoreDispersed])
    #expect(claim.verdict == .doesNotHold && near(claim.evidence.first?.value, 1))
    // 1 of 120 orders of five layers rises so.
    #expect(claim.reason.contains("of a rise as large 0.0083"))
  }

  /// The verdict is that of the order of layers alone: a rank correlation has no interval, in whichever direction, and says why.
  @Test func depthIsJudgedByTheOrderOfLayers() throws {
    for (place, verdict) in [
      ([1.6, 1.3, 1.0, 0.7, 0.4], Verdict.holds), ([0.4, 0.7, 1.0, 1.3, 1.6], .doesNotHold), ([1.0, 0.4, 1.6, 0.7, 1.3], .undecided),
      ([1.6, 0.4, 1.0, 0.7], .undecided),
    ] {
      var run = SyntheticDenoising.planted
      (run.samples, run.place) = (32, place)
      let claim = try #require(try judge(run, run.passes())[.deeperMoreDispersed])
      let own = try #require(claim.evidence.first)
      #expect(claim.verdict == verdict && own.verdict == verdict, "\(place): \(claim.reason)")
      #expect(own.interval == nil && own.value != nil && claim.reason.contains("no interval: ranks"))
    }
  }

  /// Two samples a class give one degree of freedom, one sample a class no interval: undecided, and the reason names the few samples.
  @Test func fewSamplesAClassAreUndecided() throws {
    for (classes, few) in [(12, "a class has only 2"), (24, "a class has only 1, and an interval takes 5 samples and 2 a class")] {
      var run = SyntheticDenoising.planted
      (run.samples, run.kind, run.classes) = (24, 0.25, classes)
      let claim = try #require(try judge(run, run.passes())[.classIgnored])
      #expect(claim.verdict == .undecided && claim.reason.contains(few), "\(claim.reason)")
      #expect((claim.evidence.first?.interval == nil) == (classes == 24))
    }
    var enough = SyntheticDenoising.planted
    (enough.samples, enough.kind, enough.classes) = (24, 0.5, 4)
    #expect(try judge(enough, enough.passes())[.classIgnored]?.reason.contains("few samples") == false)
  }

  @Test func tooLittleIsUndecided() throws {
    var run = SyntheticDenoising.planted
    (run.samples, run.steps, run.place) = (2, 4, [1, 0.5])
    let claims = try judge(run, run.passes(), sequences: [])
    for claim in DenoisingClaim.allCases where claim != .noExpertIdle { #expect(claims[claim]?.verdict == .undecided, "\(claim)") }
    #expect(claims[.classIgnored]?.reason.contains("label") == true)
    let empty = try judge(run, [])
    for claim in DenoisingClaim.allCases { #expect(empty[claim]?.verdict == .undecided, "\(claim)") }
  }

  // MARK: - Reports

  private static let small: (run: SyntheticDenoising, passes: [RoutingPass]) = {
    var run = SyntheticDenoising.planted
    (run.samples, run.place) = (24, [1.5, 0.5])
    return (run, run.passes())
  }()

  private func plan(_ metrics: [MetricKey], _ by: String, hasDecisions: Bool = true) throws -> AnalysisPlan {
    let run = Self.small.run
    return AnalysisPlan(
      metrics: metrics, grouping: try AnalysisGrouping(parsing: by), null: NullSettings(draws: 49), intervals: true, top: 5,
      sequences: run.sequences, routers: run.routers, denoising: run.layout,
      recording: RecordingLevel(content: hasDecisions ? .full : .counts))
  }

  @Test(arguments: ["step", "patch-row", "patch-column", "patch", "class", "step,expert", "patch,expert"])
  func specializationByEveryAxis(_ by: String) throws {
    let plan = try plan([.specialization], by)
    try plan.validate()
    let report = try analyzed(plan, Self.small.passes).report()
    let document = try #require(report[.specialization])
    switch document.rows {
    case .specialization(let rows):
      #expect(rows.count == 2 && rows.allSatisfy { $0.sequences == 24 && $0.counted == .samples })
      if by != "class" { #expect(rows.allSatisfy { $0.p == 0.02 }, "\(rows.map(\.p))") }
      if by == "step" { #expect(rows[0].cells.map(\.name) == (0..<10).map(String.init) && rows[0].interval != nil) }
    case .enrichment(let rows): #expect(rows.count == 10 && rows[0].enrichment.adjustedP == 0.02)
    default: Issue.record("unexpected rows")
    }
    #expect(document.notes.contains { $0.contains("24 samples, conditional branch") })
  }

  @Test(arguments: MetricKey.allCases.filter { MetricCatalog.entry($0).runs == .denoising }) func everyMetricIsProduced(_ key: MetricKey)
    throws
  {
    let facets = MetricCatalog.entry(key).facets
    for by in facets == .denoising
      ? ["step", "patch-row", "patch-column", "patch", "class"] : facets == .step ? ["layer", "step"] : ["layer"]
    {
      let plan = try plan([key], by)
      try plan.validate()
      let report = try analyzed(plan, Self.small.passes).report()
      let document = try #require(report[key])
      switch document.rows {
      case .metric(let rows):
        #expect(Set(rows.map(\.router.layer.rawValue)) == [0, 1])
        #expect(rows.allSatisfy { $0.value != nil })
        // The first step has none before it.
        if by == "step" && [.stepDrift, .pathOverlap].contains(key) { #expect(rows.count == 2 * 9 && rows[0].cell == "1") }
        if key == .earlyLate { #expect(rows.allSatisfy { $0.interval != nil && ($0.value ?? 0) > 0.05 }) }
        let total = rows.reduce(0) { $0 + ($1.value ?? 0) }
        if key == .choices { #expect(total == 24 * 10 * 16 * 2 * 2) }
      case .specialists(let rows):
        #expect(rows.count == 16 && rows[0].when?.cell == "0" && rows[0].place != nil)
        #expect(near(rows.reduce(0) { $0 + $1.share }, 2))
      case .claims(let claims): #expect(claims.claims.count == 5)
      default: Issue.record("\(key): unexpected rows")
      }
      let tables = report.tables(width: 100)
      #expect(tables.allSatisfy { table in !table.rows.isEmpty && table.rows.allSatisfy { $0.count == table.columns.count } })
      let json = String(decoding: try JSONEncoder().encode(report), as: UTF8.self)
      #expect(json.contains("\"metric\":\"\(key.rawValue)\""))
    }
  }

  /// Counts that were kept answer as the passes do, and need none.
  @Test func keptCountsAnswerAlike() throws {
    let plan = try plan([.ditClaims, .specialists], "layer", hasDecisions: false)
    try plan.validate()
    let folded = try analyzed(plan, Self.small.passes)
    var kept = try RunAnalysis(plan)
    #expect(!kept.needsPasses)
    kept.adopt(try #require(folded.denoising))
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    #expect(try encoder.encode(kept.report()) == encoder.encode(folded.report()))
  }

  @Test func otherQuestionsGetTheirReason() throws {
    let text = SequenceDescription(name: "text", labels: ["domain": "code"])
    for by in ["step", "patch", "patch-row", "patch-column"] {
      let plan = AnalysisPlan(metrics: [.specialization], grouping: try AnalysisGrouping(parsing: by), sequences: [text])
      #expect(throws: AnalysisError.notDenoising(asked: "--by \(by)")) { try plan.validate() }
    }
    #expect(throws: AnalysisError.notDenoising(asked: "dit-claims")) { try AnalysisPlan(metrics: [.ditClaims]).validate() }
    #expect(AnalysisError.notDenoising(asked: "--by step").description.contains("not a denoising run"))
    #expect(throws: AnalysisError.needsDecisions(metric: "entropy", instead: "specialization, choices or dit-claims")) {
      try plan([.entropy], "layer", hasDecisions: false).validate()
    }
    #expect(throws: AnalysisError.self) { try plan([.choices], "layer").validate() }
    #expect(throws: AnalysisError.self) { try plan([.load], "step").validate() }
    for metric in [MetricKey.repeatFirst, .repeatAny, .overlap, .jaccard] {
      #expect(throws: AnalysisError.self, "\(metric)") { try plan([metric], "layer").validate() }
    }
    for metric in [MetricKey.entropy, .specialization] {
      #expect(throws: AnalysisError.self, "\(metric)") { try plan([metric], "position").validate() }
    }
    #expect(throws: AnalysisError.notByBranch(metric: "importance")) { try plan([.importance], "layer").validate() }
    var other = try plan([.ditClaims], "layer")
    other.branch = 2
    #expect(throws: AnalysisError.self) { try other.validate() }
  }

  @Test(arguments: ["layer", "expert", "token", "step", "patch", "class", "step,expert", "class,expert"])
  func everyAxisHasMetricsByDefault(by: String) throws {
    for hasDecisions in [true, false] where by != "expert" && by != "token" || hasDecisions {
      var plan = try plan([], by, hasDecisions: hasDecisions)
      plan.metrics = plan.defaultMetrics
      #expect(!plan.metrics.isEmpty && !plan.metrics.contains(.repeatFirst))
      try plan.validate()
    }
  }

  /// Metrics of decisions are of one branch: what a run of that branch alone gives.
  @Test(arguments: [0, 1]) func aBranchIsLookedAtAlone(branch: Int) throws {
    let run = Self.small.run
    let metrics: [MetricKey] = [.loadCV, .load, .entropy, .uncertain, .weightedLoad]
    var plan = try plan(metrics, "layer")
    plan.branch = branch
    let both = try analyzed(plan, Self.small.passes)
    // The same decisions, the other branch's taken out row by row.
    let alone = Self.small.passes.flatMap { pass in
      pass.tokens.position.indices.filter { run.layout.place(at: Int(pass.tokens.position[$0])).branch == branch }.map {
        pass.slice($0..<$0 + 1)
      }
    }
    var text = plan
    (text.denoising, text.branch) = (nil, 0)
    let expected = try analyzed(text, alone)
    #expect(both.tokens == 24 * 10 * 16 && expected.tokens == both.tokens)
    for metric in metrics {
      let rows = try #require(try both.report()[metric]?.metricRows)
      let wanted = try #require(try expected.report()[metric]?.metricRows)
      #expect(rows.count == wanted.count && zip(rows, wanted).allSatisfy { near($0.value, $1.value) && $0.n == $1.n }, "\(metric)")
    }
    #expect(try both.report()[.loadCV]?.settings.branch == branch)
    #expect(try both.report()[.loadCV]?.notes.contains { $0.contains(branch == 0 ? "conditional" : "unconditional") } == true)
  }

  @Test func rulesAreInTheReference() {
    for claim in DenoisingClaim.allCases { #expect(MetricCatalog.markdown().contains(claim.rule)) }
  }
}
