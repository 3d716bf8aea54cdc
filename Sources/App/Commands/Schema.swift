import ArgumentParser
import Store

/// The documented views of a trace.
struct Schema: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the views that every trace offers to SQL.",
    discussion: """
      moetop schema
      moetop schema --format markdown > trace-schema.md
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, markdown }

  @Option(help: "text, json or markdown.") var format = Format.text

  func run() {
    let chosen: TraceSchema.Format =
      switch format {
      case .text: .text
      case .json: .json
      case .markdown: .markdown
      }
    StandardOutput.write(TraceSchema.rendered(as: chosen))
  }
}
