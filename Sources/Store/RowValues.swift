// Values of a row of a file that is not trusted: a NULL or a text where a number belongs is damage, never a crash, and counts are bounded
// so that arithmetic with them cannot overflow.

import GRDB

extension Row {
  func value<Value: DatabaseValueConvertible & StatementColumnConvertible>(_ index: Int) throws -> Value {
    try decode(Value.self, atIndex: index)
  }

  func value<Value: DatabaseValueConvertible & StatementColumnConvertible>(_ column: String) throws -> Value {
    try decode(Value.self, forColumn: column)
  }

  /// A count, size or index: 0...2^40.
  func count(_ index: Int) throws -> Int { try CountOutOfRange.bounded(value(index)) }

  func count(_ column: String) throws -> Int { try CountOutOfRange.bounded(value(column)) }
}

/// A count in a row that cannot be one; becomes `StoreError.damaged`.
struct CountOutOfRange: Error {
  let number: Int

  static func bounded(_ number: Int) throws -> Int {
    guard (0...1 << 40).contains(number) else { throw CountOutOfRange(number: number) }
    return number
  }
}
