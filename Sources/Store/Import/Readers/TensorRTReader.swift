// What did TensorRT-LLM say of the routes of its requests? `CompletionOutput.routed_experts` is a tensor [rows, MoE layers, k] of 16-bit
// numbers; people save it with torch.save, one request or a list of them, or with numpy.save. Rows follow the tokens from the first on, and the last
// token has none; layers are those with experts, in order of their numbers, which are not in the file.

import Formats
import Routing

/// A record of TensorRT-LLM: a sequence a tensor.
struct TensorRTReader: ForeignRecord {
  let shape: ForeignShape
  /// Of each sequence, `[rows, layers · k]`.
  private let parts: [NumberRows?]
  private let layers: Int
  private let slots: Int

  /// Whether a file is a tensor of integers with three axes, or a list of such, of torch.save. A .npy of the same is that of vLLM as well:
  /// nothing in it tells them apart.
  static func recognises(_ path: String) -> Bool {
    guard let file = try? TorchFile(path: path) else { return false }
    let values = file.root.items ?? [file.root]
    return !values.isEmpty
      && values.allSatisfy { value in value.tensorShape.map { $0.shape.count == 3 && NumberRows.isWhole($0.elementType) } == true }
  }

  /// - Throws: `FormatError`; .npy files that end early are findings, and so are .pt files that do while others are whole.
  init(files: [String], request: ImportRequest) throws(FormatError) {
    var found: [Part] = []
    var missing = (rows: 0, of: 0, files: [String]())
    var findings: [ImportFinding] = []
    for path in files where NPYFile.isAt(path) {
      let file = try NPYFile(path: path)
      guard file.header.shape.count == 3, NumberRows.isWhole(file.header.elementType) else {
        throw .value(
          file: path, path: "the array", expected: "integers [rows, layers, k]",
          found: "\(file.header.elementType.rawValue) \(file.header.shape)")
      }
      found.append(Part(path: path, number: nil, shape: file.header.shape, rows: file.rows))
      if file.header.isTruncated {
        missing.rows = missing.rows.adding(file.header.rows - file.header.wholeRows)
        missing.of = missing.of.adding(file.header.rows)
        missing.files.append(fileName(path))
      }
    }
    if !missing.files.isEmpty {
      findings.append(
        ImportFinding(
          .truncated, count: missing.rows, of: missing.of,
          detail: "rows that the header says and the file does not have: \(missing.files.joined(separator: ", "))"))
    }
    let saved = files.filter { !NPYFile.isAt($0) }
    if !saved.isEmpty {
      let torch = try TorchFiles(saved)
      findings += torch.findings
      for file in torch.files { found += try Self.parts(of: file) }
      for path in torch.cut { found.append(Part(path: path, number: nil, shape: [], rows: nil)) }
    }
    // In the order in which the files were named.
    let order = Dictionary(files.enumerated().map { ($1, $0) }, uniquingKeysWith: min)
    found.sort { (order[$0.path] ?? 0, $0.number ?? 0) < (order[$1.path] ?? 0, $1.number ?? 0) }
    guard let first = found.first(where: { $0.rows != nil }) else {
      throw .value(
        file: files.first ?? "", path: "the saved value", expected: "at least one tensor [rows, layers, k]", found: "an empty list")
    }
    for part in found where part.rows != nil && (part.shape[1...] != first.shape[1...] || part.shape[1] == 0 || part.shape[2] == 0) {
      throw .value(
        file: part.path, path: part.number.map { "[\($0)]" } ?? "the saved value",
        expected: "a tensor [rows, layers, k] with layers and k as in \(fileName(first.path)) \(first.shape), and neither 0",
        found: "\(part.shape)")
    }
    (layers, slots) = (first.shape[1], first.shape[2])
    try ForeignShape.check(layers: layers, slots: slots, file: first.path)
    parts = found.map(\.rows)
    var shape = ForeignShape(
      format: .tensorrtLLM, columns: Array(repeating: ForeignColumn(slots: slots), count: layers),
      sequences: found.map { part in
        var sequence = ForeignSequence(name: part.name, rows: part.rows?.count ?? 0)
        sequence.isTruncated = part.rows == nil
        return sequence
      })
    shape.omitted = 1
    shape.findings = findings
    self.shape = shape
  }

  var source: ForeignSource { .rows(self) }

  /// One sequence.
  private struct Part {
    var path: String
    /// In a list.
    var number: Int?
    var shape: [Int]
    /// Nil: the file lost its end.
    var rows: NumberRows?

    var name: String { fileName(path) + (number.map { "[\($0)]" } ?? "") }
  }

  private static func parts(of file: TorchFile) throws(FormatError) -> [Part] {
    var budget = try ByteBudget(file.path)
    var parts: [Part] = []
    for (number, value) in (file.root.items ?? [file.root]).enumerated() {
      let tensor = try value.requireTensor(rank: 3)
      try budget.take(tensor)
      parts.append(Part(path: file.path, number: file.root.items == nil ? nil : number, shape: tensor.shape, rows: NumberRows(tensor)))
    }
    return parts
  }

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let flat = try parts[sequence]?.integers(range) ?? []
    var columns: [ForeignDecisions] = []
    for layer in 0..<layers {
      var ids: [Int32] = []
      ids.reserveCapacity(range.count * slots)
      for row in 0..<(flat.isEmpty ? 0 : range.count) {
        let start = (row * layers + layer) * slots
        ids += flat[start..<start + slots]
      }
      columns.append(ForeignDecisions(ids: ids))
    }
    return ForeignRows(count: range.count, columns: columns)
  }
}
