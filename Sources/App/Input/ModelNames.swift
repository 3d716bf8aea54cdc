// What does a user mean by MODEL? A path first of all: a folder, a file of one, a folder that holds one GGUF file, a repository of the Hugging
// Face cache. What is no path may be a name that `moetop models` shows: `org/name` or `models--org--name` with a revision or a file behind
// it, or Ollama's `name:tag`. A name that fits several models is no choice of ours: the error lists them.

import Formats
import Foundation
import Model

extension ModelPlaces {
  /// The model that an argument names, as a path; the argument itself where that is for others to say.
  static func model(_ text: String) -> String { ofUser.path(of: found(text)) }

  func path(of name: String) -> String {
    guard let meant = meant(by: name), meant.count == 1 else { return name }
    return meant[0].path
  }

  /// Why nothing can be opened under a name; nil where whoever opens it knows better.
  func absence(of name: String) -> ModelError? {
    guard let meant = meant(by: name) else { return nil }
    if meant.count > 1 {
      let names = meant.prefix(6).map(\.name).joined(separator: ", ") + (meant.count > 6 ? ", …" : "")
      return .noCheckpoint(path: name, why: "there are \(meant.count) models in it: \(names)", advice: "one of them: \(meant[0].name)")
    }
    guard meant.isEmpty, !FileStatus.exists(name) else { return nil }
    return .noCheckpoint(
      path: name, why: "there is no such file or folder, and nothing of that name in \(name.contains(":") ? ollamaFolder : hub)",
      advice: "moetop models lists what is on this machine; nothing is downloaded")
  }

  /// The models that a name stands for; nil where it is the path of what it means, or no name that any place here has.
  private func meant(by name: String) -> [Found]? {
    if FileStatus.exists(name) { return FileStatus.isFolder(name) ? models(asFolder: name) : weights(asFile: name) }
    if name.hasPrefix(".") || name.hasPrefix("/") || name.hasPrefix("~") { return nil }
    if let repository = RepositoryName(name) { return models(of: repository) }
    return name.contains(":") && !name.contains("#") ? ollama().filter { $0.name == name } : nil
  }

  // MARK: Paths

  /// A folder that is no checkpoint itself: one of the cache's repositories, or GGUF files.
  private func models(asFolder folder: String) -> [Found]? {
    let folder = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    if FileStatus.exists(folder + "/config.json") { return nil }
    if FileStatus.isFolder(folder + "/snapshots") {
      let name = folder.split(separator: "/").last.map(String.init) ?? folder
      return usual(models(ofRepository: folder, named: RepositoryName(name)?.name ?? name), in: folder)
    }
    let names = models(beside: folder)
    return names.isEmpty ? nil : names.map { Found(name: "\(folder)/\($0)", path: "\(folder)/\($0)") }
  }

  /// One file of weights that its folder is opened with.
  private func weights(asFile path: String) -> [Found]? {
    guard path.hasSuffix(".safetensors"), let folder = LanguageModel.folder(ofWeights: path) else { return nil }
    return [Found(name: folder, path: folder)]
  }

  /// GGUF files that are models by themselves: no later part of one, no projector that goes with one.
  private func models(beside folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().filter {
      $0.hasSuffix(".gguf") && !isLaterPart($0) && !$0.lowercased().contains("mmproj")
    }
  }

  // MARK: Names of the Hugging Face cache

  /// `org/name`, `org/name@revision`, `org/name/file`, and the same as the cache writes it, `models--org--name`.
  struct RepositoryName: Equatable {
    var name: String
    var revision: String?
    var file: String?

    init?(_ text: String) {
      var parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      guard let first = parts.first, !parts.contains("") else { return nil }
      var head: [String]
      if first.hasPrefix("models--") {
        head = first.dropFirst("models--".count).replacingOccurrences(of: "--", with: "/").split(separator: "/").map(String.init)
        parts.removeFirst()
      } else {
        guard parts.count > 1 else { return nil }
        head = Array(parts.prefix(2))
        parts.removeFirst(2)
      }
      guard let last = head.last, !head.contains("..") else { return nil }
      let marked = last.split(separator: "@", maxSplits: 1).map(String.init)
      head[head.count - 1] = marked[0]
      (name, revision) = (head.joined(separator: "/"), marked.count > 1 ? marked[1] : nil)
      file = parts.isEmpty ? nil : parts.joined(separator: "/")
    }
  }

  private func models(of repository: RepositoryName) -> [Found] {
    let folder = hub + "/models--" + repository.name.replacingOccurrences(of: "/", with: "--")
    guard FileStatus.isFolder(folder + "/snapshots") else { return [] }
    var found = models(ofRepository: folder, named: repository.name)
    if let revision = repository.revision {
      found = found.filter { $0.path.hasPrefix("\(folder)/snapshots/\(self.revision(revision, in: folder) ?? revision)") }
    } else {
      found = usual(found, in: folder)
    }
    guard let file = repository.file else { return found }
    return found.filter { $0.path.hasSuffix("/" + file) }
  }

  /// Of several revisions those of the one that `refs/main` names. Projectors are no models.
  private func usual(_ found: [Found], in folder: String) -> [Found] {
    let models = found.filter { $0.problem == nil && !$0.name.lowercased().contains("mmproj") }
    guard let main = revision("main", in: folder) else { return models }
    let named = models.filter { $0.path.hasPrefix("\(folder)/snapshots/\(main)") }
    return named.isEmpty ? models : named
  }

  /// The snapshot that a branch or tag names.
  private func revision(_ name: String, in folder: String) -> String? {
    guard !name.contains(".."), let text = try? String(contentsOfFile: "\(folder)/refs/\(name)", encoding: .utf8) else { return nil }
    return text.split(whereSeparator: \.isWhitespace).first.map(String.init)
  }
}
