// A run written as a file that other programs read, aside.

import Formats
import Store
import Terminal

struct ExportRunWork: ScreenWork {
  var file: String
  var run: Int64
  var format: TraceExport.Format
  var path: String

  var lane: String? { nil }

  func run(_ desk: WorkDesk) {
    do {
      let (reader, summary) = try TraceReader.open(desk.settings.traces.reference("\(file)#\(run)"))
      if desk.settings.asks, FileStatus.exists(path) {
        return desk.post(ExportRunReport(twin: nil, words: "\(path) is there already: choose another name"))
      }
      try OutputFile.check(path, reading: desk.settings.files(of: ["\(file)#\(run)"]))
      try TraceExport(trace: reader, run: summary).write(.routing, as: format, to: .file(path))
      let twin = "\(file)#\(run) --what routing --format \(format.rawValue) -o \(path)"
      desk.post(ExportRunReport(twin: twin, words: "run \(run) is in \(path)"))
    } catch {
      desk.post(ExportRunReport(twin: nil, words: Failure.message(of: error)))
    }
  }
}

struct ExportRunReport: ScreenReport {
  /// What the command that does the same is given; nil where it was not done.
  var twin: String?
  var words: String

  func arrive(in model: inout AppModel) -> [Effect] {
    model.say(words, twin == nil ? .error : .good, seconds: twin == nil ? 20 : 6)
    if let twin { model.note(.exportRun, twin) }
    return []
  }
}
