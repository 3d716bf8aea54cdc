// What an import found, for people and as `moetop.import/1`: docs/contracts.md says what each key is.

import Formats
import Routing
import Store

struct ImportAnswer {
  let record: RecordImport
  /// Nil: nothing was written.
  let trace: TraceSummary?

  func json() throws -> String {
    var writer = JSONWriter()
    let unknown = try record.unknownRows()
    writer.object { writer in
      writer.member("schema", "moetop.import/1")
      writer.member("format", record.format.rawValue)
      if let trace { trace.write(to: &writer) } else { writer.member("run", nil as Int64?) }
      writer.member("rows", record.rowCount)
      if let tokens = record.countedTokens { writer.member("counted_tokens", tokens) }
      writer.member("sequences", record.sequences.count)
      writer.objects("routers", record.routers) { writer, router in
        writer.member("router", router.id.description)
        writer.member("experts", router.spec.expertCount)
        writer.member("top_k", router.slots)
        writer.member("rule", router.spec.rule.rawValue)
        writer.member("selection", router.spec.selectionName)
        writer.member("weight_kind", router.spec.weightKind.rawValue)
        if record.hasRows { writer.member("unknown_rows", unknown[router.id] ?? 0) }
      }
      writer.objects("audit", record.findings) { writer, finding in
        writer.member("code", finding.code.rawValue)
        writer.member("severity", finding.severity.rawValue)
        writer.member("router", finding.router?.description)
        writer.member("count", finding.count)
        writer.member("of", finding.of)
        writer.member("first", finding.first)
        writer.member("detail", finding.detail)
      }
    }
    return writer.text + "\n"
  }

  var text: String {
    var lines = ["format   \(record.format.rawValue)"]
    if record.hasRows {
      lines.append("rows     \(Show.count(record.rowCount)) of \(Show.counted(record.sequences.count, "sequence"))")
    } else {
      lines.append(
        "counts   of \(record.countedTokens.map { Show.counted($0, "token") } ?? "an unknown number of tokens"); no row is known")
    }
    lines.append("routers  \(routers)")
    if let trace { lines += trace.lines }
    var words = "\n"
    for severity in ImportFinding.Severity.allCases {
      for group in groups(of: severity) { words += Paragraph.wrapped(group, width: Paragraph.outputColumns) }
    }
    return lines.joined(separator: "\n") + "\n" + words
  }

  private var routers: String {
    guard let first = record.routers.first else { return "none" }
    let ids = record.routers.map(\.id.description)
    let shown = ids.count > 4 ? "\(ids[0]) to \(ids[ids.count - 1])" : ids.joined(separator: ", ")
    return "\(record.routers.count): \(shown); \(first.spec.summary)"
  }

  private func groups(of severity: ImportFinding.Severity) -> [String] {
    ImportFindingGroup.groups(record.findings.filter { $0.severity == severity }).map { group in
      "\(severity.rawValue)  \(group.code.rawValue)\(group.place)\(severity == .note ? "" : ", " + group.size): \(group.detail)"
    }
  }
}
