// What is done with a routing record of another engine that may be damaged anywhere: it is recognised by content, then read with all its companions as
// the case of the fixtures says, against the model and the tokens; what is not refused is judged, described and written into a trace.

import Formats
import Foundation
import Model
import Routing
import Store
import Support

/// How a record is imported.
struct RecordOptions {
  private var format: ImportFormat?
  private var files: [String]
  private var request = ImportRequest(files: [])

  private static let root = Fixtures.root + "/Tests/Fixtures/"
  private static let foreign = root + "foreign/"

  /// Files of the records, below the folder of fixtures.
  ///
  /// What is refused when it is sound, or is no record, is none.
  static func isRecord(_ path: String) -> Bool {
    let url = URL(fileURLWithPath: path)
    let isWhole = !url.lastPathComponent.contains("truncated") || ["json", "jsonl", "npy"].contains(url.pathExtension)
    if url.lastPathComponent.hasPrefix("router_state") { return false }
    return isForeign(path) && isWhole && !["md", "part"].contains(url.pathExtension) && url.lastPathComponent != "expected.json"
  }

  static func isForeign(_ path: String) -> Bool { path.contains("/Tests/Fixtures/") && path.contains("/foreign/") }

  /// - Parameter source: a file of the foreign fixtures, or what lies beside one (logits of a rank).
  init(_ source: String) throws {
    let name = source.range(of: "/foreign/").map { String(source[$0.upperBound...]) } ?? source
    let folder = String(name.prefix { $0 != "/" })
    format = ImportFormat(rawValue: folder)
    let beside = name.hasSuffix(".bin") ? String(name[...(name.lastIndex(of: "/") ?? name.startIndex)]) : nil
    let cases = Array(try JSON.read(Self.foreign + "expected.json").array("cases"))
    let own = try cases.first { record in
      try record.strings("files").contains { $0 == name || beside.map($0.hasPrefix) == true }
    }
    files = try own?.strings("files") ?? [name]
    try read(try own?.strings("arguments") ?? [])
  }

  private mutating func read(_ arguments: [String]) throws {
    var index = 0
    while index < arguments.count {
      let option = arguments[index]
      let value = index + 1 < arguments.count ? arguments[index + 1] : ""
      index += 2
      switch option {
      case "--model":
        let path = Self.root + value
        let outline = try ModelOutline(configuration: path.hasSuffix(".json") ? path : path + "/config.json")
        request.model = ImportModel(identity: outline.identity, routers: outline.routers)
      case "--tokens":
        request.tokens = try JSON.read(Self.root + value).array("sequences").map { sequence in
          try sequence.requireArray().map { Int32(try $0.requireInteger(in: 0...Int(Int32.max))) }
        }
      case "--experts": request.experts = Int(value)
      case "--top-k": request.topK = Int(value)
      case "--layers":
        request.layers = value.split(separator: "-").compactMap { Int($0) }.first.map { first in
          Array(first...(value.split(separator: "-").compactMap { Int($0) }.last ?? first))
        }
      case "--logits", "--probabilities":
        request.scores = option == "--logits" ? .logits : .probabilities
        index -= 1
      default: break
      }
    }
  }

  /// Files beside a copy that it is read with.
  func companions(of source: String) throws -> [String] {
    let folder = URL(fileURLWithPath: source).deletingLastPathComponent().path
    let own = files.map { URL(fileURLWithPath: $0).lastPathComponent }
    let beside = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".bin") }
    return Set(own + beside).subtracting([URL(fileURLWithPath: source).lastPathComponent]).sorted()
  }

  /// - Parameter folder: of the copy and its companions.
  func open(_ path: String, in folder: String) throws -> RecordImport {
    var alone = ImportRequest(files: [path])
    (alone.topK, alone.layers) = (2, nil)
    // By content: a refusal is as good, and what is no record of its own is tried below.
    _ = try? RecordImport(alone)
    var request = request
    request.files = files.map { "\(folder)/\(URL(fileURLWithPath: $0).lastPathComponent)" }
    request.format = format
    return try RecordImport(request)
  }

  /// Everything that the command asks of a record, and a trace of it.
  static func examine(_ record: RecordImport, in folder: TemporaryDirectory) throws {
    let trace = folder.file("imported.db")
    for suffix in ["", "-wal", "-shm", "-journal"] { try? FileManager.default.removeItem(atPath: trace + suffix) }
    _ = try record.unknownRows()
    _ = record.samples(limit: 64)
    let writer = try TraceWriter(
      file: trace, description: record.description(name: "damaged", version: "0", startedAt: 0), sequences: record.sequences,
      pieces: { _ in nil }, options: TraceWriter.Options())
    do {
      try record.write(to: writer, withoutIDs: false) { _ in }
      try writer.finish(.completed)
    } catch {
      try? writer.finish(.failed(reason: "\(error)"))
      throw error
    }
    let reader = try TraceReader(file: trace)
    defer { reader.close() }
    _ = try reader.checkIntegrity()
  }
}
