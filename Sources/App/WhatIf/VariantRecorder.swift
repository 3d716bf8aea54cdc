// Keeps the runs behind an answer: the texts as they are, and every variant as a run that names it as its parent.

import Model
import Routing
import Store

/// Writes one run a variant into a trace.
final class VariantRecorder {
  /// Runs that are written side by side at most.
  static let mostVariants = 100
  private let writers: [TraceWriter]

  /// - Parameters:
  ///   - series: that all of the runs belong to.
  ///   - pieces: the bytes of a vocabulary entry.
  /// - Throws: `Failure` (64) for too many variants; `StoreError`, `RuleError`.
  init(
    file: String, series: String, _ run: WhatIfRun, _ variants: BoundVariants, source: String,
    pieces: @escaping @Sendable (Int32) -> [UInt8]?
  ) throws {
    let plan = variants.plan
    guard plan.variants.count <= Self.mostVariants else {
      throw Failure(
        .usage,
        "--trace: expected at most \(Self.mostVariants) variants to record, found \(plan.variants.count)\n"
          + "  try: fewer rules, or no --trace")
    }
    let model = run.model
    func open(_ intervention: Intervention?, seed: UInt64, parent: Int64?, tags: [String]) throws -> TraceWriter {
      let description = RunDescription(
        name: "", model: model.identity, routers: intervention?.described(model.routers) ?? model.routers,
        input: InputIdentity(source: source, hash: run.texts.inputHash), recording: RecordingLevel(), seed: seed,
        engine: EngineIdentity(version: Version.number, simd: Engine.simdLevel, threads: run.threadCount), startedAt: wallClock(),
        tags: tags,
        intervention: intervention?.rules.text, parent: parent, series: series)
      return try TraceWriter(
        file: file, description: description, sequences: run.texts.map(\.description), intervention: intervention, pieces: pieces)
    }
    let baseline = try open(nil, seed: plan.seed, parent: nil, tags: [])
    writers =
      try [baseline]
      + zip(plan.variants, variants.interventions).map { variant, intervention in
        try open(
          intervention, seed: variant.seed, parent: baseline.run, tags: variant.otherDecisions.map { ["control-\($0 + 1)"] } ?? [])
      }
  }

  /// Takes a text, read as it is and under every variant.
  func receive(_ baseline: TextReading, _ variants: [TextReading]) throws {
    for (writer, reading) in zip(writers, [baseline] + variants) {
      for var pass in reading.passes {
        for index in pass.batches.indices { pass.batches[index].logits = nil }
        try writer.receive(pass)
      }
    }
  }

  /// Ends the runs.
  func finish() throws -> [TraceSummary] {
    for writer in writers { try writer.finish(Interruption.signal == nil ? .completed : .stopped) }
    return try writers.map { try TraceSummary($0) }
  }

  func fail(_ error: any Error) { for writer in writers { try? writer.finish(.failed(reason: Failure.message(of: error))) } }
}
