// How does a cell of comma-separated values look? One rule for every command that writes them: quotes where RFC 4180 asks for them,
// numbers in their shortest form, and text that a spreadsheet would take for a formula made harmless.

/// Cells of comma-separated values.
public enum CSV {
  /// A cell of text.
  ///
  /// Spreadsheets run a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula, quoted or not. Such a text
  /// gets one apostrophe in front, and so does one that has apostrophes before such a character: a program gets the exact text back by
  /// removing one apostrophe where apostrophes stand before one of these characters.
  public static func cell(_ text: String) -> String {
    let first = text.utf8.first { $0 != 0x27 }
    let isFormula = first.map(formulaBytes.contains) ?? false
    let needsQuotes = text.utf8.contains(where: quotedBytes.contains)
    if !isFormula && !needsQuotes { return text }
    let harmless = isFormula ? "'" + text : text
    guard needsQuotes else { return harmless }
    return "\"" + harmless.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  /// A cell of what was written out already: text, or a number, which stays as it is.
  public static func field(_ text: String) -> String { Double(text) == nil ? cell(text) : text }

  /// A cell that holds a number; empty where there is none.
  public static func cell(_ value: Float) -> String { value.isNaN ? "" : value.description }

  public static func cell(_ value: Double) -> String { value.isNaN ? "" : value.description }

  private static let formulaBytes: Set<UInt8> = [0x3d, 0x2b, 0x2d, 0x40, 0x09, 0x0d]
  private static let quotedBytes: Set<UInt8> = [0x22, 0x2c, 0x0a, 0x0d]
}
