// What a session script asks for, read whole before anything of it is done: a mistake in its last line is told before its first is
// played. Every number has its bounds here.
//
//     open samples/olmoe-tiny      wait 40 tokens      key space      type the quick      resize 80x24
//     open samples/dit-moe-tiny    wait 3 steps        open corpus.db#2
//     do token 18                  click 12 5          dump live.svg  # words after a hash are for people
//
// A hash begins a comment at the start of a line and after a blank; inside a word (`corpus.db#2`) it belongs to the word. What `type` and
// `paste` are given is taken as it stands, hashes and all.

import Foundation
import Terminal

/// What one line of a script asks for.
enum ScriptStep: Equatable, Sendable {
  enum Wait: Equatable, Sendable {
    case tokens(Int)
    /// Of a denoising model; of one that continues texts a step is a token.
    case steps(Int)
    case seconds(Double)
  }

  case keys([KeyEvent])
  case type(String)
  case paste(String)
  case perform(ActionID, String)
  case open(String)
  case resize(Size)
  case click(Point)
  case wait(Wait)
  case dump(String)
}

struct SessionScript: Equatable, Sendable {
  /// Tokens or denoising steps that one line may wait for, and seconds.
  static let mostTokens = 1_000_000
  static let mostSeconds = 86_400

  /// A line that asks for something.
  struct Line: Equatable, Sendable {
    /// From 1, as editors count.
    var number: Int
    var text: String
    var step: ScriptStep
  }

  private(set) var lines: [Line] = []

  /// Reads a file, a pipe, or standard input (`-`).
  ///
  /// - Throws: `Failure` or `FormatError` for what cannot be read or is not UTF-8, `Failure` for what is no script.
  init(file: String) throws { try self.init(lines: TextInput(file).lines) }

  /// - Throws: `Failure` that names the line, what was expected and what was found.
  init(parsing text: String) throws {
    try self.init(lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
  }

  private init(lines: [String]) throws {
    for (number, line) in lines.enumerated() {
      let words = Self.withoutComment(line[...])
      guard !words.isEmpty else { continue }
      do { self.lines.append(Line(number: number + 1, text: words, step: try Self.step(words))) } catch let problem as Problem {
        throw Failure(.usage, "script line \(number + 1): expected \(problem.expected), found \(problem.found)")
      }
    }
  }

  private static func withoutComment(_ line: Substring) -> String {
    if line.hasPrefix("type ") || line.hasPrefix("paste ") { return String(line) }
    var isAfterBlank = true
    let end = line.firstIndex { character in
      defer { isAfterBlank = character == " " || character == "\t" }
      return character == "#" && isAfterBlank
    }
    return line[..<(end ?? line.endIndex)].trimmingCharacters(in: .whitespaces)
  }

  private struct Problem: Error {
    var expected: String
    var found: String
  }

  private static func step(_ line: String) throws -> ScriptStep {
    let parts = line.split(separator: " ", maxSplits: 1).map(String.init)
    let rest = parts.count > 1 ? parts[1] : ""
    switch parts[0] {
    case "key":
      return .keys(
        try rest.split(separator: " ").map { name in
          guard let key = KeyEvent(String(name)) else { throw Problem(expected: "the name of a key", found: String(name)) }
          return key
        })
    case "type": return .type(rest)
    case "paste": return .paste(rest)
    case "do":
      let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
      guard let name = words.first, let id = ActionTable.standard.named(name) else {
        throw Problem(expected: "the name of an action, as the palette has it", found: words.first ?? "nothing")
      }
      return .perform(id, words.count > 1 ? words[1] : "")
    case "open":
      guard !rest.isEmpty else { throw Problem(expected: "a model or a run to open", found: "nothing") }
      return .open(rest)
    case "resize":
      guard let size = Size(ofScreen: rest) else { throw Problem(expected: "a size from 1x1 to \(Size.largestScreen)", found: rest) }
      return .resize(size)
    case "click":
      let (most, numbers) = (Size.largestScreen, rest.split(separator: " ").map { Int($0) })
      guard numbers.count == 2, let x = numbers[0], let y = numbers[1], 0..<most.width ~= x, 0..<most.height ~= y else {
        throw Problem(expected: "a column from 0 to \(most.width - 1) and a row from 0 to \(most.height - 1)", found: rest)
      }
      return .click(Point(x: x, y: y))
    case "wait": return .wait(try wait(rest))
    case "dump":
      guard ScreenFile(name: rest) != nil else { throw Problem(expected: ScreenFile.expected, found: rest.isEmpty ? "nothing" : rest) }
      return .dump(rest)
    default:
      throw Problem(expected: "key, type, paste, do, open, resize, click, wait or dump", found: line)
    }
  }

  private static func wait(_ text: String) throws -> ScriptStep.Wait {
    let words = text.split(separator: " ").map(String.init)
    let amount = words.first.flatMap { Double($0) }
    func count(_ what: String) throws -> Int {
      // Whatever is no number, NaN included, is in no range.
      guard let amount, (0...Double(mostTokens)).contains(amount), amount == amount.rounded() else {
        throw Problem(expected: "0 to \(Show.grouped(mostTokens)) \(what)", found: text)
      }
      return Int(amount)
    }
    switch words.count == 2 ? words[1] : "" {
    case "token", "tokens": return .tokens(try count("tokens"))
    case "step", "steps": return .steps(try count("steps"))
    case "second", "seconds":
      guard let amount, (0...Double(mostSeconds)).contains(amount) else {
        throw Problem(expected: "0 to \(Show.grouped(mostSeconds)) seconds", found: text)
      }
      return .seconds(amount)
    default: throw Problem(expected: "a number of tokens, steps or seconds", found: text.isEmpty ? "nothing" : text)
    }
  }
}
