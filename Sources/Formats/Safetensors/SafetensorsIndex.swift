// Which file of a sharded checkpoint holds which tensor? `model.safetensors.index.json` says so; this reader checks that shard names
// stay inside the directory, and `openShards` that every promised tensor is really there. One checkpoint as a whole is Model's.

/// The table of a sharded checkpoint.
public struct SafetensorsIndex: Sendable {
  public let path: String
  /// File names of the shards, sorted, relative to `directory`.
  public let shardNames: [String]
  /// Tensor name to the position of its shard in `shardNames`.
  public let shardIndexByTensor: [String: Int]
  /// `metadata.total_size` in bytes, when given.
  public let totalByteCount: Int?

  /// The directory the index lies in, and its shards with it.
  public var directory: String {
    guard let slash = path.utf8.lastIndex(of: ascii("/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// - Throws: `FormatError` for text that is not such a table, and for shard names that are not plain file names.
  public init(path: String) throws(FormatError) {
    let root = try JSON.parse(MappedFile(path: path))
    let map = try root.member("weight_map", expected: "an object")
    // A hundred thousand tensors lie in a hundred shards: their names are kept once.
    var found: [String: Int] = [:]
    var shardOf: [String: Int] = [:]
    shardOf.reserveCapacity(map.count)
    for (key, value) in try map.requireObject() {
      let shard = try value.requireString()
      if found[shard] == nil {
        guard Self.isPlainFileName(shard) else { throw value.unexpected("a file name in the same directory") }
        found[shard] = found.count
      }
      let tensor = try key.requireString()
      if shardOf[tensor] == nil { shardOf[tensor] = found[shard] }
    }
    self.path = path
    shardNames = found.keys.sorted()
    let position = shardNames.enumerated().reduce(into: [Int](repeating: 0, count: found.count)) { places, shard in
      if let number = found[shard.element] { places[number] = shard.offset }
    }
    for place in shardOf.values.indices { shardOf.values[place] = position[shardOf.values[place]] }
    shardIndexByTensor = shardOf
    // Some writers put a float here; the number is informative only.
    let total = try root.memberIfPresent("metadata")?["total_size"]?.double
    totalByteCount = total.flatMap { Int(exactly: $0) }
  }

  /// Opens every shard, in the order of `shardNames`: their tensors, each name once. A copy of a tensor in another shard than the table
  /// names is an older one and left out.
  ///
  /// - Throws: `FormatError` for shards that are damaged or missing, for a tensor that is not where the table places it, and for one that
  ///   two shards hold and the table does not name.
  public func openShards() throws(FormatError) -> (shards: [SafetensorsFile], tensors: [TensorView]) {
    var shards: [SafetensorsFile] = []
    for name in shardNames {
      guard FileStatus.exists("\(directory)/\(name)") else {
        throw .malformed(
          file: path, place: "weight_map", problem: "names \(quoted(name, limit: 255)), which is not beside it",
          hint: "is the download complete?")
      }
      shards.append(try SafetensorsFile(path: "\(directory)/\(name)"))
    }
    var tensors: [TensorView] = []
    tensors.reserveCapacity(shards.reduce(0) { $0 + $1.tensors.count })
    var unlisted: [String: TensorView] = [:]
    for (number, shard) in shards.enumerated() {
      for tensor in shard.tensors {
        if let named = shardIndexByTensor[tensor.name] {
          if named == number { tensors.append(tensor) }
        } else if let other = unlisted.updateValue(tensor, forKey: tensor.name) {
          throw .malformed(
            file: path, place: "weight_map",
            problem: "does not say which \"\(tensor.name)\" counts: it is in \(other.file.path) and in \(shard.path)", hint: nil)
        } else {
          tensors.append(tensor)
        }
      }
    }
    // As many as the table lists are there, or one is looked for.
    if tensors.count - unlisted.count < shardIndexByTensor.count { throw absence(of: shards) }
    return (shards, tensors)
  }

  /// The error about a tensor that is not where the table places it.
  private func absence(of shards: [SafetensorsFile]) -> FormatError {
    let held = shards.map { Set($0.tensors.lazy.map(\.name)) }
    let lost = shardIndexByTensor.filter { !held[$0.value].contains($0.key) }.min { $0.key < $1.key }
    return .malformed(
      file: path, place: "weight_map",
      problem: "tensor \(quoted(lost?.key ?? "", limit: 200)) is not in \(lost.map { shardNames[$0.value] } ?? "its shard")",
      hint: "the shards and the index may be of different downloads")
  }

  /// A name that cannot leave the directory: no separator, not "." or "..", nothing invisible. Links are followed (hub caches use them).
  static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
      && name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != ascii("/") && $0 != ascii("\\") }
  }
}
