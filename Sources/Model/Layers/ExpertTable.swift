// Which experts does a token's id name? A table of the model in place of a choice: nothing is compared, scores only weigh. It is read row by
// row where it lies; a row that cannot be a choice is an error about the file, not a number that goes on.
// Source: Roller et al. 2021, arXiv:2106.04426; as in the first layers of DeepSeek-V4.

import Formats

/// `[rows, topK]` ids of experts, one row for each token of the vocabulary.
struct ExpertTablePlan: Sendable {
  var tensor: String
  var rows: Int
}

/// Whole numbers as they lie in a file.
///
/// `@unchecked Sendable`: immutable bytes that their checkpoint keeps mapped.
struct IntegerMatrix: @unchecked Sendable {
  enum Width: Sendable { case i32, i64 }

  let base: UnsafeRawPointer
  let width: Width
  let rows: Int
  let columns: Int
  let file: String
  let name: String

  subscript(row: Int, column: Int) -> Int64 {
    let element = row * columns + column
    return switch width {
    case .i32: Int64(base.loadUnaligned(fromByteOffset: 4 * element, as: Int32.self))
    case .i64: base.loadUnaligned(fromByteOffset: 8 * element, as: Int64.self)
    }
  }
}

extension IntegerMatrix {
  /// The experts that the ids of some tokens name.
  ///
  /// - Shape: `out` is `[tokens.count, columns]`.
  /// - Returns: what is wrong with the first row that does not name so many different experts; such a row stands for the first ones, so that
  ///   whoever reads on stays within bounds.
  func lookUp(_ tokens: ArraySlice<Int32>, experts: Int, into out: UnsafeMutablePointer<Int32>) -> ModelError? {
    var fault: ModelError?
    for (row, token) in tokens.enumerated() {
      let named = (0..<columns).map { self[Int(token), $0] }
      let isSound = named.allSatisfy { $0 >= 0 && $0 < experts } && Set(named).count == columns
      for (column, expert) in named.enumerated() { out[row * columns + column] = isSound ? Int32(expert) : Int32(column) }
      if !isSound, fault == nil {
        fault = .expertTable(file: file, name: name, token: Int(token), experts: experts, found: named)
      }
    }
    return fault
  }
}
