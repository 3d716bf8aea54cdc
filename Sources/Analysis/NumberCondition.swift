// `NAME OP NUMBER[%]`: the written form of every gate, read once. What a name means, and in which rows it is looked up, is said by those who
// own the rows (FailCondition, ComparisonCondition).

/// A comparison of something named with a number.
///
/// Grammar: `name[.field] op number[%]` with op one of `>`, `>=`, `<`, `<=`, `==`, `!=`; spaces mean nothing.
public struct NumberCondition: Sendable, Hashable, CustomStringConvertible {
  public enum Operator: String, Sendable, CaseIterable {
    // Longer spellings first: they are tried in this order.
    case greaterOrEqual = ">="
    case lessOrEqual = "<="
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case less = "<"

    func holds(_ a: Double, _ b: Double) -> Bool {
      switch self {
      case .greaterOrEqual: a >= b
      case .lessOrEqual: a <= b
      case .equal: a == b
      case .notEqual: a != b
      case .greater: a > b
      case .less: a < b
      }
    }
  }

  public let name: String
  public let field: String?
  public let comparison: Operator
  public let limit: Double
  let limitText: String

  /// - Parameter what: what a name is, for messages: `metric`.
  /// - Throws: `AnalysisError.badCondition`.
  init(parsing text: String, what: String, example: String) throws {
    let compact = String(text.filter { $0 != " " })
    func bad(_ expected: String) -> AnalysisError { .badCondition(found: text, expected: expected) }
    guard let start = compact.firstIndex(where: { "<>=!".contains($0) }) else { throw bad("\(what), comparison, number: \(example)") }
    let tail = compact[start...]
    guard let comparison = Operator.allCases.first(where: { tail.hasPrefix($0.rawValue) }) else {
      throw bad("one of > >= < <= == != after the \(what)")
    }
    let number = tail.dropFirst(comparison.rawValue.count)
    let isPercent = number.hasSuffix("%")
    let digits = isPercent ? number.dropLast() : number
    guard digits.allSatisfy({ $0.isASCII && ($0.isNumber || ".-+eE".contains($0)) }), let limit = Double(digits), limit.isFinite else {
      throw bad("a number after \(comparison.rawValue)")
    }
    let names = compact[..<start].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let name = names.first, !name.isEmpty else { throw bad("a \(what) before \(comparison.rawValue)") }
    self.name = name
    field = names.count == 2 ? names[1] : nil
    self.comparison = comparison
    self.limit = isPercent ? limit / 100 : limit
    limitText = String(number)
  }

  func holds(_ value: Double) -> Bool { comparison.holds(value, limit) }

  /// As it was written: `load_cv.low`.
  var fullName: String { name + (field.map { "." + $0 } ?? "") }
  public var description: String { "\(fullName) \(comparison.rawValue) \(limitText)" }
}
