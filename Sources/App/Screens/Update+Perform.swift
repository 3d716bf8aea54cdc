// What each action does. The keys that lead here are in ActionTable; what is typed into lines and lists is in Update+Overlays.

import Analysis
import Routing
import Terminal

extension AppModel {
  /// Does one action, or says why it cannot be done.
  mutating func perform(_ id: ActionID, _ argument: String) -> [Effect] {
    if let reason = whyNot(id, argument) {
      say(reason, .warning)
      return []
    }
    let before = refusals
    let effects = carryOut(id, argument)
    // What takes its time is noted when it is done, and what was refused is not.
    switch id {
    case .delete, .tag, .export, .read: break
    case .open where !argument.isEmpty: break
    // A line to type into was opened.
    case .threshold where argument.isEmpty: break
    case .prompt:
      awaited = argument.isEmpty ? awaited : twin(id, argument).map { LogLine(action: ActionTable.entry(id)?.help ?? "", twin: $0) }
    default: if refusals == before { note(id, argument) }
    }
    return effects
  }

  private mutating func carryOut(_ id: ActionID, _ argument: String) -> [Effect] {
    switch id {
    case .left, .right, .up, .down, .pageUp, .pageDown, .halfUp, .halfDown, .first, .last: return move(id)
    case .tokenLeft, .tokenRight:
      let by = id == .tokenLeft ? -1 : 1
      if layout == nil { return step(tokens: by) }
      scrub(steps: by)
    case .nextPanel: focus[screen] = (focused + 1) % panelCount
    case .previousPanel: focus[screen] = (focused + panelCount - 1) % panelCount
    case .enter: return enter()
    case .back: return back()
    case .pause, .step, .slower, .faster: return play(id)
    case .notable: return nextUncertain()
    case .layerDown: router = max(0, router - 1)
    case .layerUp: router = max(0, min(routers.count - 1, router + 1))
    case .metric:
      if screen == .specialization { special.scale = next(special.scale) } else { metric = next(metric) }
    case .values: values = next(values)
    case .order: return reorder()
    case .window: return setWindow(argument)
    case .lower: return shiftThreshold(-0.01)
    case .raise: return shiftThreshold(0.01)
    case .threshold: return argument.isEmpty ? open(.threshold) : setThreshold(argument)
    case .decisions:
      uncertain.showsDecisions.toggle()
      uncertain.rows = ListState()
    case .axis: return argument.isEmpty ? nextAxis() : setAxis(argument)
    case .branch: turn(to: 1 - shownBranch)
    case .imageClass: return argument.isEmpty ? open(.imageClass) : make(classNamed: argument)
    case .nullTest:
      say("testing against 1,000 shuffles; esc cancels")
      return special.facet.map { study($0, draws: 1000) } ?? []
    case .find: return argument.isEmpty ? open(.find) : search(argument)
    case .findNext: return findAgain(forward: true)
    case .findPrevious: return findAgain(forward: false)
    case .filter: return argument.isEmpty ? open(.filter) : setFilter(argument)
    case .palette: return open(.palette)
    case .help: overlay = .help(TextField(), selected: 0)
    case .log: overlay = .log(ListState(selected: max(0, log.count - 1)))
    case .prompt: return argument.isEmpty ? open(.prompt) : generate(argument)
    case .read: return argument.isEmpty ? missing("a file: read FILE") : [.readTexts(argument)]
    case .open:
      guard argument.isEmpty else { return [.open(argument)] }
      overlay = .models(ListState())
      return [.findModels]
    case .token: return number(argument) { model, value in model.select(value) }
    case .layer:
      return turn(toLayer: argument)
    case .expert: return number(argument) { model, value in model.turn(toExpert: value) }
    case .colors:
      theme.palette = theme.palette.next
      say("colours: \(theme.palette.rawValue)")
    case .theme: return setTheme(argument)
    case .mouse: return setMouse(argument)
    case .grow: isZoomed = true
    case .shrink: isZoomed = false
    case .copy: return copyRow()
    case .export: return argument.isEmpty ? open(.export) : save(argument)
    case .tag: return argument.isEmpty ? open(.tag) : setTags(argument)
    case .delete: return askDelete()
    case .redraw: return [.redraw]
    case .suspend: return [.suspend]
    case .quit: return [.quit]
    case .interrupt: return interrupt()
    case .screenLive: return go(.live)
    case .screenToken: return go(.token)
    case .screenUncertainty: return go(.uncertainty)
    case .screenSpecialization: return go(.specialization)
    case .screenRuns: return go(.runs)
    }
    return refresh()
  }

  /// Why an action cannot be done now; nil when it can.
  func whyNot(_ id: ActionID, _ argument: String = "") -> String? {
    let nothing = buffer?.isEmpty ?? true
    switch id {
    case .step where !(isLive || isTrace), .pause where !(isLive || isTrace): return "nothing runs: O opens a model, 5 lists runs"
    case .step where !isPaused && playhead == nil && isLive:
      return "space pauses first; then s goes \(layout == nil ? "token by token" : "step by step")"
    case .prompt, .read:
      if images != nil { return "this model makes images and reads no text; c chooses a class" }
      return isLive ? nil : "this is a recorded run; open its model to run it (O)"
    case .imageClass:
      if images != nil { return nil }
      return isLive ? "this model continues texts and makes no images" : "nothing is made here: O opens a model that makes images"
    case .branch:
      guard let layout else { return "no branch: not a denoising run" }
      return layout.branchCount > 1 ? nil : "this run has no guidance, so there is one branch"
    case .window where layout != nil: return "of images the window is the step looked at"
    case .notable, .findNext, .findPrevious, .token, .lower, .raise, .copy:
      return nothing && screen != .runs ? "there is no token yet" : nil
    case .filter: return nothing ? "there is no token yet" : nil
    case .nullTest: return special.facet == nil ? "there is no axis yet" : nil
    case .tag, .delete: return runs.runs.isEmpty ? "there is no run" : nil
    case .metric where screen == .live && nothing: return "there is no token yet"
    default: return nil
    }
  }

  private mutating func enter() -> [Effect] {
    switch (screen, focused) {
    case (.live, _): return go(.token)
    case (.token, 2):
      let rows = elsewhereRows
      if rows.indices.contains(elsewhere.selected) { look(at: rows[elsewhere.selected]) }
      elsewhere = ListState()
    case (.uncertainty, _):
      let rows = uncertainRows
      guard rows.indices.contains(uncertain.rows.selected) else { return [] }
      let token = rows[uncertain.rows.selected]
      look(at: token.token)
      if let place = routers.firstIndex(where: { $0.id == token.maxEntropyRouter }) { router = place }
      return go(.token)
    case (.specialization, 3): if special.results.indices.contains(special.list.selected) { router = special.list.selected }
    case (.runs, _):
      guard runs.runs.indices.contains(runs.list.selected) else { return [] }
      return [.open("\(runs.file)#\(runs.runs[runs.list.selected].id)")]
    default: break
    }
    return []
  }

  private mutating func back() -> [Effect] {
    if special.progress != nil, screen == .specialization {
      giveUpStudies()
      // What was asked for is not asked again by itself.
      special.cancelledAt = buffer?.end
      if special.resultFacet != special.facet {
        (special.results, special.resultFacet, special.end) = ([], special.facet, 0)
        special.problem = "cancelled; z starts again"
      }
      say("cancelled")
      return [.cancelStudy]
    }
    if isZoomed {
      isZoomed = false
    } else if filter != nil {
      filter = nil
      say("filter off")
    } else if !find.isEmpty {
      find = ""
    } else if screen != .live {
      let isStudying = special.aside != nil
      screen = .live
      if isStudying {
        giveUpStudies()
        return [.cancelStudy] + refresh()
      }
    } else if selected != nil {
      selected = nil
    } else {
      say("q quits", .dim, seconds: 2)
    }
    return refresh()
  }

  private mutating func interrupt() -> [Effect] {
    if let last = lastInterrupt, now - last < 1 { return [.quit] }
    lastInterrupt = now
    if overlay != nil {
      overlay = nil
      return []
    }
    return [.quit]
  }

  // MARK: - What is shown how

  private func next<Choice: CaseIterable & Equatable>(_ choice: Choice) -> Choice {
    let all = Array(Choice.allCases)
    let place = all.firstIndex(of: choice) ?? 0
    return all[(place + 1) % all.count]
  }

  private mutating func reorder() -> [Effect] {
    switch screen {
    case .live: order = next(order)
    case .specialization: special.ordersByLoad.toggle()
    default:
      uncertain.order = next(uncertain.order)
      say("sorted by \(uncertain.order.rawValue)")
    }
    return []
  }

  private mutating func setWindow(_ argument: String) -> [Effect] {
    let steps: [Int?] = [32, 128, 512, nil]
    if argument == "all" {
      window = nil
    } else if let value = Int(argument), value > 0 {
      window = value
    } else if argument.isEmpty {
      let place = steps.firstIndex(of: window) ?? 1
      window = steps[(place + 1) % steps.count]
    } else {
      return missing("a number of tokens, or all")
    }
    return []
  }

  private mutating func shiftThreshold(_ by: Double) -> [Effect] {
    let share = (resolvedThreshold.isKnown ? resolvedThreshold.share(experts: spec?.expertCount ?? 2) : nil) ?? 0.9
    return setThreshold(Show.fixed(max(0.01, min(1, share + by)), 2))
  }

  private mutating func setThreshold(_ text: String) -> [Effect] {
    do {
      let asked = try EntropyThreshold(parsing: text)
      try asked.validate(experts: routers.map(\.spec.expertCount).max() ?? 0, field: "threshold")
      threshold = asked
      say(resolvedThreshold.isKnown ? "uncertain from Ĥ \(thresholdShare) on (\(threshold))" : "threshold \(thresholdWords)")
    } catch {
      say(Failure.message(of: error), .error)
    }
    return refresh()
  }

  private mutating func nextAxis() -> [Effect] {
    guard let next = nextFacet else { return missing("a run with tokens") }
    return turn(to: next)
  }

  /// The axis after the one looked at.
  var nextFacet: Facet? {
    let all = facets
    let place = special.facet.flatMap { all.firstIndex(of: $0) } ?? -1
    return all.isEmpty ? nil : all[(place + 1) % all.count]
  }

  private mutating func setAxis(_ name: String) -> [Effect] {
    if let facet = facets.first(where: { $0.name == name }) { return turn(to: facet) }
    let missing = missingFacets
    say(
      missing.names.contains(name)
        ? "\(name): \(missing.reason)" : "there is no axis \(name); there are \(facets.map(\.name).joined(separator: ", "))", .warning)
    return []
  }

  private mutating func turn(to facet: Facet) -> [Effect] {
    guard facet != special.facet else { return refresh() }
    giveUpStudies()
    (special.facet, special.cell, special.cancelledAt) = (facet, 0, nil)
    return [.cancelStudy] + refresh()
  }

  /// Forgets what is under way; answers to it are dropped.
  private mutating func giveUpStudies() {
    (special.progress, special.aside) = (nil, nil)
    special.number += 1
  }

  private mutating func setTheme(_ argument: String) -> [Effect] {
    guard let appearance = Appearance(rawValue: argument) else { return missing("dark or light") }
    theme.appearance = appearance
    return []
  }

  private mutating func setMouse(_ argument: String) -> [Effect] {
    mouse = argument.isEmpty ? !mouse : argument != "off"
    say(mouse ? "mouse on" : "mouse off: the terminal selects text")
    return [.setMouse(mouse)]
  }

  private mutating func number(_ argument: String, _ body: (inout AppModel, Int) -> Void) -> [Effect] {
    guard let value = Int(argument) else { return missing("a number") }
    body(&self, value)
    return []
  }

  mutating func missing(_ what: String) -> [Effect] {
    say("expected \(what)", .warning)
    return []
  }
}
