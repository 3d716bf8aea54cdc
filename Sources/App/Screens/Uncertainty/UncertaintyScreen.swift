// Uncertainty: how sure the routers are over the whole run, at which layers they hesitate, and at which tokens. The threshold is a
// number the user owns; every panel says which one it is.

import Analysis
import Routing
import Terminal

extension ScreenID {
  static let uncertainty = ScreenID("uncertainty")
}

extension PanelID {
  static let histogram = PanelID("histogram")
  static let byLayer = PanelID("by-layer")
  static let uncertainTokens = PanelID("uncertain-tokens")
}

extension ActionID {
  static let decisions = ActionID("decisions")
  static let broadcast = ActionID("broadcast")
}

struct UncertaintyScreen: Screen {
  enum Order: String, CaseIterable, Sendable {
    case layers = "layers over threshold"
    case entropy = "highest Ĥ"
    case surprise = "surprise"
    case position = "place in the run"
  }

  /// What the list has a row for.
  enum Listing: String, CaseIterable, Sendable {
    /// Tokens over the threshold at a layer or more.
    case tokens
    /// Entries of the vocabulary, with how many of their tokens are.
    case words
    /// Decisions of the layer looked at.
    case decisions
  }

  var list: UncertainList?
  var isWorking = false
  var order = Order.layers
  var listing = Listing.tokens
  var rows = ListState()

  static let id = ScreenID.uncertainty
  static let title = "Uncertainty"
  static let keys: [KeyEvent] = [.char("3")]
  static let filterReach = "of the list; shares are of all"
  static let uses: Set<ActionID> = [.order, .lower, .raise, .threshold]
  static let actions = [
    ActionEntry(.decisions, "tokens/words", "list tokens, words, or one layer's decisions", keys: [.char("t")]),
    ActionEntry(.broadcast, "broadcast", "would it help to ask all experts when unsure?", keys: [.char("b")]),
  ]

  mutating func forget() {
    (list, isWorking) = (nil, false)
    rows = ListState()
  }

  mutating func filter() { rows = ListState() }

  static func panels(in model: AppModel) -> [PanelID] { [.histogram, .byLayer, .uncertainTokens] }
  static func home(in model: AppModel) -> PanelID { .uncertainTokens }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    if body.width < 100 || body.height < 26 {
      let upper: PanelID = model.focused == .byLayer ? .byLayer : .histogram
      let parts = body.split(rows: [.fixed(min(10, body.height / 2)), .min(5)])
      return [upper: parts[0], .uncertainTokens: parts[1]]
    }
    let parts = body.split(rows: [.fixed(min(max(model.routers.count, 14) + 5, body.height / 2 + 3)), .min(6)])
    let upper = parts[0].split(columns: [.flex(), .flex()])
    return [.histogram: upper[0], .byLayer: upper[1], .uncertainTokens: parts[1]]
  }

  static func bar(in model: AppModel) -> [BarItem] {
    [.raise, .threshold, .decisions, .layerUp, .enter, .order, .broadcast, .filter, .find, .export].map { BarItem($0) }
  }

  static func status(in model: AppModel) -> [StyledText] { [model.uncertaintyStatus] + model.stepWords }

  static func draw(_ painter: inout Painter) {
    guard let buffer = painter.model.buffer, !buffer.isEmpty else {
      return painter.panel(.uncertainTokens, "Uncertain tokens") { painter, area in
        painter.explain(
          "No tokens yet. \(painter.model.key(ScreenID.live.action)) goes to Live, \(painter.model.key(RunsScreen.id.action)) shows recorded runs.",
          in: area)
      }
    }
    painter.drawHistogram(buffer)
    painter.drawByLayer(buffer)
    painter.drawUncertainTokens(buffer)
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: [
      "token", "sequence", "position", "token_id", "text", "layers_over", "max_entropy", "layer", "selection_margin", "next_token_entropy",
      "surprisal", "router",
    ])
    table.rows = model.uncertainRows.map { token in
      [
        "\(token.token)", "\(token.sequence)", "\(token.position)", "\(token.tokenID)", model.plainText(token.token),
        "\(token.routersOver)", ExportTable.number(Double(token.maxEntropy)), "\(token.maxEntropyRouter.layer)",
        ExportTable.number(Double(token.selectionMargin)), ExportTable.number(Double(token.nextTokenEntropy)),
        ExportTable.number(Double(token.surprisal)), "\(token.maxEntropyRouter)",
      ]
    }
    if table.rows.indices.contains(model.uncertain.rows.selected) { table.selected = model.uncertain.rows.selected }
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    if model.focused == .uncertainTokens {
      model.moveList(\.uncertain.rows, motion, count: model.uncertainCount)
    } else {
      model.moveRouter(motion)
    }
  }

  static func enter(_ model: inout AppModel) -> [Effect] {
    guard let token = model.uncertainTokenLookedAt else { return [] }
    model.look(at: token.token)
    if let place = model.routers.firstIndex(where: { $0.id == token.maxEntropyRouter }) { model.router = place }
    return model.go(.token)
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .order:
      model.uncertain.order = model.next(model.uncertain.order)
      model.say("sorted by \(model.uncertain.order.rawValue)")
    case .decisions:
      model.uncertain.listing = model.next(model.uncertain.listing)
      model.uncertain.rows = ListState()
      model.say("one row for each of the \(model.uncertain.listing.rawValue)")
    case .broadcast: return model.tryRule("broadcast all if entropy>\(model.thresholdTerm)")
    default: return nil
    }
    return []
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    guard id == .broadcast else { return nil }
    return model.resolvedThreshold.isKnown ? nil : "no decision has an entropy that a threshold could be of"
  }

  /// The next best expert in the place of the last one, where the router is unsure.
  static func rule(in model: AppModel) -> String? {
    model.resolvedThreshold.isKnown ? "swap all if entropy>\(model.thresholdTerm)" : nil
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    switch panel {
    case .byLayer:
      let (shown, lines) = model.layersShown(in: area)
      let row = shown.lowerBound + (place.y - area.y) / lines
      if shown.contains(row), area.contains(place) { model.router = row }
    case .uncertainTokens: model.pick(\.uncertain.rows, at: place, in: area, count: model.uncertainCount)
    default: break
    }
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    guard id == Self.id.action else { return nil }
    return "moetop analyze \(model.runReference) --metric uncertain --by layer --threshold \(model.threshold)"
  }

  // MARK: - In the background

  /// Which tokens are uncertain is asked again when the threshold moves and when the run has grown.
  static func refresh(_ model: inout AppModel) -> [Effect] {
    guard let buffer = model.buffer, !buffer.isEmpty, !model.uncertain.isWorking else { return [] }
    let threshold = model.resolvedThreshold
    let scope = model.uncertain.listing == .decisions ? model.router : nil
    if let list = model.uncertain.list {
      let grown = buffer.end - list.end
      let moved = list.threshold.asked != threshold.asked || list.router != scope
      let rests = !model.isLoading && !(model.isBusy && !model.isPaused)
      guard moved || grown > 8 && grown * 50 > list.end || rests && grown > 0 else { return [] }
    }
    model.uncertain.isWorking = true
    var pass = buffer.pass
    if let scope { pass.batches = [pass.batches[scope]] }
    for index in pass.batches.indices { pass.batches[index].logits = nil }
    return [.work(UncertainQuery(pass: pass, router: scope, threshold: threshold, end: buffer.end))]
  }
}

/// Which tokens are uncertain: over which rows, at which threshold.
struct UncertainQuery: ScreenWork {
  /// Of one router only, where its decisions are asked for.
  var pass: RoutingPass
  var router: Int?
  var threshold: ResolvedThreshold
  /// The run's rows when it was asked.
  var end: Int

  var lane: String? { nil }

  func run(_ desk: WorkDesk) {
    var fold = UncertainTokens(threshold: threshold, capacity: 5000)
    fold.add(pass)
    desk.post(
      UncertainList(
        tokens: fold.result(), router: router, threshold: threshold, uncertainTokens: fold.uncertainTokens,
        uncertainDecisions: fold.uncertainDecisions, tokenCount: fold.tokens, end: end))
  }
}

struct UncertainList: ScreenReport {
  var tokens: [UncertainToken]
  /// The router whose decisions these are; nil: tokens over the threshold at any.
  var router: Int?
  var threshold: ResolvedThreshold
  var uncertainTokens: Int
  var uncertainDecisions: Int
  var tokenCount: Int
  var end: Int

  func arrive(in model: inout AppModel) -> [Effect] {
    (model.uncertain.list, model.uncertain.isWorking) = (self, false)
    model.uncertain.rows.settle(count: model.uncertainCount, page: 1)
    return []
  }
}

extension AppModel {
  var uncertain: UncertaintyScreen {
    get { self[UncertaintyScreen.self] }
    set { self[UncertaintyScreen.self] = newValue }
  }
}
