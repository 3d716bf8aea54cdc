// `--filter` of the commands that look at a recorded run: what the trace knows is handed to the filter, and quantiles are looked up in it.

import Analysis
import ArgumentParser
import Routing
import Store

struct FilterOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Only decisions and tokens that pass, for instance 'layer=3-7 domain=code entropy>0.9 !bos' (all terms: moetop docs filters).",
      valueName: "terms"))
  var filter: [String] = []

  /// The filter made ready for a run; nil when none was given.
  ///
  /// - Parameters:
  ///   - sequences: of the run, with the labels that count.
  ///   - branch: the branch of a denoising run that is looked at, whose entropies a quantile is one of; nil for all.
  /// - Throws: `FilterError`, and what reading the trace throws.
  func resolved(
    for run: RunSummary, in trace: TraceReader, sequences: [SequenceDescription], branch: Int? = nil
  ) throws -> ResolvedFilter? {
    guard !filter.isEmpty else { return nil }
    // Given more than once: all of them, as terms are joined.
    let filter = try Filter(parsing: filter.joined(separator: " "))
    let description = run.description
    let pieces = filter.looksAtTexts ? try trace.pieces(run: run.id) : [:]
    let hasIDs = try !filter.looksAtIDs || trace.keepsTokenIDs(run)
    let places = try trace.namedPlaces(run: run.id)
    let context = FilterContext(
      routers: description.routers, sequences: sequences, layout: description.denoising,
      beginningID: hasIDs ? description.beginningToken : nil, hasTexts: !pieces.isEmpty, hasIDs: hasIDs,
      hasWeights: description.recording.content >= .weights, coordinates: places.coordinates, tokenLabels: places.labels,
      text: { id in pieces[id].map { String(decoding: $0, as: UTF8.self) } })
    var survey: EntropySurvey?
    return try filter.resolved(in: context) { q in
      let known = try survey ?? entropies(of: run, in: trace, branch: branch)
      survey = known
      return known.share(ofQuantile: q)
    }
  }

  private func entropies(of run: RunSummary, in trace: TraceReader, branch: Int?) throws -> EntropySurvey {
    var survey = EntropySurvey(layout: run.description.denoising, branch: branch)
    try trace.passes(of: run, withLogits: false).forEach { survey.add($0) }
    return survey
  }
}
