// Sums by digits: the same bits in every form, however the work is cut, and as near to a sum in double precision as sums in f32 are.

import CKernels
import Formats
import Model
import Support
import Testing

@Suite struct DigitTests {
  static let types: [StoredType] = [.q40, .q80, .q4K, .q5K, .q6K, .iq4NL, .iq4XS, .mxfp4]

  /// Activations as models have them, and worse: even, a large one among 97, and one of a thousand.
  enum Kind: CaseIterable {
    case even, outliers, giants

    func values(_ count: Int, _ numbers: inout Numbers) -> [Float] {
      (0..<count).map { index in
        let value = (0..<4).reduce(Float(0)) { sum, _ in sum + numbers.float() }
        return index % 97 == 5 ? value * (self == .even ? 1 : self == .outliers ? 30 : 1000) : value
      }
    }
  }

  /// Rows of random blocks, whose scales are what files have.
  private final class Quantised {
    let type: StoredType
    let rows: Int
    let depth: Int
    private var bytes: [UInt8]
    private let rowBytes: Int

    init(_ type: StoredType, rows: Int, depth: Int, seed: Int) {
      (self.type, self.rows, self.depth) = (type, rows, depth)
      rowBytes = type.rowBytes(columns: depth)
      var numbers = Numbers(seed)
      bytes = (0..<rows * rowBytes + 1).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      let block = type.rowBytes(columns: type.blockSize)
      for start in stride(from: 1, to: bytes.count - block + 1, by: block) {
        let scale = Float16Bits(numbers.float(0.001...0.02)).bits, least = Float16Bits(numbers.float(0.01...0.1)).bits
        func put(_ bits: UInt16, at place: Int) {
          bytes[start + place] = UInt8(bits & 255)
          bytes[start + place + 1] = UInt8(bits >> 8)
        }
        switch type {
        case .mxfp4: bytes[start] = UInt8.random(in: 118...121, using: &numbers)
        case .q6K: put(scale, at: 208)
        case .q4K, .q5K:
          put(scale, at: 0)
          put(least, at: 2)
        default: put(scale, at: 0)
        }
      }
    }

    /// As layers hold it; the pointer lives for the call.
    func asWeight<R>(_ body: (WeightMatrix) -> R) -> R {
      with { body(WeightMatrix(base: $0.base, type: type, rows: rows, columns: depth)) }
    }

    func with<R>(_ body: (mt_matrix) -> R) -> R {
      bytes.withUnsafeBytes { bytes in
        guard let base = bytes.baseAddress else { preconditionFailure("no bytes") }
        return body(
          mt_matrix(
            base: base + 1, row_bytes: rowBytes, rows: rows, depth: depth, type: mt_element_type(type.rawValue), scales: mt_scales(),
            depth_bytes: 0, tables: nil))
      }
    }

    /// `[rows, depth]` as f32.
    func numbers() -> [Float] {
      with { matrix in
        let out = Floats(count: rows * depth)
        var matrix = matrix
        for row in 0..<rows { Form.scalar.kernels.read_row(out.pointer + row * depth, &matrix, row) }
        return out.values
      }
    }
  }

  /// `[tokens, rows]` of the products, the rows in two parts.
  private func product(_ form: Form, _ weight: Quantised, _ x: [Float], tokens: Int, sums: mt_sums = MT_SUMS_DIGITS, cut: Int = 0)
    -> [Float]
  {
    let input = Floats(x), out = Floats(count: tokens * weight.rows)
    weight.with { matrix in
      withScratch(mt_matmul_scratch_bytes(weight.depth)) { scratch in
        for range in [0..<cut, cut..<weight.rows] {
          var job = mt_matmul_job(
            out: out.pointer, out_stride: weight.rows, out_index: nil, x: input.pointer, x_stride: weight.depth, x_index: nil,
            tokens: tokens, weights: matrix, row_begin: range.lowerBound, row_end: range.upperBound, bias: nil, scale: nil,
            accumulate: false, sums: sums, is_laid: false, x_is_laid: false)
          if sums == MT_SUMS_DIGITS { form.kernels.digits(&job, scratch) } else { form.kernels.matmul(&job, scratch) }
        }
      }
    }
    #expect(out.isIntact)
    return out.values
  }

  /// Runs of eight blocks, whole and not; rows that are no multiple of four; weights of any bits.
  @Test(arguments: types)
  func everyFormHasTheSameBits(type: StoredType) {
    var numbers = Numbers(11)
    for depth in [type.blockSize, 3 * type.blockSize, 9 * type.blockSize, 23 * type.blockSize] {
      let weight = Quantised(type, rows: 7, depth: depth, seed: depth)
      for kind in Kind.allCases {
        let x = kind.values(3 * depth, &numbers)
        let wanted = product(.scalar, weight, x, tokens: 3).map(\.bitPattern)
        for form in Form.all {
          let found = product(form, weight, x, tokens: 3, cut: 2).map(\.bitPattern)
          #expect(found == wanted, "\(form.testDescription), depth \(depth), \(kind)")
        }
      }
    }
  }

  /// No token's sums depend on the others of a call, also where these do not all fit the scratch.
  @Test(arguments: Form.all, types)
  func tokensAreAlone(form: Form, type: StoredType) {
    let depth = 256, tokens = 60
    var numbers = Numbers(5)
    let weight = Quantised(type, rows: 9, depth: depth, seed: 2)
    let x = Kind.outliers.values(tokens * depth, &numbers)
    let together = product(form, weight, x, tokens: tokens, cut: 4)
    for token in [0, 1, 31, 59] {
      let alone = product(form, weight, Array(x[token * depth..<(token + 1) * depth]), tokens: 1)
      #expect(alone.map(\.bitPattern) == together[token * 9..<(token + 1) * 9].map(\.bitPattern))
    }
  }

  /// Root of the mean squared error, beside that of a sum in f32: at most twice as large.
  @Test(arguments: types, Kind.allCases)
  func errorsAreThoseOfSingles(type: StoredType, kind: Kind) {
    let (rows, depth) = (256, 2048)
    var numbers = Numbers(3)
    let weight = Quantised(type, rows: rows, depth: depth, seed: 9)
    let x = kind.values(depth, &numbers)
    let values = weight.numbers()
    let exact = (0..<rows).map { row in (0..<depth).reduce(0.0) { $0 + Double(values[row * depth + $1]) * Double(x[$1]) } }
    func error(_ found: [Float]) -> Double { zip(found, exact).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) } }
    let digits = error(product(.scalar, weight, x, tokens: 1)), singles = error(product(.scalar, weight, x, tokens: 1, sums: MT_SUMS_F32))
    #expect(digits <= 4 * singles, "\(digits.squareRoot()), \(singles.squareRoot())")
  }

  /// A number that is none makes every output NaN; zeros, numbers too small for a unit, and the largest do not.
  @Test(arguments: Form.all, types)
  func extremes(form: Form, type: StoredType) {
    let weight = Quantised(type, rows: 5, depth: 256, seed: 1)
    for bad in [Float.nan, -.nan, .infinity, -.infinity] {
      var x = [Float](repeating: 1, count: 256)
      x[77] = bad
      let numbers = product(form, weight, x, tokens: 1).filter { !$0.isNaN }
      #expect(numbers.isEmpty, "\(bad)")
    }
    for (value, bound) in [(Float(0), Float(0)), (0x1p-140, 1e-30), (1e30, 1e36)] {
      let x = [Float](repeating: value, count: 256)
      let beyond = product(form, weight, x, tokens: 1).filter { !(abs($0) <= bound) }
      #expect(beyond.isEmpty, "\(value)")
    }
  }

  /// The smallest number whose three digits do not fit, and its neighbours.
  @Test(arguments: Form.all)
  func theLargestWholeNumber(form: Form) {
    let weight = Quantised(.q80, rows: 4, depth: 32, seed: 4)
    for value in [Float(8_355_710), 8_355_711, 8_355_712, 8_388_607, 16_711_422, 16_711_423, 16_711_424] {
      let x = (0..<32).map { Float($0 % 3 - 1) * value }
      let found = product(form, weight, x, tokens: 1).map(\.bitPattern), wanted = product(.scalar, weight, x, tokens: 1).map(\.bitPattern)
      #expect(found == wanted, "\(value)")
    }
  }

  /// Scales beside the elements, and stored columns, are not for digits; nor is any type that has no whole numbers.
  @Test func whatHasDigits() {
    for type in StoredType.allCases where type.blockSize > 0 {
      var matrix = mt_matrix(
        base: UnsafeRawPointer(bitPattern: 64)!, row_bytes: 1024, rows: 1, depth: 256, type: mt_element_type(type.rawValue),
        scales: mt_scales(), depth_bytes: 0, tables: nil)
      #expect(mt_has_digits(&matrix) == Self.types.contains(type), "\(type)")
      matrix.depth_bytes = 4
      #expect(!mt_has_digits(&matrix))
    }
  }
  /// An expert whose gate and up are kept alike or not has the bits of its three products, each by itself: what one product laid out of
  /// its tokens may serve the next only where the next would lay out the same.
  @Test(arguments: [(StoredType.q4K, StoredType.q4K), (.q4K, .q6K), (.q80, .q4K), (.q80, .q80)], [1, 40])
  func expertsLayTheirTokensOutRight(types: (StoredType, StoredType), tokens: Int) {
    let (hidden, inner) = (512, 256)
    var numbers = Numbers(tokens)
    let x = Floats(Kind.outliers.values(tokens * hidden, &numbers))
    let gate = Quantised(types.0, rows: inner, depth: hidden, seed: 1), up = Quantised(types.1, rows: inner, depth: hidden, seed: 2)
    let down = Quantised(.q6K, rows: hidden, depth: inner, seed: 3)
    var assignments = ExpertAssignments()
    assignments.assignAll(tokens: tokens)
    gate.asWeight { gate in
      up.asWeight { up in
        down.asWeight { down in
          for threads in [1, 3] {
            let pool = WorkerPool(threads: threads)
            let out = Floats([Float](repeating: 0, count: tokens * hidden)), wanted = Floats(count: tokens * hidden)
            let store = Floats(count: tokens * inner), first = Floats(count: tokens * inner), second = Floats(count: tokens * inner)
            [ExpertWeights(gate: gate, up: up, down: down)].withUnsafeBufferPointer {
              pool.runExperts(
                ExpertCall(out: out.pointer, x: x.pointer, hidden: store.pointer, activation: .silu), experts: $0, assignments: assignments)
            }
            pool.matmul(out: first.pointer, x: x.pointer, tokens: tokens, weight: gate)
            pool.matmul(out: second.pointer, x: x.pointer, tokens: tokens, weight: up)
            mt_activate(first.pointer, first.pointer, second.pointer, tokens * inner, MT_SILU, 0)
            pool.matmul(out: wanted.pointer, x: first.pointer, tokens: tokens, weight: down)
            #expect(out.values == wanted.values, "\(threads) threads")
          }
        }
      }
    }
  }
}
