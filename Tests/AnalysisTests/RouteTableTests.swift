// Routing tables: hand-made rows of each kind.

import Analysis
import Routing
import Testing

struct RouteTableTests {
  private let route = RouterID(stack: .alone, layer: 0)

  private func table(_ kind: WeightKind, _ weights: [Double]) -> (RouteTable, RouteTable.Row) {
    let row = RouteTable.Row(route, [.word("a")], weights: weights)
    return (RouteTable(kind, axes: ["task"], rows: [row]), row)
  }

  @Test func probabilitiesHaveEntropyAndAnEvenBaseline() throws {
    let (sure, one) = table(.probability, [0, 1, 0])
    #expect(sure.entropy(one) == 0 && sure.normalizedEntropy(one) == 0 && one.chosen == 1 && !one.isTied)
    let (even, all) = table(.probability, [0.25, 0.25, 0.25, 0.25])
    #expect(abs(try #require(even.normalizedEntropy(all)) - 1) < 1e-12 && even.baseline(all) == 0.25)
    #expect(all.chosen == 0 && all.isTied, "of equal weights the lowest number")
  }

  @Test func signedWeightsHaveNone() {
    let (signed, row) = table(.signed, [-2, 0.5, 0])
    #expect(signed.entropy(row) == nil && signed.normalizedEntropy(row) == nil)
    #expect(row.chosen == 1 && signed.baseline(row) == -0.5)
  }

  @Test func aRuleWeighsNothing() {
    let row = RouteTable.Row(route, [.word("image")], chosen: 2, of: 3)
    let table = RouteTable(.none, axes: ["modality"], rows: [row])
    #expect(table.entropy(row) == nil && table.baseline(row) == 1.0 / 3 && !row.isTied)
  }

  @Test func aSingleExpertHasNoNormalizedEntropy() {
    let (single, row) = table(.probability, [1])
    #expect(single.entropy(row) == 0 && single.normalizedEntropy(row) == nil)
  }

  /// [vectors, samples, width]: two samples, of which the second has both vectors the same.
  @Test func theGramMatrixOfUnitVectorsIsTheIdentity() {
    let good = [1.0, 0, 0, 1, 0, 1, 1, 0]
    #expect(gramDeviation(good, count: 2, samples: 2, width: 2) == 0)
    let doubled = [1.0, 0, 0, 1, 0, 1, 0, 1]
    #expect(gramDeviation(doubled, count: 2, samples: 2, width: 2) == 1)
    #expect(gramDeviation([2, 0], count: 1, samples: 1, width: 2) == 3, "a length of 2 is a square of 4")
  }
}
