// Which decisions does a condition hold for, and which others could stand in their place? Both are asked of the unchanged run, before
// anything is changed, so that treatment and control are of one size whatever the change does.

import Routing

/// The decisions of one text, or image, that the conditions of some rules hold for, as positions by router, condition and pass. A text comes in
/// one pass, or in two where there is an encoder; an image in one a step.
public struct ConditionedDecisions: Sendable, Equatable {
  struct Key: Hashable, Sendable {
    var router: RouterID
    var condition: String
    var pass: Int
  }

  /// Rising positions, of those the condition holds for and of the others.
  struct Split: Sendable, Equatable {
    var held: [Int]
    var others: [Int]
    /// Whether the condition looks at tokens alone: then it holds for the same ones in every layer.
    var isOfTokens: Bool
  }

  private(set) var splits: [Key: Split] = [:]

  /// - Parameter passes: a text read without rules, surprisals included.
  public init(of interventions: [Intervention], in passes: [RoutingPass]) {
    for intervention in interventions {
      for (number, pass) in passes.enumerated() {
        for batch in pass.batches {
          for condition in intervention[batch.router]?.asked ?? [] {
            let key = Key(router: batch.router, condition: condition.filter.text, pass: number)
            guard splits[key] == nil else { continue }
            var split = Split(held: [], others: [], isOfTokens: !condition.filter.selectsDecisions)
            let offset = batch.firstToken - pass.tokens.firstToken
            for row in 0..<batch.count {
              let position = Int(pass.tokens.position[offset + row])
              if condition.passes(row, of: batch, tokens: pass.tokens) {
                split.held.append(position)
              } else {
                split.others.append(position)
              }
            }
            splits[key] = split
          }
        }
      }
    }
  }

  /// Settles the decisions that conditions hold for.
  ///
  /// - Parameter sequence: number of the text in the run.
  public func settle(_ settled: SettledDecisions, sequence: Int) {
    for (key, split) in splits { settled.add(split.held, of: sequence, at: key.router, under: key.condition) }
  }

  /// Settles as many others of the same text, router and pass, drawn evenly without replacement. A condition on tokens draws the same tokens
  /// in every layer, as it holds for the same ones; one on decisions draws in each layer anew.
  ///
  /// - Parameters:
  ///   - intervention: whose conditions are meant; others that were split for other rules are left alone.
  ///   - seed: with `draw` and `sequence` all that the numbers depend on, beside the router.
  ///   - draw: 0, 1, … of the control.
  /// - Returns: decisions that could not be matched, because fewer others are there.
  public func settleOthers(_ settled: SettledDecisions, of intervention: Intervention, sequence: Int, seed: UInt64, draw: Int) -> Int {
    var missing = 0
    var text = SplitMix64(seed: seed, stream: UInt64(sequence))
    var drawing = SplitMix64(seed: text.next(), stream: UInt64(draw))
    let base = drawing.next()
    let sorted = splits.sorted { ($0.key.router, $0.key.condition, $0.key.pass) < ($1.key.router, $1.key.condition, $1.key.pass) }
    for (place, (key, split)) in sorted.enumerated() {
      guard intervention[key.router]?.asked.contains(where: { $0.filter.text == key.condition }) == true else { continue }
      // Of tokens: the same order of all positions at every router, of which the others take their part.
      var generator = SplitMix64(seed: base, stream: split.isOfTokens ? UInt64(key.pass) << 32 : UInt64(2 + place))
      var order = split.isOfTokens ? (split.held + split.others).sorted() : split.others
      generator.shuffle(&order)
      if split.isOfTokens {
        let others = Set(split.others)
        order = order.filter(others.contains)
      }
      let drawn = order.prefix(split.held.count)
      missing += split.held.count - drawn.count
      settled.add(Array(drawn), of: sequence, at: key.router, under: key.condition)
    }
    return missing
  }
}
