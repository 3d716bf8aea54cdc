// Reads every text again among other texts, and in another place of its batch, and holds it against the reading in the batch it came in.

import Analysis
import Model
import Routing

extension WhatIfRun<TextSubject> {
  /// What the rules of a plan do to whole batches, and what other batches then do to each text.
  ///
  /// - Returns: as many draws as were finished when a signal asked to stop.
  /// - Throws: `Failure` when the texts were not all read once by then; when a text changes with its mates though nothing counts rows.
  func overflow(_ variants: BoundVariants, recorder: VariantRecorder?) throws -> EffectStudy {
    let plan = variants.plan
    let shuffle = BatchShuffle(texts: subject.texts.count, batch: subject.batch)
    let all = size(of: subject.members.indices)
    let turns = min(plan.draws, shuffle.turns)
    let rest = all * plan.variants.count * (plan.draws + turns)
    var trails: [[TextTrail]] = subject.texts.map { _ in [] }
    var study = try measure(variants, recorder: recorder, rest: rest) { member, _, reading in
      trails[member].append(TextTrail(reading.passes, best: reading.score.best))
    }
    func requireAll(_ done: Bool) throws {
      if !done { throw Failure(Interruption.status ?? .failed, "stopped before every text was read in another batch") }
    }
    try requireAll(study.texts == subject.texts.count)
    let meter = Meter("other batches", of: rest, unit: subject.unit, isShown: showsProgress)
    defer { meter.finish() }
    subject.onProgress = meter.tell
    for draw in 0..<plan.draws {
      var kinds: [(WritableKeyPath<EffectSums, BatchShift>, [[Int]])] = [(\.mates, shuffle.otherMates(seed: plan.seed, draw: draw))]
      if draw < turns { kinds.append((\.order, shuffle.otherOrder(seed: plan.seed, draw: draw))) }
      var shifts: [(kind: WritableKeyPath<EffectSums, BatchShift>, text: Int, variant: Int, shift: BatchShift)] = []
      for (kind, batches) in kinds {
        for (number, intervention) in variants.interventions.enumerated() {
          for batch in batches {
            guard let readings = try subject.batch(batch, under: intervention) else {
              try requireAll(draw > 0)
              return study
            }
            for (text, reading) in zip(batch, readings) {
              let trail = TextTrail(reading.passes, best: reading.score.best)
              shifts.append((kind, text, number, BatchShift(trails[text][number], trail)))
            }
            meter.add(batch.reduce(0) { $0 + subject.size(of: $1) })
          }
        }
      }
      // A draw counts when all of it was read.
      for entry in shifts { study.add(entry.shift, entry.kind, text: entry.text, variant: entry.variant) }
      try requireApart(shifts.filter { !variants.interventions[$0.variant].countsRows }.map(\.shift))
    }
    return study
  }

  /// The self-test of the experiment: texts of a batch know nothing of each other where nothing counts its rows.
  private func requireApart(_ shifts: [BatchShift]) throws {
    let changes = shifts.reduce(0) { $0 + $1.changes }
    guard changes > 0 else { return }
    throw Failure(
      .failed,
      "--experiment overflow: the self-test failed: without a capacity \(changes) tokens or next tokens change with the other texts of their "
        + "batch, expected 0; nothing it would say can be trusted\n  try: --threads 1, and tell us: this is a fault of moetop")
  }
}

extension TextSubject {
  /// Reads some texts side by side from their beginning.
  fileprivate func batch(_ numbers: [Int], under intervention: Intervention) throws -> [TextReading]? {
    (reader.sequence, reader.firstToken) = (0, 0)
    reader.onProgress = onProgress.map { tell in { _ in tell(0) } }
    return try reader.batch(numbers.map { texts[$0] }, under: intervention, demand: RoutingDemand(statistics: false))
  }
}
