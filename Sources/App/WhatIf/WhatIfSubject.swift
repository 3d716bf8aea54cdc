// What can be read with and without rules: texts by a language model, or images by a model that denoises. `WhatIfRun` plans and measures; here is
// what it must know about either.

import Analysis
import Model
import Routing

/// Texts, or images, and the model that reads them.
protocol WhatIfSubject: AnyObject {
  associatedtype Reading: WhatIfReading

  var model: ModelIdentity { get }
  var routers: [RouterDescription] { get }
  var sharedExperts: [Int] { get }
  /// What conditions of rules may name.
  var context: FilterContext { get }
  var measure: EffectMeasure { get }
  /// The texts, or the samples.
  var members: [SequenceDescription] { get }
  /// Members that share a batch.
  var batch: Int { get }
  var threadCount: Int { get }
  /// Steps of progress that a reading of a member is worth, and what they are called.
  func size(of member: Int) -> Int
  var unit: String { get }
  /// Called with the steps of the reading at hand that are done; return false to stop.
  var onProgress: ((Int) -> Bool)? { get set }

  /// Reads members as they are.
  ///
  /// - Parameters:
  ///   - variants: that will be read.
  ///   - scores: whether what the measure needs is computed.
  /// - Returns: nil when stopped by `onProgress`.
  func unchanged(_ members: Range<Int>, before variants: [Intervention], demand: RoutingDemand, scores: Bool) throws -> [Reading]?

  /// Reads the same members under rules: one, or those of a batch where rules count its rows.
  ///
  /// - Parameter touched: what the rules touch of each.
  func changed(
    _ members: Range<Int>, by intervention: Intervention, _ unchanged: [Reading], touched: [TouchedDecisions], demand: RoutingDemand
  ) throws -> [Reading]?

  /// Input, steps and so on of a run that records readings.
  func complete(_ description: inout RunDescription)
}

/// What came of reading one member.
protocol WhatIfReading {
  var passes: [RoutingPass] { get }
  /// Whether something that came out is no number.
  var isBroken: Bool { get }
  /// Fills what the measure is made of.
  ///
  /// - Parameter isSame: nothing was read again, for nothing can be different.
  func measure(from unchanged: Self, isSame: Bool, into sums: inout EffectSums)
}

/// Texts by a language model.
final class TextSubject: WhatIfSubject {
  let language: LanguageModel
  let texts: [TokenSequence]
  let context: FilterContext
  let batch: Int
  let reader: VariantReader
  private let input: InputIdentity
  private let firstTokens: [Int]
  var onProgress: ((Int) -> Bool)?

  /// - Parameters:
  ///   - input: where the texts came from.
  ///   - batch: texts over which rules of capacity count.
  init(_ model: LanguageModel, texts: [TokenSequence], context: FilterContext, input: InputIdentity, batch: Int = 1, threads: Int?) {
    (language, self.texts, self.context, self.input, self.batch) = (model, texts, context, input, batch)
    reader = VariantReader(model, threads: threads)
    var rows = 0
    firstTokens = texts.map { text in
      defer { rows += text.count }
      return rows
    }
  }

  var model: ModelIdentity { language.identity }
  var routers: [RouterDescription] { language.routers }
  var sharedExperts: [Int] { language.sharedExpertCounts }
  var measure: EffectMeasure { .loss }
  var members: [SequenceDescription] { texts.map(\.description) }
  var threadCount: Int { reader.threadCount }
  var unit: String { "tokens" }
  func size(of member: Int) -> Int { texts[member].count }

  private func place(_ member: Int) {
    (reader.sequence, reader.firstToken) = (member, firstTokens[member])
    reader.onProgress = onProgress.map { tell in { tell($0.tokens) } }
  }

  func unchanged(
    _ members: Range<Int>, before variants: [Intervention], demand: RoutingDemand, scores: Bool
  ) throws -> [TextReading]? {
    let places = reader.places(for: variants)
    var readings: [TextReading] = []
    for member in members {
      place(member)
      guard let reading = try reader.baseline(texts[member], demand: demand, keeping: places, scores: scores) else { return nil }
      readings.append(reading)
    }
    return readings
  }

  func changed(
    _ members: Range<Int>, by intervention: Intervention, _ unchanged: [TextReading], touched: [TouchedDecisions], demand: RoutingDemand
  ) throws -> [TextReading]? {
    place(members.lowerBound)
    return try reader.batch(
      Array(texts[members]), under: intervention, baselines: unchanged, references: unchanged, demand: demand)
  }

  func complete(_ description: inout RunDescription) {
    description.input = input
    if batch > 1 && description.intervention != nil { description.batch = batch }
  }
}

extension TextReading: WhatIfReading {
  var isBroken: Bool {
    score.outputs.notFiniteRows + score.outputs.notFiniteScores > 0 || !score.nats.isFinite || !score.divergence.nats.isFinite
  }

  func measure(from unchanged: TextReading, isSame: Bool, into sums: inout EffectSums) {
    sums.scored = unchanged.score.scoredTokens
    (sums.unchanged, sums.changed) = (unchanged.score.nats, score.nats)
    sums.divergence = isSame ? 0 : score.divergence.nats
    sums.sameBest = isSame ? sums.scored : score.divergence.sameBest
  }
}

/// Images by a model that denoises.
final class ImageSubject: WhatIfSubject {
  let reader: ImageReader
  let members: [SequenceDescription]
  let context: FilterContext
  private let source: String
  var onProgress: ((Int) -> Bool)?

  /// - Parameter source: where the noise came from.
  init(_ model: DenoisingModel, _ request: DenoisingRequest, noise: NoiseSource?, source: String, threads: Int?) {
    reader = ImageReader(model, request, noise: noise, threads: threads)
    members = [SequenceDescription](samplesOf: request, model)
    context = FilterContext(routers: model.routers, sequences: members, layout: reader.layout)
    self.source = source
  }

  var model: ModelIdentity { reader.model.identity }
  var routers: [RouterDescription] { reader.model.routers }
  var sharedExperts: [Int] { reader.model.sharedExpertCounts }
  var measure: EffectMeasure { .latent }
  var batch: Int { 1 }
  var threadCount: Int { reader.threadCount }
  var unit: String { "steps" }
  func size(of member: Int) -> Int { reader.request.steps }

  func unchanged(
    _ members: Range<Int>, before variants: [Intervention], demand: RoutingDemand, scores: Bool
  ) throws -> [ImageReading]? {
    var readings: [ImageReading] = []
    reader.onProgress = onProgress
    for member in members {
      guard let reading = try reader.baseline(member, demand: demand) else { return nil }
      readings.append(reading)
    }
    return readings
  }

  func changed(
    _ members: Range<Int>, by intervention: Intervention, _ unchanged: [ImageReading], touched: [TouchedDecisions], demand: RoutingDemand
  ) throws -> [ImageReading]? {
    var readings: [ImageReading] = []
    reader.onProgress = onProgress
    for (index, member) in members.enumerated() {
      let first = touched[index].first?.pass ?? 0
      let reading = try reader.variant(intervention, of: member, baseline: unchanged[index], from: first, demand: demand)
      guard let reading else { return nil }
      readings.append(reading)
    }
    return readings
  }

  func complete(_ description: inout RunDescription) {
    let request = reader.request
    description.input = InputIdentity(source: source, hash: "")
    description.sampling = request.summary
    description.denoising = reader.layout
  }
}

extension ImageReading: WhatIfReading {
  func measure(from unchanged: ImageReading, isSame: Bool, into sums: inout EffectSums) {
    (sums.scored, sums.unchanged, sums.changed) = (1, 0, isSame ? 0 : change(from: unchanged))
  }
}
