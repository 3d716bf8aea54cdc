// A GGUF checkpoint seen as one that was published with a config.json: which family it is, the fields of the configuration that its
// metadata amount to, the fields it leaves out with the values that published checkpoints have, and the names of its tensors.
// What each family's converter writes is data, in GGUFFamilies.swift.

import Formats

/// A GGUF file with its splits, identified.
struct GGUFModel: Sendable {
  let path: String
  let split: GGUFSplit
  let names: GGUFNames
  /// Fields of config.json and their values as JSON.
  private let fields: [String: String]
  /// All fields that files of this family can say.
  private let fieldNames: Set<String>
  /// The ones among them that the file does not say.
  let assumed: [(key: String, value: String)]
  /// Tensors that amount to fields.
  let readTensors: Set<String>
  /// Blocks behind the text model that look further ahead.
  let lookaheadCount: Int

  /// - Throws: `FormatError` for damaged files, `ModelError.unsupportedFamily`, `.configuration` for metadata that are missing or wrong.
  init(path: String) throws {
    self.path = path
    split = try GGUFSplit(path: path)
    let metadata = try GGUFMetadata(split)
    let family = try GGUFFamily.of(metadata)
    var fields = ["model_type": "\"\(family.modelType)\""]
    var assumed: [(key: String, value: String)] = []
    func assume(_ key: String, _ value: String) throws {
      let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
      if parts.count == 2 {
        guard let whole = fields[parts[0]] else { return }
        fields[parts[0]] = try JSON.parse(text: whole, name: path).text(replacing: [parts[1]], with: value)
      } else {
        fields[key] = value
      }
      assumed.append((key, value))
    }
    if let name = family.assumedName { try assume("model_type", "\"\(name)\"") }
    for field in family.fields {
      switch field.source {
      case .metadata(let read): fields[field.key] = try read(metadata)
      case .key(let key, let otherwise):
        if let said = metadata.json(key) {
          fields[field.key] = said
        } else if let value = otherwise(metadata) {
          try assume(field.key, value)
        }
      case .assumed(let published): if let value = published(metadata) { try assume(field.key, value) }
      }
    }
    try metadata.refuseUnread(but: family.habits.factors)
    self.fields = fields
    fieldNames = Set(family.fields.map(\.key))
    self.assumed = assumed
    readTensors = metadata.readTensors
    lookaheadCount = metadata.lookaheadCount
    names = try metadata.names(family.habits)
  }

  /// What the model runs with although neither the file nor the user says it: the values of published checkpoints, and what the
  /// declaration took in place of a field that other files have.
  func assumptions(of settings: Configuration, overrides: [String: String]) -> [(key: String, value: String)] {
    let defaults = settings.defaulted.filter { fieldNames.contains($0.key) && fields[$0.key] == nil }.sorted { $0.key < $1.key }
    // A setting of the user answers for the whole field and for every part of it.
    return (assumed + defaults.map { ($0.key, $0.value) }).filter { assumption in
      !overrides.keys.contains { assumption.key == $0 || assumption.key.hasPrefix($0 + ".") }
    }
  }

  func configuration(overrides: [String: String]) throws -> Configuration {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    return try Configuration(file: file, fields: fields, overrides: overrides)
  }
}

/// The metadata of a GGUF model, read with the prefix of its architecture.
struct GGUFMetadata: Sendable {
  let file: GGUFFile
  let architecture: String
  /// What keys begin with: the architecture as the file calls it.
  let prefix: String
  private let ollama: OllamaFiles?
  /// Tensors that llama.cpp calls otherwise.
  let renamed: [String: String]
  /// Blocks that predict the next token; those that look further ahead are not run.
  private(set) var blockCount = 0
  private(set) var lookaheadCount = 0
  private let tensorShapes: [String: [Int]]
  /// Short lists of numbers that files keep as tensors.
  private let lists: [String: TensorView]
  private let read = Read()

  /// Keys of the architecture, and tensors, that were asked for.
  ///
  /// `@unchecked Sendable`: written only while a model is opened, by the one thread that opens it.
  private final class Read: @unchecked Sendable {
    var keys: Set<String> = []
    var tensors: Set<String> = []
  }

  init(_ split: GGUFSplit) throws {
    file = split.files[0]
    guard let name = file["general.architecture"]?.string else {
      throw ModelError.configuration(file: file.path, key: "general.architecture", expected: "a name", found: "nothing")
    }
    let ollama = OllamaFiles.named(name)
    (prefix, self.ollama, architecture) = (name, ollama, ollama?.architecture ?? name)
    let tensors = split.files.flatMap(\.tensors)
    let renamed = ollama?.renamed(tensors.map(\.name)) ?? [:]
    self.renamed = renamed
    tensorShapes = Dictionary(tensors.map { (renamed[$0.name] ?? $0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    lists = Dictionary(
      tensors.filter { $0.shape.count == 1 && $0.elementType == .f32 }.map { (renamed[$0.name] ?? $0.name, $0) },
      uniquingKeysWith: { first, _ in first })
    guard !tensorShapes.isEmpty else {
      guard Tokenizer.isIn(file) else {
        throw FormatError.malformed(
          file: file.path, place: "header", problem: "says that there are 0 tensors", hint: "the file of the model itself")
      }
      throw ModelError.noCheckpoint(
        path: file.path, why: "this GGUF file holds a vocabulary alone, and no weights", advice: "the file of the model itself")
    }
    let ahead = integer("nextn_predict_layers") ?? 0
    let count = (integer("block_count") ?? 0) - ahead
    guard count > 0, count <= tensorShapes.count else {
      throw ModelError.configuration(
        file: file.path, key: "\(prefix).block_count", expected: "blocks for \(tensorShapes.count) tensors", found: "\(count)")
    }
    let numbers = tensorShapes.keys.compactMap { name in
      name.hasPrefix("blk.") ? Int(name.dropFirst(4).prefix { $0.isNumber }) : nil
    }
    if let last = numbers.max(), count > last + 1 {
      throw ModelError.configuration(
        file: file.path, key: "\(prefix).block_count", expected: "at most \(last + 1), the blocks with tensors (is the download complete?)",
        found: "\(count)")
    }
    (blockCount, lookaheadCount) = (count, max(0, ahead))
  }

  func has(_ tensor: String) -> Bool { tensorShapes[tensor] != nil }

  /// Outputs of a matrix.
  func rows(_ tensor: String) -> Int? { tensorShapes[tensor]?.first }

  /// Outputs of the matrix that the first of the blocks with it has.
  func rowsOfFirst(_ suffix: String) -> Int? { (0..<blockCount).lazy.compactMap { self.rows("blk.\($0).\(suffix)") }.first }

  /// Whether some block has a tensor.
  func anyBlock(has suffix: String) -> Bool { tensorShapes.keys.contains { $0.hasPrefix("blk.") && $0.hasSuffix(".\(suffix)") } }

  /// The value of "ARCHITECTURE.KEY".
  subscript(key: String) -> GGUFValue? {
    read.keys.insert(key)
    return file["\(prefix).\(key)"] ?? ollama?.keys[key].flatMap { file["\(prefix).\($0)"] } ?? ollama?.values[key]
  }

  /// Keys that change what a model computes, where a file has them.
  private static let consequential = [
    "attention.sliding_window", "attention.clamp_kqv", "attention.scale", "attention.temperature_scale", "attention.chunk_size",
    "attention.value_scale",
    "attn_logit_softcapping", "final_logit_softcapping", "router_logit_softcapping", "logit_scale", "embedding_scale", "residual_scale",
    "rope.scaling.type", "expert_group_scale", "experts_per_group",
  ]

  /// - Parameter factors: tensors of a block that the family reads as the published ones they are.
  /// - Throws: `ModelError.unsupportedSetting` for metadata and tensors that the family does not read and that matter.
  func refuseUnread(but factors: Set<String>) throws {
    for key in Self.consequential where !read.keys.contains(key) {
      guard let value = file["\(prefix).\(key)"], value.double != 0, value.string != "none" else { continue }
      throw ModelError.unsupportedSetting(
        file: file.path, key: "\(prefix).\(key)", found: value.string ?? json(key) ?? "set",
        supported: "files of this architecture without it")
    }
    for tensor in tensorShapes.keys.sorted()
    where !OllamaFiles.isBesideText(tensor) && (tensor.hasPrefix("rope_f") || tensor.hasSuffix(".scale")) && !read.tensors.contains(tensor)
      && !factors.contains(where: { tensor.hasPrefix("blk.") && tensor.hasSuffix(".\($0)") })
    {
      throw ModelError.unsupportedSetting(
        file: file.path, key: "tensor \"\(tensor)\"", found: "a factor on other tensors", supported: "files without it")
    }
  }

  /// One whole number; of a list (one for each block) the largest.
  func integer(_ keys: String...) -> Int? {
    for key in keys {
      let value = self[key].flatMap { $0.int64 ?? $0.array?.largestInteger }
      if let value, (0..<1 << 31).contains(value) { return Int(value) }
    }
    return nil
  }

  /// A flag for each block, which some converters write as numbers; nil where the value is no list of either.
  func flags(_ key: String) -> [Bool]? {
    let list = self[key]?.array
    return list?.bools ?? list?.numbers?.map { $0 != 0 }
  }

  func required(_ key: String) throws -> Int {
    guard let value = integer(key) else {
      throw ModelError.configuration(
        file: file.path, key: "\(prefix).\(key)", expected: "a whole number", found: self[key] == nil ? "nothing" : "something else")
    }
    return value
  }

  /// A value as JSON. 32-bit floats are spelt with the fewest digits that give them back: 1e-05, as config.json has it.
  func json(_ key: String) -> String? {
    switch self[key] {
    case .integer(let value): "\(value)"
    case .number(let value): value.isFinite ? Float(exactly: value).map { "\($0)" } ?? "\(value)" : nil
    case .bool(let value): "\(value)"
    case .unsigned, .string, .array, nil: nil
    }
  }

  /// The numbers of a tensor as a list in JSON; nil where the file does not have it as f32.
  func list(_ tensor: String) -> String? {
    numbers(tensor).map { "[" + $0.map { "\($0)" }.joined(separator: ", ") + "]" }
  }

  /// The numbers of a tensor; nil where the file does not have it as f32.
  func numbers(_ tensor: String) -> [Float]? {
    guard let view = lists[tensor] else { return nil }
    let numbers = (0..<view.elementCount).map {
      Float(bitPattern: UInt32(littleEndian: view.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
    }
    guard numbers.allSatisfy(\.isFinite) else { return nil }
    read.tensors.insert(tensor)
    return numbers
  }

  var readTensors: Set<String> { read.tensors }

  /// Which way of splitting text the file's tokenizer has: of architectures that several families share it names the family.
  var textSplitting: String? { ollama?.split ?? file["tokenizer.ggml.pre"]?.string }

  /// Whether the file stretches positions, by its metadata or by tensors of divisors.
  var scalesPositions: Bool { (try? ropeScaling { _ in [] }) != nil }

  /// `layer_types` as JSON.
  func layerTypes(_ hasWindow: (Int) -> Bool) -> String {
    "[" + (0..<blockCount).map { hasWindow($0) ? "\"sliding_attention\"" : "\"full_attention\"" }.joined(separator: ", ") + "]"
  }

  /// Experts that every token takes; nil where the file has none.
  var sharedExpertCount: Int? {
    if let said = integer("expert_shared_count") { return said }
    guard let rows = tensorShapes.first(where: { $0.key.hasSuffix(".ffn_up_shexp.weight") })?.value.first, let width = expertWidth else {
      return nil
    }
    return rows / max(1, width)
  }

  private var expertWidth: Int? { integer("expert_feed_forward_length", "feed_forward_length") }

  var headCount: Int { integer("attention.head_count") ?? 1 }

  var headSize: Int { integer("attention.key_length") ?? (integer("embedding_length") ?? 0) / max(1, headCount) }

  var vocabularySize: Int? {
    tensorShapes["token_embd.weight"]?.first ?? integer("vocab_size")
  }

  func names(_ usual: GGUFNames.Habits) throws -> GGUFNames {
    var habits = usual
    // Said by Ollama's files.
    if self["ssm.v_head_reordered"]?.bool == false { habits.tilesValueHeads = false }
    let groups = max(1, integer("ssm.group_count") ?? 1), values = max(1, integer("ssm.time_step_rank") ?? 1)
    let shapes = tensorShapes
    guard values % groups == 0 || !habits.tilesValueHeads else {
      throw ModelError.configuration(
        file: file.path, key: "\(prefix).ssm.time_step_rank", expected: "a multiple of ssm.group_count \(groups)", found: "\(values)")
    }
    guard headSize > 1 || !habits.pairsHeadRows else {
      throw ModelError.configuration(
        file: file.path, key: "\(prefix).attention.head_count", expected: "heads of several elements", found: "\(headSize)")
    }
    return GGUFNames(
      habits: habits, headSize: headSize, headCount: headCount,
      linearHeads: (groups, max(1, integer("ssm.state_size") ?? 1), values, max(1, (integer("ssm.inner_size") ?? 1) / values)),
      indexSize: integer("attention.indexer.key_length") ?? 0, renamed: renamed, has: { shapes[$0] != nil })
  }
}
