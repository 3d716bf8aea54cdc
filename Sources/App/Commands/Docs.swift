import Analysis
import ArgumentParser
import Routing
import Store

/// Manual pages without a browser: those of docs/ that are made from the program, from where they are made, and the others as they were
/// installed.
struct Docs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print a page of the documentation.",
    discussion: """
      moetop docs metrics
      moetop docs keys
      moetop docs guide | less
      """)

  enum Page: String, ExpressibleByArgument, CaseIterable {
    case guide, contracts, compare, whatif, `import`, models, metrics, filters, keys, schema, exit, man

    /// Also what the file in docs/ is called.
    init?(argument: String) {
      let known = ["trace-schema": Page.schema, "exit-codes": .exit]
      guard let page = known[argument] ?? Page(rawValue: argument) else { return nil }
      self = page
    }
  }

  @Argument(
    help:
      "guide (a tour), contracts (what scripts may rely on), compare and whatif (questions, walked through), import (records of other programs), models, metrics, filters, keys (of the screens, as configured), schema, exit (codes) or man (for man -l)."
  )
  var page: Page

  func run() throws {
    var table = ActionTable.standard
    if page == .keys {
      switch Configuration.ofUser {
      case .success(let settings): table = ActionTable(Screens.all, settings.keys)
      // Whoever mends a configuration looks here.
      case .failure(let error): StandardError.write("note: these are the usual keys: \(Show.message(Failure.message(of: error)))\n")
      }
    }
    StandardOutput.write(try Self.text(of: page, actions: table))
  }

  static func text(of page: Page, actions: ActionTable = .standard) throws -> String {
    switch page {
    case .guide, .contracts, .compare, .whatif, .import, .models: try installed(page.rawValue + ".md")
    case .metrics: MetricCatalog.markdown()
    case .filters: Filter.markdown()
    case .keys: actions.markdown()
    case .schema: TraceSchema.rendered(as: .markdown)
    case .exit:
      "# Exit codes\n\n| Code | Meaning |\n|---|---|\n"
        + ExitStatus.allCases.map { "| \($0.rawValue) | \($0.meaning) |\n" }.joined()
    case .man: try ManualPage.text()
    }
  }

  private static func installed(_ name: String) throws -> String {
    guard let path = InstalledFiles.path(installed: "doc/moetop/" + name, checkout: "docs/" + name) else {
      throw Failure(.missing, "\(name): was not installed with this program: expected in share/doc beside bin\n  try: make install")
    }
    return try TextInput(path).text
  }
}
