// What the screen of experts has computed aside: the use of a router's experts, the card of one of them, and a label written to the trace.

import Analysis
import Routing
import Store
import Terminal

extension ExpertsScreen {
  /// The list follows the run as it grows; the card follows the cursor.
  static func refresh(_ model: inout AppModel) -> [Effect] {
    guard let buffer = model.buffer, !buffer.isEmpty, model.routers.indices.contains(model.router) else { return [] }
    let router = model.routers[model.router].id
    var effects: [Effect] = []
    var state = model[ExpertsScreen.self]
    let isStale = state.use.map { $0.router != router || model.hasOutgrown($0.end) } ?? true
    func alone() -> RoutingPass {
      var pass = buffer.pass
      pass.batches = [pass.batches[model.router]]
      pass.batches[0].logits = nil
      return pass
    }
    if isStale, !state.isWorking {
      state.isWorking = true
      effects.append(.work(ExpertUseQuery(pass: alone(), layout: buffer.layout, branch: model.shownBranch, end: buffer.end)))
    }
    if panels(in: model).contains(.expertCard) {
      let isAnother = state.card.map { $0.router != router || $0.expert != model.expert || model.hasOutgrown($0.end) } ?? true
      if isAnother, !state.isWorkingOnCard {
        state.isWorkingOnCard = true
        effects.append(.work(ExpertCardQuery(pass: alone(), expert: model.expert, end: buffer.end)))
      }
    }
    model[ExpertsScreen.self] = state
    return effects
  }
}

extension AppModel {
  /// Whether what was made of the run's first `end` rows is to be made again: the run has grown by a fiftieth, or rests.
  func hasOutgrown(_ end: Int) -> Bool {
    let grown = (buffer?.end ?? 0) - end
    return grown > 8 && grown * 50 > end || !isLoading && !(isBusy && !isPaused) && grown > 0
  }

  /// The run that what a user says of it is kept in; nil for a session that is not recorded.
  var tracePlace: (file: String, run: Int64, startedAt: Double?)? {
    switch source {
    case .trace(let run, let file, _): (file, run.id, run.description.startedAt)
    case .live: if case .active(let file, let run, _, _) = recording { (file, run, nil) } else { nil }
    case .nothing, .opening: nil
    }
  }
}

struct ExpertUseQuery: ScreenWork {
  var pass: RoutingPass
  /// Of images: the rows of one branch of guidance.
  var layout: DenoisingLayout?
  var branch: Int
  var end: Int
  var lane: String? { nil }

  func run(_ desk: WorkDesk) {
    guard let batch = pass.batches.first else { return }
    let parts = layout.map { pass.stretches(of: branch, in: $0) } ?? [pass]
    desk.post(ExpertUseReport(use: ExpertUse(parts), router: batch.router, end: end))
  }
}

struct ExpertUseReport: ScreenReport {
  var use: ExpertUse
  var router: RouterID
  /// Rows of the run when it was asked.
  var end: Int

  func arrive(in model: inout AppModel) -> [Effect] {
    (model[ExpertsScreen.self].use, model[ExpertsScreen.self].isWorking) = (self, false)
    return []
  }
}

struct ExpertCardQuery: ScreenWork {
  static let draws = 199
  var pass: RoutingPass
  var expert: Int
  var end: Int
  var lane: String? { nil }

  func run(_ desk: WorkDesk) {
    guard let batch = pass.batches.first else { return }
    desk.post(
      ExpertCardReport(
        tokens: ExpertTokens(
          expert, of: batch, tokens: pass.tokens, settings: NullSettings(draws: Self.draws, seed: 0), isWanted: desk.isWanted),
        partners: batch.topK > 1 ? ExpertPartners(expert, of: batch) : nil,
        heaviest: batch.heaviestRows(of: expert, tokens: pass.tokens, most: 12),
        router: batch.router, expert: expert, end: end))
  }
}

struct ExpertCardReport: ScreenReport {
  var tokens: ExpertTokens
  /// nil where a token takes one expert.
  var partners: ExpertPartners?
  var heaviest: [(row: Int, weight: Float)]
  var router: RouterID
  var expert: Int
  var end: Int

  func arrive(in model: inout AppModel) -> [Effect] {
    (model[ExpertsScreen.self].card, model[ExpertsScreen.self].isWorkingOnCard) = (self, false)
    return []
  }
}

// MARK: - Labels

struct ExpertLabel: Sendable, Equatable {
  var router: RouterID
  var expert: Int
  /// Empty: none.
  var words: String
}

/// Writes a label; whatever was asked for later is written later.
struct LabelWork: ScreenWork {
  var label: ExpertLabel
  var before: String
  var file: String
  var run: Int64
  /// When the run began, so that another trace of that name is left alone; nil where that is not known.
  var startedAt: Double?
  /// Undoing or doing again: no change of its own.
  var isWayBack = false
  var lane: String? { nil }

  func run(_ desk: WorkDesk) {
    func report(_ problem: String?) -> LabelReport {
      LabelReport(label: label, before: before, work: self, problem: problem)
    }
    do {
      let editor = try TraceEditor(file: file)
      try editor.setLabel(
        label.words, ofExpert: label.expert, at: label.router, of: .id(run), insteadOf: before,
        marked: startedAt.map { TraceEditor.Mark(startedAt: $0) })
      try editor.close()
      desk.post(report(nil))
    } catch {
      desk.post(report(Failure.message(of: error)))
    }
  }
}

struct LabelReport: ScreenReport {
  var label: ExpertLabel
  var before: String
  var work: LabelWork
  var problem: String?

  func arrive(in model: inout AppModel) -> [Effect] {
    if let problem {
      model.say(problem, .error, seconds: 20)
      return []
    }
    model[ExpertsScreen.self].labels[label.router, default: [:]][label.expert] = label.words.isEmpty ? nil : label.words
    guard !work.isWayBack else { return [] }
    let work = work
    func way(from before: String, to words: String) -> Change.Way {
      { _ in
        var work = work
        (work.label.words, work.before, work.isWayBack) = (words, before, true)
        return [.work(work)]
      }
    }
    model.changed(
      "the label of \(label.router) expert \(label.expert)", back: way(from: label.words, to: before),
      forth: way(from: before, to: label.words))
    model.say(label.words.isEmpty ? "the label is gone" : "labelled; kept in \(work.file)#\(work.run)", .good)
    model.note(.label, "\(work.file)#\(work.run) \(label.router):\(label.expert) \(model.quoted(label.words))")
    return []
  }
}
