// A checkpoint that is ready to run: its plan, its bound weights and what there is to know about it. Opening reads headers and maps
// files; no weight is touched before it is needed.

import Formats
import Routing

/// A Mixture-of-Experts language model, decoder-only or with an encoder. Immutable; several forward passes may share it.
public final class LanguageModel: Sendable {
  /// Folder or file of the checkpoint as the caller named it.
  public let path: String
  /// Tokens that end a text, as config.json names them.
  public let endTokens: [Int32]
  let plan: ModelPlan
  let weights: ModelWeights

  /// Tokens whose decisions take 128 MB while they are made: fewer than most passes have only where a token may take hundreds of experts.
  public var passRoom: Int { max(16, (128 << 20) / max(1, routers.reduce(0) { $0 + 8 * $1.slots })) }

  /// Which blocks of the files are this model.
  let layers: TextLayers

  /// Settings that the file leaves out, and that the family's published checkpoints or the reference decide: field of config.json and
  /// value as JSON.
  public let assumed: [(key: String, value: String)]

  /// - Parameters:
  ///   - path: folder with config.json and safetensors weights, or a GGUF file.
  ///   - overrides: `key=value` replacements for fields of config.json, values as JSON.
  ///   - tables: file of the tables that the types IQ1, IQ2 and IQ3 look their numbers up in (tools/make_iq_tables.py). A model is
  ///     described without it, and not run: see `requireNumbers`.
  /// - Throws: `ModelError` for what is missing, unsupported or of the wrong shape, `FormatError` for damaged files.
  public convenience init(path: String, overrides: [String: String] = [:], tables: String? = nil) throws {
    try self.init(path: path, overrides: overrides, tables: tables, families: Family.all)
  }

  /// - Parameter families: the declarations to choose from.
  init(path: String, overrides: [String: String] = [:], tables: String? = nil, families: [Family]) throws {
    self.path = path
    guard FileStatus.exists(path) else { throw ModelError.noCheckpoint(path: path, why: "there is no such file or folder") }
    let settings: Configuration
    let checkpoint: Checkpoint
    let lookahead: Int
    if GGUFFile.isAt(path) {
      let model = try GGUFModel(path: path)
      let stated = try model.configuration(overrides: overrides)
      checkpoint = Checkpoint(model, tables: tables)
      plan = try Family.plan(for: stated, among: families)
      assumed = model.assumptions(of: stated, overrides: overrides)
      settings = stated
      lookahead = model.lookaheadCount
    } else {
      let configuration = path + "/config.json"
      guard FileStatus.exists(configuration) else {
        // A damaged file says so first.
        if !FileStatus.isFolder(path) {
          if !path.hasSuffix(".json") { _ = try Checkpoint(file: path) }
          if let absence = CheckpointFiles.absence(of: path) { throw absence }
        }
        throw ModelError.noCheckpoint(path: path, why: "there is no config.json")
      }
      let whole = try Configuration(path: configuration, overrides: overrides)
      try Self.refuseQuantisation(beside: whole, in: path)
      checkpoint = try Checkpoint(directory: path, packing: whole.packing())
      settings = try whole.ofText(among: families)
      plan = try Family.plan(for: settings, among: families)
      assumed = settings.assumptions
      lookahead = whole.declaredLookahead
    }
    layers = TextLayers(
      count: plan.decoder.blocks.count, ahead: lookahead, ownExperts: plan.ownExperts, among: checkpoint.tensors)
    endTokens = settings.integers("eos_token_id")
    do {
      weights = try ModelWeights(plan: plan, checkpoint: checkpoint)
    } catch RoutingError.invalidSpec(let expected, let found) {
      throw ModelError.configuration(file: settings.file, key: "the router's fields", expected: expected, found: found)
    }
  }

  /// NVIDIA's Model Optimizer says its quantisation in a file of its own, and in many checkpoints nowhere else.
  private static func refuseQuantisation(beside configuration: Configuration, in folder: String) throws {
    let file = folder + "/hf_quant_config.json"
    guard configuration.quantization == nil, FileStatus.exists(file),
      let algorithm = (try? JSON.read(file, options: .python))?["quantization"]?["quant_algo"]?.string
    else { return }
    throw ModelError.unsupportedSetting(
      file: file, key: "quantization.quant_algo", found: "\"\(algorithm)\"",
      supported: "the model as it was published, in 8-bit or 4-bit floats, or as GGUF")
  }

  /// What is odd about the checkpoint and changes numbers: to be said before anything else.
  public var warnings: [String] {
    let (head, embedding) = (weights.outputHead.weight, weights.embedding)
    guard !plan.outputHead.weight.alternatives.isEmpty, !head.isSame(as: embedding) else { return [] }
    return [
      "tie_word_embeddings is true, but the file holds a lm_head.weight of its own: that one is the output head, as in transformers, "
        + "and not the embedding  (--set tie_word_embeddings=false says so)"
    ]
  }

  /// What there is to know about the files before their numbers are used: see `Checkpoint.notes`.
  public var notes: [String] { weights.checkpoint.notes(layers) }

  /// - Throws: `ModelError.lookupTables` for a model that can be described and not run, as tables for its numbers are not there.
  public func requireNumbers() throws(ModelError) {
    if let obstacle = weights.checkpoint.obstacle { throw obstacle }
  }

  public var family: String { plan.family }
  /// Blocks, the encoder's included.
  public var layerCount: Int { (plan.encoder?.stack.blocks.count ?? 0) + plan.decoder.blocks.count }
  var decoderLayerCount: Int { plan.decoder.blocks.count }
  public var hasEncoder: Bool { plan.encoder != nil }
  public var hiddenSize: Int { plan.hiddenSize }
  public var vocabularySize: Int { plan.vocabularySize }
  /// Positions a sequence may have.
  public var contextLength: Int { plan.contextLength }

  /// Every router, in layer order; those of the encoder first.
  public var routers: [RouterDescription] { weights.operations.flatMap(\.routers) }

  /// Whether a router of the decoder can only decide about a whole sequence: its capacity looks ahead.
  var takesWholeSequences: Bool { weights.decoder.operations.flatMap(\.routers).contains { $0.spec.takesWholeSequences } }

  public var name: String { Self.name(of: path) }

  /// The last component of a path; of a snapshot in the Hugging Face cache the name of its repository.
  public static func name(of path: String) -> String {
    let parts = path.split(separator: "/").map(String.init)
    if parts.count >= 3, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--") {
      return String(parts[parts.count - 3].dropFirst("models--".count)).replacing("--", with: "/")
    }
    return parts.last ?? path
  }

  /// The folder of a model that is opened with this file of weights, alone or among others; nil for any other file.
  public static func folder(ofWeights path: String) -> String? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let parent = parts.dropLast().joined(separator: "/")
    let folder = parts.count == 1 ? "." : parent.isEmpty ? "/" : parent
    guard FileStatus.exists(folder + "/config.json"), let files = try? CheckpointFiles(in: folder).files else { return nil }
    return files.contains { $0.path.split(separator: "/").last.map(String.init) == parts.last } ? folder : nil
  }

  /// Opens the tokenizer beside the weights, or the one in a GGUF file.
  ///
  /// - Throws: `ModelError.noTokenizer` when there is none, `FormatError.unsupported` when it asks for something unsupported.
  public func openTokenizer() throws -> Tokenizer {
    if GGUFFile.isAt(path) {
      let metadata = try GGUFSplit(path: path).files[0]
      guard Tokenizer.isIn(metadata) else { throw ModelError.noTokenizer(path: path) }
      return try Tokenizer(gguf: metadata)
    }
    let file = path + "/tokenizer.json"
    let configuration = path + "/tokenizer_config.json"
    guard FileStatus.exists(file) else { throw ModelError.noTokenizer(path: path) }
    return try Tokenizer(file: file, configuration: FileStatus.exists(configuration) ? configuration : nil)
  }

  /// - Throws: `ModelError` when the model's numbers are not known, a token is outside the vocabulary, the sequence is longer than the
  ///   context, or it is not of the kind that the model reads.
  public func check(_ sequence: TokenSequence) throws {
    try requireNumbers()
    let name = sequence.description.name
    guard (sequence.encoder != nil) == hasEncoder, sequence.encoder?.isEmpty != true else {
      throw ModelError.sequenceKind(sequence: name, modelHasEncoder: hasEncoder)
    }
    for tokens in [sequence.encoder, sequence.tokens].compactMap(\.self) {
      if tokens.count > contextLength { throw ModelError.sequenceTooLong(sequence: name, tokens: tokens.count, limit: contextLength) }
      for token in tokens where token < 0 || Int(token) >= vocabularySize {
        throw ModelError.unknownToken(id: Int(token), vocabularySize: vocabularySize, sequence: name)
      }
    }
  }
}
