import ArgumentParser
import Formats
import Store

/// Runs of several traces in one.
struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy runs of traces into one trace, or join runs of a series.",
    discussion: """
      moetop merge rank0.db rank1.db -o all.db
      moetop merge corpus.db#baseline other.db#3 -o all.db --append
      moetop merge rank*.db -o job.db --one

      Runs are copied as they are, under new ids; `origin` of each says FILE#RUN. With --one the runs of a series become one run, its \
      sequences by rank and number. A merge that is stopped keeps every whole run.
      """)

  @Argument(help: ArgumentHelp("Traces, or single runs of them: FILE.db, FILE.db#12.", valueName: "file")) var files: [String]
  @Option(name: .shortAndLong, help: ArgumentHelp("Trace that the runs go to.", valueName: "file")) var output: String
  @Flag(help: "Make one run of the runs of each series.") var one = false
  @Flag(help: "Add to a trace that is there already.") var append = false
  @Flag(help: "Print the result as JSON.") var json = false
  @Flag(name: .shortAndLong, help: "Print nothing but errors.") var quiet = false
  @Flag(help: "No progress line.") var noProgress = false
  @OptionGroup(title: "Traces") var traces: TraceOptions

  func validate() throws {
    if files.isEmpty { throw ValidationError("expected one FILE or more, found none") }
  }

  func run() throws {
    Interruption.listen()
    var merge = try TraceMerge(try files.map { try traces.reference($0) })
    var progress = Progress(one ? "joining" : "copying", enabled: !noProgress && !quiet)
    defer { progress.finish() }
    merge.isStopped = { Interruption.signal != nil }
    merge.progress = { progress.update(done: $0, of: $1, unit: one ? "rows" : "bytes") }
    do {
      if one { try merge.join(to: output, appending: append) } else { try merge.copy(to: output, appending: append) }
    } catch {
      progress.finish()
      throw Self.failure(error, after: merge, output)
    }
    progress.finish()
    let reader = try TraceReader(file: output)
    let runs = try merge.done.map { ($0, try reader.run(.id($0.id))) }
    if !quiet {
      for note in merge.notes { StandardError.write("note: \(Show.line(note))\n") }
      for failed in runs.flatMap({ run in run.1.failedChecks.map { (run.0.id, $0) } }) {
        StandardError.write("warning: run \(failed.0): capture check \(failed.1.name) failed: \(Show.line(failed.1.detail))\n")
      }
      for run in runs.compactMap({ run in run.1.note.map { (run.0.id, $0) } }) {
        StandardError.write("warning: run \(run.0): \(Show.line(run.1))\n")
      }
      let answer = MergeAnswer(file: output, runs: runs, notes: merge.notes)
      StandardOutput.write(json ? answer.json : answer.text)
    }
  }

  /// What stopped a merge, and what is in the output all the same.
  private static func failure(_ error: any Error, after merge: TraceMerge, _ output: String) -> any Error {
    var status = Failure.status(of: error) ?? .failed
    if case .stopped? = error as? MergeError { status = Interruption.status ?? .interrupted }
    let kept = Set(merge.done.flatMap(\.parts).map(\.label))
    if kept.isEmpty { return Failure(status, Failure.message(of: error) + (status.isSignal ? "; nothing was copied" : "")) }
    let left = merge.parts.map(\.label).filter { !kept.contains($0) }
    let names = left.prefix(8).joined(separator: " ") + (left.count > 8 ? " …" : "")
    return Failure(
      status,
      Failure.message(of: error) + "\n  \(kept.count) of \(merge.parts.count) runs are in \(output), each whole; not \(names)"
        + "\n  to go on: moetop merge \(names) -o \(output) --append")
  }
}

extension ExitStatus {
  fileprivate var isSignal: Bool { [.hangUp, .interrupted, .quit, .terminated].contains(self) }
}
