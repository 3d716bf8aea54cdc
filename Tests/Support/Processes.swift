// Which process is it that draws on a test's terminal? Asked of the system itself: a machine that has nothing has no pgrep either.

import Foundation

public enum Processes {
  /// The process of `moetop ui` one of whose arguments names `path`; nil when there is none.
  public static func ofScreens(naming path: String) throws -> Int32? {
    #if os(Linux)
      for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
        guard let id = Int32(name), let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") else { continue }
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        if words.count > 2, words[0].hasSuffix("moetop"), words[1] == "ui", words.contains(where: { $0.contains(path) }) { return id }
      }
      return nil
    #else
      let find = Process()
      let output = Pipe()
      find.executableURL = URL(fileURLWithPath: "/usr/bin/pgrep")
      find.arguments = ["-f", "^[^ ]*moetop ui .*\(path)"]
      find.standardOutput = output
      try find.run()
      find.waitUntilExit()
      return String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n").first.flatMap {
        Int32($0)
      }
    #endif
  }
}
