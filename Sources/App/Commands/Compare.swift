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
    let reference = beside[0]
    let filter = try reference.resolved(chosen, branch: branch)
    let pairs = try beside.dropFirst().map { try compare(reference, $0, pairing, filter) }
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

  /// One pass through both runs, two where experts are matched first.
  private func compare(_ a: RunBeside, _ b: RunBeside, _ pairing: RouterPairing?, _ filter: ResolvedFilter?) throws -> ComparedPair {
    try a.check(beside: b)
    let alignment = TextAlignment(a.texts, b.texts, different: try a.idsOfOtherText(than: b))
    guard alignment.tokens > 0 else {
      throw Failure(.damaged, "\(b.facts.label) has no token in common with \(a.facts.label): \(a.whyNothing(in: b))")
    }
    let plan = ComparisonPlan(
      routers: try RouterPairing.pairs(a.summary.description.routers, b.summary.description.routers, by: pairing), matching: match,
      margin: margin, filter: filter)
    try plan.validate(texts: alignment.pairs.count)
    let hasLogits = [a, b].allSatisfy { $0.summary.description.recording.content == .full }
    var comparison = RunComparison(plan)
    repeat {
      let withLogits = hasLogits && !comparison.isMatching
      let walk = { (stretches: [AlignedStretch], body: (PairedRows) -> Void) in
        try Self.walk(
          stretches, a.window(Set(plan.routers.map(\.a.id)), withLogits), b.window(Set(plan.routers.map(\.b.id)), withLogits), body)
      }
      try walk(alignment.stretches) { comparison.add($0) }
      if !comparison.isMatching { try walk(alignment.turned) { comparison.addTurned($0) } }
    } while comparison.beginNextRound()
    let result = comparison.result()
    try result.requireSomethingPasses()
    guard result.hasDecisions else {
      throw Failure(
        .damaged, "\(a.facts.label) and \(b.facts.label) have no decision in common: at no row did both take an expert")
    }
    return ComparedPair(a: a.facts, b: b.facts, alignment: alignment, result: result)
  }

  /// Hands out the rows of `stretches`, cut where a pass of either run ends.
  private static func walk(
    _ stretches: [AlignedStretch], _ a: PassWindow, _ b: PassWindow, _ body: (PairedRows) -> Void
  ) throws {
    for stretch in stretches {
      var done = 0
      while done < stretch.count {
        let (rowA, rowB) = (stretch.rowA + done, stretch.rowB + done)
        let (passA, passB) = (try a.pass(at: rowA), try b.pass(at: rowB))
        let count = min(
          stretch.count - done, passA.tokens.firstToken + passA.tokens.count - rowA, passB.tokens.firstToken + passB.tokens.count - rowB)
        body(PairedRows(a: passA, b: passB, place: AlignedStretch(text: stretch.text, rowA: rowA, rowB: rowB, count: count)))
        done += count
      }
    }
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
