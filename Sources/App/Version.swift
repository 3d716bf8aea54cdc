// What this build is and what it talks to: for `--version`, `doctor` and bug reports.

import CBuild
import CPng
import Formats
import Model
import Store
import Terminal

enum Version {
  static let number = "0.1.0"

  /// The commit, where the build was told (`make` does, a plain `swift build` does not).
  static var commit: String? { moetop_commit().map { String(cString: $0) } }

  static var commitText: String { "commit \(commit ?? "not known: built without make")" }

  /// Libraries of the system that this process has loaded, by their own words.
  static var libraries: [(name: String, version: String)] {
    [
      ("sqlite", TraceLibrary.version), ("ncurses", TerminalLibrary.version), ("pcre2", Engine.patternLibraryVersion),
      ("crypto", HashLibrary.version), ("png", String(cString: moetop_png_version())),
    ]
  }

  /// A few lines for `--version`: version and commit, instruction set, libraries.
  static var summary: String {
    """
    moetop \(number) (\(commitText))
    kernels \(Engine.simdLevel)
    \(libraries.map { "\($0.name) \($0.version)" }.joined(separator: ", "))
    """
  }
}
