// Reads config.json for a family's declaration: typed, with older and newer spellings, and keeping account of what was read. A field
// that no one read and that is not known to be irrelevant is refused by name, because it may change what the model computes. What the
// user sets instead is kept by UserSettings, what stands in for a field that is not there by AssumedFields.

import Formats

/// A checkpoint's configuration while a declaration reads it.
final class Configuration {
  let file: String
  /// Where these settings stand in the file, as `--set` names it: "" or "attn_config.".
  private let place: String
  private var values: [String: JSONValue]
  /// Fields that the file sets to null.
  private var nulls: Set<String> = []
  private var settings: UserSettings
  private var unread: Set<String>
  /// Fields whose value was taken, and not that of another spelling.
  private var taken: Set<String> = []
  /// What was taken for fields that are not there.
  private var assumed: AssumedFields
  /// Objects of the file that are read as configurations of their own.
  private var sections: [Configuration] = []

  /// - Parameter overrides: `key=value` settings of the user, values as JSON; they replace what the file says.
  /// - Throws: `FormatError` for damaged JSON, `ModelError.badOption` for an override that is not JSON.
  init(path: String, overrides: [String: String]) throws {
    file = path.split(separator: "/").last.map(String.init) ?? path
    place = ""
    settings = UserSettings(overrides)
    assumed = AssumedFields(isPublished: true)
    let root = try JSON.read(path, options: .python)
    guard root.kind == .object else {
      throw ModelError.configuration(file: file, key: "the file", expected: "an object", found: "\(root.kind)")
    }
    values = [:]
    for (key, value) in root.objectMembers where !value.isNull { values[key] = value }
    nulls = Set(root.objectMembers.filter(\.1.isNull).map(\.0))
    unread = []
    try settings.replace(in: &values)
    unread = Set(values.keys)
  }

  /// A configuration that some other file stands for.
  ///
  /// - Parameter fields: fields of config.json and their values as JSON.
  init(file: String, fields: [String: String], overrides: [String: String]) throws {
    self.file = file
    place = ""
    settings = UserSettings(overrides)
    assumed = AssumedFields(isPublished: false)
    values = try fields.mapValues { try JSON.parse(text: $0, name: file) }.filter { !$0.value.isNull }
    unread = []
    try settings.replace(in: &values)
    unread = Set(values.keys)
  }

  /// Blocks that predict the next token, as far as the field says; for describing what is not run.
  var declaredLayerCount: Int? {
    ["num_hidden_layers", "num_layers", "n_layers"].lazy.compactMap { self.values[$0] ?? self.values["text_config"]?[$0] }.first?.int64
      .flatMap { Int(exactly: $0) }
  }

  /// Blocks behind those that look further ahead than the next token, as far as the file declares any.
  var declaredLookahead: Int {
    func said(_ key: String) -> Int? {
      (values[key] ?? values["text_config"]?[key])?.int64.flatMap { (0...1 << 14).contains($0) ? Int($0) : nil }
    }
    let modules = (said("num_mtp_modules") ?? 0) * (said("mtp_transformer_layers") ?? 1)
    return max(modules, said("num_nextn_predict_layers") ?? 0, said("num_mtp_layers") ?? 0)
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
    let section = Configuration(
      file: "\(file): \(key)", place: place + key + ".", members: value.objectMembers.filter { !irrelevant.contains($0.0) },
      settings: UserSettings([:]), assumed: assumed.of(section: key))
    sections.append(section)
    return section
  }

  private init(file: String, place: String, members: [(String, JSONValue)], settings: UserSettings, assumed: AssumedFields) {
    self.file = file
    self.place = place
    self.settings = settings
    self.assumed = assumed
    values = [:]
    for (key, value) in members where !value.isNull { values[key] = value }
    nulls = Set(members.filter(\.1.isNull).map(\.0))
    unread = Set(values.keys)
  }

  /// The settings of the text model: these, or a part of them where the checkpoint sees, hears or speaks too.
  ///
  /// What the user sets is about the text model, whether it is named with the part or without: `--set text_config.x=1`, `--set x=1`.
  ///
  /// - Throws: `ModelError.badOption` for a setting that is no value.
  func ofText(among families: [Family] = Family.all) throws -> Configuration {
    func isKnown(_ type: String?) -> Bool { families.contains { $0.modelType == type } }
    // A model that speaks too has the part that thinks in between.
    let places = [["text_config"], ["thinker_config", "text_config"], ["language_config"]]
    func object(at place: [String]) -> JSONValue? {
      place.dropFirst().reduce(values[place[0]]) { $0?[$1] }.flatMap { $0.kind == .object ? $0 : nil }
    }
    let own = values["model_type"]?.string
    let unsaid = own.flatMap { own in families.first { $0.wrapper == own || $0.publishedWrapper == own } }?.modelType
    guard !isKnown(own), let (path, text) = places.lazy.compactMap({ path in object(at: path).map { (path, $0) } }).first,
      let type = text["model_type"]?.string ?? unsaid, isKnown(type)
    else { return self }
    let name = path.joined(separator: ".")
    // These two are said in one place or the other.
    let common = ["eos_token_id", "tie_word_embeddings"].filter { text[$0] == nil }
    let shared = common.compactMap { key in values[key].map { (key, $0) } }
    // How numbers are packed was judged for the whole file.
    let members =
      text.objectMembers.filter { !["quantization_config", "model_type"].contains($0.0) } + shared
      + [("model_type", try JSON.parse(text: JSONValue.quoted(type), name: file))]
    let part = Configuration(
      file: "\(file): \(name)", place: name + ".", members: members, settings: settings.of(part: name), assumed: assumed)
    try part.settings.replace(in: &part.values)
    part.unread = Set(part.values.keys)
    return part
  }

  /// Whether the file sets a field to null, which is not the same as leaving it out where the default is a value.
  func isNull(_ key: String) -> Bool { (nulls.contains(key) || settings.turnedOff.contains(key)) && values[key] == nil }

  /// Whether the user set a field to null: where a family has a setting even if nothing is said, that turns it off.
  func isTurnedOff(_ keys: String...) -> Bool { keys.contains { settings.turnedOff.contains($0) && values[$0] == nil } }

  /// Whether the file or the user says a field, with a value.
  func isThere(_ key: String) -> Bool { values[key] != nil }

  /// Whether the user set a field, or a member of it, to a value.
  func isSet(_ key: String) -> Bool { values[key] != nil && settings.say(key) }

  /// Takes the reference's defaults for this file's fields, by their names; see `Family.defaults`.
  func refer(to defaults: [String: String]) throws { try assumed.refer(to: defaults, file: file) }

  /// What was taken for fields that are not there and that published configurations of the family have, with the family's defaults
  /// among it: name as `--set` takes it, and value as JSON.
  var assumptions: [(key: String, value: String)] {
    assumed.said + sections.flatMap { section in section.assumptions.map { (key: section.place + $0.key, value: $0.value) } }
  }

  /// Every field that was asked for and is not there, with the value that was taken instead.
  var defaulted: [String: String] { assumed.all }

  /// The first of these spellings that is there; one that the user set comes before what the file says in another. Of a field that is in
  /// none of them and that the file does not set to null, the reference's default.
  func value(_ keys: String...) -> JSONValue? { value(among: keys) }

  private func value(among keys: [String]) -> JSONValue? {
    let present = keys.filter { values[$0] != nil }
    unread.subtract(present)
    guard let key = present.first(where: isSet) ?? present.first else {
      return keys.contains(where: isNull) ? nil : assumed.reference(for: keys)
    }
    taken.insert(key)
    return values[key]
  }

  private func fallBack<Value>(_ keys: [String], to value: Value) -> Value {
    assumed.note(keys, value)
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

  /// A list of numbers; nil where there is none.
  func numbers(_ keys: String...) throws -> [Double]? {
    guard let value = value(among: keys) else { return nil }
    let numbers = value.kind == .array ? value.elements.compactMap(\.double).filter(\.isFinite) : []
    guard value.kind == .array, numbers.count == value.count else { throw wrong(keys, "a list of numbers", value) }
    return numbers
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
    for key in settings.fields where values[key] != nil && !taken.contains(key) {
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

  func wrong(_ keys: [String], _ expected: String, _ value: JSONValue) -> ModelError {
    .configuration(file: file, key: keys.joined(separator: " or "), expected: expected, found: value.spelling)
  }
}

extension JSONValue {
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
