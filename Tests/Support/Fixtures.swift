// Where do tests find their files, and where may they write? Paths come from the place of this source file, not from the environment:
// `Fixtures` inside the package always, `shared/fixtures` beside or above it only on machines that have it.

import Foundation

public enum Fixtures {
  /// The root of the package.
  public static var root: String { packageRoot.path }

  static let packageRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The path of `name` under Tests/Fixtures, or nil when it is not there.
  public static func own(_ name: String) -> String? {
    existing(packageRoot.appendingPathComponent("Tests/Fixtures/\(name)").path)
  }

  /// The path of `name` under the nearest `shared/fixtures` of this package's parents, or nil where there is none.
  public static func shared(_ name: String) -> String? {
    var directory = packageRoot
    while directory.path != "/" {
      directory.deleteLastPathComponent()
      if let found = existing(directory.appendingPathComponent("shared/fixtures/\(name)").path) { return found }
    }
    return nil
  }

  /// Our own copy of `name`, else the shared one.
  public static func any(_ name: String) -> String? { own(name) ?? shared(name) }

  private static func existing(_ path: String) -> String? {
    FileManager.default.fileExists(atPath: path) ? path : nil
  }
}

/// A directory of its own for one test, removed when it goes out of use.
public final class TemporaryDirectory: Sendable {
  public let path: String

  public init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("moetop-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  public func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes `bytes` to the file called `name` and returns its path.
  @discardableResult
  public func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }
}

/// Random numbers that are the same in every run of a test (SplitMix64).
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
