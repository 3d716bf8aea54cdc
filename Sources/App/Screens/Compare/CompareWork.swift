// Two runs compared aside, by what compares them without a screen.

import Analysis
import Routing
import Store
import Terminal

/// Two runs, and what came of setting them side by side.
struct ComparedRuns: Sendable {
  var a: ComparedRun
  /// The run's number in its trace.
  var idA: Int64
  var pair: ComparedPair
  /// What must be known of either before it is believed.
  var warnings: [String]
  /// What ids stand for, in quotes.
  var words: [Int32: String]
}

struct CompareWork: ScreenWork {
  static let lane = "compare"
  var a: String
  var b: String
  var matching: ComparisonPlan.Matching
  var number: Int

  var lane: String? { Self.lane }

  func run(_ desk: WorkDesk) {
    do {
      let runs = RunBeside.labelled(try [a, b].map { try RunBeside($0, traces: desk.settings.traces, branch: 0) })
      guard desk.isWanted() else { return }
      var settings = RunsSideBySide.Settings()
      settings.matching = matching
      settings.countsReplaced = true
      var told = 0
      let pair = try RunsSideBySide(runs[0], runs[1], settings).compared { done, all in
        if (done - told) * 50 > all {
          told = done
          desk.post(CompareReport(number: number, outcome: .at(done, of: all)))
        }
        return desk.isWanted()
      }
      let found = ComparedRuns(
        a: runs[0].facts, idA: runs[0].summary.id, pair: pair, warnings: runs.flatMap(\.warnings), words: try runs[0].words())
      desk.post(CompareReport(number: number, outcome: .found(found)))
    } catch is CancellationError {
    } catch {
      desk.post(CompareReport(number: number, outcome: .impossible(Failure.message(of: error))))
    }
  }
}

struct CompareReport: ScreenReport {
  enum Outcome: Sendable {
    case at(Int, of: Int)
    case found(ComparedRuns)
    case impossible(String)
  }

  var number: Int
  var outcome: Outcome

  func arrive(in model: inout AppModel) -> [Effect] {
    guard number == model.comparison.number, model.comparison.progress != nil else { return [] }
    switch outcome {
    case .at(let done, let all): model.comparison.progress = (done, all)
    case .found(let found):
      (model.comparison.found, model.comparison.progress) = (found, nil)
      if let warning = found.warnings.first { model.say(warning, .warning, seconds: 20) }
    case .impossible(let problem):
      (model.comparison.problem, model.comparison.progress) = (problem, nil)
      model.say(problem, .error, seconds: 20)
    }
    return []
  }
}
