// What a filter leaves of a pass, as a pass: decisions that follow each other stay batches, so every fold and every export goes on as if the
// others had never been.

/// Which rows of a pass pass a filter.
public struct FilterSelection: Sendable, Equatable {
  /// `[tokens]`: tokens of which one decision passes; without terms of routers and decisions, tokens that pass.
  public var tokens: [Bool]
  /// `[batches]` of `[batch.count]`
  public var decisions: [[Bool]]

  public init(tokens: [Bool], decisions: [[Bool]]) {
    self.tokens = tokens
    self.decisions = decisions
  }
}

extension RoutingPass {
  /// The decisions that pass: for each router a batch for each stretch of neighbouring rows, over the same tokens.
  ///
  /// - Parameter specs: rules of the routers; where they are known, sums over tokens are computed again for the parts whose rows all have
  ///   logits. Other parts do not know them.
  public func selecting(_ selection: FilterSelection, specs: [RouterID: RouterSpec] = [:]) -> RoutingPass {
    var kept: [RoutingBatch] = []
    for (batch, isKept) in zip(batches, selection.decisions) {
      let spec = specs[batch.router]
      for rows in isKept.stretches {
        kept.append(spec == nil ? batch.slice(rows) : batch.part(rows, spec: spec, withImportance: true))
      }
    }
    return RoutingPass(tokens: tokens, batches: kept)
  }

  /// The tokens that are shown, with all their decisions, as passes of neighbouring tokens.
  public func showing(_ selection: FilterSelection) -> [RoutingPass] {
    selection.tokens.stretches.map { rows in
      let span = tokens.firstToken + rows.lowerBound..<tokens.firstToken + rows.upperBound
      return RoutingPass(
        tokens: tokens.slice(rows),
        batches: batches.compactMap { batch in
          let own = (batch.firstToken..<batch.firstToken + batch.count).clamped(to: span)
          return own.isEmpty ? nil : batch.slice(own.lowerBound - batch.firstToken..<own.upperBound - batch.firstToken)
        })
    }
  }
}

extension [Bool] {
  /// Ranges of neighbouring true entries, rising.
  public var stretches: [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while let first = self[start...].firstIndex(of: true) {
      start = self[first...].firstIndex(of: false) ?? count
      ranges.append(first..<start)
    }
    return ranges
  }
}
