// What vLLM hands out as `routed_experts`: an array [tokens - 1, layers, k] a request, saved by numpy.save or within the answer of a server as the
// base64 of such a file. Layers are all hidden ones, dense ones as zeros (0.14 to 0.20, 0.33), or those with experts (0.21).
// Source: vllm 0.33.0, routed_experts_capturer.py and protocol.py; older ones by their documentation.

import Formats
import Routing

enum VLLMReader {
  static func recognises(_ path: String) -> Bool {
    if NPYFile.isAt(path) {
      guard let header = try? NPYFile(path: path).header else { return false }
      return header.shape.count == 3 && NumberRows.isWhole(header.elementType)
    }
    guard let answer = JSONValue.first(of: path), answer["message"] == nil, let choices = answer["choices"], choices.kind == .array else {
      return false
    }
    return choices.elements.contains { $0["routed_experts"]?.string.map(isArray) == true }
  }

  /// Whether a text is the base64 of an array of numpy.save.
  private static func isArray(_ text: String) -> Bool { text.hasPrefix("k05VTVBZ") }

  /// - Throws: `FormatError`, `ImportError`.
  static func open(_ files: [String]) throws -> any ForeignRecord {
    var sequences: [(ForeignSequence, ForeignArray)] = []
    for file in files where NPYFile.isAt(file) {
      let array = try NPYFile(path: file)
      sequences.append((ForeignSequence(name: fileName(file), rows: 0), try Self.array(array.header, file: file, rows: array.rows)))
    }
    var shape = ForeignShape(format: .vllm, columns: [], sequences: [])
    let others = files.filter { !NPYFile.isAt($0) }
    if !others.isEmpty {
      let answers = try Answers(files: others)
      shape.findings = answers.findings
      for (_, place, value) in answers.values { sequences += try requests(value, place) }
    }
    shape.omitted = 1
    return try ArrayRecord(sequences, shape: shape, file: files[0])
  }

  private static func requests(_ answer: JSONValue, _ place: String) throws -> [(ForeignSequence, ForeignArray)] {
    // 0.21: rows of the prompt stand beside the choices, those of what was generated within them.
    let promptRows = try answer.memberIfPresent("prompt_routed_experts").map { try decoded($0, place) }
    var found: [(ForeignSequence, ForeignArray)] = []
    for (number, choice) in try answer.array("choices").enumerated() {
      guard let routes = try choice.memberIfPresent("routed_experts") else { continue }
      let own = try decoded(routes, place)
      guard let array = promptRows.map({ ForeignArray.joined([$0, own]) }) ?? own else {
        throw routes.unexpected("layers and k as in prompt_routed_experts")
      }
      var sequence = ForeignSequence(name: Answers.name(answer, place) + (number > 0 ? " choice \(number)" : ""), rows: array.rows)
      let prompt = try Answers.tokens(answer["prompt_token_ids"]) ?? Answers.tokens(choice["prompt_token_ids"])
      if let prompt, let generated = try Answers.tokens(choice["token_ids"]) {
        sequence.tokens = prompt + generated
        sequence.generatedFrom = prompt.count
      } else if number == 0, let usage = try answer.memberIfPresent("usage") {
        sequence.tokenCount = try usage.integerIfPresent("total_tokens", in: 0...1 << 40)
        sequence.generatedFrom = try usage.integerIfPresent("prompt_tokens", in: 0...1 << 40)
      }
      found.append((sequence, array))
    }
    return found
  }

  /// - Parameter place: named by errors.
  private static func decoded(_ value: JSONValue, _ place: String) throws -> ForeignArray {
    guard let text = value.string else { return try Answers.array(value) }
    guard let bytes = BinaryText.base64(text) else { throw value.unexpected("the base64 of an array of numpy.save") }
    let header: NPYHeader
    do { header = try bytes.withUnsafeBytes { try NPYHeader($0, file: value.fileName) } } catch FormatError.malformed(
      let file, let part, let problem, let hint)
    {
      throw FormatError.malformed(file: file, place: "\(place), \(value.path), \(part)", problem: problem, hint: hint)
    }
    guard header.shape.count == 3, let element = ForeignArray.Element(header.elementType) else {
      throw value.unexpected("integers [rows, layers, k], not \(header.elementType.rawValue) \(header.shape)")
    }
    return ForeignArray(
      Array(bytes[header.dataOffset...]), element: element, rows: header.rows, layers: header.shape[1], slots: header.shape[2])
  }

  private static func array(_ header: NPYHeader, file: String, rows: NumberRows) throws -> ForeignArray {
    guard header.shape.count == 3, NumberRows.isWhole(header.elementType) else {
      throw FormatError.value(
        file: file, path: "the array", expected: "integers [rows, layers, k]", found: "\(header.elementType.rawValue) \(header.shape)")
    }
    return ForeignArray(
      rows: header.wholeRows, layers: header.shape[1], slots: header.shape[2], missing: header.rows - header.wholeRows
    ) { try rows.integers($0) }
  }
}
