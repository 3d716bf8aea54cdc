import Analysis
import ArgumentParser
import Foundation
import Routing
import Store

/// Two runs on the same tokens, or a series of runs against one.
struct Compare: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare runs on the same tokens: experts in common, flips, distances, loss.",
    discussion: """
      moetop compare full.db quantised.db
      moetop compare checkpoints.db#last checkpoints.db#step1000 checkpoints.db#step2000 --json
      moetop compare a.db b.db --match behaviour --fail-if 'set_agreement<0.9'
      moetop compare a.db b.db --filter 'domain=code margin<0.01'

      The first run is the reference of all others. Texts pair by order and equal ids; where ids part, what follows is not compared.
      A filter chooses decisions of the first run, and tokens, which are the same in all. moetop docs contracts explains every number.
      """)

  @Argument(help: "Runs: FILE.db, FILE.db#12, 12, a name, or latest; the first is the reference.") var runs: [String]
  @Option(help: ArgumentHelp("Count flips of a larger margin, in the unit of A's selection scores.", valueName: "margin")) var margin = 1e-3
  @Option(help: "index, or behaviour: match experts one to one on half the texts, count on the others.") var match =
    ComparisonPlan.Matching.index
  @Option(help: ArgumentHelp("Layers of A and B that stand side by side, for instance 3=4,5-7=8-10.", valueName: "pairs"))
  var layers: String?
  @OptionGroup var chosen: FilterOptions
  @Option(help: "Branch of denoising runs: 0 conditional, 1 unconditional.") var branch = 0
  @Option(help: "Flips that the table lists.") var top = 20
  @Option(
    help: ArgumentHelp(
      "Exit with 2 when true, for instance 'set_agreement<0.99'; with 1 when the number is not there.", valueName: "condition"))
  var failIf: [String] = []
  @OptionGroup var output: FormatOptions
  @OptionGroup var traces: TraceOptions

  func validate() throws {
    if runs.count < 2 { throw ValidationError("compare needs two runs or more: a reference and what stands beside it") }
    if top < 1 { throw ValidationError("--top \(top): expected 1 or more") }
  }

  func run() throws {
    let conditions = try failIf.map { try ComparisonCondition(parsing: $0) }
    let pairing = try layers.map { try RouterPairing(parsing: $0) }
    let beside = RunBeside.labelled(try runs.map { try RunBeside($0, traces: traces, branch: branch) })
    for warning in beside.flatMap(\.warnings) { StandardError.write("warning: \(warning)\n") }
    let reference = beside[0]
    let filter = try reference.resolved(chosen, branch: branch)
    let settings = RunsSideBySide.Settings(matching: match, margin: margin, pairing: pairing, filter: filter)
    let pairs = try beside.dropFirst().map { try RunsSideBySide(reference, $0, settings).compared() }
    let report = ComparisonReport(
      a: reference.facts, pairs: pairs,
      plan: ComparisonReport.Settings(
        margin: margin, matching: match, layers: layers, branch: reference.summary.description.denoising == nil ? nil : branch,
        filter: filter?.filter.text))
    switch output.chosen {
    case .json: StandardOutput.write(ComparisonJSON.text(report) + "\n")
    case .table:
      StandardOutput.write(heading(report))
      ReportOutput.write(report.tables(top: top, pieces: try reference.words()), width: Paragraph.outputColumns)
    case .csv: ReportOutput.csv(report.records())
    case .md: ReportOutput.markdown(report.tables(top: top, pieces: try reference.words()))
    }
    try judge(report, conditions)
  }

  /// Which runs these are, before the tables.
  private func heading(_ report: ComparisonReport) -> String {
    var table = TextTable([.left(""), .left("run"), .left("name"), .left("model"), .left("precision"), .right("rows"), .left("compared")])
    let (row, text) = (report.a.rowNoun, report.a.textNoun)
    table.columns[5].title = row + "s"
    let compared = report.pairs.map {
      "\(Show.counted(Int($0.row[.tokens] ?? 0), row)) of \(Show.counted(Int($0.row[.texts] ?? 0), text))"
    }
    let runs = zip([report.a] + report.pairs.map(\.b), ["the reference"] + compared)
    for (letter, (run, compared)) in zip(report.letters, runs) {
      let model = run.description.model
      table.rows.append([
        letter, run.label, run.description.name, model.name, model.quantization, Show.grouped(run.tokens), compared,
      ])
    }
    return table.text + "\n"
  }

  private func judge(_ report: ComparisonReport, _ conditions: [ComparisonCondition]) throws {
    let verdicts = conditions.map { $0.verdict(on: report) }
    for violation in verdicts.flatMap(\.violations) { StandardError.write(violation + "\n") }
    let faults = verdicts.compactMap(\.fault)
    if !faults.isEmpty { throw Failure(.failed, faults.joined(separator: "\n  ")) }
    if verdicts.contains(where: { !$0.violations.isEmpty }) { throw ResultDiffers() }
  }
}

extension ComparisonPlan.Matching: ExpressibleByArgument {}
