// Which files of a folder hold the weights, and which of several copies of a tensor counts? Safetensors, single or, where there is no such
// file, in shards as the index maps them, which is the order of transformers; without an index all of a numbered set, or the one safetensors
// file of another name; else the one file of torch.save that lies there. Weights
// that lie there too and are not taken are named; what lies there instead is named, with advice that fits it.

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
  let table: TensorTable
  /// Which weights of the folder were taken and which were left, where it holds two sets of them.
  private(set) var choice: String?

  /// Files of which each tensor is in one place.
  init(_ files: [any TensorFile]) {
    self.init(files, TensorTable(TensorList(files.map(\.tensors))))
  }

  /// Shards and the index that maps tensors to them.
  ///
  /// - Throws: `FormatError`, see `SafetensorsIndex.openShards`.
  init(_ index: SafetensorsIndex) throws(FormatError) { (files, table) = try index.openShards() }

  private init(_ files: [any TensorFile], _ table: TensorTable) { (self.files, self.table) = (files, table) }

  /// Opens `model.safetensors`, else the shards that `model.safetensors.index.json` lists, else the only file of torch.save in `folder`.
  ///
  /// - Throws: `ModelError.noCheckpoint` when none is there or several of the last kind are; `FormatError` for a damaged file.
  init(in folder: String) throws {
    let index = folder + "/model.safetensors.index.json"
    let single = folder + "/model.safetensors"
    if FileStatus.exists(single) {
      self.init([try SafetensorsFile(path: single)])
      choice = Self.leaving(index)
    } else if FileStatus.exists(index) {
      try self.init(SafetensorsIndex(path: index))
    } else {
      let all = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
      if let shards = try Self.unindexed(all, in: folder) {
        try self.init(each: shards.names.map { "\(folder)/\($0)" }, in: folder)
        choice = shards.note
        return
      }
      let names = all.filter(Self.holdsWeights)
      guard let name = names.first else { throw Self.absence(in: folder, all) }
      guard names.count == 1 else {
        throw ModelError.noCheckpoint(path: folder, why: "there are several checkpoints in it: \(names.joined(separator: ", "))")
      }
      self.init([try PyTorchFile(path: folder + "/" + name)])
    }
  }

  /// Files of which no two may have a tensor of one name: nothing says which one counts.
  private init(each paths: [String], in folder: String) throws {
    let files = try paths.map { try SafetensorsFile(path: $0) }
    let all = TensorTable(TensorList(files.map(\.tensors)))
    if let double = all.doubled.min(by: { $0.key < $1.key }) {
      let holders = double.value.prefix(2).map { Self.last(all.tensors[$0].file.path) }.joined(separator: " and in ")
      throw ModelError.noCheckpoint(
        path: folder, why: "\(double.key) is in \(holders), without an index that says which one counts",
        advice: "download model.safetensors.index.json beside them")
    }
    self.init(files, all)
  }

  private static func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  /// Safetensors files that are a checkpoint without an index: a numbered set that is whole, or one file alone. With what is said of them.
  private static func unindexed(_ all: [String], in folder: String) throws -> (names: [String], note: String)? {
    let names = all.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix("adapter") }
    if names.count == 1, shard(names[0]) == nil {
      return (names, "the weights are those of \(names[0]), the only safetensors file in the folder")
    }
    let shards = names.compactMap { name in shard(name).map { (name: name, place: $0) } }
    guard let first = shards.first, shards.count == names.count, shards.allSatisfy({ $0.place.set == first.place.set }) else { return nil }
    let there = Set(shards.map(\.place.number))
    let missing = (1...max(1, min(first.place.count, 100_000))).filter { !there.contains($0) }
    guard missing.isEmpty else {
      let list = missing.prefix(4).map(String.init).joined(separator: ", ") + (missing.count > 4 ? ", …" : "")
      throw ModelError.noCheckpoint(
        path: folder, why: "\(shards.count) of \(first.place.count) shards are there, without an index; those that are missing: \(list)",
        advice: "download the others and model.safetensors.index.json beside them")
    }
    return (names, "the \(names.count) shards have no index: each tensor is in one of them")
  }

  /// `STEM-00002-of-00005.safetensors`: its number, how many there are, and which set it is of.
  private static func shard(_ name: String) -> (number: Int, count: Int, set: String)? {
    let parts = name.dropLast(".safetensors".count).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[parts.count - 2] == "of", let number = Int(parts[parts.count - 3]),
      let count = Int(parts[parts.count - 1]),
      number > 0, count > 0, number <= count
    else { return nil }
    return (number, count, parts.dropLast(3).joined(separator: "-") + " \(count)")
  }

  /// What is said where an index lies beside the single file. One that lists nothing but that file is no second set of weights.
  private static func leaving(_ index: String) -> String? {
    guard FileStatus.exists(index) else { return nil }
    let shards = (try? SafetensorsIndex(path: index))?.shardNames
    if shards == ["model.safetensors"] { return nil }
    let others = shards.map { "\($0.count) shard\($0.count == 1 ? "" : "s") that model.safetensors.index.json lists" }
    return "the weights are those of model.safetensors, as in transformers, and not the \(others ?? "ones of model.safetensors.index.json")"
      + "  (without model.safetensors in the folder, the index counts)"
  }

  /// Why one file is no model; nil for weights without a configuration beside them. The folder is advised only where it means this file:
  /// it may hold other weights too, and opening those would answer another question.
  static func absence(of path: String) -> ModelError? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let parent = parts.dropLast().joined(separator: "/")
    let folder = parts.count == 1 ? "." : parent.isEmpty ? "/" : parent
    let name = parts.last ?? path
    let isJSON = name.hasSuffix(".json")
    guard FileStatus.exists(folder + "/config.json") else {
      return isJSON ? .noCheckpoint(path: path, why: "is a JSON file, and no model") : nil
    }
    if isJSON {
      let what =
        name == "config.json"
        ? "is the configuration of a model"
        : name.hasSuffix(".index.json") ? "says which file of a model holds which weights" : "is one file of a model"
      return .noCheckpoint(path: path, why: what + "; the model is the folder it lies in", advice: folder)
    }
    let taken = (try? CheckpointFiles(in: folder))?.files.map { $0.path.split(separator: "/").last.map(String.init) ?? $0.path } ?? []
    if taken.isEmpty || taken.contains(name) {
      return .noCheckpoint(path: path, why: "is one file of a model; the model is the folder it lies in", advice: folder)
    }
    return .noCheckpoint(
      path: path,
      why: "is one file of weights, and not among those that its folder is opened with "
        + "(\(taken.prefix(2).joined(separator: ", "))\(taken.count > 2 ? ", …" : ""))",
      advice: "a folder with config.json, the tokenizer and only the files that belong to \(name)")
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
