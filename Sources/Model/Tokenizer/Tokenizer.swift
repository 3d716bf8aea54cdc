// How does text become the ids a model was trained on, and back? `Tokenizer` reads a tokenizer.json and runs its pipeline: added tokens,
// normaliser, pre-tokenizer, model, post-processor; decoder on the way back. Each stage has a file of its own. Equal to the reference
// (Hugging Face tokenizers) on every text, or refused when the file is read. Tokenizers of GGUF files: GGUFTokenizer.swift.

import Formats
import Routing

/// The tokenizer of one model; immutable, usable from any thread.
public final class Tokenizer: Sendable {
  /// The file it was read from.
  public let path: String
  /// SHA-256 of that file in hexadecimal, for provenance.
  public let contentHash: String
  /// Beginning and end of sequence, when tokenizer_config.json or the template says.
  public let bosToken: Int32?
  public let eosToken: Int32?
  public let beginning: TextBeginning
  /// What the file does not say and was taken from elsewhere: whoever shows this tokenizer shows these.
  public let notes: [String]

  let decoder: Decoder
  private let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let model: TokenModel
  private let addedTokens: AddedTokens
  private let postProcessor: PostProcessor
  private let specialContents: Set<[UInt8]>
  /// Working memory at rest; encoding takes one out and puts it back.
  private let pool = Locked<[EncodingScratch]>([])

  enum TokenModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)

    var vocabulary: Vocabulary {
      switch self {
      case .bytePair(let model): return model.vocabulary
      case .unigram(let model): return model.vocabulary
      }
    }
  }

  // MARK: Reading

  /// Reads `tokenizer.json` and, when given, `tokenizer_config.json`.
  ///
  /// - Throws: `FormatError`; `.unsupported` names the place and kind of whatever this program does not know.
  public convenience init(file path: String, configuration: String? = nil) throws(FormatError) {
    let file = try MappedFile(path: path)
    let json = try JSON.parse(file, options: JSON.Options(allowsDuplicateKeys: true))
    let configuration = try configuration.map { path throws(FormatError) in try JSON.read(path, options: .python) }
    try self.init(json: json, configuration: configuration, contentHash: SHA256.hexDigest(of: file.bytes))
  }

  /// Reads the tokenizer of a model's directory: `tokenizer.json`, and `tokenizer_config.json` where there is one.
  public convenience init(directory: String) throws(FormatError) {
    let configuration = "\(directory)/tokenizer_config.json"
    try self.init(file: "\(directory)/tokenizer.json", configuration: MappedFile.exists(configuration) ? configuration : nil)
  }

  /// Builds a tokenizer from parsed files.
  public convenience init(json: JSONValue, configuration: JSONValue? = nil, contentHash: String = "") throws(FormatError) {
    let normalizer = try Normalizer(json.memberIfPresent("normalizer"))
    let preTokenizer = try PreTokenizer(json.memberIfPresent("pre_tokenizer"))
    let model = try Self.model(try json.member("model", expected: "a model"), readsBytes: preTokenizer.yieldsBytes)
    let added = try AddedTokens(json.memberIfPresent("added_tokens"), vocabulary: model.vocabulary, normalizer: normalizer)
    let decoder = try Decoder(json.memberIfPresent("decoder"))

    var postProcessor = try PostProcessor(json.memberIfPresent("post_processor"))
    let settings = try TokenizerSettings(configuration)
    func id(_ content: String?) -> Int32? {
      guard let content else { return nil }
      let bytes = Array(content.utf8)
      return added.byID.values.first { $0.content == bytes }?.id ?? model.vocabulary.id(of: bytes)
    }
    let bosToken = id(settings.bosToken) ?? postProcessor.prefix.first
    let eosToken = id(settings.eosToken) ?? postProcessor.suffix.last
    // Once either is set, both replace the template: as transformers 4 and the converters of llama.cpp have it. DeepSeek-V3 and others have
    // their BOS only there, and were trained with it; transformers 5 drops both fields beside a tokenizer.json.
    var source = postProcessor.prefix.isEmpty ? "no file puts anything there" : "by the post_processor of tokenizer.json"
    if settings.addsBosToken != nil || settings.addsEosToken != nil {
      let before = postProcessor.prefix
      postProcessor.prefix = settings.addsBosToken == true ? [id(settings.bosToken)].compactMap { $0 } : []
      postProcessor.suffix = settings.addsEosToken == true ? [id(settings.eosToken)].compactMap { $0 } : []
      source = "by add_bos_token = \(settings.addsBosToken ?? false) of tokenizer_config.json"
      if before != postProcessor.prefix { source += ", which transformers 5 does not obey" }
    }
    self.init(
      path: json.fileName, contentHash: contentHash, bosToken: bosToken, eosToken: eosToken, beginsBy: source,
      stages: Stages(
        normalizer: normalizer, addedTokens: added, preTokenizer: preTokenizer, model: model, postProcessor: postProcessor,
        decoder: decoder))
  }

  /// Everything between text and ids, wherever it was read from.
  struct Stages {
    var normalizer: Normalizer
    var addedTokens: AddedTokens
    var preTokenizer: PreTokenizer
    var model: TokenModel
    var postProcessor: PostProcessor
    var decoder: Decoder
  }

  /// - Parameter beginsBy: what says which tokens go before a text.
  init(
    path: String, contentHash: String, bosToken: Int32?, eosToken: Int32?, beginsBy source: String, stages: Stages, notes: [String] = []
  ) {
    self.path = path
    self.contentHash = contentHash
    self.bosToken = bosToken
    self.eosToken = eosToken
    self.notes = notes
    beginning = TextBeginning(ids: stages.postProcessor.prefix, source: source)
    normalizer = stages.normalizer
    addedTokens = stages.addedTokens
    preTokenizer = stages.preTokenizer
    model = stages.model
    postProcessor = stages.postProcessor
    decoder = stages.decoder
    specialContents = Set(stages.addedTokens.byID.values.filter(\.isSpecial).map(\.content))
  }

  private static func model(_ json: JSONValue, readsBytes: Bool) throws(FormatError) -> TokenModel {
    // Files from before models had a type: a list of scored pieces is a unigram model, merges make a BPE.
    let type = try json.stringIfPresent("type") ?? (json["vocab"]?.kind == .array ? "Unigram" : json["merges"] != nil ? "BPE" : "unnamed")
    switch type {
    case "BPE": return .bytePair(try BytePairModel(json, readsBytes: readsBytes))
    case "Unigram":
      guard !readsBytes else {
        throw .unsupported(file: json.fileName, place: "model.type", found: "Unigram after a ByteLevel pre-tokenizer", hint: nil)
      }
      return .unigram(try UnigramModel(json))
    default: throw unsupportedType(json, type, "model")
    }
  }

  // MARK: Text to ids

  /// The ids of `text`.
  ///
  /// - Parameter addSpecialTokens: whether to add what the template puts around a text (BOS, EOS). Special tokens spelt out in the text are
  ///   recognised either way.
  /// - Throws: `FormatError.unsupported` only for texts this tokenizer cannot encode at all.
  public func encode(_ text: String, addSpecialTokens: Bool) throws(FormatError) -> [Int32] {
    try encode(utf8: Array(text.utf8), addSpecialTokens: addSpecialTokens)
  }

  /// The ids of a text as bytes; what is not UTF-8 becomes U+FFFD first, as a reader with `errors="replace"` would hand it over.
  public func encode(bytes: some Sequence<UInt8>, addSpecialTokens: Bool) throws(FormatError) -> [Int32] {
    let bytes = Array(bytes)
    let isText = String(validating: bytes, as: UTF8.self) != nil
    return try encode(utf8: isText ? bytes : Array(String(decoding: bytes, as: UTF8.self).utf8), addSpecialTokens: addSpecialTokens)
  }

  private func encode(utf8 text: [UInt8], addSpecialTokens: Bool) throws(FormatError) -> [Int32] {
    let scratch = pool.withLock { $0.popLast() } ?? EncodingScratch()
    defer { pool.withLock { if $0.count < 8 { $0.append(scratch) } } }
    var ids: [Int32] = addSpecialTokens ? postProcessor.prefix : []
    ids.reserveCapacity(text.count / 3 + 8)
    for segment in text.withUnsafeBufferPointer({ addedTokens.segments(ofOriginal: $0) }) {
      if let id = segment.id {
        ids.append(id)
      } else {
        let part = segment.range.count == text.count ? text : Array(text[segment.range])
        try encode(part, isAtOrigin: segment.range.lowerBound == 0, scratch, into: &ids)
      }
    }
    if addSpecialTokens { ids.append(contentsOf: postProcessor.suffix) }
    return ids
  }

  /// A stretch of the user's text without verbatim tokens.
  private func encode(_ part: [UInt8], isAtOrigin: Bool, _ scratch: EncodingScratch, into ids: inout [Int32]) throws(FormatError) {
    var text = part
    let lostStart = try normalizer.apply(to: &text, scratch.matcher)
    for segment in text.withUnsafeBufferPointer({ addedTokens.segments(ofNormalized: $0) }) {
      if let id = segment.id {
        ids.append(id)
        continue
      }
      var list: PieceList
      let startsAtOrigin = isAtOrigin && !lostStart && segment.range.lowerBound == 0
      if segment.range.count == text.count {
        list = PieceList(bytes: text, pieces: [0..<text.count], startsAtOrigin: startsAtOrigin)
      } else {
        list = PieceList(bytes: Array(text[segment.range]), pieces: [0..<segment.range.count], startsAtOrigin: startsAtOrigin)
      }
      try preTokenizer.apply(to: &list, scratch.matcher)
      try tokenize(list, scratch, into: &ids)
    }
  }

  private func tokenize(_ list: PieceList, _ scratch: EncodingScratch, into ids: inout [Int32]) throws(FormatError) {
    // Typed errors do not pass through `withUnsafeBufferPointer`; a result does.
    let outcome: Result<Void, FormatError> = list.bytes.withUnsafeBufferPointer { bytes in
      do throws(FormatError) {
        switch model {
        case .bytePair(let model):
          for piece in list.pieces { model.tokenize(UnsafeBufferPointer(rebasing: bytes[piece]), scratch, into: &ids) }
        case .unigram(let model):
          for piece in list.pieces { try model.tokenize(UnsafeBufferPointer(rebasing: bytes[piece]), scratch, into: &ids) }
        }
        return .success(())
      } catch { return .failure(error) }
    }
    try outcome.get()
  }

  // MARK: Ids to text

  /// The text of `ids`; ids outside the vocabulary are passed over.
  public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool) -> String {
    var decoder = streamingDecoder(skipSpecialTokens: skipSpecialTokens)
    for id in ids { decoder.feed(id) }
    return decoder.finish()
  }

  /// A decoder for ids that come one by one.
  public func streamingDecoder(skipSpecialTokens: Bool) -> StreamingDecoder {
    StreamingDecoder(tokenizer: self, skipsSpecialTokens: skipSpecialTokens)
  }

  /// What one token contributes to a text, by itself: readable spaces, real bytes (not always whole UTF-8). Nil for an unknown id.
  public func tokenBytes(_ id: Int32) -> [UInt8]? {
    if let added = addedTokens.byID[id] { return added.content }
    return model.vocabulary.token(id).map { decoder.bytes(of: Array($0)) }
  }

  /// `tokenBytes` as text, U+FFFD where the bytes are only part of a character.
  public func tokenText(_ id: Int32) -> String? {
    tokenBytes(id).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The token as the file spells it ("Ġthe", "▁the", "<0x0A>"), or nil.
  public func tokenSpelling(_ id: Int32) -> String? {
    let bytes = addedTokens.byID[id]?.content[...] ?? model.vocabulary.token(id)
    return bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The id of the token that the file spells so, or nil.
  public func id(ofSpelling spelling: String) -> Int32? {
    let bytes = Array(spelling.utf8)
    return addedTokens.byID.values.first { $0.content == bytes }?.id ?? model.vocabulary.id(of: bytes)
  }

  /// Whether `id` is a special token: left out of text when those are skipped.
  public func isSpecial(_ id: Int32) -> Bool { addedTokens.byID[id]?.isSpecial ?? false }

  /// One more than the highest id: the rows an embedding needs at least.
  public var vocabularySize: Int { max(model.vocabulary.idLimit, addedTokens.idLimit) }

  /// What the decoder is given for `id`, nil when there is nothing.
  func decoderSpelling(of id: Int32, skipsSpecialTokens: Bool) -> [UInt8]? {
    guard let token = addedTokens.byID[id]?.spelling ?? model.vocabulary.token(id).map({ Array($0) }) else { return nil }
    return skipsSpecialTokens && specialContents.contains(token) ? nil : token
  }

  /// `replace` within one token of ours, which PCRE2 cannot be too small for.
  func replaceInToken(_ token: [UInt8], _ pattern: TextPattern, _ content: [UInt8]) -> [UInt8] {
    let scratch = pool.withLock { $0.popLast() } ?? EncodingScratch()
    defer { pool.withLock { if $0.count < 8 { $0.append(scratch) } } }
    return (try? replace(token, pattern, content, scratch.matcher)) ?? token
  }
}

/// What tokenizer_config.json says that tokenizer.json does not.
private struct TokenizerSettings {
  var bosToken: String?
  var eosToken: String?
  var addsBosToken: Bool?
  var addsEosToken: Bool?

  init(_ json: JSONValue?) throws(FormatError) {
    guard let json else { return }
    bosToken = try Self.token(json, "bos_token")
    eosToken = try Self.token(json, "eos_token")
    addsBosToken = try json.boolIfPresent("add_bos_token")
    addsEosToken = try json.boolIfPresent("add_eos_token")
  }

  /// A token is a string, or an object with its content.
  private static func token(_ json: JSONValue, _ key: String) throws(FormatError) -> String? {
    guard let value = try json.memberIfPresent(key) else { return nil }
    return value.kind == .object ? try value.string("content") : try value.requireString()
  }
}
