// `--routing-only` as a user gives it: the same decisions, said in the trace, and refused where more than decisions is asked for.

import Foundation
import Support
import Testing

struct RoutingOnlyCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func moetop(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(arguments)
    #expect(result.status == status, "\(arguments): \(result.errors)")
    return result
  }

  @Test func decisionsAreThoseOfAWholeRun() throws {
    let model = "\(Fixtures.root)/samples/olmoe-tiny"
    let text = try folder.write(Array("One text for both runs. It has a few words in it, and 3 numbers: 1, 2, 3.".utf8), to: "a.txt")
    let path = folder.file("a.db")
    for more in [["--name", "whole", "--no-loss"], ["--name", "short", "--routing-only"]] {
      let result = try Binary.run(["run", model, "-f", text, "--record", "full", "--trace", path] + more)
      #expect(result.status == 0, "\(result.errors)")
    }
    let whole = try moetop("export", path + "#1", "--format", "csv"), short = try moetop("export", path + "#2", "--format", "csv")
    // All but the run's number.
    let rows = [whole, short].map { $0.output.split(separator: "\n").map { $0.split(separator: ",").dropFirst().joined(separator: ",") } }
    #expect(rows[0].count > 100 && rows[0] == rows[1])
    #expect(try moetop("runs", "show", path + "#2").output.contains("--routing-only"))
    #expect(try moetop("runs", "show", path + "#2", "--json").output.contains("\"routing_only\":true"))
    #expect(try !moetop("runs", "show", path + "#1", "--json").output.contains("routing_only"))
  }

  @Test func whatNeedsMoreIsRefused() throws {
    let model = "\(Fixtures.root)/samples/olmoe-tiny", images = "\(Fixtures.root)/samples/dit-moe-tiny"
    let text = try folder.write(Array("a b c".utf8), to: "a.txt")
    for (arguments, words) in [
      (["run", model, "-p", "x"], "read as they are"), (["run", model, "-f", text, "--generate"], "read as they are"),
      (["run", model, "-f", text, "--batch", "2"], "--batch"), (["run", model, "-f", text, "--record", "weights+norms"], "--record"),
      (["run", model, "-f", text, "--record", "weights+predicted"], "output head"), (["run", images], "images"),
    ] as [([String], String)] {
      let result = try Binary.run(arguments + ["--routing-only", "--trace", folder.file("x.db")])
      #expect(result.status == 64 && result.errors.contains(words) && result.output.isEmpty, "\(arguments): \(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: folder.file("x.db")))
  }
}
