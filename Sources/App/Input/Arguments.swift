// What the argument parser cannot say by itself: arguments that are no text, and a first word that is neither a command nor anything that
// exists. The default command takes a model or a run, so a mistyped command would be reported as a wrong argument of `ui`.

import Analysis
import ArgumentParser
import Formats

enum Arguments {
  /// - Throws: `Failure` for an argument that is not UTF-8, which would otherwise be repaired without a word.
  static func checkEncoding() throws {
    for index in 1..<max(1, Int(CommandLine.argc)) {
      guard let argument = CommandLine.unsafeArgv[index] else { continue }
      let bytes = sequence(first: 0) { $0 + 1 }.lazy.map { UInt8(bitPattern: argument[$0]) }.prefix { $0 != 0 }
      let place = UTF8Fault.first(in: bytes)
      if let place { throw Failure(.usage, "argument \(index): not valid UTF-8 at byte \(place): \(CommandLine.arguments[index])") }
    }
  }

  /// The words for a first argument that was meant to be a command, after the parser refused the arguments; nil when it is one, or names
  /// something that exists.
  static func unknownCommand(_ arguments: [String]) -> Failure? {
    guard let word = arguments.first, isWord(word), !commands.contains(word), !FileStatus.exists(word) else { return nil }
    return Failure(.usage, "there is no command \"\(word)\"\(nearest(word))\n  try: moetop --help")
  }

  /// The words for one argument alone that the default command found nothing for.
  static func nothing(called word: String) -> Failure {
    let lists = "moetop models        moetop runs"
    guard isWord(word) else { return Failure(.missing, "\(word): there is no such model or trace\n  try: \(lists)") }
    return Failure(
      .missing, "\(word): there is no such command, model, trace or run\(nearest(word))\n  try: moetop --help        \(lists)")
  }

  /// Letters and hyphens, as commands have.
  static func isWord(_ text: String) -> Bool {
    text.utf8.allSatisfy { $0 == UInt8(ascii: "-") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20) } && text.first != "-"
  }

  private static var commands: [String] { Moetop.configuration.subcommands.map { $0._commandName } + ["help"] }

  private static func nearest(_ word: String) -> String {
    let close = commands.map { (name: $0, distance: editDistance($0, word)) }.min { $0.distance < $1.distance }
    guard let close, close.distance <= 2 else { return "" }
    return "; the nearest command is \(close.name)"
  }
}
