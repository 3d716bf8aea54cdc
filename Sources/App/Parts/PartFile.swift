// A part as a file: safetensors, its head in the metadata. Any tool that reads arrays reads the counts; ours reads them back, and believes
// nothing it did not check.

import Analysis
import Formats
import Foundation

/// One part.
struct PartFile {
  static let mark = "moetop.part"

  let path: String
  var header: PartHeader
  var columns: FoldColumns

  /// Whether a file calls itself a part.
  static func isPart(_ path: String) -> Bool {
    guard FileStatus.exists(path), let file = try? SafetensorsFile(path: path) else { return false }
    return file.metadata.contains { $0.key == mark }
  }

  init(path: String, header: PartHeader, columns: FoldColumns) { (self.path, self.header, self.columns) = (path, header, columns) }

  /// - Throws: `FormatError` for a file that is no part, or is damaged.
  init(reading path: String) throws {
    let file = try SafetensorsFile(path: path)
    let metadata = Dictionary(file.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    guard let version = metadata[Self.mark], let head = metadata["header"] else {
      throw FormatError.missing(file: path, path: "metadata \(Self.mark)", expected: "a part made by `fold`")
    }
    guard version == PartHeader.version else {
      throw FormatError.unsupported(
        file: path, place: "metadata \(Self.mark)",
        found: "version \(Show.line(version)) of parts; \(PartHeader.version) is read here",
        hint: "fold the trace again")
    }
    do { header = try JSONDecoder().decode(PartHeader.self, from: Data(head.utf8)) } catch {
      throw FormatError.malformed(file: path, place: "metadata header", problem: Self.words(error), hint: "fold the trace again")
    }
    self.path = path
    var columns: [String: FoldColumns.Column] = [:]
    for tensor in file.tensors {
      guard tensor.shape.count == 1 else {
        throw FormatError.value(file: path, path: tensor.name, expected: "one axis", found: "\(tensor.shape.count)")
      }
      columns[tensor.name] = try Self.column(tensor, path)
    }
    try file.tensors.first?.file.requireWhole()
    self.columns = FoldColumns(columns)
  }

  private static func column(_ tensor: TensorView, _ path: String) throws(FormatError) -> FoldColumns.Column {
    switch tensor.elementType {
    case .u8: return .bytes(Array(tensor.bytes))
    case .u16: return .words(loaded(tensor))
    case .u32: return .counts(loaded(tensor))
    case .i32: return .ids(loaded(tensor))
    case .i64: return .numbers(loaded(tensor))
    case .f64: return .reals(loaded(tensor))
    default:
      throw .value(file: path, path: tensor.name, expected: "u8, u16, u32, i32, i64 or f64", found: tensor.elementType.safetensorsName)
    }
  }

  private static func loaded<Number: BitwiseCopyable>(_ tensor: TensorView) -> [Number] {
    let bytes = tensor.bytes
    return (0..<tensor.elementCount).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self) }
  }

  private static func words(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "it is not what `fold` writes" }
    switch error {
    case .keyNotFound(let key, _): return "expected a member \(key.stringValue), found none"
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      let place = context.codingPath.map(\.stringValue).joined(separator: ".")
      return place.isEmpty ? "it is no JSON object" : "\(Show.line(place)) is not what `fold` writes"
    @unknown default: return "it is not what `fold` writes"
    }
  }

  /// Writes the file; it appears when it is whole.
  ///
  /// - Throws: `FormatError`.
  func write() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let head = String(decoding: try encoder.encode(header), as: UTF8.self)
    let all = columns.columns.sorted { $0.key < $1.key }
    let writer = try SafetensorsWriter(
      path: path, tensors: all.map { TensorDeclaration($0.key, $0.value.elementType, [$0.value.count]) },
      metadata: [(Self.mark, PartHeader.version), ("model", header.run.model.filesHash), ("header", head)])
    for (name, column) in all {
      switch column {
      case .bytes(let values): try writer.append(values, to: name)
      case .words(let values): try writer.append(values, to: name)
      case .counts(let values): try writer.append(values, to: name)
      case .ids(let values): try writer.append(values, to: name)
      case .numbers(let values): try writer.append(values, to: name)
      case .reals(let values): try writer.append(values, to: name)
      }
    }
    try writer.finish()
  }
}

extension FoldColumns.Column {
  fileprivate var elementType: ElementType {
    switch self {
    case .bytes: .u8
    case .words: .u16
    case .counts: .u32
    case .ids: .i32
    case .numbers: .i64
    case .reals: .f64
    }
  }
}
