// Does any damage to any fixture crash, hang, exhaust or deceive the program? Each file is examined in a process of its own, so that a
// crash is one line of the report and the damaged file is still there to look at. MOETOP_FUZZ says how much (Damage.swift);
// MOETOP_TEST_BINARY names the program that plays scripts and records traces.
//
//   fuzz [WORD...]          files whose name contains one of the words; all without
//   fuzz --list             the names
//   fuzz --subject NAME     one file in this process, its tally as JSON: what the first form starts

import Foundation
import Support
import Synchronization

@main
enum Fuzz {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard let counts = Counts.chosen(ProcessInfo.processInfo.environment["MOETOP_FUZZ"]) else {
      print("MOETOP_FUZZ: expected \"full\" or two numbers (truncations,flips)")
      exit(64)
    }
    let subjects = try Subject.all()
    if arguments.first == "--list" { return subjects.forEach { print("\($0.reading): \($0.name)") } }
    if arguments.first == "--subject" {
      guard let subject = subjects.first(where: { $0.name == arguments.last }) else { exit(66) }
      let tally = try Examination(subject: subject, counts: counts).tally()
      print(String(decoding: try JSONEncoder().encode(tally), as: UTF8.self))
      return
    }
    let chosen = subjects.filter { subject in arguments.isEmpty || arguments.contains { subject.name.contains($0) } }
    let report = Report(counts: counts)
    examine(chosen, report)
    report.finish()
    exit(report.holds && !chosen.isEmpty ? 0 : 2)
  }

  /// As many processes at a time as there are cores.
  private static func examine(_ subjects: [Subject], _ report: Report) {
    let waiting = Mutex(subjects)
    DispatchQueue.concurrentPerform(iterations: ProcessInfo.processInfo.activeProcessorCount) { _ in
      while let subject = waiting.withLock({ $0.popLast() }) { report.add(subject, outcome(of: subject)) }
    }
  }

  /// The tally of one file, or what became of its process.
  private static func outcome(of subject: Subject) -> Result<Tally, Failure> {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
    process.arguments = ["--subject", subject.name]
    let output = Pipe()
    process.standardOutput = output
    do {
      try process.run()
      let lines = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
      process.waitUntilExit()
      guard process.terminationReason == .exit, process.terminationStatus == 0, let last = lines.last else {
        let how =
          process.terminationStatus == Watch.hangStatus
          ? "hung" : "ended with \(process.terminationReason == .exit ? "status" : "signal") \(process.terminationStatus)"
        return .failure(Failure(text: "\(how); the damaged file is \(lines.first ?? "unknown")"))
      }
      return .success(try JSONDecoder().decode(Tally.self, from: Data(last.utf8)))
    } catch { return .failure(Failure(text: "\(error)")) }
  }
}

struct Failure: Error, CustomStringConvertible {
  var text: String
  var description: String { text }
}
