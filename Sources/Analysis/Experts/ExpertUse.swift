// At which rank is each expert of a router chosen, with which weight, and by which token most? What a list of experts shows; one pass over
// the decisions.

import Routing

/// The experts of one router, each by what was decided.
public struct ExpertUse: Sendable {
  public struct Row: Sendable, Equatable {
    /// `[topK]`: choices at each rank.
    public var ranks: [Int]
    public var weightSum = 0.0
    /// The token whose share of decisions for this expert exceeds that of all tokens most, among those that occur
    /// `ExpertTokens.least` times; nil where there is none.
    public var topToken: Int32?
    public var topLift = 0.0

    public var chosen: Int { ranks.reduce(0, +) }
    public var meanWeight: Double? { chosen > 0 ? weightSum / Double(chosen) : nil }
  }

  public let decisions: Int
  /// `[experts]`
  public let rows: [Row]

  public init(_ batch: RoutingBatch, tokens table: TokenTable) { self.init([RoutingPass(tokens: table, batches: [batch])]) }

  /// - Parameter passes: of one router each, of the same experts.
  public init(_ passes: [RoutingPass]) {
    let first = passes.first?.batches.first
    var rows = Array(repeating: Row(ranks: Array(repeating: 0, count: first?.topK ?? 0)), count: first?.expertCount ?? 0)
    var totals: [Int32: Int] = [:]
    var choices: [Choice: Int] = [:]
    var decisions = 0
    for (table, batch) in passes.compactMap({ pass in pass.batches.first.map { (pass.tokens, $0) } }) {
      let offset = batch.rows(in: table).lowerBound
      for token in 0..<batch.count {
        let start = token * batch.topK
        guard batch.selectedExperts[start..<start + batch.topK].contains(where: { $0 >= 0 }) else { continue }
        decisions += 1
        let id = table.tokenID[offset + token]
        totals[id, default: 0] += 1
        for slot in 0..<batch.topK {
          let expert = batch.selectedExperts[start + slot]
          guard expert >= 0 else { continue }
          rows[Int(expert)].ranks[slot] += 1
          rows[Int(expert)].weightSum += Double(batch.routingWeights[start + slot])
          choices[Choice(token: id, expert: expert), default: 0] += 1
        }
      }
    }
    for (choice, taken) in choices {
      guard let count = totals[choice.token], count >= ExpertTokens.least else { continue }
      let place = Int(choice.expert)
      let rate = Double(rows[place].chosen) / Double(max(1, decisions))
      let lift = Double(taken) / Double(count) / rate
      // Ties to the lower id, whatever the order of the dictionary.
      if (lift, -Int(choice.token)) > (rows[place].topLift, -Int(rows[place].topToken ?? .max)) {
        (rows[place].topToken, rows[place].topLift) = (choice.token, lift)
      }
    }
    (self.decisions, self.rows) = (decisions, rows)
  }

  private struct Choice: Hashable {
    var token: Int32
    var expert: Int32
  }
}

extension RoutingBatch {
  /// Rows of the run at which an expert was chosen with the largest weights, the largest first.
  ///
  /// - Parameter perToken: rows of one entry of the vocabulary at most, so that one that it always takes does not fill the list.
  public func heaviestRows(of expert: Int, tokens table: TokenTable, most: Int, perToken: Int = 2) -> [(row: Int, weight: Float)] {
    var found: [(row: Int, weight: Float, token: Int32)] = []
    let offset = rows(in: table).lowerBound
    for token in 0..<count {
      for slot in token * topK..<(token + 1) * topK where selectedExperts[slot] == Int32(expert) {
        let (weight, id) = (routingWeights[slot], table.tokenID[offset + token])
        guard found.count < most || weight > (found.last?.weight ?? 0) else { continue }
        if found.count(where: { $0.token == id }) >= perToken {
          guard let last = found.lastIndex(where: { $0.token == id }), found[last].weight < weight else { continue }
          found.remove(at: last)
        }
        let place = found.firstIndex { $0.weight < weight } ?? found.count
        found.insert((firstToken + token, weight, id), at: place)
        if found.count > most { found.removeLast() }
      }
    }
    return found.map { ($0.row, $0.weight) }
  }
}
