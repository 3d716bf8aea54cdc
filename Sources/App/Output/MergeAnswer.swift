// What a merge made, for people and as `moetop.merge/1`: docs/contracts.md says what each key is.

import Formats
import Store

struct MergeAnswer {
  let file: String
  /// Runs of the output, with what they were made of.
  let runs: [(merged: MergedRun, summary: RunSummary)]
  let notes: [String]

  init(file: String, runs: [(MergedRun, RunSummary)], notes: [String]) {
    (self.file, self.notes) = (file, notes)
    self.runs = runs.map { (merged: $0.0, summary: $0.1) }
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.merge/1")
      writer.member("trace", file)
      writer.objects("runs", runs) { writer, run in
        writer.member("run", run.merged.id)
        writer.member("name", run.summary.name)
        writer.member("kind", run.summary.description.origin.kind.rawValue)
        writer.member("origin", run.summary.description.origin.source)
        writer.member("parts", run.merged.parts.map(\.label))
        writer.member("parent", run.summary.description.parent)
        writer.member("series", run.summary.description.series)
        writer.member("state", run.summary.state.name)
        writer.member("tokens", run.summary.tokenCount)
        writer.member("sequences", run.summary.sequenceCount)
        writer.checks(run.summary.checks)
      }
      writer.member("notes", notes)
    }
    return writer.text + "\n"
  }

  var text: String {
    var table = TextTable([.right("id"), .left("name"), .left("of"), .right("tokens"), .right("sequences"), .left("state")])
    for run in runs {
      let parts = run.merged.parts.map(\.label)
      table.rows.append([
        "\(run.merged.id)", run.summary.name, parts.count > 3 ? "\(parts[0]) and \(parts.count - 1) more" : parts.joined(separator: " "),
        Show.grouped(run.summary.tokenCount), Show.grouped(run.summary.sequenceCount), run.summary.state.name,
      ])
    }
    return table.text + "\(runs.count) run\(runs.count == 1 ? "" : "s") more in \(Show.line(file))\n"
  }
}
