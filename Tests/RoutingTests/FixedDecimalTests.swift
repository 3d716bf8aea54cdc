import Routing
import Testing

@Suite struct FixedDecimalTests {
  /// Ties of the exact binary value go away from zero; zero has no sign.
  @Test(
    arguments: [
      (6.25, 1, "6.3"), (6.75, 1, "6.8"), (0.125, 2, "0.13"), (0.375, 2, "0.38"), (1.115, 2, "1.11"), (2.5, 0, "3"), (3.5, 0, "4"),
      (1.06, 2, "1.06"), (3, 0, "3"), (-2.5, 1, "-2.5"), (-6.25, 1, "-6.3"), (1.005, 2, "1.00"), (2.675, 2, "2.67"), (-0.0004, 3, "0.000"),
      (-0.0006, 3, "-0.001"), (0, 3, "0.000"),
      (999_999_999_999.5, 1, "999999999999.5"), (12.3456, 2, "12.35"), (0.999_96, 4, "1.0000"),
    ] as [(Double, Int, String)])
  func rounds(value: Double, digits: Int, text: String) { #expect(fixedPoint(value, digits: digits) == text) }

  @Test func numbersWithoutDecimalsAreSpeltAsSwiftDoes() {
    #expect(fixedPoint(.nan, digits: 2) == "nan" && fixedPoint(-.infinity, digits: 2) == "-inf" && fixedPoint(1e300, digits: 2) == "1e+300")
  }
}
