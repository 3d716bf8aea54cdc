// What can a pickle of a checkpoint consist of, once it is read? Plain values, containers, tensors, and values that are known to be inert.
// Containers live in one list and refer to each other by number, so that no nesting, sharing or cycle that a
// file describes becomes nesting, sharing or a cycle of objects in memory.

/// A value on the stack of the machine.
enum PickleValue {
  case none
  case bool(Bool)
  case float(Double)
  case int(Int)
  /// Bytes of text in the file; not yet known to be UTF-8.
  case string(Range<Int>)
  /// Containers and what torch builds, by their number in `PickleHeap`.
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  case storage(Int)
  case tensor(Int)
  /// An instance of an inert class, by its number in `PickleHeap`: of no use but for the settings among its attributes.
  case object(Int)
  case name(PickleName)
  /// Something that neither a tensor nor a setting can come from: bytes, very large integers, sets, what inert functions make.
  case inert

  /// For errors.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a bool"
    case .int: "an integer"
    case .float: "a float"
    case .string: "a string"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .storage: "a storage"
    case .tensor: "a tensor"
    case .object: "an instance that is read past"
    case .name: "the name of a class or function"
    case .inert: "a value that is read past"
    }
  }
}

/// The bytes of one or several tensors.
struct PickleStorage {
  /// Of the elements; nil: bytes whose type each tensor says itself.
  var elementType: ElementType?
  /// In the file.
  var range: Range<Int>
}

/// A tensor as the pickle describes it; its elements are known to lie inside its storage.
struct PickleTensor {
  var elementType: ElementType
  var shape: [Int]
  var strides: [Int]
  /// Of its first element in the file, and the bytes of all its elements.
  var byteOffset: Int
  var byteCount: Int

  /// Whether the elements follow each other row-major; axes of one element may have any stride.
  var isContiguous: Bool {
    if shape.contains(0) { return true }
    var expected = 1
    for (count, stride) in zip(shape, strides).reversed() where count != 1 {
      if stride != expected { return false }
      expected *= count
    }
    return true
  }
}

/// What the values refer to.
struct PickleHeap {
  /// Tuples and lists.
  var sequences: [[PickleValue]] = []
  /// In the order of insertion.
  var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
  /// Of each instance the dictionary of its attributes, once it is known.
  var objects: [Int?] = []
  var storages: [PickleStorage] = []
  var tensors: [PickleTensor] = []

  mutating func tuple(_ items: [PickleValue]) -> PickleValue {
    sequences.append(items)
    return .tuple(sequences.count - 1)
  }

  mutating func list() -> PickleValue {
    sequences.append([])
    return .list(sequences.count - 1)
  }

  mutating func dictionary() -> PickleValue {
    dictionaries.append([])
    return .dictionary(dictionaries.count - 1)
  }

  mutating func object() -> PickleValue {
    objects.append(nil)
    return .object(objects.count - 1)
  }

  mutating func storage(_ storage: PickleStorage) -> PickleValue {
    storages.append(storage)
    return .storage(storages.count - 1)
  }

  mutating func tensor(_ tensor: PickleTensor) -> PickleValue {
    tensors.append(tensor)
    return .tensor(tensors.count - 1)
  }
}
