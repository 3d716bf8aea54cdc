// What does a session leave for the next? Lines that were typed, and the palette of colours. One file of the user's alone, read at the start and
// put in place as a whole at the end. It is a convenience: where it cannot be read or written, or is damaged, the session goes on as without.

import Formats
import Foundation
import Terminal

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct SessionState: Equatable, Sendable {
  var histories: [ActionID: [String]] = [:]
  /// Nil: the usual one.
  var palette: PaletteName?

  /// Lines whose history is kept.
  static let kept: [ActionID] = [.palette, .find, .filter, .prompt]
  /// Lines kept of each, and bytes of a line: a text that was pasted is no line to come back to.
  static let mostLines = 200
  static let mostBytesOfALine = 2048
  private static let mostBytes = 1 << 21
  private static let schema = "moetop.state/1"

  static var file: String { Places.ofUser.state + "/session.json" }

  /// Of the sessions before; nil where there is nothing to read.
  static var ofUser: SessionState? { content(of: file).flatMap(SessionState.init(bytes:)) }

  init(histories: [ActionID: [String]] = [:], palette: PaletteName? = nil) {
    (self.histories, self.palette) = (histories, palette)
  }

  /// What a session leaves.
  ///
  /// - Parameters:
  ///   - began: its palette at the start; one that nobody has changed is not chosen.
  ///   - without: lines that are not to be kept.
  init(of model: AppModel, began: PaletteName, without: Set<ActionID> = []) {
    for line in Self.kept where !without.contains(line) { histories[line] = model.histories[line].map(Self.bounded) }
    palette = model.theme.palette == began ? nil : model.theme.palette
  }

  /// The palette of colours, unless somebody has settled it.
  func settle(_ settings: inout Settings) {
    guard let palette, !settings.isSettled("palette"), palette != settings.palette else { return }
    settings.palette = palette
    settings.origins["palette"] = .lastSession
  }

  /// Puts it in place of what the sessions before left. Lines that another session left meanwhile are kept before those of this one.
  func leave(at file: String = SessionState.file) {
    var state = self
    let others = Self.content(of: file).flatMap(SessionState.init(bytes:))
    for line in Self.kept {
      let own = histories[line] ?? []
      let known = Set(own)
      let all = (others?.histories[line] ?? []).filter { !known.contains($0) } + own
      state.histories[line] = all.isEmpty ? nil : Self.bounded(all)
    }
    state.palette = palette ?? others?.palette
    guard state != SessionState(), Self.isFileOrNothing(file) else { return }
    try? OutputFile.writePrivate(state.json, to: file)
  }

  private static func bounded(_ lines: [String]) -> [String] {
    Array(lines.filter { !$0.isEmpty && $0.utf8.count <= mostBytesOfALine }.suffix(mostLines))
  }

  // MARK: As a file

  /// Nil for what is no state of a session, whatever it is.
  init?(bytes: [UInt8]) {
    let value = bytes.withUnsafeBytes { try? JSON.parse($0, name: "", offset: 0) }
    guard let value, (try? value.string("schema")) == Self.schema else { return nil }
    palette = (try? value.string("palette")).flatMap(PaletteName.init)
    for line in Self.kept {
      guard let list = try? value.member("histories").array(line.rawValue) else { continue }
      histories[line] = Self.bounded(list.compactMap(\.string))
    }
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", Self.schema)
      if let palette { writer.member("palette", palette.rawValue) }
      writer.member("histories") { writer in
        writer.object { writer in
          for line in Self.kept {
            guard let lines = histories[line] else { continue }
            writer.member(line.rawValue) { writer in
              writer.array { writer in for line in lines { writer.value(line) } }
            }
          }
        }
      }
    }
    return writer.text + "\n"
  }

  /// A pipe, say, would wait for a reader.
  private static func isFileOrNothing(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & S_IFMT == S_IFREG : errno == ENOENT
  }

  /// The bytes of a file; nil for anything else, and for one that is too long. Never waits.
  private static func content(of path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= mostBytes else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return count == bytes.count ? bytes : nil
  }
}
