// What did the analysis scripts of OLMoE write? A line a sequence: its token ids, the ids that the model predicted, and the experts of each token
// with the layer as the innermost axis, which is the outermost everywhere else. Experts come by falling logit; layers have no numbers.

import Formats
import Routing

/// `{"input_ids":[T],"predicted_token_ids":[T],"exp_ids":[T][k][layers]}` a line.
///
/// - Source: scripts/run_moe_analysis.py of github.com/allenai/OLMoE, as of March 2025.
final class OLMoEReader: ForeignRecord {
  let shape: ForeignShape

  private let files: [JSONLines]
  private let extent: Extent
  /// By sequence.
  private let places: [Place]
  /// The sequence that was decoded last: many rows are asked for piece by piece.
  private var latest: (sequence: Int, columns: [[Int32]])?

  private struct Place {
    var file: Int
    var line: Int
  }

  /// Ids of a token.
  private struct Extent: Equatable {
    var slots: Int
    var layers: Int
  }

  static func recognises(_ path: String) -> Bool { JSONLines.firstKeys(path).isSuperset(of: ["input_ids", "exp_ids"]) }

  /// - Parameter files: their lines are sequences, in order.
  /// - Throws: `FormatError`
  init(files paths: [String], request: ImportRequest) throws {
    files = try paths.map { try JSONLines($0) }
    var (extent, places, sequences): (Extent?, [Place], [ForeignSequence]) = (nil, [], [])
    for (number, file) in files.enumerated() {
      for line in 0..<file.count {
        let (rows, found, tokens) = try file.read(line, Self.survey)
        if let found, extent == nil { extent = found }
        if let found, let extent, found != extent {
          throw FormatError.value(
            file: file.path, path: "line \(file.number(of: line)), exp_ids[0]",
            expected: "\(extent.slots) lists of \(extent.layers) ids, as before",
            found: "\(found.slots) of \(found.layers)")
        }
        var sequence = ForeignSequence(name: ForeignName.of(line + 1, in: paths, number), rows: rows)
        sequence.tokens = tokens
        sequences.append(sequence)
        places.append(Place(file: number, line: line))
      }
    }
    guard let extent else {
      throw FormatError.malformed(file: files[0].path, place: "exp_ids", problem: "there is not one row in it", hint: nil)
    }
    (self.extent, self.places) = (extent, places)
    shape = ForeignShape(
      format: .olmoe, columns: (0..<extent.layers).map { _ in ForeignColumn(router: nil, slots: extent.slots) }, sequences: sequences,
      findings: ImportFinding.cutLines(files).map { [$0] } ?? [])
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let columns = try decoded(sequence)
    let cells = range.lowerBound * extent.slots..<range.upperBound * extent.slots
    return ForeignRows(count: range.count, columns: columns.map { ForeignDecisions(ids: Array($0[cells])) })
  }

  /// Rows of a line, the extent of its first, and its tokens.
  private static func survey(_ line: JSONValue) throws(FormatError) -> (rows: Int, Extent?, tokens: [Int32]?) {
    let rows = try line.array("exp_ids")
    var extent: Extent?
    for row in rows {
      guard let first = try row.requireArray().first(where: { _ in true }) else { throw row.unexpected("the experts of a token") }
      guard first.kind == .array, first.count > 0 else { throw first.unexpected("an expert of each layer") }
      extent = Extent(slots: row.count, layers: first.count)
      break
    }
    var tokens: [Int32]?
    if let ids = try line.memberIfPresent("input_ids") {
      var list: [Int32] = []
      _ = try ids.appendIDs(to: &list)
      tokens = list
    }
    return (try line.member("exp_ids").count, extent, tokens)
  }

  /// `[layers][rows, slots]`
  private func decoded(_ sequence: Int) throws(FormatError) -> [[Int32]] {
    if let latest, latest.sequence == sequence { return latest.columns }
    let place = places[sequence]
    let columns = try files[place.file].read(place.line, columns)
    guard columns[0].count == shape.sequences[sequence].rows * extent.slots else { throw .changed(file: files[place.file].path) }
    latest = (sequence, columns)
    return columns
  }

  private func columns(_ line: JSONValue) throws(FormatError) -> [[Int32]] {
    let rows = try line.member("exp_ids")
    var columns: [[Int32]] = Array(repeating: [], count: extent.layers)
    for row in rows.elements {
      var slots = 0
      for slot in try row.requireArray() {
        var layer = 0
        for id in try slot.requireArray() {
          guard layer < extent.layers else { throw slot.unexpected("ids of \(extent.layers) layers") }
          columns[layer].append(try id.requireID())
          layer += 1
        }
        guard layer == extent.layers else { throw slot.unexpected("ids of \(extent.layers) layers") }
        slots += 1
      }
      guard slots == extent.slots else { throw row.unexpected("\(extent.slots) experts, as in the first row") }
    }
    return columns
  }
}

/// What sequences are called that have no name of their own.
enum ForeignName {
  /// The name alone where there is one file, with the file's own name before it where there are several.
  static func of(_ name: some CustomStringConvertible, in files: [String], _ number: Int) -> String {
    files.count == 1 ? "\(name)" : "\(stem(files[number])) \(name)"
  }

  /// The name of a file without its folder and its ending.
  static func stem(_ path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return name }
    return String(name[..<dot])
  }
}
