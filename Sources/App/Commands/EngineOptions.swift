// Options of every command that opens a model.

import ArgumentParser
import Model
import Routing

struct EngineOptions: ParsableArguments {
  @Option(name: .customLong("threads"), help: "Threads to compute with (default: as configured, else every core).")
  var givenThreads: Int?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Replace a field of config.json: JSON or a bare word; null takes it away; a.b is a member of a.", valueName: "key=value"))
  var settings: [String] = []

  @Option(
    help: ArgumentHelp(
      "Whether a text begins with BOS: model (as its tokenizer says; `inspect` shows it), add or omit.", valueName: "model|add|omit"))
  var bos: BOSChoice = .model

  @Option(
    help: ArgumentHelp(
      "Kernels to compute with; auto takes the best that this machine has, which `doctor` names.",
      valueName: KernelChoice.allCases.map(\.rawValue).joined(separator: "|")))
  var kernels: KernelChoice = .auto

  @Flag(help: "Compute generated tokens as read ones are, to the last bit: slower where weights are quantised.")
  var reproducible = false

  func validate() throws {
    if !Engine.use(kernels) {
      throw ValidationError(
        "--kernels: expected what this machine has, found \(kernels.rawValue)\n  try: --kernels auto (\(Engine.simdLevel))")
    }
    if let givenThreads, givenThreads < 1 { throw ValidationError("--threads: expected at least 1, found \(givenThreads)") }
    for setting in settings where !setting.contains("=") {
      throw ValidationError("--set: expected key=value, found \(setting)")
    }
  }

  /// Nil: every core.
  var threads: Int? { givenThreads ?? Configuration.standing.threads }

  /// Opens the model with the user's replacements, to be run.
  func open(_ path: String) throws -> LanguageModel {
    let model = try describe(path)
    try model.requireNumbers()
    return model
  }

  /// Opens the model as far as its description goes: one whose numbers are not known is not refused.
  func describe(_ path: String) throws -> LanguageModel {
    if let absence = ModelPlaces.ofUser.absence(of: path) { throw absence }
    return try LanguageModel(path: path, overrides: overrides, tables: DataFolder.lookupTables)
  }

  func openDenoising(_ path: String) throws -> DenoisingModel {
    if bos != .model { throw ValidationError("--bos: this model makes images and reads no text") }
    return try DenoisingModel(path: path, overrides: overrides)
  }

  /// Opens a model of either kind to see whether it can be.
  func probe(_ path: String) throws {
    if DenoisingModel.isAt(path) { _ = try openDenoising(path) } else { _ = try open(path) }
  }

  /// What a trace says of the engine.
  func identity(threads: Int, routingOnly: Bool = false) -> EngineIdentity {
    EngineIdentity(
      version: Version.number, simd: Engine.simdLevel, threads: threads, reproducible: reproducible ? true : nil,
      routingOnly: routingOnly ? true : nil)
  }

  private var overrides: [String: String] {
    var overrides: [String: String] = [:]
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      overrides[String(parts[0])] = String(parts[1])
    }
    return overrides
  }
}

extension KernelChoice: ExpressibleByArgument {}

extension BOSChoice: ExpressibleByArgument {
  /// What a trace says of it; nil for the usual.
  var recorded: String? { self == .model ? nil : rawValue }
}
