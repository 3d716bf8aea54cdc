// What is a screen? Its state is a value of its own, and everything that is asked of a screen is asked here: which panels it has and where
// they stand, what keys do there, what its work in the background is, what it shows and what it saves. The shell asks the screen that is
// on; it never asks which one that is. A screen is a folder, and a line in `Screens.all`.

import Routing
import Terminal

/// A screen by name; the action that goes there has the same.
struct ScreenID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  let rawValue: String

  init(rawValue: String) { self.rawValue = rawValue }
  init(_ name: String) { rawValue = name }

  var description: String { rawValue }
  /// The action that goes there.
  var action: ActionID { ActionID(rawValue) }
}

/// A panel of a screen by name. The same panel may stand on several screens.
struct PanelID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  let rawValue: String

  init(rawValue: String) { self.rawValue = rawValue }
  init(_ name: String) { rawValue = name }

  var description: String { rawValue }
}

/// One screen. A value of it is its state; what is to be drawn and done is asked of its type, with the whole model at hand.
protocol Screen: Sendable {
  /// As it is before anybody has looked.
  init()

  static var id: ScreenID { get }
  /// In the line of tabs.
  static var title: String { get }
  /// In a narrow line of tabs.
  static var short: String { get }
  /// The keys that go there, the one that is shown first.
  static var keys: [KeyEvent] { get }
  /// Actions that only this screen has.
  static var actions: [ActionEntry] { get }
  /// Of the actions that not every screen has those that do something here.
  static var uses: Set<ActionID> { get }
  /// Whether it shows the run that is open, and so nothing without one.
  static var isOfTheRun: Bool { get }
  /// How far a filter reaches here, in words.
  static var filterReach: String { get }

  // MARK: Looks

  /// Panels in the order of Tab.
  static func panels(in model: AppModel) -> [PanelID]
  /// The panel that has the keys at first.
  static func home(in model: AppModel) -> PanelID
  /// Where panels stand; those without room are absent.
  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect]
  /// The key bar, most useful first.
  static func bar(in model: AppModel) -> [BarItem]
  /// What is under the cursor, in words and numbers.
  static func status(in model: AppModel) -> [StyledText]
  static func draw(_ painter: inout Painter)
  /// What the view shows, as data.
  static func table(of model: AppModel) -> ExportTable

  // MARK: Keys

  /// Up, down, a page, the ends: over what the focused panel shows.
  static func move(_ motion: ActionID, in model: inout AppModel)
  /// Looks closer at what is under the cursor.
  static func enter(_ model: inout AppModel) -> [Effect]
  /// One step back within the screen; nil where there is none.
  static func back(_ model: inout AppModel) -> [Effect]?
  /// Does an action of its own, or its own way; nil leaves it to the shell.
  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]?
  /// Why an action cannot be done here now; nil leaves it to the shell.
  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String?
  /// Moves the cursor of a panel to a place of its inside.
  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect]
  /// Looks for a text among what only this screen has; nil leaves it to the shell.
  static func find(_ text: String, forward: Bool, in model: inout AppModel) -> [Effect]?
  /// The rule that would change what is under the cursor; nil where nothing is.
  static func rule(in model: AppModel) -> String?
  /// What the argument of an action can be; nil leaves it to the shell.
  static func choices(for id: ActionID, in model: AppModel) -> [String]?
  /// The command that does the same without a screen; the action that goes there stands for the view itself.
  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String?

  // MARK: What comes and goes

  /// The screen is gone to, or left.
  static func arrive(_ model: inout AppModel) -> [Effect]
  static func leave(_ model: inout AppModel) -> [Effect]
  /// Asks for what is shown and nobody has computed yet.
  static func refresh(_ model: inout AppModel) -> [Effect]
  /// When something here changes by itself: `refresh` is asked then.
  static func nextTick(in model: AppModel) -> Double?
  /// Another run was opened: what was about the last one goes, what was chosen stays.
  mutating func forget()
  /// The other branch of guidance is looked at: what was counted of the first goes.
  mutating func turn()
  /// Another filter holds: places in lists of what passed the last one go.
  mutating func filter()
}

extension Screen {
  static var short: String { String(title.prefix(3)) }
  static var actions: [ActionEntry] { [] }
  static var uses: Set<ActionID> { [] }
  static var isOfTheRun: Bool { true }
  static var filterReach: String { "without effect here" }

  static func home(in model: AppModel) -> PanelID { panels(in: model).first ?? PanelID("") }
  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] { [home(in: model): body] }
  static func bar(in model: AppModel) -> [BarItem] { [BarItem(.export)] }
  static func status(in model: AppModel) -> [StyledText] { [] }
  static func table(of model: AppModel) -> ExportTable { ExportTable(columns: []) }

  static func move(_ motion: ActionID, in model: inout AppModel) {}
  static func enter(_ model: inout AppModel) -> [Effect] { [] }
  static func back(_ model: inout AppModel) -> [Effect]? { nil }
  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? { nil }
  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? { nil }
  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] { [] }
  static func find(_ text: String, forward: Bool, in model: inout AppModel) -> [Effect]? { nil }
  /// The expert under the cursor is masked.
  static func rule(in model: AppModel) -> String? {
    guard isOfTheRun, model.routers.indices.contains(model.router) else { return nil }
    let id = model.routers[model.router].id
    return "mask \(id.lane == RouterStack.feedForward.rawValue ? "\(id.layer)" : "\(id)"):\(model.expert)"
  }
  static func choices(for id: ActionID, in model: AppModel) -> [String]? { nil }
  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? { nil }

  static func arrive(_ model: inout AppModel) -> [Effect] { [] }
  static func leave(_ model: inout AppModel) -> [Effect] { [] }
  static func refresh(_ model: inout AppModel) -> [Effect] { [] }
  static func nextTick(in model: AppModel) -> Double? { nil }
  mutating func forget() { self = Self() }
  mutating func turn() {}
  mutating func filter() {}
}

/// The screens there are, in the order of their tabs.
enum Screens {
  static let all: [any Screen.Type] = [
    LiveScreen.self, TokenScreen.self, UncertaintyScreen.self, SpecializationScreen.self, ExpertsScreen.self, CompareScreen.self,
    InterventionsScreen.self, RunsScreen.self,
  ]
}

/// The states of all screens.
struct ScreenStates: Sendable {
  private var states: [ObjectIdentifier: any Screen] = [:]

  init(_ screens: [any Screen.Type]) { for screen in screens { states[ObjectIdentifier(screen)] = screen.init() } }

  subscript<Kind: Screen>(_ kind: Kind.Type) -> Kind {
    get { states[ObjectIdentifier(kind)] as? Kind ?? Kind() }
    set { states[ObjectIdentifier(kind)] = newValue }
  }

  mutating func forgetAll() { for key in Array(states.keys) { states[key]?.forget() } }
  mutating func filterAll() { for key in Array(states.keys) { states[key]?.filter() } }
  mutating func turnAll() { for key in Array(states.keys) { states[key]?.turn() } }
}
