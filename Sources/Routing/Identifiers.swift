// How routers, layers and experts are named across the product. Indices are small types at module borders so that a layer can
// never be passed where an expert is meant; inside columns they are plain integers.

/// Absolute index of a transformer block, dense blocks counted.
public struct LayerIndex: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  public init(_ value: Int) { rawValue = value }
  public static func < (a: LayerIndex, b: LayerIndex) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}

/// Index of a routed expert within one layer. Experts of different layers are unrelated, whatever their index.
public struct ExpertIndex: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  public init(_ value: Int) { rawValue = value }
  public static func < (a: ExpertIndex, b: ExpertIndex) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}

/// Which row of routers a router stands in: a decoder block may hold two (attention experts and MLP experts), an encoder-decoder model
/// has two stacks, and a router may stand in no block at all. The raw value is a word of router paths.
public enum RouterStack: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
  case feedForward = "ffn"
  case attention = "attn"
  case encoder = "enc"
  case decoder = "dec"
  /// In no block: one decision for a whole model, a sample, a task. Its layer is 0.
  case alone = "route"

  public static func < (a: RouterStack, b: RouterStack) -> Bool { a.rawValue < b.rawValue }

  /// A number of the case.
  fileprivate var place: UInt8 {
    switch self {
    case .feedForward: 0
    case .attention: 1
    case .encoder: 2
    case .decoder: 3
    case .alone: 4
    }
  }
}

/// The projection that a router of parts of a block belongs to.
public enum RouterModule: String, Hashable, Sendable, Codable, CaseIterable { case q, k, v, o, up, down, gate }

/// One router of one model, written as a path: `[tower.]stack.layer[.module][.h<head>][.r<repeat>][.t<task>]`, mostly `ffn.3`.
public struct RouterID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  /// A part of the model beside its text model, e.g. `vision`; nil: the text model.
  public var tower: String?
  public var stack: RouterStack
  public var layer: LayerIndex
  public var module: RouterModule?
  /// Of several heads that each choose; nil: there is one.
  public var head: Int?
  /// How often the layer ran before, where its weights serve several depths.
  public var repetition: Int?
  /// Where each task has a router of its own.
  public var task: Int?

  public init(stack: RouterStack = .feedForward, layer: LayerIndex) {
    self.stack = stack
    self.layer = layer
  }

  public init(stack: RouterStack = .feedForward, layer: Int) {
    self.init(stack: stack, layer: LayerIndex(layer))
  }

  /// Reads a path, e.g. `vision.attn.4.q.h2`; nil where it is none.
  public init?(path: String) {
    var words = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let place = words.firstIndex(where: { RouterStack(rawValue: $0) != nil }), place + 1 < words.count,
      let layer = Self.number(words.remove(at: place + 1))
    else { return nil }
    self.init(lane: words.joined(separator: "."), layer: layer)
  }

  /// Reads a path whose layer is given apart, e.g. `vision.attn.q.h2`; nil where it is none.
  public init?(lane: String, layer: Int) {
    var words = lane.split(separator: ".", omittingEmptySubsequences: false).map(String.init)[...]
    if let first = words.first, RouterStack(rawValue: first) == nil {
      guard !first.isEmpty, first.utf8.allSatisfy(Self.isTowerByte), first.utf8.first.map({ !(48...57).contains($0) }) == true else {
        return nil
      }
      tower = first
      words = words.dropFirst()
    }
    guard let stack = words.popFirst().flatMap(RouterStack.init) else { return nil }
    self.stack = stack
    self.layer = LayerIndex(layer)
    if let module = words.first.flatMap(RouterModule.init) {
      self.module = module
      words = words.dropFirst()
    }
    for (letter, field) in Self.numbered {
      guard let word = words.first, word.first == letter, let number = Self.number(String(word.dropFirst())) else { continue }
      self[keyPath: field] = number
      words = words.dropFirst()
    }
    guard words.isEmpty, layer >= 0 else { return nil }
  }

  private static let numbered: [(Character, WritableKeyPath<RouterID, Int?> & Sendable)] = [
    ("h", \.head), ("r", \.repetition), ("t", \.task),
  ]

  private static func isTowerByte(_ byte: UInt8) -> Bool {
    (97...122).contains(byte) || (48...57).contains(byte) || byte == 95
  }

  /// A number as paths write it: digits only, no more than any model has.
  private static func number(_ text: String) -> Int? {
    guard !text.isEmpty, text.utf8.count <= 7, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int(text)
  }

  /// The path without its layer, the same for all routers of a row of blocks: mostly `ffn`.
  public var lane: String {
    if isPlain { return stack.rawValue }
    return ((tower.map { [$0] } ?? []) + [stack.rawValue] + parts).joined(separator: ".")
  }

  /// What stands behind the layer.
  private var parts: [String] {
    (module.map { [$0.rawValue] } ?? []) + Self.numbered.compactMap { letter, field in self[keyPath: field].map { "\(letter)\($0)" } }
  }

  /// Routers are keys of every fold of every pass: plain ones are compared by layer and stack alone.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(layer.rawValue)
    hasher.combine(stack.place)
    if isPlain { return }
    hasher.combine(tower)
    hasher.combine(order)
  }

  public static func == (a: RouterID, b: RouterID) -> Bool {
    guard a.layer.rawValue == b.layer.rawValue, a.stack.place == b.stack.place else { return false }
    return a.isPlain && b.isPlain || a.tower == b.tower && a.order == b.order
  }

  private var isPlain: Bool { module == nil && head == nil && repetition == nil && task == nil && tower == nil }

  public static func < (a: RouterID, b: RouterID) -> Bool {
    if a.tower != b.tower { return (a.tower ?? "") < (b.tower ?? "") }
    if (a.stack, a.layer) != (b.stack, b.layer) { return (a.stack, a.layer) < (b.stack, b.layer) }
    return a.order.lexicographicallyPrecedes(b.order)
  }

  private var order: [Int] {
    [module.flatMap { RouterModule.allCases.firstIndex(of: $0) } ?? -1, head ?? -1, repetition ?? -1, task ?? -1]
  }

  public var description: String {
    let path = "\(stack.rawValue).\(layer)"
    if isPlain { return path }
    return ((tower.map { [$0] } ?? []) + [path] + parts).joined(separator: ".")
  }
}
