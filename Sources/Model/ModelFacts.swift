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
  /// Names of tensors that the declaration does not use.
  public var unusedTensors: [String]
  public var routedLayers: Int
  public var denseLayers: Int
  /// Bytes of keys and values a position takes.
  public var cacheBytesPerToken: Int
  /// Element type of the routers' weights.
  public var routerPrecision: String
  /// Element type most weights have.
  public var quantization: String { stored.first?.type.lowercased() ?? "none" }
}

extension LanguageModel {
  public func facts() -> ModelFacts {
    let tensors = weights.checkpoint.tensors
    var byType: [String: ModelFacts.Stored] = [:]
    for tensor in tensors {
      byType[
        tensor.elementType.safetensorsName,
        default: .init(type: tensor.elementType.safetensorsName, tensors: 0, parameters: 0, bytes: 0)
      ].add(tensor)
    }
    var idle = 0
    var routed = 0
    for block in weights.blocks {
      guard let routing = block.feedForward.routing else { continue }
      routed += 1
      let expert = 3 * block.feedForward.intermediateSize * hiddenSize
      idle += (routing.router.spec.expertCount - routing.router.spec.topK) * expert
    }
    let used = plan.tensorNames
    let total = tensors.reduce(0) { $0 + $1.elementCount }
    let embeddingIdle = (vocabularySize - 1) * hiddenSize
    let tied = plan.outputHead == plan.embedding
    let router = weights.blocks.compactMap { $0.feedForward.routing?.weight.type }.first
    return ModelFacts(
      stored: byType.values.sorted { $0.bytes > $1.bytes }, parameters: total,
      activeParameters: total - idle - (tied ? 0 : embeddingIdle),
      weightBytes: tensors.reduce(0) { $0 + $1.byteCount },
      unusedTensors: tensors.map(\.name).filter { !used.contains($0) }.sorted(), routedLayers: routed,
      denseLayers: layerCount - routed,
      cacheBytesPerToken: plan.blocks.reduce(0) { $0 + 2 * 4 * $1.attention.keyValueHeadCount * $1.attention.headSize },
      routerPrecision: router.map { "\($0)" } ?? "none")
  }

  /// Who this model is, for a trace: hashes are computed here, so this reads every weight once.
  ///
  /// - Throws: `FormatError` when a file cannot be read.
  public func identity() throws -> ModelIdentity {
    var hash = SHA256()
    for file in weights.checkpoint.files {
      let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
      let bytes = try MappedFile(path: file.path)
      Array("\(name)\n\(bytes.byteCount)\n".utf8).withUnsafeBytes { hash.update($0) }
      hash.update(bytes.bytes)
    }
    let tokenizer = path + "/tokenizer.json"
    let facts = facts()
    return ModelIdentity(
      name: name, family: family, path: path, filesHash: hash.hexDigest(), quantization: facts.quantization,
      routerPrecision: facts.routerPrecision, tokenizerHash: FileStatus.exists(tokenizer) ? try SHA256.hexDigest(ofFile: tokenizer) : "",
      layerCount: layerCount, vocabularySize: vocabularySize)
  }
}

extension ModelFacts.Stored {
  fileprivate mutating func add(_ tensor: TensorView) {
    tensors += 1
    parameters += tensor.elementCount
    bytes += tensor.byteCount
  }
}

extension ModelPlan {
  /// Every tensor the plan binds.
  var tensorNames: Set<String> {
    var names: Set<String> = [embedding, finalNorm, outputHead]
    func add(_ linear: LinearPlan) {
      names.insert(linear.weight)
      if let bias = linear.bias { names.insert(bias) }
    }
    func add(_ gated: GatedPlan, experts: Int) {
      for expert in 0..<experts {
        for template in [gated.gate, gated.up, gated.down] { names.insert(template.naming(expert: expert)) }
      }
    }
    for block in blocks {
      names.formUnion([block.attentionNorm, block.feedForwardNorm])
      for linear in [block.attention.query, block.attention.key, block.attention.value, block.attention.output] { add(linear) }
      for norm in [block.attention.queryNorm, block.attention.keyNorm] { if let norm { names.insert(norm.weight) } }
      switch block.feedForward {
      case .dense(let dense): add(dense, experts: 1)
      case .experts(let experts):
        names.insert(experts.routerWeight)
        add(experts.expert, experts: experts.expertCount)
      }
    }
    return names
  }
}
