// What can be changed about routing on purpose? A rule is a value with a written form (docs/contracts.md, rules); `RuleParser` reads it,
// `Intervention` resolves it against the routers of a model, and `Router` carries it out. Nothing else chooses experts.

/// One change of routing: an action on some routers.
public struct RoutingRule: Sendable, Hashable {
  public var action: RuleAction
  public var routers: RouterSelector
  /// The decisions it is about, chosen by what the router decides about them without rules; nil: all.
  public var condition: Filter?
  /// As it was written.
  public var text: String
}

/// What a rule does. Rules act in the order of their stage, those of one stage from left to right, each over what the one before left.
public enum RuleAction: Sendable, Hashable {
  /// Logits divided by this before the score function.
  case temperature(Float)
  /// Whether the correction bias steers selection.
  case bias(isOn: Bool)
  /// Selection score minus infinity: the next best take the places.
  case mask(ExpertSelector)
  /// Experts a token takes.
  case topK(TopKChange)
  /// Takes the last places unless chosen already.
  case force([Int])
  /// The next best in the place of the last chosen.
  case swap
  /// Different experts drawn in place of the chosen.
  case redraw(RedrawOdds)
  /// The experts that another run took at the same text and position; with its weights, or weighed by the present scores.
  case replay(run: String, withWeights: Bool)
  /// A limit on the rows of a batch that an expert computes, in place of the model's own.
  case capacity(CapacityChange)
  /// All experts, each weighed by the router's probability.
  case broadcast
  /// Factor on the weight after everything else.
  case scale(ExpertSelector, Float)
  /// Whether the shared experts of the block answer.
  case sharedExperts(isOn: Bool)

  public enum Stage: Int, Sendable, Comparable {
    case logits, selection, weights
    public static func < (a: Stage, b: Stage) -> Bool { a.rawValue < b.rawValue }
  }

  public var stage: Stage {
    switch self {
    case .temperature: .logits
    case .bias, .mask, .topK, .force, .swap, .redraw, .replay, .capacity: .selection
    case .broadcast, .scale, .sharedExperts: .weights
    }
  }
}

/// Which routers a rule names.
public enum RouterSelector: Sendable, Hashable {
  /// Every one for which the rule can mean something.
  case all
  /// Those of these blocks, whatever their stack.
  case layers([ClosedRange<Int>])
  /// Those whose path fits.
  case path(Glob)
}

/// Which experts a rule names.
public enum ExpertSelector: Sendable, Hashable {
  case ids([Int])
  case all
  /// The token's own so many best by selection score.
  case best(Int)
}

public enum TopKChange: Sendable, Hashable {
  case exactly(Int)
  case by(Int)

  func applied(to topK: Int) -> Int {
    switch self {
    case .exactly(let count): count
    case .by(let change): topK + change
    }
  }
}

/// How experts are drawn: every one alike, or by the router's probability; without replacement.
public enum RedrawOdds: String, Sendable, Hashable { case uniform, router }

/// Room for the rows of a batch, and who gets it.
public struct CapacityChange: Sendable, Hashable {
  public enum Limit: Sendable, Hashable {
    /// C = max(1, ceil(factor x topK x rows / experts)).
    case factor(Double)
    /// C itself.
    case tokens(Int)
  }

  public enum Order: String, Sendable, Hashable, CaseIterable {
    /// All first choices in the order of the rows, then all second choices.
    case gshard
    /// Row by row, all choices of one before those of the next.
    case `switch`
    /// All first choices by falling probability of the first choice, then all second choices in the same order.
    case priority
    /// Experts choose: each takes the C rows that give it the largest probability.
    case expertChoice = "expert-choice"
  }

  public var limit: Limit
  public var order: Order

  public init(limit: Limit, order: Order) {
    self.limit = limit
    self.order = order
  }

  /// Rows that one expert takes of a batch.
  ///
  /// - Parameters:
  ///   - topK: experts a row takes.
  ///   - rows: of the batch.
  func rowsPerExpert(topK: Int, rows: Int, experts: Int) -> Int {
    switch limit {
    case .tokens(let count): return count
    case .factor(let factor):
      let room = factor * Double(topK) * Double(rows) / Double(experts)
      // 1.1 x 2 x 40 / 8 is 11, and a little more in binary.
      let nearest = room.rounded()
      return max(1, Int(abs(room - nearest) <= 1e-9 * nearest ? nearest : room.rounded(.up)))
    }
  }
}

/// Rules in the order they were written. No rule changes nothing.
public struct RuleSet: Sendable, Hashable {
  public let rules: [RoutingRule]
  /// As it was written.
  public let text: String

  /// Reads the written form: `ACTION LAYERS[:EXPERTS][=VALUE] [if FILTER]`, several separated by `;`.
  ///
  /// - Throws: `RuleError.syntax`, which says where and what was expected.
  public init(parsing text: String) throws(RuleError) {
    rules = try RuleParser.rules(of: text)
    self.text = text
  }

  public var isEmpty: Bool { rules.isEmpty }

  /// Runs that rules replay, as they were named.
  public var replayedRuns: [String] {
    var names: [String] = []
    for case .replay(let run, _) in rules.map(\.action) where !names.contains(run) { names.append(run) }
    return names
  }
}
