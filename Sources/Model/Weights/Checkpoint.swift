// One checkpoint over mapped files: where its tensors are, whatever the number of shards. Weights stay where they lie in the file;
// only small vectors (norms, biases) are widened to f32 once.

import Formats

/// The tensors of a safetensors folder.
///
/// `@unchecked Sendable`: the file maps are read-only, and `vectors` is filled while the model is bound, before it is shared.
final class Checkpoint: @unchecked Sendable {
  let directory: String
  let files: [SafetensorsFile]
  private let fileByTensor: [String: Int]
  private var vectors: [UnsafeMutableBufferPointer<Float>] = []

  /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
  ///
  /// - Throws: `ModelError.noCheckpoint` when neither is there; `FormatError` for a damaged file.
  init(directory: String) throws {
    self.directory = directory
    let index = directory + "/model.safetensors.index.json"
    let single = directory + "/model.safetensors"
    if FileStatus.exists(index) {
      let shards = try SafetensorsIndex(path: index)
      files = try shards.openShards()
      fileByTensor = shards.shardIndexByTensor
    } else if FileStatus.exists(single) {
      let file = try SafetensorsFile(path: single)
      files = [file]
      fileByTensor = Dictionary(file.tensors.map { ($0.name, 0) }, uniquingKeysWith: { first, _ in first })
    } else {
      throw ModelError.noCheckpoint(path: directory, why: "there is no model.safetensors and no model.safetensors.index.json")
    }
  }

  deinit { for vector in vectors { vector.deallocate() } }

  var tensors: [TensorView] { files.flatMap(\.tensors) }

  func has(_ name: String) -> Bool { fileByTensor[name] != nil }

  /// - Throws: `ModelError.missingTensor`, or `FormatError` when a shard lacks what the index promises.
  func tensor(_ name: String) throws -> TensorView {
    guard let file = fileByTensor[name] else { throw ModelError.missingTensor(file: directory, name: name) }
    return try files[file].tensor(name)
  }

  /// A weight in place: all axes but the last are rows.
  func matrix(_ name: String, shape: [Int], because: String) throws -> WeightMatrix {
    let view = try tensor(name)
    guard view.shape == shape, let columns = shape.last else {
      throw ModelError.tensorShape(file: view.file.path, name: name, expected: shape, found: view.shape, because: because)
    }
    guard let base = view.bytes.baseAddress else { throw ModelError.missingTensor(file: directory, name: name) }
    return WeightMatrix(base: base, type: try elementType(of: view), rows: shape.dropLast().reduce(1, *), columns: columns)
  }

  /// Elements `first`, `first + step`, ... of a tensor, widened to f32; valid while this checkpoint lives.
  func vector(_ name: String, shape: [Int], first: Int, step: Int, count: Int, because: String) throws -> UnsafePointer<Float> {
    let stored = try matrix(name, shape: shape, because: because)
    let columns = stored.columns
    return try own(count, name: name) { values in
      var row = [Float](repeating: 0, count: columns)
      var known = -1
      for i in 0..<count {
        let element = first + i * step
        if element / columns != known {
          known = element / columns
          row.withUnsafeMutableBufferPointer { buffer in if let start = buffer.baseAddress { stored.read(row: known, into: start) } }
        }
        values[i] = row[element % columns]
      }
    }
  }

  /// A matrix whose row r is column `first + r * step` of the stored one, as f32; valid while this checkpoint lives.
  func transposed(_ stored: WeightMatrix, first: Int, step: Int, count: Int, name: String) throws -> WeightMatrix {
    let columns = stored.rows
    let base = try own(count * columns, name: name) { values in
      var row = [Float](repeating: 0, count: stored.columns)
      for column in 0..<columns {
        row.withUnsafeMutableBufferPointer { buffer in if let start = buffer.baseAddress { stored.read(row: column, into: start) } }
        for r in 0..<count { values[r * columns + column] = row[first + r * step] }
      }
    }
    return WeightMatrix(base: UnsafeRawPointer(base), type: .f32, rows: count, columns: columns)
  }

  private func own(_ count: Int, name: String, _ fill: (UnsafeMutablePointer<Float>) -> Void) throws -> UnsafePointer<Float> {
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: max(1, count))
    vectors.append(values)
    guard let start = values.baseAddress else { throw ModelError.missingTensor(file: directory, name: name) }
    fill(start)
    return UnsafePointer(start)
  }

  private func elementType(of view: TensorView) throws -> StoredType {
    switch view.elementType {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default:
      throw ModelError.tensorType(
        file: view.file.path, name: view.name, found: view.elementType.safetensorsName, supported: "F32, F16, BF16")
    }
  }
}
