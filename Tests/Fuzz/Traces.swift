// What is done with a trace that may be damaged anywhere: it is opened, checked, read, analysed and exported through the library, as the
// commands do. The sound ones are recorded by the program from tiny models, or are dumps of schemas that were shipped once.

import Analysis
import Foundation
import GRDB
import Routing
import Store
import Support

enum Traces {
  /// Runs that are recorded for the purpose: the name, and what `moetop run` is given.
  static let recorded: [(name: String, arguments: [String])] = [
    ("texts", [models + "olmoe", "--tokens", models + "olmoe/input.json", "--record", "full"]),
    ("images", [fixtures + "dit/timm", "--images", "3", "--steps", "3"]),
  ]

  private static let fixtures = Fixtures.root + "/Tests/Fixtures/"
  private static let models = fixtures + "models/"

  /// Makes the sound trace of a subject at `path`.
  static func make(_ source: String, at path: String) throws {
    if source.hasSuffix(".sql") {
      let queue = try DatabaseQueue(path: path)
      try queue.inDatabase { try $0.execute(sql: String(contentsOfFile: source, encoding: .utf8)) }
      return try queue.close()
    }
    guard let run = recorded.first(where: { $0.name == source }) else { throw CocoaError(.fileNoSuchFile) }
    let result = try Binary.run(["run"] + run.arguments + ["--trace", path])
    guard result.status == 0 else { throw Failure(text: "moetop run: \(result.errors)") }
    // Runs of a series can be joined.
    let queue = try DatabaseQueue(path: path)
    try queue.inDatabase { try $0.execute(sql: "UPDATE run SET description = json_set(description, '$.series', 'job')") }
    try queue.close()
  }

  /// Everything a trace can be asked; what goes wrong is handed to `judge`, and the next thing is asked.
  ///
  /// - Parameter folder: takes what is made of it.
  static func examine(_ trace: TraceReader, in folder: TemporaryDirectory, _ judge: (any Error) -> Void) {
    func attempt(_ body: () throws -> Void) { do { try body() } catch { judge(error) } }
    attempt { _ = try trace.checkIntegrity().map(\.description) }
    attempt {
      for run in try trace.runs() {
        attempt { _ = try trace.footprint(of: run) }
        attempt { _ = try trace.pieces(run: run.id) }
        attempt { try analyse(run, of: trace) }
        guard run.description.recording.content > .counts else { continue }
        for format in [TraceExport.Format.csv, .jsonl] {
          attempt { try TraceExport(trace: trace, run: run).write(.routing, as: format, to: .stream { _ in }) }
        }
      }
    }
    attempt { try merge(trace, to: folder.file("copied.db")) { try $0.copy(to: $1, appending: false) } }
    attempt { try merge(trace, to: folder.file("joined.db")) { try $0.join(to: $1, appending: false) } }
    attempt { _ = try TraceQuery(trace: trace).all("SELECT count(*), sum(weight) FROM routing WHERE token < 50") }
  }

  /// What a merge makes of it is a trace that can be read.
  private static func merge(_ trace: TraceReader, to output: String, _ body: (inout TraceMerge, String) throws -> Void) throws {
    defer { for suffix in ["", "-wal", "-shm", "-journal"] { try? FileManager.default.removeItem(atPath: output + suffix) } }
    var merge = try TraceMerge([TraceReference(file: trace.file, namesRun: false)])
    do { try body(&merge, output) } catch MergeError.noSeries { return }
    let whole = try TraceReader(file: output)
    defer { whole.close() }
    _ = try whole.checkIntegrity()
  }

  private static func analyse(_ run: RunSummary, of trace: TraceReader) throws {
    let isDenoising = run.description.denoising != nil
    let plan = AnalysisPlan(
      metrics: try MetricKey.list(
        parsing: "load_cv,max_over_mean,idle,entropy,uncertain," + (isDenoising ? "dit-claims" : "repeat_first")),
      null: NullSettings(draws: 20, seed: 1), intervals: true, sequences: try trace.sequences(run: run.id),
      routers: run.description.routers, denoising: run.description.denoising,
      recording: run.description.recording)
    try plan.validate()
    var analysis = try RunAnalysis(plan)
    repeat {
      if analysis.needsPasses { try trace.passes(of: run, withLogits: false).forEach { analysis.add($0) } }
    } while analysis.beginNextRound()
    if let counts = try trace.denoisingCounts(of: run, branch: 0) { analysis.adopt(counts) }
    _ = try analysis.report().tables(width: 120)
  }
}
