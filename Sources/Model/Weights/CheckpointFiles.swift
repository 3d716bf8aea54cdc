// Which files of a folder hold the weights? Safetensors, single or in shards; else the one file of torch.save that lies there.

import Formats
import Foundation

/// A file that holds tensors.
protocol TensorFile: Sendable {
  var path: String { get }
  var tensors: [TensorView] { get }
}

extension TensorFile {
  /// - Throws: `FormatError.changed`, see `MappedFile.requireWhole`.
  func requireWhole() throws(FormatError) { try tensors.first?.file.requireWhole() }
}

extension SafetensorsFile: TensorFile {}
extension GGUFFile: TensorFile {}
extension PyTorchFile: TensorFile {}

enum CheckpointFiles {
  /// Opens `model.safetensors`, the shards that `model.safetensors.index.json` lists, or the only `.pt` or `.pth` file in `folder`.
  ///
  /// - Throws: `ModelError.noCheckpoint` when none is there or several of the last kind are; `FormatError` for a damaged file.
  static func open(in folder: String) throws -> [any TensorFile] {
    let index = folder + "/model.safetensors.index.json"
    let single = folder + "/model.safetensors"
    if FileStatus.exists(index) { return try SafetensorsIndex(path: index).openShards() }
    if FileStatus.exists(single) { return [try SafetensorsFile(path: single)] }
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter(PyTorchFile.isAt).sorted()
    guard let name = names.first else {
      throw ModelError.noCheckpoint(path: folder, why: "there is no model.safetensors, no model.safetensors.index.json and no .pt file")
    }
    guard names.count == 1 else {
      throw ModelError.noCheckpoint(path: folder, why: "there are several checkpoints in it: \(names.joined(separator: ", "))")
    }
    return [try PyTorchFile(path: folder + "/" + name)]
  }
}
