// One run of a comparison: its trace, its texts, and whether it can stand beside another at all.

import Analysis
import Foundation
import Routing
import Store

struct RunBeside {
  let summary: RunSummary
  private(set) var facts: ComparedRun
  let texts: RunTexts
  /// What must be known of the run before it is believed: rules it was made under, capture checks that failed.
  let warnings: [String]
  private let trace: TraceReader
  /// Whether it says which tokens its rows are, where they are tokens at all.
  private let knowsTokens: Bool

  /// Reads the tokens of a run.
  ///
  /// - Parameter branch: rows of a denoising run that are compared.
  /// - Throws: `StoreError`; `Failure` where the run keeps no decisions.
  init(_ name: String, traces: TraceOptions, branch: Int) throws {
    let reference = try traces.reference(name)
    (trace, summary) = try TraceReader.open(reference)
    let description = summary.description
    let label = "\((trace.file as NSString).lastPathComponent)#\(summary.id)"
    guard description.recording.content > .counts else {
      throw Failure(
        .usage,
        "\(label) was recorded with --record counts and keeps no decisions to compare; record it with --record ids or more, or see "
          + "moetop analyze --metric choices")
    }
    if let layout = description.denoising, !(0..<layout.branchCount).contains(branch) {
      throw Failure(.usage, "--branch \(branch): \(label) has branches 0 to \(layout.branchCount - 1)")
    }
    if description.denoising == nil, branch != 0 { throw Failure(.usage, "--branch \(branch): \(label) is not a denoising run") }
    knowsTokens = try description.denoising != nil || trace.keepsTokenIDs(summary)
    var texts = RunTexts(sequences: try trace.sequences(run: summary.id), layout: description.denoising, branch: branch)
    try trace.passes(of: summary, routers: [], withLogits: false).forEach { texts.add($0.tokens) }
    self.texts = texts
    facts = ComparedRun(
      label: label, trace: reference.file, description: description, tokens: texts.tokens, texts: texts.count, note: summary.note)
    warnings =
      (summary.interventionWarning.map { ["\(label): \($0)"] } ?? [])
      + summary.failedChecks.map { "\(label): capture check \($0.name) failed: \($0.detail)" }
  }

  /// Runs by file and id; by the whole path where two files are called alike.
  static func labelled(_ runs: [RunBeside]) -> [RunBeside] {
    let files = Dictionary(grouping: Set(runs.map(\.facts.trace))) { ($0 as NSString).lastPathComponent }
    guard files.values.contains(where: { $0.count > 1 }) else { return runs }
    return runs.map { run in
      var run = run
      run.facts.label = "\(run.facts.trace)#\(run.summary.id)"
      return run
    }
  }

  /// A filter made ready for the run.
  func resolved(_ options: FilterOptions, branch: Int) throws -> ResolvedFilter? {
    try options.resolved(
      for: summary, in: trace, sequences: trace.sequences(run: summary.id), branch: summary.description.denoising == nil ? nil : branch)
  }

  func window(_ routers: Set<RouterID>, _ withLogits: Bool) -> PassWindow {
    PassWindow(trace: trace, run: summary, routers: routers, withLogits: withLogits)
  }

  /// - Throws: `Failure` where no row of one is a row of the other.
  func check(beside other: RunBeside) throws {
    switch (summary.description.denoising, other.summary.description.denoising) {
    case (nil, nil): break
    case (let mine?, let theirs?):
      let isSame =
        mine.timesteps == theirs.timesteps && mine.patchRows == theirs.patchRows && mine.patchColumns == theirs.patchColumns
      if !isSame {
        throw Failure(
          .damaged,
          "\(facts.label) and \(other.facts.label) have other steps or patches (\(Self.words(mine)); \(Self.words(theirs))): "
            + "no decision of one has its place in the other")
      }
    default:
      let image = summary.description.denoising == nil ? other.facts.label : facts.label
      throw Failure(.damaged, "\(image) is a denoising run and the other one reads text: they have no token in common")
    }
  }

  /// Whether tokens pair by their place, because one of the runs does not say what they are.
  ///
  /// - Throws: `Failure` where nobody knows that their texts are the same.
  func pairsByPlace(with other: RunBeside) throws -> Bool {
    if knowsTokens && other.knowsTokens { return false }
    let (mine, theirs) = (summary.description.input.hash, other.summary.description.input.hash)
    guard mine.isEmpty || mine != theirs else { return true }
    let whose = knowsTokens ? other.facts.label : facts.label
    throw Failure(
      .usage,
      "\(whose) keeps no token ids: its texts pair with those of another run only where both are of one input, expected equal hashes of the input, "
        + "found \(mine.isEmpty ? "none" : Show.hash(mine)) and \(theirs.isEmpty ? "none" : Show.hash(theirs))"
        + "\n  try: record both runs from the same file, or with their ids")
  }

  private static func words(_ layout: DenoisingLayout) -> String {
    "\(layout.stepCount) steps of \(layout.sampler), \(layout.patchRows) x \(layout.patchColumns) patches"
  }

  /// Ids that stand for other text in the other run's vocabulary, as far as both runs kept what their ids stand for.
  func idsOfOtherText(than other: RunBeside) throws -> Set<Int32> {
    let (mine, theirs) = (summary.description.model.tokenizerHash, other.summary.description.model.tokenizerHash)
    if mine == theirs, !mine.isEmpty { return [] }
    let (pieces, otherPieces) = (try trace.pieces(run: summary.id), try other.trace.pieces(run: other.summary.id))
    return Set(pieces.filter { id, bytes in otherPieces[id].map { $0 != bytes } ?? false }.keys)
  }

  /// Why two runs may have nothing in common.
  func whyNothing(in other: RunBeside) -> String {
    let (mine, theirs) = (summary.description.model.tokenizerHash, other.summary.description.model.tokenizerHash)
    if texts.count == 0 || other.texts.count == 0 { return "one of them has no token at all" }
    if !mine.isEmpty, !theirs.isEmpty, mine != theirs {
      return "they were read with other tokenizers (\(Show.hash(mine)) and \(Show.hash(theirs))); compare runs of one tokenizer"
    }
    return "no text of one begins as a text of the other at its place, has its ids, or has its name; compare runs of the same texts"
  }

  /// What ids of the run stand for, in quotes as they are shown.
  func words() throws -> [Int32: String] {
    try trace.pieces(run: summary.id).mapValues { "'" + Show.line(String(decoding: $0, as: UTF8.self)) + "'" }
  }
}
