// How much memory a model may use before its weights have to be read from disk again and again.

import Foundation

enum FreeMemory {
  /// Bytes that can be taken without pushing others out: what Linux calls available; elsewhere all there is.
  static var bytes: Int {
    if let table = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) {
      for line in table.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
        if let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) { return kilobytes * 1024 }
      }
    }
    return Int(clamping: ProcessInfo.processInfo.physicalMemory)
  }

  /// What to tell about a model that does not fit; nil when it does.
  static func warning(weightBytes: Int, activeBytes: Int, free: Int = bytes) -> String? {
    guard weightBytes > free else { return nil }
    return
      "warning: the weights take \(Show.bytes(weightBytes)), \(Show.bytes(free)) of memory are free: they are read from disk as needed,"
      + " up to \(Show.bytes(activeBytes)) a token\n"
  }
}
