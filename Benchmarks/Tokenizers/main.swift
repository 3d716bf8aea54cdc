// How fast does text become ids on one core? Every tokenizer given, over four megabytes of a plain text, or of the English documents of
// a labelled corpus, repeated where the text is shorter. "new words": the new words of a tokenizer that has seen no text yet; "MB/s": the
// shortest of five further passes. Repeated text flatters the word cache, so the amount of different text is printed.
//   TokenizerBench CORPUS.jsonl|TEXT.txt TOKENIZER.json...

import Formats
import Model

/// Shortest of `runs` timings of `body`, seconds.
func shortest(of runs: Int, _ body: () throws -> Void) rethrows -> Double {
  let clock = ContinuousClock()
  var best = Double.infinity
  for _ in 0..<runs {
    let elapsed = try clock.measure(body).components
    best = min(best, Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18)
  }
  return best
}

/// One decimal.
func show(_ value: Double, width: Int = 9) -> String {
  let text = "\((value * 10).rounded() / 10)"
  return String(repeating: " ", count: max(0, width - text.count)) + text
}

/// A plain text, or the prose of a corpus of JSON lines: texts whose domain is `manual`, or all of them when there is none.
func english(_ path: String) throws -> String {
  let file = try MappedFile(path: path)
  guard path.hasSuffix(".jsonl") else { return String(decoding: file.bytes.prefix(4_000_000), as: UTF8.self) }
  var manual = ""
  var all = ""
  for line in String(decoding: file.bytes, as: UTF8.self).split(separator: "\n") {
    let entry = try JSON.parse(text: String(line), name: path)
    let text = try entry.string("text")
    all += text + "\n"
    if try entry.stringIfPresent("domain") == "manual" { manual += text + "\n" }
  }
  return manual.isEmpty ? all : manual
}

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: TokenizerBench CORPUS.jsonl|TEXT.txt TOKENIZER.json...")
  throw CancellationError()
}
let prose = try english(arguments[1])
let text = String(repeating: prose, count: max(1, 4_000_000 / prose.utf8.count))
print("\(text.utf8.count) bytes of English, \(prose.utf8.count) of them different; one thread")
print("     MB/s   new words   bytes/token  tokenizer")
for path in arguments.dropFirst(2) {
  let tokenizer = try Tokenizer(file: path)
  var tokens = 0
  let cold = try shortest(of: 1) { tokens = try tokenizer.encode(text, addSpecialTokens: false).count }
  let warm = try shortest(of: 5) { _ = try tokenizer.encode(text, addSpecialTokens: false) }
  let bytes = Double(text.utf8.count)
  print("\(show(bytes / warm / 1e6))\(show(bytes / cold / 1e6, width: 13))\(show(bytes / Double(tokens), width: 14))  \(path)")
}
