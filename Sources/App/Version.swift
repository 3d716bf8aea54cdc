// What this build is.

import Model

enum Version {
  static let number = "0.1.0"

  /// One line for `--version`.
  static var summary: String { "moetop \(number) (\(Engine.simdLevel))" }
}
