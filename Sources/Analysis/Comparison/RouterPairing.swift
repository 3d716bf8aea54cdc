// Which router of B stands beside which of A? Those of the same name, where both runs have the same ones; else as the user says.

import Routing

/// Layers of A and of B, as written: `3=4,7=8`, `0-3`, `0-3=4-7`, `enc.1=enc.3`.
public struct RouterPairing: Sendable, Hashable, CustomStringConvertible {
  private struct Side: Hashable {
    var stack: RouterStack?
    var layers: ClosedRange<Int>
  }
  private struct Term: Hashable {
    var a: Side
    var b: Side
  }

  /// No model has as many.
  private static let largestLayer = 1 << 20

  private let terms: [Term]
  public let description: String

  /// - Throws: `AnalysisError.badPairing`.
  public init(parsing text: String) throws {
    description = text
    terms = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      let sides = part.split(separator: "=", omittingEmptySubsequences: false).map(Self.side)
      guard (1...2).contains(sides.count), let a = sides[0], let b = sides[sides.count - 1], a.layers.count == b.layers.count else {
        throw AnalysisError.badPairing(found: text)
      }
      return Term(a: a, b: b)
    }
  }

  private static func side(_ text: Substring) -> Side? {
    var rest = text
    var stack: RouterStack?
    if let dot = text.firstIndex(of: ".") {
      guard let found = RouterStack(rawValue: String(text[..<dot])) else { return nil }
      stack = found
      rest = text[text.index(after: dot)...]
    }
    guard let layers = try? LayerSelection(parsing: String(rest)).ranges, layers.count == 1, layers[0].upperBound < largestLayer else {
      return nil
    }
    return Side(stack: stack, layers: layers[0])
  }

  /// - Throws: `AnalysisError.unpairedRouters` where a layer is named that has no router, or two routers would stand beside one.
  func pairs(_ a: [RouterDescription], _ b: [RouterDescription]) throws -> [RouterPair] {
    var pairs: [RouterPair] = []
    for term in terms {
      for offset in 0..<term.a.layers.count {
        let (layerA, layerB) = (LayerIndex(term.a.layers.lowerBound + offset), LayerIndex(term.b.layers.lowerBound + offset))
        let mine = a.filter { $0.id.layer == layerA && (term.a.stack ?? $0.id.stack) == $0.id.stack }
        if mine.isEmpty {
          throw AnalysisError.unpairedRouters(problem: "A has no router at layer \(layerA)", a: a.map(\.id), b: b.map(\.id))
        }
        for router in mine {
          let stack = term.b.stack ?? router.id.stack
          guard let other = b.first(where: { $0.id == RouterID(stack: stack, layer: layerB) }) else {
            throw AnalysisError.unpairedRouters(
              problem: "B has no router \(RouterID(stack: stack, layer: layerB))", a: a.map(\.id), b: b.map(\.id))
          }
          pairs.append(RouterPair(a: router, b: other))
        }
      }
    }
    if Set(pairs.map(\.a.id)).count < pairs.count || Set(pairs.map(\.b.id)).count < pairs.count {
      throw AnalysisError.unpairedRouters(problem: "a router is paired twice", a: a.map(\.id), b: b.map(\.id))
    }
    return pairs.sorted { $0.a.id < $1.a.id }
  }

  /// The routers of two runs side by side.
  ///
  /// - Parameter pairing: as the user says; nil pairs equal names, of which both runs must have the same.
  /// - Throws: `AnalysisError.unpairedRouters`.
  public static func pairs(
    _ a: [RouterDescription], _ b: [RouterDescription], by pairing: RouterPairing?
  ) throws -> [RouterPair] {
    if let pairing { return try pairing.pairs(a, b) }
    let others = Dictionary(b.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let pairs = a.compactMap { router in others[router.id].map { RouterPair(a: router, b: $0) } }
    guard pairs.count == a.count, pairs.count == b.count, !pairs.isEmpty else {
      throw AnalysisError.unpairedRouters(problem: "the runs have other routers", a: a.map(\.id), b: b.map(\.id))
    }
    return pairs.sorted { $0.a.id < $1.a.id }
  }
}

extension [RouterID] {
  /// `ffn.0-3,7 attn.0`
  var inWords: String {
    let stacks = Dictionary(grouping: self, by: \.lane).sorted { $0.key < $1.key }
    let words = stacks.map { "\($0.key).\(LayerSelection($0.value.map(\.layer.rawValue)))" }
    return words.isEmpty ? "no router" : words.joined(separator: " ")
  }
}
