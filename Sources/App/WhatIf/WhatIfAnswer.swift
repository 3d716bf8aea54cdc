// What came of a question, for people and for scripts (docs/contracts.md, what if).

import Analysis
import Formats
import Model
import Routing

struct WhatIfAnswer {
  let model: String
  let input: String
  let experiment: String?
  /// Tokens of each text that were taken at most.
  let length: Int?
  let label: String?
  let study: EffectStudy
  /// In the order in which they are read: by falling size of the difference where every expert has a row.
  let effects: [RoutingEffect]
  /// Whether a signal ended it before all texts were read.
  let isPartial: Bool
  let recorded: [TraceSummary]
  /// A prompt's continuation as it is, and under the rules of each row.
  private var before: String?
  private var after: [String] = []

  init(
    model: String, input: String, experiment: String?, length: Int?, label: String?, study: EffectStudy, isPartial: Bool,
    recorded: [TraceSummary]
  ) {
    (self.model, self.input, self.experiment, self.length, self.label) = (model, input, experiment, length, label)
    (self.study, self.isPartial, self.recorded) = (study, isPartial, recorded)
    let effects = study.effects(by: label)
    func rank(_ effect: RoutingEffect) -> Double { abs(effect.difference?.loss ?? 0) }
    self.effects = study.plan.isRanked ? effects.enumerated().sorted { (-rank($0.1), $0.0) < (-rank($1.1), $1.0) }.map(\.1) : effects
  }

  /// Continues a prompt greedily, as it is and under the rules of each row. Conditions are asked of each decision when it is made: no unchanged
  /// run has the tokens that come.
  mutating func continuePrompt(_ prompt: TokenSequence, _ run: WhatIfRun, tokenizer: Tokenizer, maxTokens: Int) throws {
    func text(_ intervention: Intervention?) throws -> String {
      let forward = ForwardPass(run.model, threads: run.threadCount)
      forward.intervention = intervention
      let generator = try Generator(forward, prompt: prompt, sampling: SamplingSettings(), maxTokens: maxTokens, sink: nil)
      var ids: [Int32] = []
      while ids.count < maxTokens, Interruption.signal == nil, let draw = generator.next {
        ids.append(draw.token)
        if ids.count == maxTokens || run.model.endTokens.contains(draw.token) { break }
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
    if let experiment, let known = Experiment(rawValue: experiment) {
      lines += ["asked    \(known.question)", "source   \(known.source)"]
    }
    let tokens = effects.first.map { Show.counted($0.texts, "text") } ?? Show.counted(study.texts, "text")
    lines.append("read     \(tokens), \(Show.counted(study.scoredTokens, "scored token"))\(isPartial ? ", stopped before the rest" : "")")
    if let loss = study.baselineLoss { lines.append("loss     \(Show.fixed(loss, 4)) nat per token as it is") }
    if let first = recorded.first, let last = recorded.last {
      lines.append("trace    \(Show.line(first.file)) runs \(first.run) to \(last.run)")
    }
    if let before {
      lines.append("before   \(Show.line(before))")
      for (effect, after) in zip(effects, after) { lines.append("after    \(Show.line(after))  [\(Show.line(effect.rules))]") }
    }
    return lines.joined(separator: "\n") + "\n\n"
  }

  var tables: [ReportTable] { EffectTables.tables(effects, isRanked: study.plan.isRanked, by: label) }

  // MARK: For scripts

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.whatif/1")
      writer.member("model", model)
      writer.member("input", input)
      writer.member("texts", study.texts)
      writer.member("tokens", study.scoredTokens)
      if isPartial { writer.member("partial", true) }
      writer.member("baseline") { writer in writer.object { $0.member("loss", study.baselineLoss) } }
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
          if let experiment { writer.member("experiment", experiment) }
          writer.member("seeds", study.plan.draws)
          writer.member("seed", study.plan.seed)
          writer.member("flips", EffectStudy.flips)
          if let length { writer.member("length", length) }
          if let label { writer.member("by", label) }
          writer.member("intervals", "delete-one-text jackknife")
        }
      }
      if let first = recorded.first {
        writer.member("trace", first.file)
        writer.member("runs", recorded.map(\.run))
      }
      writer.member("notes", EffectTables.notes(effects))
    }
    return writer.text + "\n"
  }

  private static func write(_ effect: RoutingEffect, to writer: inout JSONWriter) {
    func write(_ change: RoutingEffect.Change?, to writer: inout JSONWriter) {
      writer.member("loss_change", change?.loss)
      writer.member("low", change?.interval?.low)
      writer.member("high", change?.interval?.high)
    }
    writer.member("touched", effect.touched)
    write(effect.change, to: &writer)
    writer.member("n", effect.texts)
    writer.member("n_of", "texts")
    writer.member("unit", "nat/token")
    writer.member("draws", effect.draws)
    writer.member("kl", effect.divergence)
    writer.member("same_top1", effect.sameTop1)
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
  }
}
