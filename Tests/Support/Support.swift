// Shared helpers of the test targets: where fixtures lie.

import Foundation

public enum Fixtures {
  /// The root of the package, found from this file's place in it.
  public static let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// A file of `Tests/Fixtures`.
  public static func url(_ path: String) -> URL {
    packageRoot.appendingPathComponent("Tests/Fixtures").appendingPathComponent(path)
  }

  /// A file of the reference collection beside the checkout (`../shared/fixtures`), or nil where that is absent.
  public static func reference(_ path: String) -> URL? {
    let url = packageRoot.deletingLastPathComponent().appendingPathComponent("shared/fixtures").appendingPathComponent(path)
    return FileManager.default.fileExists(atPath: url.path) ? url : nil
  }
}
