// Who is this model, exactly? A run says it by the hash of its files, which takes a while for a large model: it is found on a thread of
// its own while the model runs, and the run is revised when it is known.

import Dispatch
import Model
import Routing
import Synchronization

final class IdentityHashing: Sendable {
  private let work = DispatchGroup()
  private let bytes = Atomic<Int>(0)

  /// Bytes read so far.
  var bytesRead: Int { bytes.load(ordering: .relaxed) }

  /// Begins to read the model's files.
  ///
  /// - Parameter found: called on another thread. A file that can no longer be read leaves the hash unknown, which the run says.
  func begin(_ model: any IdentifiedModel, found: @escaping @Sendable (ModelIdentity) -> Void) {
    DispatchQueue.global(qos: .utility).async(group: work) { [self] in
      guard let identity = try? model.hashedIdentity(progress: { self.bytes.add($0, ordering: .relaxed) }) else { return }
      found(identity)
    }
  }

  /// Waits so long at most; false when there is more to read.
  func wait(seconds: Double) -> Bool { work.wait(timeout: .now() + seconds) == .success }
}
