// A copy of a subject's file that may be damaged, among the sound files it is opened with; and how it is opened, which is how the program
// opens it.

import Formats
import Foundation
import Model
import Routing
import Store
import Support

/// A model cut into shards.
enum Shards {
  static let names = (1...3).map { "model-0000\($0)-of-00003.safetensors" }

  static func write(_ model: String, to directory: TemporaryDirectory) throws {
    let tensors = try SafetensorsFile(path: model).tensors
    var map: [String: String] = [:]
    for (index, name) in names.enumerated() {
      let part = tensors.indices.filter { $0 % names.count == index }.map { tensors[$0] }
      let writer = try SafetensorsWriter(path: directory.file(name), tensors: part.map { .init($0.name, $0.elementType, $0.shape) })
      for tensor in part {
        try writer.append(Array(tensor.bytes), to: tensor.name)
        map[tensor.name] = name
      }
      try writer.finish()
    }
    try directory.write(JSONEncoder().encode(["weight_map": map]), to: "model.safetensors.index.json")
  }
}

/// A file that was opened.
enum Opened {
  case tensors([TensorView])
  case json(JSONValue)
  case model(LanguageModel)
  case denoising(DenoisingModel)
  case tokenizer(Tokenizer)
  case template(ChatTemplate)
  case trace(TraceReader)
  case record(RecordImport)
  /// Words or a session: all there is to do was done.
  case done
}

/// A copy of a subject's file with what it is opened with.
final class Specimen {
  let directory: TemporaryDirectory
  /// The copy.
  let path: String
  /// The sound bytes.
  let bytes: [UInt8]
  /// Bytes of the copy and its companions together, when sound.
  let byteCount: Int
  /// Bytes from the start that say what lies where; the rest are values.
  let structureByteCount: Int
  /// Names of the files an error may be about.
  let fileNames: [String]
  let reading: Subject.Reading
  /// What a converted model leaves out and has to be told.
  private let settings: [String: String]
  /// How a routing record is read.
  private let record: RecordOptions?

  /// Traces are opened as a copy: opening may bring the file up to date, and SQLite leaves files beside it.
  private static let opened = "opened.db"

  init(_ subject: Subject) throws {
    directory = try TemporaryDirectory()
    reading = subject.reading
    let source = URL(fileURLWithPath: subject.source)
    let folder = source.deletingLastPathComponent().path
    var name = source.lastPathComponent
    var companions: [String] = []
    var isMade = subject.reading == .shards
    record = subject.reading == .record ? try RecordOptions(subject.source) : nil
    switch subject.reading {
    case .configuration: (name, companions) = ("config.json", ["model.safetensors"])
    case .weights: companions = ["config.json"]
    case .shards:
      companions = ["config.json"]
      try Shards.write(folder + "/model.safetensors", to: directory)
    case .tokenizer where name != "vocab.gguf":
      companions = ["tokenizer.json", "tokenizer_config.json"].filter { $0 != name && FileStatus.exists("\(folder)/\($0)") }
    case .gguf where name.contains("-of-"):
      companions = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0 != name && $0.hasSuffix(".gguf") }
    case .template:
      let parts = name.split(separator: "#").map(String.init)
      let templates = try JSON.read("\(folder)/\(parts[0])").strings("templates")
      (name, isMade) = ("chat_template.jinja", true)
      try directory.write(Array(templates[Int(parts[1]) ?? 0].utf8), to: name)
    case .trace:
      (name, isMade) = ("trace.db", true)
      try Traces.make(subject.source, at: directory.file(name))
    case .filters,
      .script where name != "images.script":
      try Traces.make("texts", at: directory.file("texts.db"))
    case .record: companions = try record?.companions(of: subject.source) ?? []
    case .tensors, .json, .gguf, .pickle, .tokenizer, .words, .script: break
    }
    for companion in companions {
      try FileManager.default.createSymbolicLink(atPath: directory.file(companion), withDestinationPath: "\(folder)/\(companion)")
    }
    let known = subject.reading == .gguf ? FileManager.default.contents(atPath: folder + "/settings.json") : nil
    let all = try known.map { try JSONDecoder().decode([String: [String: String]].self, from: $0) } ?? [:]
    settings = all[source.deletingPathExtension().lastPathComponent] ?? [:]
    path = directory.file(name)
    if !isMade { try FileManager.default.copyItem(atPath: subject.source, toPath: path) }
    bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let files = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    byteCount = try files.reduce(0) { [directory] in $0 + (try MappedFile(path: directory.file($1)).byteCount) }
    fileNames = files + [Self.opened]
    switch source.pathExtension {
    case "safetensors": structureByteCount = 8 + bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    case "gguf" where subject.reading != .record: structureByteCount = try GGUFFile(path: path).tensors.first?.byteOffset ?? bytes.count
    default: structureByteCount = bytes.count
    }
  }

  private func model(_ path: String) throws -> Opened {
    try DenoisingModel.isAt(path) ? .denoising(DenoisingModel(path: path)) : .model(LanguageModel(path: path))
  }

  /// Opens it as the program does.
  func open() throws -> Opened {
    switch reading {
    case .tensors: .tensors(try SafetensorsFile(path: path).tensors)
    case .pickle: .tensors(try PyTorchFile(path: path).tensors)
    case .json: .json(try JSON.read(path, options: .python))
    case .configuration, .weights, .shards: try model(directory.path)
    case .gguf:
      .model(try LanguageModel(path: path, overrides: settings, tables: Fixtures.root + "/Tests/Fixtures/lookup/iq-tables.bin"))
    case .tokenizer where path.hasSuffix(".gguf"): .tokenizer(try Tokenizer(gguf: GGUFFile(path: path)))
    case .tokenizer: .tokenizer(try Tokenizer(directory: directory.path))
    case .template: .template(try ChatTemplate(text(), path: path, specialTokens: [("bos_token", "<s>"), ("eos_token", "</s>")]))
    case .trace: .trace(try openTrace())
    case .record: try openRecord()
    case .words: try readWords()
    case .filters:
      try play(directory.write(Array(Sessions.script(ofFilters: path).utf8), to: "filters.script"))
    case .script: try play(path)
    }
  }

  private func text() throws -> String { String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self) }

  private func openTrace() throws -> TraceReader {
    let copy = directory.file(Self.opened)
    for suffix in ["", "-wal", "-shm", "-journal"] { try? FileManager.default.removeItem(atPath: copy + suffix) }
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    return try TraceReader(file: copy)
  }

  private func openRecord() throws -> Opened {
    guard let record else { return .done }
    return .record(try record.open(path, in: directory.path))
  }

  private func readWords() throws -> Opened {
    guard let grammar = Grammar(rawValue: URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent) else { return .done }
    try grammar.readAll(path)
    return .done
  }

  private func play(_ script: String) throws -> Opened {
    let trace = directory.file("texts.db")
    let target = FileStatus.exists(trace) ? trace : Fixtures.root + "/Tests/Fixtures/dit/timm"
    try Sessions.play(script, over: target, in: directory.path)
    return .done
  }
}
