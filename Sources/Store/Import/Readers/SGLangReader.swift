// What SGLang answers with return_routed_experts: flat ids of all hidden layers, `[tokens - 1, layers, k]`, as base64 without shape. It follows
// from the number of tokens and from what the user or the model says of layers and k.
// Source: sglang 0.5.23 (int32, logical ids); the field of the type is that of pull request #31219, commit a6463a1.

import Formats
import Routing

enum SGLangReader {
  static func recognises(_ path: String) -> Bool {
    guard let value = JSONValue.first(of: path) else { return false }
    if value["meta_info"]?["routed_experts"] != nil || value["sglext"]?["routed_experts"] != nil { return true }
    return value["choices"]?.elements.first { _ in true }?["sgl_ext"]?["routed_experts"] != nil
  }

  private struct Answer {
    var sequence: ForeignSequence
    var bytes: [UInt8]
    var element: ForeignArray.Element
    var value: JSONValue
    /// Tokens of prompt and answer.
    var length: Int?
  }

  /// - Throws: `FormatError`, `ImportError`.
  static func open(_ files: [String], request: ImportRequest) throws -> any ForeignRecord {
    let answers = try Answers(files: files)
    var read: [Answer] = []
    for (_, place, value) in answers.values { if let answer = try answer(value, place) { read.append(answer) } }
    if let tokens = request.tokens, tokens.count == read.count {
      for index in read.indices { read[index].length = tokens[index].count }
    }
    let (layers, slots) = try cells(read, request: request, file: files[0])
    var sequences = read.map { answer in
      let width = layers * slots * answer.element.bytes
      let whole = answer.bytes.count / width
      let missing = answer.bytes.count % width == 0 ? 0 : max((answer.length ?? whole + 2) - 1 - whole, 1)
      let array = ForeignArray(answer.bytes, element: answer.element, rows: whole + missing, layers: layers, slots: slots)
      return (answer.sequence, array)
    }
    place(&sequences, read)
    var shape = ForeignShape(format: .sglang, columns: [], sequences: [])
    (shape.omitted, shape.findings) = (1, answers.findings)
    return try ArrayRecord(sequences, shape: shape, file: files[0])
  }

  private static func answer(_ value: JSONValue, _ place: String) throws -> Answer? {
    let chat = value["sglext"] ?? value["choices"]?.elements.first { _ in true }?["sgl_ext"]
    let meta = value["meta_info"]
    guard let routes = (meta ?? chat)?["routed_experts"], !routes.isNull else { return nil }
    guard let text = routes.string, let bytes = BinaryText.base64(text) else { throw routes.unexpected("base64") }
    let name = (meta ?? chat)?["routed_experts_dtype"]?.string ?? "int32"
    guard let element = ForeignArray.Element(rawValue: name) else { throw routes.unexpected("a type such as int32, found \(name)") }
    var sequence = ForeignSequence(name: Answers.name(meta ?? value, place), rows: 0)
    let counts = meta ?? value["usage"]
    let prompt = try counts?.integerIfPresent("prompt_tokens", in: 0...1 << 40)
    let generated = try counts?.integerIfPresent("completion_tokens", in: 0...1 << 40)
    sequence.generatedFrom = prompt
    if let input = try Answers.tokens(chat?["input_ids"]), let output = try Answers.tokens(chat?["output_ids"]) {
      sequence.tokens = input + output
    }
    var length = sequence.tokens?.count
    if length == nil, let prompt, let generated { length = prompt + generated }
    sequence.tokenCount = length
    // Without an answer the last token of the prompt has no row either.
    if generated == 0 { sequence.tokenCount = nil }
    return Answer(sequence: sequence, bytes: bytes, element: element, value: routes, length: length)
  }

  /// Layers and ids a row, of which the answers say neither.
  private static func cells(_ answers: [Answer], request: ImportRequest, file: String) throws -> (layers: Int, slots: Int) {
    guard let first = answers.first else { throw ImportError.empty(file: file) }
    if let model = request.model {
      guard let topK = model.routers.first?.spec.topK else {
        throw ImportError.needed("--top-k", file: file, why: "the model has no router")
      }
      let layers = request.layers?.count ?? model.identity.layerCount
      return (layers, fitting(answers, layers: layers, wanted: topK) ?? topK)
    }
    /// Ids of one token, where its answer is whole.
    func cells(_ answer: Answer) -> Int? {
      guard let length = answer.length, length > 1, answer.bytes.count % (answer.element.bytes * (length - 1)) == 0 else { return nil }
      return answer.bytes.count / (answer.element.bytes * (length - 1))
    }
    if let layers = request.layers?.count, let topK = request.topK { return (layers, topK) }
    guard let all = answers.compactMap(cells).first, all > 0 else {
      throw ImportError.needed(
        "--model", file: file, why: "the shape of routed_experts is not in the file, and does not follow from the tokens")
    }
    if let topK = request.topK, all % topK == 0 { return (all / topK, topK) }
    if let layers = request.layers?.count, all % layers == 0 { return (layers, all / layers) }
    throw ImportError.needed(
      "--top-k K (or --model)", file: file,
      why: "a token has \(all) ids in \(first.sequence.name), and the file does not say how many of them are one layer's")
  }

  /// The k that makes whole rows of each answer where the model's does not: that of a record of other shape, for the judge to see.
  private static func fitting(_ answers: [Answer], layers: Int, wanted: Int) -> Int? {
    func rows(_ answer: Answer, _ slots: Int) -> Int? {
      let width = layers * slots * answer.element.bytes
      return answer.bytes.count % width == 0 ? answer.bytes.count / width : nil
    }
    let expected = answers.map { $0.length.map { $0 - 1 } }
    for slots in [wanted] + (1...2 * wanted + 2) {
      if zip(answers, expected).allSatisfy({ answer, length in length.map { rows(answer, slots) == $0 } ?? (rows(answer, slots) != nil) }) {
        return slots
      }
    }
    return nil
  }

  /// A request may ask for the rows from some token on, and no answer says so: all lack the same number of rows at their beginning.
  private static func place(_ sequences: inout [(ForeignSequence, ForeignArray)], _ answers: [Answer]) {
    let lacking = zip(sequences, answers).map { sequence, answer -> Int? in
      guard sequence.1.missing == 0, let length = answer.length else { return nil }
      return length - 1 - sequence.1.rows
    }
    guard let first = lacking.first, let lack = first, lack > 1, lacking.allSatisfy({ $0 == lack }),
      answers.allSatisfy({ ($0.sequence.generatedFrom ?? 0) >= lack })
    else { return }
    for index in sequences.indices { sequences[index].0.start = lack }
  }
}
