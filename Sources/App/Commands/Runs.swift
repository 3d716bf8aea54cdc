import ArgumentParser
import Formats
import Foundation
import Routing
import Store

/// The shelf of runs in a trace.
struct Runs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List, show, tag, rename, delete and check recorded runs.",
    discussion: """
      moetop runs
      moetop runs show corpus.db#2
      """,
    subcommands: [List.self, Details.self, Tag.self, Label.self, Rename.self, Remove.self, Check.self], defaultSubcommand: List.self)
}

extension Runs {
  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the runs of a trace.")

    @Argument(help: "Trace file, or a run of it (default: the default trace).") var trace: String?
    @OptionGroup var traces: TraceOptions
    @Flag(help: "Print the result as JSON.") var json = false

    func run() throws {
      let reference = try traces.reference(orDefault: trace)
      let file = reference.file
      let reader = try TraceReader(file: file)
      let runs = reference.namesRun ? [try reader.run(reference.run)] : try reader.runs()
      if json {
        var writer = JSONWriter()
        writer.object { writer in
          writer.member("schema", "moetop.runs/1")
          writer.member("trace", file)
          writer.member("runs") { writer in writer.array { writer in for run in runs { Runs.write(run, to: &writer) } } }
        }
        StandardOutput.write(writer.text + "\n")
        return
      }
      let hasOthers = runs.contains { $0.description.origin.words != nil }
      var table = TextTable(
        [
          .right("id"), .left("when"), .left("name"), .left("model"), .left("quant"), .left("input"), .right("tokens"), .left("state"),
          .right("size"), .left("tags"), .left("rules"),
        ] + (hasOthers ? [.left("from")] : []))
      for run in runs.reversed() {
        let description = run.description
        table.rows.append(
          [
            "\(run.id)", Clock.minutes(description.startedAt), run.name, description.model.name, description.model.quantization,
            description.input.source, Show.grouped(run.tokenCount), run.state.name, Show.bytes(run.storedBytes),
            description.tags.joined(separator: ","), description.intervention ?? "",
          ] + (hasOthers ? [description.origin.words ?? ""] : []))
      }
      StandardOutput.say(table.text + "\(runs.count) run\(runs.count == 1 ? "" : "s") in \(Show.line(file))\n")
      for run in runs {
        for failed in run.failedChecks {
          StandardError.write("warning: run \(run.id): capture check \(failed.name) failed: \(Show.line(failed.detail))\n")
        }
      }
    }
  }

  struct Details: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show everything known about a run.")

    @Argument(help: ArgumentHelp("Run: FILE.db#12, 12, a name, or latest.", valueName: "run")) var trace = "latest"
    @OptionGroup var traces: TraceOptions
    @Flag(help: "Print the result as JSON.") var json = false

    func run() throws {
      let (reader, summary) = try TraceReader.open(traces.reference(trace))
      if json {
        var writer = JSONWriter()
        Runs.write(summary, to: &writer)
        StandardOutput.write(writer.text + "\n")
      } else {
        StandardOutput.say(RunDetails(summary, footprint: try reader.footprint(of: summary), file: reader.file).text)
      }
    }
  }

  struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Replace the tags of a run.")

    @Argument(help: ArgumentHelp("Run: FILE.db#12, 12, a name, or latest.", valueName: "run")) var trace: String
    @Argument(help: "Tags; none removes all.") var tags: [String] = []
    @OptionGroup var traces: TraceOptions

    func run() throws {
      let reference = try traces.reference(trace)
      try TraceEditor(file: reference.file).setTags(tags, of: reference.run)
    }
  }

  struct Label: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Say what an expert of a run is called; without words its name is taken away.")

    @Argument(help: ArgumentHelp("Run: FILE.db#12, 12, a name, or latest.", valueName: "run")) var trace: String
    @Argument(help: ArgumentHelp("Router and expert, for instance ffn.3:12, or 3:12.", valueName: "layer:expert")) var expert: String
    @Argument(help: "What it is called.") var words: [String] = []
    @OptionGroup var traces: TraceOptions

    func run() throws {
      let parts = expert.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, parts[1].wholeMatch(of: /[0-9]{1,9}/) != nil, let number = Int(parts[1]),
        let router = RouterID(path: parts[0].wholeMatch(of: /[0-9]{1,6}/) != nil ? "ffn.\(parts[0])" : parts[0])
      else { throw ValidationError("\(expert): expected a layer and an expert, such as 3:12 or enc.3:12") }
      let reference = try traces.reference(trace)
      let editor = try TraceEditor(file: reference.file)
      try editor.setLabel(words.joined(separator: " "), ofExpert: number, at: router, of: reference.run)
      try editor.close()
    }
  }

  struct Rename: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Give a run another name.")

    @Argument(help: ArgumentHelp("Run: FILE.db#12, 12, a name, or latest.", valueName: "run")) var trace: String
    @Argument(help: "New name.") var name: String
    @OptionGroup var traces: TraceOptions

    func run() throws {
      let reference = try traces.reference(trace)
      try TraceEditor(file: reference.file).rename(reference.run, to: name)
    }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Delete a run.")

    @Argument(help: ArgumentHelp("Run; must be named: FILE.db#12, 12, or a name.", valueName: "run")) var trace: String
    @OptionGroup var traces: TraceOptions
    @Flag(help: "Do not ask.") var yes = false

    func run() throws {
      let reference = try traces.reference(trace)
      guard reference.namesRun else { throw ValidationError("name the run to delete: \(trace)#ID") }
      let summary = try TraceReader.open(reference).run
      if !yes {
        guard StandardInput.isTerminal else { throw ValidationError("deleting asks on a terminal; give --yes to do it without") }
        StandardError.write("delete run \(summary.id) \"\(Show.line(summary.name))\", \(summary.tokenCount) tokens? [y/N] ")
        guard readLine()?.lowercased() == "y" else { throw Failure(.failed, "nothing was deleted") }
      }
      try TraceEditor(file: reference.file).delete(.id(summary.id))
    }
  }

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Look at every byte of a trace.")

    @Argument(help: "Trace, or a run of it (default: the default trace).") var trace: String?
    @OptionGroup var traces: TraceOptions

    func run() throws {
      let reference = try traces.reference(orDefault: trace)
      let reader = try TraceReader(file: reference.file)
      let only = reference.namesRun ? try reader.run(reference.run).id : nil
      let findings = try reader.checkIntegrity(run: only)
      let runs = try reader.runs().filter { only == nil || $0.id == only }
      for run in runs {
        let checks = run.checks.filter { $0.outcome != .notApplicable }.map { "\($0.name) \($0.outcome.rawValue)" }
        StandardOutput.say(
          "run \(run.id)  \(Show.grouped(run.tokenCount)) tokens  \(run.state.name)  \(checks.joined(separator: ", "))\n")
        let unsealed = try reader.pagesWithoutChecksum(run: run.id)
        if unsealed > 0 {
          StandardOutput.say(
            "run \(run.id)  \(Show.grouped(unsealed)) pages without a checksum, from an older moetop: shape, ranges and totals were checked\n"
          )
        }
      }
      if !findings.isEmpty { throw Failure(.damaged, findings.map(\.description).joined(separator: "\n  ")) }
      if let failed = runs.flatMap(\.failedChecks).first { throw Failure(.failed, "capture check \(failed.name): \(failed.detail)") }
      StandardOutput.say("integrity ok\n")
    }
  }

  /// Null for a hash that is not known.
  private static func known(_ hash: String) -> String? { hash.isEmpty ? nil : hash }

  /// One run as JSON; the same object in `list` and `show`.
  static func write(_ run: RunSummary, to writer: inout JSONWriter) {
    let description = run.description
    writer.object { writer in
      writer.member("id", run.id)
      writer.member("name", run.name)
      writer.member("state", run.state.name)
      writer.member("started_at", description.startedAt)
      writer.member("ended_at", run.endedAt)
      writer.member("model", description.model.name)
      writer.member("family", description.model.family)
      writer.member("model_hash", Self.known(description.model.filesHash))
      writer.member("quantization", description.model.quantization)
      writer.member("router_precision", description.model.routerPrecision)
      writer.member("tokenizer_hash", Self.known(description.model.tokenizerHash))
      writer.member("input", description.input.source)
      if let bos = description.input.bos { writer.member("bos", bos) }
      writer.member("input_hash", Self.known(description.input.hash))
      writer.member("record", description.recording.description)
      writer.member("sampling", description.sampling)
      if let rules = description.intervention { writer.member("intervention", rules) }
      if let parent = description.parent { writer.member("parent", Int(parent)) }
      if let series = description.series { writer.member("series", series) }
      if let recorded = description.recorded {
        writer.member("kind", recorded.kind.rawValue)
        if let source = recorded.source { writer.member("origin", source) }
        if recorded.withoutIDs == true { writer.member("without_ids", true) }
      }
      writer.member("engine", description.engine.version)
      writer.member("simd", description.engine.simd)
      writer.member("threads", description.engine.threads)
      if let reproducible = description.engine.reproducible { writer.member("reproducible", reproducible) }
      if let routingOnly = description.engine.routingOnly { writer.member("routing_only", routingOnly) }
      writer.member("sequences", run.sequenceCount)
      writer.member("tokens", run.tokenCount)
      writer.member("stored_bytes", run.storedBytes)
      writer.member("tags", description.tags)
      writer.member("kind", description.origin.kind.rawValue)
      writer.member("row", description.origin.row.rawValue)
      if let format = description.origin.format { writer.member("source_format", format) }
      if let source = description.origin.source { writer.member("origin", source) }
      writer.routers(description.routers)
      writer.checks(run.checks)
    }
  }
}
