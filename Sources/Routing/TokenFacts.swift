// What is known of single rows of a run beside who they are: labels and numbers of their own, the request that they came with.

/// Named columns over consecutive rows; most rows of most runs have none of it.
public struct TokenFacts: Sendable, Equatable {
  public private(set) var count: Int
  /// `[count]` by label: its value, nil where a row has none.
  public private(set) var labels: [String: [String?]] = [:]
  /// `[count]` by name: a number (a time, an angle), NaN where a row has none.
  public private(set) var coordinates: [String: [Double]] = [:]
  /// `[count]`: number of the request it came with; nil when none is known.
  public private(set) var request: [Int64]?
  /// `[count]`: the process that decided; nil when none is known.
  public private(set) var rank: [Int64]?

  /// What of no row anything is known.
  public init(count: Int) { self.count = count }

  public var isEmpty: Bool { labels.isEmpty && coordinates.isEmpty && request == nil && rank == nil }

  public mutating func setLabel(_ label: String, _ value: String?, of row: Int) {
    labels[label, default: Array(repeating: nil, count: count)][row] = value
  }

  public mutating func setCoordinate(_ name: String, _ value: Double, of row: Int) {
    coordinates[name, default: Array(repeating: .nan, count: count)][row] = value
  }

  /// - Parameter value: -1: not known.
  public mutating func setRequest(_ value: Int64, of row: Int) {
    if request == nil { request = Array(repeating: -1, count: count) }
    request?[row] = value
  }

  /// - Parameter value: -1: not known.
  public mutating func setRank(_ value: Int64, of row: Int) {
    if rank == nil { rank = Array(repeating: -1, count: count) }
    rank?[row] = value
  }

  public mutating func append(_ other: TokenFacts) {
    for label in Set(labels.keys).union(other.labels.keys) {
      labels[label, default: Array(repeating: nil, count: count)] += other.labels[label] ?? Array(repeating: nil, count: other.count)
    }
    for name in Set(coordinates.keys).union(other.coordinates.keys) {
      coordinates[name, default: Array(repeating: .nan, count: count)] +=
        other.coordinates[name] ?? Array(repeating: .nan, count: other.count)
    }
    Self.join(&request, other.request, counts: (count, other.count))
    Self.join(&rank, other.rank, counts: (count, other.count))
    count += other.count
  }

  private static func join(_ column: inout [Int64]?, _ more: [Int64]?, counts: (own: Int, more: Int)) {
    if column == nil && more == nil { return }
    if column == nil { column = Array(repeating: -1, count: counts.own) }
    column? += more ?? Array(repeating: -1, count: counts.more)
  }

  /// Some of the rows, counted from the first.
  public func slice(_ range: Range<Int>) -> TokenFacts {
    var part = TokenFacts(count: range.count)
    part.labels = labels.mapValues { Array($0[range]) }
    part.coordinates = coordinates.mapValues { Array($0[range]) }
    part.request = request.map { Array($0[range]) }
    part.rank = rank.map { Array($0[range]) }
    return part
  }

  public static func == (a: TokenFacts, b: TokenFacts) -> Bool {
    func same(_ a: [Double], _ b: [Double]) -> Bool { a.count == b.count && zip(a, b).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN } }
    return a.count == b.count && a.labels == b.labels && a.request == b.request && a.rank == b.rank
      && a.coordinates.count == b.coordinates.count && a.coordinates.allSatisfy { same($1, b.coordinates[$0] ?? []) }
  }
}
