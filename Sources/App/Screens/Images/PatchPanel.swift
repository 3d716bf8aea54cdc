// The map of patches: which expert each patch of the image took first at the step looked at. A digit is an expert, its hue stands beside
// the digit and never alone.

import Analysis
import Routing
import Terminal

/// Where the patches of a grid stand in an area: cells twice as wide as high, as large as fit.
struct PatchGrid {
  private let area: Rect
  private let grid: (rows: Int, columns: Int)
  let cell: Size
  /// First row and column shown, where not all fit.
  private let first: (row: Int, column: Int)

  /// - Parameter shown: the patch kept in view.
  init(rows: Int, columns: Int, in area: Rect, showing shown: (row: Int, column: Int), largest: Int = 3) {
    self.area = area
    grid = (rows, columns)
    let high = max(1, min(largest, area.height / max(1, rows), area.width / max(1, 2 * columns)))
    cell = Size(width: area.width >= 2 * columns ? 2 * high : 1, height: high)
    first = (
      ListState.offset(0, showing: shown.row, count: rows, page: max(1, area.height / cell.height)),
      ListState.offset(0, showing: shown.column, count: columns, page: max(1, area.width / cell.width))
    )
  }

  /// Cells that the grid takes of its area.
  var height: Int { min(area.height, (grid.rows - first.row) * cell.height) }
  var width: Int { min(area.width, (grid.columns - first.column) * cell.width) }

  func rect(row: Int, column: Int) -> Rect {
    guard row >= first.row, column >= first.column else { return .zero }
    return Rect(
      x: area.x + (column - first.column) * cell.width, y: area.y + (row - first.row) * cell.height, width: cell.width, height: cell.height
    ).intersection(area)
  }

  /// The patch drawn at a place.
  func patch(at point: Point) -> Int? {
    guard area.contains(point) else { return nil }
    let row = first.row + (point.y - area.y) / cell.height
    let column = first.column + (point.x - area.x) / cell.width
    return row < grid.rows && column < grid.columns ? row * grid.columns + column : nil
  }
}

extension PanelID {
  /// The top-1 expert of every patch at the step looked at.
  static let patches = PanelID("patches")
}

extension AppModel {
  /// Looks at the patch drawn at a place, and at the expert it took first.
  mutating func point(atPatch place: Point, in area: Rect) {
    guard let found = patchGrid(in: area)?.patch(at: place), let look, look.rows.indices.contains(look.rows.lowerBound + found) else {
      return
    }
    (patch, selected) = (found, selected ?? look.first)
    expert = max(0, firstExpert(look.rows.lowerBound + found))
  }

  /// The grid of patches in a panel's inside; its last line is the legend.
  func patchGrid(in area: Rect) -> PatchGrid? {
    guard let layout else { return nil }
    return PatchGrid(
      rows: layout.patchRows, columns: layout.patchColumns, in: area.dropping(left: 1, bottom: area.height > 3 ? 1 : 0),
      showing: (patch / layout.patchColumns, patch % layout.patchColumns))
  }

  /// The expert a row took first at the layer looked at; -1 for none.
  func firstExpert(_ row: Int) -> Int {
    guard let buffer, routers.indices.contains(router) else { return -1 }
    return Int(buffer.selected(row, router: router).first ?? -1)
  }

  /// One sign for an expert: digits, then letters.
  func expertSign(_ expert: Int) -> Character {
    guard expert >= 0 else { return "." }
    return expert < 36 ? Character(String(expert, radix: 36)) : "+"
  }
}

extension Painter {
  mutating func drawPatches() {
    let model = model
    guard let look = model.look, let layout = model.layout else {
      panel(.patches, "Patches · top-1 expert") { painter, area in painter.explain(painter.model.noStepWords, in: area) }
      return
    }
    let sign = (model.spec?.expertCount ?? 0) > 10 ? "0-9 a-z = expert 0-35" : "digit = expert"
    panel(
      .patches,
      StyledText("Patches · step \(look.step) · top-1 expert")
        + (model.screen == .live ? StyledText(" · \(model.layerWords)") : ""),
      footer: StyledText("\(sign) · \(model.branchName(look.branch))")
    ) { painter, area in
      guard layout.patchCount > 1 else {
        let chosen = model.buffer.map { $0.selected(look.rows.lowerBound, router: model.router) } ?? []
        let names = chosen.filter { $0 >= 0 }.map { model.expertName(Int($0)) }.joined(separator: ", ")
        painter.explain("This model decides once a step for the whole image. Here: \(names).", in: area)
        return
      }
      guard let grid = model.patchGrid(in: area) else { return }
      for (index, row) in look.rows.enumerated() {
        let place = (row: index / layout.patchColumns, column: index % layout.patchColumns)
        painter.drawPatch(
          model.firstExpert(row), in: grid.rect(row: place.row, column: place.column),
          isLookedAt: index == model.patch && model.selected != nil)
      }
      if area.height > 3 { painter.drawShares(look, in: area.row(min(area.height - 1, grid.height)).dropping(left: 1)) }
    }
  }

  private mutating func drawPatch(_ expert: Int, in cell: Rect, isLookedAt: Bool) {
    guard !cell.isEmpty else { return }
    var style = expert >= 0 ? theme.category(expert) : theme[.dim]
    if isLookedAt { style = theme.cursor(on: style) }
    // Without colour a blank separates neighbours; the patch looked at is the one that is reversed.
    screen.fill(cell, style: style)
    screen.put(model.expertSign(expert), x: cell.x + (cell.width - 1) / 2, y: cell.y + (cell.height - 1) / 2, style: style, clip: cell)
  }

  /// How many patches each expert has, most first.
  private mutating func drawShares(_ look: StepLook, in row: Rect) {
    var counts: [Int: Int] = [:]
    for row in look.rows { counts[model.firstExpert(row), default: 0] += 1 }
    var x = row.x
    for (expert, count) in counts.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) where expert >= 0 {
      let text = " \(count * 100 / max(1, look.rows.count)) %  "
      guard x + 1 + text.count <= row.maxX + 2 else { break }
      screen.put(model.expertSign(expert), x: x, y: row.y, style: theme.category(expert), clip: row)
      screen.draw(text, x: x + 1, y: row.y, style: theme[.dim], clip: row)
      x += 1 + text.count
    }
  }
}
