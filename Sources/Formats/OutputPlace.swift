// Where does a path lead that is to be written? Symbolic links are followed to what they name, and what is there decides how it is
// written: a file is replaced, a pipe or device is written into. `/dev/stdout` and its relatives are what the process already holds.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A path for output, looked at.
struct OutputPlace {
  enum Kind {
    /// Nothing is there: a file will be made.
    case vacant
    /// A regular file, with what is to be kept of it.
    case file(stat)
    /// A pipe, a terminal, a device.
    case stream
    /// A descriptor this process has already: `/dev/stdout`, `/dev/fd/3`.
    case open(Int32)
  }

  /// The path as the user gave it, with what it leads to where that is another.
  let name: String
  /// The path behind the last link.
  let target: String
  let kind: Kind

  /// Follows links.
  ///
  /// - Throws: `FormatError.system` (create) for folders, missing folders, names too long, circles of links, and files that the user may
  ///   not write.
  init(_ path: String) throws(FormatError) {
    if path.isEmpty { throw .system(file: "\"\"", operation: "create", code: EINVAL) }
    var target = path
    for _ in 0..<Self.linkLimit {
      let name = target == path ? path : "\(path) (a link to \(target))"
      if let descriptor = Self.descriptor(target) {
        guard fcntl(descriptor, F_GETFD) >= 0 else { throw .system(file: name, operation: "create", code: errno) }
        self.init(name: name, target: target, kind: .open(descriptor))
        return
      }
      var status = stat()
      if lstat(target, &status) != 0 {
        guard errno == ENOENT, FileStatus.isFolder(Self.folder(of: target)) else {
          throw .system(file: name, operation: "create", code: errno)
        }
        self.init(name: name, target: target, kind: .vacant)
        return
      }
      switch status.st_mode & S_IFMT {
      case S_IFLNK:
        let next = try Self.link(target, name: name)
        target = next.hasPrefix("/") ? next : Self.folder(of: target) + next
      case S_IFDIR: throw .system(file: name, operation: "create", code: EISDIR)
      case S_IFREG:
        guard access(target, W_OK) == 0 else { throw .system(file: name, operation: "create", code: errno) }
        self.init(name: name, target: target, kind: .file(status))
        return
      default:
        self.init(name: name, target: target, kind: .stream)
        return
      }
    }
    throw .system(file: path, operation: "create", code: ELOOP)
  }

  /// Which file it is, whatever it is called.
  enum File: Equatable {
    case present(FileIdentity)
    /// Not there yet: its name in its folder.
    case vacant(folder: FileIdentity, name: Substring)
  }

  /// The file that would be written; nil where none would.
  var file: File? {
    switch kind {
    case .file(let status): return .present(FileIdentity(status))
    case .vacant:
      let folder = Self.folder(of: target)
      return FileIdentity(folder.isEmpty ? "." : folder).map { .vacant(folder: $0, name: target.dropFirst(folder.count)) }
    case .stream: return nil
    case .open(let descriptor):
      var status = stat()
      return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? .present(FileIdentity(status)) : nil
    }
  }

  /// The file that is read, or would be once it is there; nil for pipes and devices.
  static func file(ofInput path: String) -> File? {
    var status = stat()
    if stat(path, &status) == 0 { return status.st_mode & S_IFMT == S_IFREG ? .present(FileIdentity(status)) : nil }
    return (try? OutputPlace(path))?.file
  }

  static func target(of path: String) -> String {
    var target = path
    for _ in 0..<linkLimit {
      var status = stat()
      guard lstat(target, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, let next = try? link(target, name: path) else { break }
      target = next.hasPrefix("/") ? next : folder(of: target) + next
    }
    return target
  }

  private init(name: String, target: String, kind: Kind) {
    self.name = name
    self.target = target
    self.kind = kind
  }

  /// Links in a row, as Linux allows.
  private static let linkLimit = 40

  /// The folder a file lies in, ready to have a name appended: empty for the present one.
  static func folder(of path: String) -> String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "" }

  /// The descriptor that a path of the system stands for.
  private static func descriptor(_ path: String) -> Int32? {
    if path == "/dev/stdout" { return STDOUT_FILENO }
    if path == "/dev/stderr" { return STDERR_FILENO }
    for folder in ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/", "/proc/\(getpid())/fd/"] where path.hasPrefix(folder) {
      return Int32(path.dropFirst(folder.utf8.count))
    }
    return nil
  }

  private static func link(_ path: String, name: String) throws(FormatError) -> String {
    var bytes = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    let count = readlink(path, &bytes, bytes.count - 1)
    guard count > 0 else { throw .system(file: name, operation: "create", code: count < 0 ? errno : ENOENT) }
    guard let next = String(validating: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) else {
      throw .system(file: name, operation: "create", code: EILSEQ)
    }
    return next
  }
}
