// `--tokens FILE`: token ids as JSON, used verbatim. The format is a contract: {"sequences": [[ids...], ...]}, for models with an
// encoder {"sequences": [{"encoder": [ids...], "decoder": [ids...]}, ...]}, with optional parallel arrays "labels" and "names".

import Formats
import Model
import Routing

enum TokensFile {
  /// - Throws: `FormatError` naming the place.
  static func read(_ path: String) throws -> [TokenSequence] {
    let root = try JSON.read(path)
    let sequences = try root.array("sequences")
    let labels = try root.arrayIfPresent("labels").map(Array.init) ?? []
    let names = try root.arrayIfPresent("names").map(Array.init) ?? []
    return try sequences.enumerated().map { index, sequence in
      var description = SequenceDescription(name: index < names.count ? try names[index].requireString() : "sequence \(index)")
      if index < labels.count {
        for (key, value) in try labels[index].requireObject() { description.labels[try key.requireString()] = try value.requireString() }
      }
      guard sequence.kind == .object else { return TokenSequence(description, tokens: try sequence.requireArray().map(id)) }
      return TokenSequence(
        description, encoder: try sequence.array("encoder").map(id), tokens: try sequence.array("decoder").map(id))
    }
  }

  private static func id(_ value: JSONValue) throws -> Int32 { Int32(try value.requireInteger(in: 0...Int(Int32.max))) }
}
