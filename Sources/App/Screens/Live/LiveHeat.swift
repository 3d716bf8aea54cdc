// The heat map of Live and the strip of tokens below it: numbers of the window, the map, the words of the status line, the strip.

import Analysis
import Routing
import Terminal

extension AppModel {
  // MARK: - Numbers of the window

  /// Whether the window is the run as it grows.
  var windowIsTheRun: Bool { kind.hasNeighbours && window == nil && selected == nil && playhead == nil }

  /// What the experts of each router did over the window.
  func windowTallies() -> [RouterTally] {
    guard let buffer else { return [] }
    return windowIsTheRun || buffer.isCounted ? buffer.folds.total : buffer.tallies(windowRows, withImportance: metric == .importance)
  }

  /// What a router would do by chance that takes as many experts as the selected one; where rows take different numbers, as many as those of
  /// the window on average.
  var windowChance: Chance? {
    guard let spec else { return nil }
    if spec.fillsSlots != false { return Chance(experts: spec.expertCount, topK: spec.topK) }
    let tallies = windowTallies()
    return tallies.indices.contains(router) ? tallies[router].shape.chance : nil
  }

  /// `[routers][experts]` of the metric shown; nil where it is not known.
  func heat(_ tallies: [RouterTally]) -> [[Double]?] {
    switch metric {
    case .load: tallies.map { $0.shape.load }
    case .importance: tallies.map(\.importance)
    case .entropy: tallies.map(\.meanNormalizedEntropy)
    case .margin: tallies.map(\.meanMargin)
    }
  }

  /// The end of the heat scale: fixed per metric and model, so that a colour keeps its meaning while tokens stream.
  var heatLimit: Double {
    let chance = spec.map { Double($0.topK) / Double($0.expertCount) } ?? 1
    switch metric {
    case .load, .importance: return min(1, 4 / Double(max(1, spec?.expertCount ?? 1)))
    case .entropy: return 1
    case .margin: return max(0.05, chance)
    }
  }

  /// A share in per cent; of very many experts with as many digits as say something.
  func percent(_ share: Double, digits: Int = 1) -> String { Show.fixed(share * 100, share > 0 && share < 0.0005 ? 4 : digits) + " %" }

  func heatText(_ value: Double) -> String {
    guard value.isFinite else { return "–" }
    switch metric {
    case .load, .importance: return percent(value)
    case .entropy: return Show.fixed(value, 2)
    case .margin: return Show.fixed(value, 4)
    }
  }

  var metricName: String {
    switch metric {
    case .load: "Load"
    case .importance: "Importance"
    case .entropy: "Mean Ĥ of tokens that picked the expert"
    case .margin: "Mean margin of tokens that picked the expert"
    }
  }

  var windowName: String {
    let rows = windowRows
    if buffer?.isCounted == true {
      let tokens = buffer?.folds.total.map(\.shape.tokens).max() ?? 0
      return "counts of \(Show.counted(tokens, "token"))"
    }
    if let look { return "step \(look.step), \(branchName(look.branch))" }
    let span =
      window == nil || rows.count < (window ?? 0) ? "all \(Show.counted(rows.count, "token"))" : "last \(Show.counted(rows.count, "token"))"
    return selected == nil ? span : span + " up to token \(row ?? 0)"
  }

  func heatMap(_ tallies: [RouterTally], width: Int) -> HeatMap {
    let bin = bin(width: width)
    let face = liveFace(tallies, bin: bin)
    let limit = heatLimit
    let columns = binned(routers.map(\.spec.expertCount).max() ?? 0, bin)
    // Marks exclude half blocks, which tall maps need.
    let isMarked = routers.count <= 20 && theme.depth != .mono
    var map = HeatMap(rows: routers.count, columns: columns) { row, column in
      guard let value = face.value(row, column) else { return nil }
      // Values over the scale get their mark below, once a cell however wide it is.
      return value.isFinite ? (isMarked ? min(1, value / limit) : value / limit) : 0
    }
    if isMarked {
      map.mark = { row, column in face.value(row, column).map { $0 > limit } == true ? theme.saturationMark : nil }
    }
    let names = layerNameWidth
    map.leading = [HeatMap.Side("", width: names) { StyledText(layerName($0), .dim) }]
    map.trailing = [
      HeatMap.Side("", width: 12) { row in
        guard face.best.indices.contains(row), let best = face.best[row] else { return StyledText("–", .dim) }
        return StyledText(expertName(best.expert), .dim) + StyledText("  " + heatText(best.value))
      }
    ]
    map.cursor = routers.isEmpty ? nil : (router, min(columns - 1, face.place(of: expert, router: router) / bin))
    map.tickEvery = columns <= 16 ? 2 : 8
    map.tickLabel = { order == .index ? String($0 * bin) : "#\($0 * bin)" }
    map.columnWidth = max(1, min(16, (width - names - Self.besideCells) / max(1, columns)))
    return map
  }

  // MARK: - Words

  var liveStatus: StyledText {
    guard let buffer, row != nil || buffer.isCounted, routers.indices.contains(router) else {
      return StyledText(engineNote.isEmpty ? waitingWords : engineNote)
    }
    let reading = readingWords.map { StyledText("  " + $0, .dim) } ?? ""
    if let row, focused == .strip || (selected != nil && focused != .heat) { return tokenWords(row, buffer) + reading }
    let tallies = windowTallies()
    guard tallies.indices.contains(router) else { return "" }
    let shape = tallies[router].shape
    var text = "\(layerWords) expert \(expert)"
    if let load = shape.load, load.indices.contains(expert), let ratio = shape.loadRatio {
      text +=
        "  load \(percent(load[expert]))  \(Show.fixed(ratio[expert], 1)) × uniform  \(shape.counts[expert]) of \(Show.grouped(shape.assignments)) picks"
    }
    if let importance = tallies[router].importance, importance.indices.contains(expert) {
      text += "  importance \(percent(importance[expert]))"
    }
    if metric == .entropy || metric == .margin, let values = heat(tallies)[router], values.indices.contains(expert) {
      text += "  mean \(metric == .entropy ? "Ĥ" : "margin") \(heatText(values[expert]))"
    }
    return StyledText(text) + reading
  }

  func tokenWords(_ row: Int, _ buffer: RoutingBuffer) -> StyledText {
    let over = layersOver(row, resolvedThreshold, buffer)
    var text = StyledText("token \(row) ") + StyledText("\"\(tokenText(row))\"", .strong)
    text += StyledText("  id \(buffer.tokenID(row))  position \(buffer.position(row))")
    text += StyledText("  uncertain at \(over) of \(Show.counted(routers.count, "layer"))", over > 0 ? .uncertain : nil)
    // Labels last: they may be long, and a line is cut at its end.
    if let label = buffer.label(row) {
      text += StyledText(
        "  " + ([label.name] + label.labels.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }).joined(separator: "  "), .dim)
    }
    return text
  }

  /// What stands in place of rows there are none of.
  var nothingWords: String { kind.nothing(in: self) }

  /// What stands in place of tokens there are none of.
  var noTokenWords: String {
    switch source {
    case .live(let summary) where !summary.readsText:
      "This model has no tokenizer: no text can be read here. moetop run --tokens records token ids, \(key(RunsScreen.id.action)) lists what was recorded."
    case .live where isBusy: readingWords.map { "The model is \($0)." } ?? "The model is reading its first tokens."
    case .live: "No tokens yet. \(key(.prompt)) types a prompt."
    case .trace where isLoading: "The first tokens are being read from the trace."
    case .trace where buffer?.isCounted == true: "This run has counts of experts only: no token of it is known."
    case .trace: "This run has no tokens. \(key(RunsScreen.id.action)) lists the others."
    case .opening(let name): "\(name) is being opened."
    case .nothing: "No model is open. \(key(.open)) lists those of this machine, \(key(RunsScreen.id.action)) shows recorded runs."
    }
  }

  /// The same in the line of the status.
  var waitingWords: String {
    switch source {
    case .live(let summary) where !summary.readsText: "no tokenizer: this model can read no text here"
    case .live where !isBusy: "nothing was asked for yet: \(key(.prompt)) types a prompt"
    case .trace where !isLoading: "this run has no tokens"
    default: readingWords ?? "waiting for the first token"
    }
  }

  /// How far the texts are that the model reads, for those that take longer than a moment.
  var readingWords: String? {
    guard let (share, since) = reading, now - since > 0.2, share.done > 0 else { return nil }
    let left = Int(((now - since) / Double(share.done) * Double(share.total - share.done)).rounded(.up))
    let time = isPaused ? "" : ", \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60) left"
    return "reading \(Show.grouped(share.done)) of \(Show.counted(share.total, "token"))\(time), \(key(.back)) gives it up"
  }

  var samplerName: String {
    let temperature = sampling.temperature
    return temperature == 0 ? "greedy" : "temperature \(Show.fixed(Double(temperature), 1))"
  }

  // MARK: - The strip

  /// Mean normalised entropy over layers, as a digit; `!` where the token is over the threshold somewhere.
  func stripTokens(_ rows: Range<Int>) -> [TokenStrip.Token] {
    guard let buffer else { return [] }
    let threshold = resolvedThreshold
    let admits = admits
    return rows.map { row in
      var sum = 0.0
      var known = 0
      for index in routers.indices {
        let value = buffer.entropy(row, router: index)
        if value.isFinite { (sum, known) = (sum + Double(value), known + 1) }
      }
      let over = layersOver(row, threshold, buffer)
      let digit = known > 0 ? String(min(9, Int(sum / Double(known) * 10))) : ""
      let isStart = buffer.position(row) == 0
      let role: Role? = matches(row) ? .match : !admits(row) ? .disabled : buffer.phase(row) == .prefill ? .dim : nil
      return TokenStrip.Token(
        (isStart && row > buffer.first ? "│" : "") + tokenText(row),
        note: (isStart && row > buffer.first ? " " : "") + (over > 0 ? "!" : digit),
        isAlert: over > 0, role: role)
    }
  }

  /// The strip, and the row of its first token: as much text as fits around the token looked at.
  func strip(_ area: Rect) -> (strip: TokenStrip, first: Int) {
    guard let row else { return (TokenStrip([], hasCaret: isLive), 0) }
    let lines = max(1, area.height / 2)
    let rows = shownRows
    let room = max(8, area.width * lines)
    let end = selected == nil ? rows.upperBound : min(rows.upperBound, row + room / 3)
    // Back until the panel is full, and on to a round row: the lines wrap anew only when that row moves, not at every token.
    var start = row
    var columns = 0
    while start > rows.lowerBound, columns < room {
      start -= 1
      columns += Printable.width(of: tokenText(start))
    }
    start = max(rows.lowerBound, start - start % 64)
    let tokens = stripTokens(start..<end)
    return (
      TokenStrip(
        tokens, selection: selected == nil ? nil : row - start..<row - start + 1, hasCaret: isLive && end == rows.upperBound), start
    )
  }
}

extension Painter {
  mutating func drawHeat(_ tallies: [RouterTally]) {
    let orderName = model.order == .index ? "index" : "load, each layer by itself"
    let inside = areas[.heat].map(Panel.inner) ?? .zero
    let map = model.heatMap(tallies, width: inside.width)
    let room = inside.dropping(bottom: 1)
    // What is not shown comes first: a narrow footer is cut at its end.
    var notes = [map.geometry(in: room, theme: theme).note(rows: map.rows, columns: map.columns)]
    if case let bin = model.bin(width: inside.width), bin > 1 { notes.append("mean of \(Show.grouped(bin)) experts (:bin)") }
    notes.append(model.windowName)
    if model.kind.hasNeighbours || model.order != .index { notes.append("ordered by \(orderName) (\(model.key(.order)))") }
    panel(
      .heat, StyledText("\(model.metricName) · layer × expert"),
      footer: StyledText(notes.filter { !$0.isEmpty }.joined(separator: " · "))
    ) { painter, area in
      guard !painter.model.routers.isEmpty else {
        painter.explain(painter.model.noTokenWords, in: area)
        return
      }
      guard painter.model.row != nil || painter.model.buffer?.isCounted == true else {
        painter.explain(painter.model.nothingWords, in: area)
        return
      }
      map.draw(into: &painter.screen, room, theme: painter.theme)
      painter.drawScale(in: area)
    }
  }

  private mutating func drawScale(in area: Rect) {
    let limit = model.heatLimit
    let uniform = 1 / Double(max(1, model.spec?.expertCount ?? 1))
    let indent = model.layerNameWidth + 1
    switch model.metric {
    case .load, .importance:
      HeatLegend(
        low: "0", high: model.percent(limit, digits: limit < 0.02 ? 1 : 0),
        note: StyledText("uniform \(model.percent(uniform))" + (area.width < 60 ? "" : ", a quarter of the scale"), .dim)
      ).draw(into: &screen, area.row(area.height - 1).dropping(left: indent), theme: theme)
    case .entropy:
      HeatLegend(low: "0", high: "1", note: StyledText("1: the router cannot tell experts apart", .dim))
        .draw(into: &screen, area.row(area.height - 1).dropping(left: indent), theme: theme)
    case .margin:
      HeatLegend(low: "0", high: Show.fixed(limit, 2), note: StyledText("0: another expert was as near", .dim))
        .draw(into: &screen, area.row(area.height - 1).dropping(left: indent), theme: theme)
    }
  }

  mutating func drawStrip() {
    panel(
      .strip,
      StyledText("Tokens · below each: mean Ĥ × 10, ! over \(model.thresholdShare) (\(model.threshold)) at a layer or more"),
      footer: StyledText(
        model.selected == nil
          ? (model.isLive
            ? "dim: given, bright: written by the model · following" : "dim: given, bright: generated · \(model.keys(.tokenRight)) selects")
          : "\(model.key(.back)) follows again")
    ) { painter, area in
      if painter.model.row == nil {
        painter.explain(painter.model.noTokenWords, in: area)
        return
      }
      painter.model.strip(area).strip.draw(into: &painter.screen, area, theme: painter.theme)
    }
  }
}
