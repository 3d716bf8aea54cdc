// Can anything a user or a file brings crash a tokenizer? Random bytes, random texts there and back, long pieces, many threads, and
// tokenizer files with bits flipped.

import Formats
import Foundation
import Model
import Support
import Testing

@Suite struct TokenizerRobustnessTests {
  @Test(arguments: ["neox-olmoe", "sp-bpe-mixtral", "unigram-t5-switch", "o200k-gpt-oss"])
  func randomBytesNeverCrash(_ kind: String) throws {
    let tokenizer = try TokenizerCase.tokenizer(kind)
    var random = SeededRandom(seed: 3)
    for _ in 0..<500 {
      let bytes = (0..<Int.random(in: 0..<60, using: &random)).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
      let ids = try tokenizer.encode(bytes: bytes, addSpecialTokens: true)
      #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) })
      _ = tokenizer.decode(ids.shuffled(using: &random), skipSpecialTokens: false)
      _ = tokenizer.decode((0..<20).map { _ in Int32.random(in: -5...9000, using: &random) }, skipSpecialTokens: true)
    }
  }

  @Test(arguments: ["gpt2", "deepseek-v3", "o200k-gpt-oss"])
  func byteLevelGoesThereAndBack(_ kind: String) throws {
    let tokenizer = try TokenizerCase.tokenizer(kind)
    var random = SeededRandom(seed: 4)
    for _ in 0..<500 {
      var text = ""
      for _ in 0..<Int.random(in: 0..<40, using: &random) {
        let ranges: [ClosedRange<UInt32>] = [
          0x20...0x7E, 0x9...0xD, 0xA0...0x24F, 0x300...0x36F, 0x2000...0x206F, 0x4E00...0x4EFF, 0x1F300...0x1F6FF,
        ]
        guard let range = ranges.randomElement(using: &random), let scalar = Unicode.Scalar(UInt32.random(in: range, using: &random)) else {
          continue
        }
        text.unicodeScalars.append(scalar)
      }
      let ids = try tokenizer.encode(text, addSpecialTokens: false)
      #expect(Array(tokenizer.decode(ids, skipSpecialTokens: false).utf8) == Array(text.utf8))
    }
  }

  @Test(arguments: tokenizerKinds)
  func longPiecesTakeNoSquareTime(_ kind: String) throws {
    let tokenizer = try TokenizerCase.tokenizer(kind)
    for unit in ["a", " ", "ab", "\u{1F600}", "\u{301}", "▁"] {
      let text = String(repeating: unit, count: 10_000)
      #expect(try !tokenizer.encode(text, addSpecialTokens: false).isEmpty)
    }
  }

  @Test func threadsShareOneTokenizer() async throws {
    let (tokenizer, cases) = (try TokenizerCase.tokenizer("neox-olmoe"), try TokenizerCase.all("neox-olmoe"))
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask { cases.allSatisfy { (try? tokenizer.encode($0.text, addSpecialTokens: true)) == $0.ids } }
      }
      for await isEqual in group { #expect(isEqual) }
    }
  }

  private func smallTokenizer(vocabulary: String, pattern: String) throws -> Tokenizer {
    let text = """
      {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\(pattern)"}, "behavior": "Isolated", "invert": false},
       "model": {"type": "BPE", "vocab": \(vocabulary), "merges": []}}
      """
    return try Tokenizer(json: JSON.parse(text: text, name: "tokenizer.json"))
  }

  /// One id of many digits in a short file would make tables of that length.
  @Test func aHugeIdentifierIsRefused() throws {
    let error = #expect(throws: FormatError.self) { try smallTokenizer(vocabulary: #"{"a": 0, "b": 16000000}"#, pattern: "a") }
    #expect(error.map { "\($0)" }?.hasPrefix("tokenizer.json: model.vocab.b: expected a token id in 0...") == true)
    #expect(try smallTokenizer(vocabulary: #"{"a": 0, "b": 4000}"#, pattern: "a").vocabularySize == 4001)
  }

  /// The reference keeps the last of two tokens with one name; whoever made such a file meant something else.
  @Test(arguments: [
    (#"{"a": 0, "a": 1}"#, "each token once"), (#"{"a": 0, "b": 0}"#, "an id of its own"),
    (#"{"b": 7, "a": 7, "c": 1}"#, "an id of its own"),
  ])
  func aVocabularyNamesEachTokenAndIdOnce(_ vocabulary: String, _ words: String) throws {
    let text = #"{"model": {"type": "BPE", "vocab": \#(vocabulary), "merges": []}}"#
    let bytes = Array(text.utf8)
    let error = #expect(throws: FormatError.self) {
      let json = try bytes.withUnsafeBytes { try JSON.parse($0, name: "t", options: JSON.Options(allowsDuplicateKeys: true)) }
      return try Tokenizer(json: json)
    }
    #expect(error.map { "\($0)" }?.contains(words) == true, "\(error.map { "\($0)" } ?? "")")
  }

  /// Ids in any order, with gaps, and a token without letters.
  @Test func idsNeedNotBeInOrder() throws {
    let tokenizer = try smallTokenizer(vocabulary: #"{"c": 6, "": 3, "a": 0, "b": 9}"#, pattern: "zz")
    #expect(tokenizer.vocabularySize == 10)
    #expect((0..<11).map { tokenizer.tokenSpelling($0) } == ["a", nil, nil, "", nil, nil, "c", nil, nil, "b", nil])
    #expect(try tokenizer.encode("abc", addSpecialTokens: false) == [0, 9, 6])
  }

  /// A pattern with ever more ways through a text is given up, not followed to the end.
  @Test func anEndlessPatternIsGivenUp() throws {
    let tokenizer = try smallTokenizer(vocabulary: #"{"a": 0, "b": 1}"#, pattern: "(?:a|aa)+c|b")
    #expect(throws: FormatError.self) { try tokenizer.encode(String(repeating: "a", count: 80) + "bc", addSpecialTokens: false) }
  }

  @Test func brokenFilesNeverCrash() throws {
    let whole = try String(contentsOfFile: #require(Fixtures.own("tokenizers/neox-olmoe/tokenizer.json")), encoding: .utf8)
    // A short file with every stage, as mutating 78 KB of vocabulary would seldom hit them.
    let stages = """
      {"version": "1.0", "added_tokens": [{"id": 5, "content": "<s>", "special": true, "normalized": false, "lstrip": true}],
       "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}]},
       "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "[^\\\\r\\\\n\\\\p{L}]?\\\\p{L}+|\\\\s+"},
       "behavior": "Isolated", "invert": false}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}]},
       "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
       "special_tokens": {"<s>": {"ids": [5]}}},
       "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},
       "model": {"type": "BPE", "unk_token": "u", "byte_fallback": true, "vocab": {"u": 0, "a": 1, "b": 2, "ab": 3, "_": 4}, "merges": ["a b"]}}
      """
    var random = SeededRandom(seed: 11)
    var accepted = 0
    for (file, rounds) in [(stages, 3000), (whole, 30)] {
      let bytes = Array(file.utf8)
      for _ in 0..<rounds {
        var mutated = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          mutated[Int.random(in: 0..<mutated.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
        guard let json = try? mutated.withUnsafeBytes({ try JSON.parse($0, name: "t") }), let tokenizer = try? Tokenizer(json: json) else {
          continue
        }
        accepted += 1
        let ids = (try? tokenizer.encode("<s> ab aab é\n", addSpecialTokens: true)) ?? []
        _ = tokenizer.decode(ids, skipSpecialTokens: false)
      }
    }
    #expect(accepted > 100)
  }
}
