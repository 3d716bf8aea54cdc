// The pool: every chunk once, whatever the threads do; and the façade above it, whose numbers do not know of threads.

import CKernels
import Model
import Synchronization
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite struct PoolTests {
  @Test(arguments: [1, 2, 3, 5])
  func everyChunkRunsOnce(threads: Int) {
    let pool = WorkerPool(threads: threads)
    for chunks in [0, 1, 2, 3, 7, 64, 1000] {
      let counts = UnsafeMutablePointer<Int>.allocate(capacity: chunks + 1)
      counts.initialize(repeating: 0, count: chunks + 1)
      defer { counts.deallocate() }
      let strangers = Atomic<Int>(0)
      pool.run(chunks: chunks) { chunk, worker in
        counts[chunk] += 1
        if worker < 0 || worker >= pool.threadCount { strangers.add(1, ordering: .relaxed) }
      }
      #expect((0..<chunks).allSatisfy { counts[$0] == 1 } && counts[chunks] == 0)
      #expect(strangers.load(ordering: .relaxed) == 0)
    }
  }

  @Test func tenThousandRuns() {
    let pool = WorkerPool(threads: 3)
    let total = Atomic<Int>(0)
    var wanted = 0
    for run in 0..<10_000 {
      let chunks = run % 9
      wanted += chunks * (chunks + 1) / 2
      pool.run(chunks: chunks) { chunk, _ in total.add(chunk + 1, ordering: .relaxed) }
      #expect(total.load(ordering: .relaxed) == wanted, "a run returned before its chunks were done")
    }
  }

  /// Workers that have gone to sleep are woken, and a run does not need them.
  @Test func runsAfterSleep() {
    let pool = WorkerPool(threads: 2)
    for _ in 0..<20 {
      pool.run(chunks: 4) { _, _ in }
      var spin = timespecOf(milliseconds: 4)
      nanosleep(&spin, nil)
    }
    let total = Atomic<Int>(0)
    pool.run(chunks: 100) { _, _ in total.add(1, ordering: .relaxed) }
    #expect(total.load(ordering: .relaxed) == 100)
  }

  @Test func poolsComeAndGo() {
    for threads in 1...40 {
      let pool = WorkerPool(threads: threads % 5 + 1)
      let total = Atomic<Int>(0)
      pool.run(chunks: threads) { _, _ in total.add(1, ordering: .relaxed) }
      #expect(total.load(ordering: .relaxed) == threads)
    }
  }

  @Test func scratchIsAlignedAndApart() {
    let pool = WorkerPool(threads: 3)
    pool.reserveScratch(bytes: 5 << 20)
    let places = (0..<3).map { Int(bitPattern: pool.scratch(of: $0)) }.sorted()
    #expect(places.allSatisfy { $0 % 64 == 0 })
    #expect(zip(places, places.dropFirst()).allSatisfy { $1 - $0 >= 5 << 20 })
  }
}

func timespecOf(milliseconds: Int) -> timespec { timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000) }
