// Which expert stands for what in a denoising run: when it is preferred, where in the image, and for which class. One line an expert,
// each find controlled over all experts, cells and layers of its axis.

import Routing

/// An expert with the cells that prefer it most.
public struct Specialist: Sendable, Equatable, Encodable {
  /// A preferred cell of one axis.
  public struct Find: Sendable, Equatable, Encodable {
    public var cell: String
    /// Observed over expected choices.
    public var ratio: Double
    public var z: Double
    /// Max-statistic over all routers, experts and cells of the axis.
    public var adjustedP: Double

    private enum CodingKeys: String, CodingKey {
      case cell, ratio, z
      case adjustedP = "adjusted_p"
    }
  }

  public var router: RouterID
  public var expert: ExpertIndex
  /// Share of the router's choices.
  public var share: Double
  /// The step that prefers it most; nil when none does beyond chance.
  public var when: Find?
  /// The patch.
  public var place: Find?
  /// The class.
  public var what: Find?

  private enum CodingKeys: String, CodingKey {
    case router, layer, expert, share, when
    case place = "where"
    case what = "class"
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(router.description, forKey: .router)
    try container.encode(router.layer.rawValue, forKey: .layer)
    try container.encode(expert.rawValue, forKey: .expert)
    try container.encode(share, forKey: .share)
    try container.encode(when, forKey: .when)
    try container.encode(place, forKey: .place)
    try container.encode(what, forKey: .what)
  }
}

extension Specialist {
  /// A find counts from this adjusted p on.
  static let level = 0.05

  /// All experts of all routers, by router and expert.
  ///
  /// - Parameter label: the label of samples that `what` is about; left out where samples have fewer than two values of it.
  static func list(_ counts: DenoisingCounts, label: String, sequences: [SequenceDescription], settings: NullSettings) -> [Specialist] {
    func finds(_ facet: Facet) -> [RouterID: [ExpertIndex: Find]] {
      guard let study = try? SpecializationStudy(facet, of: counts, sequences: sequences, settings: settings) else { return [:] }
      var best: [RouterID: [ExpertIndex: Find]] = [:]
      for result in study.result() {
        // By falling |z|: the first find of an expert is its strongest.
        for found in result.enrichment where found.z > 0 && best[result.router]?[found.expert] == nil {
          guard let p = found.adjustedP, p <= level else { continue }
          best[result.router, default: [:]][found.expert] = Find(
            cell: result.cells[found.cell].name, ratio: found.ratio, z: found.z, adjustedP: p)
        }
      }
      return best
    }
    let when = finds(.step)
    let place = finds(.patch)
    let what = finds(.label(label))
    return counts.routerIDs.flatMap { router -> [Specialist] in
      guard let use = counts.projection(.step, of: router) else { return [] }
      let total = use.values.reduce(0, +)
      return (0..<use.expertCount).map { number in
        let expert = ExpertIndex(number)
        let own = stride(from: number, to: use.values.count, by: use.expertCount).reduce(0.0) { $0 + use.values[$1] }
        return Specialist(
          router: router, expert: expert, share: total > 0 ? own / total : 0, when: when[router]?[expert], place: place[router]?[expert],
          what: what[router]?[expert])
      }
    }
  }
}
