// With which experts does one share its tokens? How often two are chosen together, beside how often they would be if the other places of a
// token were filled by load alone.

import Routing

/// Experts of the same router by how often they are chosen together with one.
public struct ExpertPartners: Sendable, Equatable {
  public struct Partner: Sendable, Equatable {
    public var expert: Int
    /// Tokens that chose both.
    public var together: Int
    /// The same if the places beside the one were filled in proportion to load.
    public var expected: Double

    public var ratio: Double { expected > 0 ? Double(together) / expected : 0 }
  }

  /// Expected tokens that a pair needs to be shown.
  public static let least = 5.0

  /// Tokens that chose the one.
  public let taken: Int
  /// By falling ratio; of experts that `least` tokens are expected of.
  public let partners: [Partner]

  /// - Test: a router that draws every place at random has ratios about 1; a planted pair is first.
  public init(_ expert: Int, of batch: RoutingBatch) {
    var load = Array(repeating: 0, count: batch.expertCount)
    var together = load
    var (own, places) = (0, 0)
    for token in 0..<batch.count {
      let chosen = batch.selectedExperts[token * batch.topK..<(token + 1) * batch.topK]
      for other in chosen where other >= 0 { load[Int(other)] += 1 }
      guard chosen.contains(Int32(expert)) else { continue }
      own += 1
      for other in chosen where other >= 0 && Int(other) != expert {
        together[Int(other)] += 1
        places += 1
      }
    }
    taken = own
    let rest = load.indices.reduce(0) { $0 + ($1 == expert ? 0 : load[$1]) }
    partners = load.indices.compactMap { other -> Partner? in
      guard other != expert, rest > 0 else { return nil }
      let partner = Partner(
        expert: other, together: together[other], expected: Double(places) * Double(load[other]) / Double(rest))
      return partner.expected >= Self.least ? partner : nil
    }.sorted { ($1.ratio, $0.expert) < ($0.ratio, $1.expert) }
  }
}
