// What remains of a file that was half written when a signal ends the process? Nothing: names of temporary files stand in a table that a
// handler may walk, with atomic operations and `unlink` alone. Where the program handles a signal itself, it calls `removeAll`.

import Synchronization

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Names of files that must not outlive the process.
enum TemporaryFiles {
  private typealias Slot = Atomic<UnsafeMutablePointer<CChar>?>

  private static let capacity = 64

  /// `[capacity]`; a name belongs to whoever takes it out of its slot. Never freed.
  nonisolated(unsafe) private static let slots: UnsafeMutablePointer<Slot> = {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    for index in 0..<capacity { (slots + index).initialize(to: Slot(nil)) }
    return slots
  }()

  /// Notes `path`; without a free slot the file is only removed by its owner.
  static func add(_ path: String) {
    _ = isListening
    guard let name = strdup(path) else { return }
    for index in 0..<capacity where slots[index].compareExchange(expected: nil, desired: name, ordering: .sequentiallyConsistent).exchanged
    {
      return
    }
    free(name)
  }

  /// Forgets `path`: it has another name now, or is removed.
  static func remove(_ path: String) {
    for index in 0..<capacity {
      guard let name = slots[index].load(ordering: .sequentiallyConsistent), strcmp(name, path) == 0,
        slots[index].compareExchange(expected: name, desired: nil, ordering: .sequentiallyConsistent).exchanged
      else { continue }
      free(name)
      return
    }
  }

  /// Removes all files that are noted. Safe in a signal handler, once a file was noted.
  static func removeAll() {
    for index in 0..<capacity {
      if let name = slots[index].exchange(nil, ordering: .sequentiallyConsistent) { unlink(name) }
    }
  }

  /// Listens to the signals that end a process, as far as nobody does yet, and to its end.
  private static let isListening: Bool = {
    _ = slots
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var before = sigaction()
      guard sigaction(number, nil, &before) == 0, handler(of: before) == nil else { continue }
      var action = sigaction()
      setHandler(&action) { number in
        TemporaryFiles.removeAll()
        // The signal waits until this returns, and then does what it did before.
        signal(number, SIG_DFL)
        raise(number)
      }
      sigaction(number, &action, nil)
    }
    atexit { TemporaryFiles.removeAll() }
    return true
  }()

  private typealias Handler = @convention(c) (Int32) -> Void

  /// nil: the signal's default.
  private static func handler(of action: sigaction) -> Handler? {
    #if canImport(Darwin)
      action.__sigaction_u.__sa_handler
    #elseif canImport(Glibc)
      action.__sigaction_handler.sa_handler
    #else
      action.__sa_handler.sa_handler
    #endif
  }

  private static func setHandler(_ action: inout sigaction, _ handler: @escaping Handler) {
    #if canImport(Darwin)
      action.__sigaction_u.__sa_handler = handler
    #elseif canImport(Glibc)
      action.__sigaction_handler.sa_handler = handler
    #else
      action.__sa_handler.sa_handler = handler
    #endif
  }
}
