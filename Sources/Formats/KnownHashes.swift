// Have these files been hashed before? Reading a large model takes a core for a while, and it is run many times. A file whose device,
// number, size and times are what they were holds what it held: the time of its last change of any kind (ctime) is the system's alone to set.

/// SHA-256 digests of large files in a folder of the user's: one small file for each set, named after what was hashed and when it was changed.
public struct KnownHashes: Sendable {
  /// Files of fewer bytes in all are hashed each time: little is gained.
  public static let leastBytes = 256 << 20
  private let folder: String

  /// - Parameter folder: need not be there yet. What cannot be kept in it is found again.
  public init(folder: String) { self.folder = folder }

  /// What is known of these files; nil for small ones, and for those that are not known as they are now.
  public func hash(of files: [MappedFile]) -> String? {
    guard let key = key(of: files), let known = try? MappedFile(path: path(key)), known.byteCount == 65 else { return nil }
    let digits = known.bytes.prefix(64)
    let isHexadecimal = digits.allSatisfy { (ascii("0")...ascii("9")).contains($0) || (ascii("a")...ascii("f")).contains($0) }
    return isHexadecimal ? String(decoding: digits, as: UTF8.self) : nil
  }

  /// Keeps what these files were found to hold. One that was changed in the last seconds is left out: a clock's tick may hide a later change.
  public func keep(_ hash: String, of files: [MappedFile]) {
    guard let key = key(of: files), files.allSatisfy(\.isSettled) else { return }
    try? Folder.make(folder)
    try? OutputFile.write(hash + "\n", to: path(key))
  }

  private func path(_ key: String) -> String { "\(folder)/\(key)" }

  func key(of files: [MappedFile]) -> String? {
    guard files.reduce(0, { $0 + $1.byteCount }) >= Self.leastBytes else { return nil }
    // The names count too: they are part of what is hashed.
    let text = files.map { "\($0.path.split(separator: "/").last ?? "")\n\($0.changes)\n" }.joined()
    return Array(text.utf8).withUnsafeBytes { SHA256.hexDigest(of: $0) }
  }
}
