// Which values have the labels of single tokens? Kept for the whole run beside its folds, so that an axis of such a label is one of the whole run too.

import Routing

/// Values by label, sequence and position; empty for runs whose tokens have none.
struct TokenLabels: Sendable {
  private struct Place: Hashable {
    var sequence: Int32
    var position: Int32
  }

  private struct Column: Sendable {
    var values: [String] = []
    var numbers: [String: Int32] = [:]
    var places: [Place: Int32] = [:]

    mutating func set(_ value: String, at place: Place) {
      let number = numbers[value] ?? Int32(values.count)
      if number == values.count {
        values.append(value)
        numbers[value] = number
      }
      places[place] = number
    }
  }

  private var columns: [String: Column] = [:]

  var names: [String] { columns.keys.sorted() }

  mutating func add(_ table: TokenTable) {
    for (label, values) in table.facts?.labels ?? [:] {
      for (row, value) in values.enumerated() {
        guard let value else { continue }
        columns[label, default: Column()].set(value, at: Place(sequence: table.sequence[row], position: table.position[row]))
      }
    }
  }

  /// Values of a label, in the order of their numbers.
  func values(of label: String) -> [String] { columns[label]?.values ?? [] }

  /// The number of a token's value; -1 where it has none.
  func numbers(of label: String) -> @Sendable (_ sequence: Int, _ position: Int) -> Int32 {
    let places = columns[label]?.places ?? [:]
    return { places[Place(sequence: Int32($0), position: Int32($1))] ?? -1 }
  }
}
