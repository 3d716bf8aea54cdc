// What do headers alone say about a checkpoint? For lists of many: nothing is bound and no weight is touched, so that a folder of models
// is described in the time it takes to read their first pages. What cannot be read or run says why instead of failing.

import Formats

/// One checkpoint in a list.
public struct ModelSummary: Sendable {
  public enum Container: String, Sendable { case safetensors, pytorch, gguf }

  public let path: String
  public private(set) var container: Container
  /// `model_type` of config.json, or the architecture a GGUF file names; nil when the file does not get so far.
  public private(set) var family: String?
  /// Whether models of this family run, in some form.
  public var knowsFamily: Bool {
    container == .gguf
      ? GGUFFamily.all.contains { $0.architecture == family }
      : Family.all.contains { $0.modelType == family } || DenoisingFamily.all.contains { $0.modelType == family }
  }
  /// Numbers that the tensors of the text model stand for; nil when the headers cannot be read.
  public private(set) var parameters: Int?
  /// Those of towers and of layers behind the text model's own.
  public private(set) var otherParameters = OtherParameters()
  /// Bytes of all tensors.
  public private(set) var bytes: Int?
  /// Element type with most bytes.
  public private(set) var stored: String?
  /// Why this program does not run it; nil when it does, as far as headers can tell.
  public private(set) var obstacle: String?

  /// - Parameter path: a folder with config.json, a GGUF file, or a file of weights alone.
  public init(path: String) {
    self.path = path
    container = GGUFFile.isAt(path) ? .gguf : PyTorchFile.isAt(path) ? .pytorch : .safetensors
    do {
      switch container {
      case .gguf: try read(gguf: path)
      case .safetensors, .pytorch: try FileStatus.isFolder(path) ? read(folder: path) : read(file: path)
      }
    } catch {
      obstacle = "\(error)".split(separator: "\n").first.map(String.init) ?? "it cannot be read"
    }
  }

  private mutating func read(gguf path: String) throws {
    let split = try GGUFSplit(path: path)
    family = split.files[0]["general.architecture"]?.string.map { OllamaFiles.named($0)?.architecture ?? $0 }
    let table = TensorTable(TensorList(split.files.map(\.tensors)))
    let tensors = table.tensors
    // What a file without tensors is, its metadata say.
    let metadata = tensors.isEmpty ? try GGUFMetadata(split) : try? GGUFMetadata(split)
    count(table, TextLayers(count: metadata?.blockCount, ahead: metadata?.lookaheadCount ?? 0, among: tensors))
    guard bytes ?? 0 > 0 else { throw ModelError.noCheckpoint(path: path, why: "there are no weights in it") }
    _ = try Family.plan(for: GGUFModel(path: path).configuration(overrides: [:]))
  }

  /// Weights without a configuration: the only models that are known by their shapes are diffusion transformers.
  private mutating func read(file path: String) throws {
    let table = try DenoisingShapes.open(path).written
    count(table, TextLayers(count: nil, among: table.tensors))
    family = try DenoisingModel(path: path).family
  }

  private mutating func read(folder: String) throws {
    let type = try JSON.read(folder + "/config.json", options: .python).stringIfPresent("model_type")
    family = type
    // The plan first: why a family is not supported says more than where its weights are.
    let whole = Result { try Configuration(path: folder + "/config.json", overrides: [:]) }
    let plan: Result<ModelPlan?, any Error> = Result {
      let configuration = try whole.get()
      _ = try configuration.packing()
      if DenoisingFamily.all.contains(where: { $0.modelType == type }) {
        _ = try DenoisingFamily.plan(for: configuration)
        return nil
      }
      return try Family.plan(for: configuration.ofText())
    }
    do {
      let contents = try CheckpointFiles(in: folder)
      if contents.files.contains(where: { $0 is PyTorchFile }) { container = .pytorch }
      let settings = try? whole.get()
      let layers = TextLayers(
        count: settings?.declaredLayerCount, ahead: settings?.declaredLookahead ?? 0, ownExperts: (try? plan.get())?.ownExperts,
        among: contents.table.tensors)
      count(contents.table, layers, quantization: settings?.quantization)
    } catch let absence as ModelError {
      _ = try plan.get()
      throw absence
    }
    _ = try plan.get()
  }

  private mutating func count(_ table: TensorTable, _ layers: TextLayers, quantization: JSONValue? = nil) {
    let tensors = table.tensors
    var byType: [String: Int] = [:]
    for tensor in tensors { byType[tensor.elementType.rawValue, default: 0] += tensor.byteCount }
    let count = ParameterCount(table, quantization: quantization)
    let parts = count.byPart(of: tensors.indices, layers)
    parameters = parts[.text]
    otherParameters = OtherParameters(parts)
    bytes = tensors.reduce(0) { $0 + $1.byteCount }
    stored = byType.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
  }
}
