// Which files are damaged, and how does the program read each of them? Every file of the project's own fixtures, of its samples and of
// further reference models (MOETOP_SHARED); traces that are recorded for it; the chat templates; words that people write.

import Formats
import Foundation
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
    /// A chat template.
    case template
    /// A trace.
    case trace
    /// A routing record of another engine.
    case record
    /// Lines of one of the small languages of the command line.
    case words
    /// Filter strings of a session, a line each.
    case filters
    /// Script of a session.
    case script

    /// Bytes that opening a file, sound or damaged, may allocate beyond twice the file: the program's own tables beside a small one, words
    /// of an error, a pattern that compiles to something longer. No length in a file may ask for more.
    var allowance: Int {
      switch self {
      // SQLite's own cache of pages and statements.
      case .trace: 8 << 20
      // Numbers of bytes and bits become ones of 32 bits, and text arrays: of small files all of it at once.
      case .record: 512 << 10
      // A template is a few KB of text, and its tree thirty times that.
      case .template: 256 << 10
      default: 64 << 10
      }
    }

    /// One in so many damages is tried: what costs a process or a whole analysis is tried less often.
    var oneOf: Int {
      switch self {
      case .filters, .script: 20
      case .trace: 4
      default: 1
      }
    }
  }

  /// Path below the folder of fixtures, with the folder's name.
  let name: String
  /// The file; of a recorded trace its name in `Traces.recorded`, of a template `FILE#NUMBER`.
  let source: String
  let reading: Reading

  /// Every one, by name.
  static func all() throws -> [Subject] {
    let samples = ["olmoe-tiny", "dit-moe-tiny"].map { ($0, Optional("\(Fixtures.root)/samples/\($0)")) }
    let roots = [("own", Fixtures.own("."))] + samples + [("shared", Fixtures.sharedRoot)]
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
    subjects += Traces.recorded.map { Subject(name: "trace of \($0.name)", source: $0.name, reading: .trace) }
    let chat = Fixtures.root + "/Tests/Fixtures/chat/cases.json"
    subjects += try JSON.read(chat).strings("templates").indices.map {
      Subject(name: "own/chat/cases.json#\($0)", source: "\(chat)#\($0)", reading: .template)
    }
    return subjects.sorted { $0.name < $1.name }
  }

  private static func reading(of path: String) -> Reading? {
    let url = URL(fileURLWithPath: path)
    if RecordOptions.isForeign(path) { return RecordOptions.isRecord(path) && !FileStatus.isFolder(path) ? .record : nil }
    let isModel = FileStatus.exists(url.deletingLastPathComponent().path + "/model.safetensors")
    switch (url.lastPathComponent, url.pathExtension) {
    case ("tokenizer.json", _), ("tokenizer_config.json", _), ("vocab.gguf", _): return .tokenizer
    case ("config.json", _) where isModel, ("config_v4.json", _) where isModel: return .configuration
    case ("model.safetensors", _): return .weights
    case (_, "safetensors"): return .tensors
    case (_, "gguf"): return .gguf
    case (_, "pt") where (try? PyTorchFile(path: path)) != nil: return .pickle
    case (_, "json"): return .json
    case (_, "sql"): return .trace
    case ("filters.txt", _): return .filters
    case (_, "txt") where Grammar(rawValue: url.deletingPathExtension().lastPathComponent) != nil: return .words
    case (_, "script"): return .script
    default: return nil
    }
  }
}
