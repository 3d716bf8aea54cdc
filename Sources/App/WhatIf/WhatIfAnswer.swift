// What came of a question, for people and for scripts (docs/contracts.md, what if).

import Analysis
import Formats
import Model
import Routing

struct WhatIfAnswer {
  let model: String
  /// What was read, and how, as settings say it.
  let input: WhatIfInput
  let experiment: Experiment?
  let label: String?
  let study: EffectStudy
  /// In the order in which they are read: by falling evidence where every expert has a row.
  let effects: [RoutingEffect]
  /// Whether a signal ended it before all texts were read.
  let isPartial: Bool
  let recorded: [TraceSummary]
  /// A prompt's continuation as it is, and under the rules of each row.
  private var before: String?
  private var after: [String] = []

  init(
    model: String, input: WhatIfInput, experiment: Experiment?, label: String?, study: EffectStudy, isPartial: Bool,
    recorded: [TraceSummary]
  ) {
    (self.model, self.input, self.experiment, self.label) = (model, input, experiment, label)
    (self.study, self.isPartial, self.recorded) = (study, isPartial, recorded)
    let effects = study.effects(by: label)
    self.effects =
      study.plan.isRanked ? effects.enumerated().sorted { (-$0.1.evidence, $0.0) < (-$1.1.evidence, $1.0) }.map(\.1) : effects
  }

  /// Continues a prompt greedily, as it is and under the rules of each row. Conditions are asked of each decision when it is made: no unchanged
  /// run has the tokens that come.
  mutating func continuePrompt(
    _ prompt: TokenSequence, _ run: WhatIfRun<TextSubject>, tokenizer: Tokenizer, maxTokens: Int, reproducible: Bool
  )
    throws
  {
    func text(_ intervention: Intervention?) throws -> String {
      let forward = ForwardPass(run.subject.language, threads: run.subject.threadCount)
      forward.intervention = intervention
      forward.isReproducible = reproducible
      let generator = try Generator(forward, prompt: prompt, sampling: SamplingSettings(), maxTokens: maxTokens, sink: nil)
      var ids: [Int32] = []
      while ids.count < maxTokens, Interruption.signal == nil, let draw = generator.next {
        ids.append(draw.token)
        if ids.count == maxTokens || run.subject.language.endTokens.contains(draw.token) { break }
        guard try generator.advance() != nil else { break }
      }
      return tokenizer.decode(ids, skipSpecialTokens: false)
    }
    before = try text(nil)
    after = try study.plan.rows.map { row in
      let variant = study.plan.variants[row.variants[0]]
      return try text(run.bind(variant.rules, seed: variant.seed, settled: nil))
    }
  }

  // MARK: For people

  var heading: String {
    var lines = ["model    \(Show.line(model))"]
    if let experiment { lines += ["asked    \(experiment.question)", "source   \(experiment.source)"] }
    let stopped = isPartial ? ", stopped before the rest" : ""
    let count = Show.counted(effects.first?.texts ?? study.texts, study.measure.subject)
    switch study.measure {
    case .loss:
      let bos = input.bos.map { ", --bos \($0)" } ?? ""
      let batch = input.batch.map { ", \($0) in a batch" } ?? ""
      lines.append("read     \(count), \(Show.counted(study.scoredTokens, "scored token"))\(batch)\(bos)\(stopped)")
      if let loss = study.baselineLoss { lines.append("loss     \(Show.fixed(loss, 4)) nat per token as it is") }
    case .latent: lines.append("made     \(count), \(input.steps ?? "")\(stopped)")
    }
    if let first = recorded.first, let last = recorded.last {
      lines.append("trace    \(Show.line(first.file)) runs \(first.run) to \(last.run)")
    }
    if let before {
      lines.append("before   \(Show.line(before))")
      for (effect, after) in zip(effects, after) { lines.append("after    \(Show.line(after))  [\(Show.line(effect.rules))]") }
    }
    return lines.joined(separator: "\n") + "\n\n"
  }

  var tables: [ReportTable] { EffectTables.tables(effects, study.plan, by: label) }

  // MARK: For scripts

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.whatif/1")
      writer.member("model", model)
      writer.member("input", input.source)
      writer.member(study.measure.countedAs, study.texts)
      if study.measure == .loss { writer.member("tokens", study.scoredTokens) }
      if isPartial { writer.member("partial", true) }
      if study.measure == .loss { writer.member("baseline") { writer in writer.object { $0.member("loss", study.baselineLoss) } } }
      writer.objects("effects", Array(effects.enumerated())) { writer, entry in
        let (index, effect) = entry
        writer.member("name", effect.name)
        writer.member("rules", effect.rules)
        Self.write(effect, to: &writer)
        if let before {
          writer.member("before", before)
          writer.member("after", after[index])
        }
        if let label {
          writer.objects("by", effect.parts) { writer, part in
            writer.member("label", label)
            writer.member("value", part.name)
            Self.write(part, to: &writer)
          }
        }
      }
      writer.member("settings") { writer in
        writer.object { writer in
          if let experiment { writer.member("experiment", experiment.rawValue) }
          writer.member("seeds", study.plan.draws)
          writer.member("seed", study.plan.seed)
          writer.member("flips", EffectStudy.flips)
          input.write(to: &writer)
          if let label { writer.member("by", label) }
          writer.member("intervals", "delete-one-text jackknife")
        }
      }
      if let first = recorded.first {
        writer.member("trace", first.file)
        writer.member("runs", recorded.map(\.run))
      }
      writer.member("notes", EffectTables.notes(effects, study.plan))
    }
    return writer.text + "\n"
  }

  private static func write(_ effect: RoutingEffect, to writer: inout JSONWriter) {
    func write(_ change: RoutingEffect.Change?, to writer: inout JSONWriter) {
      writer.member(effect.measure.key, change?.value)
      writer.member("low", change?.interval?.low)
      writer.member("high", change?.interval?.high)
    }
    writer.member("touched", effect.touched)
    write(effect.change, to: &writer)
    writer.member("n", effect.texts)
    writer.member("n_of", effect.measure.countedAs)
    writer.member("unit", effect.measure.unit)
    writer.member("draws", effect.draws)
    if effect.measure == .loss {
      writer.member("kl", effect.divergence)
      writer.member("same_top1", effect.sameTop1)
    }
    writer.member("later_set_agreement", effect.laterAgreement)
    writer.member("experts_per_token", effect.expertsPerToken)
    writer.member("control") { writer in
      writer.object { writer in
        writer.member("kind", effect.control.kind.rawValue)
        writer.member("draws", effect.control.variants.count)
        write(effect.controlChange, to: &writer)
        if let ratio = effect.control.loadRatio {
          writer.member("load_ratio", ratio)
          writer.member("is_near", ratio <= EffectControl.flaggedRatio)
        }
        if effect.control.kind == .equalSize { writer.member("unmatched", effect.unmatched) }
        if let reason = effect.control.reason { writer.member("reason", reason) }
      }
    }
    writer.member("difference") { writer in
      writer.object { writer in
        write(effect.difference, to: &writer)
        writer.member("p", effect.p)
        writer.member("adjusted_p", effect.adjustedP)
      }
    }
    if let mates = effect.mates { Self.write("mates", mates, to: &writer) }
    if let order = effect.order { Self.write("order", order, to: &writer) }
  }

  private static func write(_ name: String, _ effect: BatchEffect, to writer: inout JSONWriter) {
    writer.member(name) { writer in
      writer.object { writer in
        for (key, change) in [("changed_tokens", effect.changedTokens), ("changed_top1", effect.changedTop1)] {
          writer.member(key, change.value)
          writer.member(key + "_low", change.interval?.low)
          writer.member(key + "_high", change.interval?.high)
        }
        writer.member("n", effect.texts)
        writer.member("n_of", "texts")
        writer.member("unit", "share")
        writer.member("draws", effect.draws)
        writer.member("tokens", effect.tokens)
        writer.member("places", effect.places)
      }
    }
  }
}

/// What was read.
struct WhatIfInput {
  /// As the user named it.
  var source: String
  /// What was said of BOS before texts; nil: as the tokenizer does.
  var bos: String?
  /// Tokens of each text that were taken at most.
  var length: Int?
  /// Texts of a batch, where rules could count its rows; nil: one.
  var batch: Int?
  /// Of images.
  var request: DenoisingRequest?

  /// Of images: how they were made, in words.
  var steps: String? { request?.summary }

  fileprivate func write(to writer: inout JSONWriter) {
    if let bos { writer.member("bos", bos) }
    if let length { writer.member("length", length) }
    if let batch { writer.member("batch", batch) }
    guard let request else { return }
    writer.member("classes", request.classes)
    writer.member("sampler", request.rule.name)
    writer.member("steps", request.steps)
    writer.member("guidance", request.guidance.map(Double.init))
  }
}
