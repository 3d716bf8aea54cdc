// The few system calls this room needs, under one import for Linux and macOS, with `errno` captured where it is set.
// Reading goes through `MappedFile`, or `FileBytes` where a file is read through once; writing through `OutputFile`, which appears under its final name only when complete.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The system's own words for an `errno`.
func systemMessage(_ code: Int32) -> String {
  guard let text = strerror(code) else { return "error \(code)" }
  return String(cString: text)
}

/// A file being written beside its final name; `commit()` moves it there in one step, and dropping it uncommitted leaves nothing behind.
///
/// The temporary file lies in the same directory, so that the rename is atomic and stays on one file system.
public final class OutputFile {
  public let path: String
  private let temporaryPath: String
  private var descriptor: Int32

  /// - Throws: `FormatError.system` when the directory cannot be written.
  public init(path: String) throws(FormatError) {
    self.path = path
    temporaryPath = "\(path).partial-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw .system(file: path, operation: "create", code: errno) }
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      unlink(temporaryPath)
    }
  }

  /// Writes all of `bytes` at `offset` from the start of the file.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FormatError) {
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset + done))
      if written < 0 {
        if errno == EINTR { continue }
        throw .system(file: path, operation: "write", code: errno)
      }
      done += written
    }
  }

  /// Flushes to the disk and gives the file its final name, replacing what was there.
  public func commit() throws(FormatError) {
    guard fsync(descriptor) == 0 else { throw .system(file: path, operation: "flush", code: errno) }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0, rename(temporaryPath, path) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw .system(file: path, operation: "finish", code: code)
    }
  }
}

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

  public static func isFolder(_ path: String) -> Bool { exists(path + "/.") }
}
