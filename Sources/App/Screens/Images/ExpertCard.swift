// The card of one expert in a run of images: at which steps it works, and where in the image. Counts of the whole run, of the branch
// looked at, the sample in progress included.

import Analysis
import Routing
import Terminal

/// When and where an expert is chosen.
struct ExpertWork: Sendable, Equatable {
  /// `[steps]`: share of the patches that chose it; nil for a step that no sample has reached.
  var byStep: [Double?]
  /// `[patches]`: share of the steps at which the patch chose it; nil for a patch nobody has seen.
  var byPatch: [Double?]
  /// Choices of this expert over all, counted alike.
  var share: Double?

  init?(_ expert: Int, of router: RouterDescription, in counts: DenoisingCounts) {
    let width = router.spec.expertCount
    guard 0..<width ~= expert, let topK = Optional(router.spec.topK), topK > 0 else { return nil }
    func shares(_ table: [Int]) -> [Double?] {
      stride(from: 0, to: table.count, by: width).map { start in
        let sum = table[start..<start + width].reduce(0, +)
        return sum > 0 ? Double(table[start + expert]) * Double(topK) / Double(sum) : nil
      }
    }
    let steps = counts.stepCounts(of: router.id, unfinished: true)
    byStep = shares(steps)
    byPatch = shares(counts.patchCounts(of: router.id, unfinished: true))
    let all = steps.reduce(0, +)
    share = all > 0 ? Double(stride(from: expert, to: steps.count, by: width).reduce(0) { $0 + steps[$1] }) / Double(all) : nil
  }

  /// Mean row and column of the patches, weighted by how often they chose the expert, and the root of the mean squared distance from
  /// there; nil for an expert that is never chosen.
  func center(columns: Int) -> (row: Double, column: Double, spread: Double)? {
    var (sum, row, column, squares) = (0.0, 0.0, 0.0, 0.0)
    for (patch, share) in byPatch.enumerated() {
      let (weight, y, x) = (share ?? 0, Double(patch / columns), Double(patch % columns))
      (sum, row, column) = (sum + weight, row + weight * y, column + weight * x)
      squares += weight * (x * x + y * y)
    }
    guard sum > 0 else { return nil }
    let (y, x) = (row / sum, column / sum)
    return (y, x, max(0, squares / sum - x * x - y * y).squareRoot())
  }

  /// What `center` is of an expert that every patch chooses alike.
  static func evenCenter(rows: Int, columns: Int) -> (row: Double, column: Double, spread: Double) {
    let (rows, columns) = (Double(rows), Double(columns))
    return ((rows - 1) / 2, (columns - 1) / 2, ((rows * rows - 1 + columns * columns - 1) / 12).squareRoot())
  }

  /// The steps in as many columns as there are, neighbours averaged.
  func steps(columns: Int) -> [Double?] {
    guard byStep.count > columns, columns > 0 else { return byStep }
    return (0..<columns).map { column in
      let known = byStep[column * byStep.count / columns..<(column + 1) * byStep.count / columns].compactMap { $0 }
      return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
    }
  }
}

extension Painter {
  mutating func drawExpertCard() {
    let model = model
    guard let layout = model.layout, let counts = model.branchCounts,
      let work = ExpertWork(model.expert, of: model.routers[model.router], in: counts)
    else {
      panel(.card, "Expert · when and where") { _, _ in }
      return
    }
    let largest = work.byPatch.compactMap { $0 }.max() ?? 1
    let spec = model.routers[model.router].spec
    let even = Double(spec.topK) / Double(spec.expertCount)
    let isWide = (areas[.card]?.width ?? 0) >= 60
    let samples = Show.counted(counts.samples.count, "whole sample")
    panel(
      .card,
      StyledText("Expert \(model.expert)" + (work.share.map { " · \(Show.fixed($0 * 100, 0)) % of choices" } ?? "")),
      footer: StyledText(
        layout.patchCount > 1 ? "map: 0 to \(Show.fixed(largest * 100, 0)) % of steps" + (isWide ? " · \(samples)" : "") : samples)
    ) { painter, area in
      let inner = area.dropping(left: 1)
      let last = String(layout.stepCount - 1)
      let columns = min(layout.stepCount, inner.width - last.count - 8)
      painter.line(
        0,
        StyledText("step 0 ", .dim) + StyledText(Sparkline(work.steps(columns: columns)).text(painter.theme.glyphs), .bar)
          + StyledText(" \(last)", .dim), in: inner)
      let known = work.byStep.enumerated().compactMap { step, share in share.map { (step, $0) } }
      if let most = known.max(by: { $0.1 < $1.1 }), let least = known.min(by: { $0.1 < $1.1 }) {
        let base = layout.patchCount > 1 ? "of patches" : "of samples"
        painter.line(
          1,
          StyledText("most  \(Show.fixed(most.1 * 100, 0)) % \(base), step \(most.0)")
            + StyledText(isWide ? "  even \(Show.fixed(even * 100, 0)) %" : "", .dim), in: inner)
        painter.line(2, StyledText("least \(Show.fixed(least.1 * 100, 0)) % \(base), step \(least.0)"), in: inner)
      }
      guard layout.patchCount > 1 else {
        painter.explain("There are no patches: this model decides once a step for the whole image.", in: area.dropping(top: 4))
        return
      }
      func words(_ center: (row: Double, column: Double, spread: Double)) -> String {
        "(\(Show.fixed(center.row, 1)),\(Show.fixed(center.column, 1)))  spread \(Show.fixed(center.spread, 1))"
      }
      if let center = work.center(columns: layout.patchColumns) {
        let even = ExpertWork.evenCenter(rows: layout.patchRows, columns: layout.patchColumns)
        painter.line(3, StyledText("centre \(words(center))") + StyledText(isWide ? "  even \(words(even))" : "", .dim), in: inner)
      }
      let room = inner.dropping(top: 4)
      let high = max(1, min(room.height / max(1, layout.patchRows), room.width / max(1, 2 * layout.patchColumns), 4))
      var map = HeatMap(rows: layout.patchRows * high, columns: layout.patchColumns) { row, column in
        work.byPatch[row / high * layout.patchColumns + column].map { largest > 0 ? $0 / largest : 0 }
      }
      map.ticks = .none
      map.columnWidth = 2 * layout.patchColumns <= room.width ? 2 * high : 1
      map.draw(into: &painter.screen, room, theme: painter.theme)
      if model.screen == .experts, room.height >= map.rows + 4 { painter.drawWhatIsSaid(in: room.dropping(top: map.rows + 1)) }
    }
  }
}
