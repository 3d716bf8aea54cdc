// Are the normal forms Unicode's? Every row of its NormalizationTest.txt (Tests/Fixtures/unicode, made by tools/make_unicode_forms.py), every
// character that no row begins with, and the older tables that Hugging Face's tokenizers have.

import Foundation
import Support
import Testing

@testable import Model

@Suite struct UnicodeFormTests {
  private struct Row {
    /// Source, NFC, NFD, NFKC, NFKD.
    let columns: [[UInt8]]
    let first: UInt32
  }

  private static func rows() throws -> [Row] {
    let path = try #require(Fixtures.own("unicode/normalization.txt"))
    return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
      var columns: [[UInt8]] = []
      var first: UInt32 = 0
      for field in line.split(separator: ";", omittingEmptySubsequences: false) {
        if field.isEmpty {
          columns.append(columns[0])
          continue
        }
        let scalars = field.split(separator: " ").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
        if columns.isEmpty { first = scalars[0].value }
        columns.append(Array(String(String.UnicodeScalarView(scalars)).utf8))
      }
      return Row(columns: columns, first: first)
    }
  }

  private static func form(_ form: UnicodeForm, _ text: [UInt8], _ tables: UnicodeFormTables = .current) -> [UInt8] {
    var text = text
    form.apply(to: &text, tables)
    return text
  }

  /// The conformance of NormalizationTest.txt: c2 = NFC(c1..c3), c4 = NFC(c4, c5); c3 = NFD(c1..c3), c5 = NFD(c4, c5); the K forms of all.
  @Test func everyRow() throws {
    let rows = try Self.rows()
    #expect(rows.count == 19_074)
    var wrong: [String] = []
    for (number, row) in rows.enumerated() {
      let columns = row.columns
      for (place, text) in columns.enumerated() {
        let isCanonical = place < 3
        let expected: [(UnicodeForm, [UInt8])] = [
          (.nfc, columns[isCanonical ? 1 : 3]), (.nfd, columns[isCanonical ? 2 : 4]), (.nfkc, columns[3]), (.nfkd, columns[4]),
        ]
        for (form, result) in expected where Self.form(form, text) != result {
          wrong.append("row \(number + 1), column \(place + 1), \(form)")
        }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(10))")
  }

  /// What is not the first character of a row of part 1 does not change by itself.
  @Test func everyOtherCharacterStays() throws {
    let named = Set(try Self.rows().map(\.first))
    var wrong: [UInt32] = []
    for value in UInt32(0)..<0x11_0000 where !named.contains(value) {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let text = Array(String(scalar).utf8)
      for form in UnicodeForm.allCases
      where !UnicodeFormTables.current.isSteady(value, under: form) && Self.form(form, text) != text { wrong.append(value) }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(10))")
  }

  /// With the older tables the results are those of Hugging Face's tokenizers, row by row.
  @Test func theOlderTablesAreTheReferences() throws {
    let path = try #require(Fixtures.own("unicode/tokenizers.txt"))
    var others: [String: [UInt8]] = [:]
    for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
      let fields = line.split(separator: ";", omittingEmptySubsequences: false)
      let scalars = fields[2].split(separator: " ").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
      others["\(fields[0]) \(fields[1])"] = Array(String(String.UnicodeScalarView(scalars)).utf8)
    }
    #expect(others.count > 500)
    var wrong: [String] = []
    for (number, row) in try Self.rows().enumerated() {
      for (place, form) in UnicodeForm.allCases.enumerated() {
        let expected = others["\(number) \(form)"] ?? row.columns[place + 1]
        if Self.form(form, row.columns[0], .version9) != expected { wrong.append("row \(number + 1), \(form)") }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(10))")
  }

  @Test(arguments: [
    ("\u{AC00}\u{11A8}", "\u{AC01}"), ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"), ("\u{AC01}\u{11A8}", "\u{AC01}\u{11A8}"),
    ("a\u{344}\u{316}", "\u{E4}\u{316}\u{301}"), ("\u{E9}\u{323}", "\u{1EB9}\u{301}"), ("\u{301}", "\u{301}"), ("", ""),
    ("x\u{0F75}\u{0334}", "x\u{0334}\u{0F71}\u{0F74}"),
  ])
  func composed(_ text: String, _ expected: String) {
    #expect(Self.form(.nfc, Array(text.utf8)) == Array(expected.utf8))
  }

  /// A long run of marks is sorted, not bubbled.
  @Test func manyMarks() {
    let text = "a" + String(repeating: "\u{301}\u{316}", count: 50_000)
    let result = Self.form(.nfc, Array(text.utf8))
    #expect(result.count == "\u{E1}".utf8.count + 2 * 99_999)
  }
}
