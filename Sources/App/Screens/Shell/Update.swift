// How the model changes: one action in, effects out. Nothing here waits, draws or reads a clock; whatever takes time is an effect whose
// answer comes back as another action. What single actions do is in Update+Perform.

import Analysis
import Routing
import Store
import Terminal

extension AppModel {
  /// Takes what happened and returns what is to be done about it.
  mutating func update(_ action: Action) -> [Effect] {
    let effects = take(action)
    if effects.contains(where: \.asksTheEngine) { (isAsked, engineNote) = (true, "") }
    knownThreshold = buffer.map { (resolvedThreshold, $0.end) }
    knownQuantiles = filterQuantiles
    return effects
  }

  private mutating func take(_ action: Action) -> [Effect] {
    switch action {
    case .key(let key): return handle(key)
    case .mouse(let event): return handle(event)
    case .paste(let text): return paste(text)
    case .resize(let size):
      self.size = size
      return []
    case .tick: return tick()
    case .engine(let events): return events.flatMap { handle($0) } + beginTour() + refresh()
    case .loading(let event): return handle(event) + refresh()
    case .runs(let result, let file):
      self[RunsScreen.self].show(result, file: file)
      return []
    case .report(let report): return report.arrive(in: &self) + refresh()
    case .texts(let result, let path): return take(result, path: path)
    case .models(let found):
      shelf = found
      // Whoever starts with nothing to look at begins here.
      if case .nothing = source, overlay == nil { overlay = .models(ListState()) }
      return []
    case .modelChosen(let path, let feed, let origin, let seed):
      (source, modelPath, self.feed, buffer) = (.opening(path), path, feed, nil)
      sampling.seed = seed
      if let feed { sampling = feed.sampling }
      note(.open, path)
      resetPlace()
      showRun()
      return [.startEngine(path, source: origin)]
    case .said(let text, let role):
      say(text, role)
      return []
    case .done(let id, let argument, let words):
      say(words, .good)
      note(id, argument)
      return []
    case .perform(let id, let argument): return perform(id, argument)
    case .ask(let question, let effect):
      overlay = .confirm(question: question + " y / n", effect)
      return []
    }
  }

  mutating func say(_ text: String, _ role: Role = .text, seconds: Double = 6) {
    message = Message(text: text, role: role, until: now + seconds)
    if role == .warning || role == .error { refusals += 1 }
  }

  // MARK: - Keys

  private mutating func handle(_ key: KeyEvent) -> [Effect] {
    // What was said has been read by whoever goes on.
    message = nil
    if key == .ctrl("c") { return perform(.interrupt, "") }
    if let effects = walk(key) { return effects }
    if let effects = handleOverlay(key) { return effects }
    guard let id = actions.action(key, on: screen) else {
      refusals += 1
      say("\(key.label(theme.glyphs)) does nothing here; \(self.key(.help)) shows all keys", .dim, seconds: 2)
      return []
    }
    return perform(id, "")
  }

  private mutating func paste(_ text: String) -> [Effect] {
    switch overlay {
    case .entry(let kind, var field, _):
      overlay = nil
      field.insert(text)
      overlay = .entry(kind, field, selected: 0)
    case .help(var field, _):
      overlay = nil
      field.insert(text)
      overlay = .help(field, selected: 0)
    case .log, .models, .confirm, nil:
      refusals += 1
      say(
        "nothing is open to paste into: \(key(.prompt)), \(key(.find)), \(key(.filter)) or \(key(.palette)) opens a line", .dim, seconds: 4)
    }
    return []
  }

  // MARK: - Time

  private mutating func tick() -> [Effect] {
    if let until = message?.until, now >= until { message = nil }
    if isPlayingSteps, now - lastPlay >= 1 / (rate ?? 200) {
      // After a pause of the terminal nothing is caught up.
      let due = max(1, min(20, Int(((now - lastPlay) * (rate ?? 200)).rounded(.down))))
      lastPlay = now
      for _ in 0..<due where !isPaused { if !scrub(steps: 1) { isPaused = true } }
    }
    if let head = playhead, !isPaused, let buffer {
      let due = max(1, Int(((now - lastPlay) * (rate ?? 200)).rounded(.down)))
      if now - lastPlay >= 1 / (rate ?? 200) {
        lastPlay = now
        playhead = min(buffer.end, head + due)
        if playhead == buffer.end { (playhead, isPaused) = (nil, true) }
      }
    }
    return walk() + refresh()
  }

  /// Whether a recorded run of images is being played: step by step, sample by sample.
  var isPlayingSteps: Bool { isTrace && playsSteps && !isPaused }

  /// When something changes by itself: a message that goes, a replay that goes on.
  var nextTick: Double? {
    let play = (playhead != nil && !isPaused) || isPlayingSteps ? lastPlay + 1 / (rate ?? 200) : nil
    return [message?.until, play, room.nextTick(in: self), tour.flatMap { $0.stop == nil ? nil : $0.due }].compactMap { $0 }.min()
  }

  // MARK: - The engine

  private mutating func handle(_ event: EngineEvent) -> [Effect] {
    switch event {
    case .opened(let summary):
      source = .live(summary)
      (engineNote, isAsked) = ("", false)
      buffer = RoutingBuffer(routers: summary.routers, denoising: summary.images?.layout)
      resetPlace()
      guard summary.readsText || summary.images != nil else {
        say("this model has no tokenizer: it cannot read text here; try: moetop run MODEL --tokens FILE", .warning, seconds: 60)
        return []
      }
      return [.engine(.limitRate(rate))] + firstRequest()
    case .recording(let status):
      recording = status
      if case .failed(let reason) = status {
        say("not recorded: \(reason.split(separator: "\n").first.map(String.init) ?? reason)", .warning, seconds: 20)
      }
      return []
    case .began(let description):
      buffer?.begin(description)
      (engineNote, isAsked) = ("", true)
      if let line = awaited { record(line) }
      awaited = nil
      return []
    case .reading(let share):
      reading = share.done < share.total ? (share, reading?.since ?? now) : nil
      return []
    case .streamed(let part):
      buffer?.name(part.pieces)
      if buffer?.append(part.pass) == false { say("a pass did not continue the run and is not shown", .error, seconds: 20) }
      for (row, draw) in part.draws { buffer?.note(draw, after: row) }
      for picture in part.pictures { buffer?.note(picture) }
      pace.note(kind.made(part), at: now)
      return []
    case .idle(let reason):
      (engineNote, reading) = (reason, nil)
      return []
    case .refused(let text):
      awaited = nil
      say(text, .error, seconds: 20)
      return []
    case .failed(let text, let status):
      source = .nothing
      return [.fail(Failure(ExitStatus(rawValue: status) ?? .failed, text))]
    }
  }

  /// What a live session begins with: each class in turn, the texts beside the model, or a question to the user.
  private mutating func firstRequest() -> [Effect] {
    if let images { return ClassFeed(Array(images.classNames.indices), seed: sampling.seed).map { [.engine(.feed(.classes($0)))] } ?? [] }
    if let feed { return [.engine(.feed(.texts(feed)))] }
    open(.prompt)
    return []
  }

  mutating func resetPlace() {
    (selected, router, expert, playhead, isPaused) = (nil, 0, 0, nil, false)
    (branch, patch) = (0, 0)
    focus = [:]
    states.forgetAll()
    (filter, knownThreshold) = (nil, nil)
    (pace, reading) = (Pace(), nil)
  }

  /// From a screen that is not about the run that was opened to one that is.
  private mutating func showRun() {
    trail.removeAll()
    if !room.isOfTheRun { screen = screens.first { $0.isOfTheRun }?.id ?? screen }
  }

  // MARK: - Runs of a trace

  private mutating func handle(_ event: LoadEvent) -> [Effect] {
    switch event {
    case .opened(let run, let file, let sequences, let pieces, let counts, let labels, let loads):
      source = .trace(run, file: file, isLoading: true)
      var fresh = RoutingBuffer(routers: run.description.routers, denoising: run.description.denoising)
      fresh.describe(sequences)
      fresh.name(pieces)
      fresh.know(counts)
      fresh.know(loads)
      buffer = fresh
      feed = nil
      recording = .off
      note(.open, "\(file)#\(run.id)")
      resetPlace()
      self[ExpertsScreen.self].labels = labels
      isPaused = true
      showRun()
      return [.closeEngine]
    case .pass(let pass):
      if buffer?.append(pass) == false {
        return handle(.finished(note: "only the first \(Show.counted(shownRows.count, kind.words.row)): the capture has gaps"))
      }
    case .finished(let note):
      if case .trace(let run, let file, _) = source { source = .trace(run, file: file, isLoading: false) }
      if let note { say(note, .warning, seconds: 20) }
    case .failed(let failure):
      if case .opening = source { source = .nothing }
      if case .trace(let run, let file, _) = source { source = .trace(run, file: file, isLoading: false) }
      say(failure.message, .error, seconds: 20)
    }
    return []
  }

  private mutating func take(_ result: Result<[LabelledText], Failure>, path: String) -> [Effect] {
    switch result {
    case .success(let texts):
      say("reading \(Show.counted(texts.count, "text")) of \(path)")
      note(.read, path)
      return [.engine(.cancel), .engine(.read(texts))]
    case .failure(let failure):
      say(failure.message, .error, seconds: 20)
      return []
    }
  }

  // MARK: - What screens need in the background

  /// Asks for what the present screen shows and nobody has computed yet.
  mutating func refresh() -> [Effect] { room.refresh(&self) }

  var isLoading: Bool { if case .trace(_, _, true) = source { true } else { false } }
  /// Whether a live model was asked for something that has not ended.
  var isBusy: Bool { isLive && isAsked && engineNote.isEmpty }
}
