// Everything the screens know, as one value: what is open, where one looks, what is being typed. `update` is the only place that
// changes it and `view` the only one that draws it; both are pure, so a session can be replayed key by key.

import Analysis
import Model
import Routing
import Store
import Terminal

struct AppModel: Sendable {
  /// What is open.
  enum Source: Sendable {
    case nothing
    case opening(String)
    case live(EngineSummary)
    case trace(RunSummary, file: String, isLoading: Bool)
  }

  struct Message: Sendable {
    var text: String
    var role: Role
    /// When it goes; nil stays until the next key.
    var until: Double?
  }

  enum Overlay: Sendable {
    case help(TextField, selected: Int)
    /// A line being typed for an action.
    case entry(ActionID, TextField, selected: Int)
    case log(ListState)
    case models(ListState)
    case confirm(question: String, Effect)
  }

  // The terminal.
  var size: Size
  var theme: Theme
  var mouse = true
  var pictures = PictureChoice.auto
  var now = 0.0

  // What is open.
  var source = Source.nothing
  var modelPath: String?
  var buffer: RoutingBuffer?
  var feed: PromptFeed?
  /// How texts are continued.
  var sampling = SamplingSettings(temperature: 0.8)
  var rate: Double? = 12
  var isPaused = false
  /// Rows of a trace played so far; nil: all of it.
  var playhead: Int?
  var pace = Pace()
  var recording = RecordingStatus.off
  /// Why a live model rests; empty while it does not.
  var engineNote = ""
  /// Texts that the model is reading, and since when; nil: none.
  var reading: (share: ReadingShare, since: Double)?
  /// Whether a live model was asked for anything.
  var isAsked = false

  // The house.
  let screens: [any Screen.Type]
  let actions: ActionTable
  var states: ScreenStates

  // Where one looks.
  var screen: ScreenID
  /// Screens that were looked at before this one, the nearest last: Esc goes back along them.
  var trail: [ScreenID] = []
  /// The token looked at; nil: always the last.
  var selected: Int?
  var router = 0
  var expert = 0
  /// Branch of guidance and patch looked at, in a run of images.
  var branch = 0
  var patch = 0
  var focus: [ScreenID: PanelID] = [:]
  var isZoomed = false
  var threshold = EntropyThreshold.standard
  /// The threshold as resolved for the run's first `end` rows, so that a frame does not pool all histograms again.
  var knownThreshold: (value: ResolvedThreshold, end: Int)?
  /// Models of this machine; nil while nobody has looked.
  var shelf: ModelShelf?

  /// A walk through the screens that is under way.
  var tour: Tour?

  // What is being typed, found, said.
  var overlay: Overlay?
  var histories: [ActionID: [String]] = [:]
  var find = ""
  var filter: Filter?
  /// Quantiles that the filter names, of the run's first `end` rows.
  var knownQuantiles: (values: [Double: Double], end: Int)?
  var message: Message?
  var log: [LogLine] = []
  /// What was changed and can be undone, and what was undone.
  var changes: [Change] = []
  var undone: [Change] = []
  /// What the engine was asked for and has not begun yet.
  var awaited: LogLine?
  /// What was refused so far, with a warning, an error or a key that means nothing: an action that adds to it was not done.
  var refusals = 0
  var lastInterrupt: Double?
  var lastPlay = 0.0

  init(size: Size, theme: Theme, screens: [any Screen.Type] = Screens.all, keys: KeyBindings = KeyBindings()) {
    (self.size, self.theme, self.screens) = (size, theme, screens)
    actions = ActionTable(screens, keys)
    states = ScreenStates(screens)
    screen = screens.first?.id ?? ScreenID("")
  }

  /// The state of a screen.
  subscript<Kind: Screen>(_ kind: Kind.Type) -> Kind {
    get { states[kind] }
    set { states[kind] = newValue }
  }

  /// An action that was done, with its twin on the command line.
  struct LogLine: Sendable {
    var action: String
    var twin: String
  }
}

/// Tokens a second, over the last few seconds.
struct Pace: Sendable {
  private var marks: [(time: Double, tokens: Int)] = []

  mutating func note(_ tokens: Int, at time: Double) {
    guard tokens > 0 else { return }
    // Tokens arrive a frame at a time, under one time.
    if let last = marks.last, last.time == time { marks[marks.count - 1].tokens += tokens } else { marks.append((time, tokens)) }
    if marks.count > 256 { marks.removeFirst(128) }
  }

  func tokensPerSecond(now: Double) -> Double? {
    let recent = marks.filter { $0.time > now - 4 }
    guard let first = recent.first, let last = recent.last, last.time > first.time else { return nil }
    return Double(recent.dropFirst().reduce(0) { $0 + $1.tokens }) / (last.time - first.time)
  }
}
