// The inputs of a run: lists of token ids with a name and labels, and the hash that identifies them all.

import Formats
import Routing

/// One input, as ids.
public struct TokenSequence: Sendable {
  public var description: SequenceDescription
  public var tokens: [Int32]

  public init(_ description: SequenceDescription, tokens: [Int32]) {
    self.description = description
    self.tokens = tokens
  }
}

extension [TokenSequence] {
  /// SHA-256 over the ids of all sequences, little-endian i32, each sequence preceded by its length.
  public var inputHash: String {
    var hash = SHA256()
    for sequence in self {
      ([Int32(sequence.tokens.count)] + sequence.tokens).map(\.littleEndian).withUnsafeBytes { hash.update($0) }
    }
    return hash.hexDigest()
  }
}
