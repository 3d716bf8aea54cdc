// How often did llama.cpp's imatrix see each expert? Its GGUF files hold, for every weight, sums of squared inputs and a count: of a weight
// with experts one count for each, which is how often it was taken. The weights of the experts' three products are counted one by one and must
// agree; the weights of attention are passed by every token and say how many there were.

import Formats
import Routing

/// Counts of one imatrix, or of several that are added.
struct IMatrixReader {
  let counts: ForeignCounts

  var source: ForeignSource { .counts(counts) }

  /// Whether a file is an imatrix with counts of experts, or of the format before GGUF.
  static func recognises(_ path: String) -> Bool {
    if isLegacy(path) { return true }
    guard GGUFFile.isAt(path), let file = try? GGUFFile(path: path) else { return false }
    return file.tensors.contains { ExpertTensor($0.name) != nil }
  }

  /// - Throws: `FormatError`; `.unsupported` for a file of the format before GGUF, which has no counts of experts.
  init(files: [String], request: ImportRequest) throws(FormatError) {
    var total: IMatrixCounts?
    for path in files {
      guard !Self.isLegacy(path) else {
        throw .unsupported(
          file: path, place: "content", found: "an imatrix of the format before GGUF",
          hint: "it has one count for all experts of a layer; in its format GGUF, llama-imatrix writes one for each")
      }
      let one = try IMatrixCounts(GGUFFile(path: path))
      if total == nil { total = one } else { try total?.add(one) }
    }
    guard let total else { throw .missing(file: "imatrix", path: "files", expected: "at least one file") }
    counts = total.record
  }

  /// Whether the file begins as the older format does: a number of weights, the length of the first one's name, and the name.
  private static func isLegacy(_ path: String) -> Bool {
    guard let file = try? MappedFile(path: path), file.byteCount > 16 else { return false }
    return withExtendedLifetime(file) {
      let numbers = NumberRows.integers(of: UnsafeRawBufferPointer(rebasing: file.bytes[..<8]), .i32)
      guard (1...1 << 20).contains(numbers[0]), (8...256).contains(numbers[1]) else { return false }
      let name = file.bytes.dropFirst(8).prefix(Int(numbers[1]))
      return name.count == numbers[1] && name.allSatisfy { (0x20..<0x7F).contains($0) } && name.suffix(7).elementsEqual(".weight".utf8)
    }
  }
}

/// `blk.12.ffn_gate_exps.weight.counts`: which layer, and which of its products.
private struct ExpertTensor {
  let layer: Int
  let part: String

  /// The gate is asked first: it is the router's own choice, and all models have it or `up`.
  static let parts = ["ffn_gate_exps", "ffn_gate_up_exps", "ffn_up_exps", "ffn_down_exps"]
  /// More than any model has.
  static let layerLimit = 1 << 16

  init?(_ name: String) {
    guard let (layer, part) = Self.block(name), Self.parts.contains(part) else { return nil }
    (self.layer, self.part) = (layer, part)
  }

  /// The layer and the weight that a tensor counts; nil for tensors that count nothing in a block.
  static func block(_ name: String) -> (layer: Int, part: String)? {
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    guard words.count == 5, words[0] == "blk", words[3] == "weight", words[4] == "counts", let layer = Int(words[1]),
      (0..<layerLimit).contains(layer)
    else { return nil }
    return (layer, String(words[2]))
  }
}

/// What one file counted.
private struct IMatrixCounts {
  let path: String
  /// By layer: `[experts]`.
  var layers: [Int: [Int]] = [:]
  /// By layer: assignments in which its products differ.
  var differences: [Int: Int] = [:]
  var tokens: Int?

  init(_ file: GGUFFile) throws(FormatError) {
    path = file.path
    var parts: [Int: [(part: String, counts: [Int])]] = [:]
    for tensor in file.tensors {
      guard let (layer, part) = ExpertTensor.block(tensor.name) else { continue }
      if ExpertTensor(tensor.name) != nil {
        parts[layer, default: []].append((part, try Self.counts(tensor, path)))
      } else if part.hasPrefix("attn_"), tensor.elementCount == 1 {
        // Batches of a few tokens are left out of some: the largest is nearest to all.
        tokens = max(tokens ?? 0, try Self.counts(tensor, path)[0])
      }
    }
    guard !parts.isEmpty else {
      throw .missing(file: path, path: "blk.N.ffn_gate_exps.weight.counts", expected: "counts of experts of at least one layer")
    }
    for (layer, found) in parts {
      let order = found.sorted { (ExpertTensor.parts.firstIndex(of: $0.part) ?? 0) < (ExpertTensor.parts.firstIndex(of: $1.part) ?? 0) }
      guard let first = order.first else { continue }
      layers[layer] = first.counts
      for other in order.dropFirst() {
        guard other.counts.count == first.counts.count else {
          throw .malformed(
            file: path, place: "blk.\(layer).\(other.part).weight.counts",
            problem: "has \(other.counts.count) experts, \(first.part) has \(first.counts.count)", hint: nil)
        }
        let difference = zip(first.counts, other.counts).reduce(0) { $0 + abs($1.0 - $1.1) }
        differences[layer] = max(differences[layer] ?? 0, difference)
      }
    }
  }

  /// - Throws: `FormatError` for what is no count: another type, fractions, negative or endless numbers.
  private static func counts(_ tensor: TensorView, _ path: String) throws(FormatError) -> [Int] {
    func malformed(_ problem: String) -> FormatError {
      .malformed(file: path, place: "tensor \"\(tensor.name)\"", problem: problem, hint: "is this file written by llama-imatrix?")
    }
    guard tensor.elementType == .f32, (1...1 << 16).contains(tensor.elementCount), tensor.shape.dropFirst().allSatisfy({ $0 == 1 }) else {
      throw malformed("expected f32 [experts, 1], found \(tensor.elementType.rawValue) \(tensor.shape)")
    }
    var counts: [Int] = []
    for value in NumberRows.floats(of: tensor.bytes, .f32) {
      guard let count = Int(exactly: value), (0...1 << 40).contains(count) else { throw malformed("expected counts, found \(value)") }
      counts.append(count)
    }
    return counts
  }

  /// - Throws: `FormatError` for an imatrix of another model.
  mutating func add(_ other: IMatrixCounts) throws(FormatError) {
    guard layers.mapValues(\.count) == other.layers.mapValues(\.count) else {
      throw .malformed(
        file: other.path, place: "counts", problem: "has other layers or experts than \(fileName(path))",
        hint: "import files of one model, or one at a time")
    }
    for (layer, counts) in other.layers { layers[layer] = zip(layers[layer] ?? [], counts).map { $0 + $1 } }
    differences.merge(other.differences) { $0 + $1 }
    if let own = tokens, let more = other.tokens { tokens = own + more } else { tokens = nil }
  }

  var record: ForeignCounts {
    let order = layers.keys.sorted()
    var record = ForeignCounts(
      format: .imatrix,
      columns: order.map { layer in
        ForeignColumn(router: RouterID(layer: layer), slots: 0, experts: layers[layer]?.count)
      },
      counts: order.map { layers[$0] ?? [] }, tokens: tokens)
    for layer in order {
      guard let difference = differences[layer], difference > 0 else { continue }
      record.findings.append(
        ImportFinding(
          .lengthMismatch, router: RouterID(layer: layer), count: difference,
          of: tokens ?? layers[layer]?.reduce(0, +) ?? 0,
          detail: "gate, up and down of one layer were counted differently"))
    }
    return record
  }
}
