// Reads config.json for a family's declaration: typed, with older and newer spellings, and keeping account of what was read. A field
// that no one read and that is not known to be irrelevant is refused by name, because it may change what the model computes.

import Formats

/// A checkpoint's configuration while a declaration reads it.
final class Configuration {
  let file: String
  private var values: [String: JSONValue]
  private var nulls: Set<String> = []
  private var replaced: Set<String> = []
  private var unread: Set<String>

  /// - Parameter overrides: `key=value` settings of the user, values as JSON; they replace what the file says.
  /// - Throws: `FormatError` for damaged JSON, `ModelError.badOption` for an override that is not JSON.
  init(path: String, overrides: [String: String]) throws {
    file = path.split(separator: "/").last.map(String.init) ?? path
    let root = try JSON.read(path, options: .python)
    guard root.kind == .object else {
      throw ModelError.configuration(file: file, key: "the file", expected: "an object", found: "\(root.kind)")
    }
    values = [:]
    for (key, value) in root.objectMembers where !value.isNull { values[key] = value }
    nulls = Set(root.objectMembers.filter(\.1.isNull).map(\.0))
    unread = []
    try replace(overrides)
  }

  /// A configuration that some other file stands for.
  ///
  /// - Parameter fields: fields of config.json and their values as JSON.
  init(file: String, fields: [String: String], overrides: [String: String]) throws {
    self.file = file
    values = try fields.mapValues { try JSON.parse(text: $0, name: file) }.filter { !$0.value.isNull }
    unread = []
    try replace(overrides)
  }

  /// Whole fields first, then members of fields: `rope_scaling.factor` is the member of an object.
  private func replace(_ overrides: [String: String]) throws {
    for (key, text) in overrides.sorted(by: { ($0.key.contains(".") ? 1 : 0, $0.key) < ($1.key.contains(".") ? 1 : 0, $1.key) }) {
      var (name, replacement) = (key, text)
      guard (try? JSON.parse(text: text, name: "--set \(key)")) != nil else {
        throw ModelError.badOption(name: "--set \(key)", expected: "a JSON value", found: text)
      }
      if values[key] == nil, let dot = key.firstIndex(of: "."), let object = values[String(key[..<dot])], object.kind == .object {
        name = String(key[..<dot])
        replacement = object.text(replacing: String(key[key.index(after: dot)...]), with: text)
      }
      let value = try JSON.parse(text: replacement, name: "--set \(key)")
      values[name] = value.isNull ? nil : value
      replaced.insert(name)
    }
    unread = Set(values.keys)
  }

  /// Rows and columns of a weight that share a scale, from `quantization_config`. Layouts that tensors themselves show need no setting.
  ///
  /// - Throws: `ModelError.unsupportedSetting` for a method other than fp8 with block scales and mxfp4.
  func scaleBlock() throws -> (rows: Int, columns: Int) {
    let common = (128, 128)
    guard let value = value("quantization_config"), value.kind == .object else { return common }
    let method = value["quant_method"]?.string ?? "nothing"
    guard method == "fp8" || method == "mxfp4" else {
      throw refused("quantization_config.quant_method", found: "\"\(method)\"", supported: "\"fp8\", \"mxfp4\"")
    }
    if method == "mxfp4" { return common }
    guard let block = value["weight_block_size"], !block.isNull else {
      throw refused("quantization_config.weight_block_size", found: "nothing", supported: "scales of blocks")
    }
    let sizes = block.elements.compactMap(\.int64)
    guard sizes.count == 2, sizes.allSatisfy({ $0 > 0 && $0 <= 1 << 20 }) else {
      throw wrong(["quantization_config.weight_block_size"], "two positive integers", block)
    }
    return (Int(sizes[0]), Int(sizes[1]))
  }

  /// The settings of a nested object, as a configuration of its own: whoever reads it finishes it.
  ///
  /// - Parameter irrelevant: fields that do not touch the computation, beside the general ones.
  func section(_ key: String, irrelevant: Set<String>) throws -> Configuration {
    guard let value = value(key), value.kind == .object else {
      throw ModelError.configuration(file: file, key: key, expected: "an object", found: "something else")
    }
    return Configuration(file: "\(file): \(key)", members: value.objectMembers.filter { !irrelevant.contains($0.0) })
  }

  private init(file: String, members: [(String, JSONValue)]) {
    self.file = file
    values = [:]
    for (key, value) in members where !value.isNull { values[key] = value }
    nulls = Set(members.filter(\.1.isNull).map(\.0))
    unread = Set(values.keys)
  }

  /// The settings of the text model: these, or a part of them where the checkpoint sees or hears too.
  func ofText(among families: [Family] = Family.all) -> Configuration {
    func isKnown(_ type: String?) -> Bool { families.contains { $0.modelType == type } }
    guard !isKnown(values["model_type"]?.string), let text = values["text_config"], text.kind == .object,
      isKnown(text["model_type"]?.string)
    else { return self }
    // What the user sets is about the text model, and comes last; the other two are said in one place or the other.
    let common = ["eos_token_id", "tie_word_embeddings"].filter { text[$0] == nil }
    let shared = (common + replaced).compactMap { key in values[key].map { (key, $0) } }
    return Configuration(file: "\(file): text_config", members: text.objectMembers + shared)
  }

  /// Whether the file sets a field to null, which is not the same as leaving it out where the default is a value.
  func isNull(_ key: String) -> Bool { nulls.contains(key) && values[key] == nil }

  /// The first of these spellings that is there.
  func value(_ keys: String...) -> JSONValue? { value(among: keys) }

  private func value(among keys: [String]) -> JSONValue? {
    var found: JSONValue?
    for key in keys where values[key] != nil {
      unread.remove(key)
      if found == nil { found = values[key] }
    }
    return found
  }

  /// Sizes beyond this are refused: products of two of them and a few more stay within 64 bits.
  static let largestCount = 1 << 28

  func count(_ keys: String..., default fallback: Int? = nil) throws -> Int {
    guard let value = value(among: keys) else {
      if let fallback { return fallback }
      throw missing(keys, "a positive integer")
    }
    guard let number = value.int64, number > 0, number <= Self.largestCount else {
      throw wrong(keys, "a positive integer up to \(Self.largestCount)", value)
    }
    return Int(number)
  }

  /// An integer that may be zero.
  func wholeNumber(_ keys: String..., default fallback: Int) throws -> Int {
    guard let value = value(among: keys) else { return fallback }
    guard let number = value.int64, number >= 0, number <= Self.largestCount else {
      throw wrong(keys, "a whole number up to \(Self.largestCount)", value)
    }
    return Int(number)
  }

  func optionalCount(_ keys: String...) throws -> Int? {
    guard let value = value(among: keys) else { return nil }
    guard let number = value.int64, number > 0, number <= Self.largestCount else {
      throw wrong(keys, "a positive integer up to \(Self.largestCount)", value)
    }
    return Int(number)
  }

  /// So many blocks: a plan has an entry for each, so the number is bounded before any tensor is looked for.
  func layerCount(_ keys: String..., default fallback: Int? = nil) throws -> Int {
    guard let value = value(among: keys) else {
      if let fallback { return fallback }
      throw missing(keys, "a positive integer")
    }
    guard let number = value.int64, number > 0, number <= 1 << 14 else { throw wrong(keys, "a positive integer up to 16384", value) }
    return Int(number)
  }

  /// A factor, divisor or norm epsilon.
  func positive(_ keys: String..., default fallback: Double) throws -> Double {
    guard let value = value(among: keys) else { return fallback }
    guard let number = value.double, number.isFinite, Float(number) > 0 else { throw wrong(keys, "a positive number", value) }
    return number
  }

  func number(_ keys: String..., default fallback: Double? = nil) throws -> Double {
    guard let value = value(among: keys) else {
      if let fallback { return fallback }
      throw missing(keys, "a number")
    }
    guard let number = value.double, number.isFinite else { throw wrong(keys, "a finite number", value) }
    return number
  }

  func optionalNumber(_ keys: String...) throws -> Double? {
    guard let value = value(among: keys) else { return nil }
    guard let number = value.double, number.isFinite else { throw wrong(keys, "a finite number", value) }
    return number
  }

  func flag(_ keys: String..., default fallback: Bool) throws -> Bool {
    guard let value = value(among: keys) else { return fallback }
    guard let flag = value.bool else { throw wrong(keys, "true or false", value) }
    return flag
  }

  func counts(_ keys: String...) throws -> [Int] {
    guard let value = value(among: keys) else { return [] }
    guard value.kind == .array else { throw wrong(keys, "a list of layer indices", value) }
    return try value.elements.map {
      guard let number = $0.int64, number >= 0, number < 1 << 31 else { throw wrong(keys, "layer indices", $0) }
      return Int(number)
    }
  }

  /// One integer or a list of them; anything else counts as absent. For fields that do not touch the computation.
  func integers(_ key: String) -> [Int32] {
    guard let value = values[key] else { return [] }
    return ([value] + value.elements).compactMap { $0.int64.flatMap { Int32(exactly: $0) } }
  }

  func text(_ keys: String..., default fallback: String? = nil) throws -> String {
    guard let value = value(among: keys) else {
      if let fallback { return fallback }
      throw missing(keys, "a text")
    }
    guard let text = value.string else { throw wrong(keys, "a text", value) }
    return text
  }

  /// A list of texts; empty when the field is absent.
  func texts(_ key: String) throws -> [String] {
    guard let value = value(key) else { return [] }
    guard value.kind == .array else { throw wrong([key], "a list of texts", value) }
    return try value.elements.map {
      guard let text = $0.string else { throw wrong([key], "texts", $0) }
      return text
    }
  }

  /// Reads a setting of which one value is implemented.
  func require(_ key: String, _ supported: String, default fallback: String) throws {
    let found = try text(key, default: fallback)
    if found != supported { throw refused(key, found: "\"\(found)\"", supported: "\"\(supported)\"") }
  }

  /// Settings that are not implemented: they have to be off, or absent.
  func refuseSet(_ keys: String...) throws {
    for key in keys where try flag(key, default: false) { throw refused(key, found: "true", supported: "false") }
  }

  /// Settings of which only the one state is implemented: they have to be on, or absent.
  func requireSet(_ keys: String...) throws {
    for key in keys where !(try flag(key, default: true)) { throw refused(key, found: "false", supported: "true") }
  }

  /// Factors of which only 1 is implemented.
  func requireOne(_ keys: String...) throws {
    for key in keys {
      let found = try number(key, default: 1)
      if found != 1 { throw refused(key, found: "\(found)", supported: "1") }
    }
  }

  /// Fields that do not touch what a family computes.
  func disregard(_ keys: [String]) { for key in keys { _ = value(key) } }

  func refused(_ key: String, found: String, supported: String) -> ModelError {
    .unsupportedSetting(file: file, key: key, found: found, supported: supported)
  }

  /// - Throws: `ModelError.unsupportedSetting` for a field that nobody read and that may matter.
  func finish() throws {
    for key in unread.sorted() where !Configuration.irrelevantToInference.contains(key) {
      throw refused(key, found: "a field this family's declaration does not know", supported: "--set \(key)=null if it does not matter")
    }
  }

  /// Fields about training, bookkeeping or other programs.
  private static let irrelevantToInference: Set<String> = [
    "architectures", "attention_dropout", "auto_map", "bos_token_id", "dtype", "eos_token_id", "initializer_range", "model_type",
    "name_or_path", "_name_or_path", "output_router_logits", "pad_token_id", "pretraining_tp", "router_aux_loss_coef",
    "router_jitter_noise", "torch_dtype", "transformers_version", "use_cache", "max_window_layers", "router_z_loss_coef",
    "_attn_implementation", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder", "output_attentions",
    "output_hidden_states", "problem_type", "return_dict", "use_return_dict", "ep_size", "aux_loss_alpha", "aux_loss_coef", "init_method",
    "seq_aux", "sep_token_id", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "for_llm_compressor",
    "_attn_implementation_autoset", "pad_token", "task_specific_params",
  ]

  private func missing(_ keys: [String], _ expected: String) -> ModelError {
    .configuration(file: file, key: keys.joined(separator: " or "), expected: expected, found: "nothing")
  }

  private func wrong(_ keys: [String], _ expected: String, _ value: JSONValue) -> ModelError {
    .configuration(file: file, key: keys.joined(separator: " or "), expected: expected, found: value.spelling)
  }
}

extension JSONValue {
  /// This value as JSON, one member of an object replaced or added; numbers as they compute, not as they are written.
  func text(replacing replaced: String? = nil, with text: String = "") -> String {
    switch kind {
    case .null: return "null"
    case .bool: return bool == true ? "true" : "false"
    case .number: return int64.map { "\($0)" } ?? "\(double ?? 0)"
    case .string: return Self.quoted(string ?? "")
    case .array: return "[" + elements.map { $0.text() }.joined(separator: ", ") + "]"
    case .object:
      var members = objectMembers.filter { $0.0 != replaced }.map { "\(Self.quoted($0.0)): \($0.1.text())" }
      if let replaced { members.append("\(Self.quoted(replaced)): \(text)") }
      return "{" + members.joined(separator: ", ") + "}"
    }
  }

  static func quoted(_ text: String) -> String {
    var writer = JSONWriter()
    text.write(to: &writer)
    return writer.text
  }

  var objectMembers: [(String, JSONValue)] { kind == .object ? members.map { ($0.key.string ?? "", $0.value) } : [] }

  fileprivate var spelling: String {
    switch kind {
    case .string: "\"\(string ?? "")\""
    case .number: double.map { "\($0)" } ?? "a number"
    case .bool: bool == true ? "true" : "false"
    case .null: "null"
    case .array: "a list"
    case .object: "an object"
    }
  }
}
