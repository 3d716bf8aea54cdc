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
    // Whatever was done, the screen may show something that nobody has computed yet.
    let effects = carryOut(id, argument) + refresh()
    // What takes its time is noted when it is done, and what was refused is not.
    switch id {
    case _ where actions[id]?.takesTime == true: break
    case .open where !argument.isEmpty: break
    case .prompt:
      awaited = argument.isEmpty ? awaited : twin(id, argument).map { LogLine(action: actions[id]?.help ?? "", twin: $0) }
    // A line to type into was opened.
    case _ where argument.isEmpty && actions[id]?.line != nil: break
    default: if refusals == before { note(id, argument) }
    }
    return effects
  }

  private mutating func carryOut(_ id: ActionID, _ argument: String) -> [Effect] {
    if let effects = room.perform(id, argument, in: &self) { return effects }
    if id.isMotion {
      room.move(id, in: &self)
      return []
    }
    if let screen = screens.first(where: { $0.id.action == id }) { return go(screen.id) }
    switch id {
    case .tokenLeft, .tokenRight:
      let by = id == .tokenLeft ? -1 : 1
      kind.moveOn(by, in: &self)
    case .nextPanel: turnPanel(1)
    case .previousPanel: turnPanel(-1)
    case .enter: return room.enter(&self)
    case .back: return back()
    case .pause, .step, .slower, .faster: return play(id)
    case .notable: return nextUncertain()
    case .layerDown: router = max(0, router - 1)
    case .layerUp: router = max(0, min(routers.count - 1, router + 1))
    case .lower: return shiftThreshold(-1)
    case .raise: return shiftThreshold(1)
    case .threshold: return argument.isEmpty ? open(.threshold) : setThreshold(argument)
    case .branch: turn(to: 1 - shownBranch)
    case .imageClass: return argument.isEmpty ? open(.imageClass) : make(classNamed: argument)
    case .find: return argument.isEmpty ? open(.find) : search(argument)
    case .findNext: return findAgain(forward: true)
    case .findPrevious: return findAgain(forward: false)
    case .filter: return argument.isEmpty ? open(.filter) : setFilter(argument)
    case .compareRuns: return go(.compare)
    case .intervene: return intervene()
    case .undo: return undo()
    case .redo: return redo()
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
    case .layer: return turn(toLayer: argument)
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
    case .redraw: return [.redraw]
    case .suspend: return [.suspend]
    case .quit: return room.leave(&self) + [.quit]
    case .interrupt: return interrupt()
    default:
      let owners = screens.filter { screen in actions[id]?.applies(to: screen.id) == true }.map { "\($0.title) (\(key($0.id.action)))" }
      return missing("a screen that has \(id): \(owners.joined(separator: ", "))")
    }
    return []
  }

  private mutating func turnPanel(_ by: Int) {
    let panels = room.panels(in: self)
    let place = panels.firstIndex(of: focused) ?? 0
    if !panels.isEmpty { focus[screen] = panels[(place + by + panels.count) % panels.count] }
  }

  /// Why an action cannot be done now; nil when it can.
  func whyNot(_ id: ActionID, _ argument: String = "") -> String? {
    if let reason = room.refusal(of: id, argument, in: self) { return reason }
    let nothing = buffer?.isEmpty ?? true
    switch id {
    case .step where !(isLive || isTrace), .pause where !(isLive || isTrace):
      return "nothing runs: \(key(.open)) opens a model, \(key(RunsScreen.id.action)) lists runs"
    case .step where !isPaused && playhead == nil && isLive:
      return "\(key(.pause)) pauses first; then \(key(.step)) goes \(kind.words.moment) by \(kind.words.moment)"
    case .prompt, .read:
      if images != nil { return "this model makes images and reads no text; \(key(.imageClass)) chooses a class" }
      return isLive ? nil : "this is a recorded run; open its model to run it (\(key(.open)))"
    case .imageClass:
      if images != nil { return nil }
      return isLive
        ? "this model continues texts and makes no images" : "nothing is made here: \(key(.open)) opens a model that makes images"
    case .branch:
      guard let layout else { return "no branch: not a denoising run" }
      return layout.branchCount > 1 ? nil : "this run has no guidance, so there is one branch"
    case .notable, .findNext, .findPrevious, .token, .lower, .raise, .copy:
      return nothing && room.isOfTheRun ? "there is no \(kind.words.row) yet" : nil
    case .undo: return changes.isEmpty ? "there is nothing to undo" : nil
    case .redo: return undone.isEmpty ? "there is nothing to do again" : nil
    case .filter: return nothing ? "there is no \(kind.words.row) yet" : nil
    default: return nil
    }
  }

  private mutating func back() -> [Effect] {
    if let effects = room.back(&self) { return effects }
    if readingWords != nil {
      reading = nil
      return [.engine(.cancel)]
    }
    if isZoomed {
      isZoomed = false
    } else if filter != nil {
      filter = nil
      say("filter off")
    } else if !find.isEmpty {
      find = ""
    } else if let effects = goBack() {
      return effects
    } else if selected != nil {
      selected = nil
    } else {
      say("\(key(.quit)) quits", .dim, seconds: 2)
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
    return room.leave(&self) + [.quit]
  }

  // MARK: - What is shown how

  func next<Choice: CaseIterable & Equatable>(_ choice: Choice) -> Choice {
    let all = Array(Choice.allCases)
    let place = all.firstIndex(of: choice) ?? 0
    return all[(place + 1) % all.count]
  }

  /// By a hundredth; where more than a tenth of the decisions above would be stepped over at once, by a thousandth or less, so that the
  /// tail of a run can be walked through.
  private mutating func shiftThreshold(_ by: Double) -> [Effect] {
    let share = (resolvedThreshold.isKnown ? resolvedThreshold.share(experts: spec?.expertCount ?? 2) : nil) ?? 0.9
    let pooled = buffer?.pooledEntropy
    func over(_ share: Double) -> Int { pooled?.count(atLeast: share) ?? 0 }
    let here = over(share)
    var step = 0.01
    var digits = 2
    while digits < 4, here > 0, abs(over(max(0, share + by * step)) - here) * 4 > here {
      step /= 10
      digits += 1
    }
    return setThreshold(Show.fixed(max(step, min(1, share + by * step)), digits))
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
