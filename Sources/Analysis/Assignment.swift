// Who does whose work? Rows and columns of a table matched one to one: units of a denoiser with those of a published prior, experts of one run
// with experts of another.

/// Matching of rows to columns, one to one.
enum Assignment {
  /// The least sum of costs over all matchings of a square matrix.
  static func leastCost(_ costs: [[Int]]) -> Int { rows(costs).enumerated().reduce(0) { $0 + costs[$1.element][$1.offset] } }

  /// A matching of the least sum of costs: the row of each column.
  ///
  /// - Complexity: O(n^3).
  /// - Test: all permutations of small tables.
  /// - Source: Kuhn 1955, with the shortest augmenting paths and potentials of Jonker and Volgenant 1987.
  static func rows(_ costs: [[Int]]) -> [Int] {
    let n = costs.count
    // Row and column 0 are not part of the matrix: column 0 holds the row that is being placed.
    var rowPotential = Array(repeating: 0, count: n + 1)
    var columnPotential = rowPotential
    var rowOfColumn = rowPotential
    for row in 1...max(1, n) where n > 0 {
      rowOfColumn[0] = row
      var column = 0
      var slack = Array(repeating: Int.max, count: n + 1)
      var cameFrom = Array(repeating: 0, count: n + 1)
      var isDone = Array(repeating: false, count: n + 1)
      repeat {
        isDone[column] = true
        let current = rowOfColumn[column]
        var (step, next) = (Int.max, 0)
        for candidate in 1...n where !isDone[candidate] {
          let reduced = costs[current - 1][candidate - 1] - rowPotential[current] - columnPotential[candidate]
          if reduced < slack[candidate] { (slack[candidate], cameFrom[candidate]) = (reduced, column) }
          if slack[candidate] < step { (step, next) = (slack[candidate], candidate) }
        }
        for candidate in 0...n {
          if isDone[candidate] {
            rowPotential[rowOfColumn[candidate]] += step
            columnPotential[candidate] -= step
          } else if slack[candidate] != .max {
            slack[candidate] -= step
          }
        }
        column = next
      } while rowOfColumn[column] != 0
      while column != 0 {
        rowOfColumn[column] = rowOfColumn[cameFrom[column]]
        column = cameFrom[column]
      }
    }
    return rowOfColumn.dropFirst().map { $0 - 1 }
  }
}
