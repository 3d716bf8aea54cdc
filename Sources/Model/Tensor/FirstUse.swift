// Which numbers of a model are ours and not the file's, and when are they made? Vectors widened to f32, rows in another order, a matrix
// put together from parts: each is made when something first asks for it, once, whoever asks. Opening and describing a checkpoint makes
// none, so that both cost its headers and nothing else.

import Routing

/// A value that is made when it is first asked for. Threads that ask meanwhile wait for it.
final class FirstUse<Value: Sendable>: Sendable {
  private let known = Locked<Value?>(nil)
  private let make: @Sendable () -> Value

  init(_ make: @escaping @Sendable () -> Value) { self.make = make }

  var value: Value {
    known.withLock { known in
      if let known { return known }
      let made = make()
      known = made
      return made
    }
  }
}

/// Memory of our own, aligned to 64 bytes.
///
/// `@unchecked Sendable`: written before the initializer returns, then only read.
private final class OwnedMemory: @unchecked Sendable {
  let start: UnsafeMutableRawPointer

  init(byteCount: Int, fill: (UnsafeMutableRawPointer) -> Void) {
    start = .allocate(byteCount: max(64, byteCount), alignment: 64)
    fill(start)
  }

  deinit { start.deallocate() }
}

/// A vector of a plan, widened to f32 at its first use.
struct WeightVector: Sendable {
  let count: Int
  private let memory: FirstUse<OwnedMemory>

  /// - Parameter fill: writes `count` numbers; what it reads lives as long as the vector.
  init(count: Int, fill: @escaping @Sendable (UnsafeMutablePointer<Float>) -> Void) {
    self.count = count
    memory = FirstUse {
      OwnedMemory(byteCount: count * MemoryLayout<Float>.size) { fill($0.bindMemory(to: Float.self, capacity: max(1, count))) }
    }
  }

  /// `[count]`, valid while this value or a copy lives.
  var values: UnsafePointer<Float> { UnsafePointer(memory.value.start.assumingMemoryBound(to: Float.self)) }

  /// The same as numbers of the caller's own.
  var array: [Float] { withExtendedLifetime(memory) { Array(UnsafeBufferPointer(start: values, count: count)) } }
}

/// A matrix that no part of a file holds as such, put together at its first use.
final class AssembledMatrix: Sendable {
  let type: StoredType
  let rows: Int
  let columns: Int
  private let memory: FirstUse<OwnedMemory>
  /// Of a type whose numbers are looked up; nil for others, and where there are none.
  private let tables: LookupTables?

  /// - Parameter fill: writes `rows` rows of `type`, one behind the other; what it reads lives as long as the matrix.
  init(
    type: StoredType, rows: Int, columns: Int, tables: LookupTables? = nil, fill: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
  ) {
    (self.type, self.rows, self.columns, self.tables) = (type, rows, columns, tables)
    memory = FirstUse { OwnedMemory(byteCount: rows * type.rowBytes(columns: columns), fill: fill) }
  }

  var matrix: WeightMatrix {
    WeightMatrix(base: memory.value.start, type: type, rows: rows, columns: columns, tables: tables?.pointer)
  }
}

/// A matrix of a plan, bound: where it lies in a file, or rows of one that is put together.
enum BoundMatrix: Sendable {
  case inPlace(WeightMatrix)
  case rows(of: AssembledMatrix, first: Int, step: Int, count: Int)

  /// What products take; putting it together is its first use.
  var matrix: WeightMatrix {
    switch self {
    case .inPlace(let matrix): matrix
    case .rows(let whole, let first, let step, let count): whole.matrix.rows(from: first, step: step, count: count)
    }
  }
}
