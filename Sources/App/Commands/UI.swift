import ArgumentParser
import Formats
import Foundation
import Model
import Routing
import Store
import Terminal

/// The screens, on a model that runs or on a run that was recorded.
struct UI: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ui",
    abstract: "Watch a model route its tokens, or look into a recorded run.",
    discussion: """
      moetop ui samples/olmoe-tiny
      moetop ui corpus.db#2

      Without an argument: the last run, the sample model beside the program, or the list of models on this machine (key O).

      A live session is recorded into the default trace unless --no-record is given. With --script the same session is played without a \
      terminal, and recorded only where --trace says; --dump writes its last screen: .txt, .svg, or .snapshot (text and styles). A line that \
      asks for something that cannot be done does not end it, but the exit code is 1 then, and such lines are named. A script is the same on \
      every machine: it takes settings from options, the environment, and a configuration file only where MOETOP_CONFIG names it.
      """)

  enum Coloring: String, ExpressibleByArgument, CaseIterable { case auto, always, never }
  enum Background: String, ExpressibleByArgument, CaseIterable { case auto, dark, light }

  @Argument(
    help: ArgumentHelp(
      "Folder or file of a model (.gguf, .safetensors, .pt), or a run: FILE.db, FILE.db#12, 12, a name, latest.", valueName: "model-or-run"),
    transform: ModelPlaces.model
  )
  var what: String?
  @Flag(help: "Do not record the session.") var noRecord = false
  @Option(help: ArgumentHelp("Trace file to record into (default: the default trace).", valueName: "file")) var trace: String?
  @Option(help: "Colours for a dark or a light terminal (default: as configured, else ask it).") var theme: Background?
  @Option(help: "Whether there are colours (default: as configured, else as the terminal has them).") var color: Coloring?
  @Flag(help: "Draw with ASCII only.") var ascii = false
  @Flag(help: "Leave the mouse to the terminal.") var noMouse = false
  @Option(help: "Seed of the sampler.") var seed: UInt64 = 1
  @Option(help: ArgumentHelp("Play the actions of a file (- is standard input), without a terminal.", valueName: "file"))
  var script: String?
  @Option(help: ArgumentHelp("Size of a script's screen, 1x1 to \(Size.largestScreen).", valueName: "WxH")) var size = "120x40"
  @Option(help: ArgumentHelp("Write the last screen of a script.", valueName: "file")) var dump: String?
  @Option(help: ArgumentHelp("Denoising steps of a model that makes images (default: as its authors sample).", valueName: "n")) var steps:
    Int?
  @Option(
    help: ArgumentHelp(
      "Factor of classifier-free guidance; 1: none (default: 1.5, or none where the model knows no second branch).", valueName: "factor"))
  var cfg: Float?
  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Traces") var traces: TraceOptions

  func validate() throws {
    if Size(ofScreen: size) == nil {
      throw ValidationError("--size: expected a size from 1x1 to \(Size.largestScreen), for instance 120x40, found \(size)")
    }
    if let steps, steps < 1 { throw ValidationError("--steps: expected at least 1, found \(steps)") }
    if let cfg, !cfg.isFinite { throw ValidationError("--cfg: expected a number, found \(cfg)") }
    if steps != nil || cfg != nil, let what, !DenoisingModel.isAt(what) {
      throw ValidationError("--steps and --cfg are for models that make images; \(what) is none")
    }
    if dump != nil, script == nil { throw ValidationError("--dump needs --script") }
    if let dump, ScreenFile(name: dump) == nil { throw ValidationError("--dump: expected \(ScreenFile.expected), found \(dump)") }
  }

  func run() throws { try run(nil) }

  /// - Parameter tour: a walk through the screens.
  func run(_ tour: Tour?) throws {
    var settings = SessionSettings(engine: engine, traces: traces)
    // What a script plays is a rehearsal: it becomes a run only where a trace was named for it.
    settings.records = !noRecord && (script == nil || trace != nil)
    settings.traceFile = trace
    settings.sampling.seed = seed
    settings.denoising = DenoisingSettings(steps: steps, guidance: cfg)
    let chosen = try Configuration.settings(options: given, isScript: script != nil)
    if let script {
      try play(script, settings, chosen, tour)
    } else {
      try show(settings, chosen, tour)
    }
  }

  /// Options that are settings too.
  private var given: [String: (option: String, text: String)] {
    var given: [String: (option: String, text: String)] = [:]
    if let theme { given["theme"] = ("--theme", theme.rawValue) }
    if let color { given["color"] = ("--color", color.rawValue) }
    if ascii { given["ascii"] = ("--ascii", "on") }
    if noMouse { given["mouse"] = ("--no-mouse", "off") }
    return given
  }

  // MARK: - On a terminal

  private func show(_ settings: SessionSettings, _ chosen: Settings, _ tour: Tour?) throws {
    let target = try resolved(within: Self.patience)
    var chosen = chosen
    let state = SessionState.ofUser
    state?.settle(&chosen)
    let terminal: CursesTerminal
    do { terminal = try CursesTerminal(chosen.terminal) } catch let error as TerminalError {
      throw Self.failure(error, target: target ?? "MODEL")
    }
    let loop = TerminalLoop(terminal, chosen, state?.histories ?? [:], settings: settings)
    // However it ends; prompts of a session that is not to be recorded are not kept either.
    defer { SessionState(of: loop.model, began: chosen.palette, without: noRecord ? [.prompt] : []).leave() }
    try loop.run([target.map { .open($0) } ?? .findModels], tour: tour)
  }

  private static func failure(_ error: TerminalError, target: String) -> Failure {
    switch error {
    case .notATerminal, .unsuitable:
      let name = Show.shell(target)
      let headless = ModelPlaces.isModel(target) ? "moetop run \(name) -p TEXT" : "moetop analyze \(name) --format csv"
      return Failure(.usage, "\(error)\n  try: \(headless)        moetop ui \(name) --script FILE --dump screen.txt")
    case .unknown: return Failure(.usage, "\(error)")
    case .alreadyOpen, .system: return Failure(.inputOutput, "\(error)")
    case .gone: return Failure(.hangUp, "\(error)")
    }
  }

  /// Seconds in which a model that cannot be opened is refused before the terminal is touched. Models of very many tensors take longer to look
  /// through: the screen is drawn meanwhile, and what is wrong ends it with the same words and code.
  private static let patience = 0.08

  /// What to open; looked at first, so that a wrong name is an ordinary error of an ordinary command. nil: nothing was named, and there
  /// is nothing that one would expect.
  ///
  /// - Parameter seconds: how long a model is waited for; nil: until all of it is known to be right.
  private func resolved(within seconds: Double? = nil) throws -> String? {
    guard let target = what ?? Self.usual(traces) else { return nil }
    // A folder, or a file of one that is no model by itself: the reason is told by whoever opens models.
    if ModelPlaces.isModel(target) || FileStatus.isFolder(target) || target.hasSuffix(".json") && FileStatus.exists(target) {
      let (outcome, came) = (Locked<Result<Void, any Error>?>(nil), DispatchSemaphore(value: 0))
      Thread.detachNewThread { [engine] in
        let result = Result { try engine.probe(target) }
        outcome.withLock { $0 = result }
        came.signal()
      }
      _ = came.wait(timeout: seconds.map { .now() + $0 } ?? .distantFuture)
      try outcome.withLock { $0 }?.get()
    } else {
      let reference = try traces.reference(target)
      do { _ = try TraceReader.open(reference) } catch let error as StoreError where what != nil && error.kind == .missing {
        if case .noSuchRun = error, !Arguments.isWord(target) { throw error }
        throw Arguments.nothing(called: target)
      }
    }
    return target
  }

  /// Without an argument: the last run, else the sample.
  private static func usual(_ traces: TraceOptions) -> String? {
    if let reader = try? TraceReader(file: traces.defaultTrace), (try? reader.run(.latest)) != nil { return "latest" }
    return ModelPlaces.samplesOfProgram.map { $0 + "/" + ModelPlaces.firstSample }
  }

  // MARK: - A script

  private func play(_ file: String, _ settings: SessionSettings, _ chosen: Settings, _ tour: Tour?) throws {
    guard let size = Size(ofScreen: size) else { return }
    let script = try SessionScript(file: file)
    let theme = chosen.scriptTheme
    let own = file == "-" ? [] : [file]
    var settings = settings
    settings.asks = false
    let player = ScriptPlayer(size: size, theme: theme, chosen, settings: settings) { name, screen, inputs in
      try Self.write(screen, theme: theme, to: name, reading: inputs + own)
    }
    defer { player.finish() }
    // A wrong name is an error of the command; later ones are messages on a screen.
    let target = what == nil ? nil : try resolved()
    if let dump { try OutputFile.check(dump, reading: settings.files(of: target.map { [$0] } ?? []) + own) }
    if let target { player.begin(target, tour: tour) }
    try player.play(script)
    if let dump { try Self.write(player.screen(for: ScreenFile(name: dump)), theme: theme, to: dump, reading: player.files + own) }
    try player.requireAllDone()
  }

  private static func write(_ screen: CellBuffer, theme: Theme, to name: String, reading inputs: [String]) throws {
    try OutputFile.write((ScreenFile(name: name) ?? .text).render(screen, theme: theme), to: name, reading: inputs)
  }
}
