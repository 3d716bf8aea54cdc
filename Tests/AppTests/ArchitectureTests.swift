// The arrows between rooms, read off the imports: a room that begins to know too much fails here.

import Foundation
import Testing

struct ArchitectureTests {
  /// What each room may import of ours and from packages.
  private static let allowed: [String: Set<String>] = [
    "Routing": [],
    "Formats": ["CChecksum", "CCrypto", "CMapGuard", "CZlib"],
    "Model": ["CKernels", "CPCRE2", "Routing", "Formats"],
    "Analysis": ["Routing"],
    "Store": ["Routing", "Formats", "GRDB", "GRDBSQLite"],
    "Terminal": ["CNcurses", "CExitGuard"],
    "App": ["Model", "Analysis", "Store", "Terminal", "Routing", "Formats", "CBuild", "CPng", "ArgumentParser"],
  ]

  /// Modules of the system, free for all.
  private static let system: Set<String> = ["Foundation", "Glibc", "Musl", "Darwin", "Synchronization", "Dispatch", "CommonCrypto"]

  private static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Sources")

  private func files(of room: String) throws -> [(name: String, lines: [Substring])] {
    let folder = Self.sources.appendingPathComponent(room)
    let paths = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
    return try paths.filter { $0.pathExtension == "swift" }.map {
      ($0.lastPathComponent, try String(contentsOf: $0, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false))
    }
  }

  @Test(arguments: allowed.keys.sorted())
  func importsOnlyWhatItMay(_ room: String) throws {
    let may = try #require(Self.allowed[room]).union(Self.system)
    let files = try files(of: room)
    #expect(!files.isEmpty)
    for file in files {
      for line in file.lines {
        let words = line.split(separator: " ")
        guard let index = words.firstIndex(of: "import"), words.count > index + 1,
          index == 0 || index == 1 && (words[0].hasPrefix("@") || ["public", "package", "internal", "private"].contains(words[0]))
        else { continue }
        let module = words[index + 1] == "struct" || words[index + 1] == "func" ? words[index + 2] : words[index + 1]
        #expect(may.contains(String(module.split(separator: ".")[0])), "\(room)/\(file.name): \(line)")
      }
    }
  }

  @Test(arguments: allowed.keys.sorted())
  func neitherTrapsNorForces(_ room: String) throws {
    for file in try files(of: room) {
      for (number, line) in file.lines.enumerated() where !line.drop(while: { $0 == " " }).hasPrefix("//") {
        #expect(!line.contains("fatalError(") && !line.contains("try!"), "\(room)/\(file.name):\(number + 1)")
      }
    }
  }
}
