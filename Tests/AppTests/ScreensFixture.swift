// A session that is the same in every run: routing drawn from seeded logits by the product's own Router, texts of a small vocabulary.

import Analysis
import Routing
import Support
import Terminal

@testable import App
@testable import Model
@testable import Store

enum SyntheticSession {
  static let words = [
    "The", " capital", " of", " France", " is", " Paris", ",", " and", " the", " river", "\n", " café", " сказал", " 7", "\u{202E}x",
    " bank",
  ]
  static let domains = ["code", "law", "news", "poems"]

  /// Parsed once: parsing is what a fuzz of thousands of keys would spend its time on.
  static let settings = SessionSettings(engine: EngineOptions.none, traces: TraceOptions.none)

  static func routers(layers: Int, experts: Int, topK: Int) -> [RouterDescription] {
    (0..<layers).map {
      RouterDescription(
        id: RouterID(layer: $0), spec: RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
    }
  }

  static func summary(layers: Int = 6, experts: Int = 16, topK: Int = 2) -> EngineSummary {
    EngineSummary(
      modelName: "synthetic", family: "olmoe", layerCount: layers, quantization: "bf16", simd: "test", threads: 1,
      routers: routers(layers: layers, experts: experts, topK: topK), contextLength: 2048, readsText: true)
  }

  /// What an engine would tell while `texts` sequences of `length` tokens go through it.
  static func events(layers: Int = 6, experts: Int = 16, topK: Int = 2, texts: Int = 8, length: Int = 40, seed: UInt64 = 1) throws
    -> [EngineEvent]
  {
    let summary = summary(layers: layers, experts: experts, topK: topK)
    var events: [EngineEvent] = [.opened(summary), .recording(.active(file: "/data/traces.db", run: 12, tokens: 64, bytes: 412_000))]
    var random = SeededRandom(seed: seed)
    let rules = try summary.routers.map { try Router($0.spec) }
    func unit() -> Float { Float(random.next() >> 40) / Float(1 << 24) }
    for text in 0..<texts {
      let domain = text % domains.count
      events.append(.began(SequenceDescription(name: "text \(text)", labels: ["domain": domains[domain]])))
      for position in 0..<length {
        let row = text * length + position
        var tokens = TokenTable(firstToken: row)
        let id = Int32(random.next() % UInt64(words.count))
        tokens.append(
          sequence: text, position: position, tokenID: id, phase: position < 8 ? .prefill : .decode,
          surprisal: position == 0 ? .nan : unit() * 6, nextTokenEntropy: unit() * 4)
        let batches = rules.enumerated().map { layer, rule -> RoutingBatch in
          var batch = RoutingBatch(router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: row, count: 1)
          let logits = (0..<experts).map { expert -> Float in
            (unit() - 0.5) * Float(1 + layer) + (expert % domains.count == domain ? 0.8 : 0)
          }
          logits.withUnsafeBufferPointer {
            if let base = $0.baseAddress { rule.decide(base, demand: RoutingDemand(logitsEvery: 1), into: &batch) }
          }
          return batch
        }
        let candidates = (0..<10).map { TokenCandidate(token: Int32($0), probability: 0.4 / Float($0 + 1)) }
        let draw = TokenDraw(token: 1, surprisal: 1.6, rank: 2, entropy: 2.31, candidates: candidates)
        let pieces = Dictionary(uniqueKeysWithValues: words.enumerated().map { (Int32($0), Array($1.utf8)) })
        events.append(.streamed(StreamPart(pass: RoutingPass(tokens: tokens, batches: batches), draws: [(row, draw)], pieces: pieces)))
      }
    }
    return events
  }

  /// A model that has seen it all, with its effects served.
  static func model(
    _ size: Size = Size(width: 120, height: 40), theme: Theme = Theme(), layers: Int = 6, experts: Int = 16, topK: Int = 2, texts: Int = 8
  ) throws -> AppModel {
    var model = AppModel(size: size, theme: theme)
    model.now = 100
    let all = try events(layers: layers, experts: experts, topK: topK, texts: texts)
    for event in all {
      model.now += 1.0 / 24
      _ = model.update(.engine([event]))
    }
    model.message = nil
    model.overlay = nil
    return model
  }

  /// Models as they are found, with the headers of small ones.
  static func shelf() throws -> ModelShelf {
    let models = Fixtures.root + "/Tests/Fixtures/models"
    func row(_ name: String, _ path: String, headers: String? = nil, problem: String? = nil) -> ModelListing.Row {
      ModelListing.Row(
        found: ModelPlaces.Found(name: name, path: path, problem: problem), summary: headers.map { ModelSummary(path: "\(models)/\($0)") })
    }
    return ModelShelf(
      listing: ModelListing(rows: [
        row(
          "allenai/OLMoE-1B-7B-0924", "/home/me/.cache/huggingface/hub/models--allenai--OLMoE-1B-7B-0924/snapshots/7b1d", headers: "olmoe"),
        row("gemma:2b", "/home/me/.ollama/models/manifests/registry.ollama.ai/library/gemma/2b", problem: "the manifest names no model"),
        row("mixtral", "/data/models/mixtral", headers: "mixtral"),
      ]), places: ["/home/me/.cache/huggingface/hub", "/data/models"])
  }

  static func runs() -> [RunSummary] {
    [("mixed.jsonl", 2048, ["baseline"]), ("prompt", 256, ["live"])].enumerated().map { index, row in
      RunSummary(
        id: Int64(index + 1),
        description: RunDescription(
          name: "run \(index)",
          model: ModelIdentity(
            name: "olmoe-tiny", family: "olmoe", path: "", filesHash: "9f2c0123456789ab", quantization: "bf16", routerPrecision: "f32",
            tokenizerHash: "", layerCount: 6, vocabularySize: 8192),
          routers: routers(layers: 6, experts: 16, topK: 2), input: InputIdentity(source: row.0, hash: ""), recording: RecordingLevel(),
          engine: EngineIdentity(version: "0.1.0", simd: "test", threads: 2), startedAt: 0, tags: row.2),
        state: index == 0 ? .completed : .stopped, tokenCount: row.1, sequenceCount: 4, storedBytes: row.1 * 230, endedAt: 60,
        heartbeat: 60,
        checks: [])
    }
  }
}

extension AppModel {
  /// Does an action and serves the effects that only compute, as the runner would.
  mutating func play(_ action: Action, draws: Int = 50) {
    var actions = [action]
    var rounds = 0
    while let next = actions.first, rounds < 100 {
      actions.removeFirst()
      rounds += 1
      let answers = Answers()
      let runner = EffectRunner(
        SyntheticSession.settings, now: { 0 }, background: { $0() },
        post: { answers.post($0) },
        startEngine: { _, _ in NoEngine() })
      for effect in update(next) {
        switch effect {
        case .work(var query as StudyQuery):
          // Few draws: what is tested here is the screens.
          query.draws = min(query.draws, draws)
          _ = runner.run(.work(query))
        case .work, .cancelWork: _ = runner.run(effect)
        default: break
        }
      }
      actions += answers.take()
    }
  }

  mutating func press(_ keys: String) {
    for name in keys.split(separator: " ") { if let key = KeyEvent(String(name)) { play(.key(key)) } }
  }
}

final class NoEngine: EngineDriver {
  func send(_ request: EngineRequest) {}
  func takeEvents() -> [EngineEvent] { [] }
  var hasEvents: Bool { false }
  func close(_ outcome: RunOutcome) {}
}

final class Answers: @unchecked Sendable {
  // Used by one thread only: effects are served at once.
  private var actions: [Action] = []
  func post(_ action: Action) { actions.append(action) }
  func take() -> [Action] {
    defer { actions = [] }
    return actions
  }
}

extension EngineOptions {
  /// As without arguments.
  static var none: EngineOptions { (try? EngineOptions.parse([])) ?? EngineOptions() }
}

extension TraceOptions {
  static var none: TraceOptions { (try? TraceOptions.parse([])) ?? TraceOptions() }
}
