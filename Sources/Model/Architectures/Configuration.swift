// Reads config.json for a family's declaration: typed, with older and newer spellings, and keeping account of what was read. A field
// that no one read and that is not known to be irrelevant is refused by name, because it may change what the model computes.

import Formats

/// A checkpoint's configuration while a declaration reads it.
final class Configuration {
  let file: String
  /// Where these settings stand in the file, as `--set` names it: "" or "attn_config.".
  private let place: String
  private var values: [String: JSONValue]
  /// Fields that the file sets to null.
  private var nulls: Set<String> = []
  private let overrides: [String: String]
  /// Fields that the user set to null: they are off, whatever the file or the family says.
  private var turnedOff: Set<String> = []
  private var unread: Set<String>
  /// Fields whose value was taken, and not that of another spelling.
  private var taken: Set<String> = []
  /// Fields that were asked for and are not there, with the value that was taken instead.
  private(set) var defaulted: [String: String] = [:]

  /// - Parameter overrides: `key=value` settings of the user, values as JSON; they replace what the file says.
  /// - Throws: `FormatError` for damaged JSON, `ModelError.badOption` for an override that is not JSON.
  init(path: String, overrides: [String: String]) throws {
    file = path.split(separator: "/").last.map(String.init) ?? path
    place = ""
    self.overrides = overrides
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
    place = ""
    self.overrides = overrides
    values = try fields.mapValues { try JSON.parse(text: $0, name: file) }.filter { !$0.value.isNull }
    unread = []
    try replace(overrides)
  }

  /// Whole fields first, then members of fields: `rope_scaling.factor` is the member of an object. What is no JSON and looks like a word
  /// is the text itself: `sampler=ddpm` needs no quotes inside.
  private func replace(_ overrides: [String: String]) throws {
    for (key, text) in overrides.sorted(by: { ($0.key.contains(".") ? 1 : 0, $0.key) < ($1.key.contains(".") ? 1 : 0, $1.key) }) {
      let replacement = try Self.json(text, for: key)
      if values[key] == nil, let dot = key.firstIndex(of: "."), let object = values[String(key[..<dot])], object.kind == .object {
        let member = key[key.index(after: dot)...].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        values[String(key[..<dot])] = try JSON.parse(text: object.text(replacing: member, with: replacement), name: "--set \(key)")
      } else {
        let value = try JSON.parse(text: replacement, name: "--set \(key)")
        values[key] = value.isNull ? nil : value
        if value.isNull { turnedOff.insert(key) }
      }
    }
    unread = Set(values.keys)
  }

  /// What the user wrote behind `--set key=`, as JSON.
  private static func json(_ text: String, for key: String) throws -> String {
    if (try? JSON.parse(text: text, name: key)) != nil { return text }
    let isWord =
      text.first.map { $0.isLetter || $0 == "_" } == true && text.allSatisfy { $0.isLetter || $0.isNumber || "_-+./".contains($0) }
    guard isWord else { throw ModelError.badOption(name: "--set \(key)", expected: "a JSON value or a word", found: text) }
    return JSONValue.quoted(text)
  }

  /// Rows and columns of a weight that share a scale, from `quantization_config`. Layouts that tensors themselves show need no setting.
  ///
  /// - Throws: `ModelError.unsupportedSetting` for a method other than fp8 with block scales and mxfp4.
  func scaleBlock() throws -> (rows: Int, columns: Int) {
    let common = (128, 128)
    // MLX writes its settings under a name of its own, and often under the other one too.
    if let own = values["quantization"], own.kind == .object { throw mlx("quantization", own) }
    _ = value("quantization_config")
    guard let value = quantization else { return common }
    guard let method = value["quant_method"]?.string else {
      if value["bits"] != nil, value["group_size"] != nil { throw mlx("quantization_config", value) }
      let fields = value.objectMembers.map(\.0).sorted().joined(separator: ", ")
      throw refused("quantization_config", found: "{\(fields)}, without quant_method", supported: "\"fp8\", \"mxfp4\"")
    }
    guard method == "fp8" || method == "mxfp4" else {
      throw refused("quantization_config.quant_method", found: "\"\(method)\"", supported: "\"fp8\", \"mxfp4\"")
    }
    if method == "mxfp4" { return common }
    guard let block = value["weight_block_size"], !block.isNull else {
      throw refused("quantization_config", found: "fp8 without weight_block_size", supported: "fp8 with scales of blocks")
    }
    let sizes = block.elements.compactMap(\.int64)
    guard sizes.count == 2, sizes.allSatisfy({ $0 > 0 && $0 <= 1 << 20 }) else {
      throw wrong(["quantization_config.weight_block_size"], "two positive integers", block)
    }
    return (Int(sizes[0]), Int(sizes[1]))
  }

  /// Blocks that predict the next token, as far as the field says; for describing what is not run.
  var declaredLayerCount: Int? {
    ["num_hidden_layers", "num_layers", "n_layers"].lazy.compactMap { self.values[$0] ?? self.values["text_config"]?[$0] }.first?.int64
      .flatMap { Int(exactly: $0) }
  }

  private func mlx(_ key: String, _ settings: JSONValue) -> ModelError {
    let found = ["bits", "group_size"].map { "\($0) \(settings[$0]?.int64.map { "\($0)" } ?? "?")" }.joined(separator: ", ")
    return refused(
      key, found: "{\(found)}, the quantisation of MLX,", supported: "the model as it was published, in 8-bit or 4-bit floats, or as GGUF")
  }

  /// What a checkpoint says about how its numbers are packed, for counting them: nil where it says nothing.
  var quantization: JSONValue? {
    [values["quantization_config"], values["quantization"], values["text_config"]?["quantization_config"]].lazy.compactMap(\.self)
      .first { $0.kind == .object }
  }

  /// The settings of a nested object, as a configuration of its own: whoever reads it finishes it.
  ///
  /// - Parameter irrelevant: fields that do not touch the computation, beside the general ones.
  func section(_ key: String, irrelevant: Set<String>) throws -> Configuration {
    guard let value = value(key), value.kind == .object else {
      throw ModelError.configuration(file: file, key: key, expected: "an object", found: "something else")
    }
    return Configuration(
      file: "\(file): \(key)", place: place + key + ".", members: value.objectMembers.filter { !irrelevant.contains($0.0) }, overrides: [:])
  }

  private init(file: String, place: String, members: [(String, JSONValue)], overrides: [String: String]) {
    self.file = file
    self.place = place
    self.overrides = overrides
    values = [:]
    for (key, value) in members where !value.isNull { values[key] = value }
    nulls = Set(members.filter(\.1.isNull).map(\.0))
    unread = Set(values.keys)
  }

  /// The settings of the text model: these, or a part of them where the checkpoint sees or hears too.
  ///
  /// What the user sets is about the text model, whether it is named with the part or without: `--set text_config.x=1`, `--set x=1`.
  ///
  /// - Throws: `ModelError.badOption` for a setting that is no value.
  func ofText(among families: [Family] = Family.all) throws -> Configuration {
    func isKnown(_ type: String?) -> Bool { families.contains { $0.modelType == type } }
    guard !isKnown(values["model_type"]?.string), let text = values["text_config"], text.kind == .object,
      isKnown(text["model_type"]?.string)
    else { return self }
    // These two are said in one place or the other.
    let common = ["eos_token_id", "tie_word_embeddings"].filter { text[$0] == nil }
    let shared = common.compactMap { key in values[key].map { (key, $0) } }
    let place = "text_config."
    let own = Dictionary(
      overrides.filter { $0.key != "text_config" }.map {
        ($0.key.hasPrefix(place) ? String($0.key.dropFirst(place.count)) : $0.key, $0.value)
      },
      uniquingKeysWith: { first, _ in first })
    // How numbers are packed was judged for the whole file.
    let members = text.objectMembers.filter { $0.0 != "quantization_config" } + shared
    let part = Configuration(file: "\(file): text_config", place: place, members: members, overrides: own)
    try part.replace(own)
    return part
  }

  /// Whether the file sets a field to null, which is not the same as leaving it out where the default is a value.
  func isNull(_ key: String) -> Bool { (nulls.contains(key) || turnedOff.contains(key)) && values[key] == nil }

  /// Whether the user set a field to null: where a family has a setting even if nothing is said, that turns it off.
  func isTurnedOff(_ keys: String...) -> Bool { keys.contains { turnedOff.contains($0) && values[$0] == nil } }

  /// Whether the user set a field, or a member of it, to a value.
  func isSet(_ key: String) -> Bool {
    values[key] != nil && overrides.keys.contains { $0 == key || $0.hasPrefix(key + ".") }
  }

  /// The first of these spellings that is there; one that the user set comes before what the file says in another.
  func value(_ keys: String...) -> JSONValue? { value(among: keys) }

  private func value(among keys: [String]) -> JSONValue? {
    let present = keys.filter { values[$0] != nil }
    unread.subtract(present)
    guard let key = present.first(where: isSet) ?? present.first else { return nil }
    taken.insert(key)
    return values[key]
  }

  /// Notes what was taken in place of a field that is not there.
  private func fallBack<Value>(_ keys: [String], to value: Value) -> Value {
    for key in keys { defaulted[key] = value is String ? JSONValue.quoted("\(value)") : "\(value)" }
    return value
  }

  /// Sizes beyond this are refused: products of two of them and a few more stay within 64 bits.
  static let largestCount = 1 << 28

  func count(_ keys: String..., default fallback: Int? = nil) throws -> Int {
    guard let value = value(among: keys) else {
      if let fallback { return fallBack(keys, to: fallback) }
      throw missing(keys, "a positive integer")
    }
    guard let number = value.int64, number > 0, number <= Self.largestCount else {
      throw wrong(keys, "a positive integer up to \(Self.largestCount)", value)
    }
    return Int(number)
  }

  /// An integer that may be zero.
  func wholeNumber(_ keys: String..., default fallback: Int) throws -> Int {
    guard let value = value(among: keys) else { return fallBack(keys, to: fallback) }
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
      if let fallback { return fallBack(keys, to: fallback) }
      throw missing(keys, "a positive integer")
    }
    guard let number = value.int64, number > 0, number <= 1 << 14 else { throw wrong(keys, "a positive integer up to 16384", value) }
    return Int(number)
  }

  /// A factor, divisor or norm epsilon.
  func positive(_ keys: String..., default fallback: Double) throws -> Double {
    guard let value = value(among: keys) else { return fallBack(keys, to: fallback) }
    guard let number = value.double, number.isFinite, Float(number) > 0 else { throw wrong(keys, "a positive number", value) }
    return number
  }

  func number(_ keys: String..., default fallback: Double? = nil) throws -> Double {
    guard let value = value(among: keys) else {
      if let fallback { return fallBack(keys, to: fallback) }
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
    guard let value = value(among: keys) else { return fallBack(keys, to: fallback) }
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
    taken.insert(key)
    return ([value] + value.elements).compactMap { $0.int64.flatMap { Int32(exactly: $0) } }
  }

  func text(_ keys: String..., default fallback: String? = nil) throws -> String {
    guard let value = value(among: keys) else {
      if let fallback { return fallBack(keys, to: fallback) }
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

  /// A second spelling of what was read already, in the words of another program: both have to say the same.
  func requireSame(_ key: String, as known: Int, named name: String) throws {
    if let again = try optionalCount(key), again != known { throw refused(key, found: "\(again)", supported: "\(name), which is \(known)") }
  }

  /// Fields that do not touch what a family computes.
  func disregard(_ keys: [String]) { unread.subtract(keys) }

  func refused(_ key: String, found: String, supported: String) -> ModelError {
    .unsupportedSetting(file: file, key: key, found: found, supported: supported)
  }

  /// - Throws: `ModelError.unsupportedSetting` for a field that nobody read and that may matter; `.badOption` for a setting of the user that
  ///   changes nothing here, because another field says it or nothing computed depends on it.
  func finish() throws {
    for key in Set(overrides.keys.map { String($0.prefix { $0 != "." }) }).sorted() where values[key] != nil && !taken.contains(key) {
      if unread.contains(key) || IrrelevantFields.contain(key, values[key]) { continue }
      throw ModelError.badOption(
        name: "--set \(place)\(key)", expected: "a field that this model's computation reads", found: "one that changes nothing in it")
    }
    for key in unread.sorted() where !IrrelevantFields.contain(key, values[key]) {
      throw refused(
        key, found: "a field this family's declaration does not know", supported: "--set \(place)\(key)=null if it does not matter")
    }
  }

  private func missing(_ keys: [String], _ expected: String) -> ModelError {
    .configuration(file: file, key: keys.joined(separator: " or "), expected: expected, found: "nothing")
  }

  private func wrong(_ keys: [String], _ expected: String, _ value: JSONValue) -> ModelError {
    .configuration(file: file, key: keys.joined(separator: " or "), expected: expected, found: value.spelling)
  }
}

extension JSONValue {
  /// This value as JSON, one member of an object, named by the way to it, replaced or added; numbers as they compute, not as they are
  /// written.
  func text(replacing path: [String] = [], with text: String = "") -> String {
    switch kind {
    case .null: return "null"
    case .bool: return bool == true ? "true" : "false"
    case .number: return int64.map { "\($0)" } ?? "\(double ?? 0)"
    case .string: return Self.quoted(string ?? "")
    case .array: return "[" + elements.map { $0.text() }.joined(separator: ", ") + "]"
    case .object:
      // A name with dots in it is a name before it is a way.
      let whole = path.joined(separator: ".")
      let inner = path.count > 1 && self[whole] == nil ? path.first.flatMap { self[$0] } : nil
      let (replaced, value): (String?, String) =
        if let inner, inner.kind == .object {
          (path[0], inner.text(replacing: Array(path.dropFirst()), with: text))
        } else {
          (path.isEmpty ? nil : whole, text)
        }
      var members = objectMembers.filter { $0.0 != replaced }.map { "\(Self.quoted($0.0)): \($0.1.text())" }
      if let replaced { members.append("\(Self.quoted(replaced)): \(value)") }
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
