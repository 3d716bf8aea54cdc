// What an error tells people to do next, in the place where they read it: the commands it names exist and take the options it names, options
// that it names alone belong to the command that was called, and a first word that is no command is called one.

import Foundation
import Support
import Testing

struct AdviceTests {
  private let folder: TemporaryDirectory
  private let model: String
  private let trace: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/olmoe"))
    trace = folder.file("t.db")
    let run = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "-q"])
    try #require(run.status == 0, "\(run.errors)")
  }

  private func options(of command: [String]) throws -> Set<String> {
    Set(try Binary.run(command + ["--help"]).output.matches(of: /--[a-z][a-z-]+/).map { String($0.0) })
  }

  @Test func advicesNameWhatExists() throws {
    let help = try Binary.run(["--help"]).output
    let commands = Set(help.matches(of: #/(?m)^  ([a-z]+)( \(default\))?  /#).map { String($0.1) }).union(["help"])
    #expect(commands.isSuperset(of: ["run", "ui", "analyze", "runs", "doctor"]))
    try folder.write([], to: "empty.db")
    try folder.write(Array("no trace\n".utf8), to: "text.db")
    let (none, nowhere) = (folder.file("none.db"), folder.path + "/none/x")
    let calls = [
      ["analyze", model], ["export", model], ["analyze", none], ["export", none], ["sql", "latest", "select 1"], ["runs", "show", "7"],
      ["analyze", model + "/model.safetensors"], ["runs", "check", folder.file("text.db")], ["sql", folder.file("empty.db"), "select 1"],
      ["analyze", trace + "#9"], ["analyze", trace, "--by", "nothing"], ["analyze", trace, "--metric", "nothing"],
      ["sql", trace, "nothing"], ["run", model, "-p", "hi"], ["run", model], ["run", none, "-p", "x"], ["inspect", none],
      ["inspect", trace],
      ["verify", model, "--tokens", model + "/input.json", "--expected", none], ["export", trace, "-o", nowhere],
      ["run", model, "--tokens", model + "/input.json", "--trace", nowhere + ".db"], ["run", model, "-f", model + "/input.json"],
      ["ui", model], ["ui", trace], ["ui", none], ["run", model, "--chat", "-p", "x"],
    ]
    for call in calls {
      let result = try Binary.run(call, environment: ["XDG_DATA_HOME": folder.path])
      #expect(result.status != 0, "\(call)")
      for line in result.errors.split(separator: "\n") where line.contains("try:") {
        var command = call[0]
        for word in line.matches(of: /moetop ([a-z][a-z-]*)|(--[a-z][a-z-]+)/) {
          if let name = word.1 {
            command = String(name)
            #expect(commands.contains(command), "\(call): \(line)")
          } else if let option = word.2, line[..<word.range.lowerBound].last != "p" {
            #expect(try options(of: [command]).contains(String(option)), "\(call): \(line)")
          }
        }
      }
    }
  }

  @Test func aWordThatIsNoCommandIsCalledOne() throws {
    for (arguments, word) in [
      (["contrast", "a.db", "b.db"], "contrast"), (["frobnicate", "--deep"], "frobnicate"),
      (["anlyze", trace, "--json"], "the nearest command is analyze"),
    ] {
      let result = try Binary.run(arguments)
      #expect(result.status == 64 && result.output.isEmpty, "\(arguments): \(result)")
      #expect(result.errors.contains("there is no command \"\(arguments[0])\"") && result.errors.contains(word), "\(result.errors)")
      #expect(!result.errors.contains("Usage: moetop ui"))
    }
    // A word alone may have been meant as a model or a run as well.
    for (word, nearest) in [("inspekt", "inspect"), ("frobnicate", "no such command, model, trace or run")] {
      let result = try Binary.run([word, "--data-dir", folder.path])
      #expect(result.status == 66 && result.errors.contains(word) && result.errors.contains(nearest), "\(result.errors)")
    }
    // What exists keeps the parser's own words.
    let second = try Binary.run([model, "b"])
    #expect(second.status == 64 && second.errors.contains("'b'"), "\(second.errors)")
  }

  @Test func theBuildSaysWhatItIs() throws {
    let version = try Binary.run(["--version"])
    #expect(version.status == 0 && version.errors.isEmpty)
    for part in [
      #"^moetop \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,40}(-dirty)?|not known: built without make)\)\n"#, #"\nkernels (scalar|avx|neon)"#,
      #"\nsqlite 3\.\d+"#, #"ncurses \d+\.\d+"#, #"pcre2 \d+\.\d+"#, #"crypto \S"#, #"png \d+\.\d+"#,
    ] {
      #expect(version.output.range(of: part, options: .regularExpression) != nil, "\(part): \(version.output)")
    }
    let doctor = try Binary.run(["doctor", "--data-dir", folder.path]).output
    #expect(doctor.contains("avx512vnni") == doctor.contains("texts by exact blocks"), "\(doctor)")
    for name in ["moetop", "sqlite", "ncurses", "pcre2", "crypto", "png"] {
      #expect(doctor.contains("\n\(name) ") || doctor.hasPrefix(name))
    }
  }

  /// The samples are found from anywhere, by way of the program.
  @Test func modelsBeginsWithTheSamples() throws {
    let listed = try Binary.run(["models"], environment: ["HOME": folder.path])
    #expect(listed.status == 0 && listed.output.contains("olmoe-tiny") && listed.output.contains("dit-moe-tiny"), "\(listed.output)")
  }
}
