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

/// Folders that are made as they are needed.
enum Folder {
  /// Makes a folder of the user's alone, with those it lies in.
  static func make(_ path: String) throws(FormatError) {
    if FileStatus.isFolder(path) { return }
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try make(String(path[..<slash])) }
    if mkdir(path, 0o700) != 0, errno != EEXIST { throw .system(file: path, operation: "create", code: errno) }
  }
}

/// How much a thread asks for.
public enum ThreadPriority {
  /// The calling thread takes what others leave from now on, for as long as it lives: nobody without privileges can take that back.
  public static func giveWay() {
    #if canImport(Darwin)
      pthread_set_qos_class_self_np(QOS_CLASS_BACKGROUND, 0)
    #elseif canImport(Glibc)
      // On Linux, nice values are those of threads, and 0 is the one that asks.
      _ = setpriority(.init(PRIO_PROCESS.rawValue), 0, 19)
    #else
      _ = setpriority(PRIO_PROCESS, 0, 19)
    #endif
  }
}

/// Whether both hold the same bytes.
func isEqual(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
  guard a.count == b.count, let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
  return memcmp(first, second, a.count) == 0
}
