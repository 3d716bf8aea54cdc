// Which tensors of logits does one file hold, and what does it say of the sequences in them? The forms that people save, each told by the types of its
// values: nothing but a dictionary's `router_logits`, `input_ids` and `attention_mask` is known by name.

import Formats

/// Logits of the same rows in all layers: a file of torch.save, or .npy files of one name but for their layers.
struct LogitBlock {
  struct Layer {
    /// That a name or key says.
    var number: Int?
    /// `[rows, experts]`; nil: none, as of a layer without experts.
    var rows: NumberRows?
    /// Rows that its header says.
    var claimed: Int
    /// Whether the file ends before them.
    var isCut = false
  }

  /// One sequence that the file tells from the others.
  struct Part {
    var rows: Range<Int>
    var tokens: [Int32]?
    var tokenCount: Int?
  }

  /// More than any model has.
  private static let layerLimit = 1 << 12

  /// Of its first file.
  let path: String
  let layers: [Layer]
  /// Of the layer that has most.
  let rows: Int
  /// Nil: the file tells no sequences apart.
  var parts: [Part]?

  private init(path: String, layers: [Layer]) {
    (self.path, self.layers) = (path, layers)
    rows = layers.map { $0.rows?.count ?? 0 }.max() ?? 0
  }

  func fits(_ columns: [ForeignColumn]) -> Bool {
    layers.count == columns.count && zip(layers, columns).allSatisfy { $0.rows == nil || $0.rows?.width == $1.experts }
  }

  /// For errors.
  var words: String {
    layers.map { layer in (layer.number.map { "\($0): " } ?? "") + (layer.rows.map { "\($0.width)" } ?? "none") }.joined(separator: ", ")
  }

  // MARK: Files of numpy.save

  /// `17` of `…_L17.npy`.
  static func layer(of path: String) -> Int? { stem(path)?.layer }

  private static func stem(_ path: String) -> (name: Substring, layer: Int)? {
    guard path.hasSuffix(".npy"), let place = path.lastIndex(of: "_") else { return nil }
    let word = path[path.index(after: place)...].dropLast(4)
    guard word.first == "L", word.count <= 6, let layer = Int(word.dropFirst()), layer >= 0 else { return nil }
    return (path[..<place], layer)
  }

  /// Blocks of the files that are called the same but for their layers, in the order in which they were named.
  static func arrays(_ paths: [String]) throws(FormatError) -> [LogitBlock] {
    var names: [Substring] = []
    var files: [Substring: [(layer: Int, path: String)]] = [:]
    for path in paths {
      guard let (name, layer) = stem(path) else {
        throw .unsupported(
          file: path, place: "name", found: "a file of one layer without its number", hint: "call it …_L3.npy, one file for each layer")
      }
      if files[name] == nil { names.append(name) }
      guard files[name]?.contains(where: { $0.layer == layer }) != true else {
        throw .malformed(file: path, place: "name", problem: "layer \(layer) is there twice", hint: "name each file once")
      }
      files[name, default: []].append((layer, path))
    }
    var blocks: [LogitBlock] = []
    for name in names {
      let members = (files[name] ?? []).sorted { $0.layer < $1.layer }
      var layers: [Layer] = []
      for member in members {
        let file = try NPYFile(path: member.path)
        guard file.header.shape.count == 2, file.rows.width > 0, NumberRows.isFloat(file.header.elementType) else {
          throw .value(
            file: member.path, path: "the array", expected: "floats [rows, experts]",
            found: "\(file.header.elementType.rawValue) \(file.header.shape)")
        }
        layers.append(Layer(number: member.layer, rows: file.rows, claimed: file.header.rows, isCut: file.header.isTruncated))
      }
      blocks.append(LogitBlock(path: members[0].path, layers: layers))
    }
    return blocks
  }

  // MARK: Files of torch.save

  /// - Throws: `FormatError`.
  init(_ file: TorchFile) throws(FormatError) {
    var budget = try ByteBudget(file.path)
    var layers: [Layer] = []
    /// Sequences and their length where the logits have an axis for them.
    var batch: (count: Int, length: Int)?
    for (number, value) in try Self.layers(of: file.root) {
      guard let tensor = try value.tensor() else {
        guard value.isNone else { throw value.unexpected("a tensor [rows, experts], or None") }
        layers.append(Layer(number: number, claimed: 0))
        continue
      }
      try budget.take(tensor)
      if tensor.elementCount == 0 {
        layers.append(Layer(number: number, claimed: 0))
        continue
      }
      guard NumberRows.isFloat(tensor.elementType), (2...3).contains(tensor.shape.count) else {
        throw value.unexpected("floats [rows, experts] or [sequences, tokens, experts]")
      }
      let width = tensor.shape[tensor.shape.count - 1]
      if tensor.shape.count == 3 {
        guard batch == nil || batch ?? (0, 0) == (tensor.shape[0], tensor.shape[1]) else {
          throw value.unexpected("as many sequences and tokens as in the layers before")
        }
        batch = (tensor.shape[0], tensor.shape[1])
      }
      let rows = NumberRows(tensor, width: width)
      layers.append(Layer(number: number, rows: rows, claimed: rows.count))
    }
    self.init(path: file.path, layers: Self.stacked(layers, file.root, &batch))
    parts = try Self.parts(file.root, rows: rows, batch: batch)
  }

  /// A single tensor with three axes is one of layers: each of them is one layer's logits.
  private static func stacked(_ layers: [Layer], _ root: TorchValue, _ batch: inout (count: Int, length: Int)?) -> [Layer] {
    let logits = root["router_logits"] ?? root
    guard logits.tensorShape?.shape.count == 3, let (count, length) = batch, let all = layers.first?.rows else { return layers }
    batch = nil
    return (0..<count).map { Layer(number: nil, rows: all.part($0 * length..<($0 + 1) * length), claimed: length) }
  }

  /// The values that are one layer each, with the numbers that keys say.
  static func layers(of root: TorchValue) throws(FormatError) -> [(number: Int?, value: TorchValue)] {
    let logits = root["router_logits"] ?? root
    if logits.tensorShape != nil { return [(nil, logits)] }
    if let members = logits.members {
      var layers: [(number: Int?, value: TorchValue)] = []
      for (key, value) in members {
        guard layers.count < layerLimit, let number = key.int, (0..<layerLimit).contains(number) else {
          throw logits.unexpected("\"router_logits\" among its keys, or numbers of layers as keys")
        }
        guard !layers.contains(where: { $0.number == number }) else { throw logits.unexpected("layer \(number) once") }
        layers.append((number, value))
      }
      return layers.sorted { ($0.number ?? 0) < ($1.number ?? 0) }
    }
    let items = try logits.requireItems("a tuple or list of tensors, or a dictionary")
    guard items.count <= layerLimit else { throw logits.unexpected("at most \(layerLimit) layers") }
    return items.map { (nil, $0) }
  }

  /// What `input_ids` and `attention_mask`, or else the axes of the logits, say of the sequences; nil: nothing.
  private static func parts(_ root: TorchValue, rows: Int, batch: (count: Int, length: Int)?) throws(FormatError) -> [Part]? {
    let ids = try numbers(root["input_ids"])
    let mask = try numbers(root["attention_mask"])
    guard let (count, length) = (ids ?? mask).map({ ($0.count, $0.length) }) ?? batch else { return nil }
    if let ids, let mask, ids.count != mask.count || ids.length != mask.length {
      throw root.unexpected("a mask of the shape of the token ids, [\(ids.count), \(ids.length)], not [\(mask.count), \(mask.length)]")
    }
    guard rows == count * length else {
      // Which rows are whose is not known.
      return [Part(rows: 0..<rows, tokens: count == 1 && mask == nil ? ids?.values : nil, tokenCount: count * length)]
    }
    var parts: [Part] = []
    for index in 0..<count {
      var range = index * length..<(index + 1) * length
      if let mask {
        let first = range.first { mask.values[$0] != 0 } ?? range.upperBound
        let last = range.last { mask.values[$0] != 0 } ?? range.upperBound - 1
        range = first..<max(first, last + 1)
        guard mask.values[range].allSatisfy({ $0 != 0 }) else {
          throw root.unexpected("a mask that leaves out tokens at the beginning and the end of sequence \(index) only")
        }
      }
      parts.append(Part(rows: range, tokens: ids.map { Array($0.values[range]) }))
    }
    return parts
  }

  /// A tensor of whole numbers `[sequences, tokens]` or `[tokens]`, or a list of them.
  private static func numbers(_ value: TorchValue?) throws(FormatError) -> (values: [Int32], count: Int, length: Int)? {
    guard let value, !value.isNone else { return nil }
    if let values = value.integers { return (values, 1, values.count) }
    guard let tensor = try value.tensor(), (1...2).contains(tensor.shape.count), tensor.elementCount > 0,
      NumberRows.isWhole(tensor.elementType) || tensor.elementType == .bool
    else { throw value.unexpected("integers [sequences, tokens]") }
    let type = tensor.elementType == .bool ? .u8 : tensor.elementType
    let values = NumberRows.integers(of: tensor.bytes, type)
    return (values, tensor.shape.count == 2 ? tensor.shape[0] : 1, tensor.shape.last ?? 0)
  }
}
