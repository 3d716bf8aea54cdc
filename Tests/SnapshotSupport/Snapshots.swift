// Compares a text with the one kept under Tests/Snapshots. A missing snapshot, or RECORD_SNAPSHOTS=1, writes it and fails,
// so that no picture is ever accepted silently. Failures show both screens with the differing cells marked.

import Foundation
import Testing

/// - Parameter name: path below Tests/Snapshots, such as `Terminal/heatmap-80x24`.
public func expectSnapshot(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
  let file = snapshotFolder.appendingPathComponent(name + ".txt")
  let recorded = try? String(contentsOf: file, encoding: .utf8)
  guard let recorded, ProcessInfo.processInfo.environment["RECORD_SNAPSHOTS"] != "1" else {
    do {
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
      Issue.record("recorded \(name); look at it, then run again", sourceLocation: sourceLocation)
    } catch {
      Issue.record("cannot record \(name): \(error)", sourceLocation: sourceLocation)
    }
    return
  }
  if recorded != text {
    Issue.record("\(name) differs\n\(markedDifference(expected: recorded, got: text))", sourceLocation: sourceLocation)
  }
}

/// Both texts, each differing line followed by a line of `^` below the differing characters.
public func markedDifference(expected: String, got: String) -> String {
  let old = expected.split(separator: "\n", omittingEmptySubsequences: false).map { Array($0) }
  let new = got.split(separator: "\n", omittingEmptySubsequences: false).map { Array($0) }
  func side(_ title: String, _ mine: [[Character]], _ other: [[Character]]) -> String {
    var text = "--- \(title)\n"
    for (index, line) in mine.enumerated() {
      text += String(line) + "\n"
      let against = index < other.count ? other[index] : []
      guard line != against else { continue }
      text +=
        String(
          (0..<max(line.count, against.count)).map { at in
            at < line.count && at < against.count && line[at] == against[at] ? " " : "^"
          }) + "\n"
    }
    return text
  }
  return side("expected", old, new) + side("got", new, old)
}

/// Tests/Snapshots of this checkout.
private let snapshotFolder = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Snapshots")
