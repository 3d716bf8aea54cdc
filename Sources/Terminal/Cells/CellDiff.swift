// What must be sent to turn one screen into another: the changed cells, as runs along rows. A run ends after any stretch
// whose width terminals may disagree about, so that the next one is addressed anew and a wrong width cannot spread.

/// Cells of one row to be written from left to right.
public struct CellRun: Hashable, Sendable {
  public let row: Int
  public let columns: Range<Int>
  /// True when all its glyphs are steady: the cursor is certain to be where we think after writing them.
  public let isSteady: Bool

  public init(row: Int, columns: Range<Int>, isSteady: Bool) {
    self.row = row
    self.columns = columns
    self.isSteady = isSteady
  }
}

extension CellBuffer {
  /// The runs that turn `old` into this buffer; every cell when the sizes differ.
  ///
  /// Minimal: no unchanged cell is in a run, but for the other half of a wide glyph. Never splits a wide glyph.
  /// - Complexity: O(width * height).
  public func runs(from old: CellBuffer) -> [CellRun] {
    var runs: [CellRun] = []
    let all = old.size != size
    for y in 0..<size.height {
      let new = row(y)
      let was = all ? new : old.row(y)
      if !all, new.elementsEqual(was) { continue }
      appendRuns(of: y, new: new, old: was, all: all, to: &runs)
    }
    return runs
  }

  private func appendRuns(of y: Int, new: ArraySlice<Cell>, old: ArraySlice<Cell>, all: Bool, to runs: inout [CellRun]) {
    let left = new.startIndex
    let shift = old.startIndex - left
    var start: Int?
    var steady = true
    var place = left
    func close(_ end: Int) {
      if let from = start { runs.append(CellRun(row: y, columns: from - left..<end - left, isSteady: steady)) }
      start = nil
    }
    while place < new.endIndex {
      let width = new[place].glyph.width == 2 ? min(2, new.endIndex - place) : 1
      let span = place..<place + width
      let changed = all || span.contains { new[$0] != old[$0 + shift] }
      let isSteady = new[place].glyph.isSteady
      if changed {
        if start != nil, isSteady != steady { close(place) }
        if start == nil {
          start = place
          steady = isSteady
        }
      } else {
        close(place)
      }
      place += width
    }
    close(new.endIndex)
  }
}
