// Which decisions do conditions hold for, when that is known before the model runs? What compares an unchanged run with a changed one asks the
// unchanged one, so that both speak of the same decisions, and may name others of the same number as a control.

import Synchronization

/// The decisions that the conditions of an intervention hold for, whatever its routers would say by then.
///
/// Conditions are told apart by their text. Decisions are added while a run goes on, text by text, before the text is read.
public final class SettledDecisions: Sendable {
  private struct Key: Hashable {
    var router: RouterID
    var condition: String
  }

  private let sets = Mutex<[Key: Set<UInt64>]>([:])

  public init() {}

  /// Adds decisions of one sequence.
  ///
  /// - Parameter positions: of the tokens, in the sequence.
  public func add(_ positions: [Int], of sequence: Int, at router: RouterID, under condition: String) {
    let places = positions.map { DecisionRows.place(sequence: Int32(sequence), position: Int32($0)) }
    sets.withLock { $0[Key(router: router, condition: condition), default: []].formUnion(places) }
  }

  /// Forgets all.
  public func clear() { sets.withLock { $0.removeAll(keepingCapacity: true) } }

  func places(at router: RouterID, under condition: String) -> Set<UInt64> {
    sets.withLock { $0[Key(router: router, condition: condition)] ?? [] }
  }
}
