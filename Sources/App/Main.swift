import ArgumentParser

@main
struct Moetop: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "moetop", abstract: "htop for the inside of a Mixture-of-Experts model.")
}
