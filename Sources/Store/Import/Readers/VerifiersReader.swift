// What prime-rl's server answers and verifiers hands on: `choices[].routed_experts` is an object with data, shape, and since 0.2.0 start and
// dtype. Later turns bring the rows from the last token of the turn before on. The last token has no row; trainers append one.
// Source: verifiers 0.4.0 and a60a606 (base64), tags v0.1.12 to v0.1.14 (base85 of int32); prime-rl 559b447.

import Formats
import Routing

enum VerifiersReader {
  static func recognises(_ path: String) -> Bool {
    guard let choice = JSONValue.first(of: path)?["choices"]?.elements.first(where: { _ in true }) else { return false }
    return choice["routed_experts"]?["data"] != nil
  }

  private struct Turn {
    var sequence: ForeignSequence
    var tokens: [Int32]
    var parts: [ForeignArray]
  }

  /// - Throws: `FormatError`, `ImportError`.
  static func open(_ files: [String]) throws -> any ForeignRecord {
    let answers = try Answers(files: files)
    var turns: [Turn] = []
    for (_, place, value) in answers.values {
      for (number, choice) in try value.array("choices").enumerated() {
        guard let routes = try choice.memberIfPresent("routed_experts") else { continue }
        let array = try decode(routes)
        let start = try routes.integerIfPresent("start", in: 0...1 << 40) ?? 0
        let prompt = try Answers.tokens(value["prompt_token_ids"]) ?? Answers.tokens(choice["prompt_token_ids"])
        let generated = try Answers.tokens(choice["token_ids"]) ?? []
        let tokens = (prompt ?? []) + generated
        // A turn goes on from the one before it whose tokens it repeats.
        if start > 0, let before = turns.indices.last(where: { continues(turns[$0], at: start, tokens) }) {
          turns[before].parts.append(array)
          turns[before].tokens = tokens
          continue
        }
        var sequence = ForeignSequence(name: Answers.name(value, place) + (number > 0 ? " choice \(number)" : ""), rows: array.rows)
        sequence.start = start
        if prompt != nil { sequence.generatedFrom = prompt?.count }
        turns.append(Turn(sequence: sequence, tokens: prompt == nil ? [] : tokens, parts: [array]))
      }
    }
    var shape = ForeignShape(format: .verifiers, columns: [], sequences: [])
    (shape.omitted, shape.findings) = (1, answers.findings)
    let sequences = try turns.map { turn in
      var sequence = turn.sequence
      if !turn.tokens.isEmpty { sequence.tokens = turn.tokens }
      guard let array = ForeignArray.joined(turn.parts) else {
        throw FormatError.malformed(
          file: files[0], place: sequence.name, problem: "expected turns of one shape, found several",
          hint: "are these answers of one model?")
      }
      return (sequence, array)
    }
    return try ArrayRecord(sequences, shape: shape, file: files[0])
  }

  private static func continues(_ turn: Turn, at start: Int, _ tokens: [Int32]) -> Bool {
    let rows = turn.parts.reduce(turn.sequence.start ?? 0) { $0 + $1.rows }
    return rows == start && !turn.tokens.isEmpty && tokens.starts(with: turn.tokens)
  }

  private static func decode(_ routes: JSONValue) throws -> ForeignArray {
    let shape = try routes.integers("shape", in: 0...1 << 40)
    let text = try routes.string("data")
    guard shape.count == 3, (1...1 << 16).contains(shape[1]), (1...1 << 16).contains(shape[2]) else {
      throw try routes.member("shape").unexpected("[rows, layers, k]")
    }
    let cells = shape[1] * shape[2]
    // Without start and dtype: base85 of i32, five characters for four bytes.
    let isOld = routes["start"] == nil && routes["dtype"] == nil
    if isOld, let bytes = BinaryText.base85(text), bytes.count % (4 * cells) == 0 || bytes.count == 4 * cells * shape[0] {
      return ForeignArray(bytes, element: .int32, rows: shape[0], layers: shape[1], slots: shape[2])
    }
    let name = try routes.stringIfPresent("dtype") ?? "uint8"
    guard let element = ForeignArray.Element(rawValue: name) else { throw try routes.member("dtype").unexpected("uint8 or uint16") }
    guard let bytes = BinaryText.base64(text) else { throw try routes.member("data").unexpected("base64") }
    return ForeignArray(bytes, element: element, rows: shape[0], layers: shape[1], slots: shape[2])
  }
}
