// Where an export goes: a path, through the one door to paths that are written, or a stream of the caller's.

import Formats

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

  /// - Throws: `FormatError.system` when the path cannot be written.
  init(_ output: ExportOutput) throws {
    switch output {
    case .stream(let body):
      write = body
      complete = {}
    case .file(let path):
      let file = try OutputFile(path: path)
      write = { try file.write($0) }
      complete = { try file.commit() }
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
