// Does what `update` asks for, outside of it: opens models and runs, computes in the background, writes files, fills the clipboard.
// Answers come back as actions. With a terminal the background is other threads; in a script it is "now", with the same code.

import Analysis
import Formats
import Foundation
import Model
import Routing
import Store
import Synchronization
import Terminal

/// The engine as the runner sees it: a thread of its own, or driven by a script.
protocol EngineDriver: AnyObject {
  func send(_ request: EngineRequest)
  func takeEvents() -> [EngineEvent]
  /// Whether something happened that was not taken yet.
  var hasEvents: Bool { get }
  /// Ends it and closes its recording with that outcome.
  func close(_ outcome: RunOutcome)
}

/// What the user chose on the command line.
struct SessionSettings: Sendable {
  var engine: EngineOptions
  var traces: TraceOptions
  /// Whether live sessions are kept.
  var records = true
  /// Trace that live sessions are appended to; nil: the default one.
  var traceFile: String?
  var sampling = SamplingSettings(temperature: 0.8, seed: 1)
  /// How images are made.
  var denoising = DenoisingSettings()
  /// Where models are looked for.
  var places = ModelPlaces.ofUser
  /// Whether somebody is there to be asked before a file is replaced.
  var asks = true

  /// The files that a session reads and records into, which no view is saved over.
  ///
  /// - Parameter opened: the models and runs that it is or was about.
  func files(of opened: some Sequence<String>) -> [String] {
    TraceLocation.files(of: traceFile ?? traces.defaultTrace)
      + opened.flatMap { name in
        if ModelPlaces.isModel(name) { return ModelFiles.at(name) }
        return (try? traces.reference(name)).map { TraceLocation.files(of: $0.file) } ?? []
      }
  }
}

final class EffectRunner {
  typealias Post = @Sendable (Action) -> Void
  /// Runs a piece of work, later or at once.
  typealias Background = (@escaping @Sendable () -> Void) -> Void

  private let settings: SessionSettings
  private let post: Post
  private let background: Background
  private let startEngine: (String, SessionRecorder.Plan?) -> any EngineDriver
  private let now: () -> Double
  private(set) var engine: (any EngineDriver)?
  /// The number of the newest load; older ones stop when they see that they are not it.
  private let load = Ticket()
  /// The same of each lane of work.
  private var lanes: [String: Ticket] = [:]
  /// The models and runs that were opened: one that failed to open leaves another there.
  private var opened: Set<String> = []
  /// Files that texts were read from.
  private var texts: Set<String> = []
  /// What is done to the runs of the trace and asked about them: a list that was begun before a delete must not be told after it.
  private let shelf = Lane()

  init(
    _ settings: SessionSettings, now: @escaping () -> Double, background: @escaping Background, post: @escaping Post,
    startEngine: @escaping (String, SessionRecorder.Plan?) -> any EngineDriver
  ) {
    self.settings = settings
    self.now = now
    self.background = background
    self.post = post
    self.startEngine = startEngine
  }

  /// Effects that need neither terminal nor run loop; false for those that do.
  func run(_ effect: Effect) -> Bool {
    switch effect {
    case .engine(let request): engine?.send(request)
    case .open(let text): open(text)
    case .startEngine(let path, let source): start(path, source: source)
    case .closeEngine: closeEngine(.completed)
    case .listRuns(let file): listRuns(file)
    case .findModels:
      background { [post, places = settings.places] in
        post(.models(ModelShelf(listing: ModelListing(places.everything()), places: places.places)))
      }
    case .readTexts(let name):
      let path = ModelPlaces.found(name)
      texts.insert(path)
      background { [post] in
        let read = Self.attempt { try TextFile.read(path) }
        post(.texts(read.map(\.texts), path: path))
        if let note = (try? read.get())?.notes.first { post(.said(note, .warning)) }
      }
    case .work(let work): begin(work)
    case .cancelWork(let lane): _ = lanes[lane]?.next()
    case .setTags(let tags, let place):
      let words = tags.isEmpty ? "no tags" : "tagged"
      edit(place, .done(.tag, "\(place.file)#\(place.run) \(tags.joined(separator: " "))", said: "run \(place.run): " + words)) {
        try $0.setTags(tags, of: .id(place.run), marked: TraceEditor.Mark(startedAt: place.startedAt))
      }
    case .deleteRun(let place):
      edit(place, .done(.delete, "\(place.file)#\(place.run)", said: "run \(place.run) is deleted")) {
        try $0.delete(.id(place.run), marked: TraceEditor.Mark(startedAt: place.startedAt))
      }
    case .write(let text, let path, let replaces):
      background { [post, settings, opened, texts] in
        if settings.asks, !replaces, FileStatus.exists(path) {
          return post(.ask("\(path) is there already: replace it?", .write(text, path: path, replaces: true)))
        }
        switch Self.attempt({ try OutputFile.write(text, to: path, reading: settings.files(of: opened) + texts) }) {
        case .success: post(.done(.export, path, said: "saved \(path), \(Show.bytes(text.utf8.count))"))
        case .failure(let failure): post(.said(failure.message, .error))
        }
      }
    case .hideRun, .copy, .setMouse, .redraw, .suspend, .quit, .fail: return false
    }
    return true
  }

  /// Waits for what is being changed in traces: whoever leaves has asked for it.
  func finishEdits() { shelf.finish() }

  func closeEngine(_ outcome: RunOutcome) {
    engine?.close(outcome)
    engine = nil
  }

  /// The files that no view is saved over.
  var files: [String] { settings.files(of: opened) + texts }

  // MARK: - Opening

  private func open(_ name: String) {
    let text = ModelPlaces.found(name)
    opened.insert(text)
    if ModelPlaces.isModel(text) {
      background { [post, sampling = settings.sampling, options = settings.engine] in
        // What cannot be opened leaves what is open as it is.
        if case .failure(let failure) = Self.attempt({ try options.probe(text) }) { return post(.loading(.failed(failure))) }
        if DenoisingModel.isAt(text) { return post(.modelChosen(text, nil, source: "seed \(sampling.seed)", seed: sampling.seed)) }
        let corpus = PromptFeed.corpus(besideModel: text)
        let texts = corpus.flatMap { try? TextFile.read($0).texts } ?? []
        post(.modelChosen(text, PromptFeed(texts, sampling: sampling), source: corpus ?? "prompt", seed: sampling.seed))
      }
      return
    }
    let ticket = load.next()
    let reference = Self.attempt { try settings.traces.reference(text) }
    background { [post, load] in
      do {
        let reference = try reference.get()
        let (reader, run) = try TraceReader.open(reference)
        let names = try reader.sequences(run: run.id)
        let counts = try (0..<(run.description.denoising?.branchCount ?? 0)).compactMap { try reader.denoisingCounts(of: run, branch: $0) }
        // Of a run that another program counted there is nothing else.
        let isCounted = run.description.recording.content == .counts && run.description.denoising == nil
        let loads =
          isCounted
          ? try reader.totals(run: run.id).mapValues { RouterLoad(counts: $0.assignments, topK: $0.topK, tokens: $0.tokens) } : [:]
        post(
          .loading(
            .opened(
              run, file: reader.file, sequences: names, pieces: try reader.pieces(run: run.id), counts: counts,
              labels: try reader.expertLabels(run: run.id), loads: loads)))
        let cursor = reader.passes(of: run)
        let limit = RoutingBuffer(routers: run.description.routers).capacity
        var read = 0
        while load.isCurrent(ticket), read < limit, let pass = try cursor.next() {
          read += pass.tokens.count
          post(.loading(.pass(pass)))
        }
        guard load.isCurrent(ticket) else { return }
        let keepsRows = run.description.recording.content != .counts
        let note =
          keepsRows && read < run.tokenCount
          ? "the first \(Show.grouped(read)) of \(Show.grouped(run.tokenCount)) tokens are in memory" : nil
        post(.loading(.finished(note: note)))
      } catch {
        post(.loading(.failed(Self.failure(error))))
      }
    }
  }

  private func start(_ path: String, source: String) {
    opened.insert(path)
    closeEngine(.completed)
    _ = load.next()
    let plan =
      settings.records
      ? SessionRecorder.Plan(
        file: settings.traceFile ?? settings.traces.defaultTrace, createsDirectory: settings.traceFile == nil, source: source,
        sampling: settings.sampling, startedAt: now()) : nil
    engine = startEngine(path, plan)
  }

  // MARK: - The shelf

  private func listRuns(_ named: String?) {
    let file = named ?? settings.traceFile ?? settings.traces.defaultTrace
    shelf.run(on: background) { [post] in post(Self.runs(of: file, isThere: named != nil)) }
  }

  /// Changes a run; says so when it is done, and what there is then.
  private func edit(_ place: RunPlace, _ done: Action, _ body: @escaping @Sendable (TraceEditor) throws -> Void) {
    shelf.run(on: background) { [post] in
      switch Self.attempt({ try body(TraceEditor(file: place.file)) }) {
      case .success: post(done)
      case .failure(let failure): post(.said(failure.message, .error))
      }
      post(Self.runs(of: place.file, isThere: true))
    }
  }

  /// - Parameter isThere: whether the trace was there before: then it is missed.
  private static func runs(of file: String, isThere: Bool) -> Action {
    let runs = attempt { () throws -> [RunSummary] in
      guard isThere || FileManager.default.fileExists(atPath: file) else { return [] }
      return try TraceReader(file: file).runs()
    }
    return .runs(runs, file: file)
  }

  // MARK: - Work of screens

  private func begin(_ work: any ScreenWork) {
    var isWanted: @Sendable () -> Bool = { true }
    if let lane = work.lane {
      let ticket = lanes[lane] ?? Ticket()
      lanes[lane] = ticket
      let number = ticket.next()
      isWanted = { ticket.isCurrent(number) }
    }
    let desk = WorkDesk(settings: settings, isWanted: isWanted) { [post] in post(.report($0)) }
    background { work.run(desk) }
  }

  // MARK: - Errors as values

  private static func failure(_ error: any Error) -> Failure {
    Failure(Failure.status(of: error) ?? .failed, Failure.message(of: error))
  }

  private static func attempt<Value>(_ body: () throws -> Value) -> Result<Value, Failure> {
    do { return .success(try body()) } catch { return .failure(failure(error)) }
  }
}

/// Numbers handed out in turn, to know whether a piece of work is still the newest of its kind.
final class Ticket: Sendable {
  private let last = Atomic<Int>(0)

  func next() -> Int { last.add(1, ordering: .relaxed).newValue }
  func isCurrent(_ number: Int) -> Bool { last.load(ordering: .relaxed) == number }
}
