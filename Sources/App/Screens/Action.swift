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
  case uncertain(UncertainList)
  case study(StudyProgress)
  case texts(Result<[LabelledText], Failure>, path: String)
  case models(ModelShelf)
  case modelChosen(String, PromptFeed?, source: String, seed: UInt64)
  case said(String, Role)
  /// An action that took its time has been done: what it was done to, for the log, and what to say.
  case done(ActionID, String, said: String)
  case perform(ActionID, String)

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
  /// `counts`: of a denoising run, by branch, over its whole samples.
  case opened(RunSummary, file: String, sequences: [SequenceDescription], pieces: [Int32: [UInt8]], counts: [DenoisingCounts] = [])
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
  case listRuns
  case findModels
  case readTexts(String)
  case findUncertain(UncertainQuery)
  case study(StudyQuery)
  case cancelStudy
  case setTags([String], file: String, run: Int64)
  case deleteRun(file: String, run: Int64)
  case copy(String)
  case write(String, path: String)
  case setMouse(Bool)
  case redraw
  case suspend
  case quit
  /// Leave with an error, told after the terminal was given back.
  case fail(Failure)
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

// MARK: - Work that runs in the background

/// Which tokens are uncertain: over which rows, at which threshold.
struct UncertainQuery: Sendable {
  /// Of one router only, where its decisions are asked for.
  var pass: RoutingPass
  var router: Int?
  var threshold: ResolvedThreshold
  /// The run's rows when it was asked.
  var end: Int
}

struct UncertainList: Sendable {
  var tokens: [UncertainToken]
  /// The router whose decisions these are; nil: tokens over the threshold at any.
  var router: Int?
  var threshold: ResolvedThreshold
  var uncertainTokens: Int
  var uncertainDecisions: Int
  var tokenCount: Int
  var end: Int
}

/// A specialization study to be done.
struct StudyQuery: Sendable {
  var facet: Facet
  var strata: PerRouter<StratumCounts>
  var routes: PerRouter<RouteStore>
  /// Of a denoising run, in place of both.
  var counts: DenoisingCounts?
  var sequences: [SequenceDescription]
  var draws: Int
  var end: Int
  var number: Int
}

enum StudyProgress: Sendable {
  case drawn(Int, of: Int, number: Int)
  case done([SpecializationResult], facet: Facet, unlabelled: Int, draws: Int, end: Int, number: Int)
  case impossible(String, inShort: String, facet: Facet, end: Int, number: Int)
}

// MARK: - State of the screens

struct UncertainState: Sendable {
  enum Order: String, CaseIterable, Sendable {
    case layers = "layers over threshold"
    case entropy = "highest Ĥ"
    case surprise = "surprise"
    case position = "place in the run"
  }

  var list: UncertainList?
  var isWorking = false
  var order = Order.layers
  /// The list holds the decisions of the layer looked at, not tokens.
  var showsDecisions = false
  var rows = ListState()
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

struct SpecialState: Sendable {
  enum Scale: String, CaseIterable, Sendable {
    case share, lift
  }

  var facet: Facet?
  var results: [SpecializationResult] = []
  var resultFacet: Facet?
  var unlabelled = 0
  var draws = 0
  /// Rows of the run that the results are about.
  var end = 0
  /// Rows of the run when its study was given up: it is not begun again by itself until the run has grown.
  var cancelledAt: Int?
  var problem: String?
  /// Draws done of the study under way.
  var progress: (done: Int, of: Int)?
  /// Every axis that was studied, the one looked at among them.
  var axes: [Facet: AxisFigures] = [:]
  /// Another axis than the one looked at is being studied.
  var aside: Facet?
  /// The latest study asked for; answers to others are dropped.
  var number = 0
  var cell = 0
  var ordersByLoad = false
  var scale = Scale.share
  var list = ListState()
}

struct RunsState: Sendable {
  var runs: [RunSummary] = []
  var file = ""
  var problem: String?
  var list = ListState()
}

/// The models of this machine, and the folders that were looked through for them.
struct ModelShelf: Sendable {
  var listing: ModelListing
  var places: [String]
}
