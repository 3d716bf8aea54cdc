// A run in words: provenance, size beside the floor, capture checks.

import Foundation
import Routing
import Store

struct RunDetails {
  private let run: RunSummary
  private let footprint: TraceFootprint
  private let file: String

  init(_ run: RunSummary, footprint: TraceFootprint, file: String) {
    self.run = run
    self.footprint = footprint
    self.file = file
  }

  var text: String {
    let description = run.description
    var table = TextTable([.left(""), .left("")])
    func row(_ name: String, _ value: String) { if !value.isEmpty { table.rows.append([name, value]) } }
    row("run", "\(file)#\(run.id)  \(run.name)")
    row("state", run.note ?? run.state.name)
    row("started", Clock.minutes(description.startedAt))
    if let words = description.origin.words {
      let rows = description.origin.row == .token ? "" : ", rows are \(description.origin.row.words)"
      row("from", "\(words)\(rows)\(description.origin.source.map { "  \($0)" } ?? "")")
      if description.origin.withoutIDs == true { row("ids", "left out: --no-ids") }
    }
    row(
      "model",
      description.model.name.isEmpty
        ? "" : "\(description.model.name)  \(description.model.family)  \(Show.hash(description.model.filesHash))")
    if description.origin.kind == .engine {
      row("weights", "\(description.model.quantization), router \(description.model.routerPrecision) with f32 arithmetic")
    }
    for policy in Set(description.routers.map(\.spec.summary)).sorted() { row("router", policy) }
    row("rules", description.intervention ?? "")
    if let batch = description.batch { row("batch", Show.counted(batch, "text")) }
    if description.origin.kind != .engine { row("kind", description.origin.kind.rawValue) }
    row("origin", description.origin.source ?? "")
    row("variant of", description.parent.map { "run \($0)" } ?? "")
    row("series", description.series ?? "")
    row("input", "\(description.input.source)  \(Show.hash(description.input.hash))")
    if description.origin.withoutIDs == true { row("token ids", "left out, and texts with them; the input is known by its hash") }
    row("bos", description.input.bos.map { "--bos \($0), whatever the tokenizer does" } ?? "")
    if description.origin.kind == .engine { rowsOfEngine(description, row) }
    row("recorded", description.recording.description)
    row("tokens", "\(Show.grouped(run.tokenCount)) in \(Show.counted(run.sequenceCount, "sequence"))")
    row(
      "routing",
      "\(Show.fixed(footprint.routingBytesPerToken, 1)) B per token, floor \(Show.fixed(footprint.floorBytesPerToken, 1)) "
        + "(x \(Show.fixed(footprint.overhead, 3)))")
    row("token table", "\(Show.fixed(footprint.tokenBytesPerToken, 1)) B per token")
    row("tags", description.tags.joined(separator: ", "))
    for check in run.checks { row("check", "\(check.name)  \(check.outcome.words)  \(check.detail)") }
    return table.text
  }

  private func rowsOfEngine(_ description: RunDescription, _ row: (String, String) -> Void) {
    row("mode", description.sampling.map { "generated, \($0)" } ?? "teacher-forced")
    row(
      "engine",
      "moetop \(description.engine.version), \(description.engine.simd), \(Show.counted(description.engine.threads, "thread"))"
        + (description.engine.reproducible == true ? ", --reproducible" : "")
        + (description.engine.routingOnly == true ? ", --routing-only" : ""))
  }
}

/// Times of day for people.
enum Clock {
  /// `2026-11-20 19:40`, local time.
  static func minutes(_ seconds: Double) -> String {
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min))"
  }
}
