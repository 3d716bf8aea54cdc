// Where an export goes: a file that appears when it is whole, or a stream of the caller's.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

public enum ExportOutput {
  case file(String)
  /// Called with pieces of some ten kilobytes, in order.
  case stream(([UInt8]) throws -> Void)
}

/// Collects text and hands it on in large pieces.
final class TextOutput {
  private(set) var buffer: [UInt8] = []
  private let write: ([UInt8]) throws -> Void
  private let complete: () throws -> Void
  private let file: PendingFile?

  /// - Throws: `StoreError.cannotCreate` and its like.
  init(_ output: ExportOutput) throws {
    switch output {
    case .stream(let body):
      file = nil
      write = body
      complete = {}
    case .file(let path):
      let pending = try PendingFile(path: path)
      file = pending
      write = { try pending.write($0) }
      complete = { try pending.commit() }
    }
    buffer.reserveCapacity(Self.pieceBytes + 4096)
  }

  private static let pieceBytes = 64 << 10

  func append(_ text: some StringProtocol) { buffer.append(contentsOf: text.utf8) }

  func append(_ bytes: [UInt8]) { buffer += bytes }

  /// Ends a line; passes the text on when there is enough of it.
  func endLine() throws {
    buffer.append(0x0a)
    if buffer.count >= Self.pieceBytes { try flush() }
  }

  private func flush() throws {
    if buffer.isEmpty { return }
    try write(buffer)
    buffer.removeAll(keepingCapacity: true)
  }

  func finish() throws {
    try flush()
    try complete()
  }
}

/// A file written beside its final name and moved there when it is whole; what is not committed is removed.
final class PendingFile {
  private let path: String
  private let temporaryPath: String
  private var descriptor: Int32

  init(path: String) throws {
    self.path = path
    temporaryPath = "\(path).partial-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    var status = stat()
    if stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR {
      throw StoreError.cannotCreate(file: path, reason: systemMessage(EISDIR))
    }
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw StoreError.system(errno, file: path, creating: true) }
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      unlink(temporaryPath)
    }
  }

  func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        #if canImport(Darwin)
          let written = Darwin.write(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done)
        #else
          let written = Glibc.write(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done)
        #endif
        if written < 0 {
          if errno == EINTR { continue }
          throw StoreError.system(errno, file: path, creating: false)
        }
        done += written
      }
    }
  }

  func commit() throws {
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw StoreError.system(errno, file: path, creating: false) }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0, rename(temporaryPath, path) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw StoreError.system(code, file: path, creating: true)
    }
  }
}
