// Does a text's routing depend on the texts it shares a batch with? One text is read twice under the same rules, in two batches, and its
// tokens are held against each other: the experts that compute them, and what the model says next.
//
// Source: Hayes et al. 2024, Buffer Overflow in Mixture of Experts, arXiv:2402.05526.

import Routing

/// What one reading of a text leaves to be compared with another: a number a token.
public struct TextTrail: Sendable, Equatable {
  /// `[tokens]`, the encoder's first: a fold of the experts that compute the token at every router. Equal sets have equal numbers, others
  /// differ but for a chance of 2^-64.
  var experts: [UInt64] = []
  /// `[places]`: the most probable next token where the next is scored.
  var best: [Int32]

  /// - Parameters:
  ///   - passes: of one text.
  ///   - best: `[tokens of the decoder]`: the most probable next token behind each.
  public init(_ passes: [RoutingPass], best: [Int32]) {
    self.best = best.dropLast()
    for pass in passes {
      var keys = Array(repeating: TextKey(), count: pass.tokens.count)
      var folds = Array(repeating: UInt64(0), count: pass.tokens.count)
      for batch in pass.batches {
        for row in 0..<batch.count {
          for expert in [-1] + batch.computed(row).sorted() { folds[row] = keys[row].next(expert) }
        }
      }
      experts += folds
    }
  }
}

/// Sums over readings of one text in other batches.
public struct BatchShift: Sendable, Equatable {
  public private(set) var readings = 0
  var tokens = MeanSum()
  var top1 = MeanSum()

  public init() {}

  /// - Precondition: two readings of the same text.
  public init(_ a: TextTrail, _ b: TextTrail) {
    precondition(a.experts.count == b.experts.count && a.best.count == b.best.count, "the same text")
    readings = 1
    (tokens.count, top1.count) = (a.experts.count, a.best.count)
    tokens.sum = Double(zip(a.experts, b.experts).count { $0 != $1 })
    top1.sum = Double(zip(a.best, b.best).count { $0 != $1 })
  }

  /// Tokens or next tokens that are others.
  public var changes: Int { Int(tokens.sum + top1.sum) }

  static func += (a: inout BatchShift, b: BatchShift) {
    a.readings += b.readings
    a.tokens += b.tokens
    a.top1 += b.top1
  }
}

/// What other batches do to texts.
public struct BatchEffect: Sendable, Equatable {
  /// Share of a text's tokens that other experts compute at one router or more.
  public var changedTokens: RoutingEffect.Change
  /// Share of scored places with another most probable next token.
  public var changedTop1: RoutingEffect.Change
  /// Texts, and readings of each in another batch.
  public var texts: Int
  public var draws: Int
  /// Tokens and scored places that were compared, over all draws.
  public var tokens: Int
  public var places: Int

  /// - Parameter shifts: of each text.
  init?(_ shifts: [BatchShift]) {
    let read = shifts.filter { $0.readings > 0 }
    guard let draws = read.map(\.readings).max() else { return nil }
    (changedTokens, changedTop1) = (RoutingEffect.Change(read.map(\.tokens)), RoutingEffect.Change(read.map(\.top1)))
    (texts, self.draws) = (read.count, draws)
    (tokens, places) = (read.reduce(0) { $0 + $1.tokens.count }, read.reduce(0) { $0 + $1.top1.count })
  }
}

/// How texts are put together again so that every one of them comes into other batches.
public struct BatchShuffle: Sendable {
  /// Texts of a batch, and whole batches.
  public let batch: Int
  public let batches: Int

  /// - Precondition: `batch * batch <= texts`, so that no text keeps a mate.
  public init(texts: Int, batch: Int) {
    precondition(batch > 1 && batch * batch <= texts, "as many batches as a batch has texts")
    (self.batch, batches) = (batch, texts / batch)
  }

  /// Numbers of the texts of each batch: every text stands where it stood in its batch, and every mate is another one.
  ///
  /// - Parameter draw: with `seed` all that it depends on.
  public func otherMates(seed: UInt64, draw: Int) -> [[Int]] {
    var generator = SplitMix64(seed: seed, stream: UInt64(draw))
    var order = Array(0..<batches)
    var shifts = order
    generator.shuffle(&order)
    generator.shuffle(&shifts)
    // Texts of two places come from two batches, as their shifts differ.
    return (0..<batches).map { number in
      (0..<batch).map { place in order[(number + shifts[place]) % batches] * batch + place }
    }
  }

  /// Turns of the order that differ: at most this many draws say something new.
  public var turns: Int { batch - 1 }

  /// Numbers of the texts of each batch: the same texts, their order turned by a number of places that no draw before had.
  ///
  /// - Parameter draw: below `turns`.
  public func otherOrder(seed: UInt64, draw: Int) -> [[Int]] {
    var generator = SplitMix64(seed: seed, stream: ~0)
    var turns = Array(1..<batch)
    generator.shuffle(&turns)
    return (0..<batches).map { number in (0..<batch).map { number * batch + ($0 + turns[draw]) % batch } }
  }
}
