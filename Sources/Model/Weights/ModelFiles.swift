// Which files does a model consist of? For those who must not write over them. Only headers are read.

import Formats
import Foundation

/// The files that opening a model reads.
public enum ModelFiles {
  /// - Parameter path: a folder or file of a checkpoint.
  /// - Returns: its weights with every shard or split, and of a folder also configuration, index, tokenizer and templates. Of weights that cannot
  ///   be opened only what was named.
  public static func at(_ path: String) -> [String] {
    guard FileStatus.isFolder(path) else { return (try? GGUFSplit(path: path))?.files.map(\.path) ?? [path] }
    let weights = (try? CheckpointFiles(in: path))?.files.map(\.path) ?? []
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let settings = names.filter { $0.hasSuffix(".json") || $0.hasSuffix(".jinja") }.sorted()
    return weights + settings.map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
  }
}
