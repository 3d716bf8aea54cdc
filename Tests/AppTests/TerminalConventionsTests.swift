// docs/terminal.md says which test proves what: every test that it names exists. And the conventions that nothing else proves: arrows and
// letters move alike, every list knows the same keys, every screen says its keys at the bottom.

import Foundation
import Support
import Terminal
import Testing

@testable import App

struct TerminalConventionsTests {
  /// `func` names by suite, of all files below Tests.
  private static func tests() throws -> [String: Set<String>] {
    let root = Fixtures.root + "/Tests"
    var found: [String: Set<String>] = [:]
    let files = try #require(FileManager.default.enumerator(atPath: root))
    for case let name as String in files where name.hasSuffix(".swift") {
      var suite = ""
      var isTest = false
      for line in try String(contentsOfFile: "\(root)/\(name)", encoding: .utf8).split(separator: "\n") {
        if let type = line.firstMatch(of: /^(?:@.*\s)?(?:final )?(?:struct|class) ([A-Z]\w+)/) { suite = String(type.1) }
        if line.hasPrefix("  @Test") { isTest = true }
        if isTest, let function = line.firstMatch(of: /func ([A-Za-z0-9]+)/) {
          found[suite, default: []].insert(String(function.1))
          isTest = false
        }
      }
    }
    return found
  }

  @Test func everyNamedTestExists() throws {
    let page = try String(contentsOfFile: Fixtures.root + "/docs/terminal.md", encoding: .utf8)
    let tests = try Self.tests()
    let named = page.matches(of: /`([A-Z][A-Za-z]+Tests)\/([A-Za-z0-9]+)`/)
    #expect(named.count > 40)
    for name in named {
      #expect(tests[String(name.1)]?.contains(String(name.2)) == true, "docs/terminal.md: there is no test \(name.1)/\(name.2)")
    }
    // Every convention names its proof.
    let rows = page.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| Convention") && !$0.hasPrefix("| ---") }
    #expect(rows.count >= 23)
    for row in rows { #expect(row.contains("Tests/"), "no test is named: \(row.prefix(60))") }
  }

  private func session(_ screen: String) throws -> AppModel {
    var model = try SyntheticSession.model(texts: 4)
    model.press(screen)
    if screen == "8" { model.play(.runs(.success(SyntheticSession.runs()), file: "/data/traces.db")) }
    return model
  }

  @Test(arguments: ["1", "2", "3", "4", "8"]) func arrowsAndLettersMoveAlike(_ screen: String) throws {
    let start = try session(screen)
    for panel in 0..<start.room.panels(in: start).count {
      for (arrow, letter) in [("left", "h"), ("right", "l"), ("up", "k"), ("down", "j"), ("home", "g"), ("end", "G")] {
        var (one, other) = (start, start)
        let tabs = Array(repeating: "tab", count: panel).joined(separator: " ")
        one.press("\(tabs) down down \(arrow)")
        other.press("\(tabs) down down \(letter)")
        #expect(Painter.draw(one).screen == Painter.draw(other).screen, "\(arrow) and \(letter) on screen \(screen), panel \(panel)")
      }
    }
  }

  /// Down, a page, half a page, the end and back: the place in a list changes and comes back.
  @Test func everyListKnowsTheSameKeys() throws {
    var model = try session("3")
    model.play(.perform(.threshold, "0.1"))
    let count = model.uncertainRows.count
    #expect(count > 60)
    func place() -> Int { model.uncertain.rows.selected }
    for (key, expected) in [("down", 1), ("pgdn", 21), ("ctrl-d", 31), ("ctrl-u", 21), ("pgup", 1), ("up", 0), ("G", count - 1), ("g", 0)] {
      model.press(key)
      #expect(place() == expected, "after \(key)")
    }
  }

  /// At every size there is a line of keys, of whole items, with the way to all others and out.
  @Test(arguments: ["200x60", "120x40", "80x24", "60x16"]) func theKeyBarIsCutAtWholeItems(_ text: String) throws {
    let size = try #require(Size(text))
    for screen in ["1", "2", "3", "4", "8"] {
      var model = try session(screen)
      model.play(.resize(size))
      let line = try #require(Painter.draw(model).screen.lines.last)
      for item in [": command", "? help", "q quit"] { #expect(line.contains(item), "\(text), screen \(screen): \(line)") }
    }
  }
}
