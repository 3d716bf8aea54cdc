// How a configuration states its rotary positions: `rope_parameters` (transformers 5) or `rope_theta`, `rope_scaling` and
// `partial_rotary_factor` (before). What is not one of the known ways to stretch a context is refused.
//
// | rope_type | fields |
// |-----------|--------|
// | default   | rope_theta, partial_rotary_factor |
// | linear    | factor |
// | yarn      | factor, original_max_position_embeddings, beta_fast, beta_slow, truncate, attention_factor, mscale, mscale_all_dim; in Mistral llama_4_scaling_beta |
// | llama3    | factor, low_freq_factor, high_freq_factor, original_max_position_embeddings |
// | dynamic   | alpha: a factor on the base, in Hunyuan only |
// | proportional | partial_rotary_factor: of the head's frequencies so many are not 0 |
// | longrope, su | short_factor, long_factor, original_max_position_embeddings, factor, attention_factor, short_mscale, long_mscale |

import Formats

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Rotary settings as read, with what else a declaration may need of them.
struct RotarySettings {
  var plan: RotaryPlan
  /// yarn: `mscale_all_dim` and `factor`, which DeepSeek's attention scale depends on.
  var attentionMagnitude: Double = 1
  /// yarn: `llama_4_scaling_beta` and the original context, by which Mistral's queries grow.
  var temperature: TemperaturePlan?
}

extension Configuration {
  func rotary(
    headSize: Int, defaultBase: Double = 10_000, statedBase: Double? = nil, defaultShare: Double? = nil, layerType: String? = nil,
    isInterleaved: Bool = false, stretchesBase: Bool = false, completesPairs: Bool = false
  ) throws -> RotaryPlan {
    try rotarySettings(
      headSize: headSize, defaultBase: defaultBase, statedBase: statedBase, defaultShare: defaultShare, layerType: layerType,
      isInterleaved: isInterleaved, stretchesBase: stretchesBase, completesPairs: completesPairs
    ).plan
  }

  /// - Parameters:
  ///   - statedBase: the base where another part of the file says it.
  ///   - defaultShare: share of each head that turns, where the configuration does not say; nil: the family turns whole heads.
  ///   - layerType: the entry to take where `rope_parameters` has one for each type of layer.
  ///   - stretchesBase: whether `alpha` of the type dynamic is a factor on the base.
  ///   - heatsQueries: whether `llama_4_scaling_beta` is read; whoever asks for it applies it.
  ///   - defaultMagnitude: yarn's factor on cosines and sines where the file does not say it; nil: what follows from the stretch.
  ///   - completesPairs: whether a share that ends within a pair turns the whole pair.
  /// - Throws: `ModelError` for a way of scaling that is unknown or incomplete.
  func rotarySettings(
    headSize: Int, defaultBase: Double = 10_000, statedBase: Double? = nil, defaultShare: Double? = nil, layerType: String? = nil,
    isInterleaved: Bool = false, stretchesBase: Bool = false, heatsQueries: Bool = false, defaultMagnitude: Double? = nil,
    completesPairs: Bool = false
  ) throws -> RotarySettings {
    // A list is for whoever asked to read.
    func isOneNumber(_ key: String) -> Bool { isThere(key) && value(key)?.kind != .array }
    var (ownBase, ownShare): (Double?, Double?) = (isOneNumber("rope_theta") ? nil : statedBase, nil)
    var scaling: RotaryScalingReader?
    for key in ["rope_parameters", "rope_scaling"] {
      guard var value = value(key), value.kind == .object else { continue }
      var place = key
      if let layerType, let own = value.objectMembers.first(where: { $0.0 == layerType })?.1 {
        (value, place) = (own, "\(key).\(layerType)")
      }
      let reader = RotaryScalingReader(configuration: self, place: place, fields: value.objectMembers)
      ownBase = try reader.number("rope_theta") ?? ownBase
      ownShare = try reader.number("partial_rotary_factor") ?? ownShare
      scaling = reader
    }
    // What the user sets in one spelling counts, whatever the file says in the other.
    func settled(_ key: String, _ said: Double?, default fallback: Double) throws -> Double {
      guard let said, !isSet(key) else {
        // Types of layers have defaults of their own: one name cannot say them all.
        return layerType == nil ? try number(key, default: fallback) : try optionalNumber(key) ?? fallback
      }
      if isOneNumber(key) { _ = try number(key) }
      return said
    }
    let (base, share) = (
      try settled("rope_theta", ownBase, default: defaultBase),
      try settled("partial_rotary_factor", ownShare, default: defaultShare ?? 1)
    )
    if isTurnedOff("rope_scaling") { scaling = nil }
    guard base > 0, Float(base).isFinite else {
      throw ModelError.configuration(file: file, key: "rope_theta", expected: "a positive number", found: "\(base)")
    }
    if defaultShare == nil, share != 1 {
      throw refused("partial_rotary_factor", found: "\(share)", supported: "1: the reference turns whole heads, whatever this says")
    }
    let rotated = (0...1).contains(share) ? Int(Double(headSize) * share) : -1
    if try scaling?.isProportional() == true {
      let pairs = Int((share * Double(headSize) / 2).rounded(.down))
      return RotarySettings(plan: RotaryPlan(base: base, rotatedSize: headSize, scaling: .proportional(pairs: pairs)))
    }
    guard rotated >= 0, rotated % 2 == 0 || completesPairs else {
      throw ModelError.configuration(
        file: file, key: "partial_rotary_factor", expected: "an even number of rotated elements in a head of \(headSize)", found: "\(share)"
      )
    }
    var settings = RotarySettings(
      plan: RotaryPlan(
        base: base, rotatedSize: rotated + rotated % 2, exponentSize: rotated % 2 == 0 ? nil : rotated, isInterleaved: isInterleaved))
    if stretchesBase, let alpha = try scaling?.alpha() {
      settings.plan.base *= pow(alpha, Double(headSize) / Double(headSize - 2))
      return settings
    }
    try scaling?.apply(to: &settings, heatsQueries: heatsQueries, defaultMagnitude)
    return settings
  }
}

/// One object of scaling fields.
private struct RotaryScalingReader {
  let configuration: Configuration
  let place: String
  let fields: [(String, JSONValue)]

  func field(_ name: String) -> JSONValue? { fields.first { $0.0 == name && !$0.1.isNull }?.1 }

  func number(_ name: String) throws -> Double? {
    guard let value = field(name) else { return nil }
    guard let number = value.double, number.isFinite else {
      throw ModelError.configuration(
        file: configuration.file, key: "\(place).\(name)", expected: "a finite number", found: "something else")
    }
    return number
  }

  func flag(_ name: String, default fallback: Bool) throws -> Bool {
    guard let value = field(name) else { return fallback }
    guard let flag = value.bool else {
      throw ModelError.configuration(
        file: configuration.file, key: "\(place).\(name)", expected: "true or false", found: "something else")
    }
    return flag
  }

  /// A positive number; without a fallback it must be there.
  func positive(_ name: String, default fallback: Double? = nil) throws -> Double {
    let number = try number(name) ?? fallback
    guard let number, Float(number) > 0 else {
      throw ModelError.configuration(
        file: configuration.file, key: "\(place).\(name)", expected: "a positive number", found: number.map { "\($0)" } ?? "nothing")
    }
    return number
  }

  private func numbers(_ name: String, count: Int) throws -> [Double] {
    let values = field(name)?.kind == .array ? field(name)?.elements.compactMap(\.double) ?? [] : []
    guard values.count == count, values.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw ModelError.configuration(
        file: configuration.file, key: "\(place).\(name)", expected: "\(count) positive numbers", found: "\(values.count)")
    }
    return values
  }

  private func originalContext() throws -> Int {
    guard let own = try number("original_max_position_embeddings") else {
      return try configuration.optionalCount("original_max_position_embeddings") ?? configuration.count("max_position_embeddings")
    }
    guard own >= 1, own <= Double(Configuration.largestCount) else {
      throw ModelError.configuration(
        file: configuration.file, key: "\(place).original_max_position_embeddings", expected: "a positive integer", found: "\(own)")
    }
    return Int(own)
  }

  private static let common: Set<String> = ["rope_theta", "partial_rotary_factor", "rope_type", "type", "rope_dim"]

  private func refuseOthers(_ known: Set<String>) throws {
    for (name, value) in fields where !value.isNull && !known.contains(name) && !Self.common.contains(name) {
      throw configuration.refused("\(place).\(name)", found: "set", supported: known.sorted().joined(separator: ", "))
    }
  }

  /// The number that Hunyuan's checkpoints stretch the base by, under the name of dynamic scaling.
  func alpha() throws -> Double? {
    let type = field("rope_type")?.string ?? field("type")?.string
    return type == "dynamic" && field("alpha") != nil ? try positive("alpha") : nil
  }

  /// Whether frequencies are those of the whole head and only a share of them turns.
  func isProportional() throws -> Bool {
    guard field("rope_type")?.string == "proportional" else { return false }
    try refuseOthers([])
    return true
  }

  func apply(to settings: inout RotarySettings, heatsQueries: Bool, _ defaultMagnitude: Double?) throws {
    let type = field("rope_type")?.string ?? field("type")?.string ?? "default"
    switch type {
    case "default":
      // Some configurations carry the fields of a scaling that they do not use.
      return
    case "linear":
      try refuseOthers(["factor"])
      settings.plan.scaling = .linear(factor: try positive("factor"))
    case "yarn", "deepseek_yarn": try applyYarn(&settings, heatsQueries: heatsQueries, defaultMagnitude)
    case "llama3":
      try refuseOthers(["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"])
      settings.plan.scaling = .llama3(
        factor: try positive("factor"), lowFactor: try positive("low_freq_factor"), highFactor: try positive("high_freq_factor"),
        originalContext: try originalContext())
    case "longrope", "su": try applyLongRope(&settings)
    default:
      throw configuration.refused("\(place).rope_type", found: "\"\(type)\"", supported: "default, linear, yarn, llama3, longrope")
    }
  }

  private func applyYarn(_ settings: inout RotarySettings, heatsQueries: Bool, _ defaultMagnitude: Double?) throws {
    let known: Set = [
      "factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "truncate", "attention_factor", "mscale", "mscale_all_dim",
    ]
    try refuseOthers(heatsQueries ? known.union(["llama_4_scaling_beta"]) : known)
    if heatsQueries, let beta = try number("llama_4_scaling_beta") {
      settings.temperature = TemperaturePlan(floor: Float(try originalContext()), scale: Float(beta), first: 0)
    }
    let factor = try positive("factor")
    let mscale = try number("mscale") ?? 0
    let allDimensions = try number("mscale_all_dim") ?? 0
    func magnitude(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
    let derived = mscale != 0 && allDimensions != 0 ? magnitude(mscale) / magnitude(allDimensions) : magnitude(1)
    settings.plan.magnitude = Float(try number("attention_factor") ?? defaultMagnitude ?? derived)
    settings.attentionMagnitude = allDimensions != 0 ? magnitude(allDimensions) : 1
    settings.plan.scaling = .yarn(
      factor: factor, originalContext: try originalContext(), betaFast: try positive("beta_fast", default: 32),
      betaSlow: try positive("beta_slow", default: 1), truncates: try flag("truncate", default: true))
  }

  private func applyLongRope(_ settings: inout RotarySettings) throws {
    try refuseOthers([
      "short_factor", "long_factor", "original_max_position_embeddings", "factor", "attention_factor", "short_mscale", "long_mscale",
    ])
    let pairs = settings.plan.rotatedSize / 2
    let original = try originalContext()
    let stretch = try number("factor") ?? Double(configuration.count("max_position_embeddings")) / Double(original)
    let derived = stretch <= 1 ? 1 : (1 + log(stretch) / log(Double(original))).squareRoot()
    let magnitude = Float(try number("attention_factor") ?? derived)
    settings.plan.magnitude = Float(try number("short_mscale") ?? Double(magnitude))
    settings.plan.longMagnitude = Float(try number("long_mscale") ?? Double(magnitude))
    settings.plan.scaling = .longRope(
      short: try numbers("short_factor", count: pairs), long: try numbers("long_factor", count: pairs), originalContext: original)
  }
}
