// What a finished run left in its trace file: place, size beside the floor, capture checks.

import Formats
import Routing
import Store

struct TraceSummary {
  let file: String
  let run: Int64
  let summary: RunSummary
  let footprint: TraceFootprint

  init(_ writer: TraceWriter) throws {
    let reader = try writer.reader()
    defer { reader.close() }
    file = reader.file
    run = writer.run
    summary = try reader.run(.id(writer.run))
    footprint = try reader.footprint(of: summary)
  }

  /// What the checks give to think about, and what is wrong with the trace.
  var warnings: [String] { summary.suspiciousChecks.map { "capture check \($0.name): \($0.detail)" } }

  var failedChecks: [String] { summary.failedChecks.map { "\($0.name): \($0.detail)" } }

  var sizeText: String { Show.bytes(summary.storedBytes) }

  var checksText: String {
    let held = summary.checks.filter { $0.outcome == .held }.count
    let (failed, suspicious) = (summary.failedChecks.count, summary.suspiciousChecks.count)
    let rest = summary.checks.count - held - failed - suspicious
    return "\(held) held, \(failed) failed" + (suspicious > 0 ? ", \(suspicious) suspicious" : "")
      + (rest > 0 ? ", \(rest) not applicable" : "")
  }

  /// For people: where the run lies, what its checks say, what to do next.
  var lines: [String] {
    let name = "\(file)#\(run)"
    return [
      "run \(run)    \(Show.line(name))  \(sizeText)", "checks   \(checksText)",
      "next     moetop analyze \(Show.line(Show.shell(name)))",
    ]
  }

  func write(to writer: inout JSONWriter) {
    writer.member("trace", file)
    writer.member("run", run)
    writer.member("stored_bytes", summary.storedBytes)
    writer.checks(summary.checks)
  }
}
