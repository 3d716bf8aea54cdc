// A routing table as people and as scripts read it. Both say of every number its unit, how many rows there are and what it is read beside.

import Analysis
import Formats
import Routing

/// The answer of `inspect --table`.
struct RouteTableAnswer {
  let table: RouteTable
  let system: TableSystem
  let path: String
  /// Whether the system was named, not recognised.
  let isNamed: Bool

  private var expertCount: Int { table.rows.map(\.expertCount).max() ?? 0 }

  private func name(_ expert: Int) -> String { table.expertNames.isEmpty ? "\(expert)" : table.expertNames[expert] }

  // MARK: Words

  func text(width: Int) -> String {
    var head = TextTable([.left(""), .left("")])
    head.rows = [
      ["system", "\(system.title), arXiv:\(system.paper)" + (isNamed ? "" : ", recognised")],
      ["rows", Show.grouped(table.rows.count) + ", by " + table.axes.joined(separator: " and ")], ["experts", experts],
      ["weights", weights],
    ]
    for fact in table.facts where fact.value != .words([]) {
      head.rows.append([fact.key.replacing("_", with: " "), shown(fact.value) + (fact.words.isEmpty ? "" : "  (\(fact.words))")])
    }
    let notes = table.notes.map { Paragraph.wrapped($0, width: width) }.joined()
    return head.text + "\n" + body.text + tree + (notes.isEmpty ? "" : "\n" + notes)
  }

  private var experts: String {
    let counts = Set(table.rows.map(\.expertCount)).sorted().map(String.init)
    let names = table.expertNames.enumerated().map { "\($0.offset) \($0.element)" }.joined(separator: ", ")
    return counts.joined(separator: " or ") + (names.isEmpty ? "" : ": \(names)")
  }

  private var weights: String {
    switch table.weightKind {
    case .probability: "probabilities; * first choice; read beside 1/E, the baseline; entropy in nats, and as a share of ln E"
    case .signed, .unnormalized: "signed, no probabilities; * first choice; read beside the row's mean, the baseline"
    case .none: "none, a rule; * the expert; baseline 1/E"
    }
  }

  private func shown(_ fact: RouteTable.Fact) -> String {
    switch fact {
    case .number(let value): value != 0 && abs(value) < 0.001 ? Show.error(Float(value)) : Show.fixed(value, 4)
    case .whole(let value): Show.grouped(value)
    case .flag(let value): value ? "yes" : "no"
    case .words(let words): words.joined(separator: "; ")
    case .missing: "–"
    }
  }

  /// Axes that a router's path has already are left out, and rows of a rule that differ in the layer alone stand together.
  private var body: TextTable {
    let shown = table.axes.indices.filter { !["layer", "level"].contains(table.axes[$0]) }
    let hasRange = table.rows.contains { $0.range != nil }
    let hasEntropy = table.weightKind == .probability
    var text = TextTable(
      [.left("router")] + shown.map { .left(table.axes[$0]) } + (0..<expertCount).map { .right(name($0)) } + [.right("first")]
        + (hasEntropy ? [.right("entropy"), .right("of ln E")] : []) + [.right("baseline")] + (hasRange ? [.right("range")] : []))
    for group in groups {
      let row = group[0]
      let routers = group.count == 1 ? "\(row.router)" : "\(row.router.lane).\(LayerRanges.text(group.map(\.router.layer.rawValue)))"
      var cells = [routers] + shown.map { word(row.coordinates[$0]) }
      cells += (0..<expertCount).map { $0 < row.expertCount ? cell($0, of: row) : "" }
      cells.append(name(row.chosen) + (row.isTied ? " (tied)" : ""))
      if hasEntropy { cells += [table.entropy(row), table.normalizedEntropy(row)].map { $0.map { Show.fixed($0, 3) } ?? "–" } }
      cells.append(Show.fixed(table.baseline(row), 3))
      if hasRange { cells.append(row.range.map { "\(Show.fixed($0.lowerBound, 3))-\(Show.fixed($0.upperBound, 3))" } ?? "") }
      text.rows.append(cells)
    }
    return text
  }

  /// Rows that are one line.
  private var groups: [[RouteTable.Row]] {
    guard table.weightKind == .none else { return table.rows.map { [$0] } }
    func key(_ row: RouteTable.Row) -> [String] {
      let words = row.coordinates.compactMap { if case .word(let word) = $0 { word } else { nil } }
      return words + [row.router.lane, "\(row.chosen)"]
    }
    var order: [[String]] = []
    var members: [[String]: [RouteTable.Row]] = [:]
    for row in table.rows {
      let key = key(row)
      if members[key] == nil { order.append(key) }
      members[key, default: []].append(row)
    }
    return order.map { members[$0] ?? [] }
  }

  private func cell(_ expert: Int, of row: RouteTable.Row) -> String {
    let mark = expert == row.chosen ? "*" : ""
    guard !row.weights.isEmpty else { return mark.isEmpty ? "·" : mark }
    let sign = table.weightKind == .signed && row.weights[expert] >= 0 ? "+" : ""
    return mark + sign + Show.fixed(row.weights[expert], 3)
  }

  private func word(_ coordinate: RouteTable.Coordinate) -> String {
    switch coordinate {
    case .word(let word): word
    case .number(let number): "\(number)"
    }
  }

  /// The tree of first choices, from the roots on.
  private var tree: String {
    guard !table.paths.isEmpty else { return "" }
    var text = "\ntree of first choices, its tasks with the probability of their path\n"
    func write(_ paths: [RouteTable.Path], level: Int) {
      let indent = String(repeating: "  ", count: level + 1)
      for path in paths where path.nodes.count == level {
        text += "\(indent)\(Show.line(path.task))  \(Show.fixed(path.probability, 3))\n"
      }
      let below = Dictionary(grouping: paths.filter { $0.nodes.count > level }) { $0.nodes[level] }
      for (node, paths) in below.sorted(by: { $0.key < $1.key }) {
        text += "\(indent)\(level).\(node)\n"
        write(paths, level: level + 1)
      }
    }
    write(table.paths, level: 0)
    return text
  }

  // MARK: Data

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.table/1")
      writer.member("settings") { writer in
        writer.object { writer in
          writer.member("file", path)
          writer.member("as", isNamed ? system.name : nil)
        }
      }
      writer.member("system", system.name)
      writer.member("paper", "arXiv:" + system.paper)
      writer.member("weight_kind", table.weightKind.rawValue)
      writer.member("unit", table.unit)
      writer.member("axes", table.axes)
      writer.member("experts", expertCount)
      if !table.expertNames.isEmpty { writer.member("expert_names", table.expertNames) }
      writer.member("row_count", table.rows.count)
      writer.member("facts") { writer in
        writer.object { writer in for fact in table.facts { Self.write(fact.key, fact.value, to: &writer) } }
      }
      writer.objects("decisions", table.rows) { decision($1, to: &$0) }
      writer.objects("rows", table.rows.flatMap { row in (0..<row.expertCount).map { (row, $0) } }) { cell($1.0, $1.1, to: &$0) }
      if !table.paths.isEmpty {
        writer.objects("paths", table.paths) { writer, path in
          writer.member("task", path.task)
          writer.member("nodes", path.nodes)
          writer.member("probability", path.probability)
        }
      }
      writer.member("notes", table.notes)
    }
    return writer.text + "\n"
  }

  private func place(_ row: RouteTable.Row, to writer: inout JSONWriter) {
    writer.member("router", row.router.description)
    for (axis, coordinate) in zip(table.axes, row.coordinates) {
      switch coordinate {
      case .word(let word): writer.member(axis, word)
      case .number(let number): writer.member(axis, number)
      }
    }
  }

  private func decision(_ row: RouteTable.Row, to writer: inout JSONWriter) {
    place(row, to: &writer)
    writer.member("chosen", row.chosen)
    writer.member("tied", row.isTied)
    writer.member("baseline", table.baseline(row))
    if table.weightKind == .probability {
      writer.member("entropy", table.entropy(row))
      writer.member("normalized_entropy", table.normalizedEntropy(row))
    }
    if let range = row.range {
      writer.member("smallest", range.lowerBound)
      writer.member("largest", range.upperBound)
    }
  }

  private func cell(_ row: RouteTable.Row, _ expert: Int, to writer: inout JSONWriter) {
    place(row, to: &writer)
    writer.member("expert", expert)
    if !table.expertNames.isEmpty { writer.member("expert_name", table.expertNames[expert]) }
    writer.member("weight", row.weights.isEmpty ? nil : row.weights[expert])
    writer.member("chosen", expert == row.chosen)
    writer.member("baseline", table.baseline(row))
  }

  private static func write(_ key: String, _ fact: RouteTable.Fact, to writer: inout JSONWriter) {
    switch fact {
    case .number(let value): writer.member(key, value)
    case .whole(let value): writer.member(key, value)
    case .flag(let value): writer.member(key, value)
    case .words(let words): writer.member(key, words)
    case .missing: writer.member(key) { $0.null() }
    }
  }
}
