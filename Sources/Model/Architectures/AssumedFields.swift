// What is taken for a field that config.json leaves out, and which of it is worth saying? The reference's configuration class has a
// default for nearly every field; a family's declaration names those of its own (`Family.defaults`), and they stand in as if the file
// said them. A published configuration states these fields, so that one which does not is either of another making or relies on the
// reference: both are said, and a sound published one is described without a word of it.

import Formats

/// The account of fields that are not there.
struct AssumedFields {
  /// The reference's defaults of this family, by name.
  private var references: [String: JSONValue] = [:]
  /// Whether the file is a config.json. What other files leave out means what their format says, not what the reference would take.
  private let isPublished: Bool
  /// Every field that was asked for and is not there, in each of its spellings, with what was taken.
  private(set) var all: [String: String] = [:]
  private var stated: [String: String] = [:]

  init(isPublished: Bool) { self.isPublished = isPublished }

  /// Fields that decide what is computed and that published configurations state in every family that has them.
  private static let published: Set<String> = [
    "conv_L_cache", "expert_capacity", "logit_scale", "moe_token_dropout", "norm_topk_prob",
    "position_embedding_type", "rope_theta", "router_jitter_noise", "use_expert_bias",
  ]

  /// Values that say no more than silence does: off, none, a factor of one.
  private static let neutral: Set<String> = ["false", "0", "0.0", "1", "1.0"]

  mutating func refer(to defaults: [String: String], file: String) throws {
    guard isPublished else { return }
    references = try defaults.mapValues { try JSON.parse(text: $0, name: file) }
  }

  /// The part that is about an object of the file: `attn_config.kv_n_heads` is its `kv_n_heads`.
  func of(section key: String) -> AssumedFields {
    var part = AssumedFields(isPublished: isPublished)
    for (name, value) in references where name.hasPrefix(key + ".") { part.references[String(name.dropFirst(key.count + 1))] = value }
    return part
  }

  /// The reference's default of a field, by any of its spellings; noted as taken.
  mutating func reference(for keys: [String]) -> JSONValue? {
    guard let key = keys.first(where: { references[$0] != nil }), let value = references[key] else { return nil }
    for key in keys { all[key] = value.text() }
    stated[key] = value.text()
    return value
  }

  /// Notes what a declaration took in place of a field that is not there.
  mutating func note(_ keys: [String], _ value: Any) {
    let text = value is String ? JSONValue.quoted("\(value)") : "\(value)"
    for key in keys { all[key] = text }
    if isPublished, let key = keys.first, Self.published.contains(key), !Self.neutral.contains(text) { stated[key] = text }
  }

  /// What is worth saying, by name.
  var said: [(key: String, value: String)] { stated.sorted { $0.key < $1.key } }
}
