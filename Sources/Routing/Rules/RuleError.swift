// What can be wrong with rules: how they are written, or what they name. Wording only; who found it, and where, is in the cases.

public enum RuleError: Error, Sendable, Hashable, CustomStringConvertible {
  /// - Parameter place: 1-based character of the rules.
  case syntax(place: Int, expected: String, found: String)
  /// The model has no such router.
  case noRouter(rule: String, named: String, known: String)
  case noExpert(rule: String, router: RouterID, named: Int, experts: Int)
  /// None of the routers named has what the rule is about.
  case notThere(rule: String, what: String, known: String)
  /// Its condition asks for what this run does not have, or does not know when it decides.
  case condition(rule: String, reason: String)
  /// The rule cannot be carried out at this router.
  case impossible(rule: String, router: RouterID, expected: String, found: String)

  public var description: String {
    switch self {
    case .syntax(let place, let expected, let found): "rules, character \(place): expected \(expected), found \(found)"
    case .noRouter(let rule, let named, let known): "rule \"\(rule)\": there is no router \(named); the model has \(known)"
    case .noExpert(let rule, let router, let named, let experts):
      "rule \"\(rule)\": there is no expert \(named) at \(router), which has 0 to \(experts - 1)"
    case .notThere(let rule, let what, let known): "rule \"\(rule)\": \(what); \(known)"
    case .condition(let rule, let reason): "rule \"\(rule)\": \(reason)"
    case .impossible(let rule, let router, let expected, let found):
      "rule \"\(rule)\" at \(router): expected \(expected), found \(found)"
    }
  }
}
