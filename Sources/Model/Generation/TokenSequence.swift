// The inputs of a run: lists of token ids with a name and labels, and the hash that identifies them all.

import Formats
import Routing

/// One input, as ids.
public struct TokenSequence: Sendable {
  public var description: SequenceDescription
  /// What the encoder reads; nil for a decoder-only model.
  public var encoder: [Int32]?
  /// What the decoder reads.
  public var tokens: [Int32]

  public init(_ description: SequenceDescription, encoder: [Int32]? = nil, tokens: [Int32]) {
    self.description = description
    self.encoder = encoder
    self.tokens = tokens
  }

  /// Tokens of both.
  public var count: Int { (encoder?.count ?? 0) + tokens.count }

  /// At most so many tokens of each.
  public func prefix(_ length: Int) -> TokenSequence {
    TokenSequence(description, encoder: encoder.map { Array($0.prefix(length)) }, tokens: Array(tokens.prefix(length)))
  }
}

extension [TokenSequence] {
  /// SHA-256 over the ids of all sequences, little-endian i32, each list preceded by its length; an encoder's list comes first.
  public var inputHash: String {
    var hash = SHA256()
    for sequence in self {
      for list in [sequence.encoder, sequence.tokens].compactMap(\.self) {
        ([Int32(list.count)] + list).map(\.littleEndian).withUnsafeBytes { hash.update($0) }
      }
    }
    return hash.hexDigest()
  }
}
