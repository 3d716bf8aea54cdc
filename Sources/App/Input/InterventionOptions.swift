// Rules from the command line to the engine: read, bound to the model's routers, the runs that they replay loaded from their traces.

import ArgumentParser
import Model
import Routing
import Store

struct InterventionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Change routing by rules, such as 'mask 3:7; topk all=+1; shared all=off', or @FILE; moetop docs contracts lists them.",
      valueName: "rules"))
  var intervene: [String] = []

  /// The rules for a language model, or nil when nothing is changed.
  ///
  /// - Throws: `RuleError` (64), `StoreError` for a run that cannot be replayed, `Failure` for one of other texts.
  func intervention(
    on model: LanguageModel, texts: [TokenSequence], tokenizer: TokenizerSlot, seed: UInt64, traces: TraceOptions
  ) throws -> Intervention? {
    try intervention(sharedExperts: model.sharedExpertCounts, seed: seed) {
      Self.context(of: model, texts, tokenizer)
    } load: {
      try Self.replay($0, for: texts, of: model, option: "--intervene", traces)
    }
  }

  /// What conditions of rules may name, before the model is run.
  static func context(of model: LanguageModel, _ texts: [TokenSequence], _ tokenizer: TokenizerSlot) -> FilterContext {
    let tokenizer = try? tokenizer.open()
    return FilterContext(
      routers: model.routers, sequences: texts.map(\.description), beginningID: tokenizer?.bosToken, hasTexts: tokenizer != nil,
      text: { id in tokenizer?.tokenBytes(id).map { String(decoding: $0, as: UTF8.self) } })
  }

  /// A recorded run of some of the texts; warns where it is one of few of their tokens, or of another model.
  ///
  /// - Parameter option: that named it, for messages.
  static func replay(
    _ name: String, for texts: [TokenSequence], of model: LanguageModel, option: String, _ traces: TraceOptions
  ) throws -> ReplayedRouting {
    let (replay, run, _) = try load(name, option: option, traces)
    if run.description.origin.withoutIDs == true {
      throw Failure(
        .usage, "\(option): replay \(name): that run keeps no token ids, so nobody can tell which of its tokens are those of the input")
    }
    let keys = texts.flatMap { text in
      var key = TextKey()
      return key.encoded(text.encoder ?? []) + text.tokens.map { key.next($0) }
    }
    let known = keys.count(where: replay.contains)
    guard known > 0 else { throw Failure(.usage, "\(option): replay \(name): not one token of the input is in that run") }
    if known < keys.count {
      StandardError.write(
        "warning: replay \(name): \(known) of \(keys.count) tokens are in that run with all that stands before them; the others are decided as ever\n"
      )
    }
    if run.description.model.name != model.name {
      StandardError.write("warning: replay \(name): that run is of another model, \(Show.line(run.description.model.name))\n")
    }
    return replay
  }

  /// The same for a model that denoises images.
  func intervention(
    on model: DenoisingModel, layout: DenoisingLayout, samples: [SequenceDescription], seed: UInt64, traces: TraceOptions
  ) throws -> Intervention? {
    try intervention(sharedExperts: model.sharedExpertCounts, seed: seed) {
      FilterContext(routers: model.routers, sequences: samples, layout: layout)
    } load: { name in
      try Self.replay(name, layout: layout, samples: samples, option: "--intervene", traces)
    }
  }

  /// A recorded run of the same samples.
  ///
  /// - Parameter option: that named it, for messages.
  static func replay(
    _ name: String, layout: DenoisingLayout, samples: [SequenceDescription], option: String, _ traces: TraceOptions
  ) throws -> ReplayedRouting {
    let (replay, run, sequences) = try load(name, option: option, traces)
    guard run.description.denoising == layout, zip(sequences, samples).allSatisfy({ $0.labels == $1.labels }) else {
      throw Failure(.usage, "\(option): replay \(name): that run has other steps, branches or classes")
    }
    return replay
  }

  private func intervention(
    sharedExperts: [Int], seed: UInt64, run: () -> FilterContext, load: (String) throws -> ReplayedRouting
  ) throws -> Intervention? {
    // Given more than once: one after the other, as rules are joined.
    let texts = try intervene.map(RuleText.read)
    let rules = try RuleSet(parsing: texts.filter { !$0.allSatisfy(\.isWhitespace) }.joined(separator: "; "))
    if rules.isEmpty { return nil }
    var replays: [String: ReplayedRouting] = [:]
    for name in rules.replayedRuns { replays[name] = try load(name) }
    return try Intervention(rules, run: run(), sharedExperts: sharedExperts, replays: replays, seed: seed)
  }

  private static func load(
    _ name: String, option: String, _ traces: TraceOptions
  ) throws -> (replay: ReplayedRouting, run: RunSummary, sequences: [SequenceDescription]) {
    let (reader, run) = try TraceReader.open(traces.reference(name))
    guard run.description.recording.content > .counts else {
      throw Failure(.usage, "\(option): replay \(name): that run kept counts only, no decisions")
    }
    var replay = ReplayedRouting(keys: TextKey.all(of: try reader.tokens(run: run.id, in: 0..<run.tokenCount)))
    try reader.passes(of: run, withLogits: false).forEach { pass in for batch in pass.batches { replay.add(batch) } }
    return (replay, run, try reader.sequences(run: run.id))
  }
}
