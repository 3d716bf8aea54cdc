// Which files make up one GGUF checkpoint? A large one is cut into `name-00001-of-0000N.gguf`, each of which says so in its own
// metadata (`split.no`, `split.count`). Any of them may be named; all are opened, and what they say is compared.

/// The files of one GGUF checkpoint.
public struct GGUFSplit: Sendable {
  /// In order; the first holds the metadata of the model. Every file has tensors of its own.
  public let files: [GGUFFile]

  /// - Parameter path: a file that stands alone, or any one of a split.
  /// - Throws: `FormatError` for a damaged or missing file, and for files that do not belong together.
  public init(path: String) throws(FormatError) {
    let named = try GGUFFile(path: path)
    let count = try Self.number("split.count", of: named) ?? 1
    guard count > 1 else {
      files = [named]
      return
    }
    guard let name = SplitName(path), name.count == count else {
      throw .malformed(
        file: path, place: "split.count", problem: "the file is one of \(count), but it is not called NAME-00001-of-\(padded(count)).gguf",
        hint: "keep the names of the download")
    }
    var files: [GGUFFile] = []
    for number in 0..<count {
      let file = number == name.number ? named : try GGUFFile(path: name.path(of: number))
      try Self.check(file, number: number, count: count)
      files.append(file)
    }
    try Self.checkTensors(files)
    self.files = files
  }

  private static func number(_ key: String, of file: GGUFFile) throws(FormatError) -> Int? {
    guard let value = file[key] else { return nil }
    guard let number = value.int64, number >= 0, number < 100_000 else {
      throw .malformed(file: file.path, place: "metadata \"\(key)\"", problem: "is not a number from 0 to 99999", hint: nil)
    }
    return Int(number)
  }

  private static func check(_ file: GGUFFile, number: Int, count: Int) throws(FormatError) {
    let foundNumber = try self.number("split.no", of: file)
    let foundCount = try self.number("split.count", of: file)
    guard foundNumber == number, foundCount == count else {
      throw .malformed(
        file: file.path, place: "metadata \"split.no\"",
        problem: "says part \(foundNumber.map { "\($0 + 1)" } ?? "?") of \(foundCount.map { "\($0)" } ?? "?"), "
          + "its name says \(number + 1) of \(count)",
        hint: "keep the names of the download")
    }
  }

  private static func checkTensors(_ files: [GGUFFile]) throws(FormatError) {
    var names: Set<String> = []
    for file in files {
      for tensor in file.tensors where !names.insert(tensor.name).inserted {
        throw .malformed(
          file: file.path, place: "tensor \(quoted(tensor.name, limit: 200))", problem: "is in an earlier part too", hint: nil)
      }
    }
    if let first = files.first, let promised = first["split.tensors.count"]?.int64, promised != names.count {
      throw .malformed(
        file: first.path, place: "metadata \"split.tensors.count\"",
        problem: "promises \(promised) tensors, the \(files.count) parts hold \(names.count)",
        hint: "the parts may be of different downloads")
    }
  }
}

private func padded(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}

/// `PREFIX-00002-of-00003.gguf`; `number` counts from 0.
private struct SplitName {
  let prefix: String
  let number: Int
  let count: Int

  init?(_ path: String) {
    let ending = ".gguf", middle = "-of-"
    guard path.hasSuffix(ending) else { return nil }
    let stem = path.dropLast(ending.count)
    let total = stem.suffix(5)
    let rest = stem.dropLast(5)
    guard rest.hasSuffix(middle) else { return nil }
    let part = rest.dropLast(middle.count).suffix(5)
    let head = rest.dropLast(middle.count + part.count)
    guard part.count == 5, let number = Int(part), let count = Int(total), number >= 1, number <= count, head.hasSuffix("-") else {
      return nil
    }
    prefix = String(head)
    self.number = number - 1
    self.count = count
  }

  func path(of number: Int) -> String { "\(prefix)\(padded(number + 1))-of-\(padded(count)).gguf" }
}
