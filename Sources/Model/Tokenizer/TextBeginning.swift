// Does a text begin with the token that begins sequences (BOS)? A model was trained one way, and reads badly the other: its first positions
// gather attention. What the published files say is kept, also `add_bos_token` of tokenizer_config.json, which transformers 4 and llama.cpp
// obey and transformers 5 drops wherever there is a tokenizer.json.

import Formats

/// What the caller wants before a text.
public enum BOSChoice: String, Sendable, CaseIterable {
  /// What the tokenizer of the model puts there.
  case model
  /// BOS in any case.
  case add
  /// No BOS.
  case omit
}

/// What a tokenizer puts before a text.
public struct TextBeginning: Sendable, Equatable {
  public let ids: [Int32]
  /// Which file says so, in words.
  public let source: String
}

extension Tokenizer {
  /// Whether a text that is read as it is begins with BOS.
  public var addsBOS: Bool { bosToken != nil && beginning.ids.first == bosToken }

  /// The ids of a whole text with the special tokens that go around it.
  ///
  /// - Throws: `FormatError.unsupported` for texts this tokenizer cannot encode, and for `.add` where it has no BOS.
  public func encode(_ text: String, bos: BOSChoice) throws(FormatError) -> [Int32] {
    var ids = try encode(text, addSpecialTokens: true)
    switch bos {
    case .model: break
    case .omit: if addsBOS { ids.removeFirst() }
    case .add:
      guard let bosToken else {
        throw .unsupported(
          file: path, place: "bos_token", found: "no token that begins a sequence", hint: "--bos model, as this tokenizer reads texts")
      }
      if !addsBOS { ids.insert(bosToken, at: 0) }
    }
    return ids
  }
}
