// `--tokens FILE`: token ids as JSON, used verbatim. The format is a contract: {"sequences": [[ids...], ...]}, for models with an
// encoder {"sequences": [{"encoder": [ids...], "decoder": [ids...]}, ...]}, with optional parallel arrays "labels" and "names".

import Formats
import Model
import Routing

enum TokensFile {
  /// - Parameter path: `-` is standard input.
  /// - Throws: `FormatError` naming the place; a parallel array of another length than "sequences" is refused, with both counts.
  static func read(_ path: String) throws -> [TokenSequence] {
    let root = try TextInput(path).json()
    let sequences = try Array(root.array("sequences"))
    guard !sequences.isEmpty else { throw try root.member("sequences").unexpected("one sequence or more") }
    func parallel(_ key: String) throws -> [JSONValue]? {
      guard let values = try root.arrayIfPresent(key).map(Array.init) else { return nil }
      guard values.count == sequences.count else {
        throw try root.member(key).unexpected("one for each of the \(sequences.count) sequences")
      }
      return values
    }
    let labels = try parallel("labels")
    let names = try parallel("names")
    return try sequences.enumerated().map { index, sequence in
      var description = SequenceDescription(name: try names.map { try text($0[index]) } ?? "sequence \(index)")
      if let labels {
        for (key, value) in try labels[index].requireObject() { description.labels[try text(key)] = try text(value) }
      }
      guard sequence.kind == .object else { return TokenSequence(description, tokens: try sequence.requireArray().map(id)) }
      return TokenSequence(
        description, encoder: try sequence.array("encoder").map(id), tokens: try sequence.array("decoder").map(id))
    }
  }

  /// A name or label: numbers and booleans as they are spelt.
  private static func text(_ value: JSONValue) throws -> String {
    guard let text = try value.nameOrLabel else { throw value.unexpected("a string, a number, true or false") }
    return text
  }

  private static func id(_ value: JSONValue) throws -> Int32 { Int32(try value.requireInteger(in: 0...Int(Int32.max))) }
}
