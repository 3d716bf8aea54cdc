// The panels of Token: probabilities by layer, the ranking of a layer, the same token elsewhere, and the path through the layers.

import Analysis
import Routing
import Terminal

extension AppModel {
  /// Rows of the same token elsewhere in the run, nearest first; of an image the same patch at its other steps, in their order.
  var elsewhereRows: [Int] {
    guard let buffer, let row else { return [] }
    let admits = admits
    if let layout, let look {
      let place = row - look.first
      return (0..<layout.stepCount).compactMap { step in
        buffer.firstRow(sample: look.sample, step: step).map { $0 + place }
      }.filter { $0 != row && shownRows.contains($0) && admits($0) }
    }
    let id = buffer.tokenID(row)
    if id < 0 { return [] }
    return shownRows.filter { $0 != row && buffer.tokenID($0) == id && admits($0) }
      .sorted { (abs($0 - row), $0) < (abs($1 - row), $1) }
  }

  /// How many of some rows have the same first expert as a row at the first three layers.
  func withTheSamePath(_ row: Int, _ rows: Range<Int>, _ buffer: RoutingBuffer) -> Int {
    let first = (0..<3).map { (batch: buffer.batch($0), wanted: buffer.selected(row, router: $0).first ?? -1) }
    return rows.count { other in first.allSatisfy { $0.batch.selectedExperts[(other - buffer.first) * $0.batch.topK] == $0.wanted } }
  }

  /// What came before: the token before in its text, or the same patch a step before.
  func rowBefore(_ row: Int) -> Int? {
    guard let buffer else { return nil }
    if let look {
      return look.step > 0 ? buffer.firstRow(sample: look.sample, step: look.step - 1).map { $0 + row - look.first } : nil
    }
    return row > buffer.first && buffer.sequence(row - 1) == buffer.sequence(row) ? row - 1 : nil
  }

  /// Experts two tokens have in common at a router, of how many.
  func shared(_ a: Int, _ b: Int, router: Int) -> (common: Int, of: Int) {
    buffer.map { shared(a, CollectionOfOne(b), router: router, $0) } ?? (0, 0)
  }

  /// The same summed over some rows beside one.
  private func shared(_ row: Int, _ others: some Collection<Int>, router: Int, _ buffer: RoutingBuffer) -> (common: Int, of: Int) {
    let batch = buffer.batch(router)
    let mine = buffer.selected(row, router: router).filter { $0 >= 0 }
    var sums = (common: 0, of: 0)
    for other in others {
      let start = (other - buffer.first) * batch.topK
      var count = 0
      for slot in start..<start + batch.topK where batch.selectedExperts[slot] >= 0 {
        count += 1
        if mine.contains(batch.selectedExperts[slot]) { sums.common += 1 }
      }
      sums.of += max(mine.count, count)
    }
    return sums
  }

  /// By router: which share of a row's experts some rows have in common with it.
  func agreement(_ row: Int, _ others: some Collection<Int>) -> [Double] {
    guard let buffer else { return [] }
    return routers.indices.map { router in
      let sums = shared(row, others, router: router, buffer)
      return sums.of > 0 ? Double(sums.common) / Double(sums.of) : 0
    }
  }

  /// One line of the layer's list.
  struct RankedExpert {
    var expert: Int
    var logit: Double?
    var probability: Double?
    /// The factor applied; nil when it was not selected.
    var weight: Double?
  }

  /// Experts of one router for one token: the selected by rank, then the best of the others where logits are known.
  func ranking(_ row: Int, router: Int) -> [RankedExpert] {
    guard let buffer else { return [] }
    let logits = buffer.logits(row, router: router).map(Array.init)
    let probabilities = buffer.probabilities(row, router: router)
    func ranked(_ expert: Int, weight: Double?) -> RankedExpert {
      RankedExpert(
        expert: expert, logit: logits.map { Double($0[expert]) }, probability: probabilities.map { $0[expert] }, weight: weight)
    }
    let chosen = zip(buffer.selected(row, router: router), buffer.weights(row, router: router)).filter { $0.0 >= 0 }
      .map { ranked(Int($0.0), weight: Double($0.1)) }
    guard let probabilities else { return chosen }
    let taken = Set(chosen.map(\.expert))
    let rest = probabilities.indices.filter { !taken.contains($0) }.sorted { (probabilities[$1], $0) < (probabilities[$0], $1) }
    return chosen + rest.map { ranked($0, weight: nil) }
  }

  private func value(_ expert: RankedExpert) -> Double? {
    switch values {
    case .probabilities: expert.probability ?? expert.weight
    case .logits: expert.logit
    case .weights: expert.weight
    }
  }

  /// Whether the factor of some expert of the token looked at is known.
  var hasWeights: Bool {
    guard let row, let buffer else { return true }
    return routers.indices.contains { buffer.weights(row, router: $0).contains { !$0.isNaN } }
  }

  /// `[experts]` of what the map shows for a token at a router, and ranks of the selected.
  func tokenRow(_ row: Int, router: Int) -> (values: [Double?], ranks: [Int: Int]) {
    let list = ranking(row, router: router)
    var values = [Double?](repeating: nil, count: routers[router].spec.expertCount)
    var ranks: [Int: Int] = [:]
    for (place, expert) in list.enumerated() {
      values[expert.expert] = value(expert)
      if expert.weight != nil { ranks[expert.expert] = place }
    }
    return (values, ranks)
  }

  /// What every router thought of a token: a row a router, with the ranks of the selected.
  func probabilityMap(_ row: Int, _ buffer: RoutingBuffer, width: Int) -> HeatMap {
    let mark = String(theme.glyphs.selectionMark)
    let threshold = resolvedThreshold
    let rows = routers.indices.map { tokenRow(row, router: $0) }
    let most = values == .logits ? rows.map { $0.values.compactMap { $0 }.max() ?? 1 } : rows.map { _ in 1 }
    let least = values == .logits ? rows.map { $0.values.compactMap { $0 }.min() ?? 0 } : rows.map { _ in 0 }
    let limit = values == .logits ? 1 : min(1, 6 / Double(max(6, spec?.expertCount ?? 6)))
    let columns = routers.map(\.spec.expertCount).max() ?? 0
    var map = HeatMap(rows: rows.count, columns: columns) { layer, expert in
      guard rows[layer].values.indices.contains(expert) else { return nil }
      guard let value = rows[layer].values[expert] else { return 0 }
      // Chosen, and nobody kept by how much.
      if value.isNaN, rows[layer].ranks[expert] != nil { return 1 }
      let span = most[layer] - least[layer]
      return span > 0 ? (value - least[layer]) / span / limit : 0
    }
    map.mark = { layer, expert in
      rows[layer].ranks[expert].map { $0 < 10 ? Character(String($0)) : "*" }
    }
    map.leading = [
      HeatMap.Side("", width: layerNameWidth + 1) { layer in
        StyledText(layer == router ? mark : " ", .accent) + StyledText(layerName(layer), .dim)
      },
      HeatMap.Side("Ĥ", width: 5) { layer in
        let value = buffer.entropy(row, router: layer)
        let over = threshold.isUncertain(nats: buffer.entropyNats(row, router: layer), normalized: value)
        return StyledText(Show.fixed(Double(value), 2) + (over ? "!" : " "), over ? .uncertain : nil)
      },
      HeatMap.Side("margin", width: 7) { layer in StyledText(Show.fixed(Double(buffer.margin(row, router: layer)), 4)) },
    ]
    map.ticks = .top
    map.tickEvery = columns <= 16 ? 2 : 8
    let room = width - layerNameWidth - 18
    map.columnWidth = max(1, min(8, room / max(1, columns)))
    map.allowsHalfBlocks = false
    map.firstRow = max(0, router - 6)
    // Of more experts than columns those around the one looked at.
    map.firstColumn = columns * (map.columnWidth ?? 1) > room ? max(0, expert - room / 2) : 0
    return map
  }
}

extension Painter {
  mutating func drawProbabilities(_ row: Int, _ buffer: RoutingBuffer) {
    let model = model
    let hasLogits = buffer.logits(row, router: model.router) != nil
    let names: [TokenScreen.Values: String] = [
      .probabilities: "Router probabilities", .logits: "Router logits", .weights: "Routing weights",
    ]
    let inside = areas[.probabilities].map(Panel.inner) ?? .zero
    let map = model.probabilityMap(row, buffer, width: inside.width)
    let room = inside.dropping(top: 1, bottom: 2)
    let part = map.geometry(in: room, theme: theme).note(rows: map.rows, columns: map.columns)
    let title =
      hasLogits || model.values == .weights
      ? names[model.values] ?? ""
      : model.hasWeights ? "Routing weights (logits are not in this trace)" : "Chosen experts (weights are not in this trace)"
    panel(
      .probabilities, StyledText("\(title) by layer · digits: rank of a selected expert"),
      footer: StyledText(
        (part.isEmpty ? "" : part + " · ")
          + "\(model.kind.place(row, in: model)) · \(model.key(.values)) shows \(model.values.rawValue)"
      )
    ) { painter, area in
      painter.line(0, model.kind.context(row, width: area.width - 2, in: model), in: area.dropping(left: 1))
      map.draw(into: &painter.screen, room, theme: painter.theme)
      let topK = model.spec?.topK ?? 1
      let last = model.spec?.fillsSlots == false ? "the last that is taken and the next" : "ranks \(topK - 1) and \(topK)"
      painter.line(
        area.height - 1, StyledText("! over the threshold.  Small margin: little would swap \(last).", .dim),
        in: area.dropping(left: 1))
    }
  }

  mutating func drawRanking(_ row: Int, _ buffer: RoutingBuffer) {
    let model = model
    let list = model.ranking(row, router: model.router)
    let chosen = list.prefix { $0.weight != nil }
    let footer = model.spec.map { StyledText($0.summary) } ?? ""
    let title = model.layerWords
    panel(.ranking, StyledText(title.prefix(1).uppercased() + title.dropFirst()), footer: footer) { painter, area in
      let most = list.compactMap { $0.probability ?? $0.weight }.max() ?? 1
      painter.line(0, StyledText(" rk exp   logit    prob  weight", .dim), in: area)
      var place = 1
      let facts = 4
      let room = area.height - facts - 1
      for (rank, expert) in list.enumerated() where place < room {
        if rank == chosen.count, rank > 0 {
          painter.line(place, StyledText(" ── not selected " + String(repeating: "─", count: max(0, area.width - 18)), .dim), in: area)
          place += 1
          guard place < room else { break }
        }
        func cell(_ value: Double?, _ digits: Int, _ width: Int) -> String {
          let text = value.map { Show.fixed($0, digits) } ?? "–"
          return String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let name = (rank < 10 ? "  " : " ") + "\(rank) \(model.expertName(expert.expert))"
        let role: Role? = expert.weight == nil ? .dim : nil
        let used = painter.line(
          place,
          StyledText(name, role) + StyledText(cell(expert.logit, 2, 8) + cell(expert.probability, 3, 8) + cell(expert.weight, 3, 8), role),
          in: area)
        let bar = area.row(place).dropping(left: used + 1)
        painter.screen.draw(
          BarText.bar((expert.probability ?? expert.weight ?? 0) / max(most, 1e-9), width: bar.width, glyphs: painter.theme.glyphs),
          x: bar.x, y: bar.y, style: painter.theme[expert.weight == nil ? .barMuted : .bar], clip: bar)
        place += 1
      }
      let mass = buffer.mass(row, router: model.router)
      let isHashed = model.spec?.isHashed == true
      let varies = model.spec?.fillsSlots == false
      let topK = varies ? buffer.taken(row, router: model.router) : model.spec?.topK ?? 1
      painter.facts(
        [
          (
            "selected mass",
            StyledText(Show.fixed(Double(mass), 2))
              + StyledText("  even \(Show.fixed(Double(topK) / Double(model.spec?.expertCount ?? 1), 2))", .dim)
          ),
          (
            varies ? "margin" : "margin \(topK - 1) to \(topK)",
            StyledText(Show.fixed(Double(buffer.margin(row, router: model.router)), 4))
              + StyledText("  " + (isHashed ? "experts by token id:" : model.spec?.selectionScoreUnit ?? ""), .dim)
          ),
          (
            "entropy Ĥ",
            StyledText(Show.fixed(Double(buffer.entropy(row, router: model.router)), 3))
              + StyledText(
                isHashed ? "  none is chosen" : "  \(Show.fixed(Double(buffer.entropyNats(row, router: model.router)), 2)) nat", .dim)
          ),
        ], in: area.dropping(top: max(0, area.height - 3), left: 1), label: 13)
    }
  }

  mutating func drawElsewhere(_ row: Int) {
    let model = model
    let rows = model.elsewhereRows
    let (kind, words) = (model.kind, model.kind.words)
    panel(
      .elsewhere, StyledText(words.alike.title + (kind.hasNeighbours ? " · \"\(model.tokenText(row))\"" : "")),
      footer: StyledText(
        "\(Show.grouped(rows.count)) other \(words.alike.one)\(rows.count == 1 ? "" : "s") · of the \(words.alike.among) in memory")
    ) { painter, area in
      guard !rows.isEmpty else {
        return painter.explain(model.buffer?.lacksIDs == true ? AppModel.withoutIDs : words.alike.none, in: area)
      }
      let list = area.dropping(bottom: 2)
      let table = Table(
        columns: [
          TableColumn(kind.hasNeighbours ? words.row : words.moment, width: .fixed(6), alignment: .right),
          TableColumn(words.alike.head, width: .flex(20)),
          TableColumn("same experts \(model.layerName(model.router))", width: .fixed(13 + model.layerNameWidth), alignment: .right),
        ], rowCount: rows.count, state: model.elsewhere
      ) { place, column in
        switch column {
        case 0: return StyledText("\(kind.number(rows[place], in: model))")
        case 1: return kind.difference(rows[place], width: max(10, list.width - 30), in: model)
        default:
          let shared = model.shared(row, rows[place], router: model.router)
          return StyledText("\(shared.common) of \(shared.of)")
        }
      }
      table.draw(into: &painter.screen, list, theme: painter.theme)
      let agreement = model.agreement(row, rows.prefix(200))
      let first = model.layerName(0)
      let last = model.layerName(model.routers.count - 1)
      let chance = model.windowChance.map { $0.meanOverlap / Double($0.topK) } ?? 0
      painter.line(
        area.height - 1,
        StyledText("agreement \(first) ", .dim) + StyledText(Sparkline(agreement, range: 0...1).text(painter.theme.glyphs), .bar)
          + StyledText(
            " \(last)  mean \(Show.fixed(agreement.reduce(0, +) / Double(max(1, agreement.count)), 2)), chance \(Show.fixed(chance, 2))",
            .dim),
        in: area.dropping(left: 1))
    }
  }

  /// What the number of shared experts is read against.
  private var chanceOfSharing: String {
    model.windowChance.map { " · chance \(Show.fixed($0.meanOverlap, 2))" } ?? ""
  }

  mutating func drawPath(_ row: Int, _ buffer: RoutingBuffer) {
    let model = model
    let before = model.rowBefore(row)
    let look = model.look
    let inner = (areas[.path].map(Panel.inner) ?? .zero).dropping(left: 1)
    let path = model.routers.indices.map { layer -> String in
      buffer.selected(row, router: layer).first.map { $0 >= 0 ? "e" + model.padded(Int($0), 2) : "–" } ?? "–"
    }
    var lines = wrapped("top-1 path " + path.joined(separator: " "), inner.width)
    if path.count >= 3 {
      let others = look?.rows ?? model.shownRows
      let same = model.withTheSamePath(row, others, buffer)
      let what = look == nil ? "tokens" : "patches"
      lines.append(
        "\(what) with the same first three: \(same) of \(Show.grouped(others.count)) \(look == nil ? "in memory" : "at this step")")
    }
    let top = lines.count + 1
    let room = max(1, inner.height - top)
    // Its name, a bar, "2 of 8", and room beside it.
    let widest = model.routers.indices.map { model.layerName($0).count + min(8, model.routers[$0].slots) + 9 }.max() ?? 0
    let columns = max(1, min(4, inner.width / max(20, widest)))
    let fitting = min(path.count, room * columns)
    let part = fitting < path.count ? model.partWords(0..<fitting, of: path.count) + " · " : ""
    panel(
      .path, "Path through the layers",
      footer: before == nil
        ? "" : StyledText("\(part)shared with the \(look == nil ? "token before" : "same patch a step before")\(chanceOfSharing)")
    ) { painter, area in
      for (index, text) in lines.enumerated() {
        painter.line(index, StyledText(text, index == lines.count - 1 && path.count >= 3 ? .dim : nil), in: inner)
      }
      guard let before else {
        let reason = look == nil ? "the first token of its sequence: no token before it" : "no step before this one is in memory"
        painter.line(lines.count + 1, StyledText(reason, .dim), in: inner)
        return
      }
      for (index, _) in model.routers.enumerated() where index < room * columns {
        let shared = model.shared(row, before, router: index)
        let place = inner.dropping(top: top + index % room, left: index / room * (inner.width / columns))
        let bar = String(repeating: String(painter.theme.glyphs.fullBlock), count: shared.common)
        painter.line(
          0, StyledText(model.layerName(index) + " ", .dim) + StyledText(bar, .bar) + StyledText(" \(shared.common) of \(shared.of)"),
          in: place)
      }
    }
  }
}
