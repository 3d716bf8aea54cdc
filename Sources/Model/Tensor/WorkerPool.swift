// The threads of a forward pass. One pool lives as long as its model; a layer forks and joins several times a token,
// so a fork costs about a microsecond: workers spin for a while before they sleep, chunks come from one atomic ticket,
// and the caller works too. Nothing here decides what a number is: chunks are disjoint parts of an output, so results
// do not depend on the number of threads or on who takes which chunk.

import CKernels
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A persistent pool of threads that share the chunks of one job at a time.
///
/// - Invariant: `run` is called from one thread at a time and never from inside a chunk; both are checked.
/// - Note: `@unchecked Sendable`: every shared field is atomic, written only while no chunk is outstanding, or
///   guarded by the mutex; see `Shared`.
public final class WorkerPool: @unchecked Sendable {
  /// Threads that work, the caller of `run` included.
  public let threadCount: Int
  /// How products add up, until it is set anew; not while `run` runs.
  var sums = ProductSums.tiles
  private let shared: Shared
  private var threads: [pthread_t] = []
  private var scratch: [UnsafeMutableRawPointer]
  private var scratchBytes: Int

  /// - Parameter threads: how many threads work, the caller included; nil takes every core.
  public init(threads: Int? = nil) {
    let cores = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    threadCount = max(1, threads ?? cores)
    shared = Shared(spins: threadCount <= cores ? 20_000 : 0)
    scratchBytes = 1 << 20
    scratch = []
    for _ in 0..<threadCount { scratch.append(.allocate(byteCount: scratchBytes, alignment: 64)) }
    for worker in 1..<max(1, threadCount) { start(worker) }
  }

  deinit {
    shared.stop()
    for thread in threads { pthread_join(thread, nil) }
    for block in scratch { block.deallocate() }
  }

  /// Calls `body(chunk, worker)` once for every chunk in `0..<chunks`, on whichever threads are free, and returns when
  /// all calls have returned. `worker` is in `0..<threadCount` and names the scratch that the call may use.
  ///
  /// One chunk, or one thread, runs inline: no other thread hears of it.
  /// - Precondition: `chunks < 2^23`; not called from inside a chunk.
  public func run(chunks: Int, _ body: (_ chunk: Int, _ worker: Int) -> Void) {
    shared.enter()
    defer { shared.leave() }
    if chunks <= 1 || threadCount == 1 {
      for chunk in 0..<max(0, chunks) { body(chunk, 0) }
      return
    }
    withoutActuallyEscaping(body) { shared.fork(chunks: chunks, body: $0) }
  }

  /// Scratch of one worker: `bytes` reserved before, aligned to 64. Its content does not outlive the chunk.
  @inline(__always)
  public func scratch(of worker: Int) -> UnsafeMutableRawPointer { scratch[worker] }

  /// Makes every worker's scratch at least so large. Not from inside a chunk.
  public func reserveScratch(bytes: Int) {
    guard bytes > scratchBytes else { return }
    shared.enter()
    defer { shared.leave() }
    scratchBytes = (bytes + 4095) / 4096 * 4096
    for worker in scratch.indices {
      scratch[worker].deallocate()
      scratch[worker] = .allocate(byteCount: scratchBytes, alignment: 64)
    }
  }

  private func start(_ worker: Int) {
    let context = Unmanaged.passRetained(Seat(shared: shared, worker: worker)).toOpaque()
    #if canImport(Darwin)
      var thread: pthread_t?
      let failed = pthread_create(&thread, nil, { runSeat($0) }, context)
    #else
      var thread = pthread_t()
      let failed = pthread_create(&thread, nil, { runSeat($0) }, context)
    #endif
    if failed != 0 {  // fewer hands, same results: the caller works through what is left
      Unmanaged<Seat>.fromOpaque(context).release()
      return
    }
    #if canImport(Darwin)
      if let thread { threads.append(thread) }
    #else
      threads.append(thread)
    #endif
  }
}

/// What a thread is given at birth.
private final class Seat {
  let shared: Shared
  let worker: Int

  init(shared: Shared, worker: Int) {
    self.shared = shared
    self.worker = worker
  }
}

private func runSeat(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  let seat = Unmanaged<Seat>.fromOpaque(context).takeRetainedValue()
  seat.shared.serve(worker: seat.worker)
  return nil
}

/// The state that caller and workers share.
///
/// `ticket` holds generation (16 bits), chunks (24 bits) and next chunk (24 bits). Taking a chunk is one atomic add:
/// what it returns names the generation whose chunk was taken, so a thread that comes late can only take a chunk that
/// is still open, or nothing. `body` is written only between generations, when every chunk of the last one is done;
/// a thread reads it only after it has taken a chunk, which keeps that generation open until the chunk is counted in
/// `done`. The caller therefore never waits for a thread that sleeps.
private final class Shared: @unchecked Sendable {
  private let ticket = Atomic<UInt64>(0)
  private let done = Atomic<Int>(0)
  private let busy = Atomic<Bool>(false)
  private let stopping = Atomic<Bool>(false)
  private let sleepers = Atomic<Int>(0)
  private var body: ((Int, Int) -> Void)?
  private let spins: Int
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  init(spins: Int) {
    self.spins = spins
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func enter() {
    precondition(!busy.exchange(true, ordering: .acquiring), "WorkerPool.run was called while a run was in progress")
  }

  func leave() { busy.store(false, ordering: .releasing) }

  func fork(chunks: Int, body: @escaping (Int, Int) -> Void) {
    precondition(chunks < 1 << 23, "too many chunks for one run")
    self.body = body
    done.store(0, ordering: .relaxed)
    let generation = (ticket.load(ordering: .relaxed) >> 48) &+ 1
    ticket.store(generation << 48 | UInt64(chunks) << 24, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake() }
    work(worker: 0)
    var spun = 0
    while done.load(ordering: .acquiring) != chunks {  // at most one chunk a thread is still running
      spun += 1
      if spun > 1000 { sched_yield() } else { mt_spin_hint() }
    }
    self.body = nil
  }

  func serve(worker: Int) {
    var seen: UInt64 = 0
    while !stopping.load(ordering: .acquiring) {
      let generation = ticket.load(ordering: .acquiring) >> 48
      if generation == seen {
        waitForChange(from: seen)
      } else {
        seen = generation
        work(worker: worker)
      }
    }
  }

  func stop() {
    stopping.store(true, ordering: .sequentiallyConsistent)
    wake()
  }

  /// Takes chunks until none is left.
  private func work(worker: Int) {
    while true {
      let taken = ticket.add(1, ordering: .acquiringAndReleasing).oldValue
      let chunk = Int(taken & 0xff_ffff), chunks = Int(taken >> 24 & 0xff_ffff)
      guard chunk < chunks else { return }
      call(chunk, worker)
      done.add(1, ordering: .releasing)
    }
  }

  /// A function of its own, never inlined: a thread's reference to the closure is gone before the chunk counts as done,
  /// as the language demands of a closure that does not escape.
  @inline(never)
  private func call(_ chunk: Int, _ worker: Int) {
    if let body { body(chunk, worker) }
  }

  private func waitForChange(from seen: UInt64) {
    for _ in 0..<spins {
      if ticket.load(ordering: .relaxed) >> 48 != seen || stopping.load(ordering: .relaxed) { return }
      mt_spin_hint()
    }
    sleepers.add(1, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(mutex)
    while ticket.load(ordering: .sequentiallyConsistent) >> 48 == seen && !stopping.load(ordering: .sequentiallyConsistent) {
      pthread_cond_wait(condition, mutex)
    }
    pthread_mutex_unlock(mutex)
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
  }

  private func wake() {
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}
