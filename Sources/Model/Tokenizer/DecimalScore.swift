// Which number does a score of tokenizer.json stand for? Ties between ways to cut a piece are decided by the last bit of sums, so scores
// have to be the reference's, which are not always the nearest ones: its JSON reader (serde_json, without `float_roundtrip`) takes the
// digits as one integer of 64 bits, makes that a double, and divides or multiplies it by a power of ten, rounding twice.

import Formats

enum DecimalScore {
  private static let powers: [Double] = (0...308).compactMap { Double("1e\($0)") }

  /// - Throws: `FormatError` for what is not a number.
  static func value(of json: JSONValue) throws(FormatError) -> Double {
    let nearest = try json.requireNumber()
    guard nearest.isFinite, let text = json.scalarText else { return nearest }
    var digits: UInt64 = 0
    var exponent = 0
    var isFull = false
    var isFraction = false
    var bytes = text.utf8[...]
    let isNegative = bytes.first == UInt8(ascii: "-")
    if isNegative { bytes = bytes.dropFirst() }
    while let byte = bytes.first, byte | 0x20 != UInt8(ascii: "e") {
      bytes = bytes.dropFirst()
      if byte == UInt8(ascii: ".") {
        isFraction = true
        continue
      }
      let (product, overflow) = digits.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(byte &- UInt8(ascii: "0")))
      // Digits that no longer fit are dropped, and so are all after them.
      isFull = isFull || overflow || carry
      if !isFull { digits = sum }
      if isFull != isFraction { exponent += isFull ? 1 : -1 }
    }
    exponent += Int(Substring(bytes.dropFirst())) ?? 0
    var value = Double(digits)
    while exponent < -308, value != 0 {
      value /= powers[308]
      exponent += 308
    }
    guard abs(exponent) <= 308 else { return nearest }
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent]
    return isNegative ? -value : value
  }
}
