// Where do traces live when the user does not say? A pure function of the environment, so that tests and `--data-dir` can ask too. And which
// files is a trace, once it is somewhere?

import Formats

/// The default data directory and trace file.
public enum TraceLocation {
  public enum Platform: Sendable {
    case linux, macOS

    public static var current: Platform {
      #if os(macOS)
        .macOS
      #else
        .linux
      #endif
    }
  }

  /// Directory of moetop's data: `$XDG_DATA_HOME/moetop`, else the platform's place below `home`.
  ///
  /// A relative `XDG_DATA_HOME` is ignored, as the XDG base directory specification demands.
  public static func dataDirectory(environment: [String: String], home: String, platform: Platform = .current) -> String {
    if let base = environment["XDG_DATA_HOME"], base.hasPrefix("/") { return joined(base, "moetop") }
    switch platform {
    case .linux: return joined(home, ".local/share/moetop")
    case .macOS: return joined(home, "Library/Application Support/moetop")
    }
  }

  /// The trace file in a data directory.
  public static func traceFile(inDataDirectory directory: String) -> String { joined(directory, "traces.db") }

  /// The trace with the files that SQLite keeps beside it, there or not: it names them after what the links lead to.
  public static func files(of trace: String) -> [String] {
    [trace] + ["-wal", "-shm", "-journal"].map { OutputFile.target(of: trace) + $0 }
  }

  private static func joined(_ directory: String, _ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : directory + "/" + name
  }
}
