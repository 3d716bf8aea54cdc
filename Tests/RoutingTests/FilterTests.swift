// What filters decide: each term on rows made for it, the laws of negation and of terms of assignments, random filters over random batches
// against a row-by-row evaluation of their own, and what a filter asks of a run.

import Routing
import Testing

struct FilterTests {
  /// Three routers over `count` tokens: `ffn.0` (8 experts, top-3), `ffn.4` (6, top-2), `attn.1` (4, top-1), with NaN, drops and padding here and
  /// there; texts, labels and coordinates by simple rules.
  private func run(_ count: Int, seed: UInt64, firstToken: Int = 10) -> (pass: RoutingPass, context: FilterContext) {
    var random = SplitMix64(seed: seed)
    var tokens = TokenTable(firstToken: firstToken)
    for row in 0..<count {
      let phase: TokenPhase = [.prefill, .decode, .encode][random.below(3)]
      tokens.append(
        sequence: row * 3 / max(1, count), position: row, tokenID: Int32(random.below(9)), phase: phase,
        surprisal: row % 7 == 0 ? .nan : Float(random.unit() * 6))
    }
    let shapes = [(RouterID(layer: 0), 8, 3), (RouterID(layer: 4), 6, 2), (RouterID(stack: .attention, layer: 1), 4, 1)]
    let batches = shapes.map { router, experts, topK in
      // A router may have seen a part of the tokens only.
      let missing = random.below(3)
      var batch = RoutingBatch(
        router: router, expertCount: experts, topK: topK, firstToken: firstToken + missing, count: max(0, count - missing))
      batch.dropped = Array(repeating: false, count: batch.count * topK)
      for row in 0..<batch.count {
        var free = Array(0..<Int32(experts))
        for rank in 0..<topK {
          let slot = row * topK + rank
          if rank == topK - 1 && random.below(6) == 0 { break }
          batch.selectedExperts[slot] = free.remove(at: random.below(free.count))
          batch.routingWeights[slot] = Float(random.below(10)) / 10
          batch.dropped?[slot] = random.below(8) == 0
        }
        if random.below(8) > 0 { batch.routerEntropy[row] = Float(random.unit() * 2) }
        if random.below(8) > 0 { batch.selectionMargin[row] = Float(random.unit() / 10) }
      }
      return batch
    }
    var facts = TokenFacts(count: tokens.count)
    for row in 0..<tokens.count where (tokens.firstToken + row) % 5 != 0 {
      facts.setCoordinate("depth", Double((tokens.firstToken + row) % 5) / 4, of: row)
    }
    tokens.facts = facts
    let routers = shapes.map { router, experts, topK in
      RouterDescription(id: router, spec: RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    }
    let context = FilterContext(
      routers: routers,
      sequences: [
        SequenceDescription(name: "a", labels: ["domain": "code"]),
        SequenceDescription(name: "b", labels: ["domain": "law", "layer": "x"]),
        SequenceDescription(name: "c"),
      ], hasTexts: true, coordinates: ["depth"], text: Self.text)
    return (RoutingPass(tokens: tokens, batches: batches), context)
  }

  @Sendable private static func text(_ id: Int32) -> String? { [" the", "The", "Bank", "·", "é", "e\u{301}", "x y", "", nil][Int(id)] }

  private func passing(_ text: String, _ run: (pass: RoutingPass, context: FilterContext)) throws -> [[Bool]] {
    try Filter(parsing: text).resolved(in: run.context).selection(of: run.pass).decisions
  }

  // MARK: - Against a row-by-row evaluation

  /// A term as text and as a predicate over plain values, written without the product's own types of terms.
  private typealias Oracle = (text: String, holds: @Sendable (Row) -> Bool)
  private struct Row {
    var layer: Int
    var path: String
    var experts: Int
    var entropy: Float
    var margin: Float
    /// By rank; those that were taken.
    var taken: [(rank: Int, expert: Int, weight: Float)]
    var token: Int
    var position: Int
    var id: Int
    var phase: String
    var surprisal: Float
    var labels: [String: String]
  }

  private static let decisionOracles: [Oracle] = [
    ("layer=0,3-5", { $0.layer == 0 || (3...5).contains($0.layer) }), ("layer>0", { $0.layer > 0 }),
    ("router=ffn.*", { $0.path.hasPrefix("ffn.") }), ("entropy>0.6", { Double(normalizedEntropy($0.entropy, experts: $0.experts)) > 0.6 }),
    ("entropy<=1.1nat", { Double($0.entropy) <= 1.1 }), ("margin<0.04", { Double($0.margin) < 0.04 }),
  ]
  private static let assignmentOracles: [(text: String, holds: @Sendable ((rank: Int, expert: Int, weight: Float)) -> Bool)] = [
    ("expert=1,3", { $0.expert == 1 || $0.expert == 3 }), ("expert>=2", { $0.expert >= 2 }), ("rank=0", { $0.rank == 0 }),
    ("rank>0", { $0.rank > 0 }), ("weight>0.4", { Double($0.weight) > 0.4 }), ("weight=0", { $0.weight == 0 }),
  ]
  private static let tokenOracles: [Oracle] = [
    ("position>4", { $0.position > 4 }), ("position=2-6", { (2...6).contains($0.position) }), ("id=5,7", { [5, 7].contains($0.id) }),
    ("token=\" the\"", { text(Int32($0.id)) == " the" }), ("token~the", { $0.id < 2 }), ("token=\"é\"", { $0.id == 4 }),
    ("bos", { $0.position == 0 }), ("phase=decode", { $0.phase == "decode" }), ("surprisal>3", { $0.surprisal > 3 }),
    ("domain=law,code", { $0.labels["domain"] != nil }), ("label:layer=x", { $0.labels["layer"] == "x" }),
    ("@depth>0.5", { $0.token % 5 == 3 || $0.token % 5 == 4 }),
  ]

  @Test(arguments: 0..<40 as Range<UInt64>) func randomFiltersEqualARowByRowEvaluation(_ seed: UInt64) throws {
    var random = SplitMix64(seed: 1000 + seed)
    let run = run(1 + random.below(30), seed: seed)
    for _ in 0..<12 {
      var words: [String] = []
      var tests: [(Row) -> Bool] = []
      var together: [((rank: Int, expert: Int, weight: Float)) -> Bool] = []
      for oracle in Self.decisionOracles + Self.tokenOracles where random.below(12) == 0 {
        let isNegated = random.below(3) == 0
        words.append((isNegated ? "!" : "") + oracle.text)
        tests.append { oracle.holds($0) != isNegated }
      }
      for oracle in Self.assignmentOracles where random.below(5) == 0 || words.isEmpty && together.isEmpty {
        if random.below(3) == 0 {
          words.append("!" + oracle.text)
          tests.append { !$0.taken.contains(where: oracle.holds) }
        } else {
          words.append(oracle.text)
          together.append(oracle.holds)
        }
      }
      random.shuffle(&words)
      let filter = try Filter(parsing: words.joined(separator: " ")).resolved(in: run.context)
      let selection = filter.selection(of: run.pass)
      for (index, batch) in run.pass.batches.enumerated() {
        for row in 0..<batch.count {
          let values = values(row, batch, run)
          let expected =
            tests.allSatisfy { $0(values) }
            && (together.isEmpty || values.taken.contains { slot in together.allSatisfy { $0(slot) } })
          #expect(selection.decisions[index][row] == expected, "\(words.joined(separator: " ")) at \(batch.router), row \(row)")
          #expect(filter.passes(row, of: batch, tokens: run.pass.tokens) == expected)
        }
      }
      for row in 0..<run.pass.tokens.count where filter.filter.selectsDecisions {
        let shows = run.pass.batches.indices.contains { index in
          let own = run.pass.tokens.firstToken + row - run.pass.batches[index].firstToken
          return selection.decisions[index].indices.contains(own) && selection.decisions[index][own]
        }
        #expect(selection.tokens[row] == shows && filter.shows(row, of: run.pass) == shows)
      }
    }
  }

  private func values(_ row: Int, _ batch: RoutingBatch, _ run: (pass: RoutingPass, context: FilterContext)) -> Row {
    let token = batch.firstToken + row
    let place = token - run.pass.tokens.firstToken
    let taken = (0..<batch.topK).filter { batch.selectedExperts[row * batch.topK + $0] >= 0 }.map { rank in
      let slot = row * batch.topK + rank
      return (rank, Int(batch.selectedExperts[slot]), batch.dropped?[slot] == true ? 0 : batch.routingWeights[slot])
    }
    return Row(
      layer: batch.router.layer.rawValue, path: batch.router.description, experts: batch.expertCount, entropy: batch.routerEntropy[row],
      margin: batch.selectionMargin[row], taken: taken, token: token, position: Int(run.pass.tokens.position[place]),
      id: Int(run.pass.tokens.tokenID[place]), phase: "\(run.pass.tokens.phase[place])", surprisal: run.pass.tokens.surprisal[place],
      labels: run.context.sequences[Int(run.pass.tokens.sequence[place])].labels)
  }

  // MARK: - Laws

  /// Each term and its negation divide the decisions, numbers that are not there included.
  @Test func aTermAndItsNegationDivideTheDecisions() throws {
    let run = run(60, seed: 7)
    for text in (Self.decisionOracles + Self.tokenOracles).map(\.text) + Self.assignmentOracles.map(\.text) {
      let both = zip(try passing(text, run), try passing("!" + text, run))
      for (with, without) in both { #expect(zip(with, without).allSatisfy { $0 != $1 }, "\(text)") }
    }
  }

  /// Terms of assignments are of one assignment: expert 5 in the first place is not expert 5 somewhere and someone in the first place.
  @Test func termsOfAssignmentsMeetInOne() throws {
    var run = run(2, seed: 1)
    var batch = RoutingBatch(router: RouterID(layer: 0), expertCount: 8, topK: 3, firstToken: 10, count: 2)
    batch.selectedExperts = [5, 2, -1, 2, 5, 1]
    batch.routingWeights = [0.1, 0.9, 0, 0.6, 0.3, 0.1]
    run.pass.batches = [batch]
    #expect(try passing("expert=5 rank=0", run) == [[true, false]])
    #expect(try passing("expert=5 weight>0.2", run) == [[false, true]])
    #expect(try passing("!expert=1", run) == [[true, false]])
    #expect(try passing("expert=5 !rank=2", run) == [[true, false]])
    #expect(try passing("rank=2", run) == [[false, true]])
  }

  @Test func beginningsAreTheTokenizersOrPositionZero() throws {
    var run = run(9, seed: 3)
    let tokens = run.pass.tokens
    func shown() throws -> [Bool] { try Filter(parsing: "bos").resolved(in: run.context).selection(of: run.pass).tokens }
    #expect(try shown() == tokens.position.map { $0 == 0 })
    run.context.beginningID = 4
    #expect(try shown() == tokens.tokenID.map { $0 == 4 })
  }

  @Test func placesOfImagesFollowFromTheirPosition() throws {
    let layout = DenoisingLayout(sampler: "ddpm", timesteps: [3, 2], branchCount: 2, patchRows: 2, patchColumns: 3, guidanceScale: 2)
    var tokens = TokenTable()
    for position in 0..<24 { tokens.append(sequence: 0, position: position, tokenID: -1, phase: .denoise) }
    let context = FilterContext(
      routers: [], sequences: [SequenceDescription(name: "0", labels: ["class": "3"])], layout: layout)
    func rows(_ text: String) throws -> [Int] {
      let filter = try Filter(parsing: text).resolved(in: context)
      return (0..<24).filter { filter.admits(token: $0, of: tokens) }
    }
    #expect(try rows("step=1 branch=0 patch-row=1") == [15, 16, 17])
    #expect(try rows("patch-column>1 step<1") == [2, 5, 8, 11])
    #expect(try rows("class=3 branch=1 patch-row=0 patch-column=0") == [6, 18])
  }

  @Test func quantilesBecomeShares() throws {
    let run = run(40, seed: 5)
    let filter = try Filter(parsing: "entropy>=q0.9 !entropy<q0.5")
    var asked: [Double] = []
    let resolved = try filter.resolved(in: run.context) { q in
      asked.append(q)
      return q / 2
    }
    #expect(asked == [0.5, 0.9])
    let same = try Filter(parsing: "entropy>=0.45 !entropy<0.25").resolved(in: run.context)
    #expect(resolved.selection(of: run.pass) == same.selection(of: run.pass))
    #expect(throws: FilterError.self) { try filter.resolved(in: run.context) }
  }

  // MARK: - What is left of a pass

  /// Batches of what is left hold the decisions that pass and no others, in order, and know their sums where logits tell them.
  @Test func whatIsLeftIsMadeOfBatches() throws {
    let spec = RouterSpec(expertCount: 4, scoring: .softmax, selection: .tokenChoice(topK: 2))
    let router = RouterID(layer: 1)
    var batch = RoutingBatch(router: router, expertCount: 4, topK: 2, firstToken: 5, count: 12)
    let logits = (0..<48).map { Float(($0 * 7) % 11) / 3 }
    try Router(spec).decide(logits, demand: RoutingDemand(logitsEvery: 1), into: &batch)
    var tokens = TokenTable(firstToken: 5)
    for position in 0..<12 { tokens.append(sequence: 0, position: position, tokenID: Int32(position), phase: .prefill) }
    let pass = RoutingPass(tokens: tokens, batches: [batch])
    let context = FilterContext(routers: [RouterDescription(id: router, spec: spec)])
    let selection = try Filter(parsing: "position=1-3,7,9-11").resolved(in: context).selection(of: pass)
    let left = pass.selecting(selection, specs: [router: spec])
    #expect(left.batches.map(\.firstToken) == [6, 12, 14] && left.batches.map(\.count) == [3, 1, 3])
    for part in left.batches {
      try part.validate()
      let rows = part.firstToken - 5..<part.firstToken - 5 + part.count
      #expect(part.selectedExperts == Array(batch.selectedExperts[rows.lowerBound * 2..<rows.upperBound * 2]))
      #expect(abs(part.importanceSum.reduce(0, +) - Double(part.count)) < 1e-5 && part.squaredLogSumExpSum > 0)
    }
    #expect(pass.selecting(selection).batches.allSatisfy { $0.importanceSum.isEmpty && $0.squaredLogSumExpSum.isNaN })
    #expect(pass.showing(selection).map(\.tokens.position) == [[1, 2, 3], [7], [9, 10, 11]])
    #expect(pass.showing(selection).map { $0.batches.map(\.count) } == [[3], [1], [3]])
    let all = try Filter(parsing: "layer=1").resolved(in: context).selection(of: pass)
    #expect(pass.selecting(all) == pass)
  }

  // MARK: - What a run must have

  @Test(
    arguments: [
      ("layer=0-2,7", "router at layer 7", "layers 0-1,4"), ("router=enc.*", "router 'enc.*'", "ffn.0, ffn.4, attn.1"),
      ("expert=8", "expert 8", "experts 0 to 7"), ("layer=4 expert=6", "expert 6", "experts 0 to 5"), ("!layer=0 expert=7", nil, ""),
      ("rank=3", "rank 3", "ranks 0 to 2"), ("domian=law", "label or term 'domian'", "labels domain, layer"),
      ("domain=law,news", "domain 'news'", "domain code, law"), ("@loss>1", "coordinate 'loss'", "coordinates depth"),
      ("expert>99", nil, ""),
    ] as [(String, String?, String)]) func namesThatAreNotThereAreSaid(_ text: String, _ found: String?, _ known: String) throws
  {
    let context = run(3, seed: 1).context
    let filter = try Filter(parsing: text)
    guard let found else {
      _ = try filter.resolved(in: context)
      return
    }
    let error = #expect(throws: FilterError.self) { try filter.resolved(in: context) }
    let words = error.map { "\($0)" } ?? ""
    #expect(words.contains("there is no \(found)") && words.contains(known), "\(words)")
  }

  @Test func whatWasNotRecordedIsRefused() throws {
    var context = run(3, seed: 1).context
    (context.hasWeights, context.hasTexts) = (false, false)
    for text in ["weight>0.1", "token~a", "step=1"] {
      let filter = try Filter(parsing: text)
      let error = #expect(throws: FilterError.self) { try filter.resolved(in: context) }
      if case .notRecorded? = error { continue }
      Issue.record("\(text): \(String(describing: error))")
    }
    // Labels may come with the texts that follow.
    context.isGrowing = true
    _ = try Filter(parsing: "genre=poem").resolved(in: context)
  }
}
