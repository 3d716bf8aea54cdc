import ArgumentParser
import Formats
import Foundation
import Model
import Routing
import Store

/// A record of another engine as a run of a trace.
struct Import: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Read what another engine recorded of routing, and say what is wrong with it.",
    discussion: """
      moetop import routes.npy --model ~/models/OLMoE-1B-7B --tokens ids.json
      moetop import answer.json --model config.json --strict
      moetop import imatrix.gguf --name calibration
      moetop import router_trace_rank*.jsonl --as megatron --dry-run --json

      All files of a call are one run: a file a sequence, or the ranks of one. Without --as the format is told by its content. Rows at \
      fault are stored as unknown; a record with a fault is kept, ends with 1 and is warned of by every later command. With a model that \
      can be run and the tokens, the first tokens are routed again: layers and experts that were confused are found. The formats and \
      every code: moetop docs import.
      """)

  @Argument(help: ArgumentHelp("Files of one run.", valueName: "file"), transform: ModelPlaces.found) var files: [String]
  @Option(name: .customLong("as"), help: ArgumentHelp("Format; without it by content.", valueName: "format")) var format: ImportFormat?
  @Option(
    help: ArgumentHelp("The model that it was recorded of: a checkpoint, or its config.json alone.", valueName: "model"),
    transform: ModelPlaces.model)
  var model: String?
  @Option(help: ArgumentHelp("Token ids of each sequence, as `run` takes them.", valueName: "file"), transform: ModelPlaces.found)
  var tokens: String?
  @Option(help: "Experts of a router, where no model says it.") var experts: Int?
  @Option(help: "Experts that a token takes, where no model says it.") var topK: Int?
  @Option(help: ArgumentHelp("Layers that the record has, in its order, for instance 3-47.", valueName: "layers")) var layers: String?
  @Flag(help: "Scores are logits.") var logits = false
  @Flag(help: "Scores are probabilities.") var probabilities = false
  @Option(help: ArgumentHelp("Trace to write to (default: the one in the data folder).", valueName: "file")) var trace: String?
  @Option(help: "Name of the run.") var name: String?
  @Option(name: .customLong("tag"), help: "Tag of the run; repeatable.") var tags: [String] = []
  @Flag(help: "Keep nothing of a record with a fault, and end with 65.") var strict = false
  @Flag(help: "Say what was found and write nothing.") var dryRun = false
  @Flag(help: "Keep no token id and no text; a hash of them stays.") var noIds = false
  @Option(help: ArgumentHelp("Tokens that the model routes again; 0: none.", valueName: "n")) var recheck = 512
  @Flag(help: "Print the result as JSON.") var json = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors.") var quiet = false
  @Flag(help: "No progress line.") var noProgress = false
  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Traces") var traces: TraceOptions

  func validate() throws {
    if logits && probabilities { throw ValidationError("expected one of --logits and --probabilities, found both") }
    for (option, value) in [("--experts", experts), ("--top-k", topK)] {
      if let value, !(1...1 << 24).contains(value) { throw ValidationError("\(option): expected 1 or more, found \(value)") }
    }
    if recheck < 0 { throw ValidationError("--recheck: expected 0 or more, found \(recheck)") }
    if dryRun && trace != nil { throw ValidationError("--dry-run writes nothing: expected no --trace") }
    if let name { do { try RunName.check(name) } catch { throw ValidationError("--name: \(Failure.message(of: error))") } }
  }

  func run() throws {
    Interruption.listen()
    var request = ImportRequest(files: files)
    (request.format, request.experts, request.topK) = (format, experts, topK)
    request.layers = try layers.map(Self.numbers)
    request.scores = logits ? .logits : probabilities ? .probabilities : nil
    let given = try tokens.map { try TokensFile.read($0) }
    request.tokens = given?.map(\.tokens)
    let runnable = try openModel(into: &request)
    let record = try RecordImport(request)
    if let runnable, recheck > 0 { try reread(record, by: runnable) }
    if strict, !record.faults.isEmpty { throw ImportError.faults(record.faults) }
    let summary = dryRun ? nil : try write(record, by: runnable)
    if !quiet {
      let answer = ImportAnswer(record: record, trace: summary)
      StandardOutput.write(json ? try answer.json() : answer.text)
    }
    if !record.faults.isEmpty {
      let words = record.faults.map { $0.code.rawValue }.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
      throw Failure(
        .failed, "the record has faults: \(words.joined(separator: ", "))\(dryRun ? "" : "; rows at fault are stored as unknown")")
    }
  }

  /// Numbers of layers, in the order they are written.
  private static func numbers(_ text: String) throws -> [Int] {
    try text.split(separator: ",", omittingEmptySubsequences: false).flatMap { part -> [Int] in
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard (1...2).contains(ends.count), let low = ends[0], let high = ends[ends.count - 1], low >= 0, low <= high, high < 1 << 16 else {
        throw ValidationError("--layers: expected numbers such as 0-15 or 1,3-7, found \(text)")
      }
      return Array(low...high)
    }
  }

  /// - Returns: the model, where it can be run.
  private func openModel(into request: inout ImportRequest) throws -> LanguageModel? {
    guard let model else { return nil }
    if model.hasSuffix(".json") {
      let outline = try ModelOutline(configuration: model)
      request.model = ImportModel(identity: outline.identity, routers: outline.routers)
      return nil
    }
    let opened = try engine.describe(model)
    request.model = ImportModel(identity: opened.identity, routers: opened.routers)
    return (try? opened.requireNumbers()) == nil ? nil : opened
  }

  /// The model reads the first tokens of the record again.
  private func reread(_ record: RecordImport, by model: LanguageModel) throws {
    let samples = record.samples(limit: recheck).filter { sample in
      !model.hasEncoder && sample.ids.allSatisfy { 0..<Int32(model.vocabularySize) ~= $0 } && sample.ids.count <= model.contextLength
    }
    guard !samples.isEmpty else { return }
    let forward = ForwardPass(model, threads: engine.threads)
    forward.isRoutingOnly = true
    let sink = DecisionSink(sequences: samples.map(\.sequence))
    let texts = samples.map { TokenSequence(SequenceDescription(name: "sequence \($0.sequence)"), tokens: $0.ids) }
    var reader = Reader(forward)
    reader.scoresTokens = false
    _ = try reader.read(texts, sink: sink)
    try record.hold(against: sink.decided)
  }

  private func write(_ record: RecordImport, by model: LanguageModel?) throws -> TraceSummary {
    let description = record.description(
      name: name, version: Version.number, startedAt: wallClock(), tags: tags, withoutIDs: noIds)
    var options = TraceWriter.Options()
    options.createsDirectory = trace == nil
    var pieces: @Sendable (Int32) -> [UInt8]? = { _ in nil }
    if let model, !noIds { pieces = TokenizerSlot(model).pieces }
    let writer = try TraceWriter(
      file: trace ?? traces.defaultTrace, description: description, sequences: record.sequences,
      pieces: pieces, options: options)
    do {
      var progress = Progress("importing", enabled: !noProgress && !quiet)
      defer { progress.finish() }
      try record.write(to: writer, withoutIDs: noIds) { done in
        if Interruption.signal != nil { return }
        progress.update(done: done, of: record.rowCount, unit: "rows")
      }
      try writer.finish(Interruption.signal == nil ? .completed : .stopped)
    } catch {
      try? writer.finish(.failed(reason: Failure.message(of: error)))
      throw error
    }
    return try TraceSummary(writer)
  }
}

/// Keeps which experts a model took.
private final class DecisionSink: RoutingSink {
  let demand = RoutingDemand(statistics: false)
  private(set) var decided: ReferenceDecisions

  /// - Parameter sequences: numbers in the record of the texts that are read.
  init(sequences: [Int]) { decided = ReferenceDecisions(sequences: sequences) }

  func receive(_ pass: RoutingPass) { for batch in pass.batches { decided.add(batch, of: pass.tokens) } }
}

extension ImportFormat: ExpressibleByArgument {}
