// What does the real program make of a damaged script, or of damaged filter strings? Each damage is one process of `moetop ui --script`,
// which ends by itself with a documented code and words of its own.

import Foundation
import Support

/// A session that was refused.
struct SessionRefusal: Error, CustomStringConvertible {
  var description: String
}

enum Sessions {
  /// Codes a damaged script may end with: steps that were not done, wrong usage, and what an action or a file it names can meet.
  private static let refusals: Set<Int32> = [1, 64, 65, 66, 69, 73, 74, 77]
  /// Own codes of the sanitizers, so that none of theirs looks like one of ours.
  private static let environment = ["ASAN_OPTIONS": "detect_leaks=0:exitcode=99", "UBSAN_OPTIONS": "exitcode=99"]

  /// Plays a script over a trace or a model, in a folder where what it writes does no harm.
  ///
  /// - Throws: `SessionRefusal` when the program refuses it, `Failure` when it ends in any other way.
  static func play(_ script: String, over target: String, in folder: String) throws {
    let process = Binary.start(["ui", target, "--script", script, "--no-record", "--data-dir", folder], environment: environment)
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    let errors = Pipe()
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let status = process.terminationStatus
    guard process.terminationReason == .exit, status == 0 || refusals.contains(status) else {
      throw Failure(text: "the session ended with \(process.terminationReason == .exit ? "status" : "signal") \(status): \(words)")
    }
    if status != 0 { throw SessionRefusal(description: words) }
  }

  /// A script that sets each line of a file as the filter of a screen and draws it.
  static func script(ofFilters path: String) throws -> String {
    let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    let lines = text.split(whereSeparator: { $0.isNewline }).map { "do filter \($0)\nwait 1 seconds\n" }
    return "key 3\n" + lines.joined() + "dump filtered.txt\n"
  }
}
