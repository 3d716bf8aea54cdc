// How is a pickle read without doing what it says? A pickle is a program for a stack machine; this machine knows only the instructions that
// build values, and the few names of PickleNames.swift. Nothing is imported, called or written. Any other instruction or name, and any use
// of these in a way that torch.save does not write, ends the reading with the instruction and its place. The format: Python's pickletools.

/// Reads one pickle of protocol 2 to 5.
struct PickleMachine {
  /// A pickle of a checkpoint names tensors, it does not hold them: 40 blocks of 16 experts with the optimizer's state take 2 MB.
  static let byteLimit = 32 << 20
  static let stackLimit = 1 << 20
  static let depthLimit = 1000
  /// Of tuples, lists, dictionaries and tensors, and of remembered values.
  static let containerLimit = 1 << 22
  static let lineLimit = 256

  let file: MappedFile
  let entry: StoredZip.Entry
  /// Bytes that the pickle may have.
  let limit: Int
  /// The bytes of the storage with this key; nil when there are none.
  let storage: (String) -> Range<Int>?

  private var heap = PickleHeap()
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  private var offset: Int
  /// Where the instruction that is being read begins, and its name.
  private var start: Int
  private var instruction = PickleInstruction.proto

  init(file: MappedFile, entry: StoredZip.Entry, limit: Int = byteLimit, storage: @escaping (String) -> Range<Int>?) {
    self.file = file
    self.entry = entry
    self.limit = limit
    self.storage = storage
    offset = entry.range.lowerBound
    start = offset
  }

  /// - Returns: the one value that the pickle describes, and what it refers to.
  /// - Throws: `FormatError` for what is damaged (`malformed`) and for what is refused (`unsupported`).
  mutating func run() throws(FormatError) -> (root: PickleValue, heap: PickleHeap) {
    guard entry.range.count <= limit else {
      throw malformed("has \(entry.range.count) bytes, at most \(limit) are allowed", hint: nil)
    }
    while true {
      start = offset
      let code = try integer(UInt8.self)
      guard let known = PickleInstruction(rawValue: code) else { throw refused("instruction \(code)") }
      guard start > entry.range.lowerBound || known == .proto else {
        throw malformed("expected a pickle, found byte \(code) first", hint: "is this file written by torch.save?")
      }
      instruction = known
      if known == .stop { return try finish() }
      try step()
      guard stack.count <= Self.stackLimit, marks.count <= Self.depthLimit, memo.count <= Self.containerLimit,
        heap.sequences.count + heap.dictionaries.count + heap.objects.count + heap.tensors.count + heap.storages.count
          <= Self.containerLimit
      else {
        throw malformed(
          "expected at most \(Self.stackLimit) values on the stack, \(Self.depthLimit) open brackets and \(Self.containerLimit) containers,"
            + " found more", hint: "torch.save never writes this: do not trust the file")
      }
    }
  }

  private func finish() throws(FormatError) -> (PickleValue, PickleHeap) {
    guard let root = stack.first, stack.count == 1, marks.isEmpty else {
      throw malformed("expected one value at the end, found \(stack.count)", hint: nil)
    }
    guard offset == entry.range.upperBound else {
      throw malformed("\(entry.range.upperBound - offset) bytes follow the end of the pickle", hint: nil)
    }
    return (root, heap)
  }

  private mutating func step() throws(FormatError) {
    switch instruction {
    case .proto:
      let version = try integer(UInt8.self)
      guard (2...5).contains(version), start == entry.range.lowerBound else { throw refused("protocol \(version)") }
    case .frame: _ = try integer(UInt64.self)
    case .mark: marks.append(stack.count)
    case .none: stack.append(.none)
    case .newtrue, .newfalse: stack.append(.bool(instruction == .newtrue))
    case .binint: stack.append(.int(Int(try integer(Int32.self))))
    case .binint1: stack.append(.int(Int(try integer(UInt8.self))))
    case .binint2: stack.append(.int(Int(try integer(UInt16.self))))
    case .long1: stack.append(longInteger(try take(Int(try integer(UInt8.self)))))
    case .binfloat:
      let place = try take(8).lowerBound
      let bits = UInt64(bigEndian: file.bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
      stack.append(.float(Double(bitPattern: bits)))
    case .binunicode: stack.append(.string(try take(Int(try integer(UInt32.self)))))
    case .shortBinunicode: stack.append(.string(try take(Int(try integer(UInt8.self)))))
    case .binbytes:
      _ = try take(Int(try integer(UInt32.self)))
      stack.append(.inert)
    case .shortBinbytes:
      _ = try take(Int(try integer(UInt8.self)))
      stack.append(.inert)
    case .emptyTuple: stack.append(heap.tuple([]))
    case .tuple: stack.append(heap.tuple(try popToMark()))
    case .tuple1: stack.append(heap.tuple(try pop(1)))
    case .tuple2: stack.append(heap.tuple(try pop(2)))
    case .tuple3: stack.append(heap.tuple(try pop(3)))
    case .emptyList: stack.append(heap.list())
    case .append: try append(try pop(1))
    case .appends: try append(try popToMark())
    case .emptyDict: stack.append(heap.dictionary())
    case .setitem: try setItems(try pop(2))
    case .setitems: try setItems(try popToMark())
    case .binput: memo[Int(try integer(UInt8.self))] = try top()
    case .longBinput: memo[Int(try integer(UInt32.self))] = try top()
    case .memoize: memo[memo.count] = try top()
    case .binget: try recall(Int(try integer(UInt8.self)))
    case .longBinget: try recall(Int(try integer(UInt32.self)))
    case .global: stack.append(.name(try name(module: try line(), name: try line())))
    case .stackGlobal:
      let names = try pop(2)
      guard case .string(let module) = names[0], case .string(let name) = names[1] else { throw unexpected("two strings", names) }
      stack.append(.name(try self.name(module: module, name: name)))
    case .reduce: try reduce()
    case .newobj:
      let parts = try pop(2)
      guard case .name(.inert) = parts[0], case .tuple = parts[1] else { throw unexpected("a class that is read past, and a tuple", parts) }
      stack.append(heap.object())
    case .build: try build()
    case .binpersid: try persistent()
    default: throw refused("this instruction")
    }
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(FormatError) -> Range<Int> {
    guard count <= entry.range.upperBound - offset else {
      throw malformed("needs \(count) bytes, \(entry.range.upperBound - offset) are left", hint: "is the download complete?")
    }
    defer { offset += count }
    return offset..<offset + count
  }

  private mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) throws(FormatError) -> Number {
    let place = try take(MemoryLayout<Number>.size).lowerBound
    return Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: place, as: Number.self))
  }

  /// Bytes up to a line feed, which is skipped.
  private mutating func line() throws(FormatError) -> Range<Int> {
    let limit = min(entry.range.upperBound, offset + Self.lineLimit)
    guard let end = file.bytes[offset..<limit].firstIndex(of: ascii("\n")) else {
      throw malformed("expected a name of at most \(Self.lineLimit) bytes and a line feed, found none", hint: "is the download complete?")
    }
    defer { offset = end + 1 }
    return offset..<end
  }

  /// Little-endian, two's complement, of any length; what does not fit is not a size of anything here.
  private func longInteger(_ range: Range<Int>) -> PickleValue {
    guard range.count <= 8 else { return .inert }
    var value: Int64 = file.bytes[range].last.map { $0 >= 0x80 ? -1 : 0 } ?? 0
    for byte in file.bytes[range].reversed() { value = value << 8 | Int64(byte) }
    return .int(Int(value))
  }

  private func text(_ range: Range<Int>) -> String { String(decoding: file.bytes[range], as: UTF8.self) }

  // MARK: The stack

  private func top() throws(FormatError) -> PickleValue {
    guard let value = stack.last, stack.count > marks.last ?? 0 else {
      throw malformed("expected a value on the stack, found none", hint: nil)
    }
    return value
  }

  /// The last `count` values above the last mark.
  private mutating func pop(_ count: Int) throws(FormatError) -> [PickleValue] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw malformed("expected \(count) values on the stack, found \(stack.count - (marks.last ?? 0))", hint: nil)
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(FormatError) -> [PickleValue] {
    guard let mark = marks.popLast() else { throw malformed("expected an open bracket, found none", hint: nil) }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private mutating func recall(_ number: Int) throws(FormatError) {
    guard let value = memo[number] else { throw malformed("expected a remembered value, found none with the number \(number)", hint: nil) }
    stack.append(value)
  }

  // MARK: Containers

  private mutating func append(_ items: [PickleValue]) throws(FormatError) {
    guard case .list(let list) = try top() else { throw unexpected("a list to append to", [try top()]) }
    heap.sequences[list] += items
  }

  private mutating func setItems(_ items: [PickleValue]) throws(FormatError) {
    guard case .dictionary(let dictionary) = try top(), items.count % 2 == 0 else {
      throw unexpected("a dictionary, and a value for every key", [try top()])
    }
    for index in stride(from: 0, to: items.count, by: 2) { heap.dictionaries[dictionary].append((items[index], items[index + 1])) }
  }

  /// Attributes of an instance: the settings of a training script. None of them is a tensor of the model.
  private mutating func build() throws(FormatError) {
    let state = try pop(1)[0]
    switch (try top(), state) {
    case (.object(let object), .dictionary(let attributes)): heap.objects[object] = attributes
    case (.dictionary, .dictionary), (.object, .tuple), (.inert, .dictionary), (.inert, .tuple): return
    case (let object, _): throw unexpected("attributes of an OrderedDict or of a class that is read past", [object, state])
    }
  }

  // MARK: Names and what they make

  private func name(module: Range<Int>, name: Range<Int>) throws(FormatError) -> PickleName {
    let full = "\(text(module)) \(text(name))"
    guard let known = PickleName.table[full] else {
      throw refused(
        "the name \(quoted(full.replacing(" ", with: "."), limit: 200))",
        hint: "only names that torch.save writes for tensors in dictionaries are understood, and nothing is ever run;"
          + " if you trust the file, load it with torch and save model.state_dict()")
    }
    return known
  }

  private mutating func reduce() throws(FormatError) {
    let parts = try pop(2)
    guard case .name(let name) = parts[0], case .tuple(let tuple) = parts[1] else { throw unexpected("a known name, and a tuple", parts) }
    let arguments = heap.sequences[tuple]
    switch name {
    case .inert: stack.append(.inert)
    case .orderedDictionary:
      guard arguments.isEmpty else { throw unexpected("no arguments of an OrderedDict", arguments) }
      stack.append(heap.dictionary())
    case .defaultDictionary:
      guard arguments.count <= 1 else { throw unexpected("at most the class of missing values", arguments) }
      stack.append(heap.dictionary())
    case .size:
      guard arguments.count == 1, case .tuple = arguments[0] else { throw unexpected("a tuple", arguments) }
      stack.append(arguments[0])
    case .parameter:
      guard let tensor = arguments.first, case .tensor = tensor else { throw unexpected("a tensor of a parameter", arguments) }
      stack.append(tensor)
    case .tensorOfTypedStorage: try tensor(arguments, type: nil)
    case .tensorOfUntypedStorage:
      guard arguments.count > 6, case .name(.elementType(let type)) = arguments[6] else {
        throw unexpected("an element type as argument 7 of a tensor", arguments)
      }
      try tensor(Array(arguments[..<6] + arguments[7...]), type: type)
    case .storage, .elementType: throw refused("a call of a storage or element type")
    }
  }

  /// storage, offset in elements, size, strides, requires_grad, hooks, and in new files metadata.
  private mutating func tensor(_ arguments: [PickleValue], type: ElementType?) throws(FormatError) {
    guard (6...7).contains(arguments.count), case .storage(let number) = arguments[0], case .int(let first) = arguments[1],
      let shape = integers(arguments[2]), let strides = integers(arguments[3])
    else {
      throw unexpected("storage, offset, size, strides, a bool and hooks of a tensor", arguments)
    }
    if arguments.count == 7, case .none = arguments[6] {
    } else if arguments.count == 7 {
      throw refused("a tensor with metadata (conjugated or negated)", hint: "save it with .resolve_conj().resolve_neg()")
    }
    let storage = heap.storages[number]
    guard let elementType = storage.elementType ?? type, type == nil || storage.elementType == nil else {
      throw malformed("expected either the storage or the tensor to say the type of its elements", hint: nil)
    }
    let capacity = storage.range.count / elementType.byteCount
    guard shape.count == strides.count, shape.count <= SafetensorsFile.rankLimit, let count = elementCount(of: shape),
      strides.allSatisfy({ $0 >= 0 }), first >= 0, first <= capacity, count <= Int.max / elementType.byteCount
    else {
      throw malformed(
        "expected a size and as many strides, found \(shape) with strides \(strides) at element \(first)",
        hint: "torch.save never writes this: do not trust the file")
    }
    guard count == 0 || Self.last(shape, strides, from: first) ?? .max < capacity else {
      throw malformed(
        "a tensor \(shape) with strides \(strides) from element \(first) on reaches beyond its storage of \(capacity) elements",
        hint: "is the download complete?")
    }
    stack.append(
      heap.tensor(
        PickleTensor(
          elementType: elementType, shape: shape, strides: strides, byteOffset: storage.range.lowerBound + first * elementType.byteCount,
          byteCount: count * elementType.byteCount)))
  }

  /// The element of the storage that is reached last; nil beyond all numbers.
  private static func last(_ shape: [Int], _ strides: [Int], from first: Int) -> Int? {
    var last = first
    for (count, stride) in zip(shape, strides) {
      let (way, tooFar) = (count - 1).multipliedReportingOverflow(by: stride)
      let (sum, tooMuch) = last.addingReportingOverflow(way)
      guard !tooFar, !tooMuch else { return nil }
      last = sum
    }
    return last
  }

  private func integers(_ value: PickleValue) -> [Int]? {
    guard case .tuple(let tuple) = value else { return nil }
    var result: [Int] = []
    for item in heap.sequences[tuple] {
      guard case .int(let number) = item else { return nil }
      result.append(number)
    }
    return result
  }

  /// ("storage", class, key, device, count of elements): the only thing that may lie outside the pickle.
  private mutating func persistent() throws(FormatError) {
    let value = try pop(1)[0]
    guard case .tuple(let tuple) = value else { throw unexpected("a tuple that names a storage", [value]) }
    let parts = heap.sequences[tuple]
    guard parts.count == 5, case .string(let kind) = parts[0], text(kind) == "storage", case .name(.storage(let type)) = parts[1],
      case .string(let keyRange) = parts[2], case .string = parts[3], case .int(let count) = parts[4]
    else {
      throw unexpected("(\"storage\", class, key, device, count)", parts)
    }
    let key = text(keyRange)
    guard key.utf8.count <= 20, !key.isEmpty, key.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw malformed("expected a number as the key of a storage, found \(quoted(key))", hint: nil)
    }
    guard let range = storage(key) else {
      throw malformed("expected the bytes of storage \(key) in an entry of its own, found none", hint: "is the download complete?")
    }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: type?.byteCount ?? 1)
    guard !overflow, byteCount == range.count else {
      throw malformed(
        "storage \(key) claims \(count) elements of \(type?.byteCount ?? 1) bytes, its entry has \(range.count) bytes",
        hint: "is the download complete?")
    }
    stack.append(heap.storage(PickleStorage(elementType: type, range: range)))
  }

  // MARK: Errors

  private var place: String { "entry \(quoted(entry.name)), byte \(start - entry.range.lowerBound) (\(instruction.name))" }

  private func malformed(_ problem: String, hint: String?) -> FormatError {
    .malformed(file: file.path, place: place, problem: problem, hint: hint)
  }

  private func unexpected(_ expected: String, _ found: [PickleValue]) -> FormatError {
    malformed(
      "expected \(expected), found \(found.isEmpty ? "nothing" : found.prefix(8).map(\.kind).joined(separator: ", "))",
      hint: "only what torch.save writes for tensors in dictionaries is understood")
  }

  private func refused(_ found: String, hint: String? = nil) -> FormatError {
    .unsupported(
      file: file.path, place: place, found: found,
      hint: hint ?? "only what torch.save writes for tensors in dictionaries is understood, and nothing is ever run")
  }
}
