import ArgumentParser
import Formats
import Store

/// A run as a file that other programs read.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a run's routing, loads or tokens as csv, jsonl, safetensors, npz or for a balancer of experts.",
    discussion: """
      moetop export corpus.db --what routing --format safetensors -o routing.safetensors
      moetop export corpus.db --format npz -o routing.npz
      moetop export latest --what load --format csv | head
      moetop export corpus.db --format eplb -o counts.json
      moetop export corpus.db --filter 'layer=3 expert=23' --format jsonl

      Tensors, columns and their order: moetop docs schema and moetop docs contracts.
      """)

  @Argument(help: "Run: FILE.db, FILE.db#12, 12, a name, or latest.") var trace = "latest"
  @Option(help: ArgumentHelp("routing, load or tokens (default: routing; of eplb load).", valueName: "what")) var what: TraceExport.Content?
  @Option(
    help: "csv, jsonl, safetensors or npz (of routing), eplb (expert counts for EPLB and SGLang, FILE.json or FILE.npy).")
  var format = TraceExport.Format.csv
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
    try export.write(
      what ?? (format == .eplb ? .load : .routing), as: format, to: output == "-" ? .stream { StandardOutput.write($0) } : .file(output))
    progress.finish()
    for failed in summary.failedChecks { StandardError.write("warning: capture check \(failed.name) failed: \(failed.detail)\n") }
  }
}

extension TraceExport.Content: ExpressibleByArgument {}
extension TraceExport.Format: ExpressibleByArgument {}
