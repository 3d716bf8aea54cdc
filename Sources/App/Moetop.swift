// The executable: finds the subcommand, runs it, and is the only place that turns errors into messages and exit codes.

import ArgumentParser
import Formats
import Terminal

@main
struct Moetop: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "moetop",
    abstract: "htop for the inside of a Mixture-of-Experts model.",
    discussion: """
      moetop run samples/olmoe-tiny -p "Once upon a time"
      moetop inspect ~/models/OLMoE-1B-7B
      """,
    version: Version.summary,
    subcommands: [
      UI.self, Run.self, Analyze.self, Compare.self, WhatIf.self, Export.self, Import.self, Merge.self, Fold.self, Runs.self, SQL.self,
      Schema.self,
      Inspect.self,
      Models.self,
      Verify.self, Config.self, Docs.self, Doctor.self, Demo.self,
    ],
    defaultSubcommand: UI.self)

  static func main() async {
    StandardStreams.hold()
    // Among others, a closed pipe shows as a failed write, which ends the process quietly.
    ProcessSignals.prepare()
    // A model that another program shortens while it runs is an error of that run, not the end of the process.
    MappedFile.mendFaults()
    do {
      try Arguments.checkEncoding()
      var command = try parsed()
      // A mistake in what was settled is told before anything is done by it; help, pages and the doctor are for whoever mends one.
      if !["help", "docs", "doctor"].contains(type(of: command)._commandName) { _ = try Configuration.ofUser.get() }
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      Failure.exit(error, of: self)
    }
  }

  private static func parsed() throws -> any ParsableCommand {
    do { return try parseAsRoot() } catch {
      if !exitCode(for: error).isSuccess, let failure = Arguments.unknownCommand(Array(CommandLine.arguments.dropFirst())) { throw failure }
      throw error
    }
  }
}
