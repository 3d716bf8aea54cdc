// Do stored weights become the numbers their formats define, bit for bit as the reference has them, in every form? And is a product with
// a quantised matrix the product with those numbers? The expected values are ggml's own.

import CKernels
import Formats
import Model
import Support
import Testing

@Suite struct DequantTests {
  static let types = StoredType.allCases.filter { $0.blockSize > 2 }
  static let lookedUp = types.filter { mt_needs_tables(mt_element_type($0.rawValue)) }

  /// The file of this project that has the type.
  private static func own(_ type: StoredType) -> String? {
    Fixtures.own(lookedUp.contains(type) ? "lookup/dequant.safetensors" : "quant/dequant.safetensors")
  }

  /// The reference's blocks and numbers of one type: `[512]`, or more in the further reference models.
  private func reference(_ type: StoredType, _ path: String?) throws -> (blocks: TensorView, values: [Float]) {
    let file = try SafetensorsFile(path: #require(path))
    let name = type.description.uppercased()
    let values = try file.tensor(name + ".f32")
    return (try file.tensor(name + ".raw"), Array(values.bytes.bindMemory(to: Float.self)))
  }

  @Test(arguments: Form.all, types)
  func equalsTheReference(form: Form, type: StoredType) throws {
    try compare(form, type, Self.own(type))
  }

  @Test(.enabled(if: Fixtures.sharedRoot != nil, "\(Fixtures.needsShared)"), arguments: Form.all, types.filter { !lookedUp.contains($0) })
  func equalsFurtherReferences(form: Form, type: StoredType) throws {
    try compare(form, type, Fixtures.shared("quant/dequant.safetensors"))
  }

  private func compare(_ form: Form, _ type: StoredType, _ path: String?) throws {
    let (blocks, values) = try reference(type, path)
    let out = Floats(count: values.count)
    let start = try #require(blocks.bytes.baseAddress)
    form.kernels.convert(out.pointer, start, mt_element_type(type.rawValue), try LookupContent.own.pointer, values.count)
    #expect(out.isIntact && out.bits == values.map(\.bitPattern))
  }

  @Test func theOwnCopyHoldsEveryType() throws {
    for type in Self.types {
      let file = try SafetensorsFile(path: try #require(Self.own(type)))
      #expect(file[type.description.uppercased() + ".raw"] != nil, "\(type)")
    }
    #expect(Self.types.count == 25 && Self.lookedUp.count == 7)
  }

  @Test func blocksAreThoseOfTheFiles() {
    for type in StoredType.allCases {
      guard let element = ElementType(rawValue: type.description) else {
        #expect([.f4E2M1, .u4B8].contains(type))
        continue
      }
      #expect(type.blockSize == element.blockSize && type.rowBytes(columns: element.blockSize) == element.byteCount, "\(type)")
    }
  }

  /// Every bit pattern of the 8-bit floats: the values, computed from their definition.
  @Test(arguments: Form.all)
  func eightBitFloats(form: Form) {
    let bytes = (0...UInt8.max).map { $0 }
    func values(_ type: mt_element_type) -> [Float] {
      let out = Floats(count: 256)
      form.kernels.convert(out.pointer, bytes, type, nil, 256)
      return out.values
    }
    func power(_ exponent: Int) -> Float { Float(sign: .plus, exponent: exponent, significand: 1) }
    let (e4m3, e5m2, e8m0) = (values(MT_F8_E4M3), values(MT_F8_E5M2), values(MT_F8_E8M0))
    for byte in 0..<256 {
      let sign: Float = byte & 128 == 0 ? 1 : -1
      let exponent = byte >> 3 & 15, fraction = Float(byte & 7)
      let wanted = byte & 127 == 127 ? .nan : exponent == 0 ? fraction * power(-9) : (1 + fraction / 8) * power(exponent - 7)
      #expect(ulps(e4m3[byte], sign * wanted) == 0, "e4m3 \(byte)")
      #expect(ulps(e5m2[byte], Float16Bits(bits: UInt16(byte) << 8).value) == 0, "e5m2 \(byte)")
      #expect(ulps(e8m0[byte], byte == 255 ? .nan : power(byte - 127)) == 0, "e8m0 \(byte)")
    }
  }

  /// Every byte, in whole blocks and in what is left of one: two numbers from -8 to 7, the low half first.
  @Test(arguments: Form.all, [512, 46])
  func wholeFourBitNumbers(form: Form, count: Int) {
    let bytes: [UInt8] = Array(0...UInt8.max)
    let out = Floats(count: count)
    form.kernels.convert(out.pointer, bytes, MT_U4B8, nil, count)
    var wanted: [Float] = []
    for byte in bytes.prefix(count / 2) {
      wanted.append(Float(byte & 15) - 8)
      wanted.append(Float(byte >> 4) - 8)
    }
    #expect(out.isIntact && out.values == wanted)
  }

  /// A product with a quantised matrix has the bits of one with its f32 numbers, for few and many tokens.
  @Test(arguments: Form.all, types + [.f64, .f8E4M3, .f8E5M2, .f4E2M1, .u4B8])
  func productsAreThoseOfTheNumbers(form: Form, type: StoredType) throws {
    let tables = try LookupContent.own
    let (rows, depth) = (13, 256)
    var numbers = Numbers(3)
    let rowBytes = type.rowBytes(columns: depth) + 3
    let bytes = (0..<rowBytes * rows + 1).map { _ in UInt8.random(in: 0...119, using: &numbers) }  // no NaN in any scale
    let wide = Floats(count: rows * depth)
    bytes.withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress else { return }
      let weight = WeightMatrix(base: start + 1, type: type, rows: rows, columns: depth, rowBytes: rowBytes, tables: tables.pointer)
      for row in 0..<rows { weight.read(row: row, into: wide.pointer + row * depth) }
      let plain = mt_matrix(
        base: wide.pointer, row_bytes: depth * 4, rows: rows, depth: depth, type: MT_F32, scales: mt_scales(), depth_bytes: 0, tables: nil)
      let stored = mt_matrix(
        base: start + 1, row_bytes: rowBytes, rows: rows, depth: depth, type: mt_element_type(type.rawValue), scales: mt_scales(),
        depth_bytes: 0, tables: tables.pointer)
      for tokens in [1, 2, 7, 17] {
        let x = Floats(numbers.floats(tokens * depth))
        let results = [plain, stored].map { matrix in
          let out = Floats(count: tokens * rows)
          withScratch(mt_matmul_scratch_bytes(depth)) { scratch in
            for range in [0..<5, 5..<rows] {
              var job = mt_matmul_job(
                out: out.pointer, out_stride: rows, out_index: nil, x: x.pointer, x_stride: depth, x_index: nil, tokens: tokens,
                weights: matrix, row_begin: range.lowerBound, row_end: range.upperBound, bias: nil, scale: nil, accumulate: false,
                sums: MT_SUMS_F32, is_laid: false, x_is_laid: false)
              form.kernels.matmul(&job, scratch)
            }
          }
          return out.bits
        }
        #expect(results[0] == results[1], "\(tokens) tokens")
      }
    }
  }

  /// Whatever the bytes of a block are, its numbers come from the type's own table: here the only one that is not 0 throughout.
  @Test(arguments: Form.all, lookedUp)
  func placesStayWithinTheirTable(form: Form, type: StoredType) {
    let order: [StoredType] = [.iq2XXS, .iq2XS, .iq2S, .iq3XXS, .iq3S, .iq1S]
    let sizes = [256 * 8, 512 * 8, 1024 * 8, 256 * 4, 512 * 4, 2048 * 8]
    let own = order.firstIndex(of: type == .iq1M ? .iq1S : type)
    let entries = sizes.indices.flatMap { [UInt8](repeating: $0 == own ? 100 : 0, count: sizes[$0]) }
    let tables = LookupContent([UInt8](repeating: 0, count: 128) + entries)
    var numbers = Numbers(5)
    let (count, size) = (500, type.rowBytes(columns: 256))
    var blocks = (0..<count * size).map { _ in UInt8.random(in: 0...255, using: &numbers) }
    for start in stride(from: 0, to: blocks.count, by: size) {
      if start / size % 2 == 1 { for i in start..<start + size { blocks[i] = 0xff } }
      // A scale of 1: two bytes at the start, or the upper four bits of the four half words at the end of IQ1_M.
      if type == .iq1M {
        for (word, part) in [0, 0, 0xc0, 0x30].enumerated() {
          let upper = start + 49 + 2 * word
          blocks[upper] = blocks[upper] & 15 | UInt8(part)
        }
      } else {
        (blocks[start], blocks[start + 1]) = (0, 0x3c)
      }
    }
    let out = Floats(count: count * 256)
    form.kernels.convert(out.pointer, blocks, mt_element_type(type.rawValue), tables.pointer, out.count)
    // The least factor of an entry is 1/8; without one, nothing is beyond 15/8.
    #expect(out.isIntact && out.values.allSatisfy { abs($0) >= 12 })
  }

  @Test func theTablesOfTheTestsHaveTheirSize() throws {
    #expect(try LookupContent.own.byteCount == mt_lookup_tables_bytes())
  }

  /// Scales kept beside the elements: blocks of rows and columns, whole matrices and parts of them.
  @Test(arguments: Form.all)
  func companionScales(form: Form) {
    let (rows, depth) = (10, 12)
    var numbers = Numbers(8)
    let elements = (0..<rows * depth).map { _ in UInt8.random(in: 0...119, using: &numbers) }
    let scales = numbers.floats(3 * 3)
    for (first, step, count) in [(0, 1, 10), (3, 1, 7), (1, 2, 5)] {
      let out = Floats(count: depth), bare = Floats(count: depth)
      elements.withUnsafeBytes { elements in
        scales.withUnsafeBytes { scales in
          guard let base = elements.baseAddress else { return }
          var matrix = mt_matrix(
            base: base + first * depth, row_bytes: depth * step, rows: count, depth: depth, type: MT_F8_E4M3,
            scales: mt_scales(
              base: scales.baseAddress, row_bytes: 12, type: MT_F32, rows: 4, columns: 5, first_row: first, row_step: step),
            depth_bytes: 0, tables: nil)
          for row in 0..<count {
            form.kernels.read_row(out.pointer, &matrix, row)
            let stored = first + row * step
            form.kernels.convert(bare.pointer, base + stored * depth, MT_F8_E4M3, nil, depth)
            let wanted = (0..<depth).map { bare.values[$0] * scales.load(fromByteOffset: (stored / 4 * 3 + $0 / 5) * 4, as: Float.self) }
            #expect(out.values == wanted && out.isIntact)
          }
        }
      }
    }
  }
}
