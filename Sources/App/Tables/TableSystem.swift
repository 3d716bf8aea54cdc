// Which systems have routes that weights or a rule alone decide? A value for each: what it is called, how its file is recognised and how
// that becomes a table. Nothing else in the program asks which system it serves.

import Analysis
import ArgumentParser
import Formats
import Routing

/// One system whose routing table can be read out of a file.
struct TableSystem: Sendable {
  /// Of `--as`.
  let name: String
  let title: String
  /// arXiv.
  let paper: String
  /// What its file is, for whoever has another.
  let reads: String
  /// Whether names and shapes are those of this system and of no arbitrary file.
  let isRecognised: @Sendable (TableSource) -> Bool
  let table: @Sendable (TableSource) throws -> RouteTable

  static let all: [TableSystem] = [moore, superposition, vlmo, sciMult, crossTask, branching]

  /// The system that was named, or the one whose layout this is.
  /// - Throws: `Failure`: 65 for a layout of none, as of a record that no format fits; 64 for that of several.
  static func of(_ source: TableSource, named: TableSystem?) throws -> TableSystem {
    if let named { return named }
    let found = all.filter { $0.isRecognised(source) }
    if found.count == 1 { return found[0] }
    if found.isEmpty {
      let known = all.map { "\n    --as \($0.name): \($0.reads)" }.joined()
      throw Failure(
        .damaged,
        "\(source.path): no system is known whose table this would be; found \(source.summary)"
          + "\n  try: --as with a system, if the file is one of these\(known)")
    }
    let names = found.map(\.name).joined(separator: " or ")
    throw Failure(
      .usage, "\(source.path): may be of \(found.map(\.title).joined(separator: " and ")); found \(source.summary)\n  try: --as \(names)")
  }
}

extension TableSystem: ExpressibleByArgument {
  init?(argument: String) {
    guard let system = Self.all.first(where: { $0.name == argument }) else { return nil }
    self = system
  }

  var defaultValueDescription: String { name }
  static var allValueStrings: [String] { all.map(\.name) }
}

extension TableSource {
  /// The product of `sizes` is within what a table may have.
  /// - Parameter shown: the sizes in words.
  func requireCells(_ sizes: [Int], _ shown: String) throws {
    let count = sizes.reduce(Int?.some(1)) { product, size in
      let (next, overflow) = (product ?? 0).multipliedReportingOverflow(by: size)
      return product == nil || overflow ? nil : next
    }
    guard let count, count <= RouteTable.cellLimit else {
      throw FormatError.unsupported(
        file: path, place: "content", found: "a table of \(shown), more than \(Show.grouped(RouteTable.cellLimit)) numbers,",
        hint: "is this the file of the router?")
    }
  }
}
