// `--tokens FILE`: token ids as JSON, used verbatim. The format is a contract: {"sequences": [[ids...], ...]} with optional parallel
// arrays "labels" and "names".

import Formats
import Model
import Routing

enum TokensFile {
  /// - Throws: `FormatError` naming the place, `Failure` for inputs of another kind of model.
  static func read(_ path: String) throws -> [TokenSequence] {
    let root = try JSON.read(path)
    let sequences = try root.array("sequences")
    let labels = try root.arrayIfPresent("labels").map(Array.init) ?? []
    let names = try root.arrayIfPresent("names").map(Array.init) ?? []
    return try sequences.enumerated().map { index, sequence in
      if sequence.kind == .object {
        throw Failure(
          .unsupported, "\(path): sequence \(index) has encoder and decoder ids; encoder-decoder models are not supported yet")
      }
      let ids = try sequence.requireArray().map { Int32(try $0.requireInteger(in: 0...Int(Int32.max))) }
      var description = SequenceDescription(name: index < names.count ? try names[index].requireString() : "sequence \(index)")
      if index < labels.count {
        for (key, value) in try labels[index].requireObject() { description.labels[try key.requireString()] = try value.requireString() }
      }
      return TokenSequence(description, tokens: ids)
    }
  }
}
