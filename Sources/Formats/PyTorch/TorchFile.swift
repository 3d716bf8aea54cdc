// What did a program save with torch.save, value by value? Records of routing are no state dictionaries: lists of passes, tuples of layers,
// dictionaries with numbers or tuples as keys. The pickle is read by PickleMachine.swift as that of a checkpoint is; here its values are
// looked at one at a time, where they lie, so that no nesting, sharing or cycle of a hostile file is ever walked or copied.

/// One file of torch.save (PyTorch 1.6 and later), mapped, with whatever values were saved.
public final class TorchFile: Sendable {
  public let path: String
  private let document: TorchDocument
  private let rootValue: PickleValue

  /// A pickle of a record holds lists of token ids and positions: 3 to 5 bytes a number, 20 million of them in these.
  static let byteLimit = 128 << 20

  /// - Throws: `FormatError`, as `PyTorchFile` does: nothing is executed, names other than those of tensors are refused.
  public init(path: String) throws(FormatError) {
    let archive = try TorchArchive(MappedFile(path: path))
    let (root, heap) = try archive.unpickled(limit: Self.byteLimit)
    self.path = path
    document = TorchDocument(file: archive.zip.file, heap: heap)
    rootValue = root
  }

  /// The value that was saved.
  public var root: TorchValue { TorchValue(document: document, value: rootValue, place: "") }

  /// Whether the file begins like an archive of torch.save and has lost its end, where the list of its entries is.
  public static func isCut(_ path: String) -> Bool {
    guard let file = try? MappedFile(path: path), isArchive(file) else { return false }
    return withExtendedLifetime(file) { !file.bytes.suffix(22).starts(with: [0x50, 0x4B, 0x05, 0x06]) }
  }

  /// Whether the file begins like an archive of torch.save.
  public static func isArchive(_ file: MappedFile) -> Bool {
    withExtendedLifetime(file) { file.bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) }
  }
}

/// What values refer to.
private final class TorchDocument: Sendable {
  let file: MappedFile
  let heap: PickleHeap

  init(file: MappedFile, heap: PickleHeap) {
    self.file = file
    self.heap = heap
  }
}

/// One value of a file of torch.save: asked for what it should be, it answers nil when it is something else.
public struct TorchValue: Sendable {
  private let document: TorchDocument
  private let value: PickleValue
  /// From the root, `records[3].positions`; "" for the root.
  public let place: String

  fileprivate init(document: TorchDocument, value: PickleValue, place: String) {
    self.document = document
    self.value = value
    self.place = place
  }

  /// In words, for errors.
  public var kind: String {
    guard case .tensor(let number) = value else { return value.kind }
    let tensor = document.heap.tensors[number]
    return "a tensor \(tensor.elementType.rawValue) \(tensor.shape)"
  }

  public var isNone: Bool { if case .none = value { true } else { false } }

  public var bool: Bool? { if case .bool(let flag) = value { flag } else { nil } }

  public var int: Int? { if case .int(let number) = value { number } else { nil } }

  /// Whole numbers included.
  public var number: Double? {
    switch value {
    case .float(let number): number
    case .int(let number): Double(number)
    default: nil
    }
  }

  /// Nil also for bytes that are no UTF-8.
  public var text: String? { Self.text(value, in: document) }

  private static func text(_ value: PickleValue, in document: TorchDocument) -> String? {
    guard case .string(let range) = value else { return nil }
    return String(validating: UnsafeRawBufferPointer(rebasing: document.file.bytes[range]), as: UTF8.self)
  }

  // MARK: Tuples and lists

  private var sequence: [PickleValue]? {
    switch value {
    case .tuple(let number), .list(let number): document.heap.sequences[number]
    default: nil
    }
  }

  public var isTuple: Bool { if case .tuple = value { true } else { false } }

  /// The values of a tuple or list, in order.
  public var items: [TorchValue]? {
    sequence.map { items in
      items.indices.map { TorchValue(document: document, value: items[$0], place: "\(place)[\($0)]") }
    }
  }

  /// The values of a tuple or list of whole numbers that fit; nil when one is something else.
  public var integers: [Int32]? {
    guard let sequence else { return nil }
    var found: [Int32] = []
    found.reserveCapacity(sequence.count)
    for item in sequence {
      guard case .int(let number) = item, let small = Int32(exactly: number) else { return nil }
      found.append(small)
    }
    return found
  }

  // MARK: Dictionaries

  private var pairs: [(key: PickleValue, value: PickleValue)]? {
    if case .dictionary(let number) = value { document.heap.dictionaries[number] } else { nil }
  }

  public var isDictionary: Bool { if case .dictionary = value { true } else { false } }

  /// Keys and values of a dictionary, in its order. Keys are texts, numbers, tuples: whatever was saved.
  public var members: [(key: TorchValue, value: TorchValue)]? {
    pairs?.enumerated().map { index, pair in
      let name = Self.text(pair.key, in: document) ?? "\(index)"
      return (
        TorchValue(document: document, value: pair.key, place: "\(place), key \(index)"),
        TorchValue(document: document, value: pair.value, place: joined(name))
      )
    }
  }

  /// The value of a dictionary under a text; of several, the last, as Python has it. Nil without one, or when this is no dictionary.
  public subscript(key: String) -> TorchValue? {
    pairs?.last { Self.text($0.key, in: document) == key }
      .map { TorchValue(document: document, value: $0.value, place: joined(key)) }
  }

  private func joined(_ key: String) -> String {
    let key = key.utf8.count <= 60 ? key : String(key.prefix(20)) + "…"
    return place.isEmpty ? key : "\(place).\(key)"
  }

  // MARK: Tensors

  /// Type of the elements and shape of a tensor, without its bytes; nil for other values.
  public var tensorShape: (elementType: ElementType, shape: [Int])? {
    guard case .tensor(let number) = value else { return nil }
    return (document.heap.tensors[number].elementType, document.heap.tensors[number].shape)
  }

  /// A tensor where it lies in the file, on whatever device it was; nil for other values.
  /// - Throws: `FormatError.unsupported` for elements that do not follow each other.
  public func tensor() throws(FormatError) -> TensorView? {
    guard case .tensor(let number) = value else { return nil }
    let tensor = document.heap.tensors[number]
    guard tensor.isContiguous else {
      throw .unsupported(
        file: document.file.path, place: place.isEmpty ? "the tensor" : place,
        found: "a view \(tensor.shape) with strides \(tensor.strides)", hint: "save it with .contiguous()")
    }
    return TensorView(
      name: place, elementType: tensor.elementType, shape: tensor.shape, byteOffset: tensor.byteOffset, byteCount: tensor.byteCount,
      file: document.file)
  }

  // MARK: Needs

  /// The error for a value that is not what its reader needs.
  public func unexpected(_ expected: String) -> FormatError {
    .value(file: document.file.path, path: place.isEmpty ? "the saved value" : place, expected: expected, found: kind)
  }

  /// The error for a value that is sound, but not one that its reader knows.
  public func unsupported(_ found: String, hint: String) -> FormatError {
    .unsupported(file: document.file.path, place: place.isEmpty ? "the saved value" : place, found: found, hint: hint)
  }

  /// - Throws: `FormatError.missing`.
  public func require(_ key: String, _ expected: String) throws(FormatError) -> TorchValue {
    guard let found = self[key] else { throw .missing(file: document.file.path, path: joined(key), expected: expected) }
    return found
  }

  public func requireItems(_ expected: String) throws(FormatError) -> [TorchValue] {
    guard let items else { throw unexpected(expected) }
    return items
  }

  public func requireInt() throws(FormatError) -> Int {
    guard let int else { throw unexpected("an integer") }
    return int
  }

  public func requireIntegers() throws(FormatError) -> [Int32] {
    guard let integers else { throw unexpected("a list of integers of 32 bits") }
    return integers
  }

  /// A tensor of whole numbers with so many axes.
  public func requireTensor(rank: Int) throws(FormatError) -> TensorView {
    guard let found = try tensor(), found.shape.count == rank, NumberRows.isWhole(found.elementType) else {
      throw unexpected("a tensor of integers with \(rank) axes")
    }
    return found
  }
}
