// The one door to a path that is written. What the path leads to stays what it is: links stay links, a file keeps its mode and owner, a
// pipe or device is written into. A file changes in one step when it is complete; until then, and after a failure or a signal, the old
// one is there, and nothing else is left behind.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file, pipe or device being written; `commit()` completes it, and dropping it uncommitted takes back what can be taken back.
///
/// A regular file is written under another name in the folder of its target, so that the last step is an atomic rename on one file
/// system. Where that would change what the path is (a hard link, an owner we cannot give, a folder we may not write, a mount point) the
/// bytes wait in a nameless file and are copied over the old ones at the end. Not `Sendable`: one writer belongs to one task.
public final class OutputFile {
  /// In which order the bytes come.
  public enum Order: Sendable {
    /// From start to end: a pipe gets them at once.
    case sequential
    /// As it suits: a pipe gets them when all are there.
    case any
  }

  private enum Ending {
    /// Bytes are where they belong.
    case none
    /// The file under construction takes the place of the target.
    case rename(from: String, to: String)
    /// The bytes are copied to a descriptor that is already open; what a regular file had before is cut off.
    case copy(to: Int32, isFile: Bool)
  }

  /// The path as its opener gave it; errors name it so.
  public let path: String
  /// Where bytes go now; -1 when closed.
  private var descriptor: Int32 = -1
  private var ending = Ending.none
  /// Bytes written from the start, without a gap where they come in order.
  private var end = 0

  /// - Throws: `FormatError.system` when the path cannot be written: a folder, a missing folder, no permission.
  public init(path: String, order: Order = .sequential) throws(FormatError) {
    let place = try OutputPlace(path)
    self.path = place.name
    switch place.kind {
    case .vacant: try replace(place.target, keeping: nil)
    case .file(let status):
      // A file with several names would lose them.
      if status.st_nlink > 1 { try overwrite(place.target) } else { try replace(place.target, keeping: status) }
    case .stream: try stream(into: try opened(place.target), order)
    case .open(let number):
      let copy = dup(number)
      if copy < 0 { throw .system(file: self.path, operation: "create", code: errno) }
      try stream(into: copy, order)
    }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    switch ending {
    case .none: break
    case .rename(let temporary, _): Self.remove(temporary)
    case .copy(let output, _): close(output)
    }
  }

  /// Whether `path` could be written now, as far as one can know without writing.
  ///
  /// - Parameter inputs: files that are read for what is written; those that do not exist yet count too.
  /// - Throws: `FormatError.system`, as `init` would; `.isRead` for an output that is one of `inputs`, after links are followed.
  public static func check(_ path: String, reading inputs: [String] = []) throws(FormatError) {
    guard let place = try OutputPlace(path).file else { return }
    for input in inputs where OutputPlace.file(ofInput: input) == place { throw .isRead(file: path, input: input) }
  }

  /// The path behind the links of `path`; itself where they lead nowhere.
  public static func target(of path: String) -> String { OutputPlace.target(of: path) }

  /// Writes a whole text.
  ///
  /// - Parameter inputs: as of `check`.
  public static func write(_ text: String, to path: String, reading inputs: [String] = []) throws(FormatError) {
    try check(path, reading: inputs)
    let file = try OutputFile(path: path)
    try file.write(Array(text.utf8))
    try file.commit()
  }

  /// Writes a whole text that only its user may read, into a folder that is made where there is none.
  public static func writePrivate(_ text: String, to path: String) throws(FormatError) {
    try Folder.make(OutputPlace.folder(of: path))
    let file = try OutputFile(path: path)
    try file.write(Array(text.utf8))
    if fchmod(file.descriptor, 0o600) != 0 { throw .system(file: path, operation: "create", code: errno) }
    try file.commit()
  }

  /// Removes what is under construction, in a signal handler too.
  public static func removeTemporaries() { TemporaryFiles.removeAll() }

  // MARK: Writing

  /// Writes the bytes that follow.
  public func write(_ bytes: [UInt8]) throws(FormatError) {
    let outcome: Result<Void, FormatError> = bytes.withUnsafeBytes { buffer in
      do throws(FormatError) { return .success(try write(buffer, at: end)) } catch { return .failure(error) }
    }
    try outcome.get()
  }

  /// Writes all of `bytes` at `offset` from the start of the file.
  ///
  /// - Precondition: in order, unless `Order.any` was asked for.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FormatError) {
    if case .none = ending {
      precondition(offset == end, "bytes of a pipe come in order")
      try transfer(bytes, to: descriptor, at: nil)
    } else {
      try transfer(bytes, to: descriptor, at: offset)
    }
    end = max(end, offset + bytes.count)
  }

  /// Completes the output: on the disk, under its name, where it has one.
  public func commit() throws(FormatError) {
    switch ending {
    case .none: try closeDescriptor()
    case .rename(let temporary, let target):
      guard fsync(descriptor) == 0 else { throw .system(file: path, operation: "flush", code: errno) }
      if rename(temporary, target) != 0 {
        // A file on which another is mounted has a name that cannot be given away.
        guard errno == EBUSY else { throw .system(file: path, operation: "create", code: errno) }
        try copy(to: try opened(target), isFile: true)
        Self.remove(temporary)
      }
      TemporaryFiles.remove(temporary)
      ending = .none
      try closeDescriptor()
    case .copy(let output, let isFile):
      ending = .none
      try copy(to: output, isFile: isFile)
      try closeDescriptor()
    }
  }

  private func closeDescriptor() throws(FormatError) {
    let closed = close(descriptor)
    let code = errno
    descriptor = -1
    if closed != 0 { throw .system(file: path, operation: "write", code: code) }
  }

  /// Copies the nameless file to `output` and closes that.
  private func copy(to output: Int32, isFile: Bool) throws(FormatError) {
    defer { close(output) }
    if isFile, ftruncate(output, 0) != 0 { throw .system(file: path, operation: "write", code: errno) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    var done = 0
    while done < end {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .system(file: path, operation: "read back", code: count < 0 ? errno : EIO) }
      try transfer(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: output, at: nil)
      done += count
    }
    if isFile, fsync(output) != 0 { throw .system(file: path, operation: "flush", code: errno) }
  }

  private func transfer(_ bytes: UnsafeRawBufferPointer, to output: Int32, at offset: Int?) throws(FormatError) {
    var done = 0
    while done < bytes.count {
      let rest = bytes.baseAddress?.advanced(by: done)
      let written =
        if let offset { pwrite(output, rest, bytes.count - done, off_t(offset + done)) } else {
          posixWrite(output, rest, bytes.count - done)
        }
      if written < 0 {
        if errno == EINTR { continue }
        if errno == EAGAIN {
          var ready = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
          poll(&ready, 1, -1)
          continue
        }
        throw .system(file: path, operation: "write", code: errno)
      }
      done += written
    }
  }

  // MARK: Opening

  /// Begins a file that will take the place of `target`.
  private func replace(_ target: String, keeping status: stat?) throws(FormatError) {
    let random = String(UInt64.random(in: 0 ... .max), radix: 36)
    // Short, so that it fits where the target's own name does.
    let temporary = "\(OutputPlace.folder(of: target)).moetop-\(getpid())-\(random).partial"
    TemporaryFiles.add(temporary)
    descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, status == nil ? 0o666 : 0o600)
    if descriptor < 0 {
      let code = errno
      TemporaryFiles.remove(temporary)
      // The file may be ours to write where its folder is not.
      if status != nil, [EACCES, EPERM, EROFS].contains(code) { return try overwrite(target) }
      throw .system(file: path, operation: "create", code: code)
    }
    ending = .rename(from: temporary, to: target)
    guard let status else { return }
    var made = stat()
    let isOurs = fstat(descriptor, &made) == 0 && made.st_uid == status.st_uid && made.st_gid == status.st_gid
    if !isOurs && fchown(descriptor, status.st_uid, status.st_gid) != 0 {
      close(descriptor)
      (descriptor, ending) = (-1, .none)
      Self.remove(temporary)
      return try overwrite(target)
    }
    if fchmod(descriptor, status.st_mode & 0o7777) != 0 { throw .system(file: path, operation: "create", code: errno) }
  }

  /// Begins a nameless file that will be copied over the bytes of `target`.
  private func overwrite(_ target: String) throws(FormatError) {
    ending = .copy(to: try opened(target), isFile: true)
    descriptor = try namelessFile()
  }

  private func stream(into output: Int32, _ order: Order) throws(FormatError) {
    switch order {
    case .sequential: descriptor = output
    case .any:
      ending = .copy(to: output, isFile: false)
      descriptor = try namelessFile()
    }
  }

  /// What is there, opened for writing; waits for the reader of a pipe.
  private func opened(_ target: String) throws(FormatError) -> Int32 {
    while true {
      let output = open(target, O_WRONLY | O_CLOEXEC | O_NOCTTY)
      if output >= 0 { return output }
      if errno != EINTR { throw .system(file: path, operation: "create", code: errno) }
    }
  }

  private func namelessFile() throws(FormatError) -> Int32 {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    let random = String(UInt64.random(in: 0 ... .max), radix: 36)
    let name = "\(folder)/moetop-\(getpid())-\(random)"
    let file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if file < 0 { throw .system(file: name, operation: "create", code: errno) }
    unlink(name)
    return file
  }

  private static func remove(_ temporary: String) {
    unlink(temporary)
    TemporaryFiles.remove(temporary)
  }
}

/// The system's `write`, which the method of that name hides.
private func posixWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int { write(descriptor, bytes, count) }
