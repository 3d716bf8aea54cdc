// A recording that lasts: long enough to be met while it is going on.

import Foundation

public enum LongTrace {
  /// Token ids for `--tokens`, of the tiny models: `count` texts of 60 tokens.
  public static func tokens(_ count: Int, in folder: TemporaryDirectory) throws -> String {
    let ids = "[" + (0..<60).map { String($0 * 7 % 60 + 3) }.joined(separator: ",") + "]"
    let text = "{\"sequences\": [\(Array(repeating: ids, count: count).joined(separator: ","))]}"
    return try folder.write(Array(text.utf8), to: "long.json")
  }

  /// Looks every few milliseconds until `condition` holds; false when it does not within `seconds`.
  public static func wait(seconds: Double = 60, until condition: () -> Bool) -> Bool {
    let deadline = Date().addingTimeInterval(seconds)
    while Date() < deadline {
      if condition() { return true }
      Thread.sleep(forTimeInterval: 0.005)
    }
    return condition()
  }
}
