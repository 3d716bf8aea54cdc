// A run as a file that other programs read: what can be exported, in which format, and where it goes. One file per format does the work.

import Formats
import Routing

/// Exports one run of a trace.
///
///     try TraceExport(trace: trace, run: run).write(.routing, as: .safetensors, to: .file("routing.safetensors"))
public struct TraceExport {
  public enum Content: String, Sendable, CaseIterable {
    /// Every decision.
    case routing
    /// Load and importance of every expert.
    case load
    /// Every token with its text.
    case tokens
  }

  public enum Format: String, Sendable, CaseIterable { case csv, jsonl, safetensors, npz, eplb }

  let trace: TraceReader
  let run: RunSummary
  /// Which decisions and tokens have rows; nil for all.
  let filter: ResolvedFilter?
  /// Told the share that is done, 0...1, now and then.
  public var progress: (Double) -> Void = { _ in }

  public init(trace: TraceReader, run: RunSummary, filter: ResolvedFilter? = nil) {
    self.trace = trace
    self.run = run
    self.filter = filter
  }

  /// Formats in which `content` can be had.
  public static func formats(of content: Content) -> [Format] {
    switch content {
    case .routing: [.csv, .jsonl, .safetensors, .npz]
    case .load: [.csv, .jsonl, .eplb]
    case .tokens: [.csv, .jsonl]
    }
  }

  /// Writes the export. Memory: a page per router and eight bytes a token, whatever the size of the run. Under a filter the run is read
  /// twice: first for what is left.
  ///
  /// A file appears under its name only when it is complete.
  /// - Throws: `StoreError`: `.impossibleExport` for a combination that does not exist, and what reading the trace throws;
  ///   `FilterError.nothingPasses` when a filter leaves no decision;
  ///   `FormatError.system` for the output. Errors of a stream are passed on.
  public func write(_ content: Content, as format: Format, to output: ExportOutput) throws {
    guard Self.formats(of: content).contains(format) else {
      let forms = Self.formats(of: content).map(\.rawValue).joined(separator: ", ")
      throw StoreError.impossibleExport(problem: "\(content.rawValue) has no \(format.rawValue) form; it has \(forms)")
    }
    if run.description.recording.content == .counts
      && (content == .tokens || content == .routing && ![.safetensors, .npz].contains(format))
    {
      throw StoreError.impossibleExport(
        problem:
          "run \(run.id) keeps counts only; they are exported with --what routing --format safetensors (or npz), or read from the view "
          + "denoising_counts")
    }
    if filter != nil && run.description.recording.content == .counts {
      throw StoreError.impossibleExport(problem: "run \(run.id) keeps counts only, and no decisions for a filter to choose from")
    }
    if [.safetensors, .npz].contains(format) {
      guard case .file(let path) = output else {
        throw StoreError.impossibleExport(problem: "\(format.rawValue) cannot go to a stream; name a file with -o FILE")
      }
      try writeTensors(as: format, to: path)
      return progress(1)
    }
    if format == .eplb {
      try writeExpertCounts(to: output)
      return progress(1)
    }
    let text = try TextOutput(output)
    switch (content, format) {
    case (.routing, .csv): try writeRoutingCSV(to: text)
    case (.routing, _): try writeRoutingJSONLines(to: text)
    case (.load, _): try writeLoad(as: format, to: text)
    case (.tokens, _): try writeTokens(as: format, to: text)
    }
    try text.finish()
    progress(1)
  }
}
