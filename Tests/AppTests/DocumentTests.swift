// The pages under docs/ that are made from code are as fresh as the code.

import Analysis
import Foundation
import Support
import Testing

@testable import App

struct DocumentTests {
  /// Page, and where it lies.
  private static let pages: [(Docs.Page, String)] = [
    (.metrics, "metrics.md"), (.filters, "filters.md"), (.keys, "keys.md"), (.schema, "trace-schema.md"), (.exit, "exit-codes.md"),
  ]

  @Test func generatedPagesAreFresh() throws {
    for (page, name) in Self.pages {
      let path = Fixtures.root + "/docs/" + name
      let text = try Docs.text(of: page)
      let found = try? String(contentsOfFile: path, encoding: .utf8)
      if found != text {
        if ProcessInfo.processInfo.environment["RECORD_SNAPSHOTS"] != nil {
          try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        Issue.record("docs/\(name) is not what `moetop docs \(page.rawValue)` prints; RECORD_SNAPSHOTS=1 writes it")
      }
    }
  }

  /// Every subcommand shows two examples of itself before its options.
  @Test func everyCommandHelpsWithExamples() {
    for command in Moetop.configuration.subcommands {
      let configuration = command.configuration
      #expect(!configuration.abstract.isEmpty, "\(command)")
      let examples = configuration.discussion.split(separator: "\n").filter { $0.hasPrefix("moetop ") }
      #expect(examples.count >= 2, "\(command)")
    }
  }

  /// A number that scripts may rely on is explained where they look.
  @Test func contractsNameEveryNumberOfAComparison() throws {
    let page = try String(contentsOfFile: Fixtures.root + "/docs/contracts.md", encoding: .utf8)
    for kind in ComparisonRow.Kind.allCases {
      for key in kind.keys {
        let name = key == .setAgreementHigh ? "_high" : key.rawValue
        #expect(page.contains("`\(name)`"), "\(key.rawValue)")
      }
    }
  }

  @Test func theReadmeNamesTheCommandsThatExist() throws {
    let readme = try String(contentsOfFile: Fixtures.root + "/README.md", encoding: .utf8)
    let names = Set(Moetop.configuration.subcommands.map { $0._commandName })
    for line in readme.split(separator: "\n") where line.hasPrefix("moetop ") {
      #expect(names.contains(String(line.split(separator: " ")[1])), "\(line)")
    }
  }
}
