// What is said about all files together: complaints as they come, then a line for each way of reading.

import Foundation
import Synchronization

final class Report: Sendable {
  private struct State {
    var tallies: [(subject: Subject, tally: Tally)] = []
    var failures = 0
  }

  private let counts: Counts
  private let state = Mutex(State())

  init(counts: Counts) { self.counts = counts }

  var holds: Bool { state.withLock { state in state.failures == 0 && state.tallies.allSatisfy { $0.tally.complaintCount == 0 } } }

  func add(_ subject: Subject, _ outcome: Result<Tally, Failure>) {
    state.withLock { state in
      switch outcome {
      case .failure(let failure):
        state.failures += 1
        print("\(subject.name): \(failure.text)")
      case .success(let tally):
        state.tallies.append((subject, tally))
        for complaint in tally.complaints { print("\(subject.name): \(complaint)") }
        if tally.complaintCount > tally.complaints.count { print("\(subject.name): \(tally.complaintCount) complaints in all") }
      }
      fflush(nil)
    }
  }

  func finish() {
    state.withLock { state in
      print("\(state.tallies.count) files, \(counts.truncations) cuts and \(counts.flips) flips of each; opened / refused:")
      for reading in Subject.Reading.allCases where state.tallies.contains(where: { $0.subject.reading == reading }) {
        let tallies = state.tallies.filter { $0.subject.reading == reading }.map(\.tally)
        func sum(_ part: (Tally) -> Int) -> Int { tallies.reduce(0) { $0 + part($1) } }
        let peak = tallies.map { Double($0.peakBytes) / Double($0.fileBytes) }.max() ?? 0
        let beyond = tallies.map { $0.peakBytes - 2 * $0.fileBytes }.max() ?? 0
        let slowest = tallies.map(\.slowestSeconds).max() ?? 0
        print(
          "\(reading): \(tallies.count) files, cut \(sum(\.cutOpened)) / \(sum(\.cutRefused)), "
            + "flipped \(sum(\.flippedOpened)) / \(sum(\.flippedRefused)), run \(sum(\.ran)), "
            + "peak \(String(format: "%.2f", peak)) x file, \(beyond) bytes over twice a file, "
            + "slowest case \(String(format: "%.3f", slowest)) s, \(sum(\.complaintCount)) complaints")
      }
      if state.tallies.allSatisfy({ $0.tally.peakBytes == 0 }) { print("memory: not counted, the build has no address sanitizer") }
      if state.failures > 0 { print("\(state.failures) files ended their process") }
    }
  }
}
