// Is the file at a path still the one that was opened there? A trace that is removed or replaced while it is written goes on existing for
// SQLite alone: it would be written to its end and vanish.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file by its device and number, whatever it is called.
struct FileIdentity: Equatable, Sendable {
  private let device: UInt64
  private let number: UInt64

  /// The file at `path`; nil when there is none.
  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    number = UInt64(truncatingIfNeeded: status.st_ino)
  }

  /// Whether `path` leads to another file or to none; false as long as the system does not say.
  func hasLeft(_ path: String) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { return errno == ENOENT || errno == ENOTDIR }
    return FileIdentity(path) != self
  }
}
