// Who is this model, exactly? A run says it by the hash of its files, which takes a while for a large model: it is found on a thread of
// its own that gives way to the engine's, and by whoever waits for it at the end; the run is revised when it is known.

import Dispatch
import Formats
import Foundation
import Model
import Routing
import Synchronization

final class IdentityHashing: Sendable {
  private struct Work {
    let hashing: ModelHashing
    let found: @Sendable (ModelIdentity) -> Void
  }
  private enum Step {
    case more, nothing
    case last(Work)
  }
  /// nil: there is nothing to read.
  private let work = Locked<Work?>(nil)
  private let isOver = Atomic<Bool>(true)
  private let bytes = Atomic<Int>(0)

  /// Bytes read so far.
  var bytesRead: Int { bytes.load(ordering: .relaxed) }

  /// Begins to read the model's files.
  ///
  /// - Parameter found: called on the thread that finds it. A file that can no longer be read leaves the hash unknown, which the run says.
  func begin(_ model: any IdentifiedModel, known: KnownHashes?, found: @escaping @Sendable (ModelIdentity) -> Void) {
    isOver.store(false, ordering: .releasing)
    work.withLock { $0 = Work(hashing: model.hashing(known: known), found: found) }
    Thread.detachNewThread { [self] in
      ThreadPriority.giveWay()
      while !step() {}
    }
  }

  /// Helps for so long at most; false when there is more to do.
  func proceed(seconds: Double) -> Bool {
    let end = DispatchTime.now() + seconds
    while true {
      // Where another thread has found it, that one still has to tell.
      if step(), isOver.load(ordering: .acquiring) { return true }
      if DispatchTime.now() > end { return false }
    }
  }

  /// Takes in a block, on whatever thread; true when nothing is left.
  private func step() -> Bool {
    switch next() {
    case .more: return false
    case .nothing:
      if !isOver.load(ordering: .acquiring) { usleep(1000) }
    case .last(let work):
      // Not under the lock: whoever hears of it may take its time.
      if let identity = work.hashing.identity { work.found(identity) }
      isOver.store(true, ordering: .releasing)
    }
    return true
  }

  private func next() -> Step {
    work.withLock { work in
      guard let current = work else { return .nothing }
      if let count = try? current.hashing.advance() {
        bytes.add(count, ordering: .relaxed)
        return .more
      }
      work = nil
      return .last(current)
    }
  }
}
