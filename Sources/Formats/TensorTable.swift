// Which tensors are there, and which has this name? Checkpoints have two hundred thousand of them in a hundred files: each is kept once, where
// its file has it, and each name once, as the file spells it. Models look for published names, which may be spelt otherwise in the file.

/// The tensors of several files, one file after the other. Shares the memory of the files' own lists.
public struct TensorList: RandomAccessCollection, Sendable {
  private var runs: [[TensorView]] = []
  /// Of each run the number of its first tensor.
  private var starts: [Int] = []
  public private(set) var endIndex = 0

  public init(_ runs: some Sequence<[TensorView]>) {
    for run in runs where !run.isEmpty {
      self.runs.append(run)
      starts.append(endIndex)
      endIndex += run.count
    }
  }

  public var startIndex: Int { 0 }

  public subscript(index: Int) -> TensorView {
    let run = run(of: index)
    return runs[run][index - starts[run]]
  }

  /// The name of one tensor, without the rest of it.
  public func name(of index: Int) -> String {
    let run = run(of: index)
    return runs[run][index - starts[run]].name
  }

  private func run(of index: Int) -> Int {
    var (low, high) = (0, runs.count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if starts[middle] <= index { low = middle } else { high = middle - 1 }
    }
    return low
  }
}

/// How published names follow from those in the files.
public struct TensorSpelling: Sendable {
  private let renamed: [String: String]
  fileprivate let prefixes: [(written: String, published: String)]
  /// Names in the files by their published ones, of those that are renamed.
  fileprivate let written: [String: [String]]

  /// - Parameters:
  ///   - renamed: published names by those of the files.
  ///   - prefixes: by the beginnings that stand for them in the files; the first that fits counts.
  public init(renamed: [String: String] = [:], prefixes: [(written: String, published: String)] = []) {
    (self.renamed, self.prefixes) = (renamed, prefixes)
    written = Dictionary(grouping: renamed.keys) { renamed[$0] ?? $0 }
  }

  /// The published name.
  public func published(_ name: String) -> String {
    if let other = renamed[name] { return other }
    guard let prefix = prefixes.first(where: { name.hasPrefix($0.written) }) else { return name }
    return prefix.published + name.dropFirst(prefix.written.count)
  }
}

/// Tensors found by their names in the files, or by the published ones. Made once: it costs more than reading the files' headers.
public final class TensorTable: Sendable {
  public let tensors: TensorList
  public let spelling: TensorSpelling
  /// Names in the files that several tensors have, with the numbers of these, rising.
  public let doubled: [String: [Int]]
  private let index: HashIndex
  /// Those of the spelling that any name begins with: most checkpoints have none.
  private let prefixes: [(written: String, published: String)]

  /// Found by the names that the files have.
  public init(_ tensors: TensorList) {
    (self.tensors, spelling, prefixes) = (tensors, TensorSpelling(), [])
    var index = HashIndex(reserving: tensors.count)
    var doubled: [String: [Int]] = [:]
    for number in tensors.indices {
      var name = tensors.name(of: number)
      let hash = name.withUTF8(byteHash)
      if let other = name.withUTF8({ name in index.find(hash) { tensors.isNamed($0, name) } }) {
        doubled[name, default: [other]].append(number)
      } else {
        index.insert(number, hash: hash)
      }
    }
    (self.index, self.doubled) = (index, doubled)
  }

  /// The tensors of `table` found by their published names. Shares what `table` has.
  public init(_ table: TensorTable, spelling: TensorSpelling) {
    (tensors, index, doubled, self.spelling) = (table.tensors, table.index, table.doubled, spelling)
    prefixes = spelling.prefixes.filter { prefix in
      table.tensors.indices.contains { table.tensors.name(of: $0).hasPrefix(prefix.written) }
    }
  }

  /// The number of the first tensor called `name`.
  public subscript(name: String) -> Int? { first(name)?.number }

  /// The number of the first tensor called `name`, and whether it is the only one.
  public func first(_ name: String) -> (number: Int, isAlone: Bool)? {
    var first: (number: Int, isAlone: Bool)?
    forEachSpelling(of: name) { number in
      first = (min(number, first?.number ?? number), first == nil && (doubled.isEmpty || doubled[tensors.name(of: number)] == nil))
    }
    return first
  }

  /// The numbers of all tensors called `name`, rising.
  public func numbers(of name: String) -> [Int] {
    var numbers: [Int] = []
    forEachSpelling(of: name) { numbers += doubled[tensors.name(of: $0)] ?? [$0] }
    return numbers.sorted()
  }

  /// The number of the first tensor whose name in the files has these bytes.
  public func find(_ name: UnsafeBufferPointer<UInt8>) -> Int? {
    index.find(byteHash(name)) { tensors.isNamed($0, name) }
  }

  /// Calls `body` with the first tensor of each name in the files that is published as `name`.
  private func forEachSpelling(of name: String, _ body: (Int) -> Void) {
    var name = name
    if isPlain {
      if let number = name.withUTF8(find) { body(number) }
      return
    }
    // A name that was found with the only prefix there is can have no other spelling.
    let (same, isSure) = (name, prefixes.count == 1 && spelling.written.isEmpty)
    func take(_ number: Int?, isSure: Bool) {
      if let number, isSure || spelling.published(tensors.name(of: number)) == same { body(number) }
    }
    take(name.withUTF8(find), isSure: false)
    for var other in spelling.written[name] ?? [] where other != name { take(other.withUTF8(find), isSure: false) }
    for prefix in prefixes where name.hasPrefix(prefix.published) {
      let (head, skipped) = (prefix.written.utf8, prefix.published.utf8.count)
      take(
        name.withUTF8 { bytes in
          withUnsafeTemporaryAllocation(of: UInt8.self, capacity: head.count + bytes.count) { room in
            let rest = room[head.count...].initialize(fromContentsOf: bytes[skipped...])
            _ = room.initialize(from: head)
            return find(UnsafeBufferPointer(rebasing: room[..<rest]))
          }
        }, isSure: isSure)
    }
  }

  /// Whether every tensor is published under the name it has.
  private var isPlain: Bool { prefixes.isEmpty && spelling.written.isEmpty }
}

extension TensorList {
  fileprivate func isNamed(_ number: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var name = name(of: number)
    return name.withUTF8 { isEqual($0, bytes) }
  }
}
