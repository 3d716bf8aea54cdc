// How numbers are spelt for people. Data formats print full precision instead.

import Foundation
import Routing

enum Show {
  /// Fixed decimals with a point, whatever the locale.
  static func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "–" : value < 0 ? "-inf" : "inf" }
    return fixedPoint(value, digits: decimals)
  }

  /// Three significant digits, small numbers with an exponent.
  static func error(_ value: Float) -> String {
    if value == 0 { return "0" }
    guard value.isFinite else { return "\(value)" }
    let exponent = Int(log10(abs(value)).rounded(.down))
    let mantissa = Double(value) / pow(10, Double(exponent))
    return "\(fixed(mantissa, 1))e\(exponent < 0 ? "-" : "+")\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
  }

  /// Thousands apart.
  static func grouped(_ value: Int) -> String {
    var digits = Array(String(abs(value)))
    var place = digits.count - 3
    while place > 0 {
      digits.insert(",", at: place)
      place -= 3
    }
    return (value < 0 ? "-" : "") + String(digits)
  }

  /// `1 thread`, `2,048 threads`.
  static func counted(_ value: Int, _ noun: String) -> String {
    let ending = noun.hasSuffix("ch") || noun.hasSuffix("s") ? "es" : "s"
    return "\(grouped(value)) \(noun)\(value == 1 ? "" : ending)"
  }

  /// The beginning of a SHA-256 in hexadecimal; empty ones are unknown.
  static func hash(_ digest: String) -> String { digest.isEmpty ? "sha256 not known" : "sha256 \(digest.prefix(12))" }

  static func bytes(_ value: Int) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"]
    var amount = Double(value)
    var unit = 0
    while amount >= 1000 && unit < units.count - 1 {
      amount /= 1000
      unit += 1
    }
    return unit == 0 ? "\(value) B" : "\(fixed(amount, amount < 10 ? 1 : 0)) \(units[unit])"
  }

  /// Parameters: 12.9 M, 6.9 B.
  static func count(_ value: Int) -> String {
    switch value {
    case ..<10_000: return grouped(value)
    case ..<1_000_000: return fixed(Double(value) / 1e3, 1) + " K"
    case ..<1_000_000_000: return fixed(Double(value) / 1e6, 1) + " M"
    default: return fixed(Double(value) / 1e9, 1) + " B"
    }
  }
}
