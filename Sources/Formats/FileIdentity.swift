// Is the file at a path the one that was met under another name, or earlier under this one? A trace that is removed or replaced while it is
// written goes on existing for SQLite alone: it would be written to its end and vanish. An output that is a file being read, by a link or
// by another name, would take its place.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file by its device and number, whatever it is called.
public struct FileIdentity: Equatable, Sendable {
  private let device: UInt64
  private let number: UInt64

  /// The file at `path`; nil when there is none.
  public init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  init(_ status: stat) {
    device = UInt64(truncatingIfNeeded: status.st_dev)
    number = UInt64(truncatingIfNeeded: status.st_ino)
  }

  /// Whether `path` leads to another file or to none; false as long as the system does not say.
  public func hasLeft(_ path: String) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { return errno == ENOENT || errno == ENOTDIR }
    return FileIdentity(path) != self
  }
}
