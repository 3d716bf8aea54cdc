// What a page and the tokens of a run add up to: the numbers that are stored with them when they are written and compared when they are
// read. Another writer can compute them with any CRC-32; the rule stands beside the schema's third step.

import Formats
import Foundation
import Routing

/// CRC-32 of a page and of its decisions alone.
struct PageChecksum: Equatable, Sendable {
  private(set) var page: UInt32
  private(set) var decisions: UInt32

  /// - Parameters:
  ///   - decisionBlobs: `absent` to `importance`, in the order of the columns; nil for NULL.
  ///   - logitBlobs: `logit_rows` and `logits`; they do not count for `decisions`.
  ///   - extraBlobs: `norms` to `shared_norm`, behind all other blobs.
  ///   - squaredLogSumExp: NaN for NULL.
  init(decisionBlobs: [Data?], logitBlobs: [Data?], extraBlobs: [Data?], tokens: Range<Int>, squaredLogSumExp: Double) {
    var sum = CRC32()
    for blob in decisionBlobs { sum.add(blob) }
    var known = sum
    for blob in extraBlobs { known.add(blob) }
    decisions = Self.decisions(after: known, tokens: tokens, squaredLogSumExp: squaredLogSumExp)
    for blob in logitBlobs + extraBlobs { sum.add(blob) }
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
  mutating func add(_ blob: Data?) {
    blob?.withUnsafeBytes { add($0) }
  }

  /// Tokens, as they follow each other in a run.
  mutating func add(_ tokens: TokenTable) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(33 * tokens.count)
    func append(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    for row in 0..<tokens.count {
      append(UInt32(bitPattern: tokens.sequence[row]))
      append(UInt32(bitPattern: tokens.position[row]))
      append(UInt32(bitPattern: tokens.tokenID[row]))
      bytes.append(tokens.phase[row].rawValue)
      for value in [tokens.surprisal[row], tokens.nextTokenEntropy[row]] { append((value.isNaN ? .nan : value).bitPattern) }
      for column in [tokens.pass, tokens.batch, tokens.predictedID] { if let column { append(UInt32(bitPattern: column[row])) } }
    }
    add(bytes)
  }
}
