// Does a GGUF file's tokenizer give the ids of the tokenizer.json it was made from? Every string of the fixtures; a GGUF written here for
// the unigram kind; and what is refused by name. Where llama.cpp itself differs (it normalises nothing), the model is right.

import Formats
import Foundation
import Model
import Support
import Testing

@Suite struct GGUFTokenizerTests {
  /// Compares every case, `tokenizer` against the reference.
  private func compare(_ tokenizer: Tokenizer, with kind: String) throws {
    let cases = try TokenizerCase.all(kind)
    #expect(cases.count == 235)
    for expected in cases {
      let shown = expected.text.debugDescription
      #expect(try tokenizer.encode(expected.text, addSpecialTokens: true) == expected.ids, "\(shown)")
      #expect(try tokenizer.encode(expected.text, addSpecialTokens: false) == expected.plainIDs, "\(shown)")
      #expect(isEqual(tokenizer.decode(expected.ids, skipSpecialTokens: true), expected.decoded), "\(shown)")
      #expect(isEqual(tokenizer.decode(expected.ids, skipSpecialTokens: false), expected.decodedWithSpecial), "\(shown)")
    }
  }

  private func isEqual(_ a: String, _ b: String) -> Bool { Array(a.utf8) == Array(b.utf8) }

  @Test(arguments: tokenizerKinds.filter { $0 != "unigram-t5-switch" })
  func everyCase(_ kind: String) throws {
    let tokenizer = try Tokenizer(gguf: GGUFFile(path: #require(Fixtures.own("tokenizers/\(kind)/vocab.gguf"))))
    try compare(tokenizer, with: kind)
    let normalizer = tokenizer.notes.first { $0.contains("normalizer") }
    switch kind {
    case "qwen2", "neox-olmoe": #expect(normalizer?.contains("NFC is applied") == true)
    case "sp-bpe-mixtral": #expect(normalizer == nil && tokenizer.notes.contains { $0.contains("after a special token") })
    default: #expect(normalizer?.contains("none is applied") == true)
    }
  }

  /// The unigram kind as llama.cpp's converter writes it, from the tokenizer.json.
  @Test func unigramFromMetadata() throws {
    let json = try JSON.read(#require(Fixtures.own("tokenizers/unigram-t5-switch/tokenizer.json")), options: .python)
    let model = try json.member("model")
    let pieces = try model.array("vocab").map { Array($0.elements) }
    let special = Set(try json.array("added_tokens").map { try $0.integer("id") })
    let unknown = try model.integer("unk_id")
    let map = try json.member("normalizer").array("normalizers").compactMap { try $0.stringIfPresent("precompiled_charsmap") }.first
    let encoded = try #require(map)
    let charsmap = try #require(Data(base64Encoded: encoded))

    var file = MetadataFile()
    file.pair("tokenizer.ggml.model", "t5")
    file.pair("tokenizer.ggml.tokens", try pieces.map { try $0[0].requireString() })
    file.list("tokenizer.ggml.scores", type: 6, count: pieces.count) { file in
      for piece in pieces { file.add(Float(piece[1].double ?? 0).bitPattern) }
    }
    file.list("tokenizer.ggml.token_type", type: 5, count: pieces.count) { file in
      for id in pieces.indices { file.add(Int32(id == unknown ? 2 : special.contains(id) ? 3 : 1)) }
    }
    file.list("tokenizer.ggml.precompiled_charsmap", type: 0, count: charsmap.count) { $0.bytes += charsmap }
    file.pair("tokenizer.ggml.eos_token_id", 1)
    file.pair("tokenizer.ggml.unknown_token_id", UInt32(unknown))
    let folder = try TemporaryDirectory()
    let tokenizer = try Tokenizer(gguf: GGUFFile(path: try folder.write(file.whole, to: "t5.gguf")))
    try compare(tokenizer, with: "unigram-t5-switch")
  }

  @Test(arguments: [
    ("gpt2", "superbpe", "the split \"superbpe\""), ("gpt2", nil, "does not say how text is split"),
    ("bert", nil, "the tokenizer \"bert\""),
    ("none", nil, "missing; expected a tokenizer"), ("llama", nil, "tokenizer.ggml.scores"),
  ])
  func refusals(_ model: String, _ pre: String?, _ words: String) throws {
    var file = MetadataFile()
    file.pair("tokenizer.ggml.model", model)
    if let pre { file.pair("tokenizer.ggml.pre", pre) }
    file.pair("tokenizer.ggml.tokens", ["a", "b"])
    file.pair("tokenizer.ggml.merges", [])
    let folder = try TemporaryDirectory()
    let path = try folder.write(file.whole, to: "t.gguf")
    do {
      _ = try Tokenizer(gguf: GGUFFile(path: path))
      Issue.record("accepted")
    } catch { #expect("\(error)".contains(words), "\(error)") }
  }

  /// A token that is looked for in text and is half a character would cut what comes after it.
  @Test(arguments: ["llama", "t5"], [[0x9F, 0x98, 0x80], [0xF0], [0x61]] as [[UInt8]])
  func aSoughtTokenIsWholeText(_ model: String, _ bytes: [UInt8]) throws {
    let tokens: [[UInt8]] = [Array("<unk>".utf8), bytes, Array("▁".utf8), [0xF0, 0x9F], Array("b".utf8)]
    var file = MetadataFile()
    file.pair("tokenizer.ggml.model", model)
    file.list("tokenizer.ggml.tokens", type: 8, count: tokens.count) { file in
      for token in tokens {
        file.add(UInt64(token.count))
        file.bytes += token
      }
    }
    file.list("tokenizer.ggml.scores", type: 6, count: tokens.count) { file in
      for index in tokens.indices { file.add(Float(-index).bitPattern) }
    }
    file.list("tokenizer.ggml.token_type", type: 5, count: tokens.count) { file in for type in [2, 3, 1, 1, 1] { file.add(Int32(type)) } }
    let folder = try TemporaryDirectory()
    let path = try folder.write(file.whole, to: "t.gguf")
    if bytes == [0x61] {
      // Parts of characters that are not looked for may stay.
      let tokenizer = try Tokenizer(gguf: GGUFFile(path: path))
      #expect(try tokenizer.encode("ba😀b", addSpecialTokens: false).contains(1))
    } else {
      let error = #expect(throws: FormatError.self) { try Tokenizer(gguf: GGUFFile(path: path)) }
      #expect(error.map { "\($0)" }?.contains("tokens[1]: expected valid UTF-8") == true)
    }
  }

  /// A tokenizer of bytes, with `tokens` made of all their characters one after the other.
  private func byteLevel(_ pre: String, tokens: [String] = [], merging: Bool = true) throws -> Tokenizer {
    let printable = (0...255).filter { (0x21...0x7E).contains($0) || (0xA1...0xAC).contains($0) || $0 >= 0xAE }
    let others = (0...255).filter { !printable.contains($0) }
    let alphabet = Dictionary(
      uniqueKeysWithValues: printable.map { ($0, UInt32($0)) } + others.enumerated().map { ($1, 0x100 + UInt32($0)) })
    let letters = (printable + others).compactMap { alphabet[$0].flatMap(Unicode.Scalar.init).map { String($0) } }
    var pieces = letters
    var merges: [String] = []
    for token in tokens {
      let characters = token.utf8.compactMap { alphabet[Int($0)].flatMap(Unicode.Scalar.init).map { String($0) } }
      for count in 2...characters.count where merging || count == characters.count {
        let (left, right) = (characters[..<(count - 1)].joined(), characters[count - 1])
        if merging, !merges.contains("\(left) \(right)") { merges.append("\(left) \(right)") }
        if !pieces.contains(left + right) { pieces.append(left + right) }
      }
    }
    var file = MetadataFile()
    file.pair("tokenizer.ggml.model", "gpt2")
    file.pair("tokenizer.ggml.pre", pre)
    file.pair("tokenizer.ggml.tokens", pieces)
    file.pair("tokenizer.ggml.merges", merges)
    let folder = try TemporaryDirectory()
    return try Tokenizer(gguf: GGUFFile(path: try folder.write(file.whole, to: "t.gguf")))
  }

  /// What the families' published tokenizer.json (of Hunyuan the tokenizer's code) says of normal forms and of whole words that skip the
  /// merges: `e` with an accent of its own becomes one id or stays two; a token that no merge makes is found as a whole or not.
  @Test(arguments: [
    ("gpt-2", false, false), ("olmo", true, false), ("starcoder", false, false), ("refact", false, false), ("command-r", true, false),
    ("dbrx", false, false), ("glm4", false, true), ("chatglm-bpe", false, true), ("llama-bpe", false, true), ("lfm2", false, true),
    ("qwen2", true, false), ("qwen35", true, false), ("deepseek-r1-qwen", true, false), ("hunyuan", true, false),
    ("deepseek-llm", false, false), ("deepseek-coder", false, false), ("deepseek-v3", false, false), ("hunyuan-dense", false, false),
    ("gpt-4o", false, true), ("llama4", false, true), ("minimax-m2", true, false), ("tekken", false, true), ("kimi-k2", false, false),
    ("bailingmoe2", false, false), ("laguna", false, false),
  ])
  func rulesOfFamilies(_ pre: String, _ isNormalized: Bool, _ takesWholeWords: Bool) throws {
    let accented = try byteLevel(pre, tokens: ["\u{E9}"])
    #expect(try accented.encode("e\u{301}", addSpecialTokens: false).count == (isNormalized ? 1 : 3), "\(pre)")
    let whole = try byteLevel(pre, tokens: ["abcd"], merging: false)
    #expect(try whole.encode("abcd", addSpecialTokens: false).count == (takesWholeWords ? 1 : 4), "\(pre)")
  }

  /// Hunyuan's tokenizer normalises by Python, whose Unicode is newer than the one of tokenizer.json.
  @Test(arguments: [("hunyuan", 1), ("qwen2", 4)]) func whoseUnicode(_ pre: String, _ count: Int) throws {
    let tokenizer = try byteLevel(pre, tokens: ["\u{11938}"])
    #expect(try tokenizer.encode("\u{11935}\u{11930}", addSpecialTokens: false).count == count)
  }

  /// Where the splits of this year's families cut.
  @Test(arguments: [
    ("afmoe", "12345678", ["12", "345", "678"]), ("afmoe", "a1234 12", ["a", "1", "234", " ", "12"]),
    ("afmoe", "\u{E40}x", ["\u{E40}", "x"]),
    ("laguna", "a\n\n  b", ["a", "\n\n", " ", " b"]), ("laguna", "x;\ny", ["x", ";", "\n", "y"]), ("qwen2", "x;\ny", ["x", ";\n", "y"]),
    ("deepseek-v3", "1234x", ["123", "4", "x"]), ("mellum2", "12a", ["1", "2", "a"]), ("mellum", "12a", ["12", "a"]),
  ])
  func cuts(_ pre: String, _ text: String, _ pieces: [String]) throws {
    // Every piece is a token, and so is every pair of neighbours: a cut shows by the pair that is not taken.
    let joined = zip(pieces, pieces.dropFirst()).map { $0 + $1 }
    let tokenizer = try byteLevel(pre, tokens: (joined + pieces).filter { $0.utf8.count > 1 })
    let ids = try tokenizer.encode(text, addSpecialTokens: false)
    #expect(ids.compactMap { tokenizer.tokenText($0) } == pieces)
  }

  /// Gemma 4's kind: listed merges over characters, spaces as ▁, bytes of what is unknown, a BOS whatever the file says.
  @Test func gemma4() throws {
    let bytes = (0...255).map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }
    let tokens = ["<pad>", "<bos>", "<unk>", "a", "▁", "b", "▁a", "\n", "\n\n", "▁▁"] + bytes
    var file = MetadataFile()
    file.pair("tokenizer.ggml.model", "gemma4")
    file.pair("tokenizer.ggml.tokens", tokens)
    file.list("tokenizer.ggml.token_type", type: 5, count: tokens.count) { file in
      for index in tokens.indices { file.add(Int32(index < 3 ? (index == 2 ? 2 : 3) : index < 10 ? 1 : 6)) }
    }
    file.pair("tokenizer.ggml.merges", ["▁ a", "\n \n", "▁ ▁"])
    file.pair("tokenizer.ggml.bos_token_id", 1)
    file.pair("tokenizer.ggml.unknown_token_id", 2)
    file.pair("tokenizer.ggml.add_bos_token", false)
    let folder = try TemporaryDirectory()
    let tokenizer = try Tokenizer(gguf: GGUFFile(path: try folder.write(file.whole, to: "t.gguf")))
    #expect(try tokenizer.encode("a a  b\n\n", addSpecialTokens: true) == [1, 3, 6, 9, 5, 8])
    #expect(try tokenizer.encode("\u{E9}", addSpecialTokens: false) == [Int32(10 + 0xC3), Int32(10 + 0xA9)])
    #expect(tokenizer.decode([6, 9, 5, 8, Int32(10 + 0xC3), Int32(10 + 0xA9)], skipSpecialTokens: false) == " a  b\n\n\u{E9}")
    #expect(tokenizer.addsBOS && tokenizer.notes.contains { $0.contains("as Gemma 4 was trained") })
  }

  /// Vocabularies of published models with the ids that Hugging Face's tokenizers gave: `vocabularies/ggml-vocab-NAME.gguf`, `.inp`, `.out`, as
  /// llama.cpp has them in its folder `models`.
  @Test(.enabled(if: Fixtures.shared("vocabularies") != nil, "\(Fixtures.needsShared)")) func furtherReferencesOfVocabularies() throws {
    let folder = try #require(Fixtures.shared("vocabularies"))
    var count = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() where name.hasSuffix(".gguf.out") {
      let path = "\(folder)/\(name.dropLast(4))"
      let file = try GGUFFile(path: path)
      guard ["gpt2", "llama", "gemma4"].contains(file["tokenizer.ggml.model"]?.string ?? "") else { continue }
      // A few have splits that no MoE family has.
      guard let tokenizer = try? Tokenizer(gguf: file) else { continue }
      let texts = try String(contentsOfFile: path + ".inp", encoding: .utf8).components(separatedBy: "\n__ggml_vocab_test__\n").dropLast()
      let answers = try String(contentsOfFile: path + ".out", encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
      for (text, answer) in zip(texts, answers) {
        // Some answers are llama.cpp's own, which normalises nothing.
        guard text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual(text.unicodeScalars) else { continue }
        let expected = answer.split(separator: " ").compactMap { Int32($0) }
        #expect(try tokenizer.encode(text, addSpecialTokens: false) == expected, "\(name): \(text.debugDescription)")
        count += 1
      }
    }
    #expect(count > 100)
  }

  /// Every split that is known compiles, and cuts a text without losing a byte.
  @Test(arguments: [
    "gpt-2", "olmo", "starcoder", "refact", "command-r", "dbrx", "glm4", "chatglm-bpe", "llama-bpe", "lfm2", "qwen2", "qwen35", "hunyuan",
    "solar-open", "grok-2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-4o", "llama4", "minimax-m2", "tekken", "kimi-k2",
    "bailingmoe2", "exaone-moe", "afmoe", "mellum", "mellum2", "laguna", "joyai-llm", "kanana2", "hy_v4",
  ])
  func everySplitRuns(_ pre: String) throws {
    let tokenizer = try byteLevel(pre)
    let text = "It's 12345 Zürich, Δέλτα Ⳳ 漢字かな 한국어  \r\n\n  x += 3.5; ١٢٣ don't\t"
    #expect(isEqual(tokenizer.decode(try tokenizer.encode(text, addSpecialTokens: false), skipSpecialTokens: false), text))
  }
}

/// A GGUF file of metadata only.
private struct MetadataFile {
  private var pairs = GGUFPart()
  private var count: UInt64 = 0

  var whole: [UInt8] {
    var file = GGUFPart()
    file.bytes = Array("GGUF".utf8)
    file.add(UInt32(3))
    file.add(UInt64(0))
    file.add(count)
    return file.bytes + pairs.bytes
  }

  private mutating func pair(_ key: String, type: UInt32, _ value: (inout GGUFPart) -> Void) {
    count += 1
    pairs.add(key)
    pairs.add(type)
    value(&pairs)
  }

  mutating func pair(_ key: String, _ text: String) { pair(key, type: 8) { $0.add(text) } }
  mutating func pair(_ key: String, _ number: UInt32) { pair(key, type: 4) { $0.add(number) } }
  mutating func pair(_ key: String, _ flag: Bool) { pair(key, type: 7) { $0.add(UInt8(flag ? 1 : 0)) } }
  mutating func pair(_ key: String, _ texts: [String]) { list(key, type: 8, count: texts.count) { file in texts.forEach { file.add($0) } } }

  mutating func list(_ key: String, type: UInt32, count: Int, _ elements: (inout GGUFPart) -> Void) {
    pair(key, type: 9) { file in
      file.add(type)
      file.add(UInt64(count))
      elements(&file)
    }
  }
}

private struct GGUFPart {
  var bytes: [UInt8] = []

  mutating func add<Number: FixedWidthInteger>(_ number: Number) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }

  mutating func add(_ text: String) {
    add(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }
}
