// Where does what came with the program lie? `make install` puts it below share/ beside bin/; a program that was built in a checkout has it
// there, some folders above itself.

import Formats
import Foundation

enum InstalledFiles {
  /// The first place where a folder or file of the program is.
  ///
  /// - Parameters:
  ///   - installed: below share/.
  ///   - checkout: below the folder of the sources.
  ///   - probe: what has to be in it; empty where it is a file.
  static func path(installed: String, checkout: String, holding probe: String = "") -> String? {
    let executable = Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments.first ?? "")
    let program = executable.resolvingSymlinksInPath().deletingLastPathComponent()
    let above = sequence(first: program) { $0.path == "/" ? nil : $0.deletingLastPathComponent() }.prefix(5)
    let share = program.deletingLastPathComponent().appendingPathComponent("share/" + installed)
    let places = [share] + above.map { $0.appendingPathComponent(checkout) }
    return places.map(\.path).first { FileStatus.exists(probe.isEmpty ? $0 : $0 + "/" + probe) }
  }
}
