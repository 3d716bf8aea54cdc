// How does the metadata of a GGUF file become a tokenizer? `tokenizer.ggml.model` says which kind: `gpt2` (byte-level BPE, split as
// `tokenizer.ggml.pre` says), `llama` (SentencePiece's BPE, merged by score, with byte fallback), `gemma4` (the same by listed merges) or
// `t5` (unigram with a charsmap). The stages are those of tokenizer.json. What GGUF leaves unsaid is taken from what such models have, and
// listed in `Tokenizer.notes`.

import Formats

extension Tokenizer {
  /// Whether the metadata of `file` hold a tokenizer of any kind: converters can leave it out.
  public static func isIn(_ file: GGUFFile) -> Bool {
    ![nil, "none", "no_vocab"].contains(file["tokenizer.ggml.model"]?.string)
  }

  /// The tokenizer in the metadata of `file`.
  ///
  /// - Throws: `FormatError.unsupported` for a kind or split that is not known, `.value` and `.missing` for metadata that make no sense.
  public convenience init(gguf file: GGUFFile) throws(FormatError) {
    var reader = try GGUFTokenizerReader(file)
    let stages = try reader.stages()
    self.init(
      path: file.path, contentHash: reader.contentHash, bosToken: reader.specialToken("bos"), eosToken: reader.specialToken("eos"),
      beginsBy: reader.beginsBy, stages: stages, notes: reader.notes)
  }
}

/// Reads one file's `tokenizer.ggml.*`.
private struct GGUFTokenizerReader {
  /// What `tokenizer.ggml.token_type` calls the kinds of tokens.
  private enum Kind: Int64 { case normal = 1, unknown, control, userDefined, unused, byte }

  private let file: GGUFFile
  private let model: String
  /// How text is split, by its name.
  private let split: String?
  /// Tokens of the file; their bytes are the vocabulary's.
  private let count: Int
  private let kinds: [Kind]
  private let vocabulary: Vocabulary
  private(set) var notes: [String] = []
  let contentHash: String

  init(_ file: GGUFFile) throws(FormatError) {
    self.file = file
    let prefix = "tokenizer.ggml."
    let ollama = file["general.architecture"]?.string.flatMap(OllamaFiles.named)
    guard var model = file[prefix + "model"]?.string, Tokenizer.isIn(file) else {
      throw .missing(file: file.path, path: prefix + "model", expected: "a tokenizer")
    }
    if let merged = ollama?.mergedTokenizer, model == "llama", file[prefix + "merges"] != nil { model = merged }
    split = ollama?.split ?? file[prefix + "pre"]?.string
    guard ["gpt2", "llama", "gemma4", "t5"].contains(model) else {
      throw .unsupported(
        file: file.path, place: prefix + "model", found: "the tokenizer \"\(model)\"",
        hint: "gpt2, llama, gemma4 and t5 are read; token ids can be used without any")
    }
    self.model = model
    guard let tokens = file[prefix + "tokens"]?.array, tokens.isOfStrings, tokens.count > 0, tokens.count <= Vocabulary.highestID else {
      throw .value(file: file.path, path: prefix + "tokens", expected: "an array of tokens", found: "something else")
    }
    var hash = SHA256()
    var byteCount = 0
    tokens.forEachString { byteCount += $0.count }
    guard byteCount < Int(UInt32.max) else {
      throw .value(file: file.path, path: prefix + "tokens", expected: "less than 4 GiB of tokens", found: "\(byteCount) bytes")
    }
    var vocabulary = Vocabulary(reserving: tokens.count, byteCount: byteCount)
    tokens.forEachString { bytes in
      hash.update(bytes)
      vocabulary.append(bytes.bindMemory(to: UInt8.self))
    }
    contentHash = hash.hexDigest()
    (count, self.vocabulary) = (tokens.count, vocabulary)

    let types = file[prefix + "token_type"]?.array
    guard types == nil || types?.count == count else {
      throw .value(
        file: file.path, path: prefix + "token_type", expected: "one for each of \(count) tokens", found: "\(types?.count ?? 0)")
    }
    kinds = types?.integers.map { $0.map { Kind(rawValue: $0) ?? .normal } } ?? Array(repeating: .normal, count: count)
  }

  mutating func stages() throws(FormatError) -> Tokenizer.Stages {
    switch model {
    case "gpt2": return try byteLevel()
    case "llama": return try sentencePieceBPE()
    case "gemma4": return try gemma4()
    default: return try unigram()
    }
  }

  // MARK: Metadata

  private func piece(_ id: Int) -> [UInt8] { vocabulary.token(Int32(id)).map(Array.init) ?? [] }

  private func value(_ name: String) -> GGUFValue? { file["tokenizer.ggml." + name] }

  private func flag(_ name: String, default fallback: Bool) -> Bool { value(name)?.bool ?? fallback }

  private func refused(_ name: String, _ found: String, _ hint: String? = nil) -> FormatError {
    .unsupported(file: file.path, place: "tokenizer.ggml." + name, found: found, hint: hint)
  }

  /// The id that `<name>_token_id` gives, when it is one.
  func specialToken(_ name: String) -> Int32? {
    guard let id = value(name + "_token_id")?.int64, id >= 0, id < count else { return nil }
    return Int32(id)
  }

  private func json(_ text: String) throws(FormatError) -> JSONValue { try JSON.parse(text: text, name: file.path) }

  private func scores() throws(FormatError) -> [Double] {
    guard let list = value("scores")?.array, list.count == count, let scores = list.numbers, scores.allSatisfy(\.isFinite) else {
      throw .value(
        file: file.path, path: "tokenizer.ggml.scores", expected: "one number for each of \(count) tokens", found: "something else")
    }
    return scores
  }

  /// What says which tokens go before a text.
  var beginsBy: String {
    if model == "gemma4" { return "as Gemma 4 was trained" }
    return value("add_bos_token")?.bool.map { "by tokenizer.ggml.add_bos_token = \($0)" } ?? "as tokenizers of the kind \"\(model)\" do"
  }

  private func postProcessor(addsBos: Bool, addsEos: Bool) throws(FormatError) -> PostProcessor {
    var result = try PostProcessor(nil)
    if flag("add_bos_token", default: addsBos) { result.prefix = [specialToken("bos")].compactMap { $0 } }
    if flag("add_eos_token", default: addsEos) { result.suffix = [specialToken("eos")].compactMap { $0 } }
    return result
  }

  /// Control tokens and, as in tokenizer.json, the unknown token are special; user-defined tokens are looked for after normalising where
  /// a normaliser is given.
  private mutating func addedTokens(userDefined normalizer: Normalizer?) throws(FormatError) -> AddedTokens {
    var tokens: [(token: AddedToken, normalizer: Normalizer?)] = []
    for (id, kind) in kinds.enumerated() where [.unknown, .control, .userDefined].contains(kind) {
      // What is found in text must not cut a character: everything after it reads whole ones.
      guard String(validating: piece(id), as: UTF8.self) != nil else {
        throw .value(
          file: file.path, path: "tokenizer.ggml.tokens[\(id)]", expected: "valid UTF-8 in a token that is looked for in text",
          found: "other bytes")
      }
      let token = AddedToken(
        id: Int32(id), content: piece(id), spelling: piece(id), isSpecial: kind != .userDefined, isSingleWord: false, stripsLeft: false,
        stripsRight: false)
      tokens.append((token, kind == .userDefined ? normalizer : nil))
    }
    if !tokens.isEmpty { notes.append("GGUF does not say whether added tokens take the spaces beside them; none does here") }
    return try AddedTokens(tokens)
  }

  // MARK: Kinds

  private mutating func byteLevel() throws(FormatError) -> Tokenizer.Stages {
    guard let name = split else {
      throw refused("pre", "a byte-level tokenizer that does not say how text is split", "convert the model again, or use token ids")
    }
    guard let pre = GGUFPreTokenizer.named(name) else { throw refused("pre", "the split \"\(name)\"", "token ids can be used without it") }
    let applied = pre.nfc != nil ? "NFC is applied, as models with pre \"\(name)\" define it" : "none is applied"
    notes.append("GGUF does not name a normalizer; \(applied)")
    let normalizer: Normalizer
    if let tables = pre.nfc { normalizer = Normalizer(.nfc, tables) } else { normalizer = try Normalizer(nil) }
    var options = BytePairModel.Options()
    options.ignoresMerges = pre.ignoresMerges
    return Tokenizer.Stages(
      normalizer: normalizer, addedTokens: try addedTokens(userDefined: normalizer),
      preTokenizer: try PreTokenizer(pre.json(file: file.path)),
      model: .bytePair(BytePairModel(vocabulary: vocabulary, merges: try listedMerges(), options: options, readsBytes: true)),
      postProcessor: try postProcessor(addsBos: false, addsEos: false), decoder: try Decoder(json(#"{"type": "ByteLevel"}"#)))
  }

  /// Gemma 4's: BPE over UTF-8 whose merges the file lists, spaces written as ▁ and none put before a text.
  private mutating func gemma4() throws(FormatError) -> Tokenizer.Stages {
    // Converted files say that none is put before a text; the model was trained with one, and llama.cpp adds it whatever they say.
    if !flag("add_bos_token", default: true) { notes.append("the file says add_bos_token = false; a BOS is added, as Gemma 4 was trained") }
    var options = BytePairModel.Options()
    options.unknownToken = specialToken("unknown") ?? unknownPiece
    options.fusesUnknown = true
    options.fallsBackToBytes = true
    let normalizer = try Normalizer(json(#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#))
    var postProcessor = try postProcessor(addsBos: true, addsEos: false)
    postProcessor.prefix = [specialToken("bos")].compactMap { $0 }
    return Tokenizer.Stages(
      normalizer: normalizer, addedTokens: try addedTokens(userDefined: nil), preTokenizer: try PreTokenizer(nil),
      model: .bytePair(BytePairModel(vocabulary: vocabulary, merges: try listedMerges(), options: options, readsBytes: false)),
      postProcessor: postProcessor, decoder: try spacesDecoder(strip: ""))
  }

  private func spacesDecoder(strip: String) throws(FormatError) -> Decoder {
    try Decoder(
      json(
        """
        {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
         {"type": "Fuse"}\(strip)]}
        """))
  }

  private func listedMerges() throws(FormatError) -> MergeTable {
    guard let list = value("merges")?.array, list.isOfStrings else {
      throw .value(file: file.path, path: "tokenizer.ggml.merges", expected: "an array of merges", found: "something else")
    }
    var merges = MergeTable(reserving: list.count)
    var wrong: String?
    list.forEachString { bytes in
      // The second token may begin with a space in no byte alphabet, so the first space after a first character parts them.
      var joined = Array(bytes)
      if let space = joined.dropFirst().firstIndex(of: 0x20) {
        joined.remove(at: space)
        if merges.append(joined, leftCount: space, vocabulary) { return }
      }
      if wrong == nil { wrong = String(decoding: bytes, as: UTF8.self) }
    }
    if let wrong {
      throw .value(
        file: file.path, path: "tokenizer.ggml.merges", expected: "two tokens that are in the vocabulary, and their join",
        found: "\"\(wrong.prefix(60))\"")
    }
    return merges
  }

  private mutating func sentencePieceBPE() throws(FormatError) -> Tokenizer.Stages {
    if flag("remove_extra_whitespaces", default: false) { throw refused("remove_extra_whitespaces", "true for a llama tokenizer") }
    if value("precompiled_charsmap") != nil { throw refused("precompiled_charsmap", "a charsmap for a llama tokenizer") }
    let addsPrefix = flag("add_space_prefix", default: true)
    let replace = #"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#
    let prepend = addsPrefix ? #"{"type": "Prepend", "prepend": "▁"}, "# : ""
    let strip = addsPrefix ? #", {"type": "Strip", "content": " ", "start": 1, "stop": 0}"# : ""
    if addsPrefix {
      notes.append("GGUF does not say whether text after a special token begins with a space; it does here, as in llama.cpp")
    }
    var options = BytePairModel.Options()
    options.unknownToken = specialToken("unknown") ?? 0
    options.fusesUnknown = true
    options.fallsBackToBytes = true
    return Tokenizer.Stages(
      normalizer: try Normalizer(json("{\"type\": \"Sequence\", \"normalizers\": [\(prepend)\(replace)]}")),
      addedTokens: try addedTokens(userDefined: nil), preTokenizer: try PreTokenizer(nil),
      model: .bytePair(BytePairModel(vocabulary: vocabulary, merges: try mergesByScore(), options: options, readsBytes: false)),
      postProcessor: try postProcessor(addsBos: true, addsEos: false),
      decoder: try spacesDecoder(strip: strip))
  }

  /// Longer tokens than these are not SentencePiece's; their ways to be made grow with the square of their length.
  private static let longestMerged = 256

  /// A way to make a token of two others.
  private struct Way {
    var left: Int32
    var right: Int32
    var merged: Int32
    /// Characters of the two.
    var leftLength: Int32
    var rightLength: Int32

    /// Whether it comes before another of the same score: the order of the converter of transformers, which made the merges of
    /// tokenizer.json from such scores.
    func precedes(_ other: Way) -> Bool {
      if leftLength != other.leftLength { return leftLength > other.leftLength }
      if rightLength != other.rightLength { return rightLength > other.rightLength }
      return (merged, left, right) < (other.merged, other.left, other.right)
    }
  }

  /// Every way to make a token of two others, best score first. Ways are found twice, first to be counted: there are several for each
  /// token, too many to be kept beside the table.
  private func mergesByScore() throws(FormatError) -> MergeTable {
    let scores = try scores()
    let ids = (0..<Int32(count)).filter { kinds[Int($0)] == .normal || kinds[Int($0)] == .userDefined }
      .sorted { (-scores[Int($0)], $0) < (-scores[Int($1)], $1) }
    var wayCount = 0
    for id in ids {
      let length = piece(Int(id)).count
      guard length <= Self.longestMerged else {
        throw .value(
          file: file.path, path: "tokenizer.ggml.tokens[\(id)]", expected: "at most \(Self.longestMerged) bytes in a token",
          found: "\(length)")
      }
      forEachWay(toMake: id) { _ in wayCount += 1 }
    }
    // SentencePiece's own vocabularies have about two for a token.
    guard wayCount <= 16 * count + 1 << 12 else {
      throw .value(
        file: file.path, path: "tokenizer.ggml.tokens", expected: "at most \(16 * count + 1 << 12) merges of \(count) tokens",
        found: "\(wayCount)")
    }
    var table = MergeTable(reserving: wayCount)
    var ways: [Way] = []
    for (place, id) in ids.enumerated() {
      forEachWay(toMake: id) { ways.append($0) }
      if place + 1 < ids.count, scores[Int(ids[place + 1])] == scores[Int(id)] { continue }
      ways.sort { $0.precedes($1) }
      for way in ways { table.append(left: way.left, right: way.right, merged: way.merged) }
      ways.removeAll(keepingCapacity: true)
    }
    return table
  }

  private func forEachWay(toMake id: Int32, _ body: (Way) -> Void) {
    let piece = piece(Int(id))
    guard let merged = vocabulary.id(of: piece) else { return }
    let length = Int32(piece.count { $0 & 0xC0 != 0x80 })
    var leftLength: Int32 = 0
    for cut in piece.indices where piece[cut] & 0xC0 != 0x80 {
      defer { leftLength += 1 }
      guard cut > 0, let left = vocabulary.id(of: piece[..<cut]), let right = vocabulary.id(of: piece[cut...]) else { continue }
      body(Way(left: left, right: right, merged: merged, leftLength: leftLength, rightLength: length - leftLength))
    }
  }

  private mutating func unigram() throws(FormatError) -> Tokenizer.Stages {
    var map: CharacterMap?
    if let list = value("precompiled_charsmap")?.array {
      guard !list.isOfStrings, list.count < 1 << 24, let numbers = list.integers else {
        throw .value(file: file.path, path: "tokenizer.ggml.precompiled_charsmap", expected: "bytes", found: "something else")
      }
      do throws(CharacterMap.Damage) {
        map = try CharacterMap(bytes: numbers.map { UInt8(truncatingIfNeeded: $0) })
      } catch {
        throw .value(file: file.path, path: "tokenizer.ggml.precompiled_charsmap", expected: error.expected, found: "other bytes")
      }
    }
    let mergesSpaces = flag("remove_extra_whitespaces", default: true)
    let spaces = mergesSpaces ? try CompiledPattern(oniguruma: " {2,}", at: json("null")) : nil
    let scheme = flag("add_space_prefix", default: true) ? "always" : "never"
    let metaspace = "{\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": \"\(scheme)\"}"
    return Tokenizer.Stages(
      normalizer: Normalizer(map, mergesSpaces: spaces), addedTokens: try addedTokens(userDefined: nil),
      preTokenizer: try PreTokenizer(json(metaspace)),
      model: .unigram(
        UnigramModel(
          vocabulary, scores: try scores(), unknownToken: specialToken("unknown") ?? unknownPiece, fallsBackToBytes: kinds.contains(.byte),
          file: file.path)),
      postProcessor: try postProcessor(addsBos: false, addsEos: true), decoder: try Decoder(json(metaspace)))
  }

  private var unknownPiece: Int32? { kinds.firstIndex(of: .unknown).map { Int32($0) } }
}
