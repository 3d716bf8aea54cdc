import ArgumentParser
import Formats
import Model

/// Does it route as the reference does?
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare every routing decision and activation with a reference.",
    discussion: """
      moetop verify MODEL --tokens input.json --expected expected.safetensors
      moetop verify DENOISING-MODEL --noise noise.safetensors --expected expected.safetensors

      Two scripts in the tools folder of moetop's sources write such files: make_expected.py with transformers, reference_dit.py with PyTorch \
      alone; what is in them: moetop docs contracts. Exit code 0: every expected tensor was compared and holds; 2: something differs, or was \
      not compared.
      """)

  @Argument(help: "Folder or GGUF file of the checkpoint, or a name that `moetop models` shows.", transform: ModelPlaces.model) var model:
    String
  @Option(help: "Token ids (JSON).", transform: ModelPlaces.found) var tokens: String?
  @Option(help: "Noise of a denoising run (safetensors); the expected file says how it was made.", transform: ModelPlaces.found)
  var noise: String?
  @Option(help: "Expected tensors (safetensors).", transform: ModelPlaces.found) var expected: String
  @Flag(help: "Print the result as JSON.") var json = false
  @Flag(help: "List every tensor, not only the worst of each kind.") var all = false
  @OptionGroup var engine: EngineOptions

  func run() throws {
    let report: VerificationReport
    let family: String
    var differences: [String] = []
    let said: (notes: [String], assumed: [(key: String, value: String)])
    if engine.bos != .model { throw ValidationError("--bos: token ids are used verbatim") }
    if let noise {
      let model = try engine.openDenoising(model)
      family = model.family
      said = (model.notes, model.assumed)
      tell(model.notes)
      report = try DenoisingVerifier(model, threads: engine.threads).verify(
        noise: SafetensorsFile(path: noise), against: SafetensorsFile(path: expected))
    } else if let tokens {
      let model = try engine.open(model)
      family = model.family
      differences = model.llamaDifferences
      said = (model.notes, model.assumed)
      tell(model.warnings, as: "warning")
      tell(model.notes + model.assumptions)
      report = try Verifier(model, threads: engine.threads).verify(
        TokensFile.read(tokens), against: SafetensorsFile(path: expected))
    } else {
      throw ValidationError("expected --tokens, or --noise for a model that denoises images")
    }
    let notes = differences.map { "note: llama.cpp \($0)\n" }.joined()
    StandardOutput.answer(
      json: json, data: Self.json(report, model: model, family: family, said: said, llamaDifferences: differences),
      words: notes + table(report))
    if !report.holds { throw ResultDiffers() }
  }

  /// What a reader must know about the model before the numbers; not part of the answer.
  private func tell(_ words: [String], as kind: String = "note") { for word in words { StandardError.write("\(kind): \(word)\n") } }

  private func table(_ report: VerificationReport) -> String {
    var table = TextTable([.left("tensor"), .left("result"), .right("error"), .right("tolerance"), .left("detail")])
    func row(_ name: String, _ entry: VerificationReport.Entry) {
      table.rows.append(
        [name, entry.outcome.rawValue, Show.error(entry.error), Show.error(entry.tolerance), entry.detail])
    }
    if all {
      for entry in report.entries { row(entry.tensor, entry) }
    } else {
      var worst: [String: VerificationReport.Entry] = [:]
      var order: [String] = []
      for entry in report.entries where entry.outcome == .equal || entry.outcome == .within {
        let kind = Self.kind(of: entry.tensor)
        if worst[kind] == nil { order.append(kind) }
        if entry.error >= worst[kind]?.error ?? -1 { worst[kind] = entry }
      }
      for kind in order { if let entry = worst[kind] { row(kind, entry) } }
      for entry in report.entries where entry.outcome != .equal && entry.outcome != .within { row(entry.tensor, entry) }
    }
    var text = table.text
    text += "\(report.equalDecisions) of \(report.decisions) decisions equal"
    text += report.nearTies > 0 ? ", \(report.nearTies) near ties (margin <= 1e-5) fell otherwise" : ""
    text += report.ruledTies > 0 ? "; \(report.ruledTies) of them were taken as expected for what follows\n" : "\n"
    if !all { text += "an error is the largest of its kind, relative to max(1, largest expected magnitude)\n" }
    if report.entries.contains(where: { $0.outcome == .differs }) { text += "DIFFERS\n" }
    let reasons: [(VerificationReport.Entry.Outcome, String)] = [
      (.notProduced, "the model produces nothing of the name"), (.empty, "not one row"),
    ]
    for (outcome, why) in reasons {
      let missed = report.entries.filter { $0.outcome == outcome }.map(\.tensor)
      if !missed.isEmpty { text += "NOT COMPARED, \(why): \(missed.joined(separator: ", "))\n" }
    }
    if report.comparesNothing { text += "NOTHING but the input was compared\n" }
    for name in report.notConsidered {
      text += "note: \(name) is not compared: the expected rows were fed otherwise than here, where all are read and none is generated\n"
    }
    return text + (report.holds ? "all holds\n" : "")
  }

  /// The name without its layer: `ffn.*.weights`.
  private static func kind(of tensor: String) -> String {
    tensor.split(separator: ".").map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
  }

  private static func json(
    _ report: VerificationReport, model path: String, family: String, said: (notes: [String], assumed: [(key: String, value: String)]),
    llamaDifferences: [String]
  ) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.verify/1")
      writer.member("model", path.split(separator: "/").last.map(String.init) ?? path)
      writer.member("family", family)
      writer.member("holds", report.holds)
      writer.member("decisions", report.decisions)
      writer.member("equal_decisions", report.equalDecisions)
      writer.member("near_ties", report.nearTies)
      writer.member("near_ties_taken_as_expected", report.ruledTies)
      writer.member("not_compared", report.notCompared)
      writer.member("not_considered", report.notConsidered)
      writer.member("compares_nothing", report.comparesNothing)
      writer.member("llama_cpp_differs", llamaDifferences)
      writer.member("notes", said.notes)
      writer.member("assumed") { writer in writer.object { for (key, value) in said.assumed { $0.member(key, value) } } }
      writer.objects("tensors", report.entries) { writer, entry in
        writer.member("name", entry.tensor)
        writer.member("result", entry.outcome.rawValue)
        writer.member("error", Double(entry.error))
        writer.member("tolerance", Double(entry.tolerance))
        writer.member("detail", entry.detail)
      }
    }
    return writer.text + "\n"
  }
}
