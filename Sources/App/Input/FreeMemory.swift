// How much memory may this process still take? The machine's, or less where it was given less: by its control group (systemd's MemoryMax, a
// container) or by a limit of its own (`ulimit -v`). A model that needs more is read from disk again and again; a text that needs more is
// refused before an allocation fails, which nothing can answer.

import Foundation

enum FreeMemory {
  /// Bytes that can be taken without pushing others out: what Linux calls available, at most what is left of every limit; elsewhere all
  /// there is.
  static var bytes: Int { max(0, ([ofMachine, ownLimits] + ofControlGroups).min() ?? 0) }

  private static var ofMachine: Int {
    if let table = contents("/proc/meminfo") {
      for line in table.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
        if let kilobytes = number(line.split(separator: " ").dropFirst().first) { return kilobytes * 1024 }
      }
    }
    return Int(clamping: ProcessInfo.processInfo.physicalMemory)
  }

  // MARK: Limits of the process

  /// What `ulimit -v` and `ulimit -d` leave: their limits less what is mapped already.
  private static var ownLimits: Int {
    guard let pages = contents("/proc/self/statm")?.split(separator: " ").map({ Int($0) ?? 0 }), pages.count > 5 else { return .max }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    #if canImport(Glibc)
      let (space, data) = (Int32(RLIMIT_AS.rawValue), Int32(RLIMIT_DATA.rawValue))
    #else
      let (space, data) = (RLIMIT_AS, RLIMIT_DATA)
    #endif
    return min(left(space, used: pages[0] * page), left(data, used: pages[5] * page))
  }

  private static func left(_ resource: Int32, used: Int) -> Int {
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, let most = Int(exactly: limit.rlim_cur) else { return .max }
    return most - used
  }

  // MARK: Limits of its groups

  /// What the limits of its control groups leave, one number for each group that has one. Pages of files are given back when needed and do
  /// not count as taken.
  private static var ofControlGroups: [Int] {
    (contents("/proc/self/cgroup") ?? "").split(separator: "\n").flatMap { line -> [Int] in
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { return [] }
      if parts[1].isEmpty { return left(in: "/sys/fs/cgroup", group: parts[2], limit: "memory.max", used: "memory.current", files: "") }
      guard parts[1].split(separator: ",").contains("memory") else { return [] }
      return left(
        in: "/sys/fs/cgroup/memory", group: parts[2], limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", files: "total_")
    }
  }

  /// Of a group and of all above it, as far as they can be seen from here.
  private static func left(in root: String, group: Substring, limit: String, used: String, files: String) -> [Int] {
    var path = String(group)
    var found: [Int] = []
    while true {
      let folder = root + (path == "/" ? "" : path)
      if let most = number(contents("\(folder)/\(limit)")), let taken = number(contents("\(folder)/\(used)")) {
        let kept = (contents("\(folder)/memory.stat") ?? "").split(separator: "\n").reduce(0) { sum, line in
          let words = line.split(separator: " ")
          return ["\(files)active_file", "\(files)inactive_file"].contains(words.first ?? "") ? sum + (number(words.last) ?? 0) : sum
        }
        found.append(most - taken + kept)
      }
      guard path.count > 1, path.hasPrefix("/") else { return found }
      path = (path as NSString).deletingLastPathComponent
    }
  }

  private static func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

  /// Nil for what is no number, as the word for no limit.
  private static func number(_ text: (some StringProtocol)?) -> Int? {
    text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }

  // MARK: -

  /// What to tell about a model that does not fit; nil when it does.
  static func warning(weightBytes: Int, activeBytes: Int, free: Int = bytes) -> String? {
    guard weightBytes > free else { return nil }
    return
      "warning: the weights take \(Show.bytes(weightBytes)), \(Show.bytes(free)) of memory are free: they are read from disk as needed,"
      + " up to \(Show.bytes(activeBytes)) a token\n"
  }
}
