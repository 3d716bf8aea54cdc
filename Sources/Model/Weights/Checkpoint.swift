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

  /// A weight matrix in place, `[rows, columns]`.
  func matrix(_ name: String, rows: Int, columns: Int, because: String) throws -> WeightMatrix {
    let view = try tensor(name)
    guard view.shape == [rows, columns] else {
      throw ModelError.tensorShape(
        file: view.file.path, name: name, expected: [rows, columns], found: view.shape, because: because)
    }
    guard let base = view.bytes.baseAddress else { throw ModelError.missingTensor(file: directory, name: name) }
    return WeightMatrix(base: base, type: try elementType(of: view), rows: rows, columns: columns)
  }

  /// A small vector, widened to f32; valid while this checkpoint lives.
  func vector(_ name: String, count: Int, because: String) throws -> UnsafePointer<Float> {
    let view = try tensor(name)
    guard view.shape == [count] else {
      throw ModelError.tensorShape(file: view.file.path, name: name, expected: [count], found: view.shape, because: because)
    }
    guard let base = view.bytes.baseAddress else { throw ModelError.missingTensor(file: directory, name: name) }
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
    vectors.append(values)
    guard let start = values.baseAddress else { throw ModelError.missingTensor(file: directory, name: name) }
    WeightMatrix(base: base, type: try elementType(of: view), rows: 1, columns: count).read(row: 0, into: start)
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
