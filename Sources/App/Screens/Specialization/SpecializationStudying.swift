// A study of specialization, done aside: what is asked, how far it is, and what it found.

import Analysis
import Routing
import Terminal

/// A specialization study to be done.
struct StudyQuery: ScreenWork {
  var facet: Facet
  var strata: PerRouter<StratumCounts>
  var routes: PerRouter<RouteStore>
  /// Of a denoising run, in place of both.
  var counts: DenoisingCounts?
  var sequences: [SequenceDescription]
  /// Whether the run says what its tokens are.
  var hasTokenIDs: Bool
  /// Numbers of the values that tokens have of the label that is the axis, by sequence and position; nil: the axis is another.
  var labels: (@Sendable (Int, Int) -> Int32)?
  /// What an entry of the vocabulary, or such a number, stands for.
  var words: @Sendable (Int32) -> String?
  var draws: Int
  var end: Int
  var number: Int

  static let lane = "study"
  var lane: String? { Self.lane }

  func run(_ desk: WorkDesk) {
    func impossible(_ reason: String, inShort: String) {
      desk.post(StudyProgress.impossible(reason, inShort: inShort, facet: facet, end: end, number: number))
    }
    do {
      let prepared = try prepared()
      var found = prepared.draws(0..<0)
      let step = max(1, draws / 20)
      for start in stride(from: 0, to: draws, by: step) {
        guard desk.isWanted() else { return }
        let end = min(draws, start + step)
        found.merge(prepared.draws(start..<end))
        desk.post(StudyProgress.drawn(end, of: draws, number: number))
      }
      desk.post(
        StudyProgress.done(
          prepared.result(found), facet: facet, unlabelled: prepared.unlabelled, draws: draws, end: end, number: number))
    } catch AnalysisError.invalidPlan(_, let expected, let found) {
      impossible("expected \(expected), found \(found)", inShort: "too few")
    } catch AnalysisError.noTokenIDs {
      impossible(AppModel.withoutIDs, inShort: "no ids")
    } catch {
      impossible(Failure.message(of: error), inShort: "failed")
    }
  }

  private func prepared() throws -> SpecializationStudy {
    let settings = NullSettings(draws: draws, seed: 0)
    if facet.isOfTokens, !hasTokenIDs { throw AnalysisError.noTokenIDs(asked: "axis \(facet.name)") }
    if let counts { return try SpecializationStudy(facet, of: counts, sequences: sequences, settings: settings) }
    switch facet {
    case .label(let key): return try SpecializationStudy(label: key, counts: strata, sequences: sequences, settings: settings)
    case .position: return try SpecializationStudy(positions: routes, settings: settings)
    case .vocabulary, .tokenClass, .tokenLabel:
      let routes = labels.map { labels in self.routes.mapped { $0.labelled(labels) } } ?? routes
      return try SpecializationStudy(tokens: facet, routes, words: words, settings: settings)
    case .step, .patchRow, .patchColumn, .patch: throw AnalysisError.notDenoising(asked: facet.name)
    }
  }
}

enum StudyProgress: ScreenReport {
  case drawn(Int, of: Int, number: Int)
  case done([SpecializationResult], facet: Facet, unlabelled: Int, draws: Int, end: Int, number: Int)
  case impossible(String, inShort: String, facet: Facet, end: Int, number: Int)

  func arrive(in model: inout AppModel) -> [Effect] {
    model.special.take(self)
    return []
  }
}

extension SpecializationScreen {
  fileprivate mutating func take(_ report: StudyProgress) {
    switch report {
    case .drawn(let done, let all, let number):
      if number == self.number, progress != nil { progress = (done, all) }
    case .done(let found, let facet, let unlabelled, let draws, let end, let number):
      guard number == self.number else { return }
      let figures = found.map { ($0.router, (effect: $0.effect, p: $0.p)) }
      axes[facet] = AxisFigures(figures: Dictionary(uniqueKeysWithValues: figures), draws: draws, end: end)
      aside = nil
      guard facet == self.facet else { return }
      (results, resultFacet, problem) = (found, facet, nil)
      (self.unlabelled, self.draws, self.end, progress, cancelledAt) = (unlabelled, draws, end, nil, nil)
      cell = max(0, min(cell, (found.first?.cells.count ?? 1) - 1))
    case .impossible(let reason, let inShort, let facet, let end, let number):
      guard number == self.number else { return }
      axes[facet] = AxisFigures(end: end, problem: inShort)
      aside = nil
      guard facet == self.facet else { return }
      (results, resultFacet, problem) = ([], facet, reason)
      (self.end, progress, cancelledAt) = (end, nil, nil)
    }
  }
}

/// What a study found along one axis, layer by layer; the rest of it is kept of the axis looked at only.
struct AxisFigures: Sendable {
  var figures: [RouterID: (effect: Double?, p: Double)] = [:]
  var draws = 0
  /// Rows of the run that they are about.
  var end: Int
  /// Why there are none, in a word or two.
  var problem: String?

  /// Whether the run has grown by more than a quarter since.
  func isStale(at now: Int) -> Bool { end < now && (now - end) * 4 > end }
}
