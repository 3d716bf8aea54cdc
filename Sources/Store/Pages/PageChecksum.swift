// What a page and the tokens of a run add up to: the numbers that are stored with them when they are written and compared when they are
// read. Another writer can compute them with any CRC-32; the rule stands beside the schema's third step.

import Formats
import Routing

/// CRC-32 of a page and of its decisions alone.
struct PageChecksum: Equatable, Sendable {
  private(set) var page: UInt32
  private(set) var decisions: UInt32

  /// Of blobs behind each other, NULL as none.
  ///
  /// - Parameters:
  ///   - decisions: `absent` to `importance`, in the order of the columns.
  ///   - extras: `norms` to `shared_norm`, behind all other blobs.
  ///   - logits: `logit_rows` and `logits`; they do not count for `decisions`.
  ///   - squaredLogSumExp: NaN for NULL.
  init(
    decisions: ArraySlice<UInt8>, extras: ArraySlice<UInt8>, logits: ArraySlice<UInt8>, tokens: Range<Int>, squaredLogSumExp: Double
  ) {
    var sum = CRC32()
    decisions.withUnsafeBytes { sum.add($0) }
    var known = sum
    extras.withUnsafeBytes { known.add($0) }
    self.decisions = Self.decisions(after: known, tokens: tokens, squaredLogSumExp: squaredLogSumExp)
    for blobs in [logits, extras] { blobs.withUnsafeBytes { sum.add($0) } }
    page = sum.value
  }

  /// The checksum of the decisions, given that of their blobs.
  static func decisions(after blobs: CRC32, tokens: Range<Int>, squaredLogSumExp: Double) -> UInt32 {
    var sum = blobs
    let bits = squaredLogSumExp.isNaN ? Double.nan.bitPattern : squaredLogSumExp.bitPattern
    for number in [UInt64(bitPattern: Int64(tokens.lowerBound)), UInt64(bitPattern: Int64(tokens.count)), bits] {
      withUnsafeBytes(of: number.littleEndian) { sum.add($0) }
    }
    return sum.value
  }
}

extension CRC32 {
  /// Tokens, as they follow each other in a run.
  mutating func add(_ tokens: TokenTable) {
    let more = [tokens.pass, tokens.batch, tokens.predictedID].compactMap(\.self)
    let rowBytes = 21 + 4 * more.count
    withUnsafeTemporaryAllocation(byteCount: rowBytes * tokens.count, alignment: 1) { bytes in
      var place = 0
      func append(_ value: UInt32) {
        bytes.storeBytes(of: value.littleEndian, toByteOffset: place, as: UInt32.self)
        place += 4
      }
      for row in 0..<tokens.count {
        append(UInt32(bitPattern: tokens.sequence[row]))
        append(UInt32(bitPattern: tokens.position[row]))
        append(UInt32(bitPattern: tokens.tokenID[row]))
        bytes[place] = tokens.phase[row].rawValue
        place += 1
        append((tokens.surprisal[row].isNaN ? .nan : tokens.surprisal[row]).bitPattern)
        append((tokens.nextTokenEntropy[row].isNaN ? .nan : tokens.nextTokenEntropy[row]).bitPattern)
        for column in more { append(UInt32(bitPattern: column[row])) }
      }
      add(UnsafeRawBufferPointer(bytes))
    }
  }
}
