// Which files can a screen be written to? The end of the name says it; a name without one is text.

import Terminal

enum ScreenFile: String, CaseIterable, Sendable {
  case text = "txt"
  case svg
  /// Text and styles, for tests and bug reports.
  case snapshot

  /// What a name must look like, for messages.
  static var expected: String {
    "a name that ends in " + allCases.dropLast().map { "." + $0.rawValue }.joined(separator: ", ") + " or .\(allCases.last?.rawValue ?? "")"
  }

  /// - Returns: nil for no name, and for an ending that stands for another kind of file.
  init?(name: String) {
    guard let last = name.split(separator: "/", omittingEmptySubsequences: false).last, !last.isEmpty else { return nil }
    let ending = last.split(separator: ".", omittingEmptySubsequences: false).dropFirst().last
    guard let kind = ending.map({ ScreenFile(rawValue: $0.lowercased()) }) ?? .text else { return nil }
    self = kind
  }

  /// The screen as such a file's content.
  func render(_ screen: CellBuffer, theme: Theme) -> String {
    switch self {
    case .text: screen.plainText
    case .svg: SVGScreen(appearance: theme.appearance).render(screen)
    case .snapshot: screen.snapshot
    }
  }
}
