// Which tokens go around a text? The `post_processor` of tokenizer.json, for one sequence: what a template puts before and after it.
// Offsets, type ids and pairs of sequences play no part in this program.

import Formats

/// Tokens put around the tokens of a text when special tokens are asked for.
struct PostProcessor: Sendable {
  var prefix: [Int32] = []
  var suffix: [Int32] = []

  /// Reads the `post_processor` member (nil or null: nothing is added).
  init(_ json: JSONValue?) throws(FormatError) {
    if let json, !json.isNull { try add(json) }
  }

  private mutating func add(_ json: JSONValue) throws(FormatError) {
    let type = try json.string("type")
    switch type {
    case "Sequence":
      for processor in try json.array("processors") { try add(processor) }
    case "ByteLevel":
      break  // trims offsets only
    case "TemplateProcessing":
      try add(template: json)
    case "RobertaProcessing", "BertProcessing":
      prefix.insert(try Self.tokenAndID(json, "cls"), at: 0)
      suffix.append(try Self.tokenAndID(json, "sep"))
    default: throw unsupportedType(json, type, "post-processor")
    }
  }

  /// A template goes around what earlier processors have made.
  private mutating func add(template json: JSONValue) throws(FormatError) {
    let tokens = try json.memberIfPresent("special_tokens")
    var before: [Int32] = []
    var after: [Int32] = []
    var sequences = 0
    for piece in try json.array("single") {
      if let sequence = try piece.memberIfPresent("Sequence") {
        guard try sequence.string("id") == "A" else { throw sequence.unexpected("sequence A") }
        sequences += 1
        continue
      }
      let special = try piece.member("SpecialToken", expected: "a Sequence or SpecialToken")
      let name = try special.string("id")
      guard let token = tokens?[name] else { throw special.unexpected("a token listed in special_tokens") }
      let ids = try token.integers("ids", in: 0...Vocabulary.highestID).map { Int32($0) }
      if sequences == 0 { before += ids } else { after += ids }
    }
    guard sequences == 1 else { throw try json.member("single").unexpected("a template with sequence A once") }
    prefix = before + prefix
    suffix += after
  }

  private static func tokenAndID(_ json: JSONValue, _ key: String) throws(FormatError) -> Int32 {
    let pair = try json.member(key)
    guard let id = pair.elements.dropFirst(1).first(where: { _ in true }) else { throw pair.unexpected("a token and its id") }
    return Int32(try id.requireInteger(in: 0...Vocabulary.highestID))
  }
}
