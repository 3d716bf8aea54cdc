// Actions that carry words: prompts, searches, filters, names of files, tags; and what is remembered about them.

import Analysis
import Foundation
import Model
import Routing
import Terminal

extension AppModel {
  // MARK: - Prompts

  mutating func generate(_ text: String) -> [Effect] {
    (isPaused, selected) = (false, nil)
    let shown = go(.live)
    let request = GenerationRequest(
      description: SequenceDescription(name: "prompt"), text: text, promptLimit: nil, maxTokens: 512, sampling: sampling)
    return [.engine(.cancel), .engine(.resume), .engine(.generate(request))] + shown
  }

  // MARK: - Finding

  mutating func search(_ text: String) -> [Effect] {
    find = text
    return findAgain(forward: true)
  }

  mutating func findAgain(forward: Bool) -> [Effect] {
    guard !find.isEmpty else { return missing("a text to find: \(key(.find)) asks for it") }
    if let effects = room.find(find, forward: forward, in: &self) { return effects }
    if let wanted = Self.expertNumber(find) {
      turn(toExpert: wanted)
      return []
    }
    if let effects = kind.find(find, in: &self) { return effects }
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
  static func expertNumber(_ text: String) -> Int? {
    if text.hasPrefix("expert ") { return Int(text.dropFirst(7)) }
    return text.count > 1 && text.hasPrefix("e") ? Int(text.dropFirst()) : nil
  }

  func matches(_ row: Int) -> Bool {
    !find.isEmpty && plainText(row).localizedCaseInsensitiveContains(find)
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
      say("no \(kind.words.row) is over the threshold", .warning)
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
    let table = room.table(of: self)
    return [.copy(table.selected.map { table.rows[$0].joined(separator: "\t") } ?? statusText)]
  }

  mutating func save(_ path: String) -> [Effect] {
    guard let content = room.table(of: self).rendered(as: path, model: self) else {
      return missing("a name that ends in .csv, .json, .txt or .svg")
    }
    return [.write(content, path: path, replaces: false)]
  }

  // MARK: - The log

  /// Remembers what was done, with the command that does the same without a screen.
  mutating func note(_ id: ActionID, _ argument: String) {
    if let twin = twin(id, argument) { record(LogLine(action: actions[id]?.help ?? id.rawValue, twin: twin)) }
  }

  mutating func record(_ line: LogLine) {
    if log.last?.twin == line.twin { return }
    log.append(line)
    if log.count > 500 { log.removeFirst(100) }
  }

  /// The command that does the same without a screen; nil for what only a screen does.
  func twin(_ id: ActionID, _ argument: String = "") -> String? {
    if let shown = screens.first(where: { $0.id.action == id }) { return shown.twin(of: id, argument, in: self) }
    if let own = room.twin(of: id, argument, in: self) { return own }
    // What took its time may be done on another screen.
    if let owner = screens.first(where: { screen in screen.actions.contains { $0.id == id } }) {
      return owner.twin(of: id, argument, in: self)
    }
    switch id {
    case .threshold, .lower, .raise:
      let threshold = argument.isEmpty ? "\(threshold)" : argument
      return "moetop analyze \(runReference) --metric uncertain --threshold \(threshold)"
    case .open: return argument.isEmpty ? "moetop models" : "moetop ui \(argument)"
    case .prompt where !argument.isEmpty: return "moetop run \(modelPath ?? "MODEL") -p \(quoted(argument)) --temperature 0.8"
    case .imageClass where !argument.isEmpty:
      guard let found = classes(named: argument), found.count == 1, let name = images?.classNames[found[0]] else { return nil }
      let settings = layout.map { " --steps \($0.stepCount) --cfg \($0.guidanceScale)" } ?? ""
      return "moetop run \(modelPath ?? "MODEL") --class \(quoted(name)) --images 1 --seed \(nextSeed)\(settings)"
    case .read: return "moetop run \(modelPath ?? "MODEL") -f \(argument)"
    case .export where !argument.isEmpty: return room.twin(of: screen.action, "", in: self).map { $0 + " --format csv" }
    default: return nil
    }
  }

  func quoted(_ text: String) -> String { "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'" }
}
