// Numbers with a fixed number of decimals, spelt in one place for every room: two printers that round a tie differently would show one
// number as two.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// `value` with exactly `digits` decimals and a decimal point whatever the locale; ties of the exact binary value go away from zero, zero
/// has no sign. Numbers of 1e15 units of the last decimal and more, and those that are not finite, are spelt as Swift spells them.
///
/// - Precondition: 0 <= `digits` <= 15.
/// - Test: 6.25 gives 6.3; -0.0004 with three digits gives 0.000; 1.115 with two, which is a little less than it says, gives 1.11.
public func fixedPoint(_ value: Double, digits: Int) -> String {
  let scale = pow(10, Double(digits))
  let scaled = abs(value) * scale
  guard scaled < 1e15 else { return "\(value)" }
  var units = Int(scaled.rounded())
  // A product that was rounded up to a tie is no tie.
  if Double(units) - scaled == 0.5, scaled.addingProduct(-abs(value), scale) > 0 { units -= 1 }
  let sign = value < 0 && units > 0 ? "-" : ""
  guard digits > 0 else { return sign + String(units) }
  let (whole, rest) = units.quotientAndRemainder(dividingBy: Int(scale))
  let fraction = String(rest)
  return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
}
