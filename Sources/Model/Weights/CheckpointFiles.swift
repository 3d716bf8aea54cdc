// Which files of a folder hold the weights, and which of several copies of a tensor counts? Safetensors, single or in shards as the index
// maps them; else the one file of torch.save that lies there. What lies there instead is named, with advice that fits it.

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

  /// - Throws: `FormatError.changed`, see `MappedFile.requireUnwritten`.
  func requireUnwritten() throws(FormatError) { try tensors.first?.file.requireUnwritten() }

  /// Whether the path leads to what was opened.
  var isInPlace: Bool { tensors.first?.file.isInPlace ?? true }
}

extension SafetensorsFile: TensorFile {}
extension GGUFFile: TensorFile {}
extension PyTorchFile: TensorFile {}

/// The files of a checkpoint and its tensors, each name once.
struct CheckpointFiles: Sendable {
  let files: [any TensorFile]
  let tensors: [TensorView]

  /// Files of which each tensor is in one place.
  init(_ files: [any TensorFile]) {
    self.files = files
    tensors = files.flatMap(\.tensors)
  }

  /// Shards and the index that maps tensors to them: a copy of a tensor in another shard than the index names is an older one.
  ///
  /// - Throws: `FormatError` for shards that are damaged or missing, and for a tensor that two of them hold and the index does not name.
  init(_ index: SafetensorsIndex) throws {
    let shards = try index.openShards()
    files = shards
    var tensors: [TensorView] = []
    var unlisted: [String: TensorView] = [:]
    for (number, shard) in shards.enumerated() {
      for tensor in shard.tensors {
        if let named = index.shardIndexByTensor[tensor.name] {
          if named == number { tensors.append(tensor) }
        } else if let other = unlisted.updateValue(tensor, forKey: tensor.name) {
          throw FormatError.malformed(
            file: index.path, place: "weight_map",
            problem: "does not say which \"\(tensor.name)\" counts: it is in \(other.file.path) and in \(shard.path)", hint: nil)
        } else {
          tensors.append(tensor)
        }
      }
    }
    self.tensors = tensors
  }

  /// Opens `model.safetensors`, the shards that `model.safetensors.index.json` lists, or the only file of torch.save in `folder`.
  ///
  /// - Throws: `ModelError.noCheckpoint` when none is there or several of the last kind are; `FormatError` for a damaged file.
  init(in folder: String) throws {
    let index = folder + "/model.safetensors.index.json"
    let single = folder + "/model.safetensors"
    if FileStatus.exists(index) {
      try self.init(SafetensorsIndex(path: index))
    } else if FileStatus.exists(single) {
      self.init([try SafetensorsFile(path: single)])
    } else {
      let all = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
      let names = all.filter(Self.holdsWeights)
      guard let name = names.first else { throw Self.absence(in: folder, all) }
      guard names.count == 1 else {
        throw ModelError.noCheckpoint(path: folder, why: "there are several checkpoints in it: \(names.joined(separator: ", "))")
      }
      self.init([try PyTorchFile(path: folder + "/" + name)])
    }
  }

  /// What a folder without weights that can be opened holds instead.
  private static func absence(in folder: String, _ names: [String]) -> ModelError {
    func some(_ names: [String]) -> String { names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : "") }
    let shards = names.filter { $0.hasSuffix(".safetensors") }
    let pickles = names.filter { $0.hasSuffix(".bin") }
    if shards.count > 1 {
      return .noCheckpoint(
        path: folder, why: "\(shards.count) safetensors files (\(some(shards))) without an index that says what is in which",
        advice: "download model.safetensors.index.json beside them")
    }
    if let alone = shards.first {
      return .noCheckpoint(
        path: folder, why: "the only safetensors file in it is \(alone)",
        advice: alone.hasPrefix("adapter")
          ? "merge the adapter into the model it was trained for" : "name it model.safetensors if it holds the whole model")
    }
    if !pickles.isEmpty {
      return .noCheckpoint(
        path: folder, why: "its weights are pickles (\(some(pickles))), which are not opened under that name",
        advice: "the checkpoint's safetensors files, or convert them")
    }
    return .noCheckpoint(path: folder, why: "there is no model.safetensors, no model.safetensors.index.json and no .pt file")
  }

  /// A folder has other `.bin` files beside the weights: an optimizer's state, arguments of the training.
  private static func holdsWeights(_ name: String) -> Bool {
    PyTorchFile.isAt(name) && (!name.hasSuffix(".bin") || name.hasSuffix("pytorch_model.bin"))
  }
}
