// How a run ends, and who is writing it: what a later reader needs to tell a run that goes on from one whose process is gone.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// How a run ended, said by the one who ran it.
public enum RunOutcome: Sendable, Equatable {
  case completed
  /// By the user, before its end.
  case stopped
  case failed(reason: String)

  var state: String {
    switch self {
    case .completed: "completed"
    case .stopped: "stopped"
    case .failed: "failed"
    }
  }

  var reason: String? {
    if case .failed(let reason) = self { return reason }
    return nil
  }
}

/// A process, as far as another process can recognise it.
public struct ProcessIdentity: Sendable, Equatable {
  public var id: Int32
  public var host: String

  public init(id: Int32, host: String) {
    self.id = id
    self.host = host
  }

  public static var current: ProcessIdentity {
    var name = [CChar](repeating: 0, count: 256)
    let known = gethostname(&name, name.count - 1) == 0
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return ProcessIdentity(id: getpid(), host: known ? String(decoding: bytes, as: UTF8.self) : "")
  }

  /// Whether such a process lives now; nil when it is on another machine.
  public var isAlive: Bool? {
    if host != Self.current.host || id <= 0 { return nil }
    return kill(id, 0) == 0 || errno == EPERM
  }
}
