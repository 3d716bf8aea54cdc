// Metrics under a filter are those of a run that is what passes and nothing else: every decision that passes is put into a run of its own by the
// test, and analysed without a filter.

import Routing
import Testing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct FilteredAnalysisTests {
  private static let spec = RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2))
  private static let routers = (0..<2).map { RouterDescription(id: RouterID(layer: $0), spec: spec) }

  private func run(seed: UInt64 = 4) throws -> SyntheticRouting.Run {
    try SyntheticRouting(
      documents: 16, length: 20...44, experts: 8, topK: 2, layers: 2, dirichlet: 1, domainEffect: 0.7, positionEffect: 1, stickiness: 0.4,
      seed: seed
    ).run(tokensPerPass: 50)
  }

  private func filter(_ text: String, _ run: SyntheticRouting.Run) throws -> ResolvedFilter {
    var survey = EntropySurvey()
    for pass in run.passes { survey.add(pass) }
    return try Filter(parsing: text).resolved(in: FilterContext(routers: Self.routers, sequences: run.sequences)) {
      survey.share(ofQuantile: $0)
    }
  }

  private func report(
    _ metrics: [MetricKey], _ run: SyntheticRouting.Run, passes: [RoutingPass]? = nil, filter: ResolvedFilter? = nil,
    by grouping: AnalysisGrouping = .layer, threshold: EntropyThreshold = .share(0.8), hasAllLogits: Bool = true
  ) throws -> AnalysisReport {
    let plan = AnalysisPlan(
      metrics: metrics, grouping: grouping, filter: filter, threshold: threshold, null: NullSettings(draws: 49, seed: 3), intervals: true,
      top: 10_000, matchesLengths: false, sequences: run.sequences, routers: Self.routers,
      recording: RecordingLevel(content: .full, logitsEvery: hasAllLogits ? 1 : 2, extras: .all))
    var analysis = try RunAnalysis(plan)
    repeat { for pass in passes ?? run.passes { analysis.add(pass) } } while analysis.beginNextRound()
    return try analysis.report()
  }

  /// A pass for each decision that `filter` lets pass, asked row by row.
  private func apart(_ run: SyntheticRouting.Run, _ filter: ResolvedFilter) -> [RoutingPass] {
    run.passes.flatMap { pass in
      pass.batches.flatMap { batch in
        (0..<batch.count).filter { filter.passes($0, of: batch, tokens: pass.tokens) }.map { row in
          let token = batch.firstToken - pass.tokens.firstToken + row
          return RoutingPass(tokens: pass.tokens.slice(token..<token + 1), batches: [batch.slice(row..<row + 1)])
        }
      }
    }
  }

  private func same(_ a: [MetricRow], _ b: [MetricRow]) -> Bool {
    a.count == b.count
      && zip(a, b).allSatisfy { x, y in
        (x.router, x.expert, x.cell, x.n, x.unit) == (y.router, y.expert, y.cell, y.n, y.unit) && near(x.value, y.value)
          && near(x.baseline, y.baseline) && Set(x.fields.keys) == Set(y.fields.keys)
          && x.fields.keys.allSatisfy { near(x[$0], y[$0], 1e-6) }
      }
  }

  private static let filters = [
    "position>4 entropy>0.7", "expert=1,3", "!expert=0 layer=1", "domain=code,law weight>0.5", "position=3-12,20 margin<0.05",
    "rank=0 weight<0.4",
    "!domain=poems",
  ]

  @Test(arguments: filters) func metricsOfWhatPassesAreThoseOfARunOfIt(_ text: String) throws {
    let run = try run()
    let filter = try filter(text, run)
    let apart = apart(run, filter)
    #expect(!apart.isEmpty)
    let byLayer: [MetricKey] = [
      .loadCV, .maxViolation, .maxOverMean, .gini, .coverage, .idle, .loadEntropy, .effectiveExperts, .dropped, .entropy, .entropyNats,
      .top1Margin, .selectionMargin, .topKMass, .uncertain, .repeatFirst, .repeatAny, .overlap, .jaccard,
      .routerPerplexity, .topKEntropy, .flipRisk,
    ]
    let byExpert: [MetricKey] = [.load, .activationRate, .loadRatio, .weightedLoad]
    let byDomain = byLayer.filter { $0 != .dropped }
    let questions: [([MetricKey], AnalysisGrouping)] = [
      (byLayer, .layer), (byExpert, AnalysisGrouping(byExpert: true)), (byDomain, AnalysisGrouping(facet: .label("domain"))),
      ([.loadCV, .entropy, .uncertain], AnalysisGrouping(facet: .position)),
    ]
    for (metrics, grouping) in questions {
      let found = try report(metrics, run, filter: filter, by: grouping)
      let expected = try report(metrics, run, passes: apart, by: grouping)
      for metric in metrics {
        let rows = try #require(found[metric]?.metricRows)
        // Values of a label whose texts have gone are no rows under a filter.
        let wanted = try #require(expected[metric]?.metricRows).filter { row in row.cell == nil || rows.contains { $0.cell == row.cell } }
        #expect(!rows.isEmpty && same(rows, wanted), "\(metric) by \(grouping) of \(text)")
      }
    }
  }

  @Test(arguments: ["position>4 entropy>0.7", "!expert=2", "layer=1", "domain=code,law"])
  func specializationOfWhatPassesIsThatOfARunOfIt(_ text: String) throws {
    let run = try run()
    let filter = try filter(text, run)
    for facet in [Facet.label("domain"), .position] {
      let found = try report([.specialization], run, filter: filter, by: AnalysisGrouping(facet: facet))
      let expected = try report([.specialization], run, passes: apart(run, filter), by: AnalysisGrouping(facet: facet))
      guard case .specialization(let a)? = found[.specialization]?.rows, case .specialization(let b)? = expected[.specialization]?.rows
      else {
        Issue.record("no rows")
        return
      }
      #expect(a.count == b.count && !a.isEmpty)
      for (x, y) in zip(a, b) {
        #expect(x.router == y.router && x.p == y.p && x.assignments == y.assignments, "\(text) by \(facet.name)")
        #expect(
          near(x.effect, y.effect) && near(x.nullMean, y.nullMean) && near(x.interval?.low, y.interval?.low), "\(text) by \(facet.name)")
      }
    }
  }

  /// What an engine sums over whole passes is summed again from the logits of what passes.
  @Test func sumsOverPassesAreTakenAgainFromLogits() throws {
    let run = try run()
    let filter = try filter("position>4 entropy>0.7", run)
    var probabilities: [RouterID: [Double]] = [:]
    var squares: [RouterID: Double] = [:]
    var counts: [RouterID: Int] = [:]
    for pass in run.passes {
      for batch in pass.batches {
        for row in 0..<batch.count where filter.passes(row, of: batch, tokens: pass.tokens) {
          let logits = try #require(batch.logits?.values[row * 8..<(row + 1) * 8]).map(Double.init)
          let sum = logits.reduce(0.0) { $0 + exp($1) }
          squares[batch.router, default: 0] += log(sum) * log(sum)
          counts[batch.router, default: 0] += 1
          for (expert, logit) in logits.enumerated() {
            probabilities[batch.router, default: Array(repeating: 0, count: 8)][expert] += exp(logit) / sum
          }
        }
      }
    }
    let layers = try report([.zLoss, .balanceLoss, .balanceLossHF, .tokenInformation], run, filter: filter)
    for row in try #require(layers[.zLoss]?.metricRows) {
      let n = try #require(counts[row.router])
      let mean = try #require(squares[row.router]) / Double(n)
      #expect(row.n == n && near(row.value, mean, 1e-5))
    }
    let experts = try report([.importance], run, filter: filter, by: AnalysisGrouping(byExpert: true))
    for row in try #require(experts[.importance]?.metricRows) {
      let own = try #require(probabilities[row.router])
      let share = try own[#require(row.expert)] / own.reduce(0, +)
      #expect(near(row.value, share, 1e-5))
    }
    let losses = try #require(layers[.balanceLoss]?.metricRows)
    #expect(losses.allSatisfy { ($0.value ?? 0) > 0.9 && $0.n == counts[$0.router] })
    for metric in [MetricKey.zLoss, .balanceLoss, .balanceLossHF, .tokenInformation] {
      let error = #expect(throws: AnalysisError.self) { try report([metric], run, filter: filter, hasAllLogits: false) }
      #expect(error.map { "\($0)" }?.contains("--record full") == true)
      // Whole routers have their sums.
      _ = try report([metric], run, filter: self.filter("layer=1", run), hasAllLogits: false)
    }
  }

  @Test func aQuantileThresholdIsOneOfTheRun() throws {
    let run = try run()
    let whole = try report([.uncertain], run, threshold: .quantile(0.9))
    let share = try #require(whole[.uncertain]?.settings.thresholdShare)
    let filter = try filter("domain=code position>3", run)
    let found = try report([.uncertain], run, filter: filter, threshold: .quantile(0.9))
    #expect(found[.uncertain]?.settings.thresholdShare == share)
    for row in try #require(found[.uncertain]?.metricRows) {
      var (over, all) = (0, 0)
      for pass in run.passes {
        for batch in pass.batches where batch.router == row.router {
          for index in 0..<batch.count where filter.passes(index, of: batch, tokens: pass.tokens) {
            all += 1
            if Double(normalizedEntropy(batch.routerEntropy[index], experts: 8)) >= share { over += 1 }
          }
        }
      }
      #expect(row.n == all && near(row.value, Double(over) / Double(all)) && near(row.baseline, 0.1))
    }
    // The same quantile as a term is the same threshold.
    let over = try report([.uncertain], run, filter: self.filter("entropy>=q0.9", run), threshold: .quantile(0.9))
    #expect(over[.uncertain]?.metricRows.allSatisfy { $0.value == 1 } == true)
  }

  /// A list shows a token when one of its decisions passes, with all that is said of the token otherwise.
  @Test func aListShowsTokensOfWhichADecisionPasses() throws {
    let run = try run()
    let filter = try filter("expert=3 entropy>0.6 !domain=law", run)
    let byToken = AnalysisGrouping(byToken: true)
    for threshold in [EntropyThreshold.share(0.8), .quantile(0.9)] {
      guard case .tokens(let all)? = try report([.uncertain], run, by: byToken, threshold: threshold)[.uncertain]?.rows,
        case .tokens(let found)? = try report([.uncertain], run, filter: filter, by: byToken, threshold: threshold)[.uncertain]?.rows
      else {
        Issue.record("no list")
        return
      }
      let shown = Set(
        run.passes.flatMap { pass in (0..<pass.tokens.count).filter { filter.shows($0, of: pass) }.map { pass.tokens.firstToken + $0 } })
      let wanted = all.filter { shown.contains($0.token) }
      #expect(found.map(\.token) == wanted.map(\.token) && found.map(\.routersOver) == wanted.map(\.routersOver) && !found.isEmpty)
      #expect(found.count < all.count)
    }
  }

  @Test func partsMergeToTheWhole() throws {
    let run = try run()
    let plan = AnalysisPlan(
      metrics: [.loadCV, .uncertain, .repeatFirst], filter: try filter("position>2 weight>0.3", run), threshold: .quantile(0.8),
      sequences: run.sequences, routers: Self.routers)
    var whole = try RunAnalysis(plan)
    for pass in run.passes { whole.add(pass) }
    var merged = try RunAnalysis(plan)
    for passes in [run.passes.dropLast(4), run.passes.suffix(4)] {
      var part = merged.emptyPart()
      for pass in passes { part.add(pass) }
      merged.merge(part)
    }
    let (a, b) = (try whole.report(), try merged.report())
    for metric in plan.metrics { #expect(same(a[metric]?.metricRows ?? [], b[metric]?.metricRows ?? [])) }
    #expect(a.documents[0].tokens == b.documents[0].tokens && a.documents[0].notes == b.documents[0].notes)
  }

  @Test func nothingLeftIsAnError() throws {
    let run = try run()
    for text in ["position>4000", "entropy<0.1 entropy>0.9", "expert=1 rank>1", "layer=0 layer=1"] {
      let error = #expect(throws: FilterError.self) { try report([.loadCV], run, filter: filter(text, run)) }
      #expect(error.map { "\($0)" }?.contains("none of the") == true, "\(text)")
    }
    // Pairs are counted where both pass: with no neighbours left there is no number, and the decisions are still there.
    let row = try #require(try report([.repeatFirst], run, filter: filter("position=3", run))[.repeatFirst]?.metricRows.first)
    #expect(row.value == nil && row.n == 0)
  }

  @Test func everyFormSaysTheFilter() throws {
    let run = try run()
    let text = "expert=3 domain=code"
    let report = try report([.loadCV, .entropy], run, filter: filter(text, run))
    #expect(report.documents.allSatisfy { $0.settings.filter == text })
    let passing = apart(run, try filter(text, run)).count
    let decisions = run.passes.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.count } }
    for notes in [report.documents[0].notes] + report.tables(width: 200).map(\.notes) {
      #expect(notes.contains { $0.hasPrefix("filter: \(text) (\(passing) of \(decisions) decisions, ") })
      #expect(notes.contains { $0.contains("chance values know nothing of") })
    }
    let records = report.records()
    #expect(records.allSatisfy { $0.columns.last == "filter" && $0.rows.allSatisfy { $0.last?.plain == text } })
    #expect(try self.report([.loadCV], run).records().allSatisfy { !$0.columns.contains("filter") })
  }

  /// Whole images are counted: labels choose among them, routers among tables, and nothing finer is.
  @Test func countsOfImagesTakeWholeImages() throws {
    let layout = DenoisingLayout(
      sampler: "ddpm", timesteps: (0..<6).map { Float(6 - $0) }, branchCount: 2, patchRows: 2, patchColumns: 2, guidanceScale: 2)
    var random = SplitMix64(seed: 9)
    let rule = try Router(Self.spec)
    let sequences = (0..<12).map { SequenceDescription(name: "\($0)", labels: ["class": "\($0 % 3)"]) }
    let passes = (0..<12 * layout.rowsPerSample / 24).map { index -> RoutingPass in
      var tokens = TokenTable(firstToken: index * 24)
      for row in index * 24..<(index + 1) * 24 {
        tokens.append(sequence: row / layout.rowsPerSample, position: row % layout.rowsPerSample, tokenID: -1, phase: .denoise)
      }
      let batches = Self.routers.map { router in
        var batch = RoutingBatch(router: router.id, expertCount: 8, topK: 2, firstToken: index * 24, count: 24)
        let logits = (0..<24 * 8).map { _ in Float(random.unit() * 3) }
        rule.decide(logits, demand: RoutingDemand(), into: &batch)
        return batch
      }
      return RoutingPass(tokens: tokens, batches: batches)
    }
    let metrics: [MetricKey] = [.useEntropy, .stepDrift, .pathOverlap, .loadCV]
    func report(_ text: String?, _ passes: [RoutingPass], _ metrics: [MetricKey]) throws -> AnalysisReport {
      let context = FilterContext(routers: Self.routers, sequences: sequences, layout: layout)
      let plan = AnalysisPlan(
        metrics: metrics, filter: try text.map { try Filter(parsing: $0).resolved(in: context) }, null: NullSettings(draws: 19),
        sequences: sequences, routers: Self.routers, denoising: layout)
      var analysis = try RunAnalysis(plan)
      repeat { for pass in passes { analysis.add(pass) } } while analysis.beginNextRound()
      return try analysis.report()
    }
    let kept = passes.flatMap { pass -> [RoutingPass] in
      let rows = pass.tokens.sequence.indices.filter { pass.tokens.sequence[$0] % 3 != 1 }
      return rows.map { row in
        RoutingPass(tokens: pass.tokens.slice(row..<row + 1), batches: pass.batches.map { $0.slice(row..<row + 1) })
      }
    }
    let found = try report("class=0,2 layer=1", passes, metrics)
    let expected = try report(nil, kept, metrics)
    for metric in metrics {
      let rows = try #require(found[metric]?.metricRows)
      #expect(same(rows, (expected[metric]?.metricRows ?? []).filter { $0.router == RouterID(layer: 1) }) && rows.count == 1, "\(metric)")
    }
    for metric in [MetricKey.useEntropy, .earlyLate, .stepDrift, .pathOverlap, .specialists, .ditClaims] {
      let error = #expect(throws: AnalysisError.self) { try report("step>2", passes, [metric]) }
      #expect(error.map { "\($0)" }?.contains("whole images") == true)
    }
    _ = try report("step>2 patch-row=0 branch=0 entropy>0.5", passes, [.loadCV, .entropy])
  }
}
