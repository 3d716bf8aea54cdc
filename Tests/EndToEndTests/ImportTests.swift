// `moetop import` on every record of Tests/Fixtures/foreign as a user gives it: what is read, what is found, how it ends, and whether what is
// stored is what the model decided.

import Formats
import Foundation
import Support
import Synchronization
import Testing

struct ImportTests {
  /// Complaints about every case, as many processes at a time as there are cores.
  private func complaints(_ body: @Sendable (ForeignCase, TemporaryDirectory) throws -> [String]) throws -> [String] {
    let waiting = Mutex(try ForeignCase.all())
    let found = Mutex([String]())
    DispatchQueue.concurrentPerform(iterations: ProcessInfo.processInfo.activeProcessorCount) { _ in
      while let next = waiting.withLock({ $0.popLast() }) {
        do {
          let own = try body(next, TemporaryDirectory())
          found.withLock { $0 += own }
        } catch { found.withLock { $0.append("\(next.name): \(error)") } }
      }
    }
    return found.withLock { $0 }
  }

  @Test func everyRecordIsReadAndJudgedAsItsFixtureSays() throws {
    #expect(try ForeignCase.all().count >= 222)
    let complaints = try complaints { record, _ in
      let result = try Binary.run(["import", "--dry-run", "--json", "--no-progress"] + record.arguments)
      if let refused = record.refused {
        return result.status == refused && result.output.isEmpty ? [] : ["\(record.name): \(result.status): \(result.errors)"]
      }
      if record.mayBeRefused, result.status == 65, result.output.isEmpty { return [] }
      guard result.status == (record.hasFault ? 1 : 0) else { return ["\(record.name): \(result.status): \(result.errors)"] }
      return try record.complaints(about: JSON.parse(text: result.output, name: "answer"))
    }
    #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
  }

  /// The ids that come out are those that the model chose, row for row.
  @Test func whatIsStoredIsWhatTheModelDecided() throws {
    let read = Mutex(0)
    let complaints = try complaints { record, folder in
      guard try record.equals() != nil else { return [] }
      read.withLock { $0 += 1 }
      let trace = folder.file("t.db")
      let result = try Binary.run(["import", "-q", "--trace", trace] + record.arguments)
      if record.mayBeRefused, result.status == 65 { return [] }
      guard result.status == (record.hasFault ? 1 : 0), result.output.isEmpty else {
        return ["\(record.name): \(result.status): \(result.errors)"]
      }
      return try record.complaints(aboutRun: trace)
    }
    #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
    #expect(read.withLock { $0 } >= 50)
  }
}
