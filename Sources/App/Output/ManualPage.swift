// What does `man moetop` say? The page is made from what the argument parser knows of every command, so it cannot fall behind the program:
// `moetop docs man` prints it, `make install` puts it where man looks. Words of the page that no command has (files, environment) are here.

import Formats
import Routing

enum ManualPage {
  /// The page in the language of man(7).
  ///
  /// - Throws: `FormatError` when the argument parser describes itself in another form than this one knows.
  static func text() throws -> String {
    let root = try JSON.parse(text: Moetop._dumpHelp(), name: "description of the commands").member("command")
    var page = Roff()
    page.macro("TH", "MOETOP", "1", "", "moetop \(Version.number)", "User Commands")
    page.macro("SH", "NAME")
    page.text("moetop - \(try root.string("abstract").withoutFullStop)")
    page.macro("SH", "SYNOPSIS")
    page.raw(".B moetop\n[\\fIcommand\\fR] [\\fIargument\\fR ...] [\\fIoption\\fR ...]")
    page.macro("SH", "DESCRIPTION")
    page.text(
      "Streams tokens through a Mixture-of-Experts checkpoint and shows, live and afterwards, which experts every layer picks, how sure "
        + "the router is, and what each expert is for. Without a command the screens open (see moetop ui).")
    page.discussion(try root.stringIfPresent("discussion") ?? "")
    page.macro("SH", "COMMANDS")
    for command in try root.array("subcommands") { try page.command(command, named: "moetop") }
    page.macro("SH", "FILTERS")
    page.text(Filter.rules.joined(separator: " "))
    for term in Filter.terms { page.entry("\\fB\(Roff.escaped(term.form))\\fR", term.words) }
    page.macro("SH", "EXIT STATUS")
    for status in ExitStatus.allCases { page.entry("\\fB\(status.rawValue)\\fR", status.meaning) }
    page.macro("SH", "SETTINGS")
    page.text(
      "The configuration file, $XDG_CONFIG_HOME/moetop/config (~/.config/moetop/config) or what MOETOP_CONFIG names, has lines of the form "
        + "key = value; a hash at the start of a line or after a blank begins a comment. An option stands above the variable of the same name "
        + "(MOETOP_THEME and so on), and that above the file. moetop config prints what holds, and why.")
    for setting in Setting.all { page.entry("\\fB\(Roff.escaped(setting.name))\\fR", "\(setting.help): \(setting.expected)") }
    page.entry(
      "\\fBkey.\\fR\\fIACTION\\fR",
      "keys of an action of the screens: up to \(KeyBindings.most) names, or none; moetop docs keys lists both")
    page.macro("SH", "ENVIRONMENT")
    for (name, meaning) in environment { page.entry("\\fB\(name)\\fR", meaning) }
    page.macro("SH", "SEE ALSO")
    page.text(
      "sqlite3(1). moetop docs metrics explains every metric, moetop docs filters the terms of a filter, moetop docs schema the views of "
        + "a trace, ? on a screen its keys.")
    return page.text
  }

  private static let environment = [
    (
      "MOETOP_DATA_DIR",
      "Folder of the default trace file, as --data-dir, of the tables that GGUF files of the types IQ1, IQ2 and IQ3 need, and of the hashes of large files."
    ),
    ("MOETOP_MODELS", "Further folders in which moetop models looks, colons between them."),
    ("HF_HOME, HF_HUB_CACHE, OLLAMA_MODELS, LLAMA_CACHE, XDG_CACHE_HOME, XDG_DATA_HOME", "As the programs that own them read them."),
    ("MOETOP_CONFIG", "The configuration file, instead of the usual one."),
    (
      "XDG_CONFIG_HOME, XDG_STATE_HOME",
      "Where the configuration is, and lines typed in sessions before; else ~/.config and ~/.local/state."
    ),
    ("NO_COLOR, TERM, COLORTERM, LANG", "What the terminal can show."),
  ]
}

extension String {
  fileprivate var withoutFullStop: String { hasSuffix(".") ? String(dropLast()) : self }
}

/// A page in the making.
private struct Roff {
  private(set) var text = ""

  mutating func raw(_ line: String) { text += line + "\n" }

  mutating func macro(_ name: String, _ arguments: String...) {
    raw("." + name + arguments.map { " \"\(Self.escaped($0))\"" }.joined())
  }

  mutating func text(_ words: String) { raw(Self.escaped(words)) }

  /// A tagged paragraph.
  mutating func entry(_ tag: String, _ words: String) {
    raw(".TP\n\(tag)")
    text(words)
  }

  /// Examples stay as they are; other lines flow together, with a paragraph where an empty line was.
  mutating func discussion(_ words: String) {
    var isExample = false
    for line in words.split(separator: "\n", omittingEmptySubsequences: false) {
      let begins = line.hasPrefix("moetop ")
      if begins != isExample { raw(begins ? ".PP\n.EX" : ".EE") }
      isExample = begins
      if line.isEmpty { raw(".PP") } else { text(String(line)) }
    }
    if isExample { raw(".EE") }
  }

  /// A command with its arguments, then its own commands.
  mutating func command(_ command: JSONValue, named parent: String) throws {
    guard try command.boolIfPresent("shouldDisplay") ?? true else { return }
    let name = "\(parent) \(try command.string("commandName"))"
    let arguments = try command.arrayIfPresent("arguments").map { Array($0) } ?? []
    let shown = try arguments.filter { try $0.boolIfPresent("shouldDisplay") ?? true }
    let operands = try shown.filter { try $0.string("kind") == "positional" }.map { try operand($0) }
    macro("SS", ([name] + operands + ["[options]"]).joined(separator: " "))
    text(try command.stringIfPresent("abstract") ?? "")
    discussion(try command.stringIfPresent("discussion") ?? "")
    for argument in shown { try entry(tag(argument), meaning(argument)) }
    for subcommand in try command.arrayIfPresent("subcommands").map({ Array($0) }) ?? [] { try self.command(subcommand, named: name) }
  }

  private func operand(_ argument: JSONValue) throws -> String {
    let name = try argument.string("valueName") + (argument.bool("isRepeating") ? " ..." : "")
    return try argument.bool("isOptional") ? "[\(name)]" : name
  }

  private func tag(_ argument: JSONValue) throws -> String {
    let value = "\\fI\(Self.escaped(try argument.string("valueName")))\\fR"
    let kind = try argument.string("kind")
    if kind == "positional" { return value }
    let names = try argument.array("names").map { name in
      let dashes = try name.string("kind") == "long" ? "--" : "-"
      return "\\fB\(Self.escaped(dashes + (try name.string("name"))))\\fR"
    }
    return names.joined(separator: ", ") + (kind == "option" ? " " + value : "")
  }

  private func meaning(_ argument: JSONValue) throws -> String {
    let words = try argument.stringIfPresent("abstract") ?? ""
    return words + (try argument.stringIfPresent("defaultValue").map { " Default: \($0)." } ?? "")
  }

  /// Text in which nothing is an instruction.
  static func escaped(_ words: String) -> String {
    let plain = words.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("\"", with: "\\(dq")
    return plain.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : String($0) }.joined(separator: "\n")
  }
}
