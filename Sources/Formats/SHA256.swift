// Which bytes exactly did a run read? SHA-256 of files, tokenizers and inputs, for provenance. The system's library computes it
// (libcrypto, CommonCrypto on macOS), with the processor's own instructions where it has them: the weights of a model are hashed in
// seconds while it runs.

#if canImport(CommonCrypto)
  import CommonCrypto
#else
  import CCrypto
#endif

/// An incremental SHA-256.
public struct SHA256: Sendable {
  private var state = HashState()

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

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    if !isKnownUniquelyReferenced(&state) { state = HashState(copying: state) }
    state.update(bytes)
  }

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
    return String(decoding: HashState(copying: state).finish().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

/// The library's state of one hash. Refusals of the library mean that memory is exhausted or that it lacks SHA-256: neither can be a
/// file's doing.
///
/// Unchecked: `SHA256` changes a state only while it is the one that refers to it, and a state that is shared is only copied from.
private final class HashState: @unchecked Sendable {
  static let digestBytes = 32

  #if canImport(CommonCrypto)
    private var context = CC_SHA256_CTX()

    init() { CC_SHA256_Init(&context) }

    init(copying other: HashState) { context = other.context }

    func update(_ bytes: UnsafeRawBufferPointer) {
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        CC_SHA256_Update(&context, piece.baseAddress, CC_LONG(piece.count))
        rest = rest.dropFirst(piece.count)
      }
    }

    /// Ends this state.
    func finish() -> [UInt8] {
      var digest = [UInt8](repeating: 0, count: Self.digestBytes)
      CC_SHA256_Final(&digest, &context)
      return digest
    }
  #else
    private let context: OpaquePointer

    init() {
      context = Self.makeContext()
      let started = EVP_DigestInit_ex(context, EVP_sha256(), nil)
      precondition(started == 1, "libcrypto has no SHA-256")
    }

    init(copying other: HashState) {
      context = Self.makeContext()
      let copied = EVP_MD_CTX_copy_ex(context, other.context)
      precondition(copied == 1, "libcrypto is out of memory")
    }

    deinit { EVP_MD_CTX_free(context) }

    private static func makeContext() -> OpaquePointer {
      guard let context = EVP_MD_CTX_new() else { preconditionFailure("libcrypto is out of memory") }
      return context
    }

    func update(_ bytes: UnsafeRawBufferPointer) {
      let taken = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
      precondition(taken == 1, "libcrypto lost the state of a hash")
    }

    /// Ends this state.
    func finish() -> [UInt8] {
      var digest = [UInt8](repeating: 0, count: Self.digestBytes)
      let written = EVP_DigestFinal_ex(context, &digest, nil)
      precondition(written == 1, "libcrypto lost the state of a hash")
      return digest
    }
  #endif
}

/// Which library computes hashes here.
public enum HashLibrary {
  /// Its own words, `OpenSSL 3.0.15 3 Sep 2024`.
  public static var version: String {
    #if canImport(CommonCrypto)
      "CommonCrypto"
    #else
      String(cString: OpenSSL_version(OPENSSL_VERSION))
    #endif
  }
}
