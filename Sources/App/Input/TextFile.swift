// `-f FILE`: text as one sequence, or JSON lines with "text" and any other string fields as labels.

import Formats
import Routing

/// One text with its name and labels.
struct LabelledText: Equatable {
  var description: SequenceDescription
  var text: String
}

enum TextFile {
  /// - Throws: `FormatError` for a file that cannot be read, that is not UTF-8, or whose JSON lines are damaged.
  static func read(_ path: String) throws -> [LabelledText] {
    let file = try MappedFile(path: path)
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw Failure(.damaged, "\(path): the text is not valid UTF-8\n  try: convert it first, for instance with iconv")
    }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    guard path.hasSuffix(".jsonl") || path.hasSuffix(".ndjson") else {
      return [LabelledText(description: SequenceDescription(name: name), text: text)]
    }
    var texts: [LabelledText] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where !line.allSatisfy(\.isWhitespace)
    {
      let value = try JSON.parse(text: String(line), name: "\(path):\(number + 1)")
      var description = SequenceDescription(name: "\(name):\(number + 1)")
      for (key, field) in try value.requireObject() {
        guard let key = key.string, let content = field.string, key != "text" else { continue }
        if key == "name" { description.name = content } else { description.labels[key] = content }
      }
      texts.append(LabelledText(description: description, text: try value.string("text")))
    }
    return texts
  }

}
