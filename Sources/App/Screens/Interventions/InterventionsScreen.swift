// Interventions: does it matter? Rules that change routing, typed or picked, and what they do to the texts of this run beside a control,
// since masking anything changes something. The weights on the disk are never changed, nor is the run that is open.

import Analysis
import Model
import Routing
import Terminal

extension ScreenID {
  static let interventions = ScreenID("interventions")
}

extension PanelID {
  static let rules = PanelID("rules")
  static let effect = PanelID("effect")
  static let nextBeside = PanelID("next-beside")
  static let textBefore = PanelID("text-before")
  static let textAfter = PanelID("text-after")
}

extension ActionID {
  static let addRule = ActionID("add-rule")
  static let editRule = ActionID("edit-rule")
  static let deleteRule = ActionID("delete-rule")
  static let evaluate = ActionID("evaluate")
  static let saveRules = ActionID("save-rules")
  static let trialModel = ActionID("model")
}

struct InterventionsScreen: Screen {
  struct Rule: Sendable, Equatable {
    var text: String
    var isOn = true
  }

  var rules: [Rule] = []
  var list = ListState()
  var found: TrialReport?
  /// What rules that were tried on this run did, by their text.
  var effects: [String: RoutingEffect] = [:]
  var problem: String?
  /// What is being done, and steps of how many.
  var progress: (words: String, done: Int, of: Int)?
  /// The model that rules are tried on, where its user says it is.
  var model: String?
  /// The latest trial asked for; answers to others are dropped.
  var number = 0

  static let id = ScreenID.interventions
  static let title = "Intervene"
  static let short = "Int"
  static let keys: [KeyEvent] = [.char("7")]
  static let actions = [
    ActionEntry(
      .addRule, "add rule", "add a rule: mask 7:23, swap all if entropy>0.9, …", keys: [.char("a")], argument: "RULE",
      line: LineHint(label: "rule: ", hint: "mask 7:23 · topk all=4 · swap 0-5 if entropy>q0.95 · scale 3:7=0")),
    ActionEntry(
      .editRule, "edit", "change the rule under the cursor", argument: "RULE", line: LineHint(label: "rule: ", hint: "what it should be")),
    ActionEntry(.deleteRule, "delete", "delete the rule under the cursor", keys: [.char("d")]),
    ActionEntry(.evaluate, "evaluate", "try the rules on texts of this run", keys: [.char("r")]),
    ActionEntry(.trialModel, "model", "where the model of this run is now", argument: "PATH"),
    ActionEntry(
      .saveRules, "save rules", "save the rules that are on as a file", keys: [.char("S")], argument: "FILE",
      line: LineHint(label: "save rules as: ", hint: "rules.txt; moetop whatif --rules @rules.txt reads it"), takesTime: true),
  ]

  /// Rules outlive the run they were written for; what they did does not.
  mutating func forget() {
    (found, problem, progress, model) = (nil, nil, nil, nil)
    effects = [:]
    number += 1
  }

  static func panels(in model: AppModel) -> [PanelID] { model.kind.panels(of: id) }

  static func areas(_ body: Rect, in model: AppModel) -> [PanelID: Rect] {
    if body.width < 100 || body.height < 30 {
      let below: PanelID = model.focused == .rules ? .effect : model.focused
      let parts = body.split(rows: [.fixed(min(model.interventions.rules.count + 5, body.height / 3 + 2)), .min(4)])
      return [.rules: parts[0], below: parts[1]]
    }
    return model.kind.areas(of: id, body, in: model)
  }

  static func bar(in model: AppModel) -> [BarItem] {
    [BarItem(.addRule), BarItem(.pause, "on/off"), BarItem(.enter, "edit"), BarItem(.deleteRule), BarItem(.evaluate)]
      + [.undo, .saveRules, .export].map { BarItem($0) }
  }

  static func status(in model: AppModel) -> [StyledText] {
    let state = model.interventions
    if let progress = state.progress {
      return [StyledText("\(progress.words): \(progress.done * 100 / max(1, progress.of)) %, esc cancels")]
    }
    let on = state.rules.count(where: \.isOn)
    return [
      StyledText(
        state.rules.isEmpty
          ? "no rule yet: \(model.key(.addRule)) adds one, \(model.key(.intervene)) on any screen proposes one"
          : "\(on) on, \(state.rules.count - on) off"),
      StyledText("weights on the disk are never changed", .dim),
    ]
  }

  static func draw(_ painter: inout Painter) {
    painter.drawRules()
    painter.drawEffect()
    for panel in panels(in: painter.model).dropFirst(2) { painter.model.kind.draw(panel, &painter) }
  }

  static func table(of model: AppModel) -> ExportTable {
    var table = ExportTable(columns: [
      "rules", "loss_change", "low", "high", "control", "control_change", "difference", "p", "touched", "texts",
    ])
    guard let found = model.interventions.found else { return table }
    let effect = found.answer.effect
    table.rows.append([
      found.rules, ExportTable.number(effect.change.value), ExportTable.number(effect.change.interval?.low),
      ExportTable.number(effect.change.interval?.high), effect.control.kind.rawValue, ExportTable.number(effect.controlChange?.value),
      ExportTable.number(effect.difference?.value), ExportTable.number(effect.p), ExportTable.number(effect.touched), "\(effect.texts)",
    ])
    table.selected = 0
    return table
  }

  // MARK: - Keys

  static func move(_ motion: ActionID, in model: inout AppModel) {
    model.moveList(\.interventions.list, motion, count: model.interventions.rules.count)
  }

  static func enter(_ model: inout AppModel) -> [Effect] {
    guard let rule = model.ruleLookedAt else { return model.open(.addRule) }
    return model.open(.editRule, start: rule.text)
  }

  static func back(_ model: inout AppModel) -> [Effect]? {
    guard model.interventions.progress != nil else { return nil }
    model.interventions.number += 1
    (model.interventions.progress, model.interventions.problem) = (nil, "cancelled")
    return [.cancelWork(TrialWork.lane)]
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .addRule: return argument.isEmpty ? model.open(.addRule) : model.addRules(argument)
    case .editRule:
      guard let rule = model.ruleLookedAt else { return [] }
      if argument.isEmpty { return model.open(.editRule, start: rule.text) }
      guard model.isRule(argument) else { return [] }
      var rules = model.interventions.rules
      rules[model.interventions.list.selected].text = argument
      model.setRules(rules, "a rule changed")
    case .deleteRule:
      guard let rule = model.ruleLookedAt else { return [] }
      var rules = model.interventions.rules
      rules.remove(at: model.interventions.list.selected)
      model.setRules(rules, "\(rule.text) deleted")
    case .pause:
      guard model.ruleLookedAt != nil else { return [] }
      var rules = model.interventions.rules
      rules[model.interventions.list.selected].isOn.toggle()
      model.setRules(
        rules, rules[model.interventions.list.selected].text + (rules[model.interventions.list.selected].isOn ? " on" : " off"))
    case .evaluate: return model.evaluateRules()
    case .trialModel:
      guard !argument.isEmpty else { return model.missing("a model: model PATH") }
      (model.interventions.model, model.interventions.problem) = (ModelPlaces.found(argument), nil)
    case .saveRules:
      if argument.isEmpty { return model.open(.saveRules, start: "rules.txt") }
      let on = model.interventions.rules.filter(\.isOn).map(\.text)
      return [
        .write(
          RuleText.file(on, heading: "rules of moetop: moetop whatif MODEL -f TEXTS --rules @\(argument)"), path: argument, replaces: false)
      ]
    default: return nil
    }
    return []
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    switch id {
    case _ where [.deleteRule, .editRule, .pause].contains(id) && model.interventions.rules.isEmpty:
      return "there is no rule yet: \(model.key(.addRule)) adds one"
    case .saveRules where !model.interventions.rules.contains(where: \.isOn): return "no rule is on"
    case .evaluate: return model.whyNoTrial
    default: return nil
    }
  }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    if panel == .rules { model.pick(\.interventions.list, at: place, in: area, count: model.interventions.rules.count) }
    return []
  }

  static func rule(in model: AppModel) -> String? { nil }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    let rules = model.interventions.rules.filter(\.isOn).map(\.text).joined(separator: "; ")
    guard id == .evaluate, !rules.isEmpty else { return nil }
    return model.kind.whatIf(model.trialModel ?? "MODEL", rules: model.quoted(rules))
  }
}

extension AppModel {
  var interventions: InterventionsScreen {
    get { self[InterventionsScreen.self] }
    set { self[InterventionsScreen.self] = newValue }
  }

  var ruleLookedAt: InterventionsScreen.Rule? {
    let state = interventions
    return state.rules.indices.contains(state.list.selected) ? state.rules[state.list.selected] : nil
  }

  /// From any screen: a rule for what is under the cursor, and the screen of rules.
  mutating func intervene() -> [Effect] {
    if let rule = room.rule(in: self), !interventions.rules.contains(where: { $0.text == rule }) { _ = addRules(rule) }
    return go(.interventions)
  }

  /// A rule alone, tried at once: the others are turned off.
  mutating func tryRule(_ text: String) -> [Effect] {
    var rules = interventions.rules.map { InterventionsScreen.Rule(text: $0.text, isOn: $0.text == text) }
    if !rules.contains(where: \.isOn) { rules.append(InterventionsScreen.Rule(text: text)) }
    setRules(rules, text)
    interventions.list.selected = rules.firstIndex(where: \.isOn) ?? 0
    let shown = go(.interventions)
    if let reason = whyNoTrial {
      say(reason, .warning)
      return shown
    }
    return shown + evaluateRules()
  }

  /// Whether a text is a rule or several; says what is wrong with it.
  mutating func isRule(_ text: String) -> Bool {
    do {
      if try !RuleSet(parsing: text).isEmpty { return true }
      say("there is no rule in it", .warning)
    } catch { say("\(error)", .error) }
    return false
  }

  mutating func addRules(_ text: String) -> [Effect] {
    guard isRule(text), let set = try? RuleSet(parsing: text) else { return [] }
    setRules(interventions.rules + set.rules.map { InterventionsScreen.Rule(text: $0.text) }, "\(text) added")
    interventions.list.selected = interventions.rules.count - 1
    return []
  }

  /// Puts other rules in the place of those there are, to be undone.
  mutating func setRules(_ rules: [InterventionsScreen.Rule], _ words: String) {
    let before = interventions.rules
    func way(_ rules: [InterventionsScreen.Rule]) -> Change.Way {
      { model in
        model.interventions.rules = rules
        model.interventions.list.settle(count: rules.count, page: 1)
        return []
      }
    }
    _ = way(rules)(&self)
    changed(words, back: way(before), forth: way(rules))
  }
}
