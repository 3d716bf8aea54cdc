// Where do a person's files of moetop lie? A pure function of the environment, as the XDG base directory specification has it: a relative
// folder in one of its variables counts as none.

import Foundation
import Store

struct Places: Sendable {
  /// The configuration file, there or not.
  let config: String
  /// Whether it was named, and so has to be there.
  let isConfigNamed: Bool
  /// Traces, and tables that do not come with the program.
  let data: String
  /// What sessions leave for the next.
  let state: String

  init(environment: [String: String], home: String) {
    func folder(_ variable: String, _ usual: String) -> String {
      let base = environment[variable].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? Self.joined(home, usual)
      return Self.joined(base, "moetop")
    }
    let named = environment["MOETOP_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
    config = named ?? Self.joined(folder("XDG_CONFIG_HOME", ".config"), "config")
    isConfigNamed = named != nil
    data = TraceLocation.dataDirectory(environment: environment, home: home)
    state = folder("XDG_STATE_HOME", ".local/state")
  }

  static var ofUser: Places { Places(environment: ProcessInfo.processInfo.environment, home: home) }

  /// As a shell has it: what HOME says, else what the system knows of the user.
  static var home: String {
    ProcessInfo.processInfo.environment["HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? NSHomeDirectory()
  }

  /// What files of weights were found to hold, below a folder of data.
  static func hashes(inData folder: String) -> String { joined(folder, "hashes") }

  /// `~` and `~/…` begin at home, as a shell has it.
  static func expanded(_ path: String) -> String {
    path == "~" || path.hasPrefix("~/") ? home + path.dropFirst() : path
  }

  private static func joined(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }
}
