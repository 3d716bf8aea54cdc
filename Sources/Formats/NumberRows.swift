// How are rows of plain numbers read from a mapped file, some at a time? Whole numbers become 32-bit integers, floats become 32-bit floats,
// whatever their size in the file. A file may be larger than the memory: what was read is given back.

/// Rows of equally many numbers that follow each other in a file.
public struct NumberRows: Sendable {
  public let file: MappedFile
  public let elementType: ElementType
  /// Rows that are there as a whole.
  public let count: Int
  /// Numbers of a row.
  public let width: Int
  /// Of the first row in the file.
  let byteOffset: Int

  /// - Precondition: the rows lie in the file; the type is a plain one.
  init(file: MappedFile, elementType: ElementType, count: Int, width: Int, byteOffset: Int) {
    self.file = file
    self.elementType = elementType
    self.count = count
    self.width = width
    self.byteOffset = byteOffset
  }

  /// The elements of a tensor, by its first axis.
  /// - Parameter width: numbers of a row, where it is not the product of the other axes; must divide the number of elements.
  /// - Precondition: the tensor has an axis, and no blocks.
  public init(_ tensor: TensorView, width: Int? = nil) {
    let whole = width ?? tensor.shape.dropFirst().reduce(1, *)
    self.init(
      file: tensor.file, elementType: tensor.elementType, count: whole > 0 ? tensor.elementCount / whole : 0, width: whole,
      byteOffset: tensor.byteOffset)
  }

  /// Some of the rows, counted from its first.
  /// - Precondition: they are there.
  public func part(_ rows: Range<Int>) -> NumberRows {
    NumberRows(
      file: file, elementType: elementType, count: rows.count, width: width,
      byteOffset: byteOffset + rows.lowerBound * width * elementType.byteCount)
  }

  public static func isWhole(_ type: ElementType) -> Bool { [.i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64].contains(type) }

  public static func isFloat(_ type: ElementType) -> Bool { [.f16, .bf16, .f32, .f64].contains(type) }

  /// Whole numbers of some rows, `[rows, width]`; those beyond 32 bits become the nearest that is not.
  /// - Throws: `FormatError.changed`.
  /// - Precondition: the rows are there and hold whole numbers.
  public func integers(_ rows: Range<Int>) throws(FormatError) -> [Int32] {
    try read(rows) { Self.integers(of: $0, elementType) }
  }

  /// Floats of some rows, `[rows, width]`.
  /// - Throws: `FormatError.changed`.
  /// - Precondition: the rows are there and hold floats.
  public func floats(_ rows: Range<Int>) throws(FormatError) -> [Float] {
    try read(rows) { Self.floats(of: $0, elementType) }
  }

  /// Pages are given back by so many bytes, when the last of them was read: rows beside each other lie in the same ones.
  private static let releasedBytes = 1 << 18

  private func read<Number>(_ rows: Range<Int>, _ convert: (UnsafeRawBufferPointer) -> [Number]) throws(FormatError) -> [Number] {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= count)
    let rowBytes = width * elementType.byteCount
    let place = byteOffset + rows.lowerBound * rowBytes..<byteOffset + rows.upperBound * rowBytes
    let found = convert(UnsafeRawBufferPointer(rebasing: file.bytes[place]))
    try file.requireWhole()
    let (first, end) = (place.lowerBound / Self.releasedBytes, place.upperBound / Self.releasedBytes)
    if first < end { file.release(first * Self.releasedBytes..<end * Self.releasedBytes) }
    return found
  }

  // MARK: Bytes

  /// Little-endian whole numbers; those beyond 32 bits become the nearest that is not. Bytes of a last part of one are left out.
  /// - Precondition: the type is one of whole numbers.
  public static func integers(of bytes: UnsafeRawBufferPointer, _ type: ElementType) -> [Int32] {
    func all<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> [Int32] {
      map(bytes, Number.self) { Int32(clamping: Number(littleEndian: $0)) }
    }
    switch type {
    case .i8: return all(Int8.self)
    case .i16: return all(Int16.self)
    case .i32: return all(Int32.self)
    case .i64: return all(Int64.self)
    case .u8: return all(UInt8.self)
    case .u16: return all(UInt16.self)
    case .u32: return all(UInt32.self)
    case .u64: return all(UInt64.self)
    default: preconditionFailure("\(type) is no whole number")
    }
  }

  /// Little-endian floats. Bytes of a last part of one are left out.
  /// - Precondition: the type is one of floats.
  public static func floats(of bytes: UnsafeRawBufferPointer, _ type: ElementType) -> [Float] {
    switch type {
    case .f16: map(bytes, UInt16.self) { half(UInt16(littleEndian: $0)) }
    case .bf16: map(bytes, UInt16.self) { Float(bitPattern: UInt32(UInt16(littleEndian: $0)) << 16) }
    case .f32: map(bytes, UInt32.self) { Float(bitPattern: UInt32(littleEndian: $0)) }
    case .f64: map(bytes, UInt64.self) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
    default: preconditionFailure("\(type) is no float")
    }
  }

  private static func map<Stored: BitwiseCopyable, Number>(
    _ bytes: UnsafeRawBufferPointer, _: Stored.Type, _ convert: (Stored) -> Number
  ) -> [Number] {
    let size = MemoryLayout<Stored>.size
    return [Number](unsafeUninitializedCapacity: bytes.count / size) { numbers, count in
      count = bytes.count / size
      for index in 0..<count {
        numbers.initializeElement(at: index, to: convert(bytes.loadUnaligned(fromByteOffset: index * size, as: Stored.self)))
      }
    }
  }

  /// IEEE 754 binary16; Swift's own type is not on every machine.
  private static func half(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let (exponent, fraction) = (UInt32(bits >> 10) & 0x1F, UInt32(bits & 0x3FF))
    switch exponent {
    case 0: return Float(bitPattern: sign | (Float(fraction) * 0x1p-24).bitPattern)
    case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
