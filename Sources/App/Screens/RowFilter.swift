// The filter of `f` and of the palette: which tokens are shown. Terms are joined by "and"; `!` in front turns one round.
// `layer=7 expert=23,40 entropy>0.92 token~bank !domain=code`

import Foundation

struct RowFilter: Sendable, Equatable {
  enum Term: Sendable, Equatable {
    case layer(Set<Int>)
    case expert(Set<Int>)
    case entropy(above: Bool, Float)
    case token(String)
    case label(String, Set<String>)
  }

  struct Clause: Sendable, Equatable {
    var term: Term
    var isNegated: Bool
  }

  var text: String
  var clauses: [Clause]

  /// - Throws: `Failure` that says what was expected.
  init(parsing text: String) throws {
    self.text = text
    clauses = try text.split(separator: " ").map { word in
      let isNegated = word.hasPrefix("!")
      return Clause(term: try Self.term(isNegated ? word.dropFirst() : word), isNegated: isNegated)
    }
  }

  private static func term(_ word: Substring) throws -> Term {
    guard let place = word.firstIndex(where: { "=<>~".contains($0) }), place > word.startIndex else {
      throw Failure(.usage, "filter '\(word)': expected layer=N, expert=N, entropy>X, token~TEXT or LABEL=VALUE")
    }
    let name = String(word[..<place])
    let sign = word[place]
    let value = String(word[word.index(after: place)...])
    func numbers() throws -> Set<Int> {
      let found = value.split(separator: ",").map { Int($0) }
      guard sign == "=", !found.isEmpty, !found.contains(nil) else {
        throw Failure(.usage, "filter '\(word)': expected numbers, for instance \(name)=3 or \(name)=3,5")
      }
      return Set(found.compactMap { $0 })
    }
    switch name {
    case "layer": return .layer(try numbers())
    case "expert": return .expert(try numbers())
    case "entropy":
      guard sign == ">" || sign == "<", let limit = Float(value) else {
        throw Failure(.usage, "filter '\(word)': expected entropy>0.9 or entropy<0.5, a share of ln E")
      }
      return .entropy(above: sign == ">", limit)
    case "token": return .token(value)
    default:
      guard sign == "=", !value.isEmpty else { throw Failure(.usage, "filter '\(word)': expected \(name)=VALUE") }
      return .label(name, Set(value.split(separator: ",").map(String.init)))
    }
  }

  /// Whether a token is shown. `layer=` limits where `expert=` and `entropy` look; they hold when they hold at one layer.
  func admits(_ row: Int, in buffer: RoutingBuffer, text: (Int) -> String) -> Bool {
    var layers: Set<Int>?
    for clause in clauses where !clause.isNegated { if case .layer(let some) = clause.term { layers = some } }
    let routers = buffer.routers.indices.filter { layers?.contains(buffer.routers[$0].id.layer.rawValue) ?? true }
    return clauses.allSatisfy { clause in
      let holds: Bool
      switch clause.term {
      case .layer: holds = !clause.isNegated ? !routers.isEmpty : true
      case .expert(let experts): holds = routers.contains { buffer.selected(row, router: $0).contains { experts.contains(Int($0)) } }
      case .entropy(let above, let limit):
        holds = routers.contains { router in
          let value = buffer.entropy(row, router: router)
          return above ? value > limit : value < limit
        }
      case .token(let wanted): holds = text(row).localizedCaseInsensitiveContains(wanted)
      case .label(let key, let values): holds = buffer.label(row)?.labels[key].map { values.contains($0) } ?? false
      }
      if case .layer = clause.term { return holds }
      return holds != clause.isNegated
    }
  }
}
