// Which bytes exactly did a run read? SHA-256 of files, tokenizers and inputs, for provenance. swift-crypto computes it, with the
// processor's own instructions where it has them: the weights of a model are hashed in seconds while it runs.

import Crypto

/// An incremental SHA-256.
public struct SHA256: Sendable {
  private var hash = Crypto.SHA256()

  public init() {}

  /// Lower-case hexadecimal digest of `bytes`.
  public static func hexDigest(of bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bytes)
    return hash.hexDigest()
  }

  /// Lower-case hexadecimal digest of the file at `path`.
  public static func hexDigest(ofFile path: String) throws(FormatError) -> String {
    var hash = SHA256()
    try hash.update(FileBytes(path: path)) { _ in }
    return hash.hexDigest()
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

  /// Takes in a file from start to end.
  ///
  /// - Parameter progress: called after every block with its bytes.
  public mutating func update(_ file: FileBytes, progress: (Int) -> Void) throws(FormatError) {
    while let block = try file.next() {
      update(block)
      progress(block.count)
    }
  }

  /// Lower-case hexadecimal digest of everything given so far; the value itself may go on.
  public func hexDigest() -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
