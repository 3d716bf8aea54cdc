// The few system calls this room needs, under one import for Linux and macOS, with `errno` captured where it is set.
// Reading goes through `MappedFile`, or `FileBytes` where a file is read through once; writing through `OutputFile`.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A regular file read from start to end through a small buffer.
///
/// Mapped pages that were touched count as memory of this process, a second time where the file is mapped already; these do not.
public final class FileBytes {
  public let path: String
  /// Bytes the file has.
  public let byteCount: Int
  private let descriptor: Int32
  private let buffer: UnsafeMutableRawBufferPointer
  private var offset = 0

  /// - Throws: `FormatError.system` when the file cannot be opened, `.notAFile` for directories, pipes and devices.
  public init(path: String) throws(FormatError) {
    self.path = path
    byteCount = try MappedFile(path: path).byteCount
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .system(file: path, operation: "open", code: errno) }
    buffer = .allocate(byteCount: 1 << 20, alignment: 64)
  }

  deinit {
    close(descriptor)
    buffer.deallocate()
  }

  /// The bytes that follow, valid until the next call; nil at the end.
  ///
  /// - Throws: `FormatError.system`; `.changed` when the file ends before the bytes it had.
  public func next() throws(FormatError) -> UnsafeRawBufferPointer? {
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
      if count > 0 {
        offset += count
        return UnsafeRawBufferPointer(rebasing: buffer[..<count])
      }
      if count == 0, offset < byteCount { throw .changed(file: path) }
      if count == 0 { return nil }
      if errno != EINTR { throw .system(file: path, operation: "read", code: errno) }
    }
  }
}

/// What the file system says of a path.
public enum FileStatus {
  /// Whether something is there that the caller may look at; links are followed.
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The empty path is the present folder.
  public static func isFolder(_ path: String) -> Bool { exists(path.isEmpty ? "." : path + "/.") }
}
