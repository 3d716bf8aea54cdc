// Which file of a sharded checkpoint holds which tensor? `model.safetensors.index.json` says so; this reader checks that shard names
// stay inside the directory, and `openShards` that every promised tensor is really there. One checkpoint as a whole is Model's.

import Dispatch

/// The table of a sharded checkpoint.
public struct SafetensorsIndex: Sendable {
  public let path: String
  /// File names of the shards, sorted, relative to `directory`.
  public let shardNames: [String]
  /// `metadata.total_size` in bytes, when given.
  public let totalByteCount: Int?
  /// Of each entry of the table where its tensor's name lies in the text, and the position of its shard in `shardNames`.
  private let entries: [(name: UInt32, shard: UInt32)]
  private let map: JSONValue

  /// The directory the index lies in, and its shards with it.
  public var directory: String {
    guard let slash = path.utf8.lastIndex(of: ascii("/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// - Throws: `FormatError` for text that is not such a table, and for shard names that are not plain file names.
  public init(path: String) throws(FormatError) {
    let root = try JSON.parse(MappedFile(path: path))
    map = try root.member("weight_map", expected: "an object")
    // A hundred thousand tensors lie in a hundred shards, most of them where the one before does.
    var found: [String: UInt32] = [:]
    var last: (name: [UInt8], number: UInt32) = ([], 0)
    var entries: [(name: UInt32, shard: UInt32)] = []
    entries.reserveCapacity(map.count)
    for (key, value) in try map.requireObject() {
      if value.withUTF8({ bytes in !last.name.isEmpty && last.name.withUnsafeBufferPointer { isEqual($0, bytes) } }) != true {
        let shard = try value.requireString()
        guard Self.isPlainFileName(shard) else { throw value.unexpected("a file name in the same directory") }
        let number = found[shard] ?? UInt32(found.count)
        found[shard] = number
        last = (Array(shard.utf8), number)
      }
      entries.append((UInt32(truncatingIfNeeded: key.start), last.number))
    }
    self.path = path
    let names = found.keys.sorted()
    var position = [UInt32](repeating: 0, count: names.count)
    for (place, name) in names.enumerated() { if let number = found[name] { position[Int(number)] = UInt32(place) } }
    for place in entries.indices { entries[place].shard = position[Int(entries[place].shard)] }
    (shardNames, self.entries) = (names, entries)
    // Some writers put a float here; the number is informative only.
    let total = try root.memberIfPresent("metadata")?["total_size"]?.double
    totalByteCount = total.flatMap { Int(exactly: $0) }
  }

  /// Opens every shard, in the order of `shardNames`: their tensors, each name once. A copy of a tensor in another shard than the table
  /// names is an older one and left out.
  ///
  /// - Throws: `FormatError` for shards that are damaged or missing, for a tensor that is not where the table places it, and for one that
  ///   two shards hold and the table does not name.
  public func openShards() throws(FormatError) -> (shards: [SafetensorsFile], table: TensorTable) {
    for name in shardNames where !FileStatus.exists("\(directory)/\(name)") {
      throw .malformed(
        file: path, place: "weight_map", problem: "names \(quoted(name, limit: 255)), which is not beside it",
        hint: "is the download complete?")
    }
    let shards = try openedShards()
    let all = TensorTable(TensorList(shards.map(\.tensors)))
    let isListed = try listed(all, shards)
    if all.doubled.isEmpty { return (shards, all) }
    var isOlder = [Bool](repeating: false, count: all.tensors.count)
    for (name, numbers) in all.doubled.sorted(by: { $0.key < $1.key }) {
      guard numbers.contains(where: { isListed[$0] }) else {
        let holders = numbers.prefix(2).map { all.tensors[$0].file.path }.joined(separator: " and in ")
        throw .malformed(
          file: path, place: "weight_map", problem: "does not say which \"\(name)\" counts: it is in \(holders)", hint: nil)
      }
      for number in numbers where !isListed[number] { isOlder[number] = true }
    }
    return (shards, TensorTable(TensorList([all.tensors.indices.filter { !isOlder[$0] }.map { all.tensors[$0] }])))
  }

  /// The shards, on as many cores as there are: a header takes a hundredth of a second, and a checkpoint has a hundred.
  private func openedShards() throws(FormatError) -> [SafetensorsFile] {
    let paths = shardNames.map { "\(directory)/\($0)" }
    let outcomes = [Result<SafetensorsFile, FormatError>](unsafeUninitializedCapacity: paths.count) { room, count in
      nonisolated(unsafe) let room = room
      DispatchQueue.concurrentPerform(iterations: paths.count) { number in
        let outcome = Result { () throws(FormatError) in try SafetensorsFile(path: paths[number]) }
        room.initializeElement(at: number, to: outcome)
      }
      count = paths.count
    }
    var shards: [SafetensorsFile] = []
    for outcome in outcomes { shards.append(try outcome.get()) }
    return shards
  }

  /// Of each tensor of the shards whether the table places it there.
  ///
  /// - Throws: `FormatError` for one that is not where it is placed, of several the first by name.
  private func listed(_ all: TensorTable, _ shards: [SafetensorsFile]) throws(FormatError) -> [Bool] {
    var isListed = [Bool](repeating: false, count: all.tensors.count)
    var lost: (name: String, shard: Int)?
    for entry in entries {
      let (key, shard) = (JSONValue(document: map.document, start: Int(entry.name)), Int(entry.shard))
      let found = key.withUTF8(all.find) ?? nil
      if let found, all.tensors[found].file === shards[shard].file {
        isListed[found] = true
        continue
      }
      let name = key.string ?? ""
      if let other = all.doubled[name]?.first(where: { all.tensors[$0].file === shards[shard].file }) {
        isListed[other] = true
      } else if lost.map({ name < $0.name }) ?? true {
        lost = (name, shard)
      }
    }
    guard let lost else { return isListed }
    throw .malformed(
      file: path, place: "weight_map", problem: "tensor \(quoted(lost.name, limit: 200)) is not in \(shardNames[lost.shard])",
      hint: "the shards and the index may be of different downloads")
  }

  /// A name that cannot leave the directory: no separator, not "." or "..", nothing invisible. Links are followed (hub caches use them).
  static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
      && name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != ascii("/") && $0 != ascii("\\") }
  }
}
