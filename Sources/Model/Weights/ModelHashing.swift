// Which model is this, exactly? The SHA-256 of its files, taken in block by block, so that whoever has time for one can: a thread that gives way
// to the engine's, and at the end whoever waits.

import Formats
import Routing

/// A model that can say which one it is.
public protocol IdentifiedModel: Sendable {
  /// For a trace, as far as headers say: the hashes of its files are empty.
  var identity: ModelIdentity { get }
  /// Begins to find the same with hashes, which takes reading every file once.
  ///
  /// - Parameter known: what earlier runs found of files that have not changed since.
  func hashing(known: KnownHashes?) -> ModelHashing
}

/// The hash of a model's files on its way.
public final class ModelHashing {
  private let paths: [String]
  private let files: [MappedFile]
  private let known: KnownHashes?
  private let named: (String) throws -> ModelIdentity
  private var hash = SHA256()
  private var begun = 0
  private var reading: FileBytes?
  /// The model with its hashes, once there is nothing left to read.
  public private(set) var identity: ModelIdentity?

  /// - Parameters:
  ///   - files: of the weights, in order: names, sizes and contents count.
  ///   - named: the model whose files have this hash.
  init(_ files: [any TensorFile], known: KnownHashes?, named: @escaping (String) throws -> ModelIdentity) {
    paths = files.map(\.path)
    let mapped = files.compactMap { $0.tensors.first?.file }
    self.files = mapped
    self.known = mapped.count == files.count ? known : nil
    self.named = named
  }

  /// A model that is known already.
  public init(_ identity: ModelIdentity) {
    (paths, files, known, named) = ([], [], nil, { _ in identity })
    self.identity = identity
  }

  /// Takes in the next block.
  ///
  /// - Returns: its bytes; nil when there is nothing left and `identity` is known.
  /// - Throws: `FormatError` when a file cannot be read, or is not the one any more that was opened.
  public func advance() throws -> Int? {
    if identity != nil { return nil }
    if begun == 0, reading == nil, let digest = known?.hash(of: files) {
      identity = try named(digest)
      return nil
    }
    while true {
      if let block = try reading?.next() {
        hash.update(block)
        return block.count
      }
      guard begun < paths.count else { break }
      let path = paths[begun]
      let bytes = try FileBytes(path: path)
      let name = path.split(separator: "/").last.map(String.init) ?? path
      Array("\(name)\n\(bytes.byteCount)\n".utf8).withUnsafeBytes { hash.update($0) }
      (reading, begun) = (bytes, begun + 1)
    }
    reading = nil
    // Another file's bytes say nothing of the model that runs.
    for file in files where !file.isInPlace { throw FormatError.changed(file: file.path) }
    let digest = hash.hexDigest()
    known?.keep(digest, of: files)
    identity = try named(digest)
    return nil
  }
}

extension IdentifiedModel {
  /// The model with its hashes, found here and now.
  ///
  /// - Throws: as `ModelHashing.advance`.
  public func hashedIdentity() throws -> ModelIdentity {
    let hashing = hashing(known: nil)
    while try hashing.advance() != nil {}
    return hashing.identity ?? identity
  }
}

extension LanguageModel: IdentifiedModel {
  public func hashing(known: KnownHashes?) -> ModelHashing {
    ModelHashing(weights.checkpoint.files, known: known) { [self] digest in
      let tokenizer = path + "/tokenizer.json"
      let metadataHash = GGUFFile.isAt(path) ? try? openTokenizer().contentHash : nil
      var identity = identity
      identity.filesHash = digest
      identity.tokenizerHash = try metadataHash ?? (FileStatus.exists(tokenizer) ? SHA256.hexDigest(ofFile: tokenizer) : "")
      return identity
    }
  }
}

extension DenoisingModel: IdentifiedModel {
  public func hashing(known: KnownHashes?) -> ModelHashing {
    ModelHashing(weights.checkpoint.files, known: known) { [self] digest in
      var identity = identity
      identity.filesHash = digest
      return identity
    }
  }
}
