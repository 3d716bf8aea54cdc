// What several threads share, behind a lock that tools can see: the thread sanitizer knows POSIX mutexes, and takes what a contended
// `Synchronization.Mutex` guards for a race, because on Linux the kernel hands that one over.

import Foundation

/// A value that one thread at a time may touch.
///
/// `@unchecked Sendable`: `value` is reached in `withLock` only.
public final class Locked<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value

  public init(_ value: sending Value) { self.value = value }

  /// - Precondition: `body` does not come back to this lock.
  public func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> sending Result) throws(Failure) -> sending Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}
