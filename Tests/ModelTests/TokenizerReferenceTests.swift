// Do our ids and texts equal the reference's? Every string of the tokenizer fixtures, made by Hugging Face tokenizers: with and without
// special tokens, decoded with and without them.

import Formats
import Model
import Support
import Testing

struct TokenizerCase {
  var text: String
  var ids: [Int32]
  var plainIDs: [Int32]
  var decoded: String
  var decodedWithSpecial: String

  static func all(_ kind: String) throws -> [TokenizerCase] {
    try JSON.read(#require(Fixtures.own("tokenizers/\(kind)/expected.json"))).array("cases").map { json in
      TokenizerCase(
        text: try json.string("text"), ids: try json.integers("ids").map { Int32($0) },
        plainIDs: try json.integers("ids_plain").map { Int32($0) }, decoded: try json.string("decoded"),
        decodedWithSpecial: try json.string("decoded_with_special"))
    }
  }

  static func tokenizer(_ kind: String) throws -> Tokenizer {
    try Tokenizer(file: #require(Fixtures.own("tokenizers/\(kind)/tokenizer.json")))
  }
}

let tokenizerKinds = ["gpt2", "neox-olmoe", "qwen2", "deepseek-v3", "o200k-gpt-oss", "sp-bpe-mixtral", "unigram-t5-switch"]

@Suite struct TokenizerReferenceTests {
  @Test(arguments: tokenizerKinds)
  func everyCase(_ kind: String) throws {
    let (tokenizer, cases) = (try TokenizerCase.tokenizer(kind), try TokenizerCase.all(kind))
    #expect(cases.count == 235)
    for expected in cases {
      let shown = expected.text.debugDescription
      #expect(try tokenizer.encode(expected.text, addSpecialTokens: true) == expected.ids, "\(shown)")
      #expect(try tokenizer.encode(expected.text, addSpecialTokens: false) == expected.plainIDs, "\(shown)")
      let decoded = tokenizer.decode(expected.ids, skipSpecialTokens: true)
      #expect(Array(decoded.utf8) == Array(expected.decoded.utf8), "\(shown)")
      let decodedWithSpecial = tokenizer.decode(expected.ids, skipSpecialTokens: false)
      #expect(Array(decodedWithSpecial.utf8) == Array(expected.decodedWithSpecial.utf8), "\(shown)")
    }
  }

  @Test(arguments: tokenizerKinds)
  func streamedTextEqualsWholeText(_ kind: String) throws {
    let (tokenizer, cases) = (try TokenizerCase.tokenizer(kind), try TokenizerCase.all(kind))
    #expect(!cases.isEmpty)
    for expected in cases {
      var stream = tokenizer.streamingDecoder(skipSpecialTokens: false)
      var text = ""
      for end in 0...expected.ids.count {
        if end > 0 { text += stream.append(expected.ids[end - 1]) }
        var last = stream
        let streamed = text + last.finish()
        let whole = tokenizer.decode(expected.ids[..<end], skipSpecialTokens: false)
        #expect(Array(streamed.utf8) == Array(whole.utf8), "\(expected.text.debugDescription) at \(end)")
      }
    }
  }
}
