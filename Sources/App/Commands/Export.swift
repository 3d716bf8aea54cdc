import ArgumentParser
import Formats
import Store

/// A run as a file that other programs read.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a run's routing, loads or tokens as csv, jsonl or safetensors.",
    discussion: """
      moetop export corpus.db --what routing --format safetensors -o routing.safetensors
      moetop export latest --what load --format csv | head
      moetop export corpus.db --filter 'layer=3 expert=23' --format jsonl

      Tensors, columns and their order: moetop docs schema and moetop docs contracts.
      """)

  @Argument(help: "Run: FILE.db, FILE.db#12, 12, a name, or latest.") var trace = "latest"
  @Option(help: "routing, load or tokens.") var what = TraceExport.Content.routing
  @Option(help: "csv, jsonl or safetensors.") var format = TraceExport.Format.csv
  @OptionGroup var chosen: FilterOptions
  @Option(name: .shortAndLong, help: ArgumentHelp("Output file; - is standard output (default).", valueName: "file")) var output = "-"
  @Flag(help: "No progress line.") var noProgress = false
  @OptionGroup var traces: TraceOptions

  func run() throws {
    let (reader, summary) = try TraceReader.open(traces.reference(trace))
    if output != "-" { try OutputFile.check(output, reading: TraceLocation.files(of: reader.file)) }
    let filter = try chosen.resolved(for: summary, in: reader, sequences: try reader.sequences(run: summary.id))
    var export = TraceExport(trace: reader, run: summary, filter: filter)
    var progress = Progress("exporting", enabled: !noProgress && output != "-")
    export.progress = { progress.update(done: Int($0 * 100), of: 100, unit: "%") }
    try export.write(what, as: format, to: output == "-" ? .stream { StandardOutput.write($0) } : .file(output))
    progress.finish()
    for failed in summary.failedChecks { StandardError.write("warning: capture check \(failed.name) failed: \(failed.detail)\n") }
  }
}

extension TraceExport.Content: ExpressibleByArgument {}
extension TraceExport.Format: ExpressibleByArgument {}
