// Which files are damaged, and how does the program read each of them? Every file of the project's own fixtures, of its samples and,
// where the machine has them, of the shared fixtures. A specimen is a copy that may be damaged, among the sound files it is opened with.

import Formats
import Foundation
import Model
import Routing
import Support

/// A sound file and how it is read.
struct Subject {
  enum Reading: String, Codable, CaseIterable {
    /// A safetensors file by itself.
    case tensors
    /// Text by itself.
    case json
    /// `config.json` of a model.
    case configuration
    /// `model.safetensors` of a model.
    case weights
    /// `model.safetensors.index.json` of a model in shards, or one of the shards.
    case shards
    case gguf
    /// A file of torch.save.
    case pickle
    /// `tokenizer.json`, `tokenizer_config.json`, or GGUF without weights.
    case tokenizer
  }

  /// Path below the folder of fixtures, with the folder's name.
  let name: String
  let source: String
  let reading: Reading

  /// Every one, by name.
  static func all() -> [Subject] {
    let samples = ["olmoe-tiny", "dit-moe-tiny"].map { ($0, Optional("\(Fixtures.root)/samples/\($0)")) }
    let roots = [("own", Fixtures.own("."))] + samples + [("shared", Fixtures.shared("."))]
    var subjects: [Subject] = []
    for (label, root) in roots {
      guard let root, let files = FileManager.default.enumerator(atPath: root) else { continue }
      for case let file as String in files {
        if let reading = reading(of: "\(root)/\(file)") {
          subjects.append(Subject(name: "\(label)/\(file)", source: "\(root)/\(file)", reading: reading))
        }
      }
    }
    for model in ["mixtral", "deepseek_v3"] {
      for part in ["model.safetensors.index.json", Shards.names[1]] {
        let name = "models/\(model)/\(part)"
        subjects.append(Subject(name: "own/" + name, source: Fixtures.root + "/Tests/Fixtures/" + name, reading: .shards))
      }
    }
    return subjects.sorted { $0.name < $1.name }
  }

  private static func reading(of path: String) -> Reading? {
    let url = URL(fileURLWithPath: path)
    let isModel = FileStatus.exists(url.deletingLastPathComponent().path + "/model.safetensors")
    switch (url.lastPathComponent, url.pathExtension) {
    case ("tokenizer.json", _), ("tokenizer_config.json", _), ("vocab.gguf", _): return .tokenizer
    case ("config.json", _) where isModel, ("config_v4.json", _) where isModel: return .configuration
    case ("model.safetensors", _): return .weights
    case (_, "safetensors"): return .tensors
    case (_, "gguf"): return .gguf
    case (_, "pt") where (try? PyTorchFile(path: path)) != nil: return .pickle
    case (_, "json"): return .json
    default: return nil
    }
  }
}

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
  private let reading: Subject.Reading

  init(_ subject: Subject) throws {
    directory = try TemporaryDirectory()
    reading = subject.reading
    let source = URL(fileURLWithPath: subject.source)
    let folder = source.deletingLastPathComponent().path
    var name = source.lastPathComponent
    var companions: [String] = []
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
    case .tensors, .json, .gguf, .pickle, .tokenizer: break
    }
    for companion in companions {
      try FileManager.default.createSymbolicLink(atPath: directory.file(companion), withDestinationPath: "\(folder)/\(companion)")
    }
    path = directory.file(name)
    if subject.reading != .shards { try FileManager.default.copyItem(atPath: subject.source, toPath: path) }
    bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let files = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    byteCount = try files.reduce(0) { [directory] in $0 + (try MappedFile(path: directory.file($1)).byteCount) }
    fileNames = files
    switch source.pathExtension {
    case "safetensors": structureByteCount = 8 + bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    case "gguf": structureByteCount = try GGUFFile(path: path).tensors.first?.byteOffset ?? bytes.count
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
    case .gguf: .model(try LanguageModel(path: path))
    case .tokenizer where path.hasSuffix(".gguf"): .tokenizer(try Tokenizer(gguf: GGUFFile(path: path)))
    case .tokenizer: .tokenizer(try Tokenizer(directory: directory.path))
    }
  }
}
