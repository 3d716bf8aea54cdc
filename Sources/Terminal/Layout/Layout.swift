// Cuts a rectangle into rows or columns by constraints. Pure: the same rectangle and constraints give the same parts.

/// How much of an axis one part wants.
public enum Constraint: Hashable, Sendable {
  /// Exactly so many cells, fewer only when nothing is left.
  case fixed(Int)
  /// At least so many cells, and a share of what is left by weight 1.
  case min(Int)
  /// A share of what is left, by weight.
  case flex(Int = 1)
  /// A share of what is left, by weight 1, up to a limit.
  case max(Int)
}

extension Rect {
  /// Parts from top to bottom, as many as constraints; parts that find no room are empty.
  public func split(rows constraints: [Constraint], spacing: Int = 0) -> [Rect] {
    var top = y
    return Rect.lengths(constraints, total: height, spacing: spacing).map { length in
      defer { top += length + spacing }
      return intersection(Rect(x: x, y: top, width: width, height: length))
    }
  }

  /// Parts from left to right, as many as constraints; parts that find no room are empty.
  public func split(columns constraints: [Constraint], spacing: Int = 0) -> [Rect] {
    var left = x
    return Rect.lengths(constraints, total: width, spacing: spacing).map { length in
      defer { left += length + spacing }
      return intersection(Rect(x: left, y: y, width: length, height: height))
    }
  }

  /// Lengths along one axis. Fixed and minimum lengths are served first, in order; the rest is shared by weight,
  /// with the remainder going to the earlier parts so that the whole axis is used.
  static func lengths(_ constraints: [Constraint], total: Int, spacing: Int) -> [Int] {
    var left = Swift.max(0, total - spacing * Swift.max(0, constraints.count - 1))
    var lengths = constraints.map { constraint in
      let wanted: Int
      switch constraint {
      case .fixed(let length), .min(let length): wanted = Swift.max(0, length)
      case .flex, .max: wanted = 0
      }
      let got = Swift.min(wanted, left)
      left -= got
      return got
    }
    var open = constraints.indices.filter { constraints[$0].weight > 0 }
    while left > 0, !open.isEmpty {
      let weights = open.reduce(0) { $0 + constraints[$1].weight }
      let share = left
      var given = 0
      for (place, index) in open.enumerated() {
        let upTo = open[...place].reduce(0) { $0 + constraints[$1].weight }
        let part = (share * upTo + weights - 1) / weights - given
        given += part
        let room = constraints[index].limit.map { Swift.max(0, $0 - lengths[index]) } ?? part
        lengths[index] += Swift.min(part, room)
        left -= Swift.min(part, room)
      }
      let still = open.filter { index in constraints[index].limit.map { lengths[index] < $0 } ?? true }
      if still.count == open.count { break }
      open = still
    }
    return lengths
  }
}

extension Constraint {
  fileprivate var weight: Int {
    switch self {
    case .fixed: 0
    case .min, .max: 1
    case .flex(let weight): Swift.max(0, weight)
    }
  }

  fileprivate var limit: Int? {
    if case .max(let limit) = self { return limit }
    return nil
  }
}
