// What rows of scores add up to, by router: rows that were never written, rows that never change, and scores that are probabilities already.

import Routing

struct LogitTally {
  private let routers: [JudgedRouter]
  /// `[routers]`: rows whose scores are all 0.
  private(set) var zero: [FoundRows]
  private(set) var isConstant: [Bool]
  private(set) var lost = 0
  private var first: [[Float]]
  /// Rows that are known, and those that are 0 or more and sum to 1.
  private var known: [Int]
  private var summing: [Int]
  private var row = 0

  /// Fewer rows may sum to 1 by chance.
  private static let enoughRows = 8
  /// Sums of bf16 numbers are as far off.
  private static let tolerance: Float = 2e-2

  init(_ routers: [JudgedRouter]) {
    self.routers = routers
    zero = Array(repeating: FoundRows(), count: routers.count)
    isConstant = Array(repeating: true, count: routers.count)
    first = Array(repeating: [], count: routers.count)
    known = Array(repeating: 0, count: routers.count)
    summing = known
  }

  mutating func add(_ block: ForeignRows, isLost: Bool) {
    defer { row += block.count }
    if isLost {
      lost += block.count
      return
    }
    for (place, router) in routers.enumerated() {
      guard let column = router.column, let logits = block.columns[column].logits else { continue }
      let width = router.experts
      for index in 0..<block.count {
        let values = logits[index * width..<(index + 1) * width]
        if values.contains(where: \.isNaN) { continue }
        known[place] += 1
        if values.allSatisfy({ $0 == 0 }) { zero[place].add(row + index) }
        if values.allSatisfy({ $0 >= 0 }), abs(values.reduce(0, +) - 1) <= Self.tolerance { summing[place] += 1 }
        if first[place].isEmpty {
          first[place] = Array(values)
        } else if isConstant[place], !values.elementsEqual(first[place]) {
          isConstant[place] = false
        }
      }
    }
  }

  func areProbabilities(_ router: Int) -> Bool { known[router] >= Self.enoughRows && summing[router] == known[router] }
}
