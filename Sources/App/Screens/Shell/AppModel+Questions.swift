// What every screen asks of the model: what is open, which rows are shown, which one is looked at, and what things are called.

import Analysis
import Model
import Routing
import Store
import Terminal

extension AppModel {
  var isLive: Bool { if case .live = source { true } else { false } }
  var isTrace: Bool { if case .trace = source { true } else { false } }

  /// Rows that are shown: all, or those a replay has reached.
  var shownRows: Range<Int> {
    guard let buffer else { return 0..<0 }
    guard let playhead else { return buffer.rows }
    return buffer.first..<max(buffer.first, min(buffer.end, playhead))
  }

  /// The numbers of the tokens shown, `0-4095`: as SQL has them, so not grouped.
  var rowRange: String { "\(shownRows.lowerBound)-\(max(shownRows.lowerBound, shownRows.upperBound - 1))" }

  /// The token looked at.
  var row: Int? {
    let rows = shownRows
    guard !rows.isEmpty else { return nil }
    let row = selected.map { max(rows.lowerBound, min(rows.upperBound - 1, $0)) } ?? rows.upperBound - 1
    return rowOfPatch(row)
  }

  /// The rows the window metrics are about: the last ones up to the token looked at; of images the patches of the step.
  var windowRows: Range<Int> {
    if let look { return look.rows }
    guard let row, let buffer else { return 0..<0 }
    return max(buffer.first, window.map { row + 1 - $0 } ?? buffer.first)..<row + 1
  }

  /// Whether characters go into a line of text.
  var isTyping: Bool { if case .entry = overlay { true } else { false } }

  var routers: [RouterDescription] { buffer?.routers ?? [] }
  var spec: RouterSpec? { routers.indices.contains(router) ? routers[router].spec : nil }

  /// The key of an action, for a sentence: `space`, `O`; its command where it has none.
  func key(_ id: ActionID) -> String { actions[id].map { $0.keys.first?.name ?? ":" + $0.id.rawValue } ?? "" }

  /// The keys of an action and its counterpart, as the key bar has them: `←→`.
  func keys(_ id: ActionID) -> String { BarItem(id).keyLabel(actions, theme.glyphs) }

  /// The screen that is on.
  var room: any Screen.Type { screens.first { $0.id == screen } ?? LiveScreen.self }

  /// The panel that has the keys.
  var focused: PanelID {
    let panels = room.panels(in: self)
    return focus[screen].flatMap { panels.contains($0) ? $0 : nil } ?? room.home(in: self)
  }

  /// Whether the number of a layer does not say which router is meant: an encoder beside a decoder, attention experts beside others.
  var hasSeveralStacks: Bool { buffer?.hasSeveralStacks ?? false }

  /// `L07`, with the stack in front where there are several: `enc L07`.
  func layerName(_ index: Int) -> String {
    guard routers.indices.contains(index) else { return "" }
    let id = routers[index].id
    let name = "L" + padded(id.layer.rawValue, 2)
    return hasSeveralStacks ? "\(id.lane) \(name)" : name
  }

  /// Columns of the longest name of a layer.
  var layerNameWidth: Int { routers.indices.map { layerName($0).count }.max() ?? 0 }

  /// The router looked at in a sentence or a title: `layer 7`, `enc layer 7`.
  var layerWords: String {
    guard routers.indices.contains(router) else { return "layer –" }
    let id = routers[router].id
    return (hasSeveralStacks ? "\(id.lane) " : "") + "layer \(id.layer)"
  }

  /// Routers by the numbers of their layers, `0-3,7`; where there are several stacks each with its own, `enc 1-3, dec 5`.
  func layerRanges(_ indices: [Int]) -> String {
    let ids = indices.filter(routers.indices.contains).map { routers[$0].id }
    guard hasSeveralStacks else { return LayerRanges.text(ids.map(\.layer.rawValue).sorted()) }
    let lanes = ids.map(\.lane).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    return lanes.map { lane in
      "\(lane) " + LayerRanges.text(ids.filter { $0.lane == lane }.map(\.layer.rawValue).sorted())
    }.joined(separator: ", ")
  }

  func expertName(_ index: Int) -> String {
    "e" + padded(index, (spec?.expertCount ?? 100) > 100 ? 3 : 2)
  }

  func padded(_ number: Int, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// What is said in place of an answer that needs to know which tokens are the same.
  static let withoutIDs = "This run keeps no token ids: nobody knows what its tokens are."

  /// A token as text that is safe to show.
  func text(_ token: Int32) -> String { theme.glyphs.printable.bytes(buffer?.bytes(token) ?? []) }
  func tokenText(_ row: Int) -> String {
    guard let buffer else { return "" }
    return buffer.place(row).map(patchName) ?? theme.glyphs.printable.bytes(buffer.bytes(ofRow: row))
  }

  /// A token as it is, for searching and for files.
  func plainText(_ row: Int) -> String {
    guard let buffer, buffer.rows.contains(row) else { return "" }
    return buffer.place(row).map(patchName) ?? String(decoding: buffer.bytes(ofRow: row), as: UTF8.self)
  }

  /// The threshold as a number, from the decisions of the whole run.
  var resolvedThreshold: ResolvedThreshold {
    if let known = knownThreshold, known.value.asked == threshold, known.end == buffer?.end { return known.value }
    return ResolvedThreshold(threshold, entropies: buffer?.pooledEntropy ?? Histogram())
  }

  /// A few tokens around a row, the row itself in brackets, of its own sequence only.
  func context(_ row: Int, width: Int) -> StyledText {
    guard let buffer, buffer.rows.contains(row) else { return "" }
    let center = "[\(tokenText(row))]"
    var left = ""
    var right = ""
    var room = width - Printable.width(of: center)
    var (before, after) = (row - 1, row + 1)
    var growsLeft = true
    var growsRight = true
    while growsLeft || growsRight {
      growsLeft = growsLeft && before >= buffer.first && buffer.sequence(before) == buffer.sequence(row)
      if growsLeft {
        let piece = tokenText(before)
        if Printable.width(of: piece) <= room, Printable.width(of: left + piece) <= width / 2 {
          left = piece + left
          room -= Printable.width(of: piece)
          before -= 1
        } else {
          growsLeft = false
        }
      }
      growsRight = growsRight && after < shownRows.upperBound && buffer.sequence(after) == buffer.sequence(row)
      if growsRight {
        let piece = tokenText(after)
        if Printable.width(of: piece) <= room {
          right += piece
          room -= Printable.width(of: piece)
          after += 1
        } else {
          growsRight = false
        }
      }
    }
    return StyledText(left, .dim) + StyledText(center, .strong) + StyledText(right, .dim)
  }

  /// Names of what is open, for the right end of the first line.
  var sourceName: StyledText {
    let rec = String(theme.glyphs.recording)
    let isNarrow = size.width < 100
    switch source {
    case .nothing: return StyledText("nothing open", .dim)
    case .opening(let name): return StyledText("opening \(name)", .dim)
    case .live(let summary):
      var text = StyledText(isNarrow ? "\(summary.modelName) " : "\(summary.modelName) \(summary.quantization)  ")
      switch recording {
      case .off: text += StyledText(isNarrow ? "no rec" : "not recorded", .dim)
      case .starting: text += StyledText(isNarrow ? "" : "starting to record", .dim)
      case .active(_, let run, _, _): text += StyledText(isNarrow ? "" : "run \(run) ") + StyledText("\(rec) rec", .error)
      case .failed: text += StyledText("not recorded!", .warning)
      }
      return text
    case .trace(let run, _, let isLoading):
      let state = (run.state == .completed ? "" : " \(run.state.name)") + (run.description.intervention == nil ? "" : " under rules")
      let name = isNarrow ? "" : "\(run.description.model.name) \(run.description.model.quantization)  "
      let loaded = (buffer?.end ?? 0) * 100 / max(1, run.tokenCount)
      return StyledText("\(name)run \(run.id)\(state)")
        + (isLoading ? StyledText(" loading \(loaded) %", .dim) : "")
    }
  }

  /// What a session that is cut short leaves behind, to be said after the reason; nothing of one that shows what was recorded before.
  var whatIsKept: String {
    guard isLive else { return "" }
    switch recording {
    case .active(let file, let run, _, _): return "; \(file)#\(run) is whole up to here"
    case .off: return "; nothing was recorded"
    case .starting: return "; what was recorded by then is kept"
    case .failed: return "; its recording had failed before"
    }
  }

  /// What the headless commands call this run.
  var runReference: String {
    switch source {
    case .trace(let run, let file, _): "\(file)#\(run.id)"
    case .live:
      if case .active(let file, let run, _, _) = recording { "\(file)#\(run)" } else { "RUN" }
    default: "RUN"
    }
  }
}
