import Analysis
import ArgumentParser
import Formats
import Foundation
import Routing
import Store

/// What an answer is made of, for parts of a corpus on many machines.
struct Fold: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fold a run into a part that analyze adds up with others.",
    discussion: """
      moetop fold rank0.db --metric load_cv,uncertain --threshold 0.92 -o rank0.part
      moetop fold rank1.db --metric load_cv,uncertain --threshold 0.92 -o rank1.part
      moetop analyze rank0.part rank1.part

      A part is a safetensors file: counts and sums by layer, expert and sequence, without the decisions themselves. Analyzing parts gives \
      the numbers of one process over one trace of all of them: counts and p are the same to the last bit, whatever the order of the parts.
      """)

  @Argument(help: "Run: FILE.db, FILE.db#12, 12, a name, or latest.") var trace = "latest"
  @OptionGroup var question: AnalysisQuestion
  @Option(name: .shortAndLong, help: ArgumentHelp("The part.", valueName: "file")) var output: String
  @Flag(name: .shortAndLong, help: "Print nothing but errors.") var quiet = false
  @OptionGroup var traces: TraceOptions

  func run() throws {
    let (reader, run) = try TraceReader.open(traces.reference(trace))
    let sequences = try reader.sequences(run: run.id)
    if run.description.recording.content == .counts {
      throw Failure(
        .usage, "fold: \(run.description.name) keeps counts only, and no decisions\n  try: moetop analyze \(trace)")
    }
    var plan = try question.plan(for: run, in: reader, sequences: sequences, null: NullSettings())
    plan.intervals = true
    // A quantile is known when all parts are, and no decision is judged by it before: then there are no intervals either.
    if (try? RunAnalysis.requireParts(plan)) == nil { plan.intervals = false }
    try RunAnalysis.requireParts(plan)
    var analysis = try RunAnalysis(plan)
    try reader.passes(of: run, withLogits: plan.needsLogits).forEach { analysis.add($0) }
    var part = PartFile(path: output, header: try header(run, plan, reader), columns: analysis.columns())
    if plan.grouping.facet?.isOfTokenIDs == true {
      let words = plan.words
      part.keep(try reader.pieces(run: run.id).keys.reduce(into: [:]) { $0[$1] = words($1) })
    }
    try part.write()
    for failed in run.failedChecks { StandardError.write("warning: capture check \(failed.name) failed: \(Show.line(failed.detail))\n") }
    guard !quiet else { return }
    let bytes = (try? FileManager.default.attributesOfItem(atPath: output)[.size] as? Int) ?? 0
    StandardOutput.write(
      "\(output)  \(Show.bytes(bytes)): \(Show.counted(run.tokenCount, run.description.origin.row.rawValue)), "
        + "\(Show.counted(sequences.count, "sequence")), \(plan.metrics.map(\.rawValue).joined(separator: ","))"
        + (plan.intervals ? "" : ", without intervals") + "\nnext  moetop analyze \(output) PART…\n")
  }

  private func header(_ run: RunSummary, _ plan: AnalysisPlan, _ reader: TraceReader) throws -> PartHeader {
    var asked = question.asked
    asked.metrics = plan.metrics.map(\.rawValue)
    var values: [String]?
    if case .tokenLabel(let key) = plan.grouping.facet { values = plan.tokenLabels[key] ?? [] }
    let first = try reader.tokens(run: run.id, in: 0..<min(run.tokenCount, 1))
    return PartHeader(
      asked: asked, hasIntervals: plan.intervals, run: run.description, number: run.id,
      rank: first.facts?.rank?.first.flatMap { $0 < 0 ? nil : $0 }, rows: run.tokenCount, sequences: plan.sequences, values: values,
      routedRows: plan.routedRows.map { rows in plan.routers.map { rows[$0.id] ?? 0 } })
  }
}
