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

/// Which row of routers a router stands in: a decoder block may hold two (attention experts and MLP experts), and an
/// encoder-decoder model has two stacks. The raw value is the prefix used in exports and verification files.
public enum RouterStack: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
  case feedForward = "ffn"
  case attention = "attn"
  case encoder = "enc"
  case decoder = "dec"

  public static func < (a: RouterStack, b: RouterStack) -> Bool { a.rawValue < b.rawValue }
}

/// One router of one model; written `ffn.3`.
public struct RouterID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public var stack: RouterStack
  public var layer: LayerIndex

  public init(stack: RouterStack = .feedForward, layer: LayerIndex) {
    self.stack = stack
    self.layer = layer
  }

  public init(stack: RouterStack = .feedForward, layer: Int) {
    self.init(stack: stack, layer: LayerIndex(layer))
  }

  public static func < (a: RouterID, b: RouterID) -> Bool { (a.stack, a.layer) < (b.stack, b.layer) }
  public var description: String { "\(stack.rawValue).\(layer)" }
}
