// What can happen to the screens, and what they may ask the world for. Both are values: a session script is a list of actions, and a
// test of `update` looks at the effects it returns.

import Analysis
import Routing
import Store
import Terminal

enum Action: Sendable {
  case key(KeyEvent)
  case mouse(MouseEvent)
  case paste(String)
  case resize(Size)
  case tick
  case engine([EngineEvent])
  case loading(LoadEvent)
  case runs(Result<[RunSummary], Failure>, file: String)
  case report(any ScreenReport)
  case texts(Result<[LabelledText], Failure>, path: String)
  case models(ModelShelf)
  case modelChosen(String, PromptFeed?, source: String, seed: UInt64)
  case said(String, Role)
  /// An action that took its time has been done: what it was done to, for the log, and what to say.
  case done(ActionID, String, said: String)
  case perform(ActionID, String)
  /// Something that the user is asked about before it is done.
  case ask(String, Effect)

  /// Whether a person did it and waits to see what comes of it.
  var isOfUser: Bool {
    switch self {
    case .key, .mouse, .paste, .resize, .perform: true
    default: false
    }
  }
}

/// What opening a run tells, step by step.
enum LoadEvent: Sendable {
  /// `counts`: of a denoising run, by branch, over its whole samples; `loads`: of a run of which nothing but counts is known.
  case opened(
    RunSummary, file: String, sequences: [SequenceDescription], pieces: [Int32: [UInt8]], counts: [DenoisingCounts] = [],
    labels: [RouterID: [Int: String]] = [:], loads: [RouterID: RouterLoad] = [:])
  case pass(RoutingPass)
  case finished(note: String?)
  case failed(Failure)
}

enum Effect: Sendable {
  case engine(EngineRequest)
  /// A run of a trace, as the user named it, or a model: a folder, or a file of weights.
  case open(String)
  case startEngine(String, source: String)
  case closeEngine
  /// nil: the trace that sessions are recorded into.
  case listRuns(file: String?)
  case findModels
  case readTexts(String)
  case work(any ScreenWork)
  /// Ends the work of a lane.
  case cancelWork(String)
  case setTags([String], RunPlace)
  case deleteRun(RunPlace)
  /// Takes a run off the list, to be deleted later.
  case hideRun(RunPlace)
  case copy(String)
  /// `replaces`: what is there may be replaced.
  case write(String, path: String, replaces: Bool)
  case setMouse(Bool)
  case redraw
  case suspend
  case quit
  /// Leave with an error, told after the terminal was given back.
  case fail(Failure)
}

/// A run of a trace that is to be changed.
struct RunPlace: Sendable, Hashable {
  var file: String
  var run: Int64
  /// When it began: another trace may lie there by now.
  var startedAt: Double
}

extension Effect {
  /// Whether it gives a live model something to do.
  var asksTheEngine: Bool {
    switch self {
    case .engine(.generate), .engine(.read), .engine(.denoise), .engine(.feed): true
    default: false
    }
  }
}
