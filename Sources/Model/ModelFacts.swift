// What `inspect` and provenance say about a checkpoint: counts and bytes from shapes alone.

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
  /// Of the model that runs; every matrix once, embeddings included.
  public var parameters: Int
  /// Parameters that one token is multiplied with, each once: all but the experts it does not take and the table its embedding is looked up
  /// in. Of the experts of a layer that runs several times as many as its runs can take, all different.
  public var activeParameters: Int
  /// The same with that table, as many model cards count; no more where the table is the output head.
  public var activeWithEmbeddings: Int
  /// Parts of the files that are not run.
  public var otherParameters = OtherParameters()
  public var weightBytes: Int
  /// Bytes of the weights that one token meets, a row of the embedding included.
  public var activeBytes: Int
  /// Names of tensors that the declaration does not use.
  public var unusedTensors: [String]
  public var routedLayers: Int
  public var denseLayers: Int
  /// Layers that do as a router of another layer decided.
  public var followingLayers = 0
  /// Layers of attention or a recurrence alone.
  public var mixingLayers = 0
  /// Bytes of keys and values a position takes, as this engine keeps them.
  public var cacheBytesPerToken: Int
  /// Bytes that layers with a recurrence keep of a sequence, whatever its length.
  public var stateBytes: Int
  /// Element type of the routers' weights.
  public var routerPrecision: String
  /// Element type most weights have.
  public var quantization: String { stored.first?.type.lowercased() ?? "none" }
}

extension Checkpoint {
  var weightBytes: Int { tensors.reduce(0) { $0 + $1.byteCount } }
}

extension LanguageModel {
  public func facts() -> ModelFacts {
    let checkpoint = weights.checkpoint
    let count = ParameterCount(checkpoint.written)
    // What is left over of the text model is counted, as its names are: it is in the file for some other program.
    let (used, unused) = (checkpoint.numbers(used: true), checkpoint.numbers(used: false))
    let rest = count.byPart(of: unused, layers)
    let usedParameters = used.reduce(0) { $0 + count.elements[$1] }
    let operations = weights.operations
    let routedLayers = Set(routers.map { [$0.id.stack == .encoder ? 1 : 0, $0.id.layer.rawValue, $0.id.repetition ?? 0] }).count
    let blocks = (weights.encoder?.stack.blocks ?? []) + weights.decoder.blocks
    let following = Set(routers.flatMap { $0.more?.holdsFor ?? [] }).subtracting(routers.map(\.id.layer.rawValue)).count
    let mixingLayers =
      blocks.count { block in
        block.allSatisfy { $0.operation.routers.isEmpty && !($0.operation is BoundDense) }
      } - following
    // Tables that are looked up in, not multiplied with: a row of each is met.
    let lookups = [weights.embedding, weights.encoder?.embedding].compactMap(\.self)
    let tables = Dictionary(lookups.filter { $0.base != weights.outputHead.weight.base }.map { ($0.base, $0) }) { first, _ in first }.values
    let idle = operations.map(\.idle)
    let active = usedParameters - idle.reduce(0) { $0 + $1.parameters }
    let idleBytes = (idle + tables.map { WeightSize($0.rows(1..<vocabularySize)) }).reduce(0) { $0 + $1.bytes }
    return ModelFacts(
      stored: ModelFacts.Stored.table(of: checkpoint.tensors, count), parameters: usedParameters + (rest[.text] ?? 0),
      activeParameters: active - tables.reduce(0) { $0 + $1.rows * $1.columns }, activeWithEmbeddings: active,
      otherParameters: OtherParameters(rest), weightBytes: checkpoint.weightBytes,
      activeBytes: used.reduce(0) { $0 + checkpoint.tensors[$1].byteCount } - idleBytes, unusedTensors: weights.unusedTensors,
      routedLayers: routedLayers,
      denseLayers: layerCount - routedLayers - mixingLayers - following, followingLayers: following, mixingLayers: mixingLayers,
      cacheBytesPerToken: 4 * operations.reduce(0) { $0 + $1.cacheFloatsPerToken },
      stateBytes: 4 * operations.reduce(0) { $0 + $1.stateFloats },
      routerPrecision: operations.compactMap(\.routerPrecision).first.map { "\($0)" } ?? "none")
  }

  public var identity: ModelIdentity {
    let facts = facts()
    return ModelIdentity(
      name: name, family: family, path: path, filesHash: "", quantization: facts.quantization, routerPrecision: facts.routerPrecision,
      tokenizerHash: "", layerCount: layerCount, vocabularySize: vocabularySize)
  }
}

extension LanguageModel {
  /// - Throws: `FormatError.changed` where a file of weights was written into since it was opened: nobody knows which bytes were used.
  public func requireUnwritten() throws { for file in weights.checkpoint.files { try file.requireUnwritten() } }
}

extension DenoisingModel {
  /// - Throws: `FormatError.changed`, as of a language model.
  public func requireUnwritten() throws { for file in weights.checkpoint.files { try file.requireUnwritten() } }
}

extension ModelFacts.Stored {
  /// By element type, largest first.
  public static func table(of tensors: [TensorView]) -> [ModelFacts.Stored] {
    let list = TensorList([tensors])
    return table(of: list, ParameterCount(TensorTable(list)))
  }

  static func table(of tensors: TensorList, _ count: ParameterCount) -> [ModelFacts.Stored] {
    var byType: [ElementType: ModelFacts.Stored] = [:]
    for (number, tensor) in tensors.enumerated() {
      let type = tensor.elementType
      byType[type, default: .init(type: type.safetensorsName, tensors: 0, parameters: 0, bytes: 0)].add(tensor, count.elements[number])
    }
    return byType.values.sorted { $0.bytes > $1.bytes }
  }

  private mutating func add(_ tensor: TensorView, _ elements: Int) {
    tensors += 1
    parameters += elements
    bytes += tensor.byteCount
  }
}
