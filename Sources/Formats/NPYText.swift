// The header of a .npy as numpy.save writes it, version 1.0: a Python dictionary in ASCII, padded so that the numbers begin at a multiple of 64.
// The format: numpy's documentation of numpy.lib.format.

enum NPYText {
  /// What stands before the numbers.
  ///
  /// - Parameters:
  ///   - descr: the type as numpy spells it, e.g. `<f4`.
  ///   - shape: outermost axis first; empty for a single value.
  static func header(descr: String, shape: [Int]) -> [UInt8] {
    let axes = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
    var text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': (\(axes)), }".utf8)
    // Magic, version and length take ten bytes, the line's end one.
    while (10 + text.count + 1) % 64 != 0 { text.append(0x20) }
    text.append(0x0a)
    return NPYHeader.magic + [1, 0, UInt8(text.count & 0xff), UInt8(text.count >> 8)] + text
  }

  /// Nil for types that numpy has no number of.
  static func descr(_ type: ElementType) -> String? {
    switch type {
    case .u8: "|u1"
    case .i8: "|i1"
    case .u16: "<u2"
    case .i16: "<i2"
    case .u32: "<u4"
    case .i32: "<i4"
    case .u64: "<u8"
    case .i64: "<i8"
    case .f16: "<f2"
    case .f32: "<f4"
    case .f64: "<f8"
    default: nil
    }
  }
}

extension NPYFile {
  /// Writes one array of 64-bit integers, as numpy.save would.
  ///
  /// - Parameter rows: `[rows][columns]`, all of one length.
  /// - Throws: `FormatError.system`.
  public static func write(_ rows: [[Int64]], to path: String) throws(FormatError) {
    let file = try OutputFile(path: path)
    try file.write(NPYText.header(descr: "<i8", shape: [rows.count, rows.first?.count ?? 0]))
    for row in rows {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(8 * row.count)
      for number in row { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }
      try file.write(bytes)
    }
    try file.commit()
  }
}
