// Who makes a trace, or brings an older one up to date? One process at a time: a reader that meets a half-made trace would run the steps
// that its writer is about to run. The lock is on the folder, because closing the trace itself would give up SQLite's locks on it.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Held from its making until `release`; the system gives it up for a process that ends.
struct FolderLock {
  private let descriptor: Int32

  /// Waits for whoever holds it. Where the file system has no such locks there is none.
  init(of path: String) {
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    if descriptor >= 0 { while flock(descriptor, LOCK_EX) != 0 && errno == EINTR {} }
  }

  func release() { if descriptor >= 0 { close(descriptor) } }
}
