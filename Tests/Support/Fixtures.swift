// Where do tests find their files, and where may they write? Everything a test needs lies in Tests/Fixtures, found from the place of this
// source file. MOETOP_SHARED may name a folder with more reference models, laid out alike: tests of those are skipped by name without it,
// so that no test passes for want of a file.

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

  /// The folder of further reference models; nil where MOETOP_SHARED names none.
  public static let sharedRoot: String? = ProcessInfo.processInfo.environment["MOETOP_SHARED"].flatMap { $0.isEmpty ? nil : $0 }

  /// Why a test of those models is skipped.
  public static let needsShared = "MOETOP_SHARED names no folder of further reference models"

  /// The path of `name` in that folder, or nil.
  public static func shared(_ name: String) -> String? { sharedRoot.flatMap { existing("\($0)/\(name)") } }

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
