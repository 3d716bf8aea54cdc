// What NeMo-RL keeps of a generation: messages with `routed_experts` as text ("nrlre1:int8:24x2x3:" and base64) or as nested lists, beside the
// ids of prompt and answer. Rows are all tokens; the last one, and every token that no router saw, has the ids 0…k-1.
// Source: nemo_rl/utils/routed_experts_codec.py, commit 7ea279a (2026-08-22).

import Formats
import Routing

enum NeMoReader {
  private static let mark = "nrlre1:"

  static func recognises(_ path: String) -> Bool {
    guard let value = JSONValue.first(of: path)?["routed_experts"] else { return false }
    return value.string?.hasPrefix(mark) == true || value.kind == .array && JSONValue.first(of: path)?["generation_token_ids"] != nil
  }

  /// - Throws: `FormatError`, `ImportError`.
  static func open(_ files: [String]) throws -> any ForeignRecord {
    let answers = try Answers(files: files)
    var sequences: [(ForeignSequence, ForeignArray)] = []
    for (file, place, value) in answers.values {
      guard let routes = try value.memberIfPresent("routed_experts") else { continue }
      let array = try routes.string.map { try decode($0, routes, file: file, place: place) } ?? Answers.array(routes)
      var sequence = ForeignSequence(name: Answers.name(value, place), rows: array.rows)
      let prompt = try Answers.tokens(value["prompt_token_ids"]) ?? []
      if let generated = try Answers.tokens(value["generation_token_ids"]) {
        sequence.tokens = prompt + generated
        sequence.generatedFrom = prompt.count
      }
      sequences.append((sequence, array))
    }
    var shape = ForeignShape(format: .nemoRL, columns: [], sequences: [])
    (shape.omitted, shape.appendsRow, shape.findings) = (1, true, answers.findings)
    return try ArrayRecord(sequences, shape: shape, file: files[0])
  }

  private static func decode(_ text: String, _ value: JSONValue, file: String, place: String) throws -> ForeignArray {
    let parts = text.split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
    let shape = parts.count == 4 ? parts[2].split(separator: "x", omittingEmptySubsequences: false).map { Int($0) } : []
    guard parts.count == 4, parts[0] + ":" == mark, let element = ForeignArray.Element(rawValue: parts[1]), shape.count == 3,
      let rows = shape[0], let layers = shape[1], let slots = shape[2], rows >= 0, (1...1 << 16).contains(layers),
      (1...1 << 16).contains(slots),
      let bytes = BinaryText.base64(parts[3])
    else { throw value.unexpected("\"\(mark)TYPE:ROWSxLAYERSxK:\" and base64") }
    return ForeignArray(bytes, element: element, rows: min(rows, 1 << 40), layers: layers, slots: slots)
  }
}
