// What a fold knows, as named columns of numbers: how it comes into a file and out of it again, on another machine, to be merged there.
// A file may have been made by anybody, so whatever is read is checked before a fold takes it.

import Routing

/// Columns by name.
public struct FoldColumns: Sendable, Equatable {
  public enum Column: Sendable, Equatable {
    case bytes([UInt8])
    case words([UInt16])
    case counts([UInt32])
    case ids([Int32])
    case numbers([Int])
    case reals([Double])

    public var count: Int {
      switch self {
      case .bytes(let values): values.count
      case .words(let values): values.count
      case .counts(let values): values.count
      case .ids(let values): values.count
      case .numbers(let values): values.count
      case .reals(let values): values.count
      }
    }
  }

  public private(set) var columns: [String: Column]
  private var prefix = ""

  public init(_ columns: [String: Column] = [:]) { self.columns = columns }

  mutating func set(_ name: String, _ column: Column) { columns[prefix + name] = column }

  /// Names of columns that `body` sets begin with `name` and a dot.
  mutating func inside(_ name: String, _ body: (inout FoldColumns) -> Void) {
    let outer = prefix
    prefix += name + "."
    body(&self)
    prefix = outer
  }
}

/// A column that is not what a fold left there.
public struct FoldColumnError: Error, Equatable, Sendable {
  public let column: String
  public let expected: String
  public let found: String
}

/// Columns as a fold asks for them.
struct FoldReader {
  let columns: FoldColumns
  /// Where the sequences of the part stand in the whole.
  let place: PartPlace
  private var prefix = ""

  init(_ columns: FoldColumns, _ place: PartPlace) { (self.columns, self.place) = (columns, place) }

  func inside(_ name: String) -> FoldReader {
    var inner = self
    inner.prefix += name + "."
    return inner
  }

  func error(_ name: String, expected: String, found: String) -> FoldColumnError {
    FoldColumnError(column: prefix + name, expected: expected, found: found)
  }

  private func column(_ name: String, _ count: Int?) throws(FoldColumnError) -> FoldColumns.Column {
    guard let column = columns.columns[prefix + name] else { throw error(name, expected: "a column", found: "none") }
    if let count, column.count != count { throw error(name, expected: "\(count) numbers", found: "\(column.count)") }
    return column
  }

  /// Whole numbers from 0 on.
  func numbers(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [Int] {
    guard case .numbers(let values) = try column(name, count) else { throw error(name, expected: "i64", found: "another type") }
    // What is added up later must not overflow either.
    if let bad = values.first(where: { !(0...1 << 52).contains($0) }) { throw error(name, expected: "0 to 2^52", found: "\(bad)") }
    return values
  }

  func reals(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [Double] {
    guard case .reals(let values) = try column(name, count) else { throw error(name, expected: "f64", found: "another type") }
    return values
  }

  func counts(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [UInt32] {
    guard case .counts(let values) = try column(name, count) else { throw error(name, expected: "u32", found: "another type") }
    return values
  }

  func bytes(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [UInt8] {
    guard case .bytes(let values) = try column(name, count) else { throw error(name, expected: "u8", found: "another type") }
    return values
  }

  func words(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [UInt16] {
    guard case .words(let values) = try column(name, count) else { throw error(name, expected: "u16", found: "another type") }
    return values
  }

  /// Signed numbers within a range.
  func ids(_ name: String, _ count: Int? = nil, in range: ClosedRange<Int32>) throws(FoldColumnError) -> [Int32] {
    guard case .ids(let values) = try column(name, count) else { throw error(name, expected: "i32", found: "another type") }
    if let bad = values.first(where: { !range.contains($0) }) {
      throw error(name, expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(bad)")
    }
    return values
  }

  /// Sequences of the part by their places in the whole.
  func sequences(_ name: String, _ count: Int? = nil) throws(FoldColumnError) -> [Int] {
    let own = try ids(name, count, in: 0...Int32.max)
    return try own.map { (number) throws(FoldColumnError) in
      guard place.sequences.indices.contains(Int(number)) else {
        throw error(name, expected: "one of \(place.sequences.count) sequences", found: "\(number)")
      }
      return place.sequences[Int(number)]
    }
  }

  /// The number of experts of a router, and of choices of a token.
  func shape(_ experts: Int, _ topK: Int) throws(FoldColumnError) {
    guard experts <= 1 << 22, topK <= max(experts, 1) else {
      throw error("shape", expected: "at most 2^22 experts and no more choices", found: "\(experts) and \(topK)")
    }
  }
}

/// Where what a part counts from 0 stands in the whole.
public struct PartPlace: Sendable {
  /// `[sequences of the part]`
  public var sequences: [Int]
  /// `[values of the part]`: numbers of the values of the label that is the axis.
  public var labels: [Int32]

  public init(sequences: [Int], labels: [Int32] = []) {
    self.sequences = sequences
    self.labels = labels
  }
}

/// A fold that can be put into columns.
protocol ColumnFold {
  func save(_ columns: inout FoldColumns)
  /// Takes what `save` left; the fold is empty and of the same plan.
  mutating func load(_ columns: FoldReader) throws(FoldColumnError)
}

extension PerRouter where Fold: ColumnFold {
  func save(_ name: String, _ routers: [RouterID], _ columns: inout FoldColumns) {
    for (number, router) in routers.enumerated() {
      if let fold = self[router] { columns.inside("\(name).\(number)", fold.save) }
    }
  }

  /// - Parameter routers: of the part, in its order.
  mutating func load(_ name: String, _ routers: [RouterID], _ columns: FoldReader, empty: Fold) throws(FoldColumnError) {
    for (number, router) in routers.enumerated() {
      let own = columns.inside("\(name).\(number)")
      guard columns.columns.columns.keys.contains(where: { $0.hasPrefix("\(name).\(number).") }) else { continue }
      var fold = empty
      try fold.load(own)
      merge(fold, of: router)
    }
  }
}
