// What other batches do to texts, as a table and in words.

import Routing

enum BatchTables {
  static func table(_ effects: [RoutingEffect], _ names: [String], heading: String) -> ReportTable {
    ReportTable(
      columns: [heading, "tokens, mates", "top-1, mates", "tokens, order", "top-1, order"],
      rows: zip(effects, names).map { effect, name in
        let kinds = [effect.mates, effect.order].flatMap { [$0?.changedTokens, $0?.changedTop1] }
        return [.text(name)] + kinds.map(share)
      }, notes: [])
  }

  /// `12.3 ±1.2 %`
  private static func share(_ change: RoutingEffect.Change?) -> ReportTable.Cell {
    guard let value = change?.value else { return .missing }
    let half = change?.interval.map { " ±" + fixedPoint(50 * ($0.high - $0.low), digits: 1) } ?? ""
    return .text(fixedPoint(100 * value, digits: 1) + half + " %")
  }

  static func notes(_ effects: [RoutingEffect]) -> [String] {
    guard let effect = effects.first(where: { $0.mates != nil }), let mates = effect.mates else { return [] }
    let order = effect.order.map { " and \($0.draws) of the order" } ?? ""
    return [
      "tokens: share of a text's tokens that other experts compute at one router or more than in the batch they came in; top-1: share of scored "
        + "places with another most probable next token; n \(mates.texts) texts, \(mates.draws) draws of mates\(order), "
        + "\(mates.tokens) tokens and \(mates.places) places",
      "mates: every other text of the batch is another one, the text stays at its place; order: the same texts, turned by a number of places",
    ]
  }
}
