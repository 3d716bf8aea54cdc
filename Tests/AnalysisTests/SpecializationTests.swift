import Routing
import Testing

@testable import Analysis

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Study of one facet of a synthetic run.
func study(_ run: SyntheticRouting.Run, _ facet: Facet, draws: Int, seed: UInt64 = 0, matches: Bool = true) throws -> SpecializationStudy {
  let settings = NullSettings(draws: draws, seed: seed)
  switch facet {
  case .label(let key):
    var counts = PerRouter(StratumCounts())
    for pass in run.passes { counts.add(pass) }
    return try SpecializationStudy(label: key, counts: counts, sequences: run.sequences, settings: settings, matchesLengths: matches)
  case .position:
    var routes = PerRouter(RouteStore())
    for pass in run.passes { routes.add(pass) }
    return try SpecializationStudy(positions: routes, settings: settings)
  case .vocabulary, .tokenClass, .tokenLabel:
    var routes = PerRouter(RouteStore(keepsTokens: true))
    for pass in run.passes { routes.add(pass) }
    return try SpecializationStudy(tokens: facet, routes, words: { "\($0)" }, settings: settings)
  case .step, .patchRow, .patchColumn, .patch: throw AnalysisError.notDenoising(asked: facet.name)
  }
}

private func only(_ results: [SpecializationResult]) throws -> SpecializationResult { try #require(results.first) }

@Suite struct InformationTests {
  @Test func handComputed() {
    #expect(near(mutualInformation(table: [2, 2, 3, 3], cells: 2, experts: 2), 0))
    #expect(near(mutualInformation(table: [5, 0, 0, 5], cells: 2, experts: 2), log(2)))
    // p = .4 .1 / .1 .4
    let expected = 0.8 * log(0.4 / 0.25) + 0.2 * log(0.1 / 0.25)
    #expect(near(mutualInformation(table: [4, 1, 1, 4], cells: 2, experts: 2), expected))
    #expect(mutualInformation(table: [0, 0], cells: 1, experts: 2) == 0)
    #expect(near(XLogX.shared(10_000), 10_000 * log(10_000)))
  }

  @Test func jackknifeOfAMeanIsTheTInterval() throws {
    let values = [1.0, 4, 2, 8, 5, 7]
    let mean = values.reduce(0, +) / 6
    let sd = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 5).squareRoot()
    let interval = try #require(Jackknife.interval(estimate: mean, leftOut: values.map { (mean * 6 - $0) / 5 }))
    #expect(abs(interval.high - (mean + 2.5706 * sd / 6.0.squareRoot())) < 0.01)
    #expect(near(interval.low + interval.high, 2 * mean))
    #expect(Jackknife.interval(estimate: 0, leftOut: [1, 2, 3, nil, 5, 6]) == nil)
    #expect(Jackknife.interval(estimate: 0, leftOut: [1, 2, 3, 4]) == nil)
  }

  /// Tables to whole degrees of freedom, numerical integration for those between.
  @Test(arguments: [
    (1.0, 12.70620), (1.2, 8.64883), (1.5, 6.01666), (2, 4.30265), (2.5, 3.57465), (3, 3.18245), (4, 2.77645), (10, 2.22814),
    (29.5, 2.04372), (30, 2.04227), (255, 1.96931),
  ])
  func quantilesOfStudent(freedom: Double, t: Double) throws {
    #expect(abs(try #require(Jackknife.studentQuantile975(freedom: freedom)) - t) < 2e-5)
  }

  @Test func belowOneDegreeOfFreedomThereIsNone() {
    for freedom in [0.99, 0, -1, .nan, .infinity] { #expect(Jackknife.studentQuantile975(freedom: freedom) == nil, "\(freedom)") }
    #expect(Jackknife.interval(estimate: 0, leftOut: [1, 2, 3, 4, 5, 6], freedom: 0.5) == nil)
  }
}

@Suite struct LabelSpecializationTests {
  /// Under the null p is uniform although documents cluster strongly.
  @Test func pIsUniformUnderTheNull() throws {
    let ps = try (0..<200).map { repetition -> Double in
      let run = try SyntheticRouting(documents: 20, length: 24...24, dirichlet: 1, seed: 1000 + UInt64(repetition)).run(tokensPerPass: 480)
      return try only(study(run, .label("domain"), draws: 199, seed: UInt64(repetition)).result()).p
    }
    #expect(uniformityP(ps) > 0.01)
  }

  /// Documents cluster, domains mean nothing: permuting documents is quiet, permuting tokens cries out.
  @Test func clusteredDocumentsAreNotSpecialization() throws {
    var quiet = 0
    for seed in 0..<10 {
      let run = try SyntheticRouting(documents: 24, length: 60...60, dirichlet: 0.5, seed: UInt64(seed)).run()
      let result = try only(study(run, .label("domain"), draws: 199).result())
      if result.p > 0.05 { quiet += 1 }
      #expect(abs(result.effect ?? .infinity) < 4 * result.nullSD)
      #expect(naiveTokenLevelP(run) == 0.01, "the naive test takes clustering for specialization")
    }
    #expect(quiet >= 8)
  }

  /// The mistake: labels permuted over tokens.
  private func naiveTokenLevelP(_ run: SyntheticRouting.Run) -> Double {
    var cells: [Int] = []
    var firsts: [Int] = []
    let names = Set(run.sequences.compactMap { $0.labels["domain"] }).sorted()
    for pass in run.passes {
      for row in 0..<pass.tokens.count {
        cells.append(names.firstIndex(of: run.sequences[Int(pass.tokens.sequence[row])].labels["domain"] ?? "") ?? 0)
        firsts.append(Int(pass.batches[0].selectedExperts[row * pass.batches[0].topK]))
      }
    }
    func information(_ cells: [Int]) -> Double {
      var table = Array(repeating: UInt32(0), count: names.count * 8)
      for (cell, expert) in zip(cells, firsts) { table[cell * 8 + expert] += 1 }
      return mutualInformation(table: table, cells: names.count, experts: 8)
    }
    let observed = information(cells)
    var random = SplitMix64(seed: 4)
    var shuffled = cells
    let reached = (0..<99).count { _ in
      random.shuffle(&shuffled)
      return information(shuffled) >= observed
    }
    return Double(1 + reached) / 100
  }

  @Test func plantedDomainIsFound() throws {
    let run = try SyntheticRouting(documents: 32, layers: 2, dirichlet: 2, domainEffect: 1.5, seed: 3).run()
    for result in try study(run, .label("domain"), draws: 499).result() {
      let effect = try #require(result.effect)
      #expect(result.p == 1.0 / 500 && result.adjustedP == result.p && effect > 5 * result.nullSD)
      let interval = try #require(result.interval)
      #expect(interval.low > 0 && interval.low < effect && effect < interval.high)
      #expect(near(interval.low + interval.high, 2 * effect) && effect < result.mutualInformation)
      #expect(near(result.cellEntropy, log(4)))
      let best = try #require(result.enrichment.first)
      #expect(best.adjustedP ?? 1 < 0.05 && !best.isFaint)
      #expect(result.matched == nil)
    }
  }

  /// The factor of the interval is the t quantile of the mean number of texts a value, less one: 1.5 to 4 texts, and none below 2.
  @Test(
    arguments: [
      (6, 4, nil), (8, 4, 12.70620), (10, 4, 6.01666), (9, 3, 4.30265), (14, 4, 3.57465), (12, 3, 3.18245), (10, 2, 2.77645),
    ] as [(Int, Int, Double?)])
  func intervalsFollowTheTextsAValue(documents: Int, values: Int, t: Double?) throws {
    var generator = SyntheticRouting(documents: documents, length: 30...30, dirichlet: 2, seed: 4)
    generator.domains = (0..<values).map { "v\($0)" }
    let study = try study(generator.run(), .label("domain"), draws: 19)
    let result = try only(study.result())
    let information = try #require(study.information(study.draws(0..<19)).first).information
    let leftOut = information.leftOut.compactMap { $0 }
    let (n, mean) = (Double(documents), leftOut.reduce(0, +) / Double(documents))
    let spread = ((n - 1) / n * leftOut.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }).squareRoot()
    #expect(leftOut.count == documents && result.effect != nil && result.hasFewTexts == (documents / values < 5))
    #expect(near(result.interval.map { ($0.high - $0.low) / 2 }, t.map { $0 * spread }, 1e-5))
  }

  /// The largest |z| over all routers, experts and cells: a null run has a false find in about one of twenty.
  @Test func familyOfCellsIsControlled() throws {
    let alarms = try (0..<60).count { repetition in
      let run = try SyntheticRouting(documents: 16, length: 40...40, layers: 2, dirichlet: 1, seed: 400 + UInt64(repetition)).run(
        tokensPerPass: 640)
      let results = try study(run, .label("domain"), draws: 99, seed: UInt64(repetition)).result()
      return results.flatMap(\.enrichment).contains { ($0.adjustedP ?? 1) <= 0.05 }
    }
    #expect(alarms <= 8)
  }

  /// Exact spread of a cell under the null, against many draws.
  @Test func spreadIsThatOfTheNull() throws {
    let run = try SyntheticRouting(documents: 12, length: 20...60, dirichlet: 1, seed: 8).run()
    var counts = StratumCounts()
    for pass in run.passes { counts.add(pass.batches[0], tokens: pass.tokens) }
    let cells = Dictionary(uniqueKeysWithValues: (0..<12).map { ($0, Int32($0 % 3)) })
    let axis = LabelAxis(counts, cells: cells, cellNames: ["a", "b", "c"], lastBin: nil)
    let spread = axis.spread(seed: 0)
    guard case .proportional(let shares) = axis.expectation else { Issue.record("labels expect shares"); return }
    let width = axis.experts.count
    var squares = Array(repeating: 0.0, count: axis.tableSize)
    var table = axis.observed()
    for draw in 0..<2000 {
      table.withUnsafeMutableBufferPointer { axis.tabulate(draws: draw..<draw + 1, seed: 1, into: $0) }
      for entry in table.indices {
        let cell = entry / width
        let sum = table[cell * width..<(cell + 1) * width].reduce(0) { $0 + Double($1) }
        let deviation = Double(table[entry]) - shares[entry % width] * sum
        squares[entry] += deviation * deviation
      }
    }
    for entry in spread.indices { #expect(abs((squares[entry] / 2000).squareRoot() / spread[entry] - 1) < 0.1) }
  }

  @Test func sparseAndDenseGiveTheSame() throws {
    // 400 experts, 40 tokens a document: most entries are zero, so rows are sparse; a subset of experts makes them dense.
    let wide = try SyntheticRouting(documents: 8, length: 40...40, experts: 400, topK: 1, seed: 2).run()
    let result = try only(study(wide, .label("domain"), draws: 50).result())
    var table = Array(repeating: UInt32(0), count: 4 * 400)
    let names = ["code", "law", "news", "poems"]
    for pass in wide.passes {
      for row in 0..<pass.tokens.count {
        let cell = names.firstIndex(of: wide.sequences[Int(pass.tokens.sequence[row])].labels["domain"] ?? "") ?? 0
        table[cell * 400 + Int(pass.batches[0].selectedExperts[row])] += 1
      }
    }
    #expect(near(result.mutualInformation, mutualInformation(table: table, cells: 4, experts: 400)))
    #expect(result.enrichment.allSatisfy(\.isFaint) && result.enrichment.allSatisfy { $0.adjustedP == nil })
  }

  @Test func splitDrawsAndMergedPartsChangeNoDigit() async throws {
    let run = try SyntheticRouting(documents: 16, length: 30...50, layers: 2, dirichlet: 1, domainEffect: 0.5).run(tokensPerPass: 33)
    for facet in [Facet.label("domain"), .position] {
      let whole = try study(run, facet, draws: 60)
      let expected = whole.result()
      var parts = whole.draws(40..<60)
      parts.merge(whole.draws(0..<7))
      parts.merge(whole.draws(7..<40))
      #expect(whole.result(parts) == expected)
      #expect(await whole.result(workers: 3) == expected)
      let shuffled = SyntheticRouting.Run(passes: Array(run.passes.reversed()), sequences: run.sequences)
      #expect(try study(shuffled, facet, draws: 60).result() == expected)
    }
  }

  /// Length is confounded with the label and routing changes with position: cutting to a common length removes most of it.
  @Test func matchedLengthsShowTheConfound() throws {
    var long = SyntheticRouting(documents: 12, length: 200...220, positionEffect: 3, seed: 5)
    long.domains = ["long"]
    var short = SyntheticRouting(documents: 12, length: 20...24, positionEffect: 3, seed: 6)
    short.domains = ["short"]
    let a = try long.run()
    var b = try short.run()
    let offset = a.passes.reduce(0) { $0 + $1.tokens.count }
    for index in b.passes.indices {
      b.passes[index].tokens.firstToken += offset
      b.passes[index].tokens.sequence = b.passes[index].tokens.sequence.map { $0 + 12 }
      b.passes[index].batches[0].firstToken += offset
    }
    let both = SyntheticRouting.Run(passes: a.passes + b.passes, sequences: a.sequences + b.sequences)
    let result = try only(study(both, .label("domain"), draws: 199).result())
    let matched = try #require(result.matched)
    #expect(matched.positions == 16)
    #expect(result.p == 0.005 && matched.p > 0.05)
    #expect(result.cells.map(\.name) == ["long", "short"] && result.cells[0].meanTokens > 5 * result.cells[1].meanTokens)
    #expect(try only(study(both, .label("domain"), draws: 19, matches: false).result()).matched == nil)
  }

  @Test func oneLabelCannotBeCompared() throws {
    var generator = SyntheticRouting(documents: 6)
    generator.domains = ["code"]
    let run = try generator.run()
    #expect(throws: AnalysisError.self) { try study(run, .label("domain"), draws: 19) }
    #expect(throws: AnalysisError.self) { try study(run, .label("language"), draws: 19) }
  }

  /// Rough check of the jackknife: intervals of small runs against the effect in a large one.
  @Test func jackknifeCovers() throws {
    func generator(_ documents: Int, _ seed: UInt64) -> SyntheticRouting {
      SyntheticRouting(documents: documents, length: 40...40, dirichlet: 2, seed: seed)
    }
    // The domains' preferences must be the same in all runs, so they are planted by relabelling: domain = which half of the experts
    // a document prefers most, which is a fixed property of how documents are drawn.
    func labelled(_ documents: Int, _ seed: UInt64) throws -> SyntheticRouting.Run {
      var run = try generator(documents, seed).run(tokensPerPass: 4000)
      var upper = Array(repeating: 0, count: documents)
      for pass in run.passes {
        for row in 0..<pass.tokens.count where pass.batches[0].selectedExperts[row * 2] >= 4 { upper[Int(pass.tokens.sequence[row])] += 1 }
      }
      for document in 0..<documents { run.sequences[document].labels["domain"] = upper[document] > 20 ? "upper" : "lower" }
      return run
    }
    let large = try (0..<4).map { try only(study(labelled(800, 7000 + UInt64($0)), .label("domain"), draws: 49).result()).effect ?? .nan }
    let truth = large.reduce(0, +) / 4
    let covered = try (0..<60).count { repetition in
      let result = try only(study(labelled(30, 100 + UInt64(repetition)), .label("domain"), draws: 99).result())
      guard let interval = result.interval else { return false }
      return interval.low <= truth && truth <= interval.high
    }
    #expect(covered >= 50, "\(covered) of 60 intervals hold the truth")
  }
}

@Suite struct PositionSpecializationTests {
  @Test func quietWhenTokensAreShuffledInsideDocuments() throws {
    let ps = try (0..<30).map { seed -> Double in
      let run = try SyntheticRouting(
        documents: 10, length: 30...90, dirichlet: 0.5, positionEffect: 2, shufflesWithinDocuments: true, seed: UInt64(seed)
      ).run(tokensPerPass: 900)
      return try only(study(run, .position, draws: 99, seed: UInt64(seed)).result()).p
    }
    #expect(uniformityP(ps) > 0.01)
  }

  /// Neighbours are alike, texts differ in length and taste, yet place means nothing.
  @Test func quietWhenOnlyNeighboursAreAlike() throws {
    let ps = try (0..<60).map { seed -> Double in
      let run = try SyntheticRouting(documents: 10, length: 30...90, dirichlet: 0.5, stickiness: 0.8, seed: 50 + UInt64(seed)).run(
        tokensPerPass: 900)
      return try only(study(run, .position, draws: 99, seed: UInt64(seed)).result()).p
    }
    #expect(ps.count { $0 <= 0.05 } <= 8)
    #expect(uniformityP(ps) > 0.005)
  }

  @Test func loudWhenPlanted() throws {
    let run = try SyntheticRouting(documents: 16, length: 50...90, dirichlet: 1, positionEffect: 2, seed: 9).run()
    let result = try only(study(run, .position, draws: 199).result())
    #expect(result.p == 0.005 && result.effect ?? 0 > 0.02)
    #expect(result.cells.map(\.name) == ["0", "1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127"])
    #expect(result.cells[0].tokens == 16)
    let best = try #require(result.enrichment.first)
    #expect(best.adjustedP ?? 1 <= 0.01)
    #expect(result.enrichment.filter { ($0.adjustedP ?? 1) <= 0.01 && $0.z > 0 && $0.cell <= 4 }.allSatisfy { $0.expert.rawValue < 2 })
  }

  /// Routing that stays with an expert in short texts: the join of a plain circular shift makes p too small in one run of nine.
  @Test func sizeHoldsForStickyRouting() throws {
    let ps = try (0..<250).map { seed -> Double in
      let run = try SyntheticRouting(documents: 20, length: 64...64, topK: 1, stickiness: 0.9, seed: 7000 + UInt64(seed)).run(
        tokensPerPass: 1280)
      return try only(study(run, .position, draws: 99, seed: UInt64(seed)).result()).p
    }
    #expect(ps.count { $0 <= 0.05 } <= 21, "\(ps.count { $0 <= 0.05 }) of 250, 12.5 expected")
  }

  /// Running counts, direct counting and a plain loop over the definition give the same table for every draw.
  @Test func shiftsAreExact() throws {
    let run = try SyntheticRouting(documents: 5, length: 1...40, experts: 6, topK: 2, seed: 12).run()
    var store = RouteStore()
    for pass in run.passes { store.add(pass.batches[0], tokens: pass.tokens) }
    let fast = PositionAxis(store, usesRunningCounts: true)
    let direct = PositionAxis(store, usesRunningCounts: false)
    let routes = store.sequences()
    var a = fast.observed()
    var b = a
    for draw in 0..<50 {
      a.withUnsafeMutableBufferPointer { fast.tabulate(draws: draw..<draw + 1, seed: 5, into: $0) }
      b.withUnsafeMutableBufferPointer { direct.tabulate(draws: draw..<draw + 1, seed: 5, into: $0) }
      #expect(a == b)
      var random = SplitMix64(seed: 5, stream: UInt64(draw))
      var plain = Array(repeating: UInt32(0), count: fast.tableSize)
      for route in routes {
        let length = route.positions.count
        let place = route.positions[random.below(length)]
        let shift = route.positions.firstIndex { PositionBin(position: $0) == PositionBin(position: place) } ?? 0
        let isBackwards = random.below(2) == 1
        for token in 0..<length {
          let cell = fast.cellNames.firstIndex(of: PositionBin(position: route.positions[(token + shift) % length]).name) ?? 0
          let taken = isBackwards ? length - 1 - token : token
          for slot in 0..<2 {
            let column = fast.experts.firstIndex(of: Int(route.experts[taken * 2 + slot])) ?? 0
            plain[cell * fast.experts.count + column] += 1
          }
        }
      }
      #expect(a == plain)
    }
    // The exact mean over shifts is what many draws average to.
    guard case .fixed(let mean) = fast.expectation else { Issue.record("positions expect a table"); return }
    var sums = Array(repeating: 0.0, count: fast.tableSize)
    for draw in 0..<3000 {
      a.withUnsafeMutableBufferPointer { fast.tabulate(draws: draw..<draw + 1, seed: 6, into: $0) }
      for entry in a.indices { sums[entry] += Double(a[entry]) }
    }
    for entry in mean.indices { #expect(abs(sums[entry] / 3000 - mean[entry]) < 0.25) }
  }
}
