// The smaller panels of Live: what comes next, how sure each layer was about the token looked at, and how evenly the work falls.

import Analysis
import Model
import Routing
import Terminal

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Painter {
  mutating func drawNextToken() {
    guard let buffer = model.buffer, let row = model.row else {
      panel(.next, "Next token") { _, _ in }
      return
    }
    let entropy = buffer.nextTokenEntropy(row)
    let footer = entropy.isFinite ? "H \(Show.fixed(Double(entropy), 2)) nat" : ""
    panel(.next, "Next token", footer: StyledText(footer)) { painter, area in
      if let draw = buffer.draws[row] {
        painter.drawCandidates(draw, in: area)
      } else {
        painter.drawRecorded(row, buffer, in: area)
      }
    }
  }

  private mutating func drawCandidates(_ draw: TokenDraw, in area: Rect) {
    let best = draw.candidates.first.map { Double($0.probability) } ?? 1
    let rows = draw.candidates.map { candidate in
      BarList.Row(
        StyledText("\"\(Printable.cut(model.text(candidate.token), to: 12))\""), value: Show.fixed(Double(candidate.probability), 3),
        share: Double(candidate.probability) / max(best, 1e-9))
    }
    let facts: [(String, StyledText)] = [
      ("sampler", StyledText(model.samplerName)),
      ("p of drawn token", StyledText(Self.probability(of: draw.surprisal))),
      // From 0, as ranks of experts: the most probable token.
      ("rank of drawn", StyledText("\(draw.rank - 1)")),
      ("surprise", StyledText("\(Show.fixed(Double(draw.surprisal), 2)) nat")),
    ]
    let room = max(0, area.height - facts.count - 1)
    BarList(Array(rows.prefix(room)), selected: draw.rank <= rows.count ? draw.rank - 1 : nil)
      .draw(into: &screen, area.row(0, count: room), theme: theme)
    self.facts(facts, in: area.dropping(top: min(area.height, room + 1), left: 1), label: 17)
  }

  /// Nothing that was drawn had no probability.
  private static func probability(of surprisal: Float) -> String {
    let probability = Double(exp(-surprisal))
    return probability < 0.0005 ? "below 0.001" : Show.fixed(probability, 3)
  }

  /// What a recorded run knows: which token came, and how surprising it was.
  private mutating func drawRecorded(_ row: Int, _ buffer: RoutingBuffer, in area: Rect) {
    let follows = row + 1 < buffer.end && buffer.sequence(row + 1) == buffer.sequence(row)
    let surprisal = follows ? buffer.surprisal(row + 1) : .nan
    var rows: [(String, StyledText)] = []
    rows.append(("came next", follows ? StyledText("\"\(model.tokenText(row + 1))\"", .strong) : StyledText(model.lastTokenWords, .dim)))
    if surprisal.isFinite {
      rows.append(("its probability", StyledText(Self.probability(of: surprisal))))
      rows.append(("surprise", StyledText("\(Show.fixed(Double(surprisal), 2)) nat")))
    }
    if let label = buffer.label(row) {
      rows.append(("", ""))
      rows.append(("text", StyledText(label.name)))
      for (key, value) in label.labels.sorted(by: { $0.key < $1.key }) { rows.append((key, StyledText(value))) }
    }
    facts(rows, in: area.dropping(left: 1), label: 16)
    let note =
      model.isTrace ? "Other candidates are not kept in a trace." : "A prompt is read in one pass: only its last token has candidates."
    explain(note, in: area.dropping(top: min(area.height, rows.count + 1)))
  }

  mutating func drawLayers() {
    guard let buffer = model.buffer, let row = model.row else {
      panel(.layers, "Uncertainty by layer") { _, _ in }
      return
    }
    let model = model
    let threshold = model.resolvedThreshold
    // Of an image the mean over the patches of the step.
    let rows = model.look?.rows ?? row..<row + 1
    let values = model.routers.indices.map { index -> Double? in
      var moments = Moments()
      for row in rows { if case let value = buffer.entropy(row, router: index), value.isFinite { moments.add(Double(value)) } }
      return moments.mean
    }
    let over = model.routers.indices.filter { index in
      rows.contains {
        threshold.isUncertain(nats: buffer.entropyNats($0, router: index), normalized: buffer.entropy($0, router: index))
      }
    }
    let what =
      model.look.map { rows.count > 1 ? "mean of \(rows.count) patches" : "step \($0.step)" }
      ?? "token \(row) \"\(model.tokenText(row))\""
    let stacks = model.hasSeveralStacks
    let names = model.routers.map { router in
      // Behind the number of a head or run that of the layer could not be told apart.
      if router.id.lane.last?.isNumber == true { return "\(router.id)" }
      return (stacks ? router.id.lane : "") + model.padded(router.id.layer.rawValue, 2)
    }
    let chart = ColumnChart(values, range: 0...1, low: "0", high: "1", labels: names, highlighted: model.router)
    let room = (areas[.layers].map(Panel.inner) ?? .zero).dropping(left: 1, bottom: 1)
    let shown = chart.shown(in: room)
    panel(
      .layers, StyledText("Uncertainty Ĥ by layer · \(what)"),
      footer: StyledText(shown.count < values.count ? model.partWords(shown, of: values.count) : "")
    ) { painter, area in
      chart.draw(into: &painter.screen, room, theme: painter.theme)
      let limit = painter.model.thresholdShare
      let words =
        !threshold.isKnown
        ? "no entropy at any layer, so no threshold (\(threshold.asked))"
        : over.isEmpty
          ? "\(rows.count > 1 ? "all patches " : "")below \(rows.count > 1 ? "" : "the threshold ")\(limit) at every layer"
          : "\(rows.count > 1 ? "some patches over" : "over the threshold") \(limit) at layer\(over.count == 1 ? "" : "s") \(painter.model.layerRanges(over))"
      painter.line(area.height - 1, StyledText(words, over.isEmpty ? .dim : .uncertain), in: area.dropping(left: 1))
    }
  }

  mutating func drawBalance(_ tallies: [RouterTally]) {
    let model = model
    panel(.balance, StyledText("Balance · \(model.windowName)")) { painter, area in
      let shapes = tallies.map(\.shape)
      guard let tokens = shapes.first?.tokens, tokens > 0, let buffer = model.buffer else { return }
      let variations = shapes.map(\.cv)
      let known = variations.enumerated().compactMap { index, cv in cv.map { (layer: index, cv: $0) } }
      let mean = known.reduce(0) { $0 + $1.cv } / Double(max(1, known.count))
      let worst = known.max { $0.cv < $1.cv }
      let chance = shapes.first?.chance
      var rows: [(String, StyledText)] = []
      let spark = Sparkline(variations).text(painter.theme.glyphs)
      rows.append(
        (
          "load CV",
          StyledText(Show.fixed(mean, 2) + " ", .strong) + StyledText(spark, .bar)
            + StyledText(" worst \(model.layerName(worst?.layer ?? 0)) \(Show.fixed(worst?.cv ?? 0, 2))")
            + StyledText(chance.map { "  chance \(Show.fixed($0.loadCV(tokens: tokens), 2))" } ?? "", .dim)
        ))
      let ratios = shapes.map { $0.maxOverMean ?? 0 }
      if let place = ratios.indices.max(by: { ratios[$0] < ratios[$1] }), case let busiest = (offset: place, element: shapes[place]),
        let ratio = busiest.element.maxOverMean, let counts = Optional(busiest.element.counts),
        let expert = counts.indices.max(by: { counts[$0] < counts[$1] })
      {
        // Few tokens cannot fall evenly on many experts: even routing shows more than 1 here.
        let even = busiest.element.chance?.load(tokens: tokens)?.maxOverMean
        rows.append(
          (
            "max / uniform",
            StyledText(Show.fixed(ratio, 2), .strong) + StyledText("  \(model.layerName(busiest.offset)) \(model.expertName(expert))  ")
              + StyledText(even.map { "chance \(Show.fixed($0, 2))" } ?? "", .dim)
          ))
      }
      let idle = shapes.reduce(0) { $0 + $1.idle }
      let all = shapes.reduce(0) { $0 + $1.experts }
      let expected = shapes.compactMap(\.chance).reduce(0) { $0 + $1.idleExperts(tokens: tokens) }
      rows.append(
        (
          "idle experts",
          StyledText("\(idle)", .strong) + StyledText(" of \(all)  ") + StyledText("chance \(Show.fixed(expected, 1))", .dim)
        ))
      let dropped = tallies.reduce(0) { $0 + $1.load.droppedCount }
      if dropped > 0 { rows.append(("dropped", StyledText(Show.counted(dropped, "choice"), .warning))) }
      // Patches of an image are not tokens one after the other.
      if model.kind.hasNeighbours, let first = model.routers.indices.contains(model.router) ? model.router : nil {
        let links = model.links(buffer, router: first)
        if let overlap = links.total.overlap, let spec = model.spec {
          let taken = shapes[first].taken
          let uniform = Chance(experts: spec.expertCount, topK: taken).meanOverlap
          let withinText = links.overlapWithinText.map { ", in text \(Show.fixed($0, 2))" } ?? ""
          rows.append(
            (
              "repeats",
              StyledText(Show.fixed(overlap, 2), .strong) + StyledText(" of \(taken) \(model.layerName(first))  ")
                + StyledText("chance \(Show.fixed(uniform, 2))\(withinText)", .dim)
            ))
        }
      }
      painter.facts(rows, in: area.dropping(left: 1), label: 15)
    }
  }
}

extension AppModel {
  /// Neighbouring tokens of the window at a router.
  fileprivate func links(_ buffer: RoutingBuffer, router: Int) -> SequenceLinks {
    if windowIsTheRun, let links = buffer.links[routers[router].id] { return links }
    let window = buffer.window(windowRows, router: router)
    var links = SequenceLinks()
    for batch in window.batches { links.add(batch, tokens: window.tokens) }
    return links
  }

  /// What is known of what follows a text's last token: of a text that was read as it is that it ends, of one that was continued only that
  /// nothing more was recorded.
  fileprivate var lastTokenWords: String {
    guard case .trace(let run, _, _) = source else { return isBusy ? "not there yet" : "end of the text" }
    return run.description.sampling == nil && run.state == .completed ? "end of the text" : "no more recorded"
  }
}

extension Rect {
  /// The first rows.
  func row(_ start: Int, count: Int) -> Rect { Rect(x: x, y: y + start, width: width, height: max(0, min(count, height - start))) }
}
