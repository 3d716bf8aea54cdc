// How do bytes of a file reach us without being copied? A `MappedFile` is one regular file mapped read-only from start to end;
// weights stay in the page cache and are never loaded. It knows nothing of formats. Should another process shorten the file while
// it is mapped, zeros take the place of the lost pages (CMapGuard), and whoever computed with them learns it from `requireWhole`.

import CMapGuard

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A regular file mapped read-only as a whole.
///
/// `@unchecked Sendable`: all stored properties are constants, the pages are read-only for us, and the mapping ends only in `deinit`,
/// when no thread holds a reference any more. Whoever keeps `bytes` must keep the `MappedFile`.
public final class MappedFile: @unchecked Sendable {
  /// The path as the opener gave it; errors name it so.
  public let path: String
  /// Every byte of the file; empty for an empty file. Valid while this object lives.
  public let bytes: UnsafeRawBufferPointer

  public var byteCount: Int { bytes.count }

  /// Its number at the guard of mappings; nil for an empty file.
  private let guarded: Int32?
  /// What the file was when it was opened.
  private let stamp: Stamp

  /// Opens and maps `path`; the descriptor is closed again at once, only the mapping stays.
  ///
  /// - Throws: `FormatError.system` when the file cannot be opened or mapped, `.notAFile` for directories, pipes and devices.
  public init(path: String) throws(FormatError) {
    // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .system(file: path, operation: "open", code: errno) }
    defer { close(descriptor) }

    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system(file: path, operation: "examine", code: errno) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw .notAFile(file: path, found: "a directory")
    default: throw .notAFile(file: path, found: "a pipe or device")
    }
    guard let count = Int(exactly: status.st_size), count >= 0 else {
      throw .system(file: path, operation: "map", code: EFBIG)
    }

    self.path = path
    stamp = Stamp(status)
    if count == 0 {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)  // mmap refuses length 0
      guarded = nil
      return
    }
    guard let start = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), start != MAP_FAILED else {
      throw .system(file: path, operation: "map", code: errno)
    }
    bytes = UnsafeRawBufferPointer(start: start, count: count)
    guarded = moetop_map_guard_add(start, count)
  }

  /// Mends faults of mapped files from now on; a program calls it once, when it starts. Without it such a fault ends the process.
  public static func mendFaults() { moetop_map_guard_start() }

  /// What was read so far was in the file, unless something else wrote into it.
  ///
  /// - Throws: `FormatError.changed` once pages of the file were missing when they were read: it was shortened, or its disk failed.
  public func requireWhole() throws(FormatError) {
    if let guarded, moetop_map_guard_is_torn(guarded) == 1 { throw .changed(file: path) }
  }

  /// Nobody wrote into the file since it was opened, as far as the time of its last change says.
  ///
  /// A file that was put in its place is another one: what is mapped is still what was opened.
  /// - Throws: `FormatError.changed`.
  public func requireUnwritten() throws(FormatError) {
    guard let now = Stamp(path), now.isSameFile(as: stamp), now != stamp else { return }
    throw .changed(file: path)
  }

  /// Whether `path` still leads to the file that is mapped, as it was.
  public var isInPlace: Bool { Stamp(path) == stamp }

  /// Which file it is and when it was changed last, in words for `KnownHashes`.
  var changes: String { stamp.words }

  /// Whether its last change was some seconds ago.
  var isSettled: Bool { stamp.isSettled }

  /// Gives back the memory of the first `count` bytes, which were read once; reading them again fetches them again.
  func release(first count: Int) { release(0..<count) }

  /// Gives back the memory of bytes that were read once; reading them again fetches them again. What shares the last page with bytes
  /// behind the range stays.
  /// - Precondition: the range lies in the file.
  public func release(_ range: Range<Int>) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = range.lowerBound / page * page
    let count = range.upperBound / page * page - first
    guard count > 0, let start = bytes.baseAddress else { return }
    madvise(UnsafeMutableRawPointer(mutating: start + first), count, MADV_DONTNEED)
  }

  /// Whether something that can be read is at `path`: for files that may or may not come with a model.
  public static func exists(_ path: String) -> Bool { access(path, R_OK) == 0 }

  deinit {
    if let guarded { moetop_map_guard_remove(guarded) }
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}

/// Which file, and of when.
private struct Stamp: Equatable {
  private let device: UInt64
  private let number: UInt64
  private let size: Int64
  private let seconds: Int
  private let nanoseconds: Int
  /// Of the last change of any kind, which a new name for the file is too: it is no part of what the file is compared by.
  private let change: timespec

  init(_ status: stat) {
    device = UInt64(truncatingIfNeeded: status.st_dev)
    number = UInt64(truncatingIfNeeded: status.st_ino)
    size = Int64(status.st_size)
    #if canImport(Darwin)
      (seconds, nanoseconds) = (status.st_mtimespec.tv_sec, status.st_mtimespec.tv_nsec)
      change = status.st_ctimespec
    #else
      (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
      change = status.st_ctim
    #endif
  }

  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  static func == (a: Stamp, b: Stamp) -> Bool {
    a.isSameFile(as: b) && a.size == b.size && (a.seconds, a.nanoseconds) == (b.seconds, b.nanoseconds)
  }

  var words: String { "\(device) \(number) \(size) \(seconds).\(nanoseconds) \(change.tv_sec).\(change.tv_nsec)" }

  var isSettled: Bool { time(nil) - max(seconds, change.tv_sec) > 5 }

  func isSameFile(as other: Stamp) -> Bool { device == other.device && number == other.number }
}
