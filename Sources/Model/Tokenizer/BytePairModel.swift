// How does a piece of text become tokens by merging pairs? The BPE model of tokenizer.json: the vocabulary, the ranked merges, what
// happens to characters the vocabulary lacks. The merging itself is in BytePairMerging.swift; which pieces there are, PreTokenizer's.

import Formats

/// Byte-pair encoding.
///
/// Pieces come as raw bytes of text when the pre-tokenizer ends in ByteLevel (`readsBytes`), else as UTF-8 in the spelling of the vocabulary.
struct BytePairModel: Sendable {
  /// What the file says about a BPE model besides its tables.
  struct Options: Sendable {
    /// Token for characters the vocabulary lacks; without one they vanish.
    var unknownToken: Int32?
    /// Whether several unknown characters in a row become one unknown token.
    var fusesUnknown = false
    /// Whether unknown characters become `<0xNN>` tokens when all of theirs exist.
    var fallsBackToBytes = false
    /// Whether a piece that is a token as a whole is that token, however it would merge.
    var ignoresMerges = false
  }

  let vocabulary: Vocabulary
  let options: Options
  let readsBytes: Bool
  let merges: MergeTable
  /// Byte-level: id of each byte's character, -1 when the vocabulary lacks it.
  private let byteSymbols: ContiguousArray<Int32>
  /// Id of each `<0xNN>`, -1 when the vocabulary lacks it.
  private let fallbackSymbols: ContiguousArray<Int32>
  /// Whether a piece may be cut before every ▁ that follows something else, because no merge crosses such a place.
  private let cutsBeforeMetaspace: Bool

  init(vocabulary: Vocabulary, merges: MergeTable, options: Options, readsBytes: Bool) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.options = options
    self.readsBytes = readsBytes
    byteSymbols = ContiguousArray((0...255).map { vocabulary.id(of: ByteAlphabet.spelling(of: UInt8($0))) ?? -1 })
    fallbackSymbols = ContiguousArray((0...255).map { vocabulary.id(of: ByteAlphabet.fallbackToken(UInt8($0))) ?? -1 })
    var crosses = vocabulary.id(of: ByteAlphabet.metaspace) == nil
    if !readsBytes && !crosses {
      let made = merges.made(below: vocabulary.idLimit)
      vocabulary.forEach { token, id in
        if !crosses && made[Int(id)] { crosses = Self.firstMetaspaceCut(in: token, from: 0) != nil }
      }
    }
    // Where unknown characters vanish, what stood around them may merge after all.
    let keepsUnknown = options.unknownToken != nil || (options.fallsBackToBytes && !fallbackSymbols.contains(-1))
    cutsBeforeMetaspace = !crosses && !readsBytes && !options.ignoresMerges && keepsUnknown
  }

  /// The tokens of one piece, appended to `ids`.
  func tokenize(_ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, into ids: inout [Int32]) {
    var start = 0
    if cutsBeforeMetaspace {
      while let cut = Self.firstMetaspaceCut(in: piece, from: start) {
        tokenizeWord(UnsafeBufferPointer(rebasing: piece[start..<cut]), scratch, into: &ids)
        start = cut
      }
    }
    tokenizeWord(UnsafeBufferPointer(rebasing: piece[start...]), scratch, into: &ids)
  }

  private func tokenizeWord(_ word: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, into ids: inout [Int32]) {
    guard !word.isEmpty else { return }
    if scratch.words.append(word, to: &ids) { return }
    let first = ids.count
    if options.ignoresMerges, let id = wholeToken(word) {
      ids.append(id)
    } else {
      scratch.symbols.removeAll(keepingCapacity: true)
      if readsBytes { byteSymbols(of: word, into: &scratch.symbols) } else { scalarSymbols(of: word, into: &scratch.symbols) }
      merges.merge(&scratch.symbols, scratch)
      ids.append(contentsOf: scratch.symbols)
    }
    scratch.words.remember(word, ids[first...])
  }

  private func wholeToken(_ word: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard readsBytes else { return vocabulary.id(of: word) }
    return vocabulary.id(of: word.lazy.flatMap { ByteAlphabet.spelling(of: $0) })
  }

  private func byteSymbols(of word: UnsafeBufferPointer<UInt8>, into symbols: inout ContiguousArray<Int32>) {
    var unknown: Int32?
    for byte in word {
      let id = byteSymbols[Int(byte)]
      if id >= 0 {
        flush(&unknown, into: &symbols)
        symbols.append(id)
      } else {
        noteUnknown(&unknown, bytes: ByteAlphabet.spelling(of: byte), into: &symbols)
      }
    }
    flush(&unknown, into: &symbols)
  }

  private func scalarSymbols(of word: UnsafeBufferPointer<UInt8>, into symbols: inout ContiguousArray<Int32>) {
    var unknown: Int32?
    var position = 0
    while position < word.count {
      let scalar = UnsafeBufferPointer(rebasing: word[position..<position + decodeScalar(word, at: position).length])
      if let id = vocabulary.id(of: scalar) {
        flush(&unknown, into: &symbols)
        symbols.append(id)
      } else {
        noteUnknown(&unknown, bytes: scalar, into: &symbols)
      }
      position += scalar.count
    }
    flush(&unknown, into: &symbols)
  }

  /// A character without a token. In the reference, fallback bytes overtake an unknown token that is still pending; so here.
  private func noteUnknown(_ unknown: inout Int32?, bytes: some Sequence<UInt8>, into symbols: inout ContiguousArray<Int32>) {
    if options.fallsBackToBytes {
      let fallback = bytes.map { fallbackSymbols[Int($0)] }
      if fallback.allSatisfy({ $0 >= 0 }) {
        symbols.append(contentsOf: fallback)
        return
      }
    }
    guard let token = options.unknownToken else { return }
    if !options.fusesUnknown { flush(&unknown, into: &symbols) }
    unknown = token
  }

  private func flush(_ unknown: inout Int32?, into symbols: inout ContiguousArray<Int32>) {
    if let token = unknown { symbols.append(token) }
    unknown = nil
  }

  /// The first place after `from` where ▁ follows something else, or nil.
  private static func firstMetaspaceCut(in text: UnsafeBufferPointer<UInt8>, from: Int) -> Int? {
    func isMetaspace(_ position: Int) -> Bool {
      position >= 0 && position + 3 <= text.count && text[position] == 0xE2 && text[position + 1] == 0x96 && text[position + 2] == 0x81
    }
    var position = from + 1
    while position + 3 <= text.count {
      if text[position] == 0xE2 && isMetaspace(position) && !(position - 3 >= from && isMetaspace(position - 3)) { return position }
      position += 1
    }
    return nil
  }
}

extension BytePairModel {
  /// Reads the `model` member of tokenizer.json.
  init(_ json: JSONValue, readsBytes: Bool) throws(FormatError) {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let value = try json.memberIfPresent(key), try value.requireString() != "" {
        throw .unsupported(file: json.fileName, place: value.path, found: "a \(key)", hint: nil)
      }
    }
    if let dropout = try json.numberIfPresent("dropout"), dropout != 0 {
      throw .unsupported(file: json.fileName, place: "model.dropout", found: "dropout \(dropout)", hint: "set it to null")
    }
    let vocabulary = try Vocabulary(object: try json.member("vocab", expected: "an object of token: id"))
    var options = Options()
    if let unknown = try json.memberIfPresent("unk_token") {
      options.unknownToken = vocabulary.id(of: try unknown.requireString())
      // The reference fails once the token is needed, which byte-level vocabularies never do.
      guard options.unknownToken != nil || readsBytes else { throw unknown.unexpected("a token of the vocabulary") }
    }
    options.fusesUnknown = try json.boolIfPresent("fuse_unk") ?? false
    options.fallsBackToBytes = try json.boolIfPresent("byte_fallback") ?? false
    options.ignoresMerges = try json.boolIfPresent("ignore_merges") ?? false
    let merges = try MergeTable(try json.member("merges", expected: "an array of pairs"), vocabulary)
    self.init(vocabulary: vocabulary, merges: merges, options: options, readsBytes: readsBytes)
  }
}
