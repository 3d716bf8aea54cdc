// How does a user name a run? `FILE.db`, `FILE.db#12`, an id or a name in the default trace, or `latest`. Parsing is pure: the default
// trace and the question whether a file exists are handed in.

/// One run among those of a trace.
public enum RunSelector: Hashable, Sendable, CustomStringConvertible {
  /// The run that was begun last.
  case latest
  case id(Int64)
  /// The last run of that name.
  case name(String)

  public var description: String {
    switch self {
    case .latest: "latest"
    case .id(let id): String(id)
    case .name(let name): name
    }
  }

  /// Reads what may stand after `#`, or alone: `latest`, an id, or a name.
  public init?(_ text: String) {
    if text.isEmpty { return nil }
    if text == "latest" {
      self = .latest
    } else if text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      guard let id = Int64(text) else { return nil }
      self = .id(id)
    } else {
      self = .name(text)
    }
  }
}

/// Names that a user may give to a run: those that select it again.
public enum RunName {
  /// - Throws: `StoreError.badName`.
  public static func check(_ name: String) throws {
    if let problem = problem(name) { throw StoreError.badName(name: name, problem: problem) }
  }

  static func isPossible(_ name: String) -> Bool { problem(name) == nil }

  /// Why a run cannot be called so; nil when it can.
  private static func problem(_ name: String) -> String? {
    if name.allSatisfy(\.isWhitespace) { return "it is empty" }
    if name == "latest" { return "latest is the run that was begun last" }
    if name.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return "a number is the id of a run" }
    if name.contains("#") { return "# stands between a file and its run" }
    if name.utf8.contains(0) { return "it holds a NUL, at which a database ends a text" }
    if name.contains("/") || name.hasSuffix(".db") { return "it would be taken for a file" }
    return nil
  }
}

/// A trace file and a run in it, as the user named them.
public struct TraceReference: Hashable, Sendable, CustomStringConvertible {
  public var file: String
  public var run: RunSelector
  /// Whether the user named a run, or takes the last one because none was named.
  public var namesRun: Bool

  public init(file: String, run: RunSelector = .latest, namesRun: Bool = true) {
    self.file = file
    self.run = run
    self.namesRun = namesRun
  }

  public var description: String { namesRun ? "\(file)#\(run)" : file }

  /// Reads `FILE`, `FILE#RUN`, an id, a name or `latest`.
  ///
  /// A text is a file when it exists as one, contains a `/`, or ends in `.db`; everything else is looked up in `defaultTrace`.
  /// - Throws: `StoreError.badSelector`.
  public init(parsing text: String, defaultTrace: String, fileExists: (String) -> Bool) throws {
    if text.isEmpty { throw StoreError.badSelector(text: text, problem: "it is empty") }
    if fileExists(text) {
      self.init(file: text, namesRun: false)
      return
    }
    if let hash = text.lastIndex(of: "#") {
      let run = String(text[text.index(after: hash)...])
      guard let selector = RunSelector(run) else {
        throw StoreError.badSelector(text: text, problem: run.isEmpty ? "nothing follows the #" : "the run number is too large")
      }
      self.init(file: hash == text.startIndex ? defaultTrace : String(text[..<hash]), run: selector)
    } else if text.contains("/") || text.hasSuffix(".db") {
      self.init(file: text, namesRun: false)
    } else if let selector = RunSelector(text) {
      self.init(file: defaultTrace, run: selector)
    } else {
      throw StoreError.badSelector(text: text, problem: "the run number is too large")
    }
  }
}
