// Numbers as text without a locale: a decimal point everywhere, no grouping.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The shortest text that reads back as the same number, without a trailing `.0`.
func plainNumber(_ value: Double) -> String {
  let text = "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

/// `value` with exactly `digits` decimals, ties to even; scientific beyond 1e12.
func fixedPoint(_ value: Double, digits: Int) -> String {
  guard value.isFinite else { return "\(value)" }
  let scale = pow(10, Double(digits))
  guard abs(value) < 1e12 else { return "\(value)" }
  let scaled = Int((abs(value) * scale).rounded(.toNearestOrEven))
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard digits > 0 else { return sign + String(scaled) }
  let whole = scaled / Int(scale)
  let fraction = String(scaled % Int(scale))
  return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
}
