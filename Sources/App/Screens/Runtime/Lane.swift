// How does work that must not overtake itself use a background that knows no order? One piece is out at a time; the others wait.

import Foundation
import Routing

/// Pieces of work done one after the other, in the order in which they were given.
final class Lane: Sendable {
  typealias Work = @Sendable () -> Void

  private struct State: Sendable {
    var waiting: [Work] = []
    var isBusy = false
  }

  private let state = Locked(State())

  /// Does `work` after everything given before it.
  ///
  /// - Parameter background: runs what it is given once, at any time, now included.
  func run(on background: (@escaping Work) -> Void, _ work: @escaping Work) {
    let begins = state.withLock { state in
      state.waiting.append(work)
      defer { state.isBusy = true }
      return !state.isBusy
    }
    if begins { background { self.drain() } }
  }

  private func drain() {
    while let work = next() { work() }
  }

  /// Does what waits here and now, and comes back when nothing is under way any more; after ten seconds anyway.
  func finish() {
    for _ in 0..<1000 {
      if let work = state.withLock({ $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }) { work() }
      if state.withLock({ $0.waiting.isEmpty && !$0.isBusy }) { return }
      usleep(10_000)
    }
  }

  private func next() -> Work? {
    state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.isBusy = false
        return nil
      }
      return state.waiting.removeFirst()
    }
  }
}
