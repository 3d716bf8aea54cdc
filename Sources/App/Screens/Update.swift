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
    case .engine(let events): return events.flatMap { handle($0) } + refresh()
    case .loading(let event): return handle(event) + refresh()
    case .runs(let result, let file): return show(result, file: file)
    case .uncertain(let list):
      uncertain.list = list
      uncertain.isWorking = false
      uncertain.rows.settle(count: uncertainRows.count, page: 1)
      return refresh()
    case .study(let progress):
      take(progress)
      return refresh()
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
      if screen == .runs { screen = .live }
      return [.startEngine(path, source: origin)]
    case .said(let text, let role):
      say(text, role)
      return []
    case .done(let id, let argument, let words):
      say(words, .good)
      note(id, argument)
      return []
    case .perform(let id, let argument): return perform(id, argument)
    }
  }

  mutating func say(_ text: String, _ role: Role = .text, seconds: Double = 6) {
    message = Message(text: text, role: role, until: now + seconds)
    if role == .warning || role == .error { refusals += 1 }
  }

  // MARK: - Keys

  private mutating func handle(_ key: KeyEvent) -> [Effect] {
    if message?.until == nil { message = nil }
    if key == .ctrl("c") { return perform(.interrupt, "") }
    if let effects = handleOverlay(key) { return effects }
    guard let id = ActionTable.action(key, on: screen) else {
      refusals += 1
      say("\(key.label(theme.glyphs)) does nothing here; ? shows all keys", .dim, seconds: 2)
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
      say("nothing is open to paste into: p, /, f or : opens a line", .dim, seconds: 4)
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
    return refresh()
  }

  /// Whether a recorded run of images is being played: step by step, sample by sample.
  var isPlayingSteps: Bool { isTrace && layout != nil && !isPaused }

  /// When something changes by itself: a message that goes, a replay that goes on.
  var nextTick: Double? {
    let play = (playhead != nil && !isPaused) || isPlayingSteps ? lastPlay + 1 / (rate ?? 200) : nil
    return [message?.until, play].compactMap { $0 }.min()
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
    case .streamed(let part):
      buffer?.name(part.pieces)
      if buffer?.append(part.pass) == false { say("a pass did not continue the run and is not shown", .error, seconds: 20) }
      for (row, draw) in part.draws { buffer?.note(draw, after: row) }
      for picture in part.pictures { buffer?.note(picture) }
      pace.note(layout == nil ? part.pass.tokens.phase.count { $0 == .decode } : part.pictures.count, at: now)
      return []
    case .idle(let reason):
      engineNote = reason
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
    // The picture, where there is one: arrows go through its steps.
    focus[.live] = layout == nil ? 0 : 2
    focus[.specialization] = 0
    (uncertain.list, uncertain.isWorking) = (nil, false)
    uncertain.rows = ListState()
    elsewhere = ListState()
    (filter, knownThreshold) = (nil, nil)
    let number = special.number + 1
    special = SpecialState()
    special.number = number
    pace = Pace()
  }

  // MARK: - Runs of a trace

  private mutating func handle(_ event: LoadEvent) -> [Effect] {
    switch event {
    case .opened(let run, let file, let sequences, let pieces, let counts):
      source = .trace(run, file: file, isLoading: true)
      var fresh = RoutingBuffer(routers: run.description.routers, denoising: run.description.denoising)
      fresh.describe(sequences)
      fresh.name(pieces)
      fresh.know(counts)
      buffer = fresh
      feed = nil
      recording = .off
      note(.open, "\(file)#\(run.id)")
      resetPlace()
      isPaused = true
      if screen == .runs { screen = .live }
      return [.closeEngine]
    case .pass(let pass):
      if buffer?.append(pass) == false {
        return handle(.finished(note: "only the first \(Show.counted(shownRows.count, "token")): the capture has gaps"))
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

  private mutating func show(_ result: Result<[RunSummary], Failure>, file: String) -> [Effect] {
    runs.file = file
    switch result {
    case .success(let found):
      runs.runs = found.reversed()
      runs.problem = nil
    case .failure(let failure):
      runs.runs = []
      runs.problem = failure.message
    }
    runs.list.settle(count: runs.runs.count, page: 1)
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
  mutating func refresh() -> [Effect] {
    guard let buffer, !buffer.isEmpty || buffer.hasCounts else { return [] }
    switch screen {
    case .uncertainty:
      guard !uncertain.isWorking, !buffer.isEmpty else { return [] }
      let threshold = resolvedThreshold
      let scope = uncertain.showsDecisions ? router : nil
      if let list = uncertain.list {
        let grown = buffer.end - list.end
        let moved = list.threshold.asked != threshold.asked || list.router != scope
        guard moved || grown > 8 && grown * 50 > list.end || (!isLoading && !(isBusy && !isPaused) && grown > 0) else { return [] }
      }
      uncertain.isWorking = true
      var pass = buffer.pass
      if let scope { pass.batches = [pass.batches[scope]] }
      for index in pass.batches.indices { pass.batches[index].logits = nil }
      return [.findUncertain(UncertainQuery(pass: pass, router: scope, threshold: threshold, end: buffer.end))]
    case .specialization:
      if special.facet == nil { special.facet = facets.first }
      guard let facet = special.facet, special.progress == nil, !isLoading else { return [] }
      let isStale = special.resultFacet != facet || AxisFigures(end: max(special.end, special.cancelledAt ?? 0)).isStale(at: buffer.end)
      if isStale { return study(facet, draws: max(200, special.resultFacet == facet ? special.draws : 200)) }
      guard showsAxes else { return [] }
      let other = facets.first { $0 != facet && special.axes[$0]?.isStale(at: buffer.end) != false }
      guard let other, special.aside == nil else { return [] }
      return study(other, draws: 200)
    case .live, .token, .runs: return []
    }
  }

  var isLoading: Bool { if case .trace(_, _, true) = source { true } else { false } }
  /// Whether a live model was asked for something that has not ended.
  var isBusy: Bool { isLive && isAsked && engineNote.isEmpty }

  /// Axes this run can be looked at along.
  var facets: [Facet] {
    guard let buffer else { return [] }
    let keys = Set(buffer.sequences.flatMap(\.labels.keys)).sorted()
    let ordered = keys.filter { $0 == "domain" } + keys.filter { $0 != "domain" }
    let labels = ordered.map { Facet.label($0) }
    guard let layout = buffer.layout else { return labels + [Facet.position] }
    return [.step] + (layout.patchCount > 1 ? [.patch, .patchRow, .patchColumn] : []) + labels
  }

  /// Axes this run cannot be looked at along, and why.
  var missingFacets: (names: [String], reason: String) {
    guard let layout else { return (Facet.denoising.map(\.name), "no timestep: not a denoising run") }
    let text = layout.patchCount > 1 ? [] : [Facet.patch.name]
    return (
      text + [Facet.position.name, "vocabulary"], layout.patchCount > 1 ? "no text: a denoising run" : "decided once a step; no text"
    )
  }

  /// Asks for a study; one that is under way is given up.
  mutating func study(_ facet: Facet, draws: Int) -> [Effect] {
    guard let buffer else { return [] }
    special.number += 1
    (special.progress, special.aside) = facet == special.facet ? ((0, draws), nil) : (nil, facet)
    return [
      .study(
        StudyQuery(
          facet: facet, strata: buffer.strata, routes: buffer.routes, counts: branchCounts, sequences: buffer.sequences, draws: draws,
          end: buffer.end, number: special.number))
    ]
  }

  private mutating func take(_ progress: StudyProgress) {
    switch progress {
    case .drawn(let done, let all, let number):
      if number == special.number, special.progress != nil { special.progress = (done, all) }
    case .done(let results, let facet, let unlabelled, let draws, let end, let number):
      guard number == special.number else { return }
      let figures = results.map { ($0.router, (effect: $0.effect, p: $0.p)) }
      special.axes[facet] = AxisFigures(figures: Dictionary(uniqueKeysWithValues: figures), draws: draws, end: end)
      special.aside = nil
      guard facet == special.facet else { return }
      (special.results, special.resultFacet, special.problem) = (results, facet, nil)
      (special.unlabelled, special.draws, special.end, special.progress) = (unlabelled, draws, end, nil)
      special.cancelledAt = nil
      special.cell = max(0, min(special.cell, (results.first?.cells.count ?? 1) - 1))
    case .impossible(let reason, let inShort, let facet, let end, let number):
      guard number == special.number else { return }
      special.axes[facet] = AxisFigures(end: end, problem: inShort)
      special.aside = nil
      guard facet == special.facet else { return }
      (special.results, special.resultFacet, special.problem) = ([], facet, reason)
      (special.end, special.progress, special.cancelledAt) = (end, nil, nil)
    }
  }
}
