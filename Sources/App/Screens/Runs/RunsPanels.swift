// The panels of Runs: the table, and what is known about the run selected.

import Analysis
import Routing
import Store
import Terminal

extension Painter {
  mutating func drawRuns() {
    let model = model
    let area = areas[.runs].map(Panel.inner) ?? .zero
    let bytes = model.runs.runs.reduce(0) { $0 + $1.storedBytes }
    let table = Table(
      columns: [
        TableColumn("id", width: .fixed(4), alignment: .right), TableColumn("when", width: .fixed(16)),
        TableColumn("model", width: .fixed(18)), TableColumn("tokens", width: .fixed(8), alignment: .right),
        TableColumn("input", width: .flex(14)), TableColumn("layers × exp.", width: .fixed(13)),
        TableColumn("size", width: .fixed(7), alignment: .right), TableColumn("state", width: .fixed(11)),
        TableColumn("tags", width: .fixed(12)),
      ], rowCount: model.runs.runs.count, state: model.runs.list,
      emptyText: StyledText(model.runs.problem == nil ? "nothing is recorded yet" : "")
    ) { row, column in
      let run = model.runs.runs[row]
      switch column {
      case 0: return StyledText("\(run.id)")
      case 1: return StyledText(Clock.minutes(run.description.startedAt))
      case 2:
        return StyledText(
          [run.description.model.name, run.description.origin.words.map { "(\($0))" } ?? ""].filter { !$0.isEmpty }.joined(separator: " "))
      case 3: return StyledText(Show.grouped(run.tokenCount))
      case 4: return StyledText(run.description.input.source)
      case 5: return StyledText(model.shape(run))
      case 6: return StyledText(Show.bytes(run.storedBytes))
      case 7: return StyledText(run.state.name, run.state == .completed ? .dim : .warning)
      default: return StyledText(run.description.tags.joined(separator: " "))
      }
    }
    panel(
      .runs, StyledText("Runs · \(model.runs.file)"),
      footer: StyledText("newest first · \(table.position(area)) · routing \(Show.bytes(bytes))")
    ) { painter, inner in
      if let problem = model.runs.problem {
        painter.explain(problem.replacing("\n", with: " "), in: inner)
      } else {
        table.draw(into: &painter.screen, inner, theme: painter.theme)
      }
    }
  }

  mutating func drawDetails() {
    let model = model
    guard let run = model.selectedRun else { return }
    let description = run.description
    panel(.details, StyledText("Run \(run.id) \(run.name)"), footer: StyledText("\(model.key(.enter)) opens it on all screens")) {
      painter, area in
      let parts = area.width >= 100 ? area.split(columns: [.flex(), .flex()], spacing: 1) : [area]
      var rows: [(String, StyledText)] = [
        ("model", StyledText("\(description.model.name)  \(Show.hash(description.model.filesHash))")),
        ("weights", StyledText("\(description.model.quantization), router \(description.model.routerPrecision)")),
      ]
      for policy in Set(description.routers.map(\.spec.summary)).sorted() { rows.append(("router", StyledText(policy))) }
      if let rules = description.intervention { rows.append(("rules", StyledText(rules, .warning))) }
      rows += [
        ("input", StyledText(description.input.source)),
        ("mode", StyledText(description.sampling.map { "generated, \($0)" } ?? "teacher-forced")),
        ("recorded", StyledText(description.recording.description)),
        (
          "engine",
          StyledText(
            "moetop \(description.engine.version), \(description.engine.simd), \(Show.counted(description.engine.threads, "thread"))")
        ),
        ("tokens", StyledText("\(Show.grouped(run.tokenCount)) in \(Show.counted(run.sequenceCount, "sequence"))")),
        (
          "routing",
          StyledText(run.tokenCount > 0 ? "\(Show.fixed(Double(run.storedBytes) / Double(run.tokenCount), 1)) B per token, packed" : "–")
        ),
        ("state", StyledText(run.note ?? run.state.name)),
      ]
      for check in run.failedChecks { rows.append(("failed check", StyledText("\(check.name): \(check.detail)", .error))) }
      for check in run.suspiciousChecks { rows.append(("to judge", StyledText("\(check.name): \(check.detail)", .warning))) }
      painter.facts(rows, in: parts[0].dropping(left: 1), label: 10)
      guard parts.count > 1 else { return }
      let reference = "\(model.runs.file)#\(run.id)"
      let lines = [
        "the same from the shell:", "", "  moetop ui \(reference)", "  moetop analyze \(reference)",
        "  moetop analyze \(reference) --metric specialization --by domain", "  moetop runs show \(reference)",
        "  moetop sql \(reference) \"select * from runs\"", "", "A trace is plain SQLite; moetop schema prints its views.",
      ]
      for (index, text) in lines.enumerated() { painter.line(index, StyledText(text, index == 0 || index > 7 ? .dim : nil), in: parts[1]) }
    }
  }
}
