// The panels of Uncertainty: the histogram of router entropy, its share over the threshold layer by layer, and the tokens.

import Analysis
import Routing
import Terminal

extension AppModel {
  /// Tokens of the list in the order shown, filtered.
  var uncertainRows: [UncertainToken] {
    guard let list = uncertain.list, let buffer else { return [] }
    let kept = list.tokens.filter { buffer.rows.contains($0.token) }
    let admits = admits
    let admitted = kept.filter { admits($0.token) }
    switch uncertain.order {
    case .layers: return admitted
    case .entropy: return admitted.sorted { ($1.maxEntropy, $0.token) < ($0.maxEntropy, $1.token) }
    case .surprise:
      func key(_ token: UncertainToken) -> Float { token.surprisal.isFinite ? token.surprisal : -1 }
      return admitted.sorted { (key($1), $0.token) < (key($0), $1.token) }
    case .position: return admitted.sorted { $0.token < $1.token }
    }
  }

  /// Uncertain tokens of one entry of the vocabulary.
  struct UncertainWord: Sendable {
    var tokenID: Int32
    /// Uncertain tokens, and all of them that are in memory.
    var count: Int
    var of: Int
    /// Mean layers over the threshold, and the token with most.
    var layers: Double
    var most: UncertainToken
  }

  /// The tokens of the list by the entry of the vocabulary they are, most first.
  var uncertainWords: [UncertainWord] {
    guard let buffer, !buffer.lacksIDs else { return [] }
    var words: [Int32: UncertainWord] = [:]
    for token in uncertainRows {
      var word = words[token.tokenID] ?? UncertainWord(tokenID: token.tokenID, count: 0, of: 0, layers: 0, most: token)
      word.count += 1
      word.layers += Double(token.routersOver)
      if token.routersOver > word.most.routersOver { word.most = token }
      words[token.tokenID] = word
    }
    for id in buffer.pass.tokens.tokenID where words[id] != nil { words[id]?.of += 1 }
    return words.values.map { word in
      var word = word
      word.layers /= Double(word.count)
      return word
    }.sorted { ($1.count, $0.tokenID) < ($0.count, $1.tokenID) }
  }

  /// Rows of the list as it is shown.
  var uncertainCount: Int { uncertain.listing == .words ? uncertainWords.count : uncertainRows.count }

  /// The token under the cursor; of a word the one that is over at most layers.
  var uncertainTokenLookedAt: UncertainToken? {
    let place = uncertain.rows.selected
    if uncertain.listing == .words {
      let words = uncertainWords
      return words.indices.contains(place) ? words[place].most : nil
    }
    let rows = uncertainRows
    return rows.indices.contains(place) ? rows[place] : nil
  }

  /// The threshold as filters and rules write it.
  var thresholdTerm: String {
    let share = resolvedThreshold.share(experts: spec?.expertCount ?? 2) ?? 0.9
    return Show.fixed(share, 4)
  }

  /// The threshold as a share of ln E at the router looked at; a dash while no decision has an entropy that a quantile could be of.
  var thresholdShare: String {
    let share = resolvedThreshold.isKnown ? resolvedThreshold.share(experts: spec?.expertCount ?? 2) : nil
    return share.map { Show.fixed($0, 3) } ?? "–"
  }

  var thresholdWords: String {
    guard resolvedThreshold.isKnown else { return "– (\(threshold): no decision has an entropy)" }
    let nats = resolvedThreshold.nats(experts: spec?.expertCount ?? 2)
    return "\(thresholdShare) = \(Show.fixed(nats, 2)) nat (\(threshold))"
  }

  var uncertaintyStatus: StyledText {
    guard let buffer else { return "" }
    let threshold = resolvedThreshold
    let sums = buffer.uncertainty.folds.values.reduce((0, 0)) { ($0.0 + count($1, over: threshold), $0.1 + $1.entropy.moments.count) }
    let share = sums.1 > 0 ? Show.fixed(Double(sums.0) / Double(sums.1) * 100, 1) : "–"
    let decisions = "\(Show.grouped(sums.0)) of \(Show.grouped(sums.1)) decisions, \(share) %"
    // A narrow line is cut at its end: nats are the same in other words.
    guard size.width >= 100 else {
      let tokens = uncertain.list.map { ", \(Show.grouped($0.uncertainTokens)) \(kind.words.rows)" } ?? ""
      return StyledText("over \(thresholdShare) (\(self.threshold)): \(decisions)" + (uncertain.list?.router == nil ? tokens : ""))
    }
    var text = "threshold \(thresholdWords)  uncertain: \(decisions)"
    if let list = uncertain.list {
      let place = list.router.map { "decisions at \(layerName($0))" } ?? "\(kind.words.rows) at a layer or more"
      text += "  \(Show.grouped(list.uncertainTokens)) \(place)"
    }
    return StyledText(text)
  }

  /// The layers that a list of them has room for, the one looked at among them, and the lines that each takes.
  func layersShown(in area: Rect) -> (layers: Range<Int>, lines: Int) {
    let lines = max(1, min(4, area.height / max(1, routers.count)))
    let first = ListState.offset(0, showing: router, count: routers.count, page: area.height / lines)
    return (first..<min(routers.count, first + area.height / lines), lines)
  }

  /// Decisions over the threshold, from the run's histogram.
  func count(_ fold: RouterUncertainty, over threshold: ResolvedThreshold) -> Int {
    threshold.share(experts: fold.experts).map { fold.entropy.histogram.count(atLeast: $0) } ?? 0
  }
}

extension Painter {
  mutating func drawHistogram(_ buffer: RoutingBuffer) {
    let model = model
    let pooled = buffer.pooledEntropy
    let share = model.resolvedThreshold.share(experts: model.spec?.expertCount ?? 2) ?? 1
    panel(
      .histogram, StyledText("Router entropy Ĥ · all decisions · \(theme.glyphs.shadedBlock) from \(model.thresholdShare)"),
      footer: StyledText("n = \(Show.grouped(pooled.count)) decisions · 0 certain, 1 cannot tell")
    ) { painter, area in
      // A few far outliers share the first bin, so that the others stay narrow.
      guard area.height > 1, let low = pooled.quantile(0.005) else { return }
      let bins = max(2, min(area.height, 20))
      // Bins of round width that reach 1, so that their edges can be read.
      let width = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.25].first { (1 - low) / $0 <= Double(bins) } ?? 0.5
      let start = max(0, (low / width).rounded(.down) * width)
      let count = max(1, Int(((1 - start) / width).rounded(.up)))
      let counts = pooled.binned(count, over: start...(start + Double(count) * width))
      let rows = counts.enumerated().map { index, value in
        let edge = start + Double(index) * width
        return Terminal.Histogram.Bin(
          label: index == 0 && Double(pooled.minimum) < start ? "<" + Show.fixed(edge + width, 2) : Show.fixed(edge, 2), count: value,
          countText: Show.grouped(value), isOver: edge + width / 2 >= share)
      }
      Terminal.Histogram(Array(rows.suffix(area.height)))
        .draw(into: &painter.screen, area.dropping(left: 1), theme: painter.theme)
    }
  }

  mutating func drawByLayer(_ buffer: RoutingBuffer) {
    let model = model
    let threshold = model.resolvedThreshold
    let inside = areas[.byLayer].map(Panel.inner) ?? .zero
    let (shown, lines) = model.layersShown(in: inside)
    let part = shown.count < model.routers.count ? model.partWords(shown, of: model.routers.count) + " · " : ""
    panel(.byLayer, "By layer", footer: StyledText(part + "share uncertain · mean Ĥ · mean margin")) { painter, area in
      let folds = model.routers.map { buffer.uncertainty[$0.id] }
      let shares = folds.map { fold -> Double? in
        guard let fold, fold.entropy.moments.count > 0 else { return nil }
        return Double(model.count(fold, over: threshold)) / Double(fold.entropy.moments.count)
      }
      for (place, index) in shown.enumerated() {
        guard let fold = folds[index] else { continue }
        let row = area.row(place * lines)
        let mark = index == model.router ? String(painter.theme.glyphs.selectionMark) : " "
        let share = shares[index] ?? 0
        let name = StyledText(mark, .accent) + StyledText(model.layerName(index), .dim)
        painter.screen.draw(name, in: row, theme: painter.theme)
        let percent = shares[index].map { Show.fixed($0 * 100, 0) + " %" } ?? "–"
        let rest = row.dropping(left: model.layerNameWidth + 3)
        painter.screen.draw(
          StyledText(percent), in: Rect(x: rest.x, y: rest.y, width: 5, height: 1), theme: painter.theme, alignment: .right)
        let bar = rest.dropping(left: 6, right: 16)
        if model.routers[index].spec.isHashed {
          painter.screen.draw(StyledText("experts by token id", .dim), in: bar, theme: painter.theme)
        }
        // A blank line between bars that are higher than one.
        for line in 0..<max(1, lines - 1) {
          painter.screen.draw(
            BarText.bar(share, width: bar.width, glyphs: painter.theme.glyphs, shaded: true), x: bar.x, y: bar.y + line,
            style: painter.theme[.uncertain], clip: area)
        }
        let means =
          "\(fold.entropy.moments.mean.map { Show.fixed($0, 3) } ?? "–")  \(fold.selectionMargin.moments.mean.map { Show.fixed($0, 4) } ?? "–")"
        painter.screen.draw(StyledText(means), in: row, theme: painter.theme, alignment: .right)
      }
    }
  }

  mutating func drawUncertainTokens(_ buffer: RoutingBuffer) {
    let model = model
    let rows = model.uncertainRows
    let area = areas[.uncertainTokens].map(Panel.inner) ?? .zero
    if model.uncertain.listing == .words { return drawUncertainWords(area) }
    let table = uncertainTable(rows, buffer, area)
    // One layer alone: every decision is over at one.
    let order = model.uncertain.list?.router != nil && model.uncertain.order == .layers ? .entropy : model.uncertain.order
    var footer = "sorted by \(order.rawValue) (\(model.key(.order))) · \(table.position(area))"
    if let list = model.uncertain.list {
      footer += " · n = \(Show.grouped(list.tokenCount)) \(model.kind.words.rows)"
      if list.end < buffer.end { footer += ", \(Show.grouped(buffer.end - list.end)) newer not counted yet" }
      if list.uncertainTokens > list.tokens.count { footer += " · the first \(Show.grouped(list.tokens.count)) kept" }
    }
    if buffer.isTruncated { footer += " · older tokens dropped" }
    let all = "Uncertain \(model.kind.words.rows)"
    let title = model.uncertain.list?.router.map { "Uncertain decisions of \(model.layerName($0))" } ?? all
    panel(.uncertainTokens, StyledText(title), footer: StyledText(footer)) { painter, inner in
      table.draw(into: &painter.screen, inner, theme: painter.theme)
    }
  }

  private mutating func drawUncertainWords(_ area: Rect) {
    let model = model
    let words = model.uncertainWords
    let isWide = area.width > 90
    let table = Table(
      columns: [
        TableColumn("text", width: .fixed(16)), TableColumn("uncertain", width: .fixed(9), alignment: .right),
        TableColumn("of", width: .fixed(7), alignment: .right), TableColumn("share", width: .fixed(6), alignment: .right),
        TableColumn("layers over", width: .fixed(11), alignment: .right),
        TableColumn(isWide ? "worst, in context" : "worst", width: .flex(12)),
      ], rowCount: words.count, state: model.uncertain.rows,
      emptyText: model.buffer?.lacksIDs == true
        ? StyledText(AppModel.withoutIDs) : model.uncertain.list == nil ? "counting…" : "none is over the threshold"
    ) { row, column in
      let word = words[row]
      switch column {
      case 0: return StyledText(model.text(word.tokenID))
      case 1: return StyledText(Show.grouped(word.count))
      case 2: return StyledText(Show.grouped(word.of), .dim)
      case 3: return StyledText("\(word.count * 100 / max(1, word.of)) %")
      case 4: return StyledText(Show.fixed(word.layers, 1))
      default: return isWide ? model.context(word.most.token, width: max(12, area.width - 66)) : StyledText("token \(word.most.token)")
      }
    }
    panel(
      .uncertainTokens, "Uncertain tokens by what they say",
      footer: StyledText(
        "\(table.position(area)) · mean layers over the threshold · "
          + "\(model.key(.enter)) looks at the worst (\(model.key(.decisions)): tokens)")
    ) { painter, inner in table.draw(into: &painter.screen, inner, theme: painter.theme) }
  }

  private func uncertainTable(_ rows: [UncertainToken], _ buffer: RoutingBuffer, _ area: Rect) -> Table {
    let model = model
    let glyphs = theme.glyphs
    let room = max(16, area.width - 70 - max(4, model.layerNameWidth))
    let layers = max(1, model.routers.count)
    let router = model.uncertain.list?.router
    let empty =
      model.uncertain.list == nil ? "counting…" : model.filter == nil ? "none is over the threshold" : "none passes the filter"
    let (kind, words) = (model.kind, model.kind.words)
    return Table(
      columns: [
        TableColumn(words.heads.number, width: .fixed(words.widths.number), alignment: .right),
        TableColumn(words.heads.name, width: .fixed(words.widths.name)), TableColumn(words.heads.context, width: .flex(16)),
        TableColumn(router == nil ? "layers over" : "picks", width: .fixed(13)),
        TableColumn("max Ĥ", width: .fixed(6), alignment: .right), TableColumn("at", width: .fixed(max(4, model.layerNameWidth))),
        TableColumn("margin", width: .fixed(7), alignment: .right),
      ]
        + (kind.hasNext
          ? [TableColumn("next H", width: .fixed(6), alignment: .right), TableColumn("loss", width: .fixed(5), alignment: .right)] : []),
      rowCount: rows.count, state: model.uncertain.rows, emptyText: StyledText(empty)
    ) { row, column in
      let token = rows[row]
      switch column {
      case 0: return StyledText("\(token.token)")
      case 1: return StyledText(model.tokenText(token.token))
      case 2: return kind.difference(token.token, width: room, in: model)
      case 3:
        if let router {
          return StyledText(buffer.selected(token.token, router: router).filter { $0 >= 0 }.map { "\($0)" }.joined(separator: " "))
        }
        let bar = BarText.bar(Double(token.routersOver) / Double(layers), width: 9, glyphs: glyphs, shaded: true)
        return StyledText("\(token.routersOver) ") + StyledText(bar, .uncertain)
      case 4: return StyledText(Show.fixed(Double(token.maxEntropy), 3))
      case 5: return StyledText(model.routers.firstIndex { $0.id == token.maxEntropyRouter }.map(model.layerName) ?? "")
      case 6: return StyledText(Show.fixed(Double(token.selectionMargin), 4))
      case 7: return StyledText(Show.fixed(Double(token.nextTokenEntropy), 2))
      default: return StyledText(Show.fixed(Double(token.surprisal), 2))
      }
    }
  }
}
