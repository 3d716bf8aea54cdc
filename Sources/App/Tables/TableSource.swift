// What does a file of weights or rules hold, whatever wrote it? Arrays of numbers and single settings, each under the words that lead to
// it: `alpha_module_state_dict`, `control_points`. torch.save, safetensors, numpy.save and JSON look the same from here, so that a system
// says once what it reads. Files are hostile: only what a file's own bytes back is counted, and nothing is read before its size is known.

import Formats

/// One file by its names.
struct TableSource {
  let path: String
  private(set) var arrays: [TableArray] = []
  private(set) var settings: [(words: [String], value: Setting)] = []

  enum Setting: Equatable {
    case whole(Int)
    case number(Double)
    case flag(Bool)
    case text(String)

    var whole: Int? { if case .whole(let value) = self { value } else { nil } }
    var flag: Bool? { if case .flag(let value) = self { value } else { nil } }
    var text: String? { if case .text(let value) = self { value } else { nil } }

    /// As an error names it.
    var shown: String {
      switch self {
      case .whole(let value): "\(value)"
      case .number(let value): "\(value)"
      case .flag(let value): "\(value)"
      case .text(let value): "\"\(value.prefix(60))\""
      }
    }
  }

  /// Values inside each other that are looked into, and how many in all: a pickle can refer to one list a million times.
  private static let depthLimit = 8
  private static let valueLimit = 1 << 18
  /// Longer lists are data, no names or settings.
  private static let listLimit = 1 << 12

  /// - Throws: `FormatError`.
  init(path: String) throws {
    self.path = path
    let file = try MappedFile(path: path)
    if NPYFile.isAt(path) {
      arrays = [try TableArray(NPYFile(path: path))]
    } else if TorchFile.isArchive(file) || PyTorchFile.isAt(path) {
      var left = Self.valueLimit
      try collect(TorchFile(path: path).root, [], depth: 0, &left)
    } else if path.hasSuffix(".safetensors") {
      arrays = try SafetensorsFile(path: path).tensors.map { TableArray($0, words: Self.words(of: $0.name)) }
    } else if path.hasSuffix(".json") {
      // Python writes NaN; what may not be there is said by whoever reads the number.
      try collect(JSON.read(path, options: JSON.Options(allowsNonFinite: true)), [], depth: 0)
    } else {
      throw FormatError.unsupported(
        file: path, place: "content", found: "a file that is neither of torch.save, safetensors, numpy.save nor JSON",
        hint: "JSON and safetensors are known by their ending")
    }
  }

  private static func words(of name: String) -> [String] { name.split(separator: ".").map(String.init) }

  // MARK: Collecting

  private mutating func collect(_ value: TorchValue, _ words: [String], depth: Int, _ left: inout Int) throws {
    left -= 1
    guard left > 0 else {
      throw FormatError.malformed(
        file: path, place: words.joined(separator: "."), problem: "more than \(Self.valueLimit) values lie in the file",
        hint: "save the state dictionary alone")
    }
    guard depth <= Self.depthLimit else { return }
    if let shape = value.tensorShape?.shape {
      // Most tensors of a file are of no table: one that cannot be read is a fault where its numbers are asked for.
      do throws(FormatError) {
        if let tensor = try value.tensor() { arrays.append(TableArray(tensor, words: words)) }
      } catch {
        arrays.append(TableArray(unreadable: error, shape: shape, words: words, file: path))
      }
    } else if let flag = value.bool {
      settings.append((words, .flag(flag)))
    } else if let whole = value.int {
      settings.append((words, .whole(whole)))
    } else if let number = value.number {
      settings.append((words, .number(number)))
    } else if let text = value.text {
      settings.append((words, .text(text)))
    } else if let members = value.members {
      for (key, value) in members { if let name = key.text { try collect(value, words + Self.words(of: name), depth: depth + 1, &left) } }
    } else if let items = value.items, items.count <= Self.listLimit {
      for (index, item) in items.enumerated() { try collect(item, words + ["\(index)"], depth: depth + 1, &left) }
    }
  }

  private mutating func collect(_ value: JSONValue, _ words: [String], depth: Int) throws {
    guard depth <= Self.depthLimit else { return }
    switch value.kind {
    case .null: return
    case .bool: if let flag = value.bool { settings.append((words, .flag(flag))) }
    case .string: if let text = value.string { settings.append((words, .text(text))) }
    case .number:
      if let whole = value.int64 {
        settings.append((words, .whole(Int(whole))))
      } else if let number = value.double {
        settings.append((words, .number(number)))
      }
    case .object: for (key, value) in value.members { try collect(value, words + [key.string ?? ""], depth: depth + 1) }
    case .array:
      if let array = TableArray(value, words: words) { return arrays.append(array) }
      for (index, element) in value.elements.enumerated() { try collect(element, words + ["\(index)"], depth: depth + 1) }
    }
  }

  // MARK: Asking

  /// Arrays whose names end so, in the order of the file.
  func arrays(ending suffix: String...) -> [TableArray] { arrays.filter { $0.words.ends(with: suffix) } }

  /// The first setting whose name ends so.
  func setting(ending suffix: String...) -> Setting? { settings.first { $0.words.ends(with: suffix) }?.value }

  /// The texts of a list under `key`, where there are `count` of them; else `noun` and a number.
  func names(_ key: String, count: Int, else noun: String) -> [String] {
    let found = settings.compactMap { setting in setting.words.dropLast().ends(with: [key]) ? setting.value.text : nil }
    return found.count == count ? found : (0..<count).map { "\(noun) \($0)" }
  }

  /// The error for a file that has not what a system's file has.
  func lacks(_ what: String, hint: String) -> FormatError {
    .malformed(file: path, place: "content", problem: "expected \(what), found \(summary)", hint: hint)
  }

  /// What the file holds, in a few words.
  var summary: String {
    let shown =
      arrays.prefix(6).map { "\($0.name) \($0.shape)" } + settings.prefix(max(0, 6 - arrays.count)).map { $0.words.joined(separator: ".") }
    let rest = arrays.count + settings.count - shown.count
    return shown.isEmpty ? "nothing with a name" : shown.joined(separator: ", ") + (rest > 0 ? " and \(Show.grouped(rest)) more" : "")
  }
}

/// Numbers in a file, row-major.
struct TableArray {
  /// What leads to it; of numpy.save nothing.
  let words: [String]
  let shape: [Int]
  private let file: String
  private let content: Content

  private enum Content {
    case rows(NumberRows)
    case json(JSONValue)
    /// Of a type that is no plain number.
    case other(ElementType)
    case unreadable(FormatError)
  }

  /// The most numbers of one array that are read: no table has more.
  private static let numberLimit = 1 << 24

  /// Numbers that are there.
  private var count: Int {
    switch content {
    case .rows(let rows): rows.count * rows.width
    case .json: shape.reduce(1, *)
    case .other, .unreadable: 0
    }
  }

  /// As errors and texts name it.
  var name: String { words.isEmpty ? "the array" : words.joined(separator: ".") }

  init(_ tensor: TensorView, words: [String]) {
    self.words = words
    shape = tensor.shape
    file = tensor.file.path
    let isPlain = NumberRows.isFloat(tensor.elementType) || NumberRows.isWhole(tensor.elementType)
    content = isPlain ? .rows(NumberRows(tensor, width: tensor.shape.isEmpty ? 1 : nil)) : .other(tensor.elementType)
  }

  init(unreadable error: FormatError, shape: [Int], words: [String], file: String) {
    self.words = words
    self.shape = shape
    self.file = file
    content = .unreadable(error)
  }

  init(_ array: NPYFile) throws {
    words = []
    shape = array.header.shape
    file = array.path
    content = .rows(array.rows)
    if array.header.isTruncated {
      throw FormatError.malformed(
        file: file, place: "the array", problem: "has \(array.header.wholeRows) of its \(array.header.rows) rows",
        hint: "was its writer stopped?")
    }
  }

  /// Nested lists of one length each; nil for anything else.
  init?(_ value: JSONValue, words: [String]) {
    guard let shape = Self.shape(of: value, depth: 0) else { return nil }
    self.words = words
    self.shape = shape
    file = value.fileName
    content = .json(value)
  }

  private static func shape(of value: JSONValue, depth: Int) -> [Int]? {
    if value.kind == .number { return [] }
    guard value.kind == .array, depth < 4 else { return nil }
    var inner: [Int]?
    for element in value.elements {
      guard let found = shape(of: element, depth: depth + 1), inner == nil || inner == found else { return nil }
      inner = found
    }
    return inner.map { [value.count] + $0 }
  }

  /// The same with a shape of so many axes.
  /// - Parameter expected: the axes in words, `[experts, tasks]`.
  func require(rank: Int, _ expected: String) throws -> TableArray {
    guard shape.count == rank, shape.allSatisfy({ $0 > 0 }) else { throw unexpected(expected) }
    return self
  }

  /// The error for an array of another shape.
  func unexpected(_ expected: String) -> FormatError { .value(file: file, path: name, expected: expected, found: "\(shape)") }

  /// The error for one of its numbers, counted row-major.
  func unexpected(_ expected: String, at index: Int, found: String) -> FormatError {
    var (place, rest) = ([Int](), index)
    for size in shape.reversed() {
      place.insert(rest % size, at: 0)
      rest /= size
    }
    return .value(file: file, path: "\(name) \(place)", expected: expected, found: found)
  }

  /// All numbers, row-major.
  /// - Throws: `FormatError`: more of them than a table has, other types, numbers that are not finite.
  func numbers() throws -> [Double] {
    guard count <= Self.numberLimit else {
      throw FormatError.unsupported(
        file: file, place: name, found: "an array \(shape) of more than \(Show.grouped(Self.numberLimit)) numbers",
        hint: "is this the file of the router?")
    }
    var found: [Double] = []
    switch content {
    case .rows(let rows):
      if NumberRows.isFloat(rows.elementType) {
        found = try rows.floats(0..<rows.count).map(Double.init)
      } else {
        found = try rows.integers(0..<rows.count).map(Double.init)
      }
    case .json(let value):
      found.reserveCapacity(count)
      Self.append(value, to: &found)
    case .other(let type):
      throw FormatError.unsupported(
        file: file, place: name, found: "type \(type.safetensorsName)", hint: "plain integers and floats are read")
    case .unreadable(let error): throw error
    }
    if let index = found.firstIndex(where: { !$0.isFinite }) { throw unexpected("a finite number", at: index, found: "\(found[index])") }
    return found
  }

  private static func append(_ value: JSONValue, to numbers: inout [Double]) {
    if let number = value.double { return numbers.append(number) }
    for element in value.elements { append(element, to: &numbers) }
  }
}

extension String {
  /// The number of a layer, an expert or a level, as names have it; nil for anything else, and for more than any model has.
  var placeInName: Int? { Int(self).flatMap { (0..<1 << 16).contains($0) ? $0 : nil } }
}

extension Collection where Element == String {
  /// Whether the last elements are these.
  func ends(with suffix: [String]) -> Bool { count >= suffix.count && self.suffix(suffix.count).elementsEqual(suffix) }
}
