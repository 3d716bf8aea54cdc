// Lengths as bars: horizontal ones in lists and histograms, columns in sparklines and charts. Shares outside 0...1 are cut
// and marked, missing values are blank.

enum Bar {
  /// A horizontal bar of so many cells at most; an eighth of a cell is the least that a share above 0 shows.
  static func text(_ share: Double, width: Int, glyphs: GlyphSet, full: Character? = nil) -> String {
    guard width > 0, share.isFinite, share > 0 else { return "" }
    let eighths = max(1, Int((min(share, 1) * Double(width) * 8).rounded()))
    var text = String(repeating: String(full ?? glyphs.fullBlock), count: eighths / 8)
    let parts = glyphs.eighths
    if eighths % 8 > 0 {
      if parts.isEmpty || full != nil {
        if eighths % 8 >= 4 || eighths < 8 { text += text.isEmpty && !parts.isEmpty ? String(parts[0]) : String(full ?? glyphs.fullBlock) }
      } else {
        text += String(parts[eighths % 8 - 1])
      }
    }
    return text
  }

  /// The glyph of a column of one cell's height; nil for nothing to show.
  static func column(_ share: Double, glyphs: GlyphSet) -> Character? {
    guard share.isFinite else { return nil }
    let steps = glyphs.columns
    return steps[max(0, min(steps.count - 1, Int((min(max(share, 0), 1) * Double(steps.count)).rounded(.up)) - 1))]
  }
}

/// A column for each value, in one line.
public struct Sparkline: Hashable, Sendable {
  public var values: [Double?]
  public var range: ClosedRange<Double>

  /// - Parameter range: what the lowest and the highest column stand for; by default 0 to the largest value.
  public init(_ values: [Double?], range: ClosedRange<Double>? = nil) {
    self.values = values
    let finite = values.compactMap { $0 }.filter(\.isFinite)
    let low = min(0, finite.min() ?? 0)
    self.range = range ?? low...max(low, finite.max() ?? 0)
  }

  func share(_ value: Double) -> Double {
    let span = range.upperBound - range.lowerBound
    return span > 0 ? (value - range.lowerBound) / span : 0
  }

  /// The line itself, to be part of a text. More values than columns: the last ones.
  public func text(_ glyphs: GlyphSet, width: Int? = nil) -> String {
    String(values.suffix(width ?? values.count).map { $0.flatMap { Bar.column(share($0), glyphs: glyphs) } ?? " " })
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme, role: Role = .bar) {
    screen.draw(text(theme.glyphs, width: area.width), x: area.x, y: area.y, style: theme[role], clip: area.row(0))
  }
}

/// Columns over several rows with the ends of the scale at the left and a label below each.
public struct ColumnChart: Hashable, Sendable {
  public var values: [Double?]
  public var range: ClosedRange<Double>
  public var labels: [String]
  /// Words for the ends of the scale.
  public var low: String
  public var high: String
  public var highlighted: Int?

  public init(
    _ values: [Double?], range: ClosedRange<Double>, low: String, high: String, labels: [String] = [], highlighted: Int? = nil
  ) {
    self.values = values
    self.range = range
    self.low = low
    self.high = high
    self.labels = labels
    self.highlighted = highlighted
  }

  private var margin: Int { max(Printable.width(of: low), Printable.width(of: high)) + 2 }

  /// The values that there is room for; the highlighted one is among them.
  public func shown(in area: Rect) -> Range<Int> {
    let room = min(values.count, max(0, area.width - margin))
    let first = ListState.offset(0, showing: highlighted ?? 0, count: values.count, page: room)
    return first..<first + room
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let hasLabels = !labels.isEmpty && area.height >= 2
    let plot = area.dropping(left: margin, bottom: hasLabels ? 1 : 0)
    screen.draw(StyledText(high, .dim), in: area.row(0), theme: theme)
    if plot.height > 1 { screen.draw(StyledText(low, .dim), in: area.row(plot.height - 1), theme: theme) }
    guard !plot.isEmpty, !values.isEmpty else { return }
    let label = labels.map { Printable.width(of: $0) }.max() ?? 0
    let step = max(1, min(max(2, label) + 1, plot.width / values.count))
    let wide = max(1, step - 1)
    let spark = Sparkline(values, range: range)
    let shown = shown(in: area)
    for (index, value) in values.enumerated() where shown.contains(index) {
      let x = plot.x + (index - shown.lowerBound) * step
      guard let value, value.isFinite else { continue }
      let height = min(max(spark.share(value), 0), 1) * Double(plot.height)
      for row in 0..<plot.height {
        let part = height - Double(plot.height - 1 - row)
        guard part > 0 || row == plot.height - 1, let glyph = Bar.column(part, glyphs: theme.glyphs) else { continue }
        let style = theme[index == highlighted ? .accent : .bar]
        for column in x..<x + wide { screen.put(glyph, x: column, y: plot.y + row, style: style, clip: plot) }
      }
      guard hasLabels, labels.indices.contains(index) else { continue }
      // Every n-th label where they do not all fit.
      let every = (label + step) / max(1, step)
      if index % max(1, every) == 0 {
        let style = theme[index == highlighted ? .strong : .dim]
        screen.draw(labels[index], x: x, y: plot.maxY, style: style, clip: area.dropping(left: margin))
      }
    }
  }
}

/// Labelled bars, one a row: `"·Paris"  0.412 ████`.
public struct BarList: Hashable, Sendable {
  public struct Row: Hashable, Sendable {
    public var label: StyledText
    public var value: String
    /// Share of the longest bar, 0 to 1; nil shows none.
    public var share: Double?
    public var isMarked: Bool

    public init(_ label: StyledText, value: String, share: Double?, isMarked: Bool = false) {
      self.label = label
      self.value = value
      self.share = share
      self.isMarked = isMarked
    }
  }

  public var rows: [Row]
  public var selected: Int?

  public init(_ rows: [Row], selected: Int? = nil) {
    self.rows = rows
    self.selected = selected
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let visible = rows.prefix(area.height)
    let value = visible.map { Printable.width(of: $0.value) }.max() ?? 0
    let label = min(visible.map(\.label.width).max() ?? 0, max(4, area.width - value - 3))
    for (index, row) in visible.enumerated() {
      let line = area.row(index)
      let base = index == selected ? theme[.strong] : .plain
      if index == selected { screen.put(theme.glyphs.selectionMark, x: line.x, y: line.y, style: theme[.accent], clip: line) }
      let parts = line.dropping(left: 1).split(columns: [.fixed(label), .fixed(2), .fixed(value), .fixed(1), .flex()])
      screen.draw(row.label, in: parts[0], theme: theme, base: base)
      screen.draw(StyledText(row.value), in: parts[2], theme: theme, base: base, alignment: .right)
      let bar = Bar.text(
        row.share ?? 0, width: parts[4].width, glyphs: theme.glyphs, full: row.isMarked ? theme.glyphs.shadedBlock : nil)
      screen.draw(bar, x: parts[4].x, y: line.y, style: theme[row.isMarked ? .uncertain : .bar], clip: parts[4])
    }
  }
}

/// Counts by bin, lowest bin first: `0.68 █████ 3,050`. Bins at or over the threshold are shaded instead of full.
public struct Histogram: Hashable, Sendable {
  public struct Bin: Hashable, Sendable {
    public var label: String
    public var count: Int
    public var countText: String
    public var isOver: Bool

    public init(label: String, count: Int, countText: String, isOver: Bool = false) {
      self.label = label
      self.count = count
      self.countText = countText
      self.isOver = isOver
    }
  }

  public var bins: [Bin]
  /// Written behind the last bin below the threshold.
  public var thresholdNote: String

  public init(_ bins: [Bin], thresholdNote: String = "") {
    self.bins = bins
    self.thresholdNote = thresholdNote
  }

  /// The bins made coarser until they fit into so many rows; labels are those of the lowest bin of each group.
  public func fitting(_ rows: Int, text: (Int) -> String) -> Histogram {
    guard rows > 0, bins.count > rows else { return self }
    let group = (bins.count + rows - 1) / rows
    let coarse = stride(from: 0, to: bins.count, by: group).map { start -> Bin in
      let part = bins[start..<min(start + group, bins.count)]
      let count = part.reduce(0) { $0 + $1.count }
      return Bin(label: bins[start].label, count: count, countText: text(count), isOver: bins[start].isOver)
    }
    return Histogram(coarse, thresholdNote: thresholdNote)
  }

  public func draw(into screen: inout CellBuffer, _ area: Rect, theme: Theme) {
    guard !area.isEmpty else { return }
    let most = Double(max(1, bins.map(\.count).max() ?? 1))
    let label = bins.map { Printable.width(of: $0.label) }.max() ?? 0
    let count = bins.map { Printable.width(of: $0.countText) }.max() ?? 0
    let room = max(1, area.width - label - count - 2)
    let lastBelow = bins.lastIndex { !$0.isOver }
    for (index, bin) in bins.prefix(area.height).enumerated() {
      let line = area.row(index)
      let full = bin.isOver ? theme.glyphs.shadedBlock : nil
      var text = StyledText(bin.label + " ", .dim)
      text += StyledText(Bar.text(Double(bin.count) / most, width: room, glyphs: theme.glyphs, full: full), bin.isOver ? .uncertain : .bar)
      text += StyledText(" " + bin.countText)
      if index == lastBelow, index + 1 < bins.count, !thresholdNote.isEmpty { text += StyledText("    " + thresholdNote, .dim) }
      screen.draw(text, in: line, theme: theme)
    }
  }
}
