// Is what `make install` puts down whole, and does the README hold there? The program is installed into an empty folder; every example of
// the README runs in order, in another empty folder, as a reader would run it.

import Foundation
import Support
import Testing

@Suite(.serialized) struct InstallTests {
  private let folder: TemporaryDirectory
  private var prefix: String { folder.file("root/usr") }

  init() throws { folder = try TemporaryDirectory() }

  /// Runs a line of shell in `place`, the installed program first on the path.
  private func shell(_ line: String, in place: String) throws -> CommandResult {
    try Binary.run(
      ["-c", "cd '\(place)' && \(line)"], program: "/bin/sh",
      environment: ["PATH": "\(prefix)/bin:/usr/bin:/bin", "HOME": folder.file("home"), "XDG_DATA_HOME": folder.file("home/data")])
  }

  private func install(_ target: String = "install") throws {
    let arguments = "PROGRAM='\(Binary.path)' DESTDIR='\(folder.file("root"))' PREFIX=/usr"
    let result = try shell("make -s \(target) \(arguments)", in: Fixtures.root)
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.output)\(result.errors)")
  }

  private static let files = [
    "bin/moetop", "share/man/man1/moetop.1", "share/bash-completion/completions/moetop", "share/zsh/site-functions/_moetop",
    "share/fish/vendor_completions.d/moetop.fish", "share/moetop/samples/olmoe-tiny/config.json", "share/moetop/samples/corpus.jsonl",
    "share/doc/moetop/contracts.md",
  ]

  private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(prefix)/\(name)") }

  @Test func isWholeAndLeavesNothing() throws {
    try install()
    for file in Self.files { #expect(exists(file), "\(file)") }
    for (file, word) in [("bash-completion/completions/moetop", "complete "), ("zsh/site-functions/_moetop", "#compdef moetop")] {
      #expect(try String(contentsOfFile: "\(prefix)/share/\(file)", encoding: .utf8).contains(word), "\(file)")
    }
    try install("uninstall")
    for file in Self.files { #expect(!exists(file), "\(file)") }
    #expect(!exists("share/moetop") && !exists("share/doc/moetop"))
  }

  @Test func theManualNamesEveryCommandAndCode() throws {
    let page = try Binary.run(["docs", "man"]).output
    let help = try Binary.run(["--help"]).output
    let commands = help.split(separator: "\n").drop { !$0.hasPrefix("SUBCOMMANDS") }.dropFirst()
      .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }.compactMap { $0.split(separator: " ").first }.filter {
        $0.allSatisfy(\.isLowercase)
      }
    #expect(commands.count > 10)
    for command in commands { #expect(page.contains(".SS \"moetop \(command) "), "\(command)") }
    for part in [".TH \"MOETOP\"", "\\fB66\\fR", "MOETOP_MODELS", "\\-\\-fail\\-if"] { #expect(page.contains(part), "\(part)") }
    // A line that begins with a dot is an instruction, and there are few.
    for line in page.split(separator: "\n") where line.hasPrefix(".") {
      #expect([".TH", ".SH", ".SS", ".TP", ".PP", ".EX", ".EE", ".B "].contains { line.hasPrefix($0) }, "\(line)")
    }
  }

  /// What help, manual and README print with `samples/` holds in a folder without such; a file of that name there comes first.
  @Test func samplesAreFoundFromAnywhere() throws {
    try install()
    let place = folder.file("anywhere")
    try FileManager.default.createDirectory(atPath: place + "/samples", withIntermediateDirectories: true)
    for line in [
      "moetop inspect samples/olmoe-tiny", "moetop run samples/olmoe-tiny -p 'Once upon a time' --max-tokens 2 --no-trace",
      "moetop run samples/olmoe-tiny -f samples/corpus.jsonl --length 2 --no-trace -q",
      "moetop run samples/olmoe-tiny --domain all=samples/corpus.jsonl --length 2 --no-trace -q",
      "printf 'open samples/dit-moe-tiny\nwait 1 steps\n' | moetop ui samples/olmoe-tiny --script -",
    ] {
      let result = try shell(line, in: place)
      #expect(result.status == 0, "\(line): \(result.errors)")
    }
    try Data("Two words".utf8).write(to: URL(fileURLWithPath: place + "/samples/corpus.jsonl"))
    #expect(try shell("moetop run samples/olmoe-tiny -f samples/corpus.jsonl --no-trace", in: place).status == 65)
    #expect(try shell("moetop inspect samples/none", in: place).status == 66)
  }

  /// Help sends its readers to pages that are there, and to no file of the sources that is not said to be one.
  @Test func whatHelpNamesIsThere() throws {
    try install()
    for page in ["guide", "contracts", "compare", "whatif", "models", "metrics", "filters", "schema", "exit", "man"] {
      let result = try shell("moetop docs \(page)", in: prefix)
      #expect(result.status == 0 && result.output.count > 200, "\(page): \(result.errors)")
    }
    let contracts = try String(contentsOfFile: Fixtures.root + "/docs/contracts.md", encoding: .utf8)
    #expect(try shell("moetop docs contracts", in: prefix).output == contracts)
    let page = try Binary.run(["docs", "man"]).output.replacing("\\-", with: "-")
    for word in ["docs/", "tools/"] { #expect(!page.contains(word), "\(word)") }
    try FileManager.default.removeItem(atPath: "\(prefix)/share/doc/moetop/guide.md")
    let missing = try shell("moetop docs guide", in: prefix)
    #expect(missing.status == 66 && missing.errors.contains("guide.md: was not installed"), "\(missing.errors)")
  }

  /// The lines of the README's examples, those that go on in the next joined.
  private func examples() throws -> [String] {
    let readme = try String(contentsOfFile: Fixtures.root + "/README.md", encoding: .utf8)
    let block = try #require(readme.components(separatedBy: "examples\n").last?.components(separatedBy: "```\n").dropFirst().first)
    return block.replacing("\\\n", with: " ").split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
  }

  @Test(.enabled(if: Binary.isOptimised, "the examples read a whole corpus; the release build runs them"))
  func everyExampleOfTheReadmeRuns() throws {
    try install()
    let examples = try examples()
    #expect(examples.count >= 9)
    let place = folder.file("anywhere")
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    for example in examples {
      let result = try shell(example, in: place)
      #expect(result.status == 0, "\(example): \(result.errors)")
      #expect(!result.output.isEmpty || example.contains(" -o "), "\(example)")
    }
  }
}

// What make runs around the compiler, with another program in the compiler's place.
@Suite struct BuildScriptTests {
  private let folder: TemporaryDirectory

  init() throws {
    folder = try TemporaryDirectory()
    for name in ["tools", ".build"] {
      try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: false)
    }
  }

  /// Runs a script of tools/ in a checkout of its own.
  private func run(_ script: String, _ arguments: [String]) throws -> CommandResult {
    let copy = folder.file("tools/\(script)")
    try FileManager.default.copyItem(atPath: "\(Fixtures.root)/tools/\(script)", toPath: copy)
    return try Binary.run([copy] + arguments, program: "/bin/sh")
  }

  @Test(arguments: [(true, ""), (false, "package clean\n")])
  func whatWasBuiltElsewhereIsCleaned(_ isHere: Bool, _ expected: String) throws {
    let here = try Binary.run(["-c", "cd '\(folder.path)' && pwd -P"], program: "/bin/sh").output.trimmingCharacters(
      in: .whitespacesAndNewlines)
    try folder.write(Array("inputs: [\"\(isHere ? here : "/elsewhere")/Sources/App/Moetop.swift\"]".utf8), to: ".build/release.yaml")
    let result = try run("check-place.sh", ["/bin/echo"])
    #expect(result.status == 0 && result.output == expected && result.errors.isEmpty == isHere, "\(result)")
  }

  @Test func skippedTestsAreNamedAndCounted() throws {
    let event =
      #"{"kind":"event","payload":{"kind":"testSkipped","messages":[{"symbol":"skip","text":"Test a() skipped: \"no tmux\""}],"testID":"M.S\/a()\/S.swift:7:4"}}"#
    let swift = try folder.write(Array("for file; do test -f \"$file\" && echo '\(event)' >\"$file\"; done; exit 3".utf8), to: "swift")
    let result = try run("run-tests.sh", ["/bin/sh", swift, "test"])
    #expect(result.status == 3 && result.output.hasSuffix("skipped, 1 in all:\n  M.S/a(): no tmux\n"), "\(result)")
  }
}
