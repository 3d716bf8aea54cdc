// Matrices that no part of a file holds as such: rows of several tensors in another order, columns in another order, keys and values of one
// projection that a converter took apart. They are put together in memory of our own when they are first asked for.

import Formats

extension Checkpoint {
  func assemble(_ name: String, _ make: () throws -> AssembledMatrix) throws -> AssembledMatrix {
    if let known = assembled[name] { return known }
    let matrix = try make()
    assembled[name] = matrix
    return matrix
  }

  /// Rows of one or several tensors in another order. A row is whole blocks, so it is copied as it is stored where all have one type.
  func gather(
    _ names: [String], rows: Int, columns: Int, because: String, _ row: @escaping @Sendable (Int) -> (tensor: Int, row: Int)
  ) throws -> AssembledMatrix {
    let tensors = try names.map { try stored($0, shape: [-1, columns], because: because) }
    let places = (0..<rows).lazy.map(row)
    // The count comes first: only what the file holds is worth a look at every row.
    guard rows > 0, tensors.reduce(0, { $0 + $1.rows }) == rows, places.allSatisfy({ $0.row < tensors[$0.tensor].rows }) else {
      throw ModelError.tensorShape(
        file: path, name: names.joined(separator: ", "), expected: [rows, columns], found: [tensors.reduce(0) { $0 + $1.rows }, columns],
        because: because)
    }
    let type = tensors.allSatisfy { $0.type == tensors[0].type } ? tensors[0].type : .f32
    return AssembledMatrix(type: type, rows: rows, columns: columns, tables: tables.known(for: type)) { memory in
      let bytes = type.rowBytes(columns: columns)
      for r in 0..<rows {
        let place = row(r)
        let (tensor, out) = (tensors[place.tensor], memory + r * bytes)
        if tensor.type == type {
          out.copyMemory(from: tensor.base + place.row * bytes, byteCount: bytes)
        } else {
          tensor.read(row: place.row, into: out.bindMemory(to: Float.self, capacity: columns))
        }
      }
    }
  }

  /// Runs of columns in another order. Runs that are whole blocks are copied as they are stored, others as f32.
  func regroup(
    _ name: String, rows: Int, columns: Int, run: Int, because: String, _ place: @escaping @Sendable (Int) -> Int
  ) throws -> AssembledMatrix {
    let whole = try stored(name, shape: [rows, columns], because: because)
    let type = run % whole.type.blockSize == 0 ? whole.type : .f32
    return AssembledMatrix(type: type, rows: rows, columns: columns, tables: tables.known(for: type)) { memory in
      let (rowBytes, runBytes) = (type.rowBytes(columns: columns), type.rowBytes(columns: run))
      withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { numbers in
        guard let numbers = numbers.baseAddress else { return }
        for r in 0..<rows {
          if type != whole.type { whole.read(row: r, into: numbers) }
          let source = type == whole.type ? whole.base + r * rowBytes : UnsafeRawPointer(numbers)
          for group in 0..<columns / run {
            (memory + r * rowBytes + group * runBytes).copyMemory(from: source + place(group) * runBytes, byteCount: runBytes)
          }
        }
      }
    }
  }

  /// Keys `[heads * latent, plain]` and values `[heads * value, latent]` of an unfolding that the file holds taken apart; nil: as one.
  func unfoldingApart(
    _ plan: MatrixPlan, heads: Int, plain: Int, value: Int, latent: Int, because: String
  ) throws -> (keys: WeightMatrix, values: WeightMatrix)? {
    let place = names?.place(plan, rows: heads * (plain + value), columns: latent)
    guard case .unfolding(let keys, let values) = place else { return nil }
    return (
      try stored(keys, shape: [heads, latent, plain], because: because),
      try stored(values, shape: [heads, value, latent], because: because)
    )
  }

  /// `[heads * (plain + value), latent]` from keys `[heads, latent, plain]` and values `[heads, value, latent]`. Blocks of the keys run
  /// along the other axis, so they cannot stay quantised.
  func unfolding(keys: String, values: String, because: String) throws -> AssembledMatrix {
    let (keyShape, valueShape) = (try tensor(keys).shape, try tensor(values).shape)
    guard keyShape.count == 3, valueShape.count == 3, keyShape[0] == valueShape[0], keyShape[1] == valueShape[2] else {
      throw ModelError.tensorShape(file: path, name: keys, expected: [-1, -1, -1], found: keyShape, because: because)
    }
    let key = try stored(keys, shape: keyShape, because: because), value = try stored(values, shape: valueShape, because: because)
    let (heads, latent, plain, width) = (keyShape[0], keyShape[1], keyShape[2], valueShape[1])
    return AssembledMatrix(type: .f32, rows: heads * (plain + width), columns: latent) { memory in
      let out = memory.bindMemory(to: Float.self, capacity: heads * (plain + width) * latent)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: plain) { row in
        guard let row = row.baseAddress else { return }
        for head in 0..<heads {
          let start = out + head * (plain + width) * latent
          for i in 0..<latent {
            key.read(row: head * latent + i, into: row)
            for p in 0..<plain { start[p * latent + i] = row[p] }
          }
          for v in 0..<width { value.read(row: head * width + v, into: start + (plain + v) * latent) }
        }
      }
    }
  }
}
