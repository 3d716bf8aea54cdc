// What do headers alone say about a checkpoint? For lists of many: nothing is bound and no weight is touched, so that a folder of models
// is described in the time it takes to read their first pages. What cannot be read or run says why instead of failing.

import Formats

/// One checkpoint in a list.
public struct ModelSummary: Sendable {
  public enum Container: String, Sendable { case safetensors, gguf }

  public let path: String
  public let container: Container
  /// `model_type` of config.json, or the architecture a GGUF file names; nil when the file does not get so far.
  public private(set) var family: String?
  /// Numbers stored in all tensors; nil when the headers cannot be read.
  public private(set) var parameters: Int?
  /// Bytes of all tensors.
  public private(set) var bytes: Int?
  /// Element type with most bytes.
  public private(set) var stored: String?
  /// Why this program does not run it; nil when it does, as far as headers can tell.
  public private(set) var obstacle: String?

  /// - Parameter path: a folder with config.json, or a GGUF file.
  public init(path: String) {
    self.path = path
    container = GGUFFile.isAt(path) ? .gguf : .safetensors
    do {
      switch container {
      case .gguf: try read(gguf: path)
      case .safetensors: try read(folder: path)
      }
    } catch {
      obstacle = "\(error)".split(separator: "\n").first.map(String.init) ?? "it cannot be read"
    }
  }

  private mutating func read(gguf path: String) throws {
    let split = try GGUFSplit(path: path)
    family = split.files[0]["general.architecture"]?.string
    count(split.files.flatMap(\.tensors))
    guard bytes ?? 0 > 0 else { throw ModelError.noCheckpoint(path: path, why: "there are no weights in it") }
    _ = try Family.plan(for: GGUFModel(path: path).configuration(overrides: [:]))
  }

  private mutating func read(folder: String) throws {
    family = try JSON.read(folder + "/config.json", options: .python).stringIfPresent("model_type")
    let index = folder + "/model.safetensors.index.json"
    let single = folder + "/model.safetensors"
    // The plan first: why a family is not supported says more than where its weights are.
    let unsupported = Result {
      let configuration = try Configuration(path: folder + "/config.json", overrides: [:])
      _ = try configuration.scaleBlock()
      _ = try Family.plan(for: configuration.ofText())
    }
    if FileStatus.exists(index) {
      count(try SafetensorsIndex(path: index).openShards().flatMap(\.tensors))
    } else if FileStatus.exists(single) {
      count(try SafetensorsFile(path: single).tensors)
    } else {
      try unsupported.get()
      throw ModelError.noCheckpoint(path: folder, why: "there is no model.safetensors and no model.safetensors.index.json")
    }
    try unsupported.get()
  }

  private mutating func count(_ tensors: [TensorView]) {
    var byType: [String: Int] = [:]
    for tensor in tensors { byType[tensor.elementType.rawValue, default: 0] += tensor.byteCount }
    parameters = tensors.reduce(0) { $0 + $1.elementCount }
    bytes = tensors.reduce(0) { $0 + $1.byteCount }
    stored = byType.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
  }
}
