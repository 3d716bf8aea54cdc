// Decisions of two runs about the same tokens, side by side, and what two sets of experts have in common. Which rows these are is decided by
// TextAlignment; everything that compares folds over these values and never sees where they were read from.

import Routing

/// Two routers whose decisions are compared.
public struct RouterPair: Hashable, Sendable {
  public var a: RouterDescription
  public var b: RouterDescription

  public init(a: RouterDescription, b: RouterDescription) {
    self.a = a
    self.b = b
  }

  public static func == (x: RouterPair, y: RouterPair) -> Bool { x.a == y.a && x.b == y.b }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(a.id)
    hasher.combine(b.id)
  }

  /// `ffn.3`, or `ffn.3=ffn.4` of layers that were paired by hand.
  var words: String { a.id == b.id ? a.id.description : "\(a.id)=\(b.id)" }

  /// Experts are numbered in one space, as large as the larger router's.
  var experts: Int { max(a.spec.expertCount, b.spec.expertCount) }
}

/// Neighbouring rows of A beside neighbouring rows of B: the same tokens, or other texts at the same positions.
public struct PairedRows: Sendable {
  /// Passes that hold the rows; each may hold more.
  public let a: RoutingPass
  public let b: RoutingPass
  /// Rows of the runs; `count` of the stretch is the number of rows.
  public let place: AlignedStretch

  /// - Precondition: both passes hold all rows of `place`, and batches are as wide as their routers' rules.
  public init(a: RoutingPass, b: RoutingPass, place: AlignedStretch) {
    self.a = a
    self.b = b
    self.place = place
  }

  /// Calls `body` with two batches and the places in them that stand side by side, for each stretch of rows that both routers decided on.
  func forEach(_ pair: RouterPair, _ body: (PairedBatches) -> Void) {
    for batchA in a.batches where batchA.router == pair.a.id {
      for batchB in b.batches where batchB.router == pair.b.id {
        let first = max(0, batchA.firstToken - place.rowA, batchB.firstToken - place.rowB)
        let end = min(place.count, batchA.firstToken + batchA.count - place.rowA, batchB.firstToken + batchB.count - place.rowB)
        guard first < end else { continue }
        body(
          PairedBatches(
            a: batchA, b: batchB, firstA: place.rowA + first - batchA.firstToken, firstB: place.rowB + first - batchB.firstToken,
            count: end - first))
      }
    }
  }
}

/// Some rows of one router's batch beside as many of another's.
struct PairedBatches {
  let a: RoutingBatch
  let b: RoutingBatch
  /// Counted from either batch's first token.
  let firstA: Int
  let firstB: Int
  let count: Int

  /// Whether both routers took an expert.
  func areDecisions(_ index: Int) -> Bool { a.hasExpert(firstA + index) && b.hasExpert(firstB + index) }

  /// Rows at which only one of them did.
  var oneSided: Int { (0..<count).count { a.hasExpert(firstA + $0) != b.hasExpert(firstB + $0) } }

  /// Calls `body` with the place and the chosen experts of each pair of decisions, B's as `matching` renames them; rows in which either
  /// run took no expert, or does not know which, are left out.
  func forEachDecision(_ matching: [Int32]?, _ body: (Int, ExpertSets) -> Void) {
    a.selectedExperts.withUnsafeBufferPointer { idsA in
      b.selectedExperts.withUnsafeBufferPointer { idsB in
        var renamed = Array(repeating: Int32(-1), count: b.topK)
        for index in 0..<count {
          let mine = UnsafeBufferPointer(rebasing: idsA[(firstA + index) * a.topK..<(firstA + index + 1) * a.topK])
          let theirs = UnsafeBufferPointer(rebasing: idsB[(firstB + index) * b.topK..<(firstB + index + 1) * b.topK])
          for slot in renamed.indices {
            renamed[slot] = theirs[slot] < 0 ? -1 : matching.map { $0[Int(theirs[slot])] } ?? theirs[slot]
          }
          let sets = renamed.withUnsafeBufferPointer { ExpertSets(mine, $0) }
          if sets.sizeA > 0, sets.sizeB > 0 { body(index, sets) }
        }
      }
    }
  }
}

extension RoutingBatch {
  fileprivate func hasExpert(_ token: Int) -> Bool { selectedExperts[token * topK..<(token + 1) * topK].contains { $0 >= 0 } }
}

/// Two sets of experts: how large they are and what they share.
///
/// - Test: {0, 1} and {1, 2}: agreement 1/2, Jaccard 1/3; equal sets in another order: agreement 1, another first choice.
struct ExpertSets {
  private(set) var sizeA = 0
  private(set) var sizeB = 0
  private(set) var shared = 0
  /// Both first choices; nil where one has none.
  private(set) var first: (a: Int32, b: Int32)?

  /// - Parameters: ids by falling selection score, each once; -1 pads.
  init(_ a: UnsafeBufferPointer<Int32>, _ b: UnsafeBufferPointer<Int32>) {
    for expert in b where expert >= 0 { sizeB += 1 }
    for expert in a where expert >= 0 {
      sizeA += 1
      for other in b where other == expert { shared += 1 }
    }
    if let mine = a.first, let theirs = b.first, mine >= 0, theirs >= 0 { first = (mine, theirs) }
  }

  /// Shared experts over those of the larger set: 1 only where the sets are equal.
  var agreement: Double { Double(shared) / Double(max(sizeA, sizeB)) }
  var jaccard: Double { Double(shared) / Double(sizeA + sizeB - shared) }
  var areEqual: Bool { shared == sizeA && shared == sizeB }
}
