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
    file: String, series: String, _ subject: some WhatIfSubject, _ variants: BoundVariants,
    pieces: @escaping @Sendable (Int32) -> [UInt8]?
  ) throws {
    let plan = variants.plan
    guard plan.variants.count <= Self.mostVariants else {
      throw Failure(
        .usage,
        "--trace: expected at most \(Self.mostVariants) variants to record, found \(plan.variants.count)\n"
          + "  try: fewer rules, or no --trace")
    }
    func open(_ intervention: Intervention?, seed: UInt64, parent: Int64?, tags: [String]) throws -> TraceWriter {
      var description = RunDescription(
        name: "", model: subject.model, routers: intervention?.described(subject.routers) ?? subject.routers,
        input: InputIdentity(source: "", hash: ""), recording: RecordingLevel(), seed: seed,
        engine: EngineIdentity(version: Version.number, simd: Engine.simdLevel, threads: subject.threadCount), startedAt: wallClock(),
        tags: tags, intervention: intervention?.rules.text, parent: parent, series: series)
      subject.complete(&description)
      return try TraceWriter(
        file: file, description: description, sequences: subject.members, intervention: intervention, pieces: pieces)
    }
    let baseline = try open(nil, seed: plan.seed, parent: nil, tags: [])
    writers =
      try [baseline]
      + zip(plan.variants, variants.interventions).enumerated().map { number, made in
        try open(
          made.1, seed: made.0.seed, parent: baseline.run, tags: plan.controlNumber(of: number).map { ["control-\($0)"] } ?? [])
      }
  }

  /// Takes a text, or an image, read as it is and under every variant.
  func receive(_ baseline: [RoutingPass], _ variants: [[RoutingPass]]) throws {
    for (writer, passes) in zip(writers, [baseline] + variants) {
      for var pass in passes {
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
