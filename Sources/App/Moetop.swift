// The executable: finds the subcommand, runs it, and is the only place that turns errors into messages and exit codes.

import ArgumentParser

@main
struct Moetop: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "moetop",
    abstract: "htop for the inside of a Mixture-of-Experts model.",
    discussion: """
      moetop run samples/olmoe-tiny -p "Once upon a time"
      moetop inspect ~/models/OLMoE-1B-7B
      """,
    version: Version.summary,
    subcommands: [Verify.self, Inspect.self])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Failure.exit(error, of: self)
    }
  }
}
