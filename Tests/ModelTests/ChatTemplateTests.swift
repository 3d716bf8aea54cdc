// Does a chat template give the prompt that Jinja gives? Every case of Fixtures/chat (made by tools/make_chat_cases.py), refusals with
// their line for what is outside the subset, and templates that try to run away.

import Formats
import Model
import Support
import Testing

@testable import Model

private let furtherCases = Fixtures.shared("chat/cases.json")

@Suite struct ChatTemplateTests {
  @Test func everyCase() throws { #expect(try Self.check(#require(Fixtures.own("chat/cases.json"))) == 86) }

  /// Models' own templates, rendered by Jinja (tools/make_chat_cases.py with files).
  @Test(.enabled(if: furtherCases != nil, "MOETOP_SHARED/chat/cases.json is needed")) func furtherReferencesOfTemplates() throws {
    #expect(try Self.check(#require(furtherCases)) > 0)
  }

  /// - Returns: how many cases there were.
  private static func check(_ path: String) throws -> Int {
    let json = try JSON.read(path, options: .python)
    let templates = try json.strings("templates")
    var count = 0
    for entry in try json.array("cases") {
      let name = try entry.string("name")
      let variables = try entry.member("variables").requireObject().map { (name: $0.key.string ?? "", value: TemplateValue($0.value)) }
      do {
        let template = try ChatTemplate(templates[try entry.member("template").requireInteger(in: 0...templates.count - 1)], path: "t")
        let prompt = try template.render(variables)
        let expected = try entry.stringIfPresent("expected")
        #expect(expected.map { isSame($0, prompt) } == true, "\(name):\n\(prompt)\n---\n\(expected ?? "a refusal")")
      } catch let error as TemplateError {
        let isExpected =
          try error.kind == .refusal ? error.message == entry.stringIfPresent("refusal") : entry.stringIfPresent("failure") != nil
        #expect(isExpected, "\(name): \(error)")
      }
      count += 1
    }
    return count
  }

  @Test(arguments: [
    ("a\n{% include 'x' %}", TemplateError.Kind.unsupported, 2, "include"),
    ("{{ 1 }}\n\n{{ 'a' | wordwrap }}", .unsupported, 3, "wordwrap"),
    ("{{ 'a' is upper }}", .unsupported, 1, "upper"),
    ("{{ messages[0].content.encode() }}", .unsupported, 1, "encode"),
    ("{{ messages.append(1) }}", .unsupported, 1, "append"),
    ("{{ '%s' % 1 }}", .unsupported, 1, "%"),
    ("{% call x %}{% endcall %}", .syntax, 1, "a call"), ("{% call x() %}{% endcall %}", .unsupported, 1, "the function \"x\""),
    ("{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}", .value, 1, "does not take"),
    ("{% macro m() %}{% endmacro %}{{ m(1) }}", .value, 1, "does not take"),
    ("{{ range(*1) }}", .value, 1, "behind *"), ("{{ range(*[1], 2) }}", .syntax, 1, "plain argument"),
    ("{{ {[1]: 2} }}", .value, 1, "as the key"), ("a\n{% raw %}", .syntax, 2, "raw text"),
    ("{{ messages | map(attribute='role') | length }}", .value, 1, "generator"),
    ("{{ messages | select }}", .unsupported, 1, "generator"),
    ("{% for a in b recursive %}{% endfor %}", .unsupported, 1, "recursive"),
    ("{% for a in [1] %}{{ loop.changed(a) }}{% endfor %}", .unsupported, 1, "loop.changed"),
    ("{{ caller() }}", .unsupported, 1, "caller"),
    ("{{ nobody(1) }}", .unsupported, 1, "nobody"),
    ("{{ 2 ** 3 }}", .unsupported, 1, "**"),
    ("{{ 'a'|tojson(weird=1) }}", .unsupported, 1, "weird"),
    ("{{ missing.member }}", .value, 1, "missing"),
    ("{{ 'a' + 1 }}", .value, 1, "a text + a number"),
    ("{% if x %}", .syntax, 1, "closed by"),
    ("\n{{ 'a }}", .syntax, 2, "does not end"),
    ("{% endif %}", .syntax, 1, "endif"),
    ("{{ a b }}", .unsupported, 1, "b"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}", .value, 1, "come to an end"),
    ("{% set ns = namespace(t='ab') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}", .value, 1, "64 MiB"),
    ("{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}", .value, 1, "elements"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", .value, 1, "without end"),
    ("{{ \(String(repeating: "(", count: 500))1\(String(repeating: ")", count: 500)) }}", .unsupported, 1, "depth"),
    ("{{ '{:d}'.format(1) }}", .unsupported, 1, "format"), ("{{ '{}'.format() }}", .value, 1, "format"),
    ("{{ '{'.format(1) }}", .value, 1, "brace"), ("{{ (('a' | safe) | trim) }}", .unsupported, 1, "made safe"),
    ("{{ range(10**9) }}", .unsupported, 1, "**"),
    ("{{ range(1000000) }}", .value, 1, "range"),
  ])
  func refusals(_ template: String, _ kind: TemplateError.Kind, _ line: Int, _ word: String) {
    let messages: [ChatMessage] = [ChatMessage(role: "user", content: "hi")]
    do {
      let prompt = try ChatTemplate(template, path: "t").prompt(for: messages)
      Issue.record("rendered \(prompt.prefix(100))")
    } catch {
      #expect(error.kind == kind && error.line == line && error.message.contains(word), "\(error)")
      #expect("\(error)".hasPrefix("t: line \(line) of the chat template"))
    }
  }

  @Test func dateComesFromTheClock() throws {
    let template = try ChatTemplate("{{ strftime_now('%d %b %Y') }}", path: "t")
    #expect(try template.render([], clock: { "<\($0)>" }) == "<%d %b %Y>")
    #expect(ChatTemplate.localTime("%Y").count == 4)
  }

  @Test func aFolderNamesItsTemplate() throws {
    let folder = try TemporaryDirectory()
    #expect(try ChatTemplate(directory: folder.path) == nil)
    let inConfiguration = #"{"chat_template": "A{{ bos_token }}", "bos_token": {"content": "<s>"}, "eos_token": null}"#
    try folder.write(Array(inConfiguration.utf8), to: "tokenizer_config.json")
    #expect(try ChatTemplate(directory: folder.path)?.prompt(for: []) == "A<s>")
    try folder.write(Array("B{{ bos_token }}{{ eos_token }}\n".utf8), to: "chat_template.jinja")
    #expect(try ChatTemplate(directory: folder.path)?.prompt(for: []) == "B<s>")
    let several = #"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#
    let other = try TemporaryDirectory()
    try other.write(Array(several.utf8), to: "tokenizer_config.json")
    #expect(try ChatTemplate(directory: other.path)?.prompt(for: []) == "D")
  }

  /// Tokens of this model alone have the names that its tokenizer_config.json gives them.
  @Test func aModelNamesTokensOfItsOwn() throws {
    let folder = try TemporaryDirectory()
    let configuration = """
      {"bos_token": "<s>", "image_token": "<image>", "boi_token": {"__type": "AddedToken", "content": "<boi>"}, "add_bos_token": true,
       "extra_special_tokens": {"audio_token": "<audio>"}, "chat_template": "{{ image_token }}{{ boi_token }}{{ audio_token }}{{ add_bos_token }}"}
      """
    try folder.write(Array(configuration.utf8), to: "tokenizer_config.json")
    #expect(try ChatTemplate(directory: folder.path)?.prompt(for: []) == "<image><boi><audio>")
  }

  /// Templates with bits flipped: an error or a prompt, never a crash.
  @Test func brokenTemplatesNeverCrash() throws {
    let templates = try JSON.read(try #require(Fixtures.own("chat/cases.json"))).strings("templates")
    var random = SeededRandom(seed: 5)
    var rendered = 0
    for template in templates {
      for _ in 0..<150 {
        var bytes = Array(template.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<7, using: &random)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        if (try? ChatTemplate(text, path: "t").prompt(for: [ChatMessage(role: "user", content: "hi")])) != nil { rendered += 1 }
      }
    }
    #expect(rendered > 50)
  }
}
