// What `inspect` and provenance say about a checkpoint: counts and bytes from shapes alone, and hashes of its files.

import Formats
import Routing

/// Parameter counts and sizes, from shapes.
public struct ModelFacts: Sendable {
  public struct Stored: Sendable {
    public var type: String
    public var tensors: Int
    public var parameters: Int
    public var bytes: Int
  }
  /// By element type, largest first.
  public var stored: [Stored]
  public var parameters: Int
  /// Parameters that one token meets: everything but the experts it does not take; the embedding counts as one row.
  public var activeParameters: Int
  public var weightBytes: Int
  /// Bytes of the weights that one token meets, a row of the embedding included.
  public var activeBytes: Int
  /// Names of tensors that the declaration does not use.
  public var unusedTensors: [String]
  public var routedLayers: Int
  public var denseLayers: Int
  /// Bytes of keys and values a position takes.
  public var cacheBytesPerToken: Int
  /// Bytes that layers with a recurrence keep of a sequence, whatever its length.
  public var stateBytes: Int
  /// Element type of the routers' weights.
  public var routerPrecision: String
  /// Element type most weights have.
  public var quantization: String { stored.first?.type.lowercased() ?? "none" }
}

extension Checkpoint {
  var parameterCount: Int { tensors.reduce(0) { $0 + $1.elementCount } }
  var weightBytes: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// SHA-256 over the files' names, sizes and contents, hex.
  func hash(progress: (Int) -> Void) throws -> String {
    var hash = SHA256()
    for file in files {
      let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
      let bytes = try FileBytes(path: file.path)
      Array("\(name)\n\(bytes.byteCount)\n".utf8).withUnsafeBytes { hash.update($0) }
      try hash.update(bytes, progress: progress)
    }
    return hash.hexDigest()
  }
}

extension LanguageModel {
  public func facts() -> ModelFacts {
    let total = weights.checkpoint.parameterCount
    let operations = weights.operations
    let routedLayers = Set(routers.map { [$0.id.stack == .encoder ? 1 : 0, $0.id.layer.rawValue] }).count
    let isTied = plan.outputHead.weight == plan.embedding
    let embedding = isTied ? WeightSize() : WeightSize(weights.embedding.rows(1..<vocabularySize))
    let encoderEmbedding = weights.encoder.flatMap { encoder in
      encoder.embedding.base == weights.embedding.base ? nil : WeightSize(encoder.embedding.rows(1..<vocabularySize))
    }
    let idle = operations.map(\.idle) + [embedding, encoderEmbedding ?? WeightSize()]
    let weightBytes = weights.checkpoint.weightBytes
    return ModelFacts(
      stored: ModelFacts.Stored.table(of: weights.checkpoint.tensors), parameters: total,
      activeParameters: total - idle.reduce(0) { $0 + $1.parameters }, weightBytes: weightBytes,
      activeBytes: weightBytes - idle.reduce(0) { $0 + $1.bytes }, unusedTensors: weights.unusedTensors, routedLayers: routedLayers,
      denseLayers: layerCount - routedLayers, cacheBytesPerToken: 4 * operations.reduce(0) { $0 + $1.cacheFloatsPerToken },
      stateBytes: 4 * operations.reduce(0) { $0 + $1.stateFloats },
      routerPrecision: operations.compactMap(\.routerPrecision).first.map { "\($0)" } ?? "none")
  }

  public var identity: ModelIdentity {
    let facts = facts()
    return ModelIdentity(
      name: name, family: family, path: path, filesHash: "", quantization: facts.quantization, routerPrecision: facts.routerPrecision,
      tokenizerHash: "", layerCount: layerCount, vocabularySize: vocabularySize)
  }

  public func hashedIdentity(progress: (Int) -> Void = { _ in }) throws -> ModelIdentity {
    let tokenizer = path + "/tokenizer.json"
    let metadataHash = GGUFFile.isAt(path) ? try? openTokenizer().contentHash : nil
    var identity = identity
    identity.filesHash = try weights.checkpoint.hash(progress: progress)
    identity.tokenizerHash = try metadataHash ?? (FileStatus.exists(tokenizer) ? SHA256.hexDigest(ofFile: tokenizer) : "")
    return identity
  }
}

/// A model that can say which one it is.
public protocol IdentifiedModel: Sendable {
  /// For a trace, as far as headers say: the hashes of its files are empty.
  var identity: ModelIdentity { get }
  /// The same with hashes: this reads every file once.
  ///
  /// - Parameter progress: called now and then with bytes read since the last time.
  /// - Throws: `FormatError` when a file cannot be read.
  func hashedIdentity(progress: (Int) -> Void) throws -> ModelIdentity
}

extension LanguageModel: IdentifiedModel {}
extension DenoisingModel: IdentifiedModel {}

extension ModelFacts.Stored {
  /// By element type, largest first.
  public static func table(of tensors: some Sequence<TensorView>) -> [ModelFacts.Stored] {
    var byType: [String: ModelFacts.Stored] = [:]
    for tensor in tensors {
      let type = tensor.elementType.safetensorsName
      byType[type, default: .init(type: type, tensors: 0, parameters: 0, bytes: 0)].add(tensor)
    }
    return byType.values.sorted { $0.bytes > $1.bytes }
  }

  private mutating func add(_ tensor: TensorView) {
    tensors += 1
    parameters += tensor.elementCount
    bytes += tensor.byteCount
  }
}
