// ^C and its relatives while a run is going: the first asks the run to stop between two steps of a pass, so that the trace is whole; a
// second one ends the process at once, and so does ^\: what was committed is kept.

import Formats
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The signal that asked this process to stop, if one did.
enum Interruption {
  private static let received = Atomic<Int32>(0)

  /// Begins to listen to SIGINT, SIGTERM and, unless nohup had it ignored, SIGHUP.
  ///
  /// A shell starts the background jobs of a script with ^C and ^\ ignored; whoever sends these to us by name means us.
  static func listen() {
    // Makes the table that the handler walks: a handler may not.
    OutputFile.removeTemporaries()
    signalDefault(SIGQUIT)
    for number in [SIGINT, SIGTERM, SIGHUP] where number != SIGHUP || !isIgnored(number) {
      var action = sigaction()
      withUnsafeMutablePointer(to: &action) { pointer in
        setHandler(pointer) { number in
          guard Interruption.received.exchange(number, ordering: .relaxed) != 0 else { return }
          OutputFile.removeTemporaries()
          _exit(128 + number)
        }
      }
      sigaction(number, &action, nil)
    }
  }

  static var signal: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// The exit code the signal asks for.
  static var status: ExitStatus? {
    switch signal {
    case SIGINT: .interrupted
    case SIGTERM: .terminated
    case SIGHUP: .hangUp
    default: nil
    }
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    sigaction(number, nil, &action)
    #if canImport(Darwin)
      let handler = action.__sigaction_u.__sa_handler
    #else
      let handler = action.__sigaction_handler.sa_handler
    #endif
    return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  private static func setHandler(_ action: UnsafeMutablePointer<sigaction>, _ handler: @escaping @convention(c) (Int32) -> Void) {
    #if canImport(Darwin)
      action.pointee.__sigaction_u.__sa_handler = handler
    #else
      action.pointee.__sigaction_handler.sa_handler = handler
    #endif
  }
}

/// `Interruption.signal` hides the system's.
private func signalDefault(_ number: Int32) { signal(number, SIG_DFL) }
