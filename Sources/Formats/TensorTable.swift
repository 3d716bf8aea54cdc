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
    var (low, high) = (0, runs.count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if starts[middle] <= index { low = middle } else { high = middle - 1 }
    }
    return runs[low][index - starts[low]]
  }
}

/// How published names follow from those in the files.
public struct TensorSpelling: Sendable {
  private let renamed: [String: String]
  private let prefixes: [(written: String, published: String)]

  /// - Parameters:
  ///   - renamed: published names by those of the files.
  ///   - prefixes: by the beginnings that stand for them in the files; the first that fits counts.
  public init(renamed: [String: String] = [:], prefixes: [(written: String, published: String)] = []) {
    (self.renamed, self.prefixes) = (renamed, prefixes)
  }

  /// The published name.
  public func published(_ name: String) -> String {
    if let other = renamed[name] { return other }
    guard let prefix = prefix(of: name) else { return name }
    return prefix.published + name.dropFirst(prefix.written.count)
  }

  /// Calls `body` with the bytes of the published name, without making a string of it where it need not.
  fileprivate func withPublished<Result>(_ name: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    var name = name
    if !renamed.isEmpty, let other = renamed[name] { name = other }
    guard let prefix = prefix(of: name) else { return name.withUTF8(body) }
    let (head, skipped) = (prefix.published.utf8, prefix.written.utf8.count)
    return name.withUTF8 { bytes in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: head.count + bytes.count) { room in
        let rest = room[head.count...].initialize(fromContentsOf: bytes[skipped...])
        _ = room.initialize(from: head)
        return body(UnsafeBufferPointer(rebasing: room[..<rest]))
      }
    }
  }

  private func prefix(of name: String) -> (written: String, published: String)? { prefixes.first { name.hasPrefix($0.written) } }
}

/// Tensors found by their published names.
public struct TensorTable: Sendable {
  public let tensors: TensorList
  public let spelling: TensorSpelling
  /// Names that several tensors have, with the numbers of these.
  public private(set) var doubled: [String: [Int]] = [:]
  private var index: HashIndex

  public init(_ tensors: TensorList, spelling: TensorSpelling = TensorSpelling()) {
    (self.tensors, self.spelling) = (tensors, spelling)
    index = HashIndex(reserving: tensors.count)
    for (number, tensor) in tensors.enumerated() {
      spelling.withPublished(tensor.name) { name in
        if let other = find(name) {
          doubled[String(decoding: name, as: UTF8.self), default: [other]].append(number)
        } else {
          index.insert(number, hash: byteHash(name))
        }
      }
    }
  }

  /// The number of the first tensor called `name`.
  public subscript(name: String) -> Int? {
    var name = name
    return name.withUTF8(find)
  }

  /// The number of the first tensor whose name has these bytes.
  public func find(_ name: UnsafeBufferPointer<UInt8>) -> Int? {
    index.find(byteHash(name)) { number in spelling.withPublished(tensors[number].name) { isEqual($0, name) } }
  }
}
