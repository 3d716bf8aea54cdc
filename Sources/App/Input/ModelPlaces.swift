// Where do models lie on this machine? The program's own samples, the caches of the programs that download models, `MOETOP_MODELS`, and
// folders the user names. Looked through, never changed, and nothing is downloaded. Environment and home come from the caller.

import Formats
import Foundation
import Model

/// Finds checkpoints in the places where they are kept.
struct ModelPlaces: Sendable {
  /// One checkpoint, or a place that could not be looked into.
  struct Found: Equatable, Sendable {
    var name: String
    var path: String
    /// Why there is only a path.
    var problem: String?
  }

  let environment: [String: String]
  let home: String
  /// The folder of the models that come with the program, where it is known.
  var samples: String?

  /// Those of whoever runs this program.
  static var ofUser: ModelPlaces {
    let settled = ["MOETOP_MODELS": Configuration.standing.models]
    let environment = ProcessInfo.processInfo.environment.merging(settled) { $1 }
    return ModelPlaces(environment: environment, home: Places.home, samples: samplesOfProgram)
  }

  /// The samples' folder in the working directory, in the checkout that the program was built in, or installed beside it.
  static var samplesOfProgram: String? {
    let probe = firstSample + "/config.json"
    return FileStatus.exists("samples/" + probe)
      ? "samples" : InstalledFiles.path(installed: "moetop/samples", checkout: "samples", holding: probe)
  }

  /// A path that begins with `samples/`, as examples have it, is found beside the program where there is none of that name here.
  static func found(_ path: String) -> String {
    guard path.hasPrefix("samples/"), !FileStatus.exists(path), let folder = samplesOfProgram else { return path }
    let own = folder + path.dropFirst("samples".count)
    return FileStatus.exists(own) ? own : path
  }

  /// The sample that screens open when there is nothing else.
  static let firstSample = "olmoe-tiny"

  /// Whether a path is a model to be run, and not a trace: a folder with config.json, a GGUF file, or a diffusion transformer alone.
  static func isModel(_ path: String) -> Bool {
    FileStatus.exists(path + "/config.json") || GGUFFile.isAt(path) || isWeightsAlone(path)
  }

  private static func isWeightsAlone(_ path: String) -> Bool {
    [".safetensors", ".pt", ".pth"].contains { path.hasSuffix($0) } && DenoisingModel.isAt(path)
  }

  /// Folders inside each other that are looked through.
  private static let depthLimit = 5
  /// Folders below one that are looked through: a whole disk is not searched.
  private static let folderLimit = 4096

  /// Everything in the usual places, in their order; what two of them share is listed once.
  func everything() -> [Found] {
    let lists =
      [samples.map { models(in: $0) } ?? [], huggingFace(), ollama()]
      + (lmStudio + [llamaCache] + own).filter { FileStatus.exists($0) }.map { models(in: $0) }
    return lists.flatMap { $0 }.withoutRepetition
  }

  /// The folders that are looked through, for the message when nothing was found.
  var places: [String] { [samples, hub, ollamaFolder].compactMap(\.self) + lmStudio + [llamaCache] + own }

  // MARK: Places

  private func folder(_ variable: String) -> String? { environment[variable].flatMap { $0.isEmpty ? nil : $0 } }

  private var cache: String { folder("XDG_CACHE_HOME") ?? home + "/.cache" }

  var hub: String {
    folder("HF_HUB_CACHE") ?? folder("HUGGINGFACE_HUB_CACHE") ?? (folder("HF_HOME") ?? cache + "/huggingface") + "/hub"
  }

  var ollamaFolder: String { folder("OLLAMA_MODELS") ?? home + "/.ollama/models" }
  private var lmStudio: [String] { [home + "/.lmstudio/models", home + "/.cache/lm-studio/models"] }
  private var llamaCache: String { folder("LLAMA_CACHE") ?? cache + "/llama.cpp" }
  private var own: [String] { (environment["MOETOP_MODELS"] ?? "").split(separator: ":").map(String.init) }

  /// `models--OWNER--NAME/snapshots/REVISION/`: files that link to blobs.
  private func huggingFace() -> [Found] {
    guard FileStatus.exists(hub) else { return [] }
    guard let repositories = names(in: hub) else { return [unreadable(hub)] }
    return repositories.filter { $0.hasPrefix("models--") }.flatMap { repository in
      // "--" parts owner and name.
      models(
        ofRepository: "\(hub)/\(repository)",
        named: repository.dropFirst("models--".count).replacingOccurrences(of: "--", with: "/"))
    }
  }

  func models(ofRepository repository: String, named name: String) -> [Found] {
    let snapshots = repository + "/snapshots"
    guard FileStatus.exists(snapshots) else { return [] }
    guard let revisions = names(in: snapshots) else { return [unreadable(snapshots)] }
    return revisions.flatMap { revision in
      models(in: "\(snapshots)/\(revision)").map { found in
        let mark = revisions.count > 1 ? "@" + revision.prefix(7) : ""
        // A file is named by its place in the snapshot.
        let file = isFolder(found.path) ? "" : String(found.path.dropFirst("\(snapshots)/\(revision)".count))
        return Found(name: name + mark + file, path: found.path, problem: found.problem)
      }
    }
  }

  /// `manifests/REGISTRY/NAMESPACE/NAME/TAG` name blobs by their hash.
  func ollama() -> [Found] {
    let manifests = ollamaFolder + "/manifests"
    guard FileStatus.exists(manifests) else { return [] }
    return files(below: manifests, depth: 4).map { path in
      let parts = path.dropFirst(manifests.count + 1).split(separator: "/").map(String.init)
      let title = parts.dropFirst().filter { $0 != "library" }
      let name = title.dropLast().joined(separator: "/") + ":" + (title.last ?? "")
      do {
        for layer in try JSON.read(path).array("layers")
        where try layer.stringIfPresent("mediaType") == "application/vnd.ollama.image.model" {
          let digest = try layer.string("digest").replacingOccurrences(of: ":", with: "-")
          guard !digest.contains("/") else { throw layer.unexpected("a digest") }
          return Found(name: name, path: "\(ollamaFolder)/blobs/\(digest)")
        }
        return Found(name: name, path: path, problem: "the manifest names no model")
      } catch {
        return Found(name: name, path: path, problem: "\(error)")
      }
    }
  }

  // MARK: Folders

  /// Checkpoints in and below `folder`: folders with config.json, GGUF files (of split ones the first), and files of weights whose
  /// shapes are those of a diffusion transformer.
  func models(in folder: String) -> [Found] {
    var folder = folder
    while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    var left = Self.folderLimit
    let found = models(in: folder, depth: Self.depthLimit, left: &left)
    if left > 0 { return found }
    let problem = "the search ended after \(Self.folderLimit) folders: name one nearer to the models"
    return found + [Found(name: last(folder).isEmpty ? folder : last(folder), path: folder, problem: problem)]
  }

  /// - Parameter left: how many folders may still be looked into.
  private func models(in folder: String, depth: Int, left: inout Int) -> [Found] {
    guard left > 0 else { return [] }
    left -= 1
    guard let names = names(in: folder) else { return [unreadable(folder)] }
    var found: [Found] = []
    if names.contains("config.json") {
      found.append(Found(name: last(folder), path: folder))
    } else {
      for name in names where Self.isWeightsAlone("\(folder)/\(name)") { found.append(Found(name: name, path: "\(folder)/\(name)")) }
    }
    for name in names where name.hasSuffix(".gguf") && !isLaterPart(name) { found.append(Found(name: name, path: "\(folder)/\(name)")) }
    guard depth > 1 else { return found }
    for name in names where !name.hasPrefix(".") && isFolder("\(folder)/\(name)") {
      found += models(in: folder == "/" ? "/\(name)" : "\(folder)/\(name)", depth: depth - 1, left: &left)
    }
    return found
  }

  /// `…-00002-of-00003.gguf` belongs to the first part.
  func isLaterPart(_ name: String) -> Bool {
    let parts = name.dropLast(".gguf".count).split(separator: "-")
    guard parts.count >= 3, parts[parts.count - 2] == "of", let number = Int(parts[parts.count - 3]), Int(parts[parts.count - 1]) != nil
    else {
      return false
    }
    return number > 1
  }

  private func files(below folder: String, depth: Int) -> [String] {
    (names(in: folder) ?? []).filter { !$0.hasPrefix(".") }.flatMap { name -> [String] in
      let path = "\(folder)/\(name)"
      return isFolder(path) ? (depth > 1 ? files(below: path, depth: depth - 1) : []) : [path]
    }
  }

  private func names(in folder: String) -> [String]? { try? FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

  private func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
  }

  private func unreadable(_ folder: String) -> Found {
    Found(name: last(folder), path: folder, problem: FileStatus.exists(folder) ? "the folder cannot be read" : "there is no such folder")
  }

  private func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}

extension [ModelPlaces.Found] {
  fileprivate var withoutRepetition: [ModelPlaces.Found] {
    var seen: Set<String> = []
    return filter { seen.insert(URL(fileURLWithPath: $0.path).resolvingSymlinksInPath().path).inserted }
  }
}
