// Does each stage of a tokenizer do what tokenizer.json asks for, and refuse what it does not know? Small files built here; the expected
// ids and texts are what Hugging Face tokenizers 0.23 gives for the same files.

import Formats
import Model
import Support
import Testing

@Suite struct TokenizerStageTests {
  /// A byte-level tokenizer whose only tokens are the 256 bytes (id = order in the alphabet) and what is added.
  private func byteLevel(
    normalizer: String = "null", preTokenizer: String, added: String = "[]", postProcessor: String = "null"
  ) throws -> Tokenizer {
    let printable = (0...255).filter { (0x21...0x7E).contains($0) || (0xA1...0xAC).contains($0) || $0 >= 0xAE }
    let characters = printable.map { UInt32($0) } + (0..<(256 - printable.count)).map { UInt32(0x100 + $0) }
    var vocabulary = JSONWriter()
    vocabulary.object { json in
      for (id, character) in characters.enumerated() { json.member(Unicode.Scalar(character).map { String($0) } ?? "", id) }
    }
    let text = """
      {"added_tokens": \(added), "normalizer": \(normalizer), "pre_tokenizer": \(preTokenizer), "post_processor": \(postProcessor),
       "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": \(vocabulary.text), "merges": []}}
      """
    return try Tokenizer(json: try JSON.parse(text: text, name: "tokenizer.json"))
  }

  private static let bytes = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}"#

  @Test(arguments: [
    (#"{"type": "NFC"}"#, "e\u{301}\u{327} x", "\u{229}\u{301} x"), (#"{"type": "NFD"}"#, "\u{e9}", "e\u{301}"),
    (#"{"type": "NFKC"}"#, "\u{fb01}\u{ff21}", "fiA"), (#"{"type": "NFKC"}"#, "\u{ffbe}\u{ffdc}", "\u{d788}"),
    (#"{"type": "NFKD"}"#, "\u{fb01}\u{e9}", "fie\u{301}"),
    (#"{"type": "NFC"}"#, "a\u{898}\u{334}", "a\u{898}\u{334}"), (#"{"type": "Lowercase"}"#, "ÀB\u{130}Σ", "àbi\u{307}σ"),
    (#"{"type": "Strip", "strip_left": true, "strip_right": true}"#, " \u{3000}a b\u{a0}\n", "a b"),
    (#"{"type": "Strip", "strip_left": true, "strip_right": true}"#, " \n ", ""), (#"{"type": "Prepend", "prepend": "_"}"#, "ab", "_ab"),
    (#"{"type": "Prepend", "prepend": "_"}"#, "", ""),
    (#"{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "$1"}"#, "a   b c", "a$1b c"),
    (
      #"{"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "aa"}, "content": "b"}, {"type": "Lowercase"}]}"#,
      "aaaAA", "baaa"
    ),
  ])
  func normalizers(_ json: String, _ text: String, _ expected: String) throws {
    let tokenizer = try byteLevel(normalizer: json, preTokenizer: Self.bytes)
    let result = tokenizer.decode(try tokenizer.encode(text, addSpecialTokens: false), skipSpecialTokens: false)
    #expect(Array(result.unicodeScalars) == Array(expected.unicodeScalars), "\(result.debugDescription)")
  }

  /// Pieces become visible by a prefix space on each: ByteLevel adds one to every piece that has none.
  @Test(arguments: [
    (#"{"type": "Digits", "individual_digits": true}"#, "ab12c½", "ab| 1| 2| c| ½"),
    (#"{"type": "Digits", "individual_digits": false}"#, "ab12c½", "ab| 12| c| ½"),
    (#"{"type": "Punctuation"}"#, "a,b..«c", "a| ,| b| .| .| «| c"),
    (#"{"type": "Punctuation", "behavior": "Contiguous"}"#, "a,b..c", "a| ,| b| ..| c"),
    (#"{"type": "Whitespace"}"#, "don't  x²\u{3000}y", "don| '| t| x| ²| y"),
    (#"{"type": "WhitespaceSplit"}"#, " a\u{a0}b\u{85}c ", "a| b| c"),
    (#"{"type": "CharDelimiterSplit", "delimiter": "-"}"#, "a-b--c", "a| b| c"),
    (#"{"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed", "invert": false}"#, "a-b--c", "a| b| c"),
    (#"{"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated", "invert": false}"#, "a-b--c", "a| -| b| -| -| c"),
    (#"{"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous", "invert": false}"#, "a-b--c", "a| -| b| --| c"),
    (#"{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious", "invert": false}"#, "a-b--c", "a-| b-| -| c"),
    (#"{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext", "invert": false}"#, "a-b--c", "a| -b| -| -c"),
    (#"{"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Removed", "invert": true}"#, "ab-c1", "ab| c"),
    (#"{"type": "Split", "pattern": {"Regex": "[\\p{L}&&[^b]]+"}, "behavior": "Isolated", "invert": false}"#, "aabcé", "aa| b| cé"),
    (#"{"type": "Split", "pattern": {"Regex": "x*"}, "behavior": "Isolated", "invert": false}"#, "axxb", "a| xx| b"),
    (#"{"type": "Split", "pattern": {"Regex": "a{,2}"}, "behavior": "Isolated", "invert": false}"#, "aaab", "aa| a| b"),
    (#"{"type": "Split", "pattern": {"Regex": "\\h+"}, "behavior": "Isolated", "invert": false}"#, "xyAf9z", "xy| Af9| z"),
  ])
  func preTokenizers(_ json: String, _ text: String, _ expected: String) throws {
    let spaced = #"{"type": "ByteLevel", "add_prefix_space": true, "use_regex": false}"#
    let tokenizer = try byteLevel(preTokenizer: "{\"type\": \"Sequence\", \"pretokenizers\": [\(json), \(spaced)]}")
    let result = tokenizer.decode(try tokenizer.encode(text, addSpecialTokens: false), skipSpecialTokens: false)
    #expect(result == " " + expected.split(separator: "|").joined(), "\(result)")
  }

  @Test(arguments: [
    (#"{"type": "BertPreTokenizer"}"#, "pre_tokenizer.type: the pre-tokenizer \"BertPreTokenizer\""),
    (#"{"type": "Sequence", "pretokenizers": [{"type": "UnicodeScripts"}]}"#, "pre_tokenizer.pretokenizers[0].type"),
    (#"{"type": "Split", "pattern": {"Regex": "[[:alpha:]]"}, "behavior": "Removed"}"#, "a POSIX bracket"),
    (#"{"type": "Split", "pattern": {"Regex": "a{1,2}+"}, "behavior": "Removed"}"#, "an interval followed by +"),
    (#"{"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Removed"}"#, "\\1"),
    (#"{"type": "Split", "pattern": {"Regex": "a(?i)b"}, "behavior": "Removed"}"#, "the group"),
    (#"{"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Removed"}"#, "a regular expression this program can run"),
    (#"{"type": "Split", "pattern": {"String": ""}, "behavior": "Removed"}"#, "not empty"),
    (#"{"type": "Split", "pattern": {"String": "a"}, "behavior": "Gone"}"#, "one of Removed"),
  ])
  func refusesByName(_ json: String, _ words: String) {
    do {
      _ = try byteLevel(preTokenizer: json)
      Issue.record("accepted")
    } catch { #expect("\(error)".contains(words) && "\(error)".hasPrefix("tokenizer.json: pre_tokenizer"), "\(error)") }
  }

  @Test func addedTokens() throws {
    func token(_ content: String, _ flags: String) -> String {
      "{\"id\": 0, \"content\": \"\(content)\", \"normalized\": false, \"special\": true\(flags)}"
    }
    let added = [token("<a>", ""), token("<a>b", ""), token("L", ", \"lstrip\": true"), token("R", ", \"rstrip\": true")]
    let words = [token("word", ", \"single_word\": true")]
    let tokenizer = try byteLevel(preTokenizer: Self.bytes, added: "[\((added + words).joined(separator: ","))]")
    func spelt(_ text: String) throws -> [String] {
      try tokenizer.encode(text, addSpecialTokens: false).map { tokenizer.tokenText($0) ?? "?" }
    }
    // L and R are in the vocabulary, whose ids hold; the others count on from its end, whatever id they claim.
    #expect(try spelt("x<a>by<a>") == ["x", "<a>b", "y", "<a>"])
    #expect(try spelt("a  L b") == ["a", "L", " ", "b"])
    #expect(try spelt("a R  b") == ["a", " ", "R", "b"])
    #expect(try spelt("word words, word!") == ["word", " ", "w", "o", "r", "d", "s", ",", " ", "word", "!"])
    #expect(tokenizer.vocabularySize == 259 && tokenizer.isSpecial(256) && !tokenizer.isSpecial(0))
    #expect(tokenizer.decode([256, 0], skipSpecialTokens: true) == "!" && tokenizer.id(ofSpelling: "word") == 258)
  }

  @Test func templates() throws {
    let added = #"[{"id": 256, "content": "<s>", "special": true}, {"id": 257, "content": "</s>", "special": true}]"#
    let template = """
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
       {"SpecialToken": {"id": "</s>", "type_id": 0}}], "pair": [], "special_tokens":
       {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [257], "tokens": ["</s>"]}}}
      """
    let tokenizer = try byteLevel(preTokenizer: Self.bytes, added: added, postProcessor: template)
    #expect(try tokenizer.encode("!", addSpecialTokens: true) == [256, 0, 257])
    #expect(try tokenizer.encode("!", addSpecialTokens: false) == [0])
    #expect(tokenizer.bosToken == 256 && tokenizer.eosToken == 257)
  }

  @Test func configurationSetsTheTemplate() throws {
    let path = try #require(Fixtures.own("tokenizers/neox-olmoe/tokenizer.json"))
    let directory = try TemporaryDirectory()
    let settings = #"{"add_bos_token": true, "bos_token": {"content": "<|padding|>"}, "eos_token": "<|endoftext|>"}"#
    let configuration = try directory.write(Array(settings.utf8), to: "tokenizer_config.json")
    let tokenizer = try Tokenizer(file: path, configuration: configuration)
    #expect(tokenizer.bosToken == 3024 && tokenizer.eosToken == 3023)
    #expect(try tokenizer.encode("", addSpecialTokens: true) == [3024])
    #expect(tokenizer.contentHash == (try SHA256.hexDigest(ofFile: path)))
  }

  @Test func tokensByThemselves() throws {
    let (byteLevel, metaspace) = (try TokenizerCase.tokenizer("neox-olmoe"), try TokenizerCase.tokenizer("sp-bpe-mixtral"))
    let the = try #require(byteLevel.id(ofSpelling: "Ġthe"))
    #expect(byteLevel.tokenText(the) == " the" && byteLevel.tokenSpelling(the) == "Ġthe")
    let alsoThe = try #require(metaspace.id(ofSpelling: "▁the"))
    #expect(metaspace.tokenText(alsoThe) == " the")
    #expect(metaspace.tokenBytes(try #require(metaspace.id(ofSpelling: "<0xE2>"))) == [0xE2])
    #expect(metaspace.tokenText(1_000_000) == nil && metaspace.tokenText(-1) == nil)
  }
}
