// What a run did, for people and for scripts: tokens, speed, loss, generated text, where the trace lies.

import Formats
import Model
import Routing
import Store

struct RunResult {
  struct Speed {
    var tokens = 0
    var seconds = 0.0
    var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
  }

  let model: LanguageModel
  let input: String
  /// What changed routing, as it was written.
  let rules: String?
  var sequences: [(description: SequenceDescription, score: SequenceScore)] = []
  var prefill = Speed()
  var decode = Speed()
  /// Generated ids, one list a sequence.
  var generated: [[Int32]] = []
  var texts: [String] = []
  /// Of the whole run.
  private var outputs = OutputTally()
  /// Sequences, by name, whose continuation ended because nothing could be drawn, and after how many tokens.
  private var broken: [(name: String, tokens: Int)] = []
  var trace: TraceSummary?

  init(model: LanguageModel, input: String, rules: String?) {
    self.model = model
    self.input = input
    self.rules = rules
  }

  /// Teacher forcing over all sequences.
  mutating func read(
    _ inputs: [TokenSequence], _ reading: TextReadings, sink: (any RoutingSink)?, progress: inout Progress
  ) throws {
    let start = steadyClock()
    var shown = progress
    let scores = try reading.read(inputs, sink: sink) { done, total in
      shown.update(done: done, of: total, unit: "tokens")
      return Interruption.signal == nil
    }
    progress = shown
    prefill = Speed(tokens: scores.reduce(0) { $0 + $1.tokens }, seconds: steadyClock() - start)
    sequences = zip(inputs.map(\.description), scores).map { ($0, $1) }
    for score in scores { outputs += score.outputs }
  }

  /// Continues every sequence.
  mutating func generate(
    _ inputs: [TokenSequence], _ forward: ForwardPass, _ sampling: SamplingSettings, maxTokens: Int, sink: (any RoutingSink)?,
    progress: inout Progress
  ) throws {
    var row = 0
    for (index, input) in inputs.enumerated() where Interruption.signal == nil {
      let start = steadyClock()
      let generator = try Generator(
        forward, prompt: input, sampling: sampling, maxTokens: maxTokens, sink: sink, sequence: index, firstToken: row)
      prefill.tokens += input.tokens.count
      prefill.seconds += steadyClock() - start
      let begin = steadyClock()
      var ids: [Int32] = []
      while ids.count < maxTokens, Interruption.signal == nil, let draw = generator.next {
        ids.append(draw.token)
        progress.update(done: ids.count, of: maxTokens, unit: "tokens")
        if ids.count == maxTokens || model.endTokens.contains(draw.token) { break }
        guard try generator.advance() != nil else { break }
        decode.tokens += 1
      }
      decode.seconds += steadyClock() - begin
      row = generator.tokenCount
      generated.append(ids)
      outputs += generator.outputs
      if generator.isBroken { broken.append((input.description.name, ids.count)) }
      sequences.append((input.description, generator.promptScore))
    }
  }

  /// Tokens that were given, not drawn, and have a surprisal.
  private var scoredTokens: Int { sequences.reduce(0) { $0 + $1.score.scoredTokens } }

  /// Mean surprisal of all scored tokens; nil where nothing was scored, and where one output is no number: a mean over what is left
  /// would be the loss of another text.
  private var loss: Double? {
    guard scoredTokens > 0, outputs.notFiniteScores + outputs.notFiniteRows == 0 else { return nil }
    return sequences.reduce(0) { $0 + $1.score.nats } / Double(scoredTokens)
  }

  /// What is wrong with the model's answers, in words; nil when they are all numbers.
  var brokenOutputs: String? {
    if outputs.notFiniteScores > 0 {
      return "\(Show.grouped(outputs.notFiniteScores)) of \(Show.grouped(outputs.scores)) surprisals are not finite"
    }
    guard outputs.notFiniteRows > 0 else { return nil }
    return "the output is not finite at \(Show.grouped(outputs.notFiniteRows)) of \(Show.grouped(outputs.rows)) tokens"
  }

  var text: String {
    var lines: [String] = []
    for (index, text) in texts.enumerated() {
      if texts.count > 1 { lines.append("== \(Show.line(sequences[index].description.name))") }
      lines.append(text)
    }
    let routers = model.routers
    let policies = routers.map(\.spec.summary).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    let policy = "\(model.layerCount) layers, \(policies.isEmpty ? "no router" : policies.joined(separator: "; "))"
    lines.append("model    \(Show.line(model.name))  \(policy)")
    if let rules { lines.append("rules    \(Show.line(rules))") }
    func speed(_ name: String, _ speed: Speed) {
      guard speed.tokens > 0 else { return }
      lines.append(
        "\(name)\(Show.grouped(speed.tokens)) tokens  \(Show.fixed(speed.tokensPerSecond, 1)) tok/s  \(Show.fixed(speed.seconds, 2)) s")
    }
    speed("read     ", prefill)
    speed("decoded  ", decode)
    for (name, tokens) in broken {
      lines.append(
        "stopped  \(name) after \(Show.grouped(tokens)) tokens: the output logits are not finite, nothing can be drawn from them")
    }
    if let loss {
      let whose = generated.isEmpty ? "" : " of the prompt\(generated.count == 1 ? "" : "s")"
      lines.append("loss     \(Show.fixed(loss, 4)) nat per token, \(Show.counted(scoredTokens, "token"))\(whose)")
    } else if let brokenOutputs {
      lines.append("loss     not a number: \(brokenOutputs)")
    }
    if let trace { lines += trace.lines }
    return lines.joined(separator: "\n") + "\n"
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.run/1")
      writer.member("model", model.name)
      writer.member("input", input)
      if let rules { writer.member("intervention", rules) }
      for (name, speed) in [("prefill", prefill), ("decode", decode)] {
        writer.member(name) { writer in
          writer.object { writer in
            writer.member("tokens", speed.tokens)
            writer.member("seconds", speed.seconds)
            writer.member("tokens_per_second", speed.tokensPerSecond)
          }
        }
      }
      writer.member("loss", loss)
      writer.member("scored_tokens", scoredTokens)
      writer.member("not_finite_surprisals", outputs.notFiniteScores)
      writer.member("not_finite_outputs", outputs.notFiniteRows)
      writer.member("warnings", model.warnings)
      writer.member("notes", model.notes)
      writer.member("assumed") { writer in writer.object { for (key, value) in model.assumed { $0.member(key, value) } } }
      writer.objects("sequences", Array(sequences.enumerated())) { writer, entry in
        let (index, sequence) = entry
        writer.member("name", sequence.description.name)
        writer.member("labels") { writer in
          writer.object { writer in
            for (key, value) in sequence.description.labels.sorted(by: { $0.key < $1.key }) { writer.member(key, value) }
          }
        }
        writer.member("tokens", sequence.score.tokens)
        writer.member("scored_tokens", sequence.score.scoredTokens)
        writer.member("nats", sequence.score.nats)
        writer.member("not_finite_surprisals", sequence.score.outputs.notFiniteScores)
        if index < generated.count {
          writer.member("generated", generated[index])
          writer.member("stopped", broken.contains { $0.name == sequence.description.name } ? "not finite" : nil)
          writer.member("text", index < texts.count ? texts[index] : nil)
        }
      }
      if let trace { trace.write(to: &writer) }
    }
    return writer.text + "\n"
  }
}

/// How texts are read: one after the other, or in batches where rules count the rows of one.
struct TextReadings {
  private let forward: ForwardPass
  private let scoring: Bool
  private let batch: Int
  private let threads: Int?

  /// - Parameters:
  ///   - scoring: whether the output head is computed.
  ///   - batch: texts of a batch; where no rule counts its rows, the texts would not know of each other.
  init(_ forward: ForwardPass, scoring: Bool, batch: Int, threads: Int?) {
    (self.forward, self.scoring, self.threads) = (forward, scoring, threads)
    self.batch = forward.intervention?.countsRows == true ? batch : 1
  }

  /// - Parameter onProgress: called with the tokens that are done and those there are; returns false to stop.
  /// - Returns: a score for each text; fewer when it was stopped. A batch that was begun is then lost.
  func read(
    _ texts: [TokenSequence], sink: (any RoutingSink)?, onProgress: @escaping (Int, Int) -> Bool
  ) throws -> [SequenceScore] {
    guard batch > 1 else {
      var reader = Reader(forward)
      (reader.scoresTokens, reader.onProgress) = (scoring, { onProgress($0.tokens, $0.totalTokens) })
      return try reader.read(texts, sink: sink)
    }
    let reader = VariantReader(forward.model, threads: threads)
    let total = texts.reduce(0) { $0 + $1.count }
    var (scores, done): ([SequenceScore], Int) = ([], 0)
    reader.onProgress = { _ in onProgress(done, total) }
    for start in stride(from: 0, to: texts.count, by: batch) {
      let group = Array(texts[start..<min(start + batch, texts.count)])
      (reader.sequence, reader.firstToken) = (start, done)
      let demand = sink?.demand ?? RoutingDemand(statistics: false)
      guard let readings = try reader.batch(group, under: forward.intervention, demand: demand, scores: scoring) else { break }
      for reading in readings {
        for pass in reading.passes { try sink?.receive(pass) }
        scores.append(reading.score)
        done += reading.tokens
      }
    }
    return scores
  }
}
