// Are there colours of 24 bits? Through terminfo only: the terminal announces them in COLORTERM, and there is an entry for it that counts them.
// Pure; which entries there are is told by the caller.

import CNcurses

/// Whether an entry with colours of 24 bits is opened.
public enum DirectColorChoice: String, Hashable, Sendable, CaseIterable {
  /// Where the terminal announces such colours.
  case auto
  /// Announced or not.
  case on
  case off
}

/// Which terminfo entry a terminal is opened by, and why.
public struct DirectColorPlan: Hashable, Sendable {
  public let term: String
  public let isDirect: Bool
  /// For `moetop doctor`.
  public let reason: String
  /// Entries that would have served, where there is none of them.
  public let missing: [String]

  /// - Parameters:
  ///   - color: what was said of colours at all.
  ///   - colors: how many colours an entry has; nil where there is no such entry.
  public init(choice: DirectColorChoice, color: ColorChoice?, environment: [String: String], colors: (String) -> Int?) {
    let term = environment["TERM"] ?? ""
    let announced = environment["COLORTERM"] ?? ""
    let isAnnounced = announced == "truecolor" || announced == "24bit"
    var found: String?
    var missing: [String] = []
    if choice == .off || color == .never {
      reason = choice == .off ? "truecolor is off" : "there are to be no colours"
    } else if (colors(term) ?? 0) > 256 {
      (found, reason) = (term, "TERM names such an entry")
    } else if !isAnnounced, choice == .auto {
      reason = announced.isEmpty ? "COLORTERM is not set" : "COLORTERM says \(announced), not truecolor or 24bit"
    } else {
      let names = DirectColorPlan.entries(of: term)
      found = names.first { (colors($0) ?? 0) > 256 }
      let who = isAnnounced ? "COLORTERM says \(announced)" : "truecolor is on"
      if let found {
        reason = "\(who), and there is an entry \(found)"
      } else {
        missing = names
        reason = "\(who), but terminfo has no entry \(names.joined(separator: " or "))"
      }
    }
    self.term = found ?? term
    self.missing = missing
    isDirect = found != nil
  }

  /// Entries that could say the same of a terminal with more colours, the nearest first. That of xterm serves for what calls itself xterm;
  /// the keys of others are their own.
  static func entries(of term: String) -> [String] {
    let suffix = ["-256color", "-16color"].first { term.hasSuffix($0) } ?? ""
    let stem = String(term.dropLast(suffix.count))
    let names = [term + "-direct", stem + "-direct"] + (term.hasPrefix("xterm") ? ["xterm-direct"] : [])
    return names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}

/// What is in the system's terminfo.
public enum TerminfoEntry {
  /// Colours of an entry; nil where there is none of that name. Not while a terminal is open.
  public static func colors(_ name: String) -> Int? {
    let count = name.isEmpty ? -1 : moetop_entry_colors(name)
    return count < 0 ? nil : Int(count)
  }
}
