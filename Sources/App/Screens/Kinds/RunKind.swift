// What are the rows of a run? Tokens of texts, or patches of images at their steps: a value with the words for them, the panels that show
// them and the ways to move over them. Screens ask the kind of the run that is open, and never which one it is; another kind of rows is
// another value.

import Routing
import Terminal

/// A kind of run.
protocol RunKind: Sendable {
  var words: RunWords { get }

  // MARK: Panels

  /// Panels of a screen that depend on the kind, all of its panels in the order of Tab.
  func panels(of screen: ScreenID) -> [PanelID]
  /// The panel of a screen that has the keys at first; nil: the first.
  func home(of screen: ScreenID) -> PanelID?
  /// Where the panels of a screen stand.
  func areas(of screen: ScreenID, _ body: Rect, in model: AppModel) -> [PanelID: Rect]
  /// The key bar of a screen.
  func bar(of screen: ScreenID) -> [BarItem]
  /// Draws a panel that only this kind has.
  func draw(_ panel: PanelID, _ painter: inout Painter)

  // MARK: Motions

  /// On in time: to the next token, or the next step.
  func moveOn(_ by: Int, in model: inout AppModel)
  /// To a neighbouring row: the next token, or the next patch.
  func moveAside(_ by: Int, in model: inout AppModel)
  /// Left and right in panels about a layer.
  func moveAcross(_ by: Int, in model: inout AppModel)
  /// Moves over a panel that only this kind has.
  /// - Returns: false for others.
  func move(_ motion: ActionID, over panel: PanelID, in model: inout AppModel) -> Bool
  /// Looks for a text among its rows; nil leaves it to the shell.
  func find(_ text: String, in model: inout AppModel) -> [Effect]?

  // MARK: What is said of a row

  /// What the window is about, on Live.
  func status(in model: AppModel) -> StyledText
  /// A row in words and numbers.
  func sentence(_ row: Int, _ buffer: RoutingBuffer, in model: AppModel) -> StyledText
  /// A row among its neighbours, in so many columns.
  func context(_ row: Int, width: Int, in model: AppModel) -> StyledText
  /// Where a row stands among all, for a footer.
  func place(_ row: Int, in model: AppModel) -> String
  /// What tells rows apart that are alike: where they stand, or what they took.
  func difference(_ row: Int, width: Int, in model: AppModel) -> StyledText
  /// Number of a row in a list of rows that are alike.
  func number(_ row: Int, in model: AppModel) -> Int
  /// Words in the place of rows there are none of.
  func nothing(in model: AppModel) -> String

  // MARK: What a screen does otherwise

  /// Whether a row of the list of uncertain ones has a surprisal and an entropy of what comes next.
  var hasNext: Bool { get }
  /// Whether neighbouring rows follow each other in time, so that windows and repeats mean something.
  var hasNeighbours: Bool { get }
  /// Whether tables are made of whole samples, which are counted aside.
  var countsSamples: Bool { get }
  /// Whether a term of filters can be about its rows.
  func admits(_ term: Filter.TermHelp) -> Bool
  /// Rows of what was streamed that were made now.
  func made(_ part: StreamPart) -> Int
  /// The command that tries rules on such runs, with where its input goes.
  func whatIf(_ model: String, rules: String) -> String
}

/// The words of a kind of run.
struct RunWords: Sendable {
  /// What a row is.
  var row: String
  var rows: String
  /// What rows follow each other in.
  var sequence: String
  /// What time is counted in, and what is counted a second.
  var moment: String
  var rate: String
  /// What a view of nothing waits for.
  var whole: String
  /// What tokens of a sequence, or steps of a sample, have in common stays in a null.
  var members: String
  /// When another sequence is there to be compared.
  var arrival: String
  /// The hint of the line that finds.
  var finding: String
  /// Heads of lists: number, name and surroundings of a row, and the widths of the first two.
  var heads: (number: String, name: String, context: String)
  var widths: (number: Int, name: Int)
  /// Rows that are alike: title of their panel, one of them, what they are among, what is said of none, head of what tells them apart.
  var alike: (title: String, one: String, among: String, none: String, head: String)
  /// Axes that such runs do not have.
  var missingAxes: String
}

extension AppModel {
  /// What the rows of the open run are; of nothing, tokens.
  var kind: any RunKind { layout == nil ? TextKind() : ImageKind() }

  /// Whether steps of samples are played, one after the other, rather than rows.
  var playsSteps: Bool { layout != nil }
}
