import ArgumentParser
import Formats
import Foundation
import Model
import Store
import Terminal

/// What works here, what is missing, and why.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check terminal, processor, libraries and files.",
    discussion: """
      moetop doctor
      moetop doctor --data-dir /tmp/traces
      """)

  @OptionGroup var traces: TraceOptions

  /// One finding; a missing one makes something not work, a note only explains.
  private struct Finding {
    enum Verdict: String { case ok, note, missing }
    var subject: String
    var verdict: Verdict
    var text: String
  }

  func run() throws {
    let findings = processor() + terminal() + configuration() + files()
    var table = TextTable([.left(""), .left(""), .left("")])
    for finding in findings { table.rows.append([finding.subject, finding.verdict.rawValue, finding.text]) }
    StandardOutput.write(table.text)
    if findings.contains(where: { $0.verdict == .missing }) { throw ResultDiffers() }
  }

  private func processor() -> [Finding] {
    let simd = Engine.simdLevel
    let info = ProcessInfo.processInfo
    return [
      Finding(subject: "moetop", verdict: .ok, text: "\(Version.number), \(Version.commitText)"),
      Finding(
        subject: "kernels", verdict: simd == "scalar" ? .note : .ok,
        text: simd == "scalar"
          ? "scalar: this processor has no vector form here, expect a tenth of the speed"
          : Engine.offersTiles ? "\(simd)  (AMX is there too: --kernels amx, not measured on hardware yet)" : simd),
      Finding(
        subject: "sums", verdict: .ok,
        text: "texts \(Engine.readingWords); generated tokens of quantised models \(Engine.digitWords)  (as texts with --reproducible)"),
      Finding(subject: "cores", verdict: .ok, text: "\(info.activeProcessorCount)"),
      Finding(subject: "memory", verdict: .ok, text: Show.bytes(Int(clamping: info.physicalMemory))),
    ] + Version.libraries.map { Finding(subject: $0.name, verdict: .ok, text: $0.version) }
  }

  private func terminal() -> [Finding] {
    let environment = ProcessInfo.processInfo.environment
    let term = environment["TERM"] ?? ""
    let locale = environment["LC_ALL"] ?? environment["LC_CTYPE"] ?? environment["LANG"] ?? ""
    let isUnicode = locale.lowercased().contains("utf")
    return [
      Finding(
        subject: "terminal", verdict: StandardOutput.isTerminal ? .ok : .note,
        text: StandardOutput.isTerminal ? "yes" : "standard output is not one; the screens need one"),
      Finding(
        subject: "TERM", verdict: term.isEmpty || term == "dumb" ? .note : .ok,
        text: term.isEmpty ? "not set; the screens need it" : term),
      Finding(
        subject: "characters", verdict: isUnicode ? .ok : .note,
        text: isUnicode ? locale : "no UTF-8 locale (\(locale.isEmpty ? "LANG is not set" : locale)); screens use ASCII"),
    ] + colors(of: term)
  }

  /// How many colours the screens would have here, and who says so.
  private func colors(of term: String) -> [Finding] {
    let options = Configuration.standing.terminal
    guard !term.isEmpty, let own = TerminfoEntry.colors(term) else {
      return term.isEmpty ? [] : [Finding(subject: "colours", verdict: .note, text: "terminfo has no entry \(term); screens need one")]
    }
    let entry = DirectColorPlan(
      choice: options.directColor, color: options.color ?? options.configuredColor, environment: options.environment,
      colors: TerminfoEntry.colors)
    let plan = ColorPlan(
      option: options.color, configuration: options.configuredColor, environment: options.environment,
      terminfoColors: TerminfoEntry.colors(entry.term) ?? own, isTerminal: true)
    var text = plan.depth == .direct ? "24 bits: \(entry.reason)" : "\(plan.depth.words) (\(plan.reason)); not 24 bits: \(entry.reason)"
    if !entry.missing.isEmpty { text += "; the package ncurses-term has such entries" }
    return [Finding(subject: "colours", verdict: entry.missing.isEmpty ? .ok : .note, text: text)]
  }

  private func configuration() -> [Finding] {
    let places = Places.ofUser
    switch Configuration.ofUser {
    case .failure(let error): return [Finding(subject: "configuration", verdict: .missing, text: Failure.message(of: error))]
    case .success(let settings):
      let count = Setting.all.count { if case .file = settings.origins[$0.name] { true } else { false } } + settings.keys.bindings.count
      let text = FileStatus.exists(places.config) ? "\(places.config), \(Show.counted(count, "setting"))" : "\(places.config) is not there"
      return [Finding(subject: "configuration", verdict: .ok, text: text + "; moetop config shows all")]
    }
  }

  private func files() -> [Finding] {
    let trace = traces.defaultTrace
    let directory = (trace as NSString).deletingLastPathComponent
    var findings: [Finding] = []
    if FileManager.default.fileExists(atPath: trace) {
      do {
        let reader = try TraceReader(file: trace)
        findings.append(Finding(subject: "traces", verdict: .ok, text: "\(trace), \(try reader.runs().count) runs"))
      } catch {
        findings.append(Finding(subject: "traces", verdict: .missing, text: Failure.message(of: error)))
      }
    } else {
      var parent = directory
      while !FileManager.default.fileExists(atPath: parent), parent != "/" { parent = (parent as NSString).deletingLastPathComponent }
      let writable = FileManager.default.isWritableFile(atPath: parent)
      findings.append(
        Finding(
          subject: "traces", verdict: writable ? .ok : .missing,
          text: writable ? "\(trace) will be made by the first run" : "\(parent) cannot be written; --data-dir names another"))
    }
    return findings
  }
}

extension ColorDepth {
  fileprivate var words: String {
    switch self {
    case .mono: "none"
    case .ansi16: "16"
    case .indexed256: "256"
    case .direct: "24 bits"
    }
  }
}
