// One set of rules tried on the texts of a run, for a screen: what it does to their loss beside its control, to the token that comes next, and
// to a text that is continued. The same plan, measures and controls as `moetop whatif`.

import Analysis
import Model
import Routing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What is tried, and on what.
struct TrialQuestion: Sendable {
  var model: String
  /// What the model must be; nil: whatever it is.
  var identity: ModelIdentity?
  var rules: String
  /// Texts of the run, as ids.
  var texts: [TokenSequence] = []
  /// Of a model that makes images, in the place of texts.
  var images: ImageTrial?
  /// A text up to the place looked at, to be continued.
  var prompt: TokenSequence?
  /// Tokens that it is continued by.
  var continuation = 40
  /// Draws of controls and of rules that draw.
  var draws = 5
  var seed: UInt64 = 0
}

/// How images are made for a trial: of each class in turn, from the same noise with and without rules.
struct ImageTrial: Sendable {
  var count = 8
  var steps: Int
  /// nil: one branch.
  var guidance: Float?
}

/// What came of it.
struct TrialAnswer: Sendable {
  /// One token that could come next.
  struct Candidate: Sendable, Equatable {
    var token: Int32
    var before: Double
    var after: Double
  }

  var effect: RoutingEffect
  /// Surprisal of the unchanged reading, nat per scored token; nil where nothing was scored.
  var baselineLoss: Double?
  var scoredTokens: Int
  /// The tokens that are among the most probable of either, by falling larger probability.
  var candidates: [Candidate] = []
  /// Nats: of the next token's distribution before and after, and how far the second is from the first.
  var entropy: (before: Double, after: Double)?
  var divergence: Double?
  /// Greedy continuations, as ids.
  var before: [Int32] = []
  var after: [Int32] = []
  /// What ids stand for that the run does not know.
  var pieces: [Int32: [UInt8]] = [:]
  var notes: [String] = []
}

/// Tries rules.
struct InterventionTrial {
  let engine: EngineOptions
  let question: TrialQuestion
  /// Told what is done, steps of how many; false stops.
  let onSteps: (String, Int, Int) -> Bool

  /// - Returns: nil when stopped.
  /// - Throws: `RuleError` for rules that the model cannot have, what opening a model throws.
  func answer() throws -> TrialAnswer? {
    var isStopped = false
    let tell = { (words: String, done: Int, all: Int) in
      if !onSteps(words, done, all) { isStopped = true }
      return !isStopped
    }
    // Loads that were not read to their end are no loads: that is an error, unless it is what was asked for.
    do { return try answer(tell) } catch  where isStopped { return nil }
  }

  private func answer(_ tell: @escaping (String, Int, Int) -> Bool) throws -> TrialAnswer? {
    let rules = try RuleSet(parsing: question.rules)
    guard !rules.isEmpty else { throw Failure(.usage, "there is no rule, so nothing would change") }
    if let images = question.images { return try answer(rules, images, tell) }
    if let run = rules.replayedRuns.first {
      throw Failure(.usage, "replay \(run): a run is replayed by moetop whatif MODEL -f TEXTS --rules RULES")
    }
    let model = try engine.open(question.model)
    try require(model.identity)
    for text in question.texts { try model.check(text) }
    let tokenizer = TokenizerSlot(model)
    let subject = TextSubject(
      model, texts: question.texts, context: InterventionOptions.context(of: model, question.texts, tokenizer),
      input: InputIdentity(source: "", hash: ""), threads: engine.threads)
    let run = WhatIfRun(subject, showsProgress: false)
    guard let (plan, study, effect) = try measure(rules, run, members: question.texts.count, tell) else { return nil }
    var answer = TrialAnswer(effect: effect, baselineLoss: study.baselineLoss, scoredTokens: study.scoredTokens)
    if let prompt = question.prompt, !prompt.tokens.isEmpty {
      let variant = plan.variants[plan.rows[0].variants[0]]
      let intervention = try run.bind(variant.rules, seed: variant.seed, settled: nil)
      guard try next(model, prompt, intervention, tell, &answer) else { return nil }
    }
    let words = tokenizer.pieces
    for id in answer.before + answer.after + answer.candidates.map(\.token) { answer.pieces[id] = words(id) }
    return answer
  }

  /// Texts are ids, which mean something to the model that read them alone.
  private func require(_ found: ModelIdentity) throws {
    guard let asked = question.identity else { return }
    let same = (found.name, found.layerCount, found.vocabularySize) == (asked.name, asked.layerCount, asked.vocabularySize)
    if !same || found.quantization != asked.quantization {
      throw Failure(
        .usage,
        "the run is of \(Show.line(asked.name)) \(asked.quantization), at \(question.model) is \(Show.line(found.name)) \(found.quantization)"
      )
    }
  }

  /// Rules tried on images.
  private func answer(_ rules: RuleSet, _ images: ImageTrial, _ tell: @escaping (String, Int, Int) -> Bool) throws -> TrialAnswer? {
    let model = try engine.openDenoising(question.model)
    try require(model.identity)
    let request = try DenoisingRequest(
      model, classes: (0..<images.count).map { $0 % max(1, model.classCount) }, steps: images.steps, guidance: images.guidance,
      seed: question.seed)
    let subject = ImageSubject(model, request, noise: nil, source: "seed \(question.seed)", threads: engine.threads)
    let run = WhatIfRun(subject, showsProgress: false)
    guard let (_, _, effect) = try measure(rules, run, members: images.count, tell) else { return nil }
    return TrialAnswer(effect: effect, baselineLoss: nil, scoredTokens: 0)
  }

  /// - Returns: nil when stopped before all members were read under all rules.
  private func measure<Subject>(
    _ rules: RuleSet, _ run: WhatIfRun<Subject>, members: Int, _ tell: @escaping (String, Int, Int) -> Bool
  ) throws -> (plan: EffectPlan, study: EffectStudy, effect: RoutingEffect)? {
    run.onSteps = tell
    let plan = try run.plan(.rules([rules]), draws: question.draws, seed: question.seed)
    let study = try run.measure(try run.bind(plan), recorder: nil)
    guard study.texts == members, let effect = study.effects().first else { return nil }
    return (plan, study, effect)
  }

  /// What comes next as it is and under rules.
  ///
  /// - Returns: false when stopped.
  private func next(
    _ model: LanguageModel, _ prompt: TokenSequence, _ intervention: Intervention, _ tell: (String, Int, Int) -> Bool,
    _ answer: inout TrialAnswer
  ) throws -> Bool {
    var ways: [(probabilities: [Double], ids: [Int32])] = []
    for (place, rules) in [nil, intervention].enumerated() {
      let forward = ForwardPass(model, threads: engine.threads)
      (forward.intervention, forward.isReproducible) = (rules, engine.reproducible)
      let generator = try Generator(
        forward, prompt: prompt, sampling: SamplingSettings(), maxTokens: question.continuation, sink: nil)
      let row = (prompt.tokens.count - 1) % forward.passLimit
      let logits = forward.logits(row..<row + 1)
      let probabilities = RouterDistribution.softmax(logits) ?? Array(repeating: .nan, count: logits.count)
      var ids: [Int32] = []
      while ids.count < question.continuation, let draw = generator.next {
        guard tell("continuing", place * question.continuation + ids.count, 2 * question.continuation) else { return false }
        ids.append(draw.token)
        if ids.count == question.continuation || model.endTokens.contains(draw.token) { break }
        guard try generator.advance() != nil else { break }
      }
      ways.append((probabilities, ids))
    }
    let (before, after) = (ways[0].probabilities, ways[1].probabilities)
    (answer.before, answer.after) = (ways[0].ids, ways[1].ids)
    answer.entropy = (Self.entropy(before), Self.entropy(after))
    answer.divergence = zip(before, after).reduce(0.0) { sum, pair in
      pair.0 > 0 ? sum + pair.0 * (log(pair.0) - log(max(pair.1, .leastNormalMagnitude))) : sum
    }
    let best = Set(Self.largest(before, 8) + Self.largest(after, 8))
    answer.candidates = best.map { TrialAnswer.Candidate(token: Int32($0), before: before[$0], after: after[$0]) }
      .sorted { (max($1.before, $1.after), $0.token) < (max($0.before, $0.after), $1.token) }
    return true
  }

  private static func entropy(_ probabilities: [Double]) -> Double {
    probabilities.reduce(0.0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
  }

  private static func largest(_ values: [Double], _ count: Int) -> [Int] {
    var best: [Int] = []
    for (index, value) in values.enumerated() where best.count < count || value > values[best[best.count - 1]] {
      best.insert(index, at: best.firstIndex { values[$0] < value } ?? best.count)
      if best.count > count { best.removeLast() }
    }
    return best
  }
}
