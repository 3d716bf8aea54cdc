// Does every command exist that the program, its help and its documents tell people to type? Commands are collected from the string literals
// of the sources and from the code of the Markdown pages, and parsed by the program's own argument parser. Options that stand alone in a
// message must belong to some command.

import ArgumentParser
import Foundation
import Support
import Testing

@testable import App

struct HintTests {
  @Test func everyCommandInAMessageExists() throws {
    var count = 0
    for (file, literal) in try Self.literals() {
      for line in literal.split(separator: "\n") {
        for command in Self.commands(in: String(line)) {
          count += 1
          #expect(Self.problem(of: command) == nil, "\(file): moetop \(command.joined(separator: " "))")
        }
      }
    }
    #expect(count > 40, "the literals were searched")
  }

  @Test func everyOptionInAMessageExists() throws {
    let known = Self.options(of: Moetop.self)
    #expect(known.isSuperset(of: ["--trace", "--tokens", "--yes", "--help"]))
    for (file, literal) in try Self.literals() {
      for match in literal.matches(of: /(?:^|[^\w-])(--[a-z][a-z-]+)/) {
        #expect(known.contains(String(match.1)), "\(file): \(match.1) in \"\(literal.prefix(120))\"")
      }
    }
  }

  @Test(arguments: ["README.md", "docs/guide.md", "docs/models.md", "docs/metrics.md", "docs/import.md", "CONTRIBUTING.md"])
  func everyCommandInADocumentExists(_ name: String) throws {
    for line in Self.code(of: try String(contentsOfFile: Fixtures.root + "/" + name, encoding: .utf8)) where line.hasPrefix("moetop ") {
      for command in Self.commands(in: line) {
        // A command by its name alone is spoken of, not typed.
        if command.count == 1, Self.names.contains(command[0]) { continue }
        #expect(Self.problem(of: command) == nil, "\(name): \(line)")
      }
    }
  }

  /// The collection itself: what it finds in a source, and that it refuses what does not exist.
  @Test func commandsAreFound() {
    let source = #"""
      // moetop comment
      let a = "try: moetop runs check \(file) says; moetop run \(path ?? "moetop inner") -p '\(x)'" + "moetop analyze \"a b\"  x"
      let b = """
        moetop inspect ~/m --json   # moetop models
        """
      """#
    let literals = Self.literals(of: source)
    let found = literals.flatMap { $0.split(separator: "\n") }.flatMap { Self.commands(in: String($0)) }
    let expected = [
      ["inner"], ["runs", "check", "1", "says"], ["run", "1", "-p", "1"], ["analyze", "a b"], ["inspect", "~/m", "--json"], ["models"],
    ]
    #expect(found == expected)
    let wrong = [["imports", "x"], ["export", "x", "--trace", "f"], ["runs", "list", "x", "--nothing"], ["docs", "nothing"]]
    for words in wrong { #expect(Self.problem(of: words) != nil, "\(words)") }
    let right = [
      ["runs", "lists", "the", "traces"], ["docs", "metrics"], ["run", "x", "--images", "N"], ["analyze", "x", "--by", "a|b"],
    ]
    for words in right { #expect(Self.problem(of: words) == nil, "\(words)") }
  }

  // MARK: Judging

  /// Nil when a start of the words is a command of the program that takes all options among them; prose may follow.
  private static func problem(of words: [String]) -> String? {
    guard let name = words.first, names.contains(name) else { return "no such command" }
    var end = words.count
    while end > 0 {
      if words[end...].contains(where: { $0.hasPrefix("-") }) { return "an option that it does not take" }
      if parses(Array(words[..<end])) { return nil }
      end -= 1
    }
    return "not accepted"
  }

  private static func parses(_ words: [String]) -> Bool {
    do {
      _ = try Moetop.parseAsRoot(words.map(placeholder))
      return true
    } catch {
      return Moetop.exitCode(for: error).isSuccess
    }
  }

  /// What stands for a value: a number where one letter or an ellipsis says "some number", the first of alternatives.
  private static func placeholder(_ word: String) -> String {
    if word == "N" || word == "…" || word == "SEED" { return "1" }
    return word.hasPrefix("-") ? word : String(word.split(separator: "|").first ?? "1")
  }

  private static var names: Set<String> {
    Set(Moetop.configuration.subcommands.map { $0._commandName } + ["help", "--help", "--version"])
  }

  private static func options(of command: any ParsableCommand.Type) -> Set<String> {
    let page = Moetop.helpMessage(for: command, columns: 200)
    return command.configuration.subcommands.reduce(into: Set(page.matches(of: /--[a-z][a-z-]+/).map { String($0.0) })) {
      $0.formUnion(options(of: $1))
    }
  }

  // MARK: Collecting

  /// The commands of a line, as words. One ends at two spaces, a semicolon, a pipe, a redirection or a comment.
  private static func commands(in line: String) -> [[String]] {
    line.components(separatedBy: "moetop ").dropFirst().compactMap { rest in
      guard let first = rest.unicodeScalars.first, "a"..."z" ~= first || first == "-", !rest.hasPrefix("- ") else { return nil }
      let ends = ["  ", ";", " | ", " > ", " #", "`", " && ", " (", ": "].compactMap { rest.range(of: $0)?.lowerBound }
      return words(rest[..<(ends.min() ?? rest.endIndex)])
    }
  }

  /// Split as a shell would; punctuation of the sentence around it is left out.
  private static func words(_ text: Substring) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in text {
      if character == quote {
        quote = nil
      } else if quote == nil, character == "'" || character == "\"" {
        (quote, word) = (character, word ?? "")
      } else if quote == nil, character == " " {
        if let whole = word { words.append(whole) }
        word = nil
      } else {
        word = (word ?? "") + String(character)
      }
    }
    if let whole = word { words.append(whole) }
    return words.map { word in
      var word = word
      while let last = word.last, "),.:".contains(last), word.count > 1 { word.removeLast() }
      return word
    }
  }

  /// Every string literal of the program, with its file.
  private static func literals() throws -> [(file: String, literal: String)] {
    let root = Fixtures.root + "/Sources"
    let files = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") } ?? []
    #expect(files.count > 200)
    return try files.sorted().flatMap { file in
      literals(of: try String(contentsOfFile: "\(root)/\(file)", encoding: .utf8)).map { (file, $0) }
    }
  }

  /// String literals with `1` for what is interpolated, inner ones before outer ones; comments are passed over.
  private static func literals(of source: String) -> [String] {
    var reader = LiteralReader(source)
    reader.readCode(untilParenthesis: false)
    return reader.literals
  }

  /// Lines of fenced blocks, and inline code as one line each.
  private static func code(of page: String) -> [String] {
    var lines: [String] = []
    for (index, part) in page.components(separatedBy: "```").enumerated() {
      if index % 2 == 1 {
        lines += part.replacing(/\s*\\\n\s*/, with: " ").split(separator: "\n").map(String.init)
      } else {
        for (place, span) in part.components(separatedBy: "`").enumerated() where place % 2 == 1 {
          lines.append(span.replacingOccurrences(of: "\n", with: " "))
        }
      }
    }
    return lines
  }
}

/// Finds string literals in Swift: with escapes resolved, interpolations replaced, and the literals inside interpolations too.
private struct LiteralReader {
  private let text: [Character]
  private var place = 0
  private(set) var literals: [String] = []

  init(_ source: String) { text = Array(source) }

  private func starts(_ word: String) -> Bool { text[place...].starts(with: word) }

  /// Passes over code; with `untilParenthesis` up to the one that closes an interpolation.
  mutating func readCode(untilParenthesis: Bool) {
    var depth = 0
    while place < text.count {
      if starts("//") {
        while place < text.count, !text[place].isNewline { place += 1 }
      } else if text[place] == "\"" {
        readLiteral(hashes: 0)
      } else if text[place] == "#", starts("#\"") {
        place += 1
        readLiteral(hashes: 1)
      } else {
        if text[place] == "(" { depth += 1 }
        if text[place] == ")" {
          if depth == 0, untilParenthesis { return }
          depth -= 1
        }
        place += 1
      }
    }
  }

  /// Reads the literal that begins at a quote, after its hashes.
  private mutating func readLiteral(hashes: Int) {
    let isBlock = starts("\"\"\"")
    let hash = String(repeating: "#", count: hashes)
    let end = (isBlock ? "\"\"\"" : "\"") + hash
    place += isBlock ? 3 : 1
    var literal = ""
    while place < text.count, !starts(end) {
      guard text[place] == "\\", hash.isEmpty || starts("\\" + hash) else {
        literal.append(text[place])
        place += 1
        continue
      }
      place += 1 + hashes
      guard place < text.count else { break }
      switch text[place] {
      case "(":
        place += 1
        readCode(untilParenthesis: true)
        literal += "1"
      case "n": literal += "\n"
      case let other: literal.append(other)
      }
      place += 1
    }
    place += end.count
    literals.append(literal)
  }
}
