// Layers that run several times over: how their routers are called and whose experts they share, what each run sees and can be changed alone,
// what is counted once. And heads that each choose experts. FamilyParityTests holds both to the reference as a whole.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct RepeatedLayersTests {
  private func open(_ name: String = "moeut", _ settings: [String: String] = [:]) throws -> LanguageModel {
    try LanguageModel(path: #require(ModelFixture.named(name).first).folder, overrides: settings)
  }

  private func sequences() throws -> [TokenSequence] { try #require(ModelFixture.named("moeut").first).sequences() }

  /// Batches of all passes, by router.
  private func read(_ model: LanguageModel, rules: String = "") throws -> [RouterID: [RoutingBatch]] {
    let forward = ForwardPass(model, threads: 2)
    forward.intervention = try Intervention(
      RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 0)
    let sink = ExpertNormTests.Kept([])
    _ = try Reader(forward).read(sequences(), sink: sink)
    return Dictionary(grouping: sink.passes.flatMap(\.batches), by: \.router)
  }

  @Test func routersAreCalledByLayerHeadAndRun() throws {
    let model = try open()
    let wanted = (0..<4).flatMap { number in
      let (layer, run) = (number % 2, number < 2 ? "" : ".r\(number / 2)")
      return ["v.h0", "v.h1", "o.h0", "o.h1"].map { "attn.\(layer).\($0)\(run)" } + ["ffn.\(layer)\(run)"]
    }
    #expect(model.routers.map(\.id.description) == wanted)
    #expect(model.routers.map(\.id) == wanted.compactMap(RouterID.init(path:)))
    // Experts are of a layer, whichever run takes them, and of a head.
    #expect(model.routers.map(\.bank) == wanted.map { $0.hasSuffix(".r1") ? String($0.dropLast(3)) : $0 })
    #expect(model.facts().routedLayers == 4 && model.facts().denseLayers == 0 && model.layerCount == 4)
  }

  /// One that runs once is a layer like any other.
  @Test func aSingleRunHasNoNumber() throws {
    let model = try open("moeut-dense")
    #expect(model.routers.map(\.id.description) == ["ffn.0", "ffn.1"] && model.routers.allSatisfy { $0.more == nil })
  }

  @Test(arguments: ["moeut", "moeut-dense"])
  func theConfigurationAloneNamesTheSame(_ name: String) throws {
    let folder = try #require(ModelFixture.named(name).first).folder
    #expect(try ModelOutline(configuration: folder + "/config.json").routers == open(name).routers)
  }

  /// The same router reads something else in every run.
  @Test func runsSeeDifferentStreams() throws {
    let decisions = try read(open())
    for path in ["ffn.0", "ffn.1", "attn.0.v.h1", "attn.1.o.h0"] {
      let runs = [path, "\(path).r1"].compactMap(RouterID.init(path:)).compactMap { decisions[$0] }
      try #require(runs.count == 2)
      #expect(runs[0].flatMap { $0.logits?.values ?? [] } != runs[1].flatMap { $0.logits?.values ?? [] })
      #expect(runs[0].flatMap(\.selectedExperts) != runs[1].flatMap(\.selectedExperts))
    }
  }

  /// An expert taken away in one run stays in the others, and nothing before that run changes.
  @Test(arguments: ["ffn.0.r1", "attn.1.v.h0.r1", "attn.0.o.h1.r1"])
  func aMaskIsOfOneRun(_ path: String) throws {
    let model = try open()
    let (plain, masked) = (try read(model), try read(model, rules: "mask \(path):1"))
    let router = try #require(RouterID(path: path))
    var first = router
    first.repetition = nil
    #expect(plain[first]?.contains { $0.selectedExperts.contains(1) } == true)
    #expect(plain[router]?.contains { $0.selectedExperts.contains(1) } == true)
    #expect(masked[router]?.contains { $0.selectedExperts.contains(1) } == false)
    let place = try #require(model.routers.firstIndex { $0.id == router })
    // Routers of a sublayer decide about the same input.
    let (before, behind) = (model.routers[..<place].map(\.id), try #require(model.routers.last).id)
    for id in before { #expect(plain[id]?.map(\.selectedExperts) == masked[id]?.map(\.selectedExperts), "\(id)") }
    #expect(plain[behind]?.compactMap(\.logits) != masked[behind]?.compactMap(\.logits))
  }

  /// A variant begins at the block of the run, not at the layer's first.
  @Test func aVariantBeginsAtItsRun() throws {
    let model = try open()
    func places(_ rules: String) throws -> Set<Int> {
      let rules = try Intervention(
        RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 0)
      return VariantReader(model, threads: 1).places(for: [rules]).decoder
    }
    #expect(try places("mask ffn.0.r1:1") == [2] && places("mask attn.1.v.h0.r1:1") == [3] && places("mask ffn.1:1") == [1])
    #expect(try places("mask 1:1") == [1] && places("mask ffn.0*:1") == [] && places("mask ffn.0.*:1") == [2])
  }

  /// Token by token, as a text is continued, decisions are those of reading it, bit for bit.
  @Test(arguments: ["moeut", "moeut-dense"])
  func generatedTokensAreDecidedAsReadOnes(_ name: String) throws {
    let model = try open(name)
    let tokens = try #require(sequences().first).tokens
    let demand = RoutingDemand(logitsEvery: 1)
    let forward = ForwardPass(model, threads: 2)
    forward.reset(length: tokens.count)
    let whole = forward.advance(tokens[...], demand: demand)
    let logits = Array(forward.logits(tokens.count - 1..<tokens.count))
    forward.reset(length: 4, following: tokens.count - 4)
    var pieces = forward.advance(tokens[..<4], demand: demand)
    for place in 4..<tokens.count {
      let next = forward.advance(tokens[place...place], demand: demand, firstToken: place, phase: .decode)
      for router in pieces.indices { pieces[router].append(next[router]) }
    }
    #expect(Array(forward.logits(0..<1)) == logits)
    for (a, b) in zip(whole, pieces) {
      #expect(a.router == b.router && a.selectedExperts == b.selectedExperts && a.routingWeights == b.routingWeights, "\(a.router)")
      #expect(a.logits?.values == b.logits?.values)
    }
  }

  /// Runs share what is bound: a thousand of them cost no more than their names.
  @Test func manyRunsAreOpenedAsOneIs() throws {
    let model = try open("moeut", ["n_layers": "2048"])
    #expect(model.routers.count == 10 * 1024 && model.routers.last?.id.description == "ffn.1.r1023")
    let experts = model.weights.decoder.blocks.compactMap { $0[1].operation as? BoundExperts }
    let places = [1, 2047].map { block in experts[block].experts.withUnsafeBufferPointer(\.baseAddress) }
    #expect(places[0] == places[1])
    #expect(model.facts().parameters == (try open()).facts().parameters)
  }

  /// Weights are there once, however often they run; a token meets as many experts as all runs together can take.
  @Test func weightsAreCountedOnce() throws {
    let fixture = try #require(ModelFixture.named("moeut").first)
    let all = try StoredTensor.read(fixture.file("model.safetensors")).reduce(0) { $0 + $1.shape.reduce(1, *) }
    let (hidden, table) = (32, 64 * 32)
    let expert = 2 * hidden * 16
    for (layers, runs) in [("2", 1), ("4", 2), ("6", 3), ("8", 4)] {
      let model = try open("moeut", ["n_layers": layers])
      let facts = model.facts()
      #expect(facts.parameters == all && facts.unusedTensors.isEmpty && facts.otherParameters == OtherParameters())
      // Two layers of eight experts, three a run; two heads with four experts for values and four for outputs, two a run.
      let idle = 2 * (max(0, 8 - 3 * runs) * expert + 2 * 2 * max(0, 4 - 2 * runs) * hidden * 12)
      #expect(facts.activeParameters == all - table - idle, "\(layers) layers")
      // Every run keeps keys and values of its own.
      #expect(facts.cacheBytesPerToken == 4 * 2 * runs * 2 * 2 * 12)
      #expect(Set(model.routers.map(\.id)).count == 10 * runs)
    }
  }

  /// Without experts values read the stream too, and of each head the first half turns.
  @Test func plainAttentionReadsTheStreamForValues() throws {
    let plans = try open("moeut-dense").plan.decoder.blocks.compactMap { $0.sublayers[0].operation as? AttentionPlan }
    #expect(plans.count == 2 && plans.allSatisfy { $0.valuesReadStream && $0.outputGate?.form.isPerHead == true && $0.headSize == 16 })
    #expect(plans.allSatisfy { $0.rotary?.rotatedSize == 8 })
    // Half of a head of ten is five: four elements turn.
    let head = try Family.plan(
      for: Configuration(path: #require(ModelFixture.named("moeut").first).file("config.json"), overrides: ["d_head": "10"]))
    #expect((head.decoder.blocks[0].sublayers[0].operation as? HeadMixturePlan)?.rotary?.rotatedSize == 4)
  }

  @Test(arguments: [
    ("group_size", "3", "group_size"), ("n_layers", "5", "group_size"), ("group_size", "8", "group_size"), ("n_layers", "0", "n_layers"),
    ("n_layers", "1000000", "n_layers"), ("n_layers", "2050", "n_layers"),
    ("att_k", "5", "att_k"), ("ff_k", "9", "ff_k"), ("ff_k", "268435456", "ff_k"),
    ("n_heads", "0", "n_heads"), ("n_heads", "268435456", "n_heads"), ("n_heads", "5000", "n_heads"), ("d_model", "null", "d_model"),
    ("d_head", "-12", "d_head"), ("d_head", "1e300", "d_head"), ("ff_n_experts", "0", "ff_n_experts"),
    ("attention", "\"MyHeads\"", "attention"), ("rope_theta", "10000", "rope_theta"),
    ("max_position_embeddings", "0", "max_position_embeddings"),
  ])
  func refusesByName(_ key: String, _ value: String, _ named: String) throws {
    let error = #expect(throws: ModelError.self) { try open("moeut", [key: value]) }
    switch error {
    case .configuration(let file, let place, let expected, let found), .unsupportedSetting(let file, let place, let found, let expected):
      #expect(file == "config.json" && place == named && !expected.isEmpty && !found.isEmpty)
    default: Issue.record("\(String(describing: error))")
    }
  }

  @Test func headsHaveToDivideWhereNoSizeIsSaid() throws {
    let error = #expect(throws: ModelError.self) { try open("moeut-dense", ["n_heads": "3"]) }
    guard case .configuration("config.json", "n_heads", "a divisor of d_model 32", "3") = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// Sizes that no file has are a matter of shapes, found before anything of that size is made.
  @Test(arguments: ["ff_n_experts", "att_n_experts", "n_tokens", "ff_expert_size"])
  func largeNumbersMakeNothing(_ key: String) throws {
    let error = #expect(throws: ModelError.self) { try open("moeut", [key: "268435456"]) }
    guard case .tensorShape = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// What a user may set of a model without a limit of its own.
  @Test func theContextIsWhatIsSaid() throws {
    #expect(try open("moeut-dense").contextLength == 1024 && open().contextLength == 64)
    #expect(try open("moeut-dense", ["max_position_embeddings": "9000"]).contextLength == 9000)
  }
}
