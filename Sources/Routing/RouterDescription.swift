// A router as a run has it: its name, its rule, and what else is known of it and of its experts.

/// A router and the rule it follows in this run.
public struct RouterDescription: Sendable, Codable, Equatable {
  public var id: RouterID
  public var spec: RouterSpec
  /// Experts a token has room for in batches of this run: `topK` of the rule, unless an intervention changes it.
  public var slots: Int
  /// What few routers have; nil: nothing of it.
  public var more: RouterFacts?

  /// - Parameter slots: nil: as many as the rule selects.
  public init(id: RouterID, spec: RouterSpec, slots: Int? = nil, more: RouterFacts? = nil) {
    self.id = id
    self.spec = spec
    self.slots = slots ?? spec.topK
    self.more = more
  }

  /// Name of the experts that it chooses among; experts are numbered within it.
  public var bank: String { more?.bank ?? id.description }
}

/// What is said of a router beside its rule.
public struct RouterFacts: Sendable, Codable, Hashable {
  /// The experts it chooses among, where several routers share them.
  public var bank: String?
  /// Shared experts beside the routed ones.
  public var sharedExperts: Int?
  /// The router whose decision this one depends on: groups first, a category before an expert.
  public var parent: String?
  /// Layers that use its decision, where it is made once for several.
  public var holdsFor: [Int]?
  /// Lengths of the lists that an expert is a pair of, where experts are products: `expertCount` is their sum, an id below the first
  /// length names an entry of the first list, one above it an entry of the second, and a row takes all pairs of those it takes.
  public var factors: [Int]?
  /// Rules that replaced `spec` while the run went on.
  public var states: [RouterState]?
  /// What is known of single experts.
  public var experts: [ExpertFacts]?

  public init(
    bank: String? = nil, sharedExperts: Int? = nil, parent: String? = nil, holdsFor: [Int]? = nil, factors: [Int]? = nil,
    states: [RouterState]? = nil, experts: [ExpertFacts]? = nil
  ) {
    self.bank = bank
    self.sharedExperts = sharedExperts
    self.parent = parent
    self.holdsFor = holdsFor
    self.factors = factors
    self.states = states
    self.experts = experts
  }

  /// Experts that the pairs of two lists make; nil where experts are no products.
  public var pairCount: Int? { factors.map { $0.reduce(1, *) } }
}

/// A rule from some row of the run on.
public struct RouterState: Sendable, Codable, Hashable {
  public var firstToken: Int
  public var spec: RouterSpec

  public init(firstToken: Int, spec: RouterSpec) {
    self.firstToken = firstToken
    self.spec = spec
  }
}

/// What is known of one expert of a router.
public struct ExpertFacts: Sendable, Codable, Hashable {
  public var expert: Int
  public var name: String?
  /// Of its hidden layer.
  public var width: Int?
  public var bytes: Int?
  /// The device or process that holds it.
  public var rank: Int?
  /// The slot that it is at there.
  public var physical: Int?
  /// Whether it was taken out of the model.
  public var pruned: Bool?

  public init(
    expert: Int, name: String? = nil, width: Int? = nil, bytes: Int? = nil, rank: Int? = nil, physical: Int? = nil, pruned: Bool? = nil
  ) {
    self.expert = expert
    self.name = name
    self.width = width
    self.bytes = bytes
    self.rank = rank
    self.physical = physical
    self.pruned = pruned
  }
}
