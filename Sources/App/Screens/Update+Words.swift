// Actions that carry words: prompts, searches, filters, names of files, tags; and what is remembered about them.

import Analysis
import Foundation
import Model
import Routing
import Terminal

extension AppModel {
  // MARK: - Prompts

  mutating func generate(_ text: String) -> [Effect] {
    isPaused = false
    (selected, screen) = (nil, .live)
    let request = GenerationRequest(
      description: SequenceDescription(name: "prompt"), text: text, promptLimit: nil, maxTokens: 512, sampling: sampling)
    return [.engine(.cancel), .engine(.resume), .engine(.generate(request))]
  }

  // MARK: - Finding

  mutating func search(_ text: String) -> [Effect] {
    find = text
    return findAgain(forward: true)
  }

  mutating func findAgain(forward: Bool) -> [Effect] {
    guard !find.isEmpty else { return missing("a text to find: / asks for it") }
    if screen == .runs { return findRun(forward: forward) }
    if let wanted = expertNumber(find) {
      turn(toExpert: wanted)
      return []
    }
    if layout != nil { return find(inImages: find) }
    let rows = shownRows
    guard let row else { return [] }
    let order =
      forward
      ? Array(row + 1..<max(row + 1, rows.upperBound)) + Array(rows.lowerBound...row)
      : Array((rows.lowerBound..<row).reversed()) + Array((row..<rows.upperBound).reversed())
    guard let found = order.first(where: { matches($0) }) else {
      say("no token contains \"\(find)\"", .warning)
      return []
    }
    look(at: found)
    say("token \(found) \"\(tokenText(found))\"")
    return []
  }

  /// `e12` and `expert 12` name an expert.
  private func expertNumber(_ text: String) -> Int? {
    if text.hasPrefix("expert ") { return Int(text.dropFirst(7)) }
    return text.count > 1 && text.hasPrefix("e") ? Int(text.dropFirst()) : nil
  }

  func matches(_ row: Int) -> Bool {
    !find.isEmpty && plainText(row).localizedCaseInsensitiveContains(find)
  }

  private mutating func findRun(forward: Bool) -> [Effect] {
    let count = runs.runs.count
    let start = runs.list.selected
    for offset in 1...max(1, count) where count > 0 {
      let place = ((start + (forward ? offset : -offset)) % count + count) % count
      let run = runs.runs[place]
      let words =
        "\(run.id) \(run.name) \(run.description.model.name) \(run.description.input.source) \(run.description.tags.joined(separator: " "))"
      if words.localizedCaseInsensitiveContains(find) {
        runs.list.selected = place
        return []
      }
    }
    say("no run mentions \"\(find)\"", .warning)
    return []
  }

  /// The next token over the threshold at one layer or more, round the end.
  mutating func nextUncertain() -> [Effect] {
    guard let buffer, let row else { return [] }
    let threshold = resolvedThreshold
    let rows = shownRows
    let order = Array(row + 1..<max(row + 1, rows.upperBound)) + Array(rows.lowerBound...row)
    let branch = shownBranch
    let admits = admits
    guard
      let found = order.first(where: {
        (buffer.place($0)?.branch ?? branch) == branch && layersOver($0, threshold, buffer) > 0 && admits($0)
      })
    else {
      say("no \(layout == nil ? "token" : "patch") is over the threshold", .warning)
      return []
    }
    look(at: found)
    return []
  }

  func layersOver(_ row: Int, _ threshold: ResolvedThreshold, _ buffer: RoutingBuffer) -> Int {
    routers.indices.count {
      threshold.isUncertain(nats: buffer.entropyNats(row, router: $0), normalized: buffer.entropy(row, router: $0))
    }
  }

  // MARK: - Out of the program

  mutating func copyRow() -> [Effect] {
    let table = exported()
    let text = screen == .runs || table.selected == nil ? statusText : table.rows[table.selected ?? 0].joined(separator: "\t")
    return [.copy(text)]
  }

  mutating func save(_ path: String) -> [Effect] {
    guard let content = exported().rendered(as: path, model: self) else { return missing("a name that ends in .csv, .json, .txt or .svg") }
    return [.write(content, path: path)]
  }

  // MARK: - Runs

  mutating func setTags(_ text: String) -> [Effect] {
    guard runs.runs.indices.contains(runs.list.selected) else { return [] }
    let tags = text.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init)
    return [.setTags(tags, file: runs.file, run: runs.runs[runs.list.selected].id)]
  }

  mutating func askDelete() -> [Effect] {
    guard runs.runs.indices.contains(runs.list.selected) else { return [] }
    let run = runs.runs[runs.list.selected]
    if case .active(let file, let id, _, _) = recording, file == runs.file, id == run.id {
      say("run \(id) is being recorded", .warning)
      return []
    }
    overlay = .confirm(
      question: "delete run \(run.id) \(run.name), \(Show.grouped(run.tokenCount)) tokens? y / n",
      .deleteRun(file: runs.file, run: run.id))
    return []
  }

  // MARK: - The log

  /// Remembers what was done, with the command that does the same without a screen.
  mutating func note(_ id: ActionID, _ argument: String) {
    if let twin = twin(id, argument) { record(LogLine(action: ActionTable.entry(id)?.help ?? id.rawValue, twin: twin)) }
  }

  mutating func record(_ line: LogLine) {
    if log.last?.twin == line.twin { return }
    log.append(line)
    if log.count > 500 { log.removeFirst(100) }
  }

  /// The command that does the same without a screen; nil for what only a screen does.
  func twin(_ id: ActionID, _ argument: String = "") -> String? {
    let run = runReference
    let layer = spec == nil ? "" : " --layer \(routers[router].id.layer.rawValue)"
    switch id {
    case .screenLive, .metric: return isTrace || isLive ? "moetop analyze \(run) --metric \(metricCommand) --by expert" : nil
    case .screenUncertainty: return "moetop analyze \(run) --metric uncertain --by layer --threshold \(threshold)"
    case .threshold, .lower, .raise:
      return "moetop analyze \(run) --metric uncertain --threshold \(argument.isEmpty ? "\(threshold)" : argument)"
    case .screenToken: return "moetop analyze \(run) --metric uncertain --by token\(layer)"
    case .screenSpecialization:
      return "moetop analyze \(run) --metric specialization --by \((special.facet ?? facets.first)?.name ?? "domain")"
    case .axis:
      return special.facet.map { "moetop analyze \(run) --metric specialization --by \($0.name)" }
    case .nullTest: return "moetop analyze \(run) --metric specialization --by \(special.facet?.name ?? "domain") --null 1000"
    case .screenRuns: return "moetop runs list"
    case .open: return argument.isEmpty ? "moetop models" : "moetop ui \(argument)"
    case .prompt where !argument.isEmpty: return "moetop run \(modelPath ?? "MODEL") -p \(quoted(argument)) --temperature 0.8"
    case .imageClass where !argument.isEmpty:
      guard let found = classes(named: argument), found.count == 1, let name = images?.classNames[found[0]] else { return nil }
      let settings = layout.map { " --steps \($0.stepCount) --cfg \($0.guidanceScale)" } ?? ""
      return "moetop run \(modelPath ?? "MODEL") --class \(quoted(name)) --images 1 --seed \(nextSeed)\(settings)"
    case .read: return "moetop run \(modelPath ?? "MODEL") -f \(argument)"
    case .export where !argument.isEmpty:
      let shown: [Screen: ActionID] = [
        .live: .screenLive, .token: .screenToken, .uncertainty: .screenUncertainty, .specialization: .screenSpecialization,
      ]
      return shown[screen].flatMap { twin($0) }.map { $0 + " --format csv" } ?? "moetop runs list"
    case .tag where !argument.isEmpty: return "moetop runs tag \(argument)"
    case .delete where !argument.isEmpty: return "moetop runs rm \(argument)"
    default: return nil
    }
  }

  private var metricCommand: String {
    switch metric {
    case .load: "load"
    case .importance: "importance"
    case .entropy: "entropy"
    case .margin: "selection_margin"
    }
  }

  private func quoted(_ text: String) -> String { "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'" }
}
