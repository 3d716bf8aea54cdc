import Analysis
import ArgumentParser
import Routing
import Store

/// Manual pages without a browser; docs/ is made from the same text.
struct Docs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print a reference page: metrics, filters, schema, exit codes, or the manual page.",
    discussion: """
      moetop docs metrics
      moetop docs filters
      """)

  enum Page: String, ExpressibleByArgument, CaseIterable { case metrics, filters, schema, exit, man }

  @Argument(help: "metrics, filters, schema, exit or man (the manual page, for man -l).") var page: Page

  func run() throws { StandardOutput.write(try Self.text(of: page)) }

  static func text(of page: Page) throws -> String {
    switch page {
    case .metrics: MetricCatalog.markdown()
    case .filters: Filter.markdown()
    case .schema: TraceSchema.rendered(as: .markdown)
    case .exit:
      "# Exit codes\n\n| Code | Meaning |\n|---|---|\n"
        + ExitStatus.allCases.map { "| \($0.rawValue) | \($0.meaning) |\n" }.joined()
    case .man: try ManualPage.text()
    }
  }
}
