// Which router logits did somebody save of a model in transformers? `outputs.router_logits` is a tuple of one tensor [rows, experts] a layer,
// before softmax or sigmoid. There is no format for it: the tuple, a list, or one tensor of torch.save; a dictionary with `input_ids` beside it; or a .npy
// for each layer, `…_L3.npy`. Rows follow the sequences one after the other; only token ids, masks or the caller say where one ends.

import Formats
import Routing

/// Logits of a model's routers, without ids of experts.
struct LogitsReader: ForeignRecord {
  let shape: ForeignShape
  private let blocks: [LogitBlock]
  /// Of each sequence, in `blocks`.
  private let places: [(block: Int, first: Int)]
  /// Of each column.
  private let widths: [Int]

  /// Whether a file holds floats as described above.
  static func recognises(_ path: String) -> Bool {
    if NPYFile.isAt(path) {
      guard let header = try? NPYFile(path: path).header, LogitBlock.layer(of: path) != nil else { return false }
      return header.shape.count == 2 && NumberRows.isFloat(header.elementType)
    }
    guard let file = try? TorchFile(path: path), let layers = try? LogitBlock.layers(of: file.root) else { return false }
    let shapes = layers.compactMap(\.value.tensorShape)
    return shapes.contains { $0.shape.count >= 2 }
      && shapes.allSatisfy { NumberRows.isFloat($0.elementType) && ($0.shape.count <= 3 || $0.shape.contains(0)) }
      && layers.allSatisfy { $0.value.isNone || $0.value.tensorShape != nil }
  }

  /// - Parameter lengths: tokens of each sequence, where the files do not say them: rows are cut there if they are as many. Nil: what a file
  ///   does not cut itself is one sequence.
  /// - Throws: `FormatError`.
  init(files: [String], request: ImportRequest, lengths: [Int]? = nil) throws(FormatError) {
    let arrays = files.filter { NPYFile.isAt($0) }
    var blocks = try LogitBlock.arrays(arrays)
    var findings: [ImportFinding] = []
    if arrays.count < files.count {
      let torch = try TorchFiles(files.filter { !NPYFile.isAt($0) })
      findings += torch.findings
      for file in torch.files { blocks.append(try LogitBlock(file)) }
    }
    guard let first = blocks.first else { throw .missing(file: "logits", path: "files", expected: "at least one file") }
    let columns = try Self.columns(blocks)
    (widths, self.blocks) = (columns.map { $0.experts ?? 0 }, blocks)
    for block in blocks where block.layers.map(\.number) != first.layers.map(\.number) || !block.fits(columns) {
      throw .value(
        file: block.path, path: "layers", expected: "the layers and experts of \(fileName(first.path)), \(first.words)", found: block.words)
    }
    findings += Self.truncated(blocks)
    for (index, column) in columns.enumerated() {
      findings += Self.short(blocks, index, router: column.router ?? request.router(index, of: columns.count))
    }
    let sequences = Self.sequences(blocks, lengths)
    places = sequences.map { ($0.block, $0.first) }
    var shape = ForeignShape(format: .hfLogits, columns: columns, sequences: sequences.map(\.sequence), content: .logits)
    shape.findings = findings
    self.shape = shape
  }

  var source: ForeignSource { .rows(self) }

  /// One for each layer; a layer without rows is as wide as the others.
  private static func columns(_ blocks: [LogitBlock]) throws(FormatError) -> [ForeignColumn] {
    let layers = blocks[0].layers
    let common = layers.lazy.compactMap(\.rows?.width).first
    guard let common else { throw .value(file: blocks[0].path, path: "layers", expected: "logits of at least one layer", found: "none") }
    // Numbers from 0 on may count layers with experts only.
    let isNumbered = layers.enumerated().contains { $1.number != nil && $1.number != $0 }
    return layers.map { layer in
      ForeignColumn(
        router: isNumbered ? layer.number.map { RouterID(layer: $0) } : nil, slots: 0, experts: layer.rows?.width ?? common, hasLogits: true
      )
    }
  }

  private static func truncated(_ blocks: [LogitBlock]) -> [ImportFinding] {
    let cut = blocks.flatMap(\.layers).filter { $0.claimed > ($0.rows?.count ?? 0) && $0.isCut }
    guard !cut.isEmpty else { return [] }
    let missing = cut.reduce(0) { $0.adding($1.claimed - ($1.rows?.count ?? 0)) }
    return [
      ImportFinding(
        .truncated, count: missing, of: cut.reduce(0) { $0.adding($1.claimed) },
        detail: "rows that headers say and files do not have: layers \(cut.map { "\($0.number ?? 0)" }.joined(separator: ", "))")
    ]
  }

  /// A layer that has fewer rows than the others, without having been cut.
  private static func short(_ blocks: [LogitBlock], _ layer: Int, router: RouterID) -> [ImportFinding] {
    var (last, other) = (0, 0)
    for block in blocks {
      guard let rows = block.layers[layer].rows, !block.layers[layer].isCut else { continue }
      if rows.count == block.rows - 1 { last += 1 } else { other += block.rows - rows.count }
    }
    let total = blocks.reduce(0) { $0 + $1.rows }
    let detail = "the layer has fewer rows than others; those at the end are taken to be missing"
    return [(ImportFinding.Code.missingLast, last), (.lengthMismatch, other)].filter { $0.1 > 0 }
      .map { ImportFinding($0.0, router: router, count: $0.1, of: total, detail: detail) }
  }

  // MARK: Sequences

  private typealias Placed = (sequence: ForeignSequence, block: Int, first: Int)

  private static func sequences(_ blocks: [LogitBlock], _ lengths: [Int]?) -> [Placed] {
    var found: [Placed] = []
    var left = (lengths ?? [])[...]
    let isCuttable = lengths?.reduce(0, +) == blocks.filter { $0.parts == nil }.reduce(0) { $0 + $1.rows }
    for (number, block) in blocks.enumerated() {
      let name = fileName(block.path)
      if let parts = block.parts {
        for (index, part) in parts.enumerated() {
          var sequence = ForeignSequence(name: parts.count > 1 ? "\(name)[\(index)]" : name, rows: part.rows.count)
          (sequence.tokens, sequence.tokenCount) = (part.tokens, part.tokenCount)
          found.append((sequence, number, part.rows.lowerBound))
        }
        continue
      }
      var (taken, first): ([Int], Int) = ([], 0)
      if isCuttable {
        while first < block.rows, let next = left.first {
          taken.append(next)
          first += next
          left = left.dropFirst()
        }
      }
      // Lengths that do not end where the file does are of something else.
      if first != block.rows || taken.isEmpty { taken = [block.rows] }
      first = 0
      for (index, count) in taken.enumerated() {
        found.append((ForeignSequence(name: taken.count > 1 ? "\(name)[\(index)]" : name, rows: count), number, first))
        first += count
      }
    }
    return found
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let (number, first) = places[sequence]
    let wanted = range.lowerBound + first..<range.upperBound + first
    var columns: [ForeignDecisions] = []
    for (layer, width) in zip(blocks[number].layers, widths) {
      let there = wanted.clamped(to: 0..<(layer.rows?.count ?? 0))
      var logits = try layer.rows?.floats(there) ?? []
      logits += Array(repeating: .nan, count: (range.count - there.count) * width)
      columns.append(ForeignDecisions(ids: [], logits: logits))
    }
    return ForeignRows(count: range.count, columns: columns)
  }
}

extension ImportRequest {
  /// The router that a column without a name is most likely of.
  fileprivate func router(_ column: Int, of count: Int) -> RouterID {
    if let layers, layers.count == count { return RouterID(layer: layers[column]) }
    if let model, model.routers.count == count { return model.routers[column].id }
    return RouterID(layer: column)
  }
}
